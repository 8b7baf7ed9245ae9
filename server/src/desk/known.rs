//! What is known of a device: its tables as last received, how old they are, and what is wrong.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use deskside_proto::READING_BYTES_MAX;
use deskside_proto::catalog;
use deskside_proto::v1::{self, Finding, GetDeviceReply, Outcome, Reading, TableSchema};
use futures_util::{StreamExt, TryStreamExt, stream};
use prost::bytes::Bytes;
use tonic::Status;
use uuid::Uuid;

use super::refusal::{self, Lines, internal, text};
use super::{Desk, words};
use crate::case::now_ms;
use crate::diagnose::{self, Diagnosis, EVENT_WINDOW_MS};
use crate::store::Device;

/// Longest name or id of a device.
const NAME_CHARS_MAX: usize = 255;

/// Open tickets that are shown with a device.
const TICKETS_MAX: u32 = 50;

/// How long a count of findings is good for, where the device was heard of since.
const COUNT_FRESH_MS: i64 = 10_000;

/// Added to that for each device. Why: a list of ten thousand would otherwise be diagnosed anew each time it is looked at.
const COUNT_FRESH_MS_A_DEVICE: usize = 20;

/// Devices that are diagnosed at a time for a list.
const DIAGNOSED_AT_ONCE: usize = 4;

/// Counts of findings as last made, so that a list of devices need not diagnose each of them every time.
#[derive(Clone, Default)]
pub(super) struct Counts {
    made: Arc<Mutex<HashMap<Uuid, Count>>>,
}

#[derive(Clone, Copy)]
struct Count {
    made_ms: i64,
    seen_ms: i64,
    connected: bool,
    findings: u32,
}

impl Counts {
    fn keep(&self, device: Uuid, count: Count) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(device, count);
    }

    fn of(&self, device: Uuid) -> Option<Count> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).get(&device).copied()
    }
}

impl Desk {
    /// The one device that a person means.
    pub(super) async fn device(&self, name: &str) -> Result<Device, Status> {
        let name = text("the device's name", name, NAME_CHARS_MAX, Lines::One)?;
        let mut found = self.store.find_devices(&name).await.map_err(internal)?;
        if found.len() > 1 {
            let choices: Vec<String> =
                found.iter().take(10).map(|device| format!("{} ({})", device.name, device.id)).collect();
            return Err(refusal::ambiguous(&name, &choices));
        }
        found.pop().ok_or_else(|| refusal::unknown("device", &name, "`deskside devices` lists them"))
    }

    /// A device as the contract says it, with its findings as last counted.
    pub(super) fn shown(&self, device: &Device) -> v1::Device {
        let findings = self.counts.of(device.id).map_or(0, |count| count.findings);
        words::device(device, self.switchboard.connected(device.id), findings)
    }

    /// The same by identity; absent where the store no longer has it.
    pub(super) async fn shown_by_id(&self, id: Uuid) -> Result<Option<v1::Device>> {
        Ok(self.store.device(id).await?.map(|device| self.shown(&device)))
    }

    /// All devices: those with most wrong first, then by name.
    pub(super) async fn all_devices(&self) -> Result<Vec<v1::Device>> {
        let devices = self.store.devices().await?;
        let fresh_ms = COUNT_FRESH_MS + (devices.len() * COUNT_FRESH_MS_A_DEVICE) as i64;
        let counted = stream::iter(devices).map(|device| self.counted(device, fresh_ms)).buffered(DIAGNOSED_AT_ONCE);
        let mut devices: Vec<v1::Device> = counted.try_collect().await?;
        devices.sort_by(|a, b| {
            let worst = (a.revoked, b.findings).cmp(&(b.revoked, a.findings));
            worst.then_with(|| a.name.to_lowercase().cmp(&b.name.to_lowercase()))
        });
        Ok(devices)
    }

    async fn counted(&self, device: Device, fresh_ms: i64) -> Result<v1::Device> {
        let (now_ms, connected) = (now_ms(), self.switchboard.connected(device.id));
        let fresh = self.counts.of(device.id).filter(|count| {
            let unheard = count.seen_ms == device.seen_ms && !connected;
            count.connected == connected && (unheard || now_ms - count.made_ms < fresh_ms)
        });
        if fresh.is_none() && !device.revoked {
            self.view(&device).await?;
        }
        Ok(self.shown(&device))
    }

    /// Everything that is known of a device, diagnosed.
    pub(super) async fn view(&self, device: &Device) -> Result<GetDeviceReply> {
        let connected = self.switchboard.connected(device.id);
        let made_ms = now_ms();
        let Diagnosis { findings, tables, .. } = Diagnosis::of(&*self.store, device, connected, made_ms).await?;
        self.counts.keep(device.id, Count { made_ms, seen_ms: device.seen_ms, connected, findings: felt(&findings) });
        let mut tickets = Vec::new();
        for ticket in self.store.tickets_of(device.id, TICKETS_MAX).await? {
            tickets.push(words::ticket(&ticket, Vec::new()));
        }
        Ok(GetDeviceReply { device: Some(self.shown(device)), findings, tables, tickets })
    }

    /// The day of events that ends at a time, as one reading; of more than one reading holds, the newest.
    pub(super) async fn day(&self, device: Uuid, latest: Reading, to_ms: i64) -> Result<Reading> {
        let mut readings =
            diagnose::lately(&*self.store, device, latest, to_ms.saturating_sub(EVENT_WINDOW_MS), to_ms).await?;
        let mut day = readings.pop().unwrap_or_default();
        let mut rows: VecDeque<_> = std::mem::take(&mut day.rows).into();
        let mut bytes: usize = rows.iter().map(Bytes::len).sum();
        for row in readings.into_iter().rev().flat_map(|reading| reading.rows.into_iter().rev()) {
            bytes += row.len();
            if bytes > READING_BYTES_MAX {
                day.set_outcome(Outcome::Partial);
                day.reason = "there are more events in these 24 hours; those shown are the newest".into();
                break;
            }
            rows.push_front(row);
        }
        if !rows.is_empty() && day.outcome() == Outcome::Empty {
            day.set_outcome(Outcome::Ok);
        }
        day.rows = rows.into();
        Ok(day)
    }

    /// A table's description: the contract's, or the one that the device brought.
    pub(super) async fn schema(&self, device: Option<Uuid>, table: &str) -> Result<Option<TableSchema>> {
        match catalog::table(table) {
            Some(schema) => Ok(Some(schema.clone())),
            None => self.store.schema(device, table).await,
        }
    }
}

/// Findings that a person would do something about; a notice is worth knowing, no more.
fn felt(findings: &[Finding]) -> u32 {
    let notice = diagnose::Severity::rank(diagnose::Severity::Notice.name());
    let felt = findings.iter().filter(|finding| diagnose::Severity::rank(&finding.severity) < notice).count();
    u32::try_from(felt).unwrap_or(u32::MAX)
}
