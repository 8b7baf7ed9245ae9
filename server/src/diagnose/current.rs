//! What is known of a device now: its latest tables, the last day of its events, and what is wrong with it.

use anyhow::{Context, Result};
use deskside_proto::catalog;
use deskside_proto::v1::{Finding, Kind, Reading, TableSchema, TableState};
use prost::Message;
use uuid::Uuid;

use super::{About, EVENT_READINGS_MAX, EVENT_WINDOW_MS, Known};
use crate::store::{Device, Latest, Store};

/// Readings of an event table that are fetched at a time, newest first. Why: what a device logs must not choose our memory.
const EVENT_PAGE: u32 = 32;

/// Bytes of an event table after which no further page is fetched.
const EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A device, diagnosed.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// What is wrong, worst first.
    pub findings: Vec<Finding>,
    /// How current each table is, by family and name.
    pub tables: Vec<TableState>,
    /// The tables themselves.
    pub known: Vec<Known>,
    /// As of when, by the device's clock.
    pub now_ms: i64,
}

impl Diagnosis {
    /// Of a device as it is known. `now_ms` is the server's clock.
    pub async fn of(store: &dyn Store, device: &Device, connected: bool, now_ms: i64) -> Result<Self> {
        let latest = store.latest(device.id).await?;
        let now_ms = as_of(device, connected, &latest, now_ms);
        let known = known(store, device.id, latest, now_ms).await?;
        let about = About {
            name: device.name.clone(),
            connected,
            seen_ms: device.seen_ms - device.clock_offset_ms,
            clock_offset_ms: device.clock_offset_ms,
            lost: device.lost,
            agent_version: device.agent_version.clone(),
            now_ms,
        };
        let diagnosed = tokio::task::spawn_blocking(move || {
            let findings = super::findings(&known, &about)?;
            Ok::<_, anyhow::Error>(Self { findings, tables: states(&known), known, now_ms })
        });
        diagnosed.await.context("diagnosing")?
    }
}

/// Now, by the device's clock; for a device that is off, when it was last heard of, since what is known was so then.
fn as_of(device: &Device, connected: bool, latest: &[Latest], now_ms: i64) -> i64 {
    if connected {
        return now_ms - device.clock_offset_ms;
    }
    let read_ms = latest.iter().map(|latest| latest.reading.at_ms.max(latest.checked_ms)).max();
    read_ms.unwrap_or_default().max(device.seen_ms - device.clock_offset_ms)
}

async fn known(store: &dyn Store, device: Uuid, latest: Vec<Latest>, now_ms: i64) -> Result<Vec<Known>> {
    let mut known = Vec::with_capacity(latest.len());
    for Latest { reading, checked_ms } in latest {
        let schema = schema(store, device, &reading.table).await?;
        let readings = match schema.kind() {
            Kind::Event => lately(store, device, reading, now_ms - EVENT_WINDOW_MS, i64::MAX).await?,
            _ => vec![reading],
        };
        known.push(Known { schema, readings, checked_ms });
    }
    Ok(known)
}

/// A table's description: the contract's, or the one that the device brought; of one that nobody described, its name.
async fn schema(store: &dyn Store, device: Uuid, table: &str) -> Result<TableSchema> {
    let schema = match catalog::table(table) {
        Some(schema) => Some(schema.clone()),
        None => store.schema(Some(device), table).await?,
    };
    Ok(schema.unwrap_or_else(|| TableSchema { name: table.to_owned(), ..TableSchema::default() }))
}

/// Readings of an event table within the window; if there are none, the latest without its rows, since they are past.
pub async fn lately(
    store: &dyn Store,
    device: Uuid,
    latest: Reading,
    from_ms: i64,
    mut to_ms: i64,
) -> Result<Vec<Reading>> {
    let (mut readings, mut bytes) = (Vec::new(), 0);
    while readings.len() < EVENT_READINGS_MAX && bytes < EVENT_BYTES_MAX {
        let mut page = store.history(device, &latest.table, from_ms, to_ms, EVENT_PAGE).await?;
        let Some(oldest) = page.first() else { break };
        to_ms = oldest.at_ms - 1;
        bytes += page.iter().map(Message::encoded_len).sum::<usize>();
        page.append(&mut readings);
        readings = page;
    }
    if readings.is_empty() { Ok(vec![Reading { rows: Vec::new(), ..latest }]) } else { Ok(readings) }
}

fn states(known: &[Known]) -> Vec<TableState> {
    let mut states: Vec<TableState> = known.iter().filter_map(state).collect();
    states.sort_by(|a, b| (a.family, &a.table).cmp(&(b.family, &b.table)));
    states
}

fn state(known: &Known) -> Option<TableState> {
    let latest = known.readings.last()?;
    let rows: usize = known.readings.iter().map(|reading| reading.rows.len()).sum();
    Some(TableState {
        table: latest.table.clone(),
        family: known.schema.family,
        outcome: latest.outcome,
        reason: latest.reason.clone(),
        at_ms: latest.at_ms,
        checked_ms: known.checked_ms.max(latest.at_ms),
        rows: rows as u64,
    })
}
