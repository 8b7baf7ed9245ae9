//! Bundles of evidence as a source of readings: what machines packed for a ticket is asked in SQL like the machines themselves.
//!
//! A bundle comes from a machine that may be anyone's: its names lead nowhere, what is read of it is bounded, and a line of it that is no row is
//! counted and left out. Times are by the clock of the machine that packed it; "now" is when the latest bundle was packed.

mod bundle;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use deskside_proto::catalog;
use deskside_proto::sql::{Found, Owner, Scan, Scanning, Shelf, Source, SqlError};
use deskside_proto::v1::{QueryNote, Reading, TableSchema};
use prost::bytes::Bytes;

pub use bundle::Bundle;

/// Bytes of sealed rows that one question may read, of all bundles together.
const BYTES_MAX: usize = 256 * 1024 * 1024;

/// The bundles of a ticket. Each row has its device and, hidden, its item of evidence.
pub struct Evidence {
    shelf: Shelf,
    bundles: Arc<Vec<Bundle>>,
    tables: Vec<Arc<TableSchema>>,
}

impl Evidence {
    /// On bundles that were opened. `brought` are tables that agents brought.
    pub fn new(bundles: Vec<Bundle>, brought: Vec<TableSchema>) -> Self {
        let now_ms = bundles.iter().map(Bundle::collected_ms).max().unwrap_or_default();
        let more = brought.into_iter().filter(|schema| catalog::table(&schema.name).is_none());
        let tables: Vec<_> = catalog::tables().iter().cloned().chain(more).map(Arc::new).collect();
        let bundles = Arc::new(bundles);
        let (loading, read) = (Arc::clone(&bundles), Mutex::new(0));
        let load = move |schema: &TableSchema| {
            let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
            let mut found = Vec::new();
            for bundle in loading.iter() {
                found.extend(of_bundle(bundle, schema, &mut read)?);
            }
            Ok(found)
        };
        Self { shelf: Shelf::new(now_ms, tables.clone(), true, Box::new(load)), bundles, tables }
    }
}

/// The readings of a table in one bundle. `read` counts the bytes of all.
fn of_bundle(bundle: &Bundle, schema: &TableSchema, read: &mut usize) -> Result<Vec<Found>, SqlError> {
    let owner = Arc::new(bundle.owner());
    let mut found = Vec::new();
    let mut keep = |reading: Reading| {
        *read += reading.rows.iter().map(Bytes::len).sum::<usize>();
        if *read > BYTES_MAX {
            return false;
        }
        found.push((Some(Arc::clone(&owner)), reading));
        true
    };
    let all = bundle.read(schema, &mut keep).map_err(|error| SqlError::Source(format!("{error:#}")))?;
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
        for bundle in self.bundles.iter() {
            let Owner { name: device, .. } = bundle.owner();
            for words in bundle.reserves(&table) {
                let (table, at_ms) = (table.clone(), bundle.collected_ms());
                notes.add(QueryNote { device: device.clone(), table, words, at_ms, ..QueryNote::default() });
            }
        }
        Ok(scanning)
    }
}
