//! Takes readings in: checks who numbers what, checks the envelope, hands on to the store, and tells when they are durable.

mod envelope;
pub mod sequence;
mod session;

use std::sync::Arc;

use anyhow::Result;
use deskside_proto::{
    catalog,
    v1::{Hello, WantSchemas},
};
use tokio::sync::Semaphore;
use tracing::warn;
use uuid::Uuid;

use crate::store::{Greeting, Store};
use sequence::Sequence;
pub use session::{BatchRefused, Session};

/// Bytes of readings that wait for the store, of all sessions together; past it sessions read no further.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Tables that one agent may have.
const TABLES_MAX: usize = 512;

/// Longest host name, version or operating system that is kept.
const FACT_CHARS_MAX: usize = 255;

/// The way in; cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    store: Arc<dyn Store>,
    room: Arc<Semaphore>,
}

/// A session that may begin.
pub struct Begun {
    /// Takes its batches.
    pub session: Session,
    /// What is kept of its record.
    pub kept_seq: u64,
    /// Descriptions that the store lacks.
    pub want: Option<WantSchemas>,
}

impl Ingest {
    /// Into a store, which is given this release's own descriptions first.
    pub async fn open(store: Arc<dyn Store>, now_ms: i64) -> Result<Self> {
        store.add_schemas(catalog::tables().to_vec(), now_ms).await?;
        Ok(Self { store, room: Arc::new(Semaphore::new(WAITING_BYTES_MAX)) })
    }

    /// A device says hello: writes down what it says of itself and finds where to go on from.
    pub async fn hello(&self, device: Uuid, hello: Hello, now_ms: i64) -> Result<Begun> {
        let schemas: Vec<(String, u64)> =
            hello.schemas.into_iter().filter(|(table, _hash)| envelope::is_name(table)).take(TABLES_MAX).collect();
        let missing = self.store.schemas_missing(schemas.clone()).await?;
        let greeting = Greeting {
            epoch: hello.epoch,
            name: fact(&hello.hostname),
            os: fact(&hello.os),
            agent_version: fact(&hello.agent_version),
            boot_id: fact(&hello.boot_id),
            clock_offset_ms: now_ms.saturating_sub(hello.clock_ms),
            schemas,
        };
        let kept_seq = self.store.greet(device, greeting, now_ms).await?;
        if hello.last_seq < kept_seq {
            warn!(%device, last_seq = hello.last_seq, kept_seq, "the device's record is behind what is kept of it");
        }
        let sequence = Sequence::hello(hello.epoch, kept_seq);
        let session = Session::new(Arc::clone(&self.store), Arc::clone(&self.room), device, sequence);
        let want = (!missing.is_empty()).then_some(WantSchemas { tables: missing });
        Ok(Begun { session, kept_seq, want })
    }
}

/// A short text as the device gave it, without what could not be shown.
fn fact(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(FACT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
