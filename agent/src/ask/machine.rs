//! The machine as a source of questions: a look now where one can be made, the record for all that was.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use deskside_proto::sql::{Brake, Held, Scan, Scanning, Source, SqlError, When};
use deskside_proto::v1::{Kind, Outcome, QueryNote, Reading, TableSchema};
use jiff::Timestamp;

use super::window::Window;
use crate::collect::Registry;
use crate::record::{Order, Reader, RecordError};

/// Looks at the machine.
pub trait Looks: Send + Sync {
    /// A fresh look at a table, redacted; none where a table is not filled by looking. It ends by itself, or when the brake is pulled.
    fn look(&self, table: &str, brake: &Brake) -> Result<Option<Reading>, SqlError>;
}

/// This machine.
pub struct Machine {
    record: Option<Arc<Mutex<Reader>>>,
    looks: Box<dyn Looks>,
    tables: Vec<Arc<TableSchema>>,
    now_ms: i64,
}

impl Machine {
    /// For one question, asked at a time. Without a record only looks are answered, and the rest is said to be missing.
    pub fn new(record: Option<Reader>, registry: &Registry, looks: Box<dyn Looks>, now_ms: i64) -> Self {
        let tables = registry.schemas().cloned().map(Arc::new).collect();
        let record = record.map(|reader| Arc::new(Mutex::new(reader)));
        Self { record, looks, tables, now_ms }
    }

    fn latest(&self, scan: &Scan, schema: &TableSchema) -> Result<Box<dyn Scanning>, SqlError> {
        let Some(record) = self.record(scan) else { return Ok(found(None)) };
        let reader = lock(record);
        let Some(reading) = reader.latest(&scan.table).map_err(|error| unread(&error))? else {
            nothing(scan, schema);
            return Ok(found(None));
        };
        let checked_ms = reader.checked_ms(&scan.table).map_err(|error| unread(&error))?.unwrap_or(reading.at_ms);
        Ok(found(Some(Held { owner: None, reading, checked_ms, until_ms: None })))
    }

    fn at(&self, scan: &Scan, schema: &TableSchema, at_ms: i64) -> Result<Box<dyn Scanning>, SqlError> {
        let Some(record) = self.record(scan) else { return Ok(found(None)) };
        let reader = lock(record);
        let Some(reading) = reader.at(&scan.table, at_ms).map_err(|error| unread(&error))? else {
            match reader.held_since(&scan.table).map_err(|error| unread(&error))? {
                Some(since_ms) => since(scan, since_ms),
                None => nothing(scan, schema),
            }
            return Ok(found(None));
        };
        let mut later = reader
            .runs(&scan.table, at_ms.saturating_add(1), i64::MAX, Order::OldestFirst)
            .map_err(|error| unread(&error))?;
        let next = later.next(&reader).map_err(|error| unread(&error))?;
        let until_ms = next.and_then(|readings| readings.first().map(|reading| reading.at_ms));
        let checked_ms = match until_ms {
            Some(_otherwise) => reading.at_ms,
            None => reader.checked_ms(&scan.table).map_err(|error| unread(&error))?.unwrap_or(reading.at_ms),
        };
        Ok(found(Some(Held { owner: None, reading, checked_ms, until_ms })))
    }

    fn within(&self, scan: &Scan, schema: &TableSchema, window: (i64, i64)) -> Result<Box<dyn Scanning>, SqlError> {
        let Some(record) = self.record(scan) else { return Ok(found(None)) };
        match lock(record).held_since(&scan.table).map_err(|error| unread(&error))? {
            None => nothing(scan, schema),
            Some(since_ms) if window.0 < since_ms => since(scan, since_ms),
            Some(_long_enough) => {}
        }
        let begun = Window::begin(Arc::clone(record), schema, window, Arc::clone(&scan.brake));
        Ok(Box::new(begun.map_err(|error| unread(&error))?))
    }

    /// The record; where there is none, that is said.
    fn record(&self, scan: &Scan) -> Option<&Arc<Mutex<Reader>>> {
        if self.record.is_none() {
            scan.notes.say(&scan.table, "there is no record here: no agent has run with this state folder");
        }
        self.record.as_ref()
    }
}

impl Source for Machine {
    fn now_ms(&self) -> i64 {
        self.now_ms
    }

    fn tables(&self) -> Vec<Arc<TableSchema>> {
        self.tables.clone()
    }

    fn has_many_devices(&self) -> bool {
        false
    }

    fn scan(&self, scan: Scan) -> Result<Box<dyn Scanning>, SqlError> {
        let schema = self.tables.iter().find(|schema| schema.name == scan.table);
        let schema = schema.ok_or_else(|| SqlError::Source(format!("there is no table {}", scan.table)))?;
        match scan.when {
            When::Now => match self.looks.look(&scan.table, &scan.brake)? {
                Some(reading) => {
                    let checked_ms = reading.at_ms;
                    Ok(found(Some(Held { owner: None, reading, checked_ms, until_ms: None })))
                }
                None => self.latest(&scan, schema),
            },
            When::At(at_ms) => self.at(&scan, schema, at_ms),
            When::Within { from_ms, to_ms } => self.within(&scan, schema, (from_ms, to_ms)),
        }
    }
}

/// One reading, or none.
struct Found(Option<Held>);

impl Scanning for Found {
    fn next(&mut self) -> Result<Option<Held>, SqlError> {
        Ok(self.0.take())
    }
}

fn found(held: Option<Held>) -> Box<dyn Scanning> {
    Box::new(Found(held))
}

pub(super) fn lock(record: &Mutex<Reader>) -> MutexGuard<'_, Reader> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn unread(error: &RecordError) -> SqlError {
    SqlError::Source(error.to_string())
}

/// A time from which the record reaches.
fn since(scan: &Scan, since_ms: i64) {
    let time = Timestamp::from_millisecond(since_ms).map_or_else(|_far| format!("{since_ms} ms"), |at| at.to_string());
    let words = format!("the record holds {} since {time}", scan.table);
    scan.notes.add(QueryNote { table: scan.table.clone(), words, at_ms: since_ms, ..QueryNote::default() });
}

/// Why nothing is held.
fn nothing(scan: &Scan, schema: &TableSchema) {
    let table = &scan.table;
    let words = match (&schema.probe, schema.kind()) {
        (Some(_probe), _) => format!("no {table} is recorded; `deskside probe DEVICE {table}` makes one"),
        (None, Kind::Event) => format!("no {table} are recorded"),
        (None, _) => format!("the record holds nothing of {table}"),
    };
    scan.notes.add(QueryNote { table: table.clone(), outcome: Outcome::Empty.into(), words, ..QueryNote::default() });
}
