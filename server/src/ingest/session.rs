//! One session's readings on their way into the store: one write at a time, and what comes meanwhile makes the next one.

use std::{collections::HashMap, sync::Arc};

use anyhow::Result;
use deskside_proto::v1::{Batch, Catalogue, Kept, Numbered, TableSchema, Unchanged};
use prost::Message;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};
use tracing::warn;
use uuid::Uuid;

use super::{envelope, sequence::Refusal, sequence::Sequence};
use crate::store::{Arrival, Store};

/// Bytes that wait behind a write; past it the session reads no further.
const BEHIND_BYTES_MAX: usize = 1024 * 1024;

/// Tables of one message.
const TABLES_MAX: usize = 512;

/// Why a batch is not taken.
#[derive(Debug, thiserror::Error)]
pub enum BatchRefused {
    /// Its numbers are not in order.
    #[error(transparent)]
    Numbers(#[from] Refusal),
    /// A number without a reading.
    #[error("number {0} came without a reading")]
    Absent(u64),
}

/// A write under way, and its answer: the highest number that is now durable. Why a task: it must go on, and give back its share of the room, while
/// its session waits for room.
type Write = JoinHandle<Result<u64>>;

/// One session's way in.
pub struct Session {
    store: Arc<dyn Store>,
    room: Arc<Semaphore>,
    device: Uuid,
    sequence: Sequence,
    schemas: HashMap<String, Option<TableSchema>>,
    behind: Vec<Arrival>,
    behind_bytes: usize,
    permits: Vec<OwnedSemaphorePermit>,
    write: Option<Write>,
}

impl Session {
    pub(super) fn new(store: Arc<dyn Store>, room: Arc<Semaphore>, device: Uuid, sequence: Sequence) -> Self {
        Self {
            store,
            room,
            device,
            sequence,
            schemas: HashMap::new(),
            behind: Vec::new(),
            behind_bytes: 0,
            permits: Vec::new(),
            write: None,
        }
    }

    /// Whether the next message may be read.
    pub fn has_room(&self) -> bool {
        self.behind.is_empty()
            || (self.behind_bytes < BEHIND_BYTES_MAX && self.room.available_permits() > BEHIND_BYTES_MAX)
    }

    /// Something was taken and is not yet durable.
    pub fn is_waiting(&self) -> bool {
        self.write.is_some()
    }

    /// Takes a batch. A batch that is refused changes nothing, and the session should end with it.
    pub async fn batch(&mut self, batch: Batch, now_ms: i64) -> Result<Result<(), BatchRefused>> {
        if let Some(absent) = batch.readings.iter().find(|numbered| numbered.reading.is_none()) {
            return Ok(Err(BatchRefused::Absent(absent.seq)));
        }
        let bytes = batch.encoded_len();
        let numbers = batch.readings.iter().map(|numbered| numbered.seq);
        let repeats = match self.sequence.batch(batch.epoch, numbers) {
            Ok(repeats) => repeats,
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        self.take_room(u32::try_from(bytes)?).await?;
        for numbered in batch.readings.into_iter().skip(repeats) {
            let arrival = self.settle(numbered, now_ms).await?;
            self.behind.push(arrival);
        }
        self.behind_bytes += bytes;
        self.begin_write(now_ms);
        Ok(Ok(()))
    }

    /// The next acknowledgement, once what it is for is durable. Pends for ever while nothing waits.
    pub async fn durable(&mut self, now_ms: impl Fn() -> i64) -> Result<Kept> {
        loop {
            let Some(write) = &mut self.write else {
                std::future::pending::<()>().await;
                continue;
            };
            let upto = write.await;
            self.write = None;
            let upto = upto??;
            self.begin_write(now_ms());
            if let Some(seq) = self.sequence.durable(upto) {
                return Ok(Kept { epoch: self.sequence.epoch(), seq });
            }
        }
    }

    /// Keeps descriptions that the agent brought. What cannot be one is passed over.
    pub async fn schemas(&mut self, catalogue: Catalogue, now_ms: i64) -> Result<()> {
        let (good, bad): (Vec<_>, Vec<_>) =
            catalogue.tables.into_iter().take(TABLES_MAX).partition(envelope::is_schema);
        if !bad.is_empty() {
            warn!(device = %self.device, tables = bad.len(), "descriptions that cannot be are passed over");
        }
        self.schemas.clear();
        self.store.add_schemas(good, now_ms).await
    }

    /// Tables were found unchanged.
    pub async fn unchanged(&self, unchanged: Unchanged, now_ms: i64) -> Result<()> {
        let tables = unchanged.tables.into_iter().filter(|(table, _at)| envelope::is_name(table));
        self.store.unchanged(self.device, tables.take(TABLES_MAX).collect(), now_ms).await
    }

    /// Why one who already holds some never waits for more: all could hold some, and wait for each other.
    async fn take_room(&mut self, bytes: u32) -> Result<()> {
        let room = Arc::clone(&self.room);
        if self.behind.is_empty() {
            self.permits.push(room.acquire_many_owned(bytes).await?);
        } else if let Ok(permit) = room.try_acquire_many_owned(bytes) {
            self.permits.push(permit);
        }
        Ok(())
    }

    fn begin_write(&mut self, now_ms: i64) {
        if self.write.is_some() || self.behind.is_empty() {
            return;
        }
        let (store, device, epoch) = (Arc::clone(&self.store), self.device, self.sequence.epoch());
        let (arrivals, permits) = (std::mem::take(&mut self.behind), std::mem::take(&mut self.permits));
        self.behind_bytes = 0;
        self.write = Some(tokio::spawn(async move {
            let upto = store.append(device, epoch, arrivals, now_ms).await;
            drop(permits);
            upto
        }));
    }

    async fn settle(&mut self, numbered: Numbered, now_ms: i64) -> Result<Arrival> {
        let reading = numbered.reading.unwrap_or_default();
        if !envelope::is_name(&reading.table) {
            warn!(device = %self.device, seq = numbered.seq, "a reading of a table that cannot be named is passed over");
            return Ok(Arrival { seq: numbered.seq, reading: None, lost: 1 });
        }
        if !self.schemas.contains_key(&reading.table) {
            let schema = self.store.schema(Some(self.device), &reading.table).await?;
            self.schemas.insert(reading.table.clone(), schema);
        }
        let schema = self.schemas.get(&reading.table).and_then(Option::as_ref);
        let lost = envelope::lost(&reading, schema);
        Ok(Arrival { seq: numbered.seq, reading: Some(envelope::settle(reading, schema, now_ms)), lost })
    }
}
