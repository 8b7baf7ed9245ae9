//! The record's file: opened, begun, set aside.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use super::RecordError;

const FILE: &str = "record.db";
const ASIDE: &str = "record-damaged-";
const COMPANIONS: [&str; 3] = ["", "-wal", "-shm"];

/// Damaged files kept for a look.
const ASIDE_MAX: usize = 2;

/// Of the file's form; a file of another is set aside.
const VERSION: i64 = 1;

/// How long a call waits for the other connection.
const BUSY: Duration = Duration::from_secs(5);

/// Why these: full durability for what `append` promised, and small memory: 256 KiB of pages, no map, sorting in files.
const SETTINGS: &str =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -256; PRAGMA mmap_size = 0;
    PRAGMA temp_store = FILE; PRAGMA wal_autocheckpoint = 128; PRAGMA journal_size_limit = 1048576;";

/// A run is one reading, or a block of them; readings of a run follow one another in time and number.
const SCHEMA: &str = "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE tables (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL,
        stream INTEGER NOT NULL, digest BLOB NOT NULL, checked_ms INTEGER NOT NULL);
    CREATE TABLE positions (source TEXT PRIMARY KEY, at TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE ages (seq INTEGER PRIMARY KEY, lived_ms INTEGER NOT NULL);
    CREATE TABLE runs (seq INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL, table_id INTEGER NOT NULL, at_ms INTEGER NOT NULL,
        last_ms INTEGER NOT NULL, readings INTEGER NOT NULL, stream INTEGER NOT NULL, loose INTEGER NOT NULL,
        form INTEGER NOT NULL, content BLOB NOT NULL);
    CREATE INDEX times ON runs (table_id, at_ms, readings);
    CREATE INDEX queue ON runs (table_id, last_seq, readings) WHERE stream;
    CREATE INDEX loose ON runs (table_id, seq) WHERE loose;";

/// A table's latest reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Latest {
    pub(super) id: i64,
    pub(super) seq: u64,
    pub(super) at_ms: i64,
    pub(super) stream: bool,
    pub(super) digest: Vec<u8>,
    pub(super) checked_ms: i64,
}

/// An open file, and what is remembered of it in memory.
#[derive(Debug)]
pub(super) struct File {
    pub(super) db: Connection,
    pub(super) epoch: u64,
    pub(super) last_seq: u64,
    pub(super) kept_seq: u64,
    pub(super) readings: u64,
    pub(super) dropped: u64,
    pub(super) set_aside: u64,
    /// Up to this number, samples have been thinned.
    pub(super) thinned_seq: u64,
    /// Samples thinned out, ever.
    pub(super) thinned_out: u64,
    /// Time that the record has lived through, jumps of the clock left out.
    pub(super) lived_ms: i64,
    /// The same, when the file was last looked through.
    pub(super) examined_ms: i64,
    /// The same, as it was last written down.
    pub(super) marked_ms: Option<i64>,
    /// The clock when it was last looked at.
    pub(super) seen_ms: i64,
    pub(super) tables: BTreeMap<String, Latest>,
    pub(super) positions: BTreeMap<String, String>,
}

/// Opens the file, or begins one where there is none.
pub(super) fn open(dir: &Path, now_ms: i64) -> Result<File, RecordError> {
    fs::create_dir_all(dir).map_err(|error| io_error(&error, dir))?;
    let path = dir.join(FILE);
    match fs::metadata(&path) {
        Ok(found) if found.len() > 0 => reopen(&path),
        Ok(_) => begin(dir, now_ms),
        Err(error) if error.kind() == io::ErrorKind::NotFound => begin(dir, now_ms),
        Err(error) => Err(io_error(&error, &path)),
    }
}

/// A second connection that only reads.
pub(super) fn read_only(dir: &Path) -> Result<Connection, RecordError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(dir.join(FILE), flags)?;
    db.busy_timeout(BUSY)?;
    db.execute_batch("PRAGMA cache_size = -256; PRAGMA query_only = ON;")?;
    Ok(db)
}

