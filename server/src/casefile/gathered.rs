//! The readings of one device that a case file is made from: what it streamed, and what its bundles hold, each look once.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use deskside_proto::catalog;
use deskside_proto::v1::{Family, Kind, Reading, TableSchema};
use prost::Message;

use crate::evidence::Bundle;
use crate::store::{Device, Store};

/// Readings of one table that are taken from the store, and from each bundle: the newest.
const READINGS_MAX: u32 = 500;

/// Bytes of one device's readings. Why: what a machine recorded must not choose the server's memory.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Damaged tables that are named.
const DAMAGED_MAX: usize = 10;

/// Between when, server's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
}

/// One table's looks, oldest first, times by the server's clock.
#[derive(Clone, Debug)]
pub(super) struct Looks {
    pub(super) schema: TableSchema,
    /// Those of the window, and before them the last look that was in force when it began.
    pub(super) readings: Vec<Reading>,
}

/// All of one device.
pub(super) struct Gathered {
    pub(super) name: String,
    pub(super) window: Window,
    /// Milliseconds that were added to the device's times.
    pub(super) offset_ms: i64,
    /// By table.
    pub(super) tables: BTreeMap<String, Looks>,
    /// What was left out, a sentence each.
    pub(super) left_out: Vec<String>,
}

impl Gathered {
    pub(super) async fn of(
        store: &dyn Store,
        device: &Device,
        bundles: Vec<Arc<Bundle>>,
        window: Window,
    ) -> Result<Self> {
        let offset_ms = device.clock_offset_ms;
        let (from_ms, to_ms) = (window.from_ms - offset_ms, window.to_ms - offset_ms);
        let brought = store.schemas().await?;
        let brought = brought.into_iter().filter(|schema| catalog::table(&schema.name).is_none());
        let mut pile = Pile::default();
        for schema in catalog::tables().iter().cloned().chain(brought).filter(is_told) {
            let before = store.at(device.id, &schema.name, from_ms - 1).await?;
            let within = store.history(device.id, &schema.name, from_ms, to_ms, READINGS_MAX).await?;
            if within.len() >= READINGS_MAX as usize {
                pile.cut.push(schema.name.clone());
            }
            pile.add(&schema, before.into_iter().filter(|_look| schema.kind() == Kind::State).chain(within));
        }
        let mut pile = tokio::task::spawn_blocking(move || {
            for bundle in bundles {
                pile.add_bundle(&bundle, from_ms, to_ms);
            }
            pile
        })
        .await?;
        for looks in pile.tables.values_mut() {
            looks.readings.sort_by_key(|reading| reading.at_ms);
            looks.readings.dedup_by_key(|reading| reading.at_ms);
            looks.readings.iter_mut().for_each(|reading| reading.at_ms += offset_ms);
        }
        let left_out = pile.sentences(&device.name);
        Ok(Self { name: device.name.clone(), window, offset_ms, tables: pile.tables, left_out })
    }
}

/// State tables, events of the machine, and answers of probes. Logs are told by their signatures, samples are for graphs.
fn is_told(schema: &TableSchema) -> bool {
    match schema.kind() {
        Kind::State => schema.family() != Family::Deskside,
        Kind::Event => schema.probe.is_some() || !matches!(schema.family(), Family::Logs | Family::Deskside),
        _ => false,
    }
}

/// What was found until now.
#[derive(Default)]
struct Pile {
    tables: BTreeMap<String, Looks>,
    bytes: usize,
    /// Tables of which only the newest looks are there.
    cut: Vec<String>,
    /// Looks that found no room at all.
    passed: usize,
    /// Tables of bundles that are damaged, and how.
    damaged: Vec<String>,
}

impl Pile {
    fn add(&mut self, schema: &TableSchema, readings: impl Iterator<Item = Reading>) {
        for reading in readings {
            self.bytes += reading.encoded_len();
            if self.bytes > BYTES_MAX {
                self.passed += 1;
                continue;
            }
            let looks = self.tables.entry(schema.name.clone());
            looks.or_insert_with(|| Looks { schema: schema.clone(), readings: Vec::new() }).readings.push(reading);
        }
    }

    /// The looks of a bundle that lie in the window; of a state table also the last one before.
    fn add_bundle(&mut self, bundle: &Bundle, from_ms: i64, to_ms: i64) {
        for schema in catalog::tables().iter().filter(|schema| is_told(schema)) {
            let (mut before, mut within) = (None, Vec::new());
            let read = bundle.read(schema, &mut |reading| {
                match reading.at_ms {
                    at_ms if at_ms < from_ms => before = Some(reading),
                    at_ms if at_ms > to_ms => {}
                    _ => within.push(reading),
                }
                within.len() < READINGS_MAX as usize
            });
            if let Err(error) = read {
                self.damaged.push(format!("{} of a bundle could not be read: {error:#}", schema.name));
            }
            if within.len() >= READINGS_MAX as usize {
                self.cut.push(schema.name.clone());
            }
            self.add(schema, before.into_iter().filter(|_look| schema.kind() == Kind::State).chain(within));
        }
    }

    fn sentences(&self, device: &str) -> Vec<String> {
        let mut sentences: Vec<String> =
            self.damaged.iter().take(DAMAGED_MAX).map(|words| format!("{device}: {words}")).collect();
        if !self.cut.is_empty() {
            let tables = self.cut.join(", ");
            sentences.push(format!("looks at {tables} of {device} beyond {READINGS_MAX}"));
        }
        if self.passed > 0 {
            sentences.push(format!("{} looks at {device}: 64 MiB of a device are read for a timeline", self.passed));
        }
        sentences
    }
}
