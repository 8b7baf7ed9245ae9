//! How the processors were slowed down (`thermal_throttle` of the kernel's Intel thermal driver), and what limits their clock
//! (Documentation/admin-guide/pm/cpufreq.rst and `intel_pstate.rst`).

use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::CpuThrottling;

use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const CPU_THROTTLING: Collector = Collector {
    table: CpuThrottling::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_mins(5)),
    look,
};

const CPUS: &str = "/sys/devices/system/cpu";

/// Processors that are looked at.
const CPUS_MAX: usize = 1024;

const HOUR_MS: i64 = 3_600_000;

/// Looks of the last hour that are remembered.
const REMEMBERED_MAX: usize = 60;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let names = host.list(CPUS).with_context(|| format!("listing {CPUS}"))?;
    let is_cpu = |name: &&String| name.strip_prefix("cpu").is_some_and(|number| number.parse::<u32>().is_ok());
    let counted: Vec<Counts> =
        names.iter().filter(is_cpu).take(CPUS_MAX).filter_map(|name| counts(host, name)).collect();
    let mut row = limits(host);
    if counted.is_empty() && row.driver.is_empty() {
        return Ok(Rows::unsupported(
            "the kernel neither counts throttling nor sets the clock here (virtual machine?)",
        ));
    }
    if !counted.is_empty() {
        let all = Totals::of(&counted);
        row.core_throttles = Some(all.cores);
        row.package_throttles = Some(all.packages);
        row.core_throttled_ms = all.core_ms;
        row.package_throttled_ms = all.package_ms;
        row.cores_throttled = Some(all.cores_throttled);
        watch(host, &all, &mut row);
    }
    Ok(Rows::one(row))
}

/// What one logical processor tells of its core and its package.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    core: (u32, u32),
    cores: u64,
    packages: u64,
    core_ms: Option<u64>,
    package_ms: Option<u64>,
}

fn counts(host: &dyn Host, cpu: &str) -> Option<Counts> {
    let number = |path: &str| host.line(&format!("{CPUS}/{cpu}/{path}"))?.parse::<u64>().ok();
    let place = |path: &str| number(path).and_then(|number| u32::try_from(number).ok()).unwrap_or_default();
    Some(Counts {
        cores: number("thermal_throttle/core_throttle_count")?,
        packages: number("thermal_throttle/package_throttle_count").unwrap_or_default(),
        core_ms: number("thermal_throttle/core_throttle_total_time_ms"),
        package_ms: number("thermal_throttle/package_throttle_total_time_ms"),
        core: (place("topology/physical_package_id"), place("topology/core_id")),
    })
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    cores: u64,
    packages: u64,
    core_ms: Option<u64>,
    package_ms: Option<u64>,
    cores_throttled: u32,
}

impl Totals {
    /// Threads of one core tell the same of it, and all of one package the same of that.
    fn of(counted: &[Counts]) -> Self {
        let mut cores: Vec<&Counts> = counted.iter().collect();
        cores.sort_by_key(|counts| counts.core);
        cores.dedup_by_key(|counts| counts.core);
        let mut packages = cores.clone();
        packages.dedup_by_key(|counts| counts.core.0);
        let sum =
            |counts: &[&Counts], of: fn(&Counts) -> u64| counts.iter().map(|c| of(c)).fold(0, u64::saturating_add);
        let throttled = cores.iter().filter(|counts| counts.cores > 0).count();
        Self {
            cores: sum(&cores, |counts| counts.cores),
            packages: sum(&packages, |counts| counts.packages),
            core_ms: cores.iter().filter_map(|counts| counts.core_ms).max(),
            package_ms: packages.iter().filter_map(|counts| counts.package_ms).max(),
            cores_throttled: u32::try_from(throttled).unwrap_or(u32::MAX),
        }
    }

    fn times(&self) -> u64 {
        self.cores.saturating_add(self.packages)
    }

