//! What the gateway must know of collections to take an upload in, and what it tells when one is whole.

use anyhow::Result;
use async_trait::async_trait;
use deskside_proto::v1::PartOutcome;
use uuid::Uuid;

use crate::store::SealSeen;

/// Whether an upload is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The collection is this device's and waits for it.
    Yes {
        /// The ticket's number.
        ticket: u64,
    },
    /// It has already come; the device missed the last word.
    Stored,
    /// No, and why: cancelled, expired, another device's, unknown. The device drops it.
    No(String),
}

/// An upload that is whole, checked and durable in the object store.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredUpload {
    /// The device that sent it.
    pub device: Uuid,
    /// The collection it answers.
    pub collection: Uuid,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256, lower-case hex.
    pub sha256: String,
    /// Where it lies in the object store.
    pub location: String,
    /// Parts and their outcome, as the device says.
    pub parts: Vec<PartOutcome>,
    /// What its seal came to.
    pub seal: SealSeen,
}

/// The collections, as the gateway sees them.
#[async_trait]
pub trait Uploads: Send + Sync {
    /// Whether this device's upload for this collection is wanted now.
    async fn wanted(&self, device: Uuid, collection: Uuid) -> Result<Wanted>;

    /// Writes item, custody and the collection's end in one transaction. Called again for the same collection it changes nothing.
    async fn stored(&self, upload: StoredUpload) -> Result<()>;

    /// What came was not what was announced (size, hash) and was dropped.
    async fn spoiled(&self, device: Uuid, collection: Uuid, reason: String) -> Result<()>;
}
