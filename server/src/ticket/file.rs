//! A file for a help desk: what it is, and its bytes as they lie in the object store, never all in memory.

use anyhow::Result;
use futures_util::stream::BoxStream;
use prost::bytes::Bytes;

use crate::blobs::Blobs;

/// A file.
#[derive(Clone)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256, lower-case hex.
    pub sha256: String,
    blobs: Blobs,
    location: String,
}

impl File {
    /// A bundle of evidence that lies in the object store.
    pub fn bundle(name: String, size: u64, sha256: String, blobs: Blobs, location: String) -> Self {
        Self { name, media_type: "application/zip".into(), size, sha256, blobs, location }
    }

    /// Its bytes, in pieces.
    pub async fn open(&self) -> Result<BoxStream<'static, Result<Bytes>>> {
        self.blobs.get(&self.location).await
    }
}
