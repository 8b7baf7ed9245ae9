//! One bundle, opened where it lies: its manifest, and the readings of its tables.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail};
use deskside_proto::json_row::Readings;
use deskside_proto::show;
use deskside_proto::sql::Owner;
use deskside_proto::v1::{Outcome, Reading, TableSchema};
use serde::Deserialize;
use zip::ZipArchive;

/// Most files that a bundle may hold.
const FILES_MAX: usize = 10_000;

/// Most bytes of its manifest.
const MANIFEST_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Most bytes that one of its tables may unpack to; agents write no more into the whole of a bundle.
const TABLE_BYTES_MAX: u64 = 256 * 1024 * 1024;

const MANIFEST: &str = "manifest.json";

/// What a reader of manifests needs of them; the rest is passed over.
#[derive(Debug, Deserialize)]
struct Manifest {
    format: String,
    version: u32,
    collected: Moment,
    device: Device,
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Moment {
    ms: i64,
}

#[derive(Debug, Deserialize)]
struct Device {
    id: String,
    hostname: String,
}

/// One table of the bundle.
#[derive(Debug, Deserialize)]
struct Part {
    name: String,
    /// In a word or two, as a person reads it.
    outcome: String,
    #[serde(default)]
    reason: String,
    files: Vec<Filed>,
}

#[derive(Debug, Deserialize)]
struct Filed {
    path: String,
}

/// A bundle that can be asked.
#[derive(Debug)]
pub struct Bundle {
    manifest: Manifest,
    /// The item of evidence that it is.
    evidence: String,
    archive: Mutex<ZipArchive<File>>,
    /// What could not be read of a table.
    unreadable: Mutex<BTreeMap<String, String>>,
}

impl Bundle {
    /// Opens a file. `evidence` is the item that it is.
    pub fn open(file: File, evidence: &str) -> anyhow::Result<Self> {
        let mut archive = ZipArchive::new(file).context("it is no bundle of evidence: not a ZIP file")?;
        if archive.len() > FILES_MAX {
            bail!("it holds {} files, {FILES_MAX} at most", archive.len());
        }
        let entry = archive.by_name(MANIFEST).context("it is no bundle of evidence: it has no manifest.json")?;
        let mut text = String::new();
        entry.take(MANIFEST_BYTES_MAX).read_to_string(&mut text).context("its manifest is not text")?;
        let manifest: Manifest = serde_json::from_str(&text).context("its manifest cannot be read")?;
        if manifest.format != "deskside-evidence" || manifest.version != 1 {
            let Manifest { format, version, .. } = manifest;
            bail!("its manifest is of the form {format:?} {version}, which this version does not read; update it");
        }
        let evidence = evidence.to_owned();
        Ok(Self { manifest, evidence, archive: Mutex::new(archive), unreadable: Mutex::default() })
    }

    /// The same under another name: a bundle that was attached by hand is not taken for the machine that it names.
    #[must_use]
    pub fn named(mut self, name: String) -> Self {
        self.manifest.device.hostname = name;
        self
    }

    /// When it was packed, by the device's clock.
    pub fn collected_ms(&self) -> i64 {
        self.manifest.collected.ms
    }

    /// Whose rows they are.
    pub fn owner(&self) -> Owner {
        let Device { id, hostname } = &self.manifest.device;
        Owner { id: id.clone(), name: hostname.clone(), evidence: self.evidence.clone() }
    }

    /// Reads a table, oldest first, until `keep` wants no more. Answers whether it was all.
    pub fn read(&self, schema: &TableSchema, keep: &mut dyn FnMut(Reading) -> bool) -> anyhow::Result<bool> {
        let Some(part) = self.part(&schema.name) else { return Ok(true) };
        let is_rows = |path: &&String| Path::new(path).extension().is_some_and(|kind| kind == "jsonl");
        let Some(path) = part.files.iter().map(|file| &file.path).find(is_rows) else {
            return Ok(keep(self.said(part)));
        };
        let mut archive = self.archive.lock().unwrap_or_else(PoisonError::into_inner);
        let entry =
            archive.by_name(path).with_context(|| format!("{path} is in its manifest and not in the bundle"))?;
        if entry.size() > TABLE_BYTES_MAX {
            bail!("{path} has {} bytes, {TABLE_BYTES_MAX} at most", entry.size());
        }
        let mut wrong: (u64, String) = (0, String::new());
        for reading in Readings::new(schema, BufReader::new(entry.take(TABLE_BYTES_MAX))) {
            match reading {
                Ok(reading) => {
                    if !keep(reading) {
                        return Ok(false);
                    }
                }
                Err(words) if wrong.0 == 0 => wrong = (1, words),
                Err(_words) => wrong.0 += 1,
            }
        }
        if wrong.0 > 0 {
            let words = format!("{} lines cannot be read; the first: {}", wrong.0, wrong.1);
            self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).insert(schema.name.clone(), words);
        }
        Ok(true)
    }

    /// What it does not hold of a table, or holds with a reserve.
    pub fn reserves(&self, table: &str) -> Vec<String> {
        let Some(part) = self.part(table) else {
            return vec!["the evidence does not have it: it was not asked for".into()];
        };
        let reason = Some(part.reason.clone()).filter(|reason| !reason.is_empty() && !part.files.is_empty());
        let unreadable = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).get(table).cloned();
        reason.into_iter().chain(unreadable).collect()
    }

    fn part(&self, table: &str) -> Option<&Part> {
        self.manifest.parts.iter().find(|part| part.name == table)
    }

    /// A part of which nothing came, as a reading.
    fn said(&self, part: &Part) -> Reading {
        Reading {
            table: part.name.clone(),
            at_ms: self.collected_ms(),
            outcome: outcome(&part.outcome).into(),
            reason: part.reason.clone(),
            ..Reading::default()
        }
    }
}

/// The outcome that a word says; what is not known did not see the machine.
fn outcome(word: &str) -> Outcome {
    let all = [Outcome::Ok, Outcome::Empty, Outcome::Partial, Outcome::TimedOut, Outcome::Denied, Outcome::Unsupported];
    all.into_iter().find(|outcome| show::outcome(*outcome) == word).unwrap_or(Outcome::Failed)
}
