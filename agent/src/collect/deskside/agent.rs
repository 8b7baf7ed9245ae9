//! The agent's own health.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::AgentHealth;

use crate::collect::vitals::VITALS;
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const AGENT: Collector = Collector {
    table: AgentHealth::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_mins(1)),
    look,
};

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let own = host.own().context("looking at the agent's own process")?;
    let mut rows = Rows::none();
    if own.written_bytes.is_none() {
        rows.missing("bytes written");
    }
    let serving = VITALS.serving.load(Relaxed);
    rows.push(&AgentHealth {
        version: env!("CARGO_PKG_VERSION").into(),
        resident_bytes: own.resident_bytes,
        cpu_ms: own.cpu_ms,
        written_bytes: own.written_bytes.unwrap_or_default(),
        uptime_s: own.uptime_s,
        record_bytes: serving.then(|| VITALS.record_bytes.load(Relaxed)),
        record_readings: serving.then(|| VITALS.record_readings.load(Relaxed)),
        queued: serving.then(|| VITALS.queued.load(Relaxed)),
        dropped: serving.then(|| VITALS.dropped.load(Relaxed)),
        timed_out: serving.then(|| VITALS.timed_out.load(Relaxed)),
        connected: serving.then(|| VITALS.connected.load(Relaxed)),
        reconnects: serving.then(|| VITALS.reconnects.load(Relaxed)),
        set_aside: serving.then(|| VITALS.set_aside.load(Relaxed)),
        policy_refused: serving.then(|| VITALS.policy_refused.lock().unwrap_or_else(PoisonError::into_inner).clone()),
    });
    Ok(rows)
}