/// Moves the file out of the way, and forgets the oldest of those moved before.
pub(super) fn set_aside(dir: &Path, now_ms: i64) -> Result<(), RecordError> {
    let mut name = format!("{ASIDE}{now_ms}");
    while dir.join(&name).exists() {
        name.push('+');
    }
    for companion in COMPANIONS {
        let from = dir.join(format!("{FILE}{companion}"));
        match fs::rename(&from, dir.join(format!("{name}{companion}"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(&error, &from)),
            _ => {}
        }
    }
    let mut aside = names_aside(dir);
    aside.sort();
    for old in aside.iter().rev().skip(ASIDE_MAX) {
        for companion in COMPANIONS {
            if let Err(error) = fs::remove_file(dir.join(format!("{old}{companion}")))
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, "a damaged record could not be removed");
            }
        }
    }
    Ok(())
}

fn names_aside(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(ASIDE) && !name.ends_with("-wal") && !name.ends_with("-shm")).collect()
}

/// Removes a file that could not be begun.
pub(super) fn discard(dir: &Path) {
    for companion in COMPANIONS {
        if let Err(error) = fs::remove_file(dir.join(format!("{FILE}{companion}")))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a record that could not be begun could not be removed");
        }
    }
}

fn begin(dir: &Path, now_ms: i64) -> Result<File, RecordError> {
    let begun = try_begin(&dir.join(FILE), now_ms);
    if begun.is_err() {
        discard(dir);
    }
    begun
}

fn try_begin(path: &Path, now_ms: i64) -> Result<File, RecordError> {
    let db = Connection::open(path)?;
    db.busy_timeout(BUSY)?;
    db.execute_batch("PRAGMA auto_vacuum = INCREMENTAL;")?;
    db.execute_batch(SETTINGS)?;
    let epoch = random()?;
    let begun = db.unchecked_transaction()?;
    begun.execute_batch(SCHEMA)?;
    begun.execute("INSERT INTO meta VALUES ('epoch', ?1)", params![epoch.cast_signed()])?;
    begun.pragma_update(None, "user_version", VERSION)?;
    begun.commit()?;
    Ok(File {
        db,
        epoch,
        last_seq: 0,
        kept_seq: 0,
        readings: 0,
        dropped: 0,
        set_aside: 0,
        thinned_seq: 0,
        thinned_out: 0,
        lived_ms: 0,
        examined_ms: 0,
        marked_ms: None,
        seen_ms: now_ms,
        tables: BTreeMap::new(),
        positions: BTreeMap::new(),
    })
}

/// Gives the file another epoch; nothing of it is kept by the server yet.
pub(super) fn begin_epoch(file: &mut File) -> Result<(), RecordError> {
    let epoch = random()?;
    let changed = file.db.unchecked_transaction()?;
    changed.execute("UPDATE meta SET value = ?1 WHERE name = 'epoch'", params![epoch.cast_signed()])?;
    changed.execute("UPDATE meta SET value = 0 WHERE name = 'kept'", [])?;
    changed.commit()?;
    file.epoch = epoch;
    file.kept_seq = 0;
    Ok(())
}

fn reopen(path: &Path) -> Result<File, RecordError> {
    let db = Connection::open(path)?;
    db.busy_timeout(BUSY)?;
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version != VERSION {
        return Err(RecordError::Damaged(format!("it has form {version}, not {VERSION}")));
    }
    db.execute_batch(SETTINGS)?;
    whole(&db, path)?;
    let meta: BTreeMap<String, i64> = pairs(&db, "SELECT name, value FROM meta")?;
    let number = |name: &str| meta.get(name).copied().unwrap_or_default();
    let epoch = meta.get("epoch").ok_or_else(|| RecordError::Damaged("it has no epoch".into()))?.cast_unsigned();
    let newest: Option<i64> =
        db.query_row("SELECT last_seq FROM runs ORDER BY seq DESC LIMIT 1", [], |row| row.get(0)).optional()?;
    let readings: Option<i64> =
        db.query_row("SELECT sum(readings) FROM runs INDEXED BY times", [], |row| row.get(0))?;
    Ok(File {
        epoch,
        last_seq: number("last").max(newest.unwrap_or_default()).cast_unsigned(),
        kept_seq: number("kept").cast_unsigned(),
        readings: readings.unwrap_or_default().cast_unsigned(),
        dropped: number("dropped").cast_unsigned(),
        set_aside: number("set_aside").cast_unsigned(),
        thinned_seq: number("thinned").cast_unsigned(),
        thinned_out: number("thinned_out").cast_unsigned(),
        lived_ms: number("lived"),
        examined_ms: number("lived"),
        marked_ms: meta.get("lived").copied(),
        seen_ms: number("seen"),
        tables: latest(&db)?,
        positions: pairs(&db, "SELECT source, at FROM positions")?,
        db,
    })
}

