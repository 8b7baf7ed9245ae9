//! How the agent is, gathered from its rooms for the one who asks at the machine.

use std::sync::{Arc, Mutex, PoisonError};

use super::commands::Means;
use super::facts::VERSION;
use super::keeper::Keeper;
use super::link::LinkStatus;
use super::looks::Seen;
use crate::local::{RecordStatus, Status};

/// Where status is gathered from.
pub(super) struct Answering {
    /// The record.
    pub(super) keeper: Keeper,
    /// Evidence on its way, and the machine.
    pub(super) means: Arc<Means>,
    /// The latest looks.
    pub(super) seen: Seen,
    /// The session.
    pub(super) link: Arc<Mutex<LinkStatus>>,
}

impl Answering {
    /// Gathers it.
    pub(super) async fn status(&self) -> Status {
        let link = self.link.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let tables = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let counted = self.keeper.with(|shelf| (shelf.count(), shelf.waiting())).await;
        let (stats, waiting) = counted.unwrap_or_default();
        let standing = *self.keeper.standing().borrow();
        let (device_id, addresses) = link.identity.unzip();
        let stuck = tables.iter().filter(|(_table, seen)| seen.outcome == "timed out").map(|(table, _)| table.clone());
        Status {
            version: VERSION.into(),
            device_id,
            addresses: addresses.unwrap_or_default(),
            connected_since_ms: link.connected_since_ms,
            why: link.why.filter(|_why| link.connected_since_ms.is_none()),
            record: RecordStatus {
                epoch: standing.epoch,
                last_seq: standing.last_seq,
                kept_seq: standing.kept_seq,
                bytes: stats.bytes,
                readings: stats.readings,
                queued: stats.queued,
                dropped: stats.dropped,
                set_aside: stats.set_aside,
                waiting,
            },
            stuck: stuck.collect(),
            evidence_waiting: self.means.outbox.waiting(),
            resident_bytes: resident(self.means.eye.host.as_ref()),
            tables,
        }
    }
}

/// proc(5): `VmRSS` of status, in kB.
fn resident(host: &dyn crate::host::Host) -> u64 {
    let status = host.text("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kb.unwrap_or_default() * 1024
}
