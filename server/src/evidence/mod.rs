//! Evidence as a source of readings: what machines packed for a ticket, and logs that were attached by hand, are asked in SQL like the machines
//! themselves.
//!
//! A bundle comes from a machine that may be anyone's: its names lead nowhere, what is read of it is bounded, and a line of it that is no row is
//! counted and left out. Times are by the clock of the machine that packed it; "now" is when the latest bundle was packed.

mod bundle;
pub mod deletion;
mod log;
pub mod redacted;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use deskside_proto::catalog;
use deskside_proto::rows::Row;
use deskside_proto::sql::{Found, Owner, Scan, Scanning, Shelf, Source, SqlError};
use deskside_proto::v1::{LogEvent, QueryNote, Reading, TableSchema};
use prost::bytes::Bytes;

pub use bundle::Bundle;
pub use log::LogFile;

/// An item of evidence that can be asked.
#[derive(Debug)]
pub enum Item {
    /// What a machine packed.
    Bundle(Box<Bundle>),
    /// A log that was attached by hand.
    Log(Box<LogFile>),
}

impl Item {
    fn at_ms(&self) -> i64 {
        match self {
            Self::Bundle(bundle) => bundle.collected_ms(),
            Self::Log(log) => log.attached_ms(),
        }
    }

    fn owner(&self) -> Owner {
        match self {
            Self::Bundle(bundle) => bundle.owner(),
            Self::Log(log) => log.owner(),
        }
    }

    /// Reads a table, until `keep` wants no more. Answers whether it was all.
    fn read(&self, schema: &TableSchema, keep: &mut dyn FnMut(Reading) -> bool) -> anyhow::Result<bool> {
        match self {
            Self::Bundle(bundle) => bundle.read(schema, keep),
            Self::Log(log) if schema.name == LogEvent::TABLE => log.read(keep),
            Self::Log(_) => Ok(true),
        }
    }

    fn reserves(&self, table: &str) -> Vec<String> {
        match self {
            Self::Bundle(bundle) => bundle.reserves(table),
            Self::Log(log) => log.reserves(table),
        }
    }
}

/// Bytes of sealed rows that one question may read, of all bundles together.
const BYTES_MAX: usize = 256 * 1024 * 1024;

/// The bundles of a ticket. Each row has its device and, hidden, its item of evidence.
pub struct Evidence {
    shelf: Shelf,
    items: Arc<Vec<Item>>,
    tables: Vec<Arc<TableSchema>>,
}

impl Evidence {
    /// On items that were opened. `brought` are tables that agents brought.
    pub fn new(items: Vec<Item>, brought: Vec<TableSchema>) -> Self {
        let now_ms = items.iter().map(Item::at_ms).max().unwrap_or_default();
        let more = brought.into_iter().filter(|schema| catalog::table(&schema.name).is_none());
        let tables: Vec<_> = catalog::tables().iter().cloned().chain(more).map(Arc::new).collect();
        let items = Arc::new(items);
        let (loading, read) = (Arc::clone(&items), Mutex::new(0));
        let load = move |schema: &TableSchema| {
            let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
            let mut found = Vec::new();
            for item in loading.iter() {
                found.extend(of_item(item, schema, &mut read)?);
            }
            Ok(found)
        };
        Self { shelf: Shelf::new(now_ms, tables.clone(), true, Box::new(load)), items, tables }
    }
}

/// The readings of a table in one item. `read` counts the bytes of all.
fn of_item(item: &Item, schema: &TableSchema, read: &mut usize) -> Result<Vec<Found>, SqlError> {
    let owner = Arc::new(item.owner());
    let mut found = Vec::new();
    let mut keep = |reading: Reading| {
        *read += reading.rows.iter().map(Bytes::len).sum::<usize>();
        if *read > BYTES_MAX {
            return false;
        }
        found.push((Some(Arc::clone(&owner)), reading));
        true
    };
    let all = item.read(schema, &mut keep).map_err(|error| SqlError::Source(format!("{error:#}")))?;
    if !all {
        return Err(SqlError::Source(format!(
            "{} of the evidence is more than a question reads; ask one bundle by itself: `deskside evidence get`, then \
             `deskside sql --file`",
            schema.name
        )));
    }
    Ok(found)
}

impl Source for Evidence {
    fn now_ms(&self) -> i64 {
        self.shelf.now_ms()
    }

    fn tables(&self) -> Vec<Arc<TableSchema>> {
        self.tables.clone()
    }

    fn has_many_devices(&self) -> bool {
        true
    }

    fn scan(&self, scan: Scan) -> Result<Box<dyn Scanning>, SqlError> {
        let (notes, table) = (scan.notes.clone(), scan.table.clone());
        let scanning = self.shelf.scan(scan)?;
        for item in self.items.iter() {
            let Owner { name: device, .. } = item.owner();
            for words in item.reserves(&table) {
                let (table, at_ms) = (table.clone(), item.at_ms());
                notes.add(QueryNote { device: device.clone(), table, words, at_ms, ..QueryNote::default() });
            }
        }
        Ok(scanning)
    }
}
