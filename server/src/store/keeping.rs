//! What is kept of evidence and what is not: legal holds, deletions that have begun, and copies that were derived.

use anyhow::Result;
use async_trait::async_trait;
use uuid::Uuid;

use super::{Attachment, EvidenceItem};

/// A legal hold: while it stands, nothing that it covers is deleted, by nobody.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Hold {
    /// Number, from 1 up.
    pub number: u64,
    /// The ticket all of whose evidence it covers; 0 where it covers one item.
    pub ticket: u64,
    /// The item that it covers; none where it covers a ticket.
    pub evidence: Option<Uuid>,
    /// Who placed it.
    pub who: String,
    /// Why.
    pub why: String,
    /// When, server's clock.
    pub at_ms: i64,
    /// When it was released, server's clock; 0 while it stands.
    pub released_ms: i64,
    /// Who released it, and why; empty while it stands.
    pub released: String,
}

/// A deletion that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// What goes.
    pub item: EvidenceItem,
    /// Who lets it go: a technician, or "retention".
    pub who: String,
    /// Why.
    pub why: String,
}

/// Why a deletion does not begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Kept {
    /// A hold covers it.
    #[error("it is on legal hold {}, placed by {}: {}", .0.number, .0.who, .0.why)]
    Held(Box<Hold>),
    /// It is gone already.
    #[error("it was deleted already")]
    Gone,
}

/// How long evidence is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvidenceBounds {
    /// Bundles of tickets that were closed before then go.
    pub bundles_closed_before_ms: i64,
    /// Of closed tickets, a device keeps the newest of so many bundles.
    pub bundles_per_device_max: u32,
    /// Attached files of tickets that were closed before then go; 0 for never.
    pub attached_closed_before_ms: i64,
}

/// Whose time is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// The item.
    pub item: EvidenceItem,
    /// It goes for the number of its device's bundles, and not for its age.
    pub is_surplus: bool,
}

/// Where a copy is from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Derived {
    /// The item that it was made from.
    pub source: Uuid,
    /// How: what was left out.
    pub recipe: String,
}

/// Holds, deletions, copies.
#[async_trait]
pub trait Keeping: Send + Sync {
    /// Places a hold; its number is given by the store. An item that is being deleted is held no more.
    async fn add_hold(&self, hold: Hold) -> Result<Option<Hold>>;

    /// Holds that stand, or all, newest first.
    async fn holds(&self, all: bool) -> Result<Vec<Hold>>;

    /// Releases a hold. Answers it, where it stood.
    async fn release_hold(&self, number: u64, who: &str, why: &str, at_ms: i64) -> Result<Option<Hold>>;

    /// Says that an item's content is about to be deleted, where nothing holds it. Why before: a hold that comes while the object store deletes
    /// would be placed on nothing, and where the server ends in between, the deletion is ended by the next one.
    async fn begin_deletion(&self, deletion: Deletion, at_ms: i64) -> Result<Result<(), Kept>>;

    /// Deletions that have begun, oldest first.
    async fn deletions(&self) -> Result<Vec<Deletion>>;

    /// Writes down, in one transaction, that an item's content was deleted: in its custody, its ticket and the audit log. Name, size and SHA-256
    /// stay.
    async fn end_deletion(&self, deletion: &Deletion, at_ms: i64) -> Result<()>;

    /// Items whose time is over and that nothing holds, oldest first.
    async fn expired(&self, bounds: EvidenceBounds) -> Result<Vec<Expired>>;

    /// Attaches a copy with what it was made from. One of the ticket that has the same SHA-256 is answered instead.
    async fn attach_derived(&self, copy: Attachment, derived: Derived) -> Result<Option<EvidenceItem>>;

    /// What an item was made from, where it is a copy.
    async fn derived(&self, id: Uuid) -> Result<Option<Derived>>;
}
