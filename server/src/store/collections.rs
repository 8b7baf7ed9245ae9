//! Collections: durable requests for evidence, each kept from the moment it is asked for, whatever becomes of it.

use anyhow::Result;
use async_trait::async_trait;
use deskside_proto::v1::PartOutcome;
use uuid::Uuid;

use super::{EvidenceItem, TicketEvent};

/// Where a collection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CollectionState {
    /// For the device, or for its window to pass.
    Waiting,
    /// The device packs or uploads.
    Running,
    /// All that was asked for came.
    Done,
    /// Some of it came.
    Partial,
    /// The device could not do it.
    Failed,
    /// Its time ran out.
    Expired,
    /// Somebody called it off.
    Cancelled,
}

impl CollectionState {
    /// Every state.
    pub const ALL: [Self; 7] =
        [Self::Waiting, Self::Running, Self::Done, Self::Partial, Self::Failed, Self::Expired, Self::Cancelled];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Nothing more will come of it.
    pub fn ended(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

/// A durable request for evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// Its identity.
    pub id: Uuid,
    /// The ticket's number.
    pub ticket: u64,
    /// The device.
    pub device: Uuid,
    /// Where it stands.
    pub state: CollectionState,
    /// What it is doing or why it ended so, in words.
    pub note: String,
    /// Recipe's name; empty where it was put together by hand.
    pub recipe: String,
    /// Tables asked for; empty for all.
    pub tables: Vec<String>,
    /// Probes asked for: name and arguments, separated by blanks.
    pub probes: Vec<String>,
    /// Window, server's clock.
    pub from_ms: i64,
    /// Window, server's clock.
    pub to_ms: i64,
    /// When it was asked for, server's clock.
    pub asked_ms: i64,
    /// When it is given up, server's clock.
    pub expires_ms: i64,
    /// When it ended, server's clock; 0 if it has not.
    pub ended_ms: i64,
    /// Who asked.
    pub asked_by: String,
    /// Times that the device was told to pack.
    pub attempts: u32,
    /// What came and what did not.
    pub parts: Vec<PartOutcome>,
    /// The item it became.
    pub evidence: Option<Uuid>,
    /// When it was planned for, server's clock; 0 where it was asked for at once.
    pub planned_ms: i64,
    /// What for, in one line; may be empty.
    pub why: String,
}

/// What the seal of a bundle came to when it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealSeen {
    /// It holds.
    Good {
        /// SHA-256 of its statement, lower-case hex.
        statement_sha256: String,
    },
    /// It does not hold, or is not there, and why.
    Bad(String),
}

/// The collections.
#[async_trait]
pub trait Collections: Send + Sync {
    /// One collection.
    async fn collection(&self, id: Uuid) -> Result<Option<Collection>>;

    /// Collections of a ticket, oldest first.
    async fn collections_of(&self, ticket: u64) -> Result<Vec<Collection>>;

    /// Collections that have not ended, oldest first.
    async fn open_collections(&self) -> Result<Vec<Collection>>;

    /// Writes down where a collection stands; with a line in the ticket's story where there is something to tell. What the
    /// upload wrote (parts and evidence) is left alone unless the collection names them. Fails where it would end without the
    /// evidence that it has.
    async fn save_collection(&self, collection: &Collection, event: Option<TicketEvent>) -> Result<()>;

    /// An upload is whole, checked and in the object store: keeps the item, its custody, the parts, the link to the collection and the
    /// ticket's line in one transaction, and what its seal came to. Answers false, and keeps nothing, where
    /// the collection has ended or has its evidence already.
    async fn evidence_stored(
        &self,
        item: &EvidenceItem,
        parts: Vec<PartOutcome>,
        device_name: &str,
        seal: &SealSeen,
    ) -> Result<bool>;
}
