//! Tickets of other help desks, and the outbox: what is still to be said there, in order, until it is said or given up.

use anyhow::Result;
use async_trait::async_trait;
use uuid::Uuid;

use super::{Collection, NewTicket, Ticket, TicketEvent};

/// A ticket of another help desk, and the one here that stands for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ForeignTicket {
    /// The help desk, by its name in the configuration.
    pub desk: String,
    /// The ticket's identity there.
    pub id: String,
    /// The ticket here.
    pub ticket: u64,
    /// The number as people say it there.
    pub number: String,
    /// Where a person opens it.
    pub url: String,
    /// It was escalated when it was last read.
    pub escalated: bool,
    /// Whoever asked for help there: login or mail address; may be empty.
    pub requester: String,
    /// It was asked there which device it is about, and nobody has said so yet.
    pub asked: bool,
    /// When it was linked, server's clock.
    pub linked_ms: i64,
}

/// What stands in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OutboxKind {
    /// An internal note.
    Note,
    /// A file that is attached to a note which is there.
    File,
    /// Values of fields.
    Fields,
}

/// Where an entry of the outbox stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OutboxState {
    /// To be said.
    Waiting,
    /// It is there.
    Done,
    /// Refused for good, or given up.
    Failed,
    /// A technician dropped it.
    Dropped,
}

impl OutboxState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Done, Self::Failed, Self::Dropped];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl OutboxKind {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::File => "file",
            Self::Fields => "fields",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Note, Self::File, Self::Fields].into_iter().find(|kind| kind.name() == name)
    }
}

/// One entry of the outbox.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct OutboxItem {
    /// Its identity, which is in a note's marker.
    pub id: Uuid,
    /// Its place in the order; the store gives it.
    pub order: i64,
    /// The help desk.
    pub desk: String,
    /// The ticket's identity there.
    pub foreign: String,
    /// The ticket here.
    pub ticket: u64,
    /// What it is.
    pub kind: OutboxKind,
    /// What it is about; of two with the same words for the same ticket, the second is not taken.
    pub about: String,
    /// The note's text, or the fields as JSON; of a file, the identity of the note that it belongs to.
    pub body: String,
    /// The item of evidence that goes with it.
    pub evidence: Option<Uuid>,
    /// Where it stands.
    pub state: OutboxState,
    /// Times that it was tried.
    pub attempts: u32,
    /// Not tried again before then, server's clock.
    pub next_ms: i64,
    /// What happened last.
    pub why: String,
    /// When it was made, server's clock.
    pub made_ms: i64,
    /// When it ended, server's clock; 0 if it has not.
    pub ended_ms: i64,
}

/// The help desks' side of the store.
#[async_trait]
pub trait HelpDesks: Send + Sync {
    /// A ticket of a help desk.
    async fn foreign(&self, desk: &str, id: &str) -> Result<Option<ForeignTicket>>;

    /// What a ticket here stands for.
    async fn foreign_of(&self, ticket: u64) -> Result<Vec<ForeignTicket>>;

    /// Foreign tickets that wait to be told which device they are about.
    async fn foreign_asked(&self) -> Result<Vec<ForeignTicket>>;

    /// Opens a ticket for a foreign one, in one transaction; answers the one that is there where it was linked already.
    async fn open_foreign(
        &self,
        ticket: NewTicket,
        events: Vec<TicketEvent>,
        foreign: ForeignTicket,
        now_ms: i64,
    ) -> Result<Ticket>;

    /// Writes down what is now known of a foreign ticket.
    async fn save_foreign(&self, foreign: &ForeignTicket) -> Result<()>;

    /// Devices of tickets of this requester at this help desk, the most recent first, each once.
    async fn devices_of_requester(&self, desk: &str, requester: &str) -> Result<Vec<Uuid>>;

    /// Puts entries into the outbox, in this order, in one transaction. One that is about the same as another is left out. Answers
    /// those that were put there.
    async fn add_outbox(&self, items: Vec<OutboxItem>) -> Result<Vec<OutboxItem>>;

    /// Entries that wait, or all, in order; of all, the newest of this number.
    async fn outbox(&self, all: bool, limit: u32) -> Result<Vec<OutboxItem>>;

    /// Writes down where an entry stands, with a line in the ticket's story where there is something to tell.
    async fn save_outbox(&self, item: &OutboxItem, event: Option<TicketEvent>) -> Result<()>;

    /// Collections for linked tickets of which the outbox has no entry that begins "evidence" yet, with the ticket there; those that ended
    /// before then are past.
    async fn unreported(&self, ended_after_ms: i64) -> Result<Vec<(ForeignTicket, Collection)>>;

    /// Writes a delivery of a hook down. Answers false where it was there before and was acted upon. Deliveries older than a week are forgotten.
    async fn hook_arrived(&self, desk: &str, delivery: &str, id: &str, now_ms: i64) -> Result<bool>;

    /// Tickets of deliveries that were not acted upon yet.
    async fn hooks_open(&self) -> Result<Vec<(String, String)>>;

    /// The deliveries about a ticket up to then were acted upon.
    async fn hooks_done(&self, desk: &str, id: &str, until_ms: i64) -> Result<()>;
}
