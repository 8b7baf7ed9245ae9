//! Tickets, built in, and their story: each change is a line that is never changed or taken away.

use anyhow::Result;
use async_trait::async_trait;
use uuid::Uuid;

use super::Collection;

/// Where a ticket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TicketStatus {
    /// Somebody works on it.
    Open,
    /// Handed to level 2.
    Escalated,
    /// Done.
    Closed,
}

impl TicketStatus {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Escalated => "escalated",
            Self::Closed => "closed",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Open, Self::Escalated, Self::Closed].into_iter().find(|status| status.name() == name)
    }
}

/// A person's trouble.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Ticket {
    /// Number, from 1 up.
    pub number: u64,
    /// One line.
    pub title: String,
    /// What the user reported.
    pub description: String,
    /// Where it stands.
    pub status: TicketStatus,
    /// 1 or 2: who has it.
    pub level: u32,
    /// The technician who has it; empty for nobody.
    pub assignee: String,
    /// Who opened it.
    pub opened_by: String,
    /// When it was opened, server's clock.
    pub opened_ms: i64,
    /// When it last changed, server's clock.
    pub changed_ms: i64,
    /// Linked devices, in the order in which they were linked.
    pub devices: Vec<Uuid>,
    /// Items of evidence.
    pub evidence: u32,
}

/// A ticket to be.
#[derive(Clone, Debug, Default)]
pub struct NewTicket {
    /// One line.
    pub title: String,
    /// What the user reported.
    pub description: String,
    /// Who opens it.
    pub opened_by: String,
    /// Devices to link.
    pub devices: Vec<Uuid>,
}

/// One line of a ticket's story.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TicketEvent {
    /// When, server's clock.
    pub at_ms: i64,
    /// Who: a technician's name, a device's, or "server".
    pub who: String,
    /// opened, linked, assigned, escalated, note, collection, evidence, viewed, closed.
    pub what: String,
    /// The words.
    pub text: String,
}

/// What becomes of a ticket. Only what is set is changed; the lines are added in the same transaction.
#[derive(Clone, Debug, Default)]
pub struct TicketChange {
    /// Where it stands now.
    pub status: Option<TicketStatus>,
    /// Who has it now: 1 or 2.
    pub level: Option<u32>,
    /// The technician who has it now.
    pub assignee: Option<String>,
    /// A device to link; one that is linked already stays so.
    pub link: Option<Uuid>,
    /// Collections to begin; each is kept from this moment on.
    pub collections: Vec<Collection>,
    /// The story of it.
    pub events: Vec<TicketEvent>,
}

/// The tickets.
#[async_trait]
pub trait Tickets: Send + Sync {
    /// Opens a ticket with its devices and the first lines of its story.
    async fn open_ticket(&self, ticket: NewTicket, events: Vec<TicketEvent>, now_ms: i64) -> Result<Ticket>;

    /// One ticket.
    async fn ticket(&self, number: u64) -> Result<Option<Ticket>>;

    /// Tickets, newest first: those that are not closed, or all.
    async fn tickets(&self, all: bool, limit: u32) -> Result<Vec<Ticket>>;

    /// Tickets of a device that are not closed, newest first.
    async fn tickets_of(&self, device: Uuid, limit: u32) -> Result<Vec<Ticket>>;

    /// Changes a ticket. `None` where there is none of this number.
    async fn change_ticket(&self, number: u64, change: TicketChange, now_ms: i64) -> Result<Option<Ticket>>;

    /// A ticket's story, oldest first. Of more than `limit` lines, the newest.
    async fn ticket_events(&self, number: u64, limit: u32) -> Result<Vec<TicketEvent>>;
}
