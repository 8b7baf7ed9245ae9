//! The store in one SQLite file: what a single server needs, and no more.
//!
//! Why one writer thread: SQLite has one writer anyway, and gathering what waits into one transaction makes one flush serve many. A write is
//! answered only after COMMIT, so that what was answered survives a power cut (WAL, synchronous=FULL).

mod arriving;
mod audit;
mod collections;
mod content;
mod devices;
mod evidence;
mod fold;
mod help_desks;
mod keeping;
mod merge;
mod migrate;
mod questions;
mod readings;
mod retain;
mod technicians;
mod tickets;
mod tokens;
mod windows;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction};
use tokio::sync::Semaphore;
use uuid::Uuid;

use writer::Writer;

/// How long one process waits for another's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Readers at a time; more wait. Why: each holds a page cache and a thread of the blocking pool.
const READERS_MAX: usize = 4;

/// A handle to the store; cheap to clone.
#[derive(Clone)]
pub struct Db {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    writer: Writer,
    idle: Mutex<Vec<Connection>>,
    readers: Semaphore,
}

impl Db {
    /// Opens the file, or makes it, and brings it to this release's form. Blocks.
    pub fn open(path: &Path) -> Result<Self> {
        let named = || format!("opening the store {}", path.display());
        let mut connection = Connection::open(path).with_context(named)?;
        prepare(&connection).with_context(named)?;
        // Why first: a file takes this only while it is empty.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").with_context(named)?;
        connection.pragma_update(None, "journal_mode", "WAL").with_context(named)?;
        connection.pragma_update(None, "synchronous", "FULL").with_context(named)?;
        connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024).with_context(named)?;
        migrate::migrate(&mut connection).with_context(named)?;
        Ok(Self {
            shared: Arc::new(Shared {
                path: path.to_owned(),
                writer: Writer::start(connection)?,
                idle: Mutex::new(Vec::new()),
                readers: Semaphore::new(READERS_MAX),
            }),
        })
    }

    /// Runs a job that writes, in a transaction that others may share. Returns after COMMIT and its flush. A job that fails leaves nothing
    /// behind and harms no other. Waits while the writer's queue is full.
    pub async fn write<T, F>(&self, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    {
        self.shared.writer.write(job).await
    }

    /// Runs a job that reads what is committed, on a thread where it may block.
    pub async fn read<T, F>(&self, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let _permit = self.shared.readers.acquire().await.context("the store is closed")?;
        tokio::task::spawn_blocking(move || {
            let idle = shared.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = idle.map_or_else(|| reader(&shared.path), Ok)?;
            let answer = job(&connection);
            shared.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            answer
        })
        .await
        .context("reading the store")?
    }

    /// Checks the whole file for damage. Answers what SQLite says where it is not "ok".
    pub async fn check(&self) -> Result<Option<String>> {
        self.read(|connection| {
            let word: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            Ok((word != "ok").then_some(word))
        })
        .await
    }
}

fn reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).context("opening the store to read")?;
    prepare(&connection)?;
    Ok(connection)
}

fn prepare(connection: &Connection) -> Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// A device's short number, by which the other tables know it.
fn device_no(connection: &Connection, id: Uuid) -> Result<i64> {
    let mut statement = connection.prepare_cached("SELECT no FROM device WHERE id = ?1")?;
    let no = statement.query_row([id.to_string()], |row| row.get(0)).optional()?;
    no.with_context(|| format!("no device {id}"))
}

/// An identity out of its column.
fn uuid(text: &str) -> rusqlite::Result<Uuid> {
    Uuid::try_parse(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error)))
}

#[cfg(test)]
mod tests;
