//! The agent's bounded local history of readings, and the queue of what the server has yet to keep: one file is both.

mod append;
mod changed;
mod content;
mod file;
mod notes;
mod queue;
mod reader;
mod room;
mod runs;
mod shares;
#[cfg(test)]
mod tests;
mod thin;
mod tidy;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deskside_proto::changes::Change;
use deskside_proto::rows::Row;
use deskside_proto::v1::{Loss, Numbered, Outcome, Reading};
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::collect::Registry;

pub use changed::CHANGES_MAX;
use file::File;
pub use reader::Reader;
pub use runs::{Order, Runs};
pub use thin::Thinned;

/// How much is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bounds {
    /// Bytes on disk.
    pub bytes_max: u64,
    /// Age in milliseconds.
    pub age_max_ms: i64,
    /// Samples older than this, in milliseconds, are thinned.
    pub samples_full_ms: i64,
    /// To one in so many milliseconds; 0 for never.
    pub samples_every_ms: i64,
}

impl Default for Bounds {
    fn default() -> Self {
        let day_ms = 24 * 3_600_000;
        Self {
            bytes_max: 64 * 1024 * 1024,
            age_max_ms: 30 * day_ms,
            samples_full_ms: 7 * day_ms,
            samples_every_ms: 15 * 60_000,
        }
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
    /// Old samples thinned out, ever.
    pub thinned_out: u64,
}

/// The record. Its calls block; each is durable on return. After any call [`Record::epoch`] may be another: a file found damaged is set aside
/// and a new one begun.
#[derive(Debug)]
pub struct Record {
    dir: PathBuf,
    bounds: Bounds,
    registry: Arc<Registry>,
    file: File,
    /// Tables that were looked at and found as they were since that was last written down.
    checked: BTreeSet<String>,
    checked_written_ms: i64,
    /// Why the file can not be used any more, until a new one has been begun in its place.
    damage: Option<String>,
}

impl Record {
    /// Opens the record in its own folder, or begins one. A damaged file is set aside.
    pub fn open(dir: &Path, bounds: Bounds, registry: Arc<Registry>, now_ms: i64) -> Result<Self, RecordError> {
        let (file, damage) = match file::open(dir, now_ms) {
            Ok(file) => (file, None),
            Err(RecordError::Damaged(damage)) => {
                file::set_aside(dir, now_ms)?;
                (file::open(dir, now_ms)?, Some(damage))
            }
            Err(error) => return Err(error),
        };
        let dir = dir.to_owned();
        let mut record =
            Self { dir, bounds, registry, file, checked: BTreeSet::new(), checked_written_ms: now_ms, damage: None };
        if let Some(damage) = damage {
            record.file.set_aside += 1;
            record.tell_damage(now_ms, &damage)?;
        }
        Ok(record)
    }

    /// Which record this is.
    pub fn epoch(&self) -> u64 {
        self.file.epoch
    }

    /// The same readings under a new epoch, none of them kept yet. For a record that was restored from an older copy: its next numbers
    /// would be taken for those that the server already has.
    pub fn begin_epoch(&mut self) -> Result<(), RecordError> {
        file::begin_epoch(&mut self.file)
    }

    /// Lowest number held; one more than the last where nothing is held.
    pub fn first_seq(&self) -> u64 {
        // Asked after every call, as are the counts of pages: not to be parsed each time.
        let first = self.file.db.prepare_cached("SELECT min(seq) FROM runs");
        let first = first.and_then(|mut first| first.query_row([], |row| row.get::<_, Option<i64>>(0)));
        first.ok().flatten().map_or(self.file.last_seq + 1, i64::cast_unsigned)
    }

    /// Highest number given.
    pub fn last_seq(&self) -> u64 {
        self.file.last_seq
    }

    /// Highest number known to be kept by the server.
    pub fn kept_seq(&self) -> u64 {
        self.file.kept_seq
    }

    /// Remembers readings in one transaction. A look at a state table that found what the look before found is not stored again.
    /// On [`RecordError::Full`] nothing is stored, and the entries may be offered again.
    pub fn append(&mut self, now_ms: i64, entries: &[Entry]) -> Result<Appended, RecordError> {
        self.live(now_ms);
        let appended = self.mending(|record| record.try_append(now_ms, entries))?;
        if self.is_over()? {
            self.mending(|record| record.bound(now_ms))?;
        }
        Ok(appended)
    }

