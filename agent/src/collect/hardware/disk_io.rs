//! What disks do, from the kernel's counters of two looks (Documentation/admin-guide/iostats.rst).

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::DiskIo;

use super::disks::{BLOCK, SECTOR_BYTES, names};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Before, Host};

pub(in crate::collect) const DISK_IO: Collector =
    Collector { table: DiskIo::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(5)), look };

/// Counters of a disk that are looked at, the one that is none included.
const FIELDS: usize = 11;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let names = names(host)?;
    let mut rows = Rows::none();
    let mut now = Vec::new();
    for name in names {
        let stat = host.text(&format!("{BLOCK}/{name}/stat")).with_context(|| format!("reading what {name} did"));
        match stat.ok().as_deref().and_then(counters) {
            Some(counters) => now.push((name, counters)),
            None => rows.missing(format!("what {name} did: {BLOCK}/{name}/stat does not read")),
        }
    }
    let note: Vec<String> = now.iter().map(|(name, counters)| note(name, counters)).collect();
    let before = host.recall("disk_io", note.join("\n"));
    let now_ms = host.now_ms();
    let earlier = before.as_ref().map(noted).unwrap_or_default();
    for (name, counters) in now {
        let then = before.as_ref().zip(earlier.get(name.as_str()));
        let over_ms = then.and_then(|(before, _then)| now_ms.checked_sub(before.at_ms)).filter(|ms| *ms > 0);
        rows.push(&row(name, &counters, then.map(|(_before, then)| then).zip(over_ms)));
    }
    Ok(rows)
}

/// The counters in the kernel's order: reads, merged, sectors, ms; writes, merged, sectors, ms; under way now; ms busy; ms of all
/// requests together.
type Counters = [u64; FIELDS];

fn counters(stat: &str) -> Option<Counters> {
    let numbers: Vec<u64> = stat.split_whitespace().take(FIELDS).map(str::parse).collect::<Result<_, _>>().ok()?;
    numbers.try_into().ok()
}

fn note(name: &str, counters: &Counters) -> String {
    let numbers: Vec<String> = counters.iter().map(u64::to_string).collect();
    format!("{name} {}", numbers.join(" "))
}

fn noted(before: &Before) -> BTreeMap<&str, Counters> {
    let lines = before.text.lines().filter_map(|line| line.split_once(' '));
    lines.filter_map(|(name, rest)| Some((name, counters(rest)?))).collect()
}

fn row(disk: String, now: &Counters, before: Option<(&Counters, i64)>) -> DiskIo {
    let [.., in_flight, _busy, _queued] = *now;
    let alone = DiskIo { disk, in_flight: Some(in_flight), ..DiskIo::default() };
    let Some((before, over_ms)) = before else { return alone };
    let Some(gained) = gained(before, now) else { return alone };
    let [reads, _, read_sectors, read_ms, writes, _, written_sectors, write_ms, _, busy_ms, queued_ms] = gained;
    let over_ms = over_ms as f64;
    let per_second = |count: u64| count as f64 / over_ms * 1e3;
    let mean = |ms: u64, count: u64| (count > 0).then(|| ms as f64 / count as f64);
    DiskIo {
        reads_per_second: Some(per_second(reads)),
        writes_per_second: Some(per_second(writes)),
        read_bytes_per_second: Some(per_second(read_sectors) * SECTOR_BYTES as f64),
        written_bytes_per_second: Some(per_second(written_sectors) * SECTOR_BYTES as f64),
        busy_percent: Some((busy_ms as f64 / over_ms * 100.0).min(100.0)),
        queue: Some(queued_ms as f64 / over_ms),
        read_latency_ms: mean(read_ms, reads),
        write_latency_ms: mean(write_ms, writes),
        over_s: Some(over_ms / 1e3),
        ..alone
    }
}

/// What each counter gained. Absent where one of them ran backwards: then it is another disk by the same name.
fn gained(before: &Counters, now: &Counters) -> Option<Counters> {
    let mut gained = [0; FIELDS];
    for (place, ((gain, now), before)) in gained.iter_mut().zip(now).zip(before).enumerate() {
        // Under way now is no counter.
        if place != FIELDS - 3 {
            *gain = now.checked_sub(*before)?;
        }
    }
    Some(gained)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "100 5 800 50  200 6 1600 400  3 500 900 0 0 0 0 0 0";
    const NOW: &str = "110 5 1800 100  220 6 1600 700  1 1500 2900 0 0 0 0 0 0";

    #[test]
    fn rates_are_of_the_time_between_two_looks() {
        let (before, now) = (counters(BEFORE).unwrap(), counters(NOW).unwrap());
        let row = row("sda".into(), &now, Some((&before, 2_000)));
        assert_eq!((row.reads_per_second, row.writes_per_second), (Some(5.0), Some(10.0)));
        assert_eq!((row.read_bytes_per_second, row.written_bytes_per_second), (Some(256_000.0), Some(0.0)));
        assert_eq!((row.busy_percent, row.queue, row.in_flight), (Some(50.0), Some(1.0), Some(1)));
        assert_eq!((row.read_latency_ms, row.write_latency_ms, row.over_s), (Some(5.0), Some(15.0), Some(2.0)));
    }

    #[test]
    fn another_disk_by_the_same_name_has_no_rates_yet() {
        let (before, now) = (counters(NOW).unwrap(), counters(BEFORE).unwrap());
        let row = row("sda".into(), &now, Some((&before, 2_000)));
        assert_eq!((row.reads_per_second, row.in_flight), (None, Some(3)));
    }

    #[test]
    fn a_disk_without_reads_has_no_latency_of_reads() {
        let same = counters(NOW).unwrap();
        let row = row("sda".into(), &same, Some((&same, 1)));
        assert_eq!((row.read_latency_ms, row.reads_per_second), (None, Some(0.0)));
    }

    #[test]
    fn counters_that_end_early_or_are_none_are_refused() {
        assert_eq!(counters("1 2 3"), None);
        assert_eq!(counters(&"99999999999999999999 ".repeat(11)), None);
        assert_eq!(noted(&Before { at_ms: 0, text: "garbage\nsda 1 2\n".into() }).len(), 0);
    }
}
