//! The agent's own health.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::AgentHealth;

use crate::collect::procfs::{self, TICK_MS};
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
    let stat = host.text("/proc/self/stat").context("reading /proc/self/stat")?;
    let stat = procfs::stat(&stat)?;
    let mut rows = Rows::none();
    let mut number = |what: &str, found: Option<u64>| {
        if found.is_none() {
            rows.missing(what);
        }
        found.unwrap_or_default()
    };
    let status = host.text("/proc/self/status").unwrap_or_default();
    let resident_bytes = number("resident memory", procfs::kib_line(&status, "VmRSS"));
    let io = host.text("/proc/self/io").unwrap_or_default();
    let written = procfs::field(&io, "write_bytes").and_then(|bytes| bytes.parse().ok());
    let written_bytes = number("bytes written", written);
    let booted_s = host.text("/proc/uptime").ok().and_then(|uptime| procfs::uptime_s(&uptime).ok());
    let started_s = stat.start_ticks.saturating_mul(TICK_MS) / 1000;
    let uptime_s = number("time since the start", booted_s.map(|seconds| (seconds as u64).saturating_sub(started_s)));
    rows.push(&AgentHealth {
        version: env!("CARGO_PKG_VERSION").into(),
        resident_bytes,
        cpu_ms: stat.cpu_ticks.saturating_mul(TICK_MS),
        written_bytes,
        uptime_s,
        record_bytes: VITALS.record_bytes.load(Relaxed),
        record_readings: VITALS.record_readings.load(Relaxed),
        queued: VITALS.queued.load(Relaxed),
        dropped: VITALS.dropped.load(Relaxed),
        timed_out: VITALS.timed_out.load(Relaxed),
        connected: VITALS.connected.load(Relaxed),
        reconnects: VITALS.reconnects.load(Relaxed),
        set_aside: VITALS.set_aside.load(Relaxed),
    });
    Ok(rows)
}
