//! Help desks of other makers, each a small server that holds tickets, notes and files, and takes the requests that the system's
//! documentation names and no others. What a requester would see is kept apart from what the staff sees.
#![allow(
    clippy::indexing_slicing,
    reason = "JSON gives null for what is not there; what is wanted is looked for first"
)]

mod asked;
mod kept;
mod serve;

pub mod freshservice;
pub mod glpi;
pub mod glpi_v2;
pub mod itop;
pub mod jira;
pub mod osticket;
pub mod servicenow;
pub mod webhook;
pub mod zammad;
pub mod zendesk;
pub mod znuny;

pub use kept::{File, Kept, Note, Ticket};
pub use serve::{Answer, Desk, Fault, System};

/// The secret that each of them wants.
pub const TOKEN: &str = "s3cret-of-the-service-account";

/// The account that each of them wants where it wants one.
pub const ACCOUNT: &str = "deskside@example.com";

/// When every ticket changed last.
const CHANGED: &str = "2026-11-22T09:30:00Z";

/// A ticket that a test begins with.
pub fn ticket() -> Ticket {
    Ticket {
        title: "Printer on floor 3 prints nothing".into(),
        text: "Since this morning my print jobs vanish. The machine is ws-042.".into(),
        name: "Erika Muster".into(),
        mail: "erika@example.com".into(),
        group: "1st Level".into(),
        asset: "ws-042".into(),
        ..Ticket::default()
    }
}
