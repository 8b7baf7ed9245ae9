//! The agent's bounded local history of readings, and the queue of what the server has yet to keep: one file is both.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use deskside_proto::changes::Change;
use deskside_proto::v1::{Numbered, Reading};
use serde::{Deserialize, Serialize};

use crate::collect::Registry;

/// How much is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bounds {
    /// Bytes on disk.
    pub bytes_max: u64,
    /// Age in milliseconds.
    pub age_max_ms: i64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { bytes_max: 64 * 1024 * 1024, age_max_ms: 30 * 24 * 3_600_000 }
    }
}

/// Why the record could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The disk, or the room the record may take on it, is full. Nothing of the call was stored; it may be tried again later.
    #[error("the disk that holds the record is full ({0}); free some space, it goes on by itself")]
    Full(String),
    /// The file is damaged. Inside [`Record`] this mends itself; a [`Reader`] must be opened anew.
    #[error("the record is damaged: {0}")]
    Damaged(String),
    /// Anything else.
    #[error("the record: {0}")]
    Other(String),
}

/// One reading to remember.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The reading, redacted.
    pub reading: Reading,
    /// It is for the server too.
    pub stream: bool,
    /// Where its source stands once it is remembered: stored in the same transaction.
    pub position: Option<Position>,
}

/// How far a source has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which source: "journal", a file's path.
    pub source: String,
    /// Where in it, in the source's own words.
    pub at: String,
}

/// What became of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Readings stored.
    pub stored: u64,
    /// Looks at state tables that found nothing new.
    pub unchanged: u64,
    /// The highest number in the record.
    pub last_seq: u64,
}

/// One difference, and when it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeAt {
    /// When the look that saw it began, in milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// The table.
    pub table: String,
    /// The difference.
    pub change: Change,
}

/// How the record is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes on disk.
    pub bytes: u64,
    /// Readings held.
    pub readings: u64,
    /// Streamed readings that the server has not kept.
    pub queued: u64,
    /// Streamed readings dropped before the server kept them, ever.
    pub dropped: u64,
    /// Damaged files set aside, ever.
    pub set_aside: u64,
}

/// The record. Its calls block; each is durable on return. After any call [`Record::epoch`] may be another: a file found damaged is set aside
/// and a new one begun.
#[derive(Debug)]
pub struct Record {
    registry: Arc<Registry>,
}

impl Record {
    /// Opens the record in its own folder, or begins one. A damaged file is set aside.
    pub fn open(dir: &Path, bounds: Bounds, registry: Arc<Registry>, now_ms: i64) -> Result<Self, RecordError> {
        let _ = (dir, bounds, now_ms);
        Ok(Self { registry })
    }

    /// Which record this is.
    pub fn epoch(&self) -> u64 {
        0
    }

    /// Lowest number held; one more than the last where nothing is held.
    pub fn first_seq(&self) -> u64 {
        1
    }

    /// Highest number given.
    pub fn last_seq(&self) -> u64 {
        0
    }

    /// Highest number known to be kept by the server.
    pub fn kept_seq(&self) -> u64 {
        0
    }

    /// Remembers readings in one transaction. A look at a state table that found what the look before found is not stored again.
    pub fn append(&mut self, now_ms: i64, entries: Vec<Entry>) -> Result<Appended, RecordError> {
        let _ = (now_ms, entries);
        Err(RecordError::Other("not open".into()))
    }

    /// Streamed readings after a number, ascending, about `bytes_max` bytes of them; at least one if there is one.
    pub fn after(&mut self, seq: u64, bytes_max: usize) -> Result<Vec<Numbered>, RecordError> {
        let _ = (seq, bytes_max);
        Ok(Vec::new())
    }

    /// The server has kept everything up to a number.
    pub fn kept(&mut self, seq: u64) -> Result<(), RecordError> {
        let _ = seq;
        Ok(())
    }

    /// State tables looked at again since their latest stored reading, and when.
    pub fn unchanged(&self) -> BTreeMap<String, i64> {
        BTreeMap::new()
    }

    /// Folds samples into blocks and keeps the bounds. To be called every few minutes.
    pub fn tidy(&mut self, now_ms: i64) -> Result<(), RecordError> {
        let _ = now_ms;
        Ok(())
    }

    /// How far a source has been read.
    pub fn position(&self, source: &str) -> Option<String> {
        let _ = source;
        None
    }

    /// All sources and how far they have been read.
    pub fn positions(&self) -> &BTreeMap<String, String> {
        const NONE: &BTreeMap<String, String> = &BTreeMap::new();
        NONE
    }

    /// How the record is.
    pub fn stats(&mut self) -> Stats {
        Stats::default()
    }

    /// The read side on a connection of its own, so that long reading holds up no append.
    pub fn reader(&self) -> Result<Reader, RecordError> {
        Ok(Reader { registry: Arc::clone(&self.registry) })
    }
}

/// The read side of a record.
#[derive(Debug)]
pub struct Reader {
    registry: Arc<Registry>,
}

impl Reader {
    /// The latest reading of a table.
    pub fn latest(&self, table: &str) -> Result<Option<Reading>, RecordError> {
        self.at(table, i64::MAX)
    }

    /// The reading of a table in force at a time.
    pub fn at(&self, table: &str, at_ms: i64) -> Result<Option<Reading>, RecordError> {
        let _ = (table, at_ms, &self.registry);
        Ok(None)
    }

    /// Readings of a table within a window, in order; of a state table beginning with the one in force at its begin.
    pub fn history(
        &self,
        table: &str,
        from_ms: i64,
        to_ms: i64,
        each: &mut dyn FnMut(Reading),
    ) -> Result<(), RecordError> {
        let _ = (table, from_ms, to_ms, each);
        Ok(())
    }

    /// What changed in state tables within a window, in order; in one table, or in all.
    pub fn changes(&self, table: Option<&str>, from_ms: i64, to_ms: i64) -> Result<Vec<ChangeAt>, RecordError> {
        let _ = (table, from_ms, to_ms);
        Ok(Vec::new())
    }

    /// Since when a table is held; absent where nothing of it is.
    pub fn held_since(&self, table: &str) -> Result<Option<i64>, RecordError> {
        let _ = table;
        Ok(None)
    }
}
