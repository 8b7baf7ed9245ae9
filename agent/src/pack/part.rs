//! One table of the bundle: what the record holds for the window, then the fresh look, as JSON Lines and CSV.

use std::fs::File;
use std::io::{BufWriter, Write};

use deskside_proto::probes::Verdict;
use deskside_proto::rows::{self, Row, Value};
use deskside_proto::show;
use deskside_proto::v1::{Kind, LogEvent, Outcome, PartOutcome, Reading, TableSchema};
use prost::Message;

use super::archive::{Archive, Filed, iso, safe_name};
use super::logs::{Tally, Texts};
use crate::record::{Reader, RecordError};

/// Bytes that a sealed row's byte becomes in the bundle, at most or nearly: names of columns, JSON and CSV both.
const UNFOLDED: u64 = 6;

/// Sentences of a probe that are told; all are in its table.
const SENTENCES_MAX: usize = 8;

/// Where readings came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Record,
    Look,
}

impl Source {
    fn word(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Look => "look",
        }
    }
}

/// What is asked of every part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
}

/// One table, packed.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) said: PartOutcome,
    pub(super) schema: Option<TableSchema>,
    pub(super) files: Vec<Filed>,
    pub(super) sources: Vec<&'static str>,
    pub(super) readings: u64,
    pub(super) held_since_ms: Option<i64>,
    /// The latest reading in which something was seen.
    pub(super) latest: Option<Reading>,
}

impl Part {
    /// A part of which nothing came.
    pub(super) fn nothing(name: &str, outcome: Outcome, reason: &str) -> Self {
        let (outcome, reason) = (outcome.into(), reason.into());
        let said = PartOutcome { name: name.into(), outcome, reason, ..PartOutcome::default() };
        Self {
            said,
            schema: None,
            files: Vec::new(),
            sources: Vec::new(),
            readings: 0,
            held_since_ms: None,
            latest: None,
        }
    }

    /// The record does not reach back to the window's begin.
    pub(super) fn begins_late(&self, window: Window) -> Option<i64> {
        self.held_since_ms.filter(|since| *since > window.from_ms)
    }
}

/// The files of a part while they are written.
struct Sheet<'a> {
    archive: &'a Archive,
    schema: &'a TableSchema,
    jsonl: BufWriter<File>,
    csv: BufWriter<File>,
    texts: Texts,
    tally: &'a mut Tally,
    room: u64,
    rows: u64,
    bytes: u64,
    readings: u64,
    cut_rows: u64,
    unreadable: u64,
    unread: Option<String>,
    last: Option<Reading>,
    latest: Option<Reading>,
    sources: Vec<&'static str>,
}

