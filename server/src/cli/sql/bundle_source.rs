//! The tables of one bundle of evidence, to be asked without a server: its readings, and what it says that it could not get.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use deskside_proto::json_row::Readings;
use deskside_proto::sql::{Found, Scan, Scanning, Shelf, Source, SqlError};
use deskside_proto::v1::{Outcome, Reading, TableSchema};
use deskside_proto::{catalog, show};
use serde_json::Value as Json;

use crate::cli::bundle::{self, Opened};

/// Largest table that is read, unpacked.
const TABLE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A bundle that can be asked.
#[derive(Debug)]
pub(super) struct BundleSource {
    shelf: Shelf,
    /// What the bundle itself says of its tables that are not whole.
    reasons: BTreeMap<String, String>,
}

impl Source for BundleSource {
    fn now_ms(&self) -> i64 {
        self.shelf.now_ms()
    }

    fn tables(&self) -> Vec<Arc<TableSchema>> {
        self.shelf.tables()
    }

    fn has_many_devices(&self) -> bool {
        false
    }

    fn scan(&self, scan: Scan) -> Result<Box<dyn Scanning>, SqlError> {
        if let Some(reason) = self.reasons.get(&scan.table) {
            scan.notes.say(&scan.table, reason.as_str());
        }
        self.shelf.scan(scan)
    }
}

/// Opens a bundle, all hashes checked. "Now" is when it was collected.
pub(super) fn open(path: &Path) -> anyhow::Result<BundleSource> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let opened = bundle::open(file).with_context(|| format!("{} is not a sound bundle", path.display()))?;
    let collected_ms = opened.manifest.pointer("/collected/ms").and_then(Json::as_i64);
    let collected_ms = collected_ms.context("its manifest does not say when it was collected")?;
    let tables: Vec<Arc<TableSchema>> = catalog::tables().iter().cloned().map(Arc::new).collect();
    let reasons = reasons(&opened.manifest);
    let opened = Mutex::new(opened);
    let load = move |schema: &TableSchema| {
        let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
        load(&mut opened, schema, collected_ms).map_err(|error| SqlError::Source(format!("{error:#}")))
    };
    Ok(BundleSource { shelf: Shelf::new(collected_ms, tables, false, Box::new(load)), reasons })
}

/// The reasons of parts that have rows and are not whole; a part without any is a reading that says so itself.
fn reasons(manifest: &Json) -> BTreeMap<String, String> {
    let parts = manifest.get("parts").and_then(Json::as_array).into_iter().flatten();
    let reason = |part: &Json| {
        let word = |name: &str| part.get(name).and_then(Json::as_str).filter(|word| !word.is_empty());
        let has_files = part.get("files").and_then(Json::as_array).is_some_and(|files| !files.is_empty());
        let reason = word("reason").filter(|_reason| has_files)?;
        Some((word("name")?.to_owned(), reason.to_owned()))
    };
    parts.filter_map(reason).collect()
}

fn load(opened: &mut Opened, schema: &TableSchema, collected_ms: i64) -> anyhow::Result<Vec<Found>> {
    let name = format!("tables/{}.jsonl", schema.name);
    if opened.files.contains(&name) {
        let (bytes, lines) = opened.lines(&name)?;
        anyhow::ensure!(bytes <= TABLE_BYTES_MAX, "{name} has {bytes} bytes; at most {TABLE_BYTES_MAX} are read");
        return Readings::new(schema, lines)
            .map(|reading| Ok((None, reading.map_err(anyhow::Error::msg)?)))
            .collect::<anyhow::Result<_>>();
    }
    // What was asked for and did not come is a look that did not see, so that it is not taken for an empty machine.
    let parts = opened.manifest.get("parts").and_then(Json::as_array).into_iter().flatten();
    let missed = parts.filter(|part| part.get("name").and_then(Json::as_str) == Some(&schema.name));
    Ok(missed.map(|part| (None, unseen(schema, part, collected_ms))).collect())
}

fn unseen(schema: &TableSchema, part: &Json, at_ms: i64) -> Reading {
    let word = |name: &str| part.get(name).and_then(Json::as_str).unwrap_or_default();
    let known = [
        Outcome::Ok,
        Outcome::Empty,
        Outcome::Partial,
        Outcome::TimedOut,
        Outcome::Denied,
        Outcome::Unsupported,
        Outcome::Failed,
    ];
    let outcome = known.into_iter().find(|outcome| show::outcome(*outcome) == word("outcome"));
    Reading {
        table: schema.name.clone(),
        at_ms,
        outcome: outcome.unwrap_or_default().into(),
        reason: word("reason").to_owned(),
        ..Reading::default()
    }
}
