//! Load averages, and pressure stall information where the kernel keeps it.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Load;

use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const LOAD: Collector =
    Collector { table: Load::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(1)), look };

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let text = host.text("/proc/loadavg").context("reading /proc/loadavg")?;
    let [one, five, fifteen] = averages(&text)?;
    let mut rows = Rows::none();
    let processors = host.line("/sys/devices/system/cpu/online").and_then(|online| count(&online));
    if processors.is_none() {
        rows.missing("the number of processors");
    }
    let mut pressure = |resource: &str| match host.text(&format!("/proc/pressure/{resource}")) {
        Ok(text) => text,
        // Kernels without PSI, or with it switched off: EOPNOTSUPP on reading.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Unsupported) => String::new(),
        Err(error) => {
            rows.missing(format!("pressure of {resource}: {error}"));
            String::new()
        }
    };
    let (cpu, memory, io) = (pressure("cpu"), pressure("memory"), pressure("io"));
    rows.push(&Load {
        load_1: one,
        load_5: five,
        load_15: fifteen,
        processors: processors.unwrap_or_default(),
        cpu_some_60: share(&cpu, "some"),
        memory_some_60: share(&memory, "some"),
        memory_full_60: share(&memory, "full"),
        io_some_60: share(&io, "some"),
        io_full_60: share(&io, "full"),
    });
    Ok(rows)
}

/// "0.52 0.58 0.59 1/598 12345": three averages come first.
fn averages(loadavg: &str) -> anyhow::Result<[f64; 3]> {
    let mut numbers = loadavg.split_whitespace();
    let mut next = || -> anyhow::Result<f64> {
        let number = numbers.next().context("/proc/loadavg ends early")?;
        let number = number.parse().ok().filter(|number: &f64| number.is_finite());
        number.context("/proc/loadavg holds something that is not a number")
    };
    Ok([next()?, next()?, next()?])
}

/// "0-3,8": a list of ranges, both ends included.
fn count(online: &str) -> Option<u32> {
    let mut processors: u32 = 0;
    for range in online.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        processors = processors.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    Some(processors)
}

/// "some avg10=0.00 avg60=0.12 avg300=0.05 total=157622151"
fn share(pressure: &str, whose: &str) -> Option<f64> {
    let line = pressure.lines().find_map(|line| line.strip_prefix(whose))?;
    let share = line.split_whitespace().find_map(|word| word.strip_prefix("avg60="))?.parse().ok();
    share.filter(|share: &f64| share.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_processors_are_counted() {
        assert_eq!(count("0-3,8"), Some(5));
        assert_eq!(count("0"), Some(1));
        assert_eq!(count("3-0"), None);
        assert_eq!(count("0-4294967295"), None);
        assert_eq!(count(""), None);
    }

    #[test]
    fn pressure_is_the_share_over_a_minute() {
        let text = "some avg10=1.00 avg60=2.50 avg300=0.00 total=5\nfull avg10=0.00 avg60=0.75 avg300=0.00 total=1\n";
        assert_eq!((share(text, "some"), share(text, "full")), (Some(2.5), Some(0.75)));
        assert_eq!(share("", "some"), None);
    }

    #[test]
    fn averages_that_are_no_numbers_are_refused() {
        assert!(averages("a b c").is_err() && averages("1 nan 2").is_err() && averages("1 2").is_err());
    }
}
