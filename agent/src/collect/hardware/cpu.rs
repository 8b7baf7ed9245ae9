//! Processor use and clock.

use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Cpu;

use crate::collect::procfs::field;
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const CPU: Collector =
    Collector { table: Cpu::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(1)), look };

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let stat = host.text("/proc/stat").context("reading /proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    let now = times(line).context("/proc/stat does not begin with the processors' times")?;
    let before = host.recall("cpu", line.to_owned()).and_then(|before| times(&before.text));
    let shares = before.and_then(|before| shares(&before, &now));
    let [used_percent, iowait_percent, steal_percent] = shares.map_or([None; 3], |shares| shares.map(Some));
    let processors = stat.lines().skip(1).take_while(|line| line.starts_with("cpu")).count();
    let described = host.text("/proc/cpuinfo").unwrap_or_default();
    let mut rows = Rows::none();
    if described.is_empty() {
        rows.missing("the model: /proc/cpuinfo does not read");
    }
    let khz = |name: &str| -> Option<u64> {
        let text = host.line(&format!("/sys/devices/system/cpu/cpu0/cpufreq/{name}"))?;
        text.parse::<u64>().ok()?.checked_mul(1000)
    };
    rows.push(&Cpu {
        model: model(&described),
        processors: u32::try_from(processors).unwrap_or(u32::MAX),
        used_percent,
        iowait_percent,
        steal_percent,
        clock_hz: clock_hz(&described).or_else(|| khz("scaling_cur_freq")),
        clock_max_hz: khz("cpuinfo_max_freq"),
    });
    Ok(rows)
}

/// Times of all processors together, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    all: u64,
    idle: u64,
    iowait: u64,
    steal: u64,
}

/// `cpu user nice system idle iowait irq softirq steal guest guest_nice`: guest time is already within user time.
fn times(line: &str) -> Option<Times> {
    let rest = line.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = rest.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
    let [_user, _nice, _system, idle, iowait, _irq, _softirq, steal] = ticks.as_slice() else { return None };
    let all = ticks.iter().try_fold(0_u64, |sum, tick| sum.checked_add(*tick))?;
    Some(Times { all, idle: *idle, iowait: *iowait, steal: *steal })
}

/// Used, iowait and steal, in percent of the time between. Absent where no time passed or a counter ran backwards.
fn shares(before: &Times, now: &Times) -> Option<[f64; 3]> {
    let all = now.all.checked_sub(before.all).filter(|ticks| *ticks > 0)?;
    // iowait may run backwards a little (proc(5)).
    let [idle, iowait] =
        [(now.idle, before.idle), (now.iowait, before.iowait)].map(|(now, then)| now.saturating_sub(then));
    let steal = now.steal.saturating_sub(before.steal);
    let percent = |ticks: u64| ticks.min(all) as f64 / all as f64 * 100.0;
    Some([percent(all.saturating_sub(idle + iowait)), percent(iowait), percent(steal)])
}

/// x86 says "model name"; ARM boards say "Model" or "Hardware" at the end.
fn model(cpuinfo: &str) -> String {
    let keys = ["model name\t", "Model\t\t", "Hardware\t", "cpu\t\t"];
    keys.iter().find_map(|key| field(cpuinfo, key)).unwrap_or_default().to_owned()
}

/// Mean of the "cpu MHz" lines.
fn clock_hz(cpuinfo: &str) -> Option<u64> {
    let lines = cpuinfo.lines().filter_map(|line| line.strip_prefix("cpu MHz"));
    let clocks: Vec<f64> = lines.filter_map(|rest| rest.trim_start().strip_prefix(':')?.trim().parse().ok()).collect();
    (!clocks.is_empty()).then(|| (clocks.iter().sum::<f64>() / clocks.len() as f64 * 1e6) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_time_between_two_looks() {
        let before = times("cpu  100 0 100 700 100 0 0 0 0 0").unwrap();
        let now = times("cpu  150 0 120 800 120 0 0 10 50 0").unwrap();
        assert_eq!(shares(&before, &now), Some([40.0, 10.0, 5.0]));
    }

    #[test]
    fn no_time_and_a_counter_that_ran_backwards_say_nothing() {
        let now = times("cpu  100 0 100 700 100 0 0 0").unwrap();
        assert_eq!(shares(&now, &now), None);
        assert_eq!(shares(&Times { all: 2000, ..now }, &now), None);
        let waited = Times { all: now.all + 10, iowait: now.iowait - 5, ..now };
        assert!(shares(&now, &waited).unwrap()[1].abs() < f64::EPSILON);
    }

    #[test]
    fn times_that_end_early_or_overflow_are_refused() {
        assert_eq!(times("cpu  1 2 3"), None);
        assert_eq!(times("cpu0 1 2 3 4 5 6 7 8"), None);
        assert_eq!(times(&format!("cpu {}", "18446744073709551615 ".repeat(8))), None);
    }

    #[test]
    fn the_clock_is_the_mean_of_all_processors() {
        assert_eq!(clock_hz("cpu MHz\t\t: 1000.000\ncpu MHz\t\t: 2000.500\n"), Some(1_500_250_000));
        assert_eq!(clock_hz(""), None);
    }
}
