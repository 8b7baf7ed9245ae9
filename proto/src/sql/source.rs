//! Where the rows of a question come from: a machine and its record, a server's store, a bundle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::SqlError;
use super::notes::Notes;
use crate::v1::{Reading, TableSchema};

/// What a question reads from. Its calls block.
pub trait Source: Send + Sync {
    /// The time that "now" means, in milliseconds since 1970-01-01 UTC.
    fn now_ms(&self) -> i64;

    /// Every table that can be read.
    fn tables(&self) -> Vec<Arc<TableSchema>>;

    /// Its readings are of many devices: tables have the column `device` first.
    fn has_many_devices(&self) -> bool;

    /// Begins to read a table.
    fn scan(&self, scan: Scan) -> Result<Box<dyn Scanning>, SqlError>;
}

/// What is to be read.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The table's name.
    pub table: String,
    /// Which readings.
    pub when: When,
    /// Where many devices can be read: only this one, by the name or the identity that the question says. A source may pass over it.
    pub device: Option<String>,
    /// Where to say what is not in the readings, and why.
    pub notes: Notes,
    /// Stops the question; to be looked at in long work.
    pub brake: Arc<Brake>,
}

/// Which readings of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The latest: a fresh look where the machine can be looked at, else the latest known.
    Now,
    /// The one in force at a time, in milliseconds since 1970-01-01 UTC.
    At(i64),
    /// All whose look began within a window, both ends included, those of one device one after the other, oldest first. Of a state table
    /// they begin with the last one before the window that saw the machine, and all between that one and the window.
    Within {
        /// Begin, in milliseconds since 1970-01-01 UTC.
        from_ms: i64,
        /// End.
        to_ms: i64,
    },
}

/// Readings, one after the other.
pub trait Scanning: Send {
    /// The next one; none where there are no more.
    fn next(&mut self) -> Result<Option<Held>, SqlError>;
}

/// A reading as a source holds it.
#[derive(Clone, Debug)]
pub struct Held {
    /// Whose it is, where a source has many devices.
    pub owner: Option<Arc<Owner>>,
    /// The reading.
    pub reading: Reading,
    /// When it was last found to be so, in milliseconds since 1970-01-01 UTC; the reading's own time if never again.
    pub checked_ms: i64,
    /// When the next look at a state table found otherwise; none while it is in force.
    pub until_ms: Option<i64>,
}

/// A device, as a row of many devices' tables names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// UUID.
    pub id: String,
    /// Host name as last heard.
    pub name: String,
    /// The item of evidence that the reading is from; empty where it is from none.
    pub evidence: String,
}

/// Stops a question: when nobody waits for it any more, or when its time is over.
#[derive(Debug)]
pub struct Brake {
    pulled: AtomicBool,
    until: Instant,
}

impl Brake {
    /// One that stops by itself at a time.
    pub fn new(until: Instant) -> Self {
        Self { pulled: AtomicBool::new(false), until }
    }

    /// Stops the question.
    pub fn pull(&self) {
        self.pulled.store(true, Ordering::Relaxed);
    }

    /// Why to stop now.
    pub fn check(&self) -> Result<(), SqlError> {
        if self.pulled.load(Ordering::Relaxed) {
            return Err(SqlError::Stopped);
        }
        if Instant::now() >= self.until {
            return Err(SqlError::TooLong);
        }
        Ok(())
    }
}