/// Packs one table. `fresh` are the readings just taken of it: one of a table, one or more of a probe. `room` is what may still be written.
pub(super) fn write(
    archive: &mut Archive,
    record: &Reader,
    schema: &TableSchema,
    fresh: Vec<Reading>,
    window: Window,
    room: u64,
    tally: &mut Tally,
) -> anyhow::Result<Part> {
    let held = record.held_since(&schema.name);
    let skip = to_skip(record, schema, window, room).unwrap_or_default();
    let mut sheet = Sheet::begin(archive, schema, room, tally)?;
    let fresh_ms: Vec<i64> = fresh.iter().map(|fresh| fresh.at_ms).collect();
    let (mut passed, mut failed) = (0, None);
    let read = record.history(&schema.name, window.from_ms, window.to_ms, &mut |reading| {
        if failed.is_some() || fresh_ms.contains(&reading.at_ms) {
            return;
        }
        passed += weight(&reading);
        if passed <= skip {
            sheet.cut_rows += reading.rows.len() as u64;
        } else if let Err(error) = sheet.write(reading, Source::Record) {
            failed = Some(error);
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    // What the record cannot give is named; the fresh look still comes.
    sheet.unread = held.as_ref().err().or(read.as_ref().err()).map(ToString::to_string);
    let held_since_ms = held.unwrap_or_default();
    // A fresh look at events shows the latest again, which the record has already; a probe is new each time.
    let new = schema.kind() != Kind::Event || schema.probe.is_some() || sheet.rows + sheet.cut_rows == 0;
    let fresh = if new { fresh } else { Vec::new() };
    let looked = fresh.iter().max_by_key(|fresh| severity(fresh.outcome()));
    let looked = looked.map(|fresh| (fresh.outcome(), fresh.reason.clone()));
    let found = found(schema, &fresh);
    for fresh in fresh {
        sheet.write(fresh, Source::Look)?;
    }
    let collected = record.registry().collector(&schema.name).is_some();
    let (outcome, reason) = sheet.judge(looked, held_since_ms.is_some() || !collected);
    let Sheet { jsonl, csv, texts, rows, bytes, readings, latest, sources, .. } = sheet;
    let said = PartOutcome { name: schema.name.clone(), outcome: outcome.into(), reason, rows, bytes, found };
    let mut files = Vec::new();
    if readings > 0 {
        let name = safe_name(&schema.name);
        files.push(archive.add_scratch(&format!("tables/{name}.jsonl"), jsonl)?);
        files.push(archive.add_scratch(&format!("tables/{name}.csv"), csv)?);
        files.extend(texts.finish(archive)?);
    }
    Ok(Part { said, schema: Some(schema.clone()), files, sources, readings, held_since_ms, latest })
}

/// What a probe's readings come to, in sentences; nothing of a table that is no probe's.
fn found(schema: &TableSchema, fresh: &[Reading]) -> String {
    if schema.probe.is_none() {
        return String::new();
    }
    let sentences = fresh.iter().flat_map(|reading| Verdict::of(schema, reading).sentences);
    sentences.take(SENTENCES_MAX).collect::<Vec<_>>().join(" ")
}

/// Of several readings the worst speaks for the part.
fn severity(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Empty => 0,
        Outcome::Ok => 1,
        Outcome::Unsupported => 2,
        Outcome::Partial => 3,
        _ => 4,
    }
}

/// How much of the oldest has to be passed over so that the newest fits.
fn to_skip(record: &Reader, schema: &TableSchema, window: Window, room: u64) -> Result<u64, RecordError> {
    let mut all = 0;
    record.history(&schema.name, window.from_ms, window.to_ms, &mut |reading| all += weight(&reading))?;
    Ok(all.saturating_sub(room))
}

fn weight(reading: &Reading) -> u64 {
    reading.rows.iter().map(|row| row.len() as u64).sum::<u64>() * UNFOLDED
}

impl<'a> Sheet<'a> {
    fn begin(archive: &'a Archive, schema: &'a TableSchema, room: u64, tally: &'a mut Tally) -> anyhow::Result<Self> {
        let (jsonl, mut csv) = (archive.scratch()?, archive.scratch()?);
        let names = schema.columns.iter().map(|column| column.name.as_str());
        csv.write_all(show::csv(["_at", "_outcome", "_source"].into_iter().chain(names)).as_bytes())?;
        Ok(Self {
            archive,
            schema,
            jsonl,
            csv,
            texts: Texts::default(),
            tally,
            room,
            rows: 0,
            bytes: 0,
            readings: 0,
            cut_rows: 0,
            unreadable: 0,
            unread: None,
            last: None,
            latest: None,
            sources: Vec::new(),
        })
    }

    fn write(&mut self, reading: Reading, source: Source) -> anyhow::Result<()> {
        let at = iso(reading.at_ms);
        let outcome = show::outcome(reading.outcome());
        self.readings += 1;
        if !self.sources.contains(&source.word()) {
            self.sources.push(source.word());
        }
        if reading.rows.is_empty() {
            let said = serde_json::json!({"_at": at, "_outcome": outcome, "_reason": reading.reason, "_source": source.word()});
            self.bytes += line(&mut self.jsonl, &said.to_string())?;
        }
        for row in &reading.rows {
            if self.bytes >= self.room {
                self.cut_rows += 1;
                continue;
            }
            match rows::open(self.schema, row) {
                Ok(values) => self.row(&at, outcome, source, &values)?,
                Err(_malformed) => self.unreadable += 1,
            }
            if self.schema.name == LogEvent::TABLE
                && let Ok(event) = LogEvent::decode(row.clone())
            {
                self.tally.count(&event);
                self.bytes += self.texts.write(self.archive, &event)?;
            }
        }
        if matches!(reading.outcome(), Outcome::Ok | Outcome::Empty | Outcome::Partial) {
            self.latest = Some(reading.clone());
        }
        self.last = Some(reading);
        Ok(())
    }

    fn row(&mut self, at: &str, outcome: &str, source: Source, values: &[Value]) -> anyhow::Result<()> {
        let mut object = show::json(self.schema, values);
        for (name, value) in [("_at", at), ("_outcome", outcome), ("_source", source.word())] {
            object.insert(name.into(), value.into());
        }
        self.bytes += line(&mut self.jsonl, &serde_json::Value::Object(object).to_string())?;
        let texts: Vec<String> = values.iter().map(cell).collect();
        let fields = [at, outcome, source.word()].into_iter().chain(texts.iter().map(String::as_str));
        let csv = show::csv(fields);
        self.csv.write_all(csv.as_bytes())?;
        self.bytes += csv.len() as u64;
        self.rows += 1;
        Ok(())
    }

    /// How the part went, all in all. `followed` says that the record would hold something if there were something.
    fn judge(&self, looked: Option<(Outcome, String)>, followed: bool) -> (Outcome, String) {
        let blind = |outcome| !matches!(outcome, Outcome::Ok | Outcome::Empty | Outcome::Partial);
        let last = self.last.as_ref().map(|last| (last.outcome(), last.reason.clone()));
        let (outcome, reason) = match looked.or(last) {
            Some((outcome, reason)) if blind(outcome) && self.rows > 0 => (
                Outcome::Partial,
                format!("the latest look: {}: {reason}; rows are from before", show::outcome(outcome)),
            ),
            Some((Outcome::Empty, reason)) if self.rows > 0 => (Outcome::Ok, reason),
            Some(said) => said,
            None if followed => (Outcome::Empty, String::new()),
            None => (Outcome::Failed, "the record holds nothing of it, and no fresh look was taken".into()),
        };
        let mut left_out = Vec::new();
        if self.cut_rows > 0 {
            left_out.push(format!("{} rows were left out, the bundle's size being limited", self.cut_rows));
        }
        left_out.extend(self.unread.clone());
        if self.unreadable > 0 {
            left_out.push(format!("{} rows could not be read", self.unreadable));
        }
        if left_out.is_empty() {
            return (outcome, reason);
        }
        left_out.extend(Some(reason).filter(|reason| !reason.is_empty()));
        let outcome = if self.readings > 0 { Outcome::Partial } else { Outcome::Failed };
        (outcome, left_out.join("; "))
    }
}

/// A value as a spreadsheet's cell. Why the quote: a text that begins like a formula is one to a spreadsheet, and a machine may be hostile.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Text(_) | Value::List(_) => {
            let text = value.to_string();
            if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
        }
        other => other.to_string(),
    }
}

pub(super) fn line(file: &mut BufWriter<File>, text: &str) -> anyhow::Result<u64> {
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    Ok(text.len() as u64 + 1)
}
