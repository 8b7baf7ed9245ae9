//! How long the machine has been up.

use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Boot;

use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const BOOT: Collector =
    Collector { table: Boot::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(5)), look };

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let uptime_s = parse(&host.text("/proc/uptime").context("reading /proc/uptime")?)?;
    Ok(Rows::one(Boot {
        boot_id: host.line("/proc/sys/kernel/random/boot_id").unwrap_or_default(),
        booted_ms: host.now_ms().saturating_sub_unsigned(uptime_s.saturating_mul(1000)),
        uptime_s,
        command_line: host.line("/proc/cmdline").unwrap_or_default(),
    }))
}

/// When the machine started; absent where it cannot be read.
pub(in crate::collect) fn booted_ms(host: &dyn Host) -> Option<i64> {
    let uptime_s = parse(&host.text("/proc/uptime").ok()?).ok()?;
    Some(host.now_ms().saturating_sub_unsigned(uptime_s.saturating_mul(1000)))
}

/// proc(5): seconds with a fraction, then idle time.
fn parse(uptime: &str) -> anyhow::Result<u64> {
    let (seconds, _fraction) = uptime.split_once('.').context("uptime has no fraction")?;
    seconds.trim().parse().context("uptime is not a number")
}