    fn ms(&self) -> Option<u64> {
        self.core_ms.max(self.package_ms)
    }
}

/// Compares with the oldest look of the last hour, and remembers this one: a line `at_ms times ms` a look.
fn watch(host: &dyn Host, all: &Totals, row: &mut CpuThrottling) {
    let now_ms = host.now_ms();
    let before = host.recall("cpu_throttling", String::new()).map(|before| before.text).unwrap_or_default();
    let mut seen: Vec<[i64; 3]> = before.lines().filter_map(remembered).collect();
    seen.retain(|[at_ms, ..]| (1..=HOUR_MS).contains(&now_ms.saturating_sub(*at_ms)));
    let many = seen.len().saturating_sub(REMEMBERED_MAX);
    seen.drain(..many);
    if let Some([at_ms, times, ms]) = seen.first() {
        let grown = |now: u64, then: i64| u64::try_from(then).ok().and_then(|then| now.checked_sub(then));
        row.recent_throttles = grown(all.times(), *times);
        row.recent_throttled_ms = all.ms().and_then(|now| grown(now, *ms));
        row.watched_s = u64::try_from(now_ms.saturating_sub(*at_ms) / 1000).ok();
    }
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    seen.push([now_ms, number(all.times()), all.ms().map_or(-1, number)]);
    let lines: Vec<String> = seen.iter().map(|[at_ms, times, ms]| format!("{at_ms} {times} {ms}")).collect();
    host.recall("cpu_throttling", lines.join("\n"));
}

fn remembered(line: &str) -> Option<[i64; 3]> {
    let numbers: Vec<i64> = line.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    numbers.try_into().ok()
}

fn limits(host: &dyn Host) -> CpuThrottling {
    let line = |path: &str| host.line(&format!("{CPUS}/{path}"));
    let text = |path: &str| line(path).unwrap_or_default();
    let khz = |path: &str| line(path)?.parse::<u64>().ok()?.checked_mul(1000);
    let flag = |path: &str| line(path).and_then(|text| text.parse::<u8>().ok()).map(|flag| flag != 0);
    CpuThrottling {
        driver: text("cpu0/cpufreq/scaling_driver"),
        governor: text("cpu0/cpufreq/scaling_governor"),
        energy_preference: text("cpu0/cpufreq/energy_performance_preference"),
        limit_min_hz: khz("cpu0/cpufreq/scaling_min_freq"),
        limit_max_hz: khz("cpu0/cpufreq/scaling_max_freq"),
        hardware_max_hz: khz("cpu0/cpufreq/cpuinfo_max_freq"),
        turbo: flag("intel_pstate/no_turbo").map(|off| !off).or_else(|| flag("cpufreq/boost")),
        platform_profile: host.line("/sys/firmware/acpi/platform_profile").unwrap_or_default(),
        ..CpuThrottling::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(core: (u32, u32), cores: u64, packages: u64, ms: u64) -> Counts {
        Counts { core, cores, packages, core_ms: Some(ms), package_ms: Some(ms / 2) }
    }

    #[test]
    fn threads_of_one_core_and_cores_of_one_package_count_once() {
        let counted =
            [thread((0, 0), 5, 9, 100), thread((0, 1), 0, 9, 0), thread((0, 0), 5, 9, 100), thread((1, 0), 2, 1, 40)];
        let all = Totals::of(&counted);
        assert_eq!((all.cores, all.packages, all.cores_throttled), (7, 10, 2));
        assert_eq!((all.core_ms, all.package_ms, all.ms()), (Some(100), Some(50), Some(100)));
    }

    #[test]
    fn a_note_that_is_garbage_is_no_look() {
        assert_eq!(remembered("1 2 3"), Some([1, 2, 3]));
        for line in ["", "1 2", "1 2 3 4", "x y z", "99999999999999999999 1 1"] {
            assert_eq!(remembered(line), None, "{line}");
        }
    }
}