    /// Streamed readings after a number, ascending, about `bytes_max` bytes of them; at least one if there is one.
    pub fn after(&mut self, seq: u64, bytes_max: usize) -> Result<Vec<Numbered>, RecordError> {
        self.mending(|record| record.try_after(seq, bytes_max))
    }

    /// The server has kept everything up to a number. Written down with the next append; losing it costs a repetition, which the server
    /// drops.
    pub fn kept(&mut self, seq: u64) {
        self.file.kept_seq = self.file.kept_seq.max(seq.min(self.file.last_seq));
    }

    /// Streamed state tables looked at again since their latest stored reading, and when.
    pub fn unchanged(&self) -> BTreeMap<String, i64> {
        let again =
            self.file.tables.iter().filter(|(_table, latest)| latest.stream && latest.checked_ms > latest.at_ms);
        again.map(|(table, latest)| (table.clone(), latest.checked_ms)).collect()
    }

    /// Folds samples into blocks and keeps the bounds. To be called every few minutes.
    pub fn tidy(&mut self, now_ms: i64) -> Result<(), RecordError> {
        self.live(now_ms);
        self.mending(|record| record.try_tidy(now_ms))
    }

    /// How far a source has been read.
    pub fn position(&self, source: &str) -> Option<String> {
        self.file.positions.get(source).cloned()
    }

    /// All sources and how far they have been read.
    pub fn positions(&self) -> &BTreeMap<String, String> {
        &self.file.positions
    }

    /// How the record is.
    pub fn stats(&self) -> Stats {
        Stats {
            bytes: self.pages("page_count").unwrap_or_default(),
            readings: self.file.readings,
            queued: self.queued().unwrap_or_default(),
            dropped: self.file.dropped,
            set_aside: self.file.set_aside,
            thinned_out: self.file.thinned_out,
        }
    }

    /// The read side on a connection of its own, so that long reading holds up no append.
    pub fn reader(&self) -> Result<Reader, RecordError> {
        Reader::open(&self.dir, Arc::clone(&self.registry))
    }

    /// Does the work; where it finds the file damaged, sets it aside, begins a new one, and does the work there.
    fn mending<T>(&mut self, work: impl Fn(&mut Self) -> Result<T, RecordError>) -> Result<T, RecordError> {
        if self.damage.is_none() {
            match work(self) {
                Err(RecordError::Damaged(damage)) => {
                    file::set_aside(&self.dir, self.file.seen_ms)?;
                    self.damage = Some(damage);
                }
                done => return done,
            }
        }
        self.begin_anew()?;
        work(self)
    }

    /// A new file in the place of the one that was set aside. It knows how far the sources have been read, and what was lost is its first
    /// reading. Where the disk has no room for it, the next call tries again.
    fn begin_anew(&mut self) -> Result<(), RecordError> {
        let now_ms = self.file.seen_ms;
        let mut fresh = file::open(&self.dir, now_ms)?;
        fresh.dropped = self.file.dropped;
        fresh.set_aside = self.file.set_aside + 1;
        let damaged = std::mem::replace(&mut self.file, fresh);
        let damage = self.damage.take().unwrap_or_default();
        let told = self.restore_positions(&damaged.positions).and_then(|()| self.tell_damage(now_ms, &damage));
        if told.is_err() {
            self.file = damaged;
            self.damage = Some(damage);
            file::discard(&self.dir);
        }
        told
    }

    /// What was lost with a damaged file is the new one's first reading.
    fn tell_damage(&mut self, now_ms: i64, damage: &str) -> Result<(), RecordError> {
        tracing::warn!(damage, "the record was damaged; it was set aside and a new one begun");
        let reason = format!("the record's file was damaged and set aside: {damage}");
        let entry = loss(now_ms, &Loss { reason, ..Loss::default() });
        self.try_append(now_ms, &[entry]).map(|_appended| ())
    }
}

/// The entry that tells a loss.
fn loss(now_ms: i64, loss: &Loss) -> Entry {
    let rows = vec![loss.encode_to_vec().into()];
    let outcome = Outcome::Ok.into();
    let reading = Reading { table: Loss::TABLE.into(), at_ms: now_ms, outcome, rows, ..Reading::default() };
    Entry { reading, stream: true, position: None }
}
