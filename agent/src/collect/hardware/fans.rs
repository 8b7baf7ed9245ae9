//! Fans, and how fast they turn (Documentation/hwmon/sysfs-interface.rst).

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::Fan;

use super::hwmon::{self, Channel, Chip};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const FANS: Collector =
    Collector { table: Fan::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(5)), look };

/// The fastest fan of a small server stays below it; some laptops give 65535 while their controller is busy.
const RPM_MAX: i64 = 40_000;

/// Full drive in what the kernel writes for it.
const DRIVE_MAX: f64 = 255.0;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let Some((chips, mut cut)) = hwmon::chips(host)? else {
        return Ok(Rows::unsupported(hwmon::no_chips()));
    };
    let mut rows = Rows::none();
    for chip in &chips {
        let (channels, more) = chip.channels("fan");
        cut |= more;
        for channel in channels.iter().filter(|channel| channel.has("input")) {
            rows.push(&fan(chip, channel));
        }
    }
    if cut {
        rows.missing("fans beyond the number that is read");
    }
    Ok(rows)
}

fn fan(chip: &Chip<'_>, channel: &Channel<'_>) -> Fan {
    let (rpm, problem) = told(channel.input());
    let turns = |attribute: &str| channel.number(attribute).and_then(turns).filter(|turns| *turns > 0);
    let drive = format!("pwm{}", channel.name.trim_start_matches("fan"));
    let drive = if chip.asleep.is_none() { chip.number(&drive) } else { None };
    Fan {
        chip: chip.name.clone(),
        device: chip.device.clone(),
        sensor: channel.name.clone(),
        part: chip.part().to_owned(),
        label: channel.label(),
        rpm,
        min_rpm: turns("min"),
        max_rpm: turns("max"),
        target_rpm: channel.number("target").and_then(self::turns),
        drive_percent: drive.filter(|drive| (0..=255).contains(drive)).map(|drive| drive as f64 / DRIVE_MAX * 100.0),
        alarm: !channel.alarms().is_empty(),
        problem,
    }
}

fn told(input: Result<i64, String>) -> (Option<u32>, String) {
    match input {
        Ok(rpm) => match turns(rpm) {
            Some(rpm) => (Some(rpm), String::new()),
            None => (None, format!("the sensor gives {rpm} turns a minute, which cannot be")),
        },
        Err(problem) => (None, problem),
    }
}

fn turns(rpm: i64) -> Option<u32> {
    u32::try_from(rpm).ok().filter(|_small| rpm <= RPM_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fan_that_stands_is_not_a_fan_that_gives_nonsense() {
        assert_eq!(told(Ok(0)), (Some(0), String::new()));
        for rpm in [65_535, -1, i64::MAX] {
            let (turns, problem) = told(Ok(rpm));
            assert!(turns.is_none() && problem.contains("cannot be"), "{rpm}: {problem}");
        }
        assert_eq!(told(Err("silent".into())), (None, "silent".into()));
    }
}
