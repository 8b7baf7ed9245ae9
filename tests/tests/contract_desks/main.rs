//! What Deskside says to help desks of other makers, held against servers that take the documented requests and no others: the whole way
//! from an escalated ticket to an internal note, and every way in which it can go wrong.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod hooks;
mod systems;
mod trouble;
mod whole_way;
