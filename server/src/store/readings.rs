//! Readings, as they came: each once by (device, epoch, seq), found by device, table and time, the latest of each table at hand.

use anyhow::Result;
use async_trait::async_trait;
use deskside_proto::v1::{Reading, TableSchema};
use uuid::Uuid;

use super::Retention;

/// One reading that was let in.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    /// Its number in the device's record.
    pub seq: u64,
    /// The reading; absent where it was no good at all, and only its number is to count as kept.
    pub reading: Option<Reading>,
    /// How many readings it says were lost before they reached the server.
    pub lost: u64,
}

/// What is known of one table of one device.
#[derive(Clone, Debug, PartialEq)]
pub struct Latest {
    /// The latest reading.
    pub reading: Reading,
    /// When it was last found to be unchanged, device's clock; the reading's own time if never.
    pub checked_ms: i64,
}

/// What is asked of the past: readings of a table whose look began within a window by the device's clock, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Of one device; absent for all, one device after the other.
    pub device: Option<Uuid>,
    /// The table.
    pub table: String,
    /// Begin of the window.
    pub from_ms: i64,
    /// Its end.
    pub to_ms: i64,
    /// Which end of it comes first, for each device.
    pub order: Order,
}

/// Which end of a window comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// In the order of time.
    OldestFirst,
    /// Against it.
    NewestFirst,
}

/// Where to go on. It stays good however long it is held, and whatever is kept or let go of meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(super) device: i64,
    pub(super) at_ms: i64,
    pub(super) epoch: i64,
    pub(super) seq: i64,
}

/// Some of what was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// What was found, each with its device.
    pub found: Vec<(Uuid, T)>,
    /// Where to go on; absent where there is no more.
    pub next: Option<Cursor>,
}

/// The readings.
#[async_trait]
pub trait Readings: Send + Sync {
    /// Keeps readings in ascending order of number, and passes over each whose number is not higher than what is already kept of
    /// its epoch. Returns when they are durable. Answers the highest number that is now kept.
    async fn append(&self, device: Uuid, epoch: u64, readings: Vec<Arrival>, now_ms: i64) -> Result<u64>;

    /// Tables were looked at and found unchanged.
    async fn unchanged(&self, device: Uuid, tables: Vec<(String, i64)>, now_ms: i64) -> Result<()>;

    /// The latest of every table of a device, by table.
    async fn latest(&self, device: Uuid) -> Result<Vec<Latest>>;

    /// The latest of one table.
    async fn latest_of(&self, device: Uuid, table: &str) -> Result<Option<Latest>>;

    /// A table as it was at a time by the device's clock: the last reading that began then or before.
    async fn at(&self, device: Uuid, table: &str, at_ms: i64) -> Result<Option<Reading>>;

    /// Readings of a table whose look began within a window by the device's clock, both ends included. Of more than
    /// `limit`, the newest; oldest first.
    async fn history(&self, device: Uuid, table: &str, from_ms: i64, to_ms: i64, limit: u32) -> Result<Vec<Reading>>;

    /// Readings within a window, at most `limit` of them and about 4 MiB, one at least if there is one. Rows are slices of what was
    /// read, not copies. What is kept meanwhile may or may not be among the pages that follow; nothing comes twice.
    async fn window(&self, window: Window, after: Option<Cursor>, limit: u32) -> Result<Page<Reading>>;

    /// The latest of one table of every device that has it, at most `limit` and about 4 MiB of them.
    async fn latest_all(&self, table: &str, after: Option<Cursor>, limit: u32) -> Result<Page<Latest>>;

    /// From when on all that a device brought of a table is still held, by the device's clock; absent where nothing of it is.
    async fn held_since(&self, device: Uuid, table: &str) -> Result<Option<i64>>;

    /// Keeps descriptions that an agent brought.
    async fn add_schemas(&self, schemas: Vec<TableSchema>, now_ms: i64) -> Result<()>;

    /// The description by which a device's rows of a table are read: the one it said it has, else the newest that any agent brought.
    async fn schema(&self, device: Option<Uuid>, table: &str) -> Result<Option<TableSchema>>;

    /// Every table that agents brought, newest description of each, by name.
    async fn schemas(&self) -> Result<Vec<TableSchema>>;

    /// Which of these (table, hash) are not kept yet.
    async fn schemas_missing(&self, schemas: Vec<(String, u64)>) -> Result<Vec<String>>;

    /// Does one bounded piece of what keeping is made of: folds what lay loose long enough, lets go of what is past its time or its room,
    /// gives free room back to the disk. One task alone is to call this. Answers whether there may be more to do.
    async fn retain(&self, retention: &Retention, now_ms: i64) -> Result<bool>;
}