/// A file that lost its end is found out now rather than at the worst time.
fn whole(db: &Connection, path: &Path) -> Result<(), RecordError> {
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_row| Ok(()))?;
    let page = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let told = page("page_count")? * page("page_size")?;
    let found = fs::metadata(path).map_err(|error| io_error(&error, path))?.len();
    let wal = fs::metadata(companion(path, "-wal")).map_or(0, |wal| wal.len());
    if wal == 0 && found < told.cast_unsigned() {
        return Err(RecordError::Damaged(format!("it has {found} bytes of {told}")));
    }
    Ok(())
}

fn companion(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn latest(db: &Connection) -> Result<BTreeMap<String, Latest>, RecordError> {
    let mut all = db.prepare("SELECT name, id, seq, at_ms, stream, digest, checked_ms FROM tables")?;
    let rows = all.query_map([], |row| {
        let latest = Latest {
            id: row.get(1)?,
            seq: row.get::<_, i64>(2)?.cast_unsigned(),
            at_ms: row.get(3)?,
            stream: row.get(4)?,
            digest: row.get(5)?,
            checked_ms: row.get(6)?,
        };
        Ok((row.get(0)?, latest))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn pairs<V: rusqlite::types::FromSql>(db: &Connection, sql: &str) -> Result<BTreeMap<String, V>, RecordError> {
    let mut all = db.prepare(sql)?;
    let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn random() -> Result<u64, RecordError> {
    let mut bytes = [0; 8];
    let drawn = SystemRandom::new().fill(&mut bytes);
    drawn.map_err(|_unspecified| RecordError::Other("the system gave no random numbers".into()))?;
    Ok(u64::from_le_bytes(bytes).max(1))
}

fn io_error(error: &io::Error, path: &Path) -> RecordError {
    let said = format!("{}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => RecordError::Full(said),
        _ => RecordError::Other(said),
    }
}

/// The disk has no room: told so, or seen in what could not be written.
fn is_full(error: rusqlite::ffi::Error) -> bool {
    let unwritten = [rusqlite::ffi::SQLITE_IOERR_WRITE, rusqlite::ffi::SQLITE_IOERR_SHMSIZE];
    error.code == ErrorCode::DiskFull || unwritten.contains(&error.extended_code)
}

impl From<rusqlite::Error> for RecordError {
    fn from(error: rusqlite::Error) -> Self {
        use ErrorCode::{ConstraintViolation, DatabaseCorrupt, NotADatabase, Unknown};
        use rusqlite::Error;
        let said = error.to_string();
        match error {
            Error::SqliteFailure(error, _) | Error::SqlInputError { error, .. } if is_full(error) => Self::Full(said),
            // A number that is there twice: an index and its table disagree. Unknown: the file names what SQLite has not.
            Error::SqliteFailure(error, _) => match error.code {
                DatabaseCorrupt | NotADatabase | ConstraintViolation | Unknown => Self::Damaged(said),
                _ => Self::Other(said),
            },
            // What is asked never changes. Where it cannot be asked, or its answer is of another form, the file is not what its version says.
            Error::SqlInputError { .. }
            | Error::QueryReturnedNoRows
            | Error::InvalidColumnType(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::FromSqlConversionFailure(..)
            | Error::Utf8Error(..) => Self::Damaged(said),
            _ => Self::Other(said),
        }
    }
}
