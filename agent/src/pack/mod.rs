//! Packs evidence: what the record holds for a window and a fresh look, as one ZIP that anyone can open, sealed by the device's key.

mod archive;
mod glance;
mod logs;
mod manifest;
mod part;
mod sealing;
mod summary;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use deskside_proto::rows::Value;
use deskside_proto::seal::Signer;
use deskside_proto::show;
use deskside_proto::v1::{Kind, Outcome, Pack, PartOutcome, Reading, TableSchema};

use archive::{Archive, iso};
use logs::Tally;
use part::{Part, Window};

use crate::record::{ChangeAt, Reader};

/// Bytes of a bundle before compression where the one who asks names none.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Who and what the evidence is from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The device's UUID.
    pub device_id: String,
    /// Host name.
    pub hostname: String,
    /// Identity of this boot.
    pub boot_id: String,
    /// The agent's version.
    pub agent_version: String,
    /// The operating system in a word or two.
    pub os: String,
    /// The device's clock now, in milliseconds since 1970-01-01 UTC.
    pub now_ms: i64,
    /// Milliseconds since it booted; absent where the system does not say.
    pub boot_ms: Option<u64>,
}

/// A file that was taken for the bundle alone: packets.
#[derive(Debug)]
pub struct Taken {
    /// Its name in the bundle.
    pub name: String,
    /// What it holds, from its beginning.
    pub file: File,
}

/// A bundle that was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    /// Where it lies.
    pub path: PathBuf,
    /// Its bytes.
    pub size: u64,
    /// SHA-256 of the whole.
    pub sha256: Vec<u8>,
    /// What became of every table that was asked for.
    pub parts: Vec<PartOutcome>,
}

/// Writes the bundle to `out`, through a temporary file beside it. `fresh` are the readings of the look just taken, redacted, `taken` the files that
/// probes brought. `signer` seals it; without one it has no seal. `progress` is told what is being done. Memory stays flat, however long the window: readings go one by one.
pub fn pack(
    request: &Pack,
    record: &Reader,
    (fresh, taken): (Vec<Reading>, Vec<Taken>),
    (facts, signer): (&Facts, Option<&Signer>),
    out: &Path,
    progress: &mut dyn FnMut(&str),
) -> anyhow::Result<Packed> {
    let window = Window { from_ms: request.from_ms, to_ms: request.to_ms.max(request.from_ms) };
    let mut archive = Archive::begin(out, facts.now_ms)?;
    let mut tally = Tally::default();
    let mut parts = tables(request, record, fresh, window, &mut archive, &mut tally, progress)?;
    for mut taken in taken {
        taken.file.rewind().context("reading what was taken")?;
        archive.add(&taken.name, &mut taken.file)?;
    }
    progress("changes");
    let changes = record.changes(None, window.from_ms, window.to_ms).unwrap_or_else(|error| {
        tracing::warn!(%error, "changes could not be read");
        Vec::new()
    });
    let changes: Vec<ChangeAt> =
        changes.into_iter().filter(|change| parts.iter().any(|part| part.said.name == change.table)).collect();
    write_changes(&mut archive, &changes)?;
    progress("summary");
    parts.sort_by_key(|part| part.said.name.clone());
    let told = summary::Told { request, facts, window, parts: &parts, changes: &changes, tally: &tally };
    let text = summary::write(&told).context("writing the summary")?;
    archive.add("summary.md", &mut text.as_bytes())?;
    let manifest = manifest::write(request, facts, window, &parts, changes.len() as u64, &archive.files)?;
    archive.add("manifest.json", &mut manifest.as_bytes())?;
    let seal = signer.map(|signer| (signer, sealing::said(request, facts, window, &parts)));
    let (size, sha256) = archive.finish(seal)?;
    Ok(Packed { path: out.to_owned(), size, sha256, parts: parts.into_iter().map(|part| part.said).collect() })
}

/// All tables that were asked for. Logs come last, since they are what may have to be cut.
fn tables(
    request: &Pack,
    record: &Reader,
    fresh: Vec<Reading>,
    window: Window,
    archive: &mut Archive,
    tally: &mut Tally,
    progress: &mut dyn FnMut(&str),
) -> anyhow::Result<Vec<Part>> {
    let registry = record.registry();
    let mut parts = Vec::new();
    let mut schemas: Vec<&TableSchema> = Vec::new();
    if request.tables.is_empty() {
        schemas = registry.schemas().collect();
    }
    let probes = request.probes.iter().map(|probe| &probe.name);
    for name in request.tables.iter().chain(probes) {
        match registry.schema(name) {
            Some(schema) if schemas.iter().any(|known| known.name == schema.name) => {}
            Some(schema) => schemas.push(schema),
            None if parts.iter().any(|part: &Part| part.said.name == *name) => {}
            None => parts.push(Part::nothing(name, Outcome::Unsupported, "this agent has no such table or probe")),
        }
    }
    schemas.sort_by_key(|schema| schema.kind() == Kind::Event);
    let mut fresh = fresh;
    let mut room = if request.bytes_max == 0 { BYTES_MAX } else { request.bytes_max };
    let all = schemas.len();
    for (place, schema) in schemas.into_iter().enumerate() {
        progress(&format!("{} ({} of {all})", schema.name, place + 1));
        let looks = fresh.extract_if(.., |reading| reading.table == schema.name).collect();
        let written = part::write(archive, record, schema, looks, window, room, tally);
        let part = written.with_context(|| format!("packing {}", schema.name))?;
        room = room.saturating_sub(part.said.bytes);
        parts.push(part);
    }
    Ok(parts)
}

fn write_changes(archive: &mut Archive, changes: &[ChangeAt]) -> anyhow::Result<()> {
    let (mut jsonl, mut csv) = (archive.scratch()?, archive.scratch()?);
    csv.write_all(show::csv(["at", "table", "key", "column", "old", "new"]).as_bytes())?;
    for ChangeAt { at_ms, table, change } in changes {
        let (at, old, new) = (iso(*at_ms), change.old.to_string(), change.new.to_string());
        let object = serde_json::json!({
            "at": at, "table": table, "key": change.key, "column": change.column, "old": old, "new": new,
        });
        part::line(&mut jsonl, &object.to_string())?;
        let key = part::cell(&Value::Text(change.key.clone()));
        let cells = [part::cell(&change.old), part::cell(&change.new)];
        let [old, new] = cells.each_ref().map(String::as_str);
        csv.write_all(show::csv([&at, table.as_str(), &key, &change.column, old, new]).as_bytes())?;
    }
    archive.add_scratch("changes.jsonl", jsonl)?;
    archive.add_scratch("changes.csv", csv)?;
    Ok(())
}
