//! Items of evidence and their custody: what lies in the object store, and who did what with it.

use anyhow::Result;
use async_trait::async_trait;
use uuid::Uuid;

use super::{AuditLine, TicketEvent};

/// An immutable item attached to a ticket.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct EvidenceItem {
    /// Its identity.
    pub id: Uuid,
    /// The ticket's number.
    pub ticket: u64,
    /// The device it is from; none where a technician attached it and named none.
    pub device: Option<Uuid>,
    /// The collection that asked for it; none where a technician attached it.
    pub collection: Option<Uuid>,
    /// File name.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256, lower-case hex.
    pub sha256: String,
    /// When it was stored, server's clock.
    pub stored_ms: i64,
    /// Where it lies in the object store.
    pub location: String,
    /// When its content was deleted, server's clock; 0 where it is there. What it was stays known.
    pub deleted_ms: i64,
}

/// One line of an item's custody.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CustodyEntry {
    /// When, server's clock.
    pub at_ms: i64,
    /// Who: a technician's name, a device's, "server", or "retention".
    pub who: String,
    /// asked, consent, collected, attached, stored, verified, unverified, viewed, exported, deleted.
    pub what: String,
    /// The words.
    pub text: String,
}

/// An item that a technician attaches, with what is written down with it.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// The item; its device is linked to the ticket.
    pub item: EvidenceItem,
    /// How it came to be.
    pub custody: Vec<CustodyEntry>,
    /// The story of it.
    pub events: Vec<TicketEvent>,
}

/// The items.
#[async_trait]
pub trait EvidenceItems: Send + Sync {
    /// Items of one ticket, or all, newest first.
    async fn evidence(&self, ticket: Option<u64>) -> Result<Vec<EvidenceItem>>;

    /// Items whose identity begins with these characters.
    async fn find_evidence(&self, id: &str) -> Result<Vec<EvidenceItem>>;

    /// Attaches an item to its ticket, in one transaction. An item of the ticket that has the same SHA-256 is answered instead, and nothing is
    /// attached.
    async fn attach(&self, attachment: Attachment) -> Result<Option<EvidenceItem>>;

    /// An item's custody, oldest first.
    async fn custody(&self, id: Uuid) -> Result<Vec<CustodyEntry>>;

    /// Adds a line to an item's custody; lines are never changed or taken away.
    async fn add_custody(&self, id: Uuid, entry: CustodyEntry) -> Result<()>;

    /// The same, with all that is known of the one who did it; device, ticket, item and hash are the item's.
    async fn add_custody_of(&self, id: Uuid, line: AuditLine) -> Result<()>;

    /// Items that were stored before then, are there still, and of whose collection one of these probes was asked; oldest first.
    async fn evidence_of_probes(&self, probes: &[&str], before_ms: i64) -> Result<Vec<EvidenceItem>>;
}
