//! Everything the server must not forget, each noun behind a trait of its own, so that more than one database can hold it.

mod audit;
mod collections;
mod devices;
mod evidence;
mod help_desks;
mod keeping;
mod questions;
mod readings;
mod retention;
mod sqlite;
mod technicians;
mod tickets;
mod tokens;

pub use audit::{Audit, AuditCheck, AuditFilter, AuditLine};
pub use collections::{Collection, CollectionState, Collections, SealSeen};
pub use devices::{Device, Devices, Enrolment, Greeting, NewDevice};
pub use evidence::{Attachment, CustodyEntry, EvidenceItem, EvidenceItems};
pub use help_desks::{ForeignTicket, HelpDesks, OutboxItem, OutboxKind, OutboxState};
pub use keeping::{Deletion, Derived, EvidenceBounds, Expired, Hold, Keeping, Kept};
pub use questions::{KeptQuestion, KeptQuestions, QuestionState};
pub use readings::{Arrival, Cursor, Latest, Order, Page, Readings, Window};
pub use retention::{Retention, TableRetention};
pub use sqlite::Db;
pub use technicians::{
    Credential, NewCredential, NewSession, NewTechnician, Role, SessionRefusal, Technician, Technicians,
};
pub use tickets::{NewTicket, Ticket, TicketChange, TicketEvent, TicketStatus, Tickets};
pub use tokens::{NewToken, Token, TokenRefusal, Tokens};

/// All of it. A handle is shared as `Arc<dyn Store>`.
pub trait Store:
    Devices
    + Readings
    + Tokens
    + Technicians
    + EvidenceItems
    + Tickets
    + Collections
    + KeptQuestions
    + HelpDesks
    + Audit
    + Keeping
{
}

impl<
    T: Devices
        + Readings
        + Tokens
        + Technicians
        + EvidenceItems
        + Tickets
        + Collections
        + KeptQuestions
        + HelpDesks
        + Audit
        + Keeping,
> Store for T
{
}
