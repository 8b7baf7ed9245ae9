//! Readings that lie ready, of one device or of many: a bundle of evidence, or what a test made.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::SqlError;
use super::source::{Held, Owner, Scan, Scanning, Source, When};
use crate::changes::{essence, saw};
use crate::v1::{Kind, QueryNote, Reading, TableSchema};

/// Finds the readings of a table, in any order.
pub type Load = dyn Fn(&TableSchema) -> Result<Vec<Found>, SqlError> + Send + Sync;

/// A reading, and whose it is where there are many devices.
pub type Found = (Option<Arc<Owner>>, Reading);

/// The shelf. A table is loaded when it is first asked for.
pub struct Shelf {
    now_ms: i64,
    tables: Vec<Arc<TableSchema>>,
    many: bool,
    load: Box<Load>,
    loaded: Mutex<BTreeMap<String, Arc<Vec<Run>>>>,
}

/// The readings of one device, oldest first.
#[derive(Debug)]
struct Run {
    owner: Option<Arc<Owner>>,
    /// Of a state table, those that differ from the one before; of others all.
    held: Vec<Held>,
    /// The latest as it was, where it does not differ.
    latest: Option<Held>,
}

impl Shelf {
    /// `now_ms` is what "now" means; with `many`, each reading is somebody's.
    pub fn new(now_ms: i64, tables: Vec<Arc<TableSchema>>, many: bool, load: Box<Load>) -> Self {
        Self { now_ms, tables, many, load, loaded: Mutex::default() }
    }

    /// Readings of one device.
    pub fn of(now_ms: i64, tables: Vec<Arc<TableSchema>>, readings: Vec<Reading>) -> Self {
        let load = move |schema: &TableSchema| {
            let mine = readings.iter().filter(|reading| reading.table == schema.name);
            Ok(mine.map(|reading| (None, reading.clone())).collect())
        };
        Self::new(now_ms, tables, false, Box::new(load))
    }

    fn runs(&self, schema: &TableSchema) -> Result<Arc<Vec<Run>>, SqlError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runs) = loaded.get(&schema.name) {
            return Ok(Arc::clone(runs));
        }
        let mut of_owner: BTreeMap<(String, String), Vec<Found>> = BTreeMap::new();
        for found in (self.load)(schema)? {
            let id = found.0.as_ref().map(|owner| (owner.id.clone(), owner.evidence.clone())).unwrap_or_default();
            of_owner.entry(id).or_default().push(found);
        }
        let runs = Arc::new(of_owner.into_values().map(|found| run(schema, found)).collect::<Vec<_>>());
        loaded.insert(schema.name.clone(), Arc::clone(&runs));
        Ok(runs)
    }
}

fn run(schema: &TableSchema, mut found: Vec<Found>) -> Run {
    found.sort_by_key(|(_owner, reading)| reading.at_ms);
    let owner = found.first().and_then(|(owner, _reading)| owner.clone());
    let is_state = !matches!(schema.kind(), Kind::Event | Kind::Sample);
    let (mut held, mut latest): (Vec<Held>, Option<Held>) = (Vec::new(), None);
    for (owner, reading) in found {
        let at_ms = reading.at_ms;
        let next = Held { owner, reading, checked_ms: at_ms, until_ms: None };
        latest = None;
        match held.last_mut() {
            Some(last) if is_state && same(schema, &last.reading, &next.reading) => {
                last.checked_ms = at_ms;
                latest = Some(next);
            }
            Some(last) => {
                last.until_ms = is_state.then_some(at_ms);
                held.push(next);
            }
            None => held.push(next),
        }
    }
    Run { owner, held, latest }
}

/// Whether two looks at a state table found the same, columns that are noise left out.
fn same(schema: &TableSchema, one: &Reading, other: &Reading) -> bool {
    let essences = |reading: &Reading| reading.rows.iter().map(|row| essence(schema, row)).collect::<Vec<_>>();
    one.outcome == other.outcome && one.reason == other.reason && essences(one) == essences(other)
}

impl Run {
    fn is_of(&self, device: &str) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.name == device || owner.id == device)
    }

    /// The readings that a scan asks for.
    fn picked(&self, when: When, is_state: bool) -> Vec<Held> {
        match when {
            When::Now => self.latest.as_ref().or(self.held.last()).cloned().into_iter().collect(),
            When::At(ms) => {
                let then = self.held.iter().rev().find(|held| held.reading.at_ms <= ms);
                let latest = self.latest.as_ref().filter(|latest| latest.reading.at_ms <= ms);
                latest.or(then).cloned().into_iter().collect()
            }
            When::Within { from_ms, to_ms } => {
                let first = self.held.partition_point(|held| held.reading.at_ms < from_ms);
                let before = self.held.iter().take(first).rposition(|held| saw(held.reading.outcome()));
                let begin = if is_state { before.unwrap_or(0) } else { first };
                let within = self.held.iter().skip(begin);
                within.take_while(|held| held.reading.at_ms <= to_ms).cloned().collect()
            }
        }
    }

    /// From when on there are readings, where the scan asks for what was before.
    fn begins_late(&self, when: When) -> Option<i64> {
        let since_ms = self.held.first().map(|held| held.reading.at_ms)?;
        let from_ms = match when {
            When::Now => return None,
            When::At(ms) => ms,
            When::Within { from_ms, .. } => from_ms,
        };
        (from_ms != i64::MIN && from_ms < since_ms).then_some(since_ms)
    }
}

impl Source for Shelf {
    fn now_ms(&self) -> i64 {
        self.now_ms
    }

    fn tables(&self) -> Vec<Arc<TableSchema>> {
        self.tables.clone()
    }

    fn has_many_devices(&self) -> bool {
        self.many
    }

    fn scan(&self, scan: Scan) -> Result<Box<dyn Scanning>, SqlError> {
        let schema = self.tables.iter().find(|schema| schema.name == scan.table);
        let Some(schema) = schema else {
            return Err(SqlError::Source(format!("no table {:?}", scan.table)));
        };
        let runs = self.runs(schema)?;
        if runs.is_empty() {
            scan.notes.say(&scan.table, "nothing of it is held here");
        }
        let is_state = !matches!(schema.kind(), Kind::Event | Kind::Sample);
        let mut found = Vec::new();
        for run in runs.iter().filter(|run| scan.device.as_ref().is_none_or(|device| run.is_of(device))) {
            if let Some(since_ms) = run.begins_late(scan.when) {
                scan.notes.add(QueryNote {
                    device: run.owner.as_ref().map(|owner| owner.name.clone()).unwrap_or_default(),
                    table: scan.table.clone(),
                    words: "held only since then".into(),
                    at_ms: since_ms,
                    ..QueryNote::default()
                });
            }
            found.extend(run.picked(scan.when, is_state));
        }
        Ok(Box::new(Picked(found.into_iter())))
    }
}

struct Picked(std::vec::IntoIter<Held>);

impl Scanning for Picked {
    fn next(&mut self) -> Result<Option<Held>, SqlError> {
        Ok(self.0.next())
    }
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf")
            .field("now_ms", &self.now_ms)
            .field("tables", &self.tables.len())
            .finish_non_exhaustive()
    }
}
