//! The tables of one bundle of evidence, to be asked without a server: its readings, and what it says that it could not get.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use deskside_proto::json_row::Readings;
use deskside_proto::sql::{Found, Shelf, SqlError};
use deskside_proto::v1::{Outcome, Reading, TableSchema};
use deskside_proto::{catalog, show};
use serde_json::Value as Json;

use crate::cli::bundle::{self, Opened};

/// Largest table that is read, unpacked.
const TABLE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Opens a bundle, all hashes checked. "Now" is when it was collected.
pub(super) fn open(path: &Path) -> anyhow::Result<Shelf> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let opened = bundle::open(file).with_context(|| format!("{} is not a sound bundle", path.display()))?;
    let collected_ms = opened.manifest.pointer("/collected/ms").and_then(Json::as_i64);
    let collected_ms = collected_ms.context("its manifest does not say when it was collected")?;
    let tables: Vec<Arc<TableSchema>> = catalog::tables().iter().cloned().map(Arc::new).collect();
    let opened = Mutex::new(opened);
    let load = move |schema: &TableSchema| {
        let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
        load(&mut opened, schema, collected_ms).map_err(|error| SqlError::Source(format!("{error:#}")))
    };
    Ok(Shelf::new(collected_ms, tables, false, Box::new(load)))
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
