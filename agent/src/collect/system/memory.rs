//! Memory and swap, as the kernel counts them in /proc/meminfo.

use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Memory;

use crate::collect::procfs::kib_line;
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const MEMORY: Collector =
    Collector { table: Memory::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(1)), look };

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    Ok(Rows::one(parse(&host.text("/proc/meminfo").context("reading /proc/meminfo")?)?))
}

fn parse(meminfo: &str) -> anyhow::Result<Memory> {
    let need = |key: &str| kib_line(meminfo, key).with_context(|| format!("/proc/meminfo has no {key}"));
    let swap_total_bytes = need("SwapTotal")?;
    Ok(Memory {
        total_bytes: need("MemTotal")?,
        available_bytes: need("MemAvailable")?,
        cached_bytes: need("Buffers")?.saturating_add(need("Cached")?),
        swap_total_bytes,
        swap_used_bytes: swap_total_bytes.saturating_sub(need("SwapFree")?),
        dirty_bytes: need("Dirty")?,
        committed_bytes: need("Committed_AS")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_is_missing_is_named() {
        let error = parse("MemTotal: 100 kB\nSwapTotal: 0 kB\n").unwrap_err();
        assert_eq!(error.to_string(), "/proc/meminfo has no MemAvailable");
    }
}
