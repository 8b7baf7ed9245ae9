//! The Deskside server: takes readings in, keeps them, and gives technicians the evidence.

pub mod diagnose;
pub mod ingest;
pub mod store;
