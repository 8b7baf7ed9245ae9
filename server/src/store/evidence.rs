//! Items of evidence and their custody: what lies in the object store, and who did what with it.

use anyhow::Result;
use async_trait::async_trait;
use uuid::Uuid;

/// An immutable item attached to a ticket.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct EvidenceItem {
    /// Its identity.
    pub id: Uuid,
    /// The ticket's number.
    pub ticket: u64,
    /// The device it is from.
    pub device: Uuid,
    /// The collection that asked for it.
    pub collection: Uuid,
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
}

/// One line of an item's custody.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CustodyEntry {
    /// When, server's clock.
    pub at_ms: i64,
    /// Who: a technician's name, a device's, or "server".
    pub who: String,
    /// asked, collected, stored, viewed, exported.
    pub what: String,
    /// The words.
    pub text: String,
}

/// The items.
#[async_trait]
pub trait EvidenceItems: Send + Sync {
    /// Items of one ticket, or all, newest first.
    async fn evidence(&self, ticket: Option<u64>) -> Result<Vec<EvidenceItem>>;

    /// Items whose identity begins with these characters.
    async fn find_evidence(&self, id: &str) -> Result<Vec<EvidenceItem>>;

    /// An item's custody, oldest first.
    async fn custody(&self, id: Uuid) -> Result<Vec<CustodyEntry>>;

    /// Adds a line to an item's custody; lines are never changed or taken away.
    async fn add_custody(&self, id: Uuid, entry: CustodyEntry) -> Result<()>;
}
