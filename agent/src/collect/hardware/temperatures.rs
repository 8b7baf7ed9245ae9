//! Temperatures of the machine's parts: sensor chips (hwmon) and thermal zones (Documentation/driver-api/thermal/sysfs-api.rst).

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::Temperature;

use super::hwmon::{self, Channel, Chip};
use crate::collect::sysfs::{self, Folder};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const TEMPERATURES: Collector = Collector {
    table: Temperature::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_mins(5)),
    look,
};

const THERMAL: &str = "/sys/class/thermal";

/// Most zones that are read.
const ZONES_MAX: usize = 64;

/// Most trip points of one zone that are read.
const TRIPS_MAX: usize = 16;

/// What a part of a computer can be, in thousandths of a degree: outside of it the sensor is not connected (-273, -128, 127, 255) or broken.
const PLAUSIBLE: std::ops::RangeInclusive<i64> = -40_000..=125_000;

/// What a limit can be. Drivers give 0, or the largest number that there is, where none is set.
const LIMIT: std::ops::RangeInclusive<i64> = 1_000..=150_000;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let zones = zones(host)?;
    let chips = hwmon::chips(host)?;
    if zones.is_empty() && chips.is_none() {
        return Ok(Rows::unsupported(hwmon::no_chips()));
    }
    let (chips, mut cut) = chips.unwrap_or_default();
    let mut rows = Rows::none();
    // The kernel mirrors a thermal zone as a chip: the zone knows more.
    for chip in chips.iter().filter(|chip| !chip.device.starts_with("thermal_zone")) {
        let (channels, more) = chip.channels("temp");
        cut |= more;
        for channel in &channels {
            rows.push(&of_chip(chip, channel));
        }
    }
    cut |= zones.len() > ZONES_MAX;
    for (name, zone) in zones.iter().take(ZONES_MAX) {
        rows.push(&of_zone(name, zone));
    }
    if cut {
        rows.missing("sensors beyond the number that is read");
    }
    Ok(rows)
}

fn zones(host: &dyn Host) -> anyhow::Result<Vec<(String, Folder<'_>)>> {
    let mut zones = sysfs::class(host, THERMAL)?;
    zones.retain(|(name, _zone)| name.starts_with("thermal_zone"));
    Ok(zones)
}

fn of_chip(chip: &Chip<'_>, channel: &Channel<'_>) -> Temperature {
    let (temperature_celsius, problem) = told(channel.input());
    let limit = |attribute: &str| channel.number(attribute).and_then(limit);
    Temperature {
        chip: chip.name.clone(),
        device: chip.device.clone(),
        sensor: channel.name.clone(),
        part: chip.part().to_owned(),
        label: channel.label(),
        temperature_celsius,
        max_celsius: limit("max"),
        critical_celsius: limit("crit").or_else(|| limit("emergency")),
        alarms: channel.alarms(),
        problem,
    }
}

fn of_zone(name: &str, zone: &Folder<'_>) -> Temperature {
    let chip = zone.line("type").unwrap_or_default();
    // The device behind a zone may sleep: a Wi-Fi card that is off, a graphics card.
    let input = if zone.at("device").asleep() {
        Err("its device sleeps and was not woken".to_owned())
    } else {
        match zone.ask("temp") {
            Ok(text) => text.parse().map_err(|_error| "the zone gives no number".to_owned()),
            Err(error) => Err(format!("the zone does not answer: {error}")),
        }
    };
    let (temperature_celsius, problem) = told(input);
    let trips = trips(zone);
    let lowest = |kinds: &[&str]| {
        let of_kind = trips.iter().filter(|(kind, _at)| kinds.contains(&kind.as_str())).map(|(_kind, at)| *at);
        of_kind.min().and_then(limit)
    };
    Temperature {
        part: hwmon::part(&chip).to_owned(),
        chip,
        device: name.to_owned(),
        sensor: "temp".to_owned(),
        temperature_celsius,
        max_celsius: lowest(&["passive", "hot"]),
        critical_celsius: lowest(&["critical"]),
        problem,
        ..Temperature::default()
    }
}

/// Kind and temperature of a zone's trip points that are set.
fn trips(zone: &Folder<'_>) -> Vec<(String, i64)> {
    let trip = |number: usize| {
        let kind = zone.line(&format!("trip_point_{number}_type"))?;
        Some((kind, zone.number(&format!("trip_point_{number}_temp")).unwrap_or_default()))
    };
    (0..TRIPS_MAX).map_while(trip).filter(|(_kind, at)| LIMIT.contains(at)).collect()
}

/// A temperature or what is wrong with it, from thousandths of a degree.
fn told(input: Result<i64, String>) -> (Option<f64>, String) {
    match input {
        Ok(milli) if PLAUSIBLE.contains(&milli) => (Some(celsius(milli)), String::new()),
        Ok(milli) => (None, format!("the sensor gives {:.0} °C, which cannot be", celsius(milli))),
        Err(problem) => (None, problem),
    }
}

fn limit(milli: i64) -> Option<f64> {
    LIMIT.contains(&milli).then(|| celsius(milli))
}

fn celsius(milli: i64) -> f64 {
    milli as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sensor_that_is_not_connected_is_told_and_never_cold() {
        for milli in [-273_150, -128_000, 127_000, 255_000, i64::MIN, i64::MAX] {
            let (celsius, problem) = told(Ok(milli));
            assert_eq!(celsius, None);
            assert!(problem.contains("cannot be"), "{problem}");
        }
        assert_eq!(told(Ok(-5_000)), (Some(-5.0), String::new()));
        assert_eq!(told(Ok(99_850)), (Some(99.85), String::new()));
    }

    #[test]
    fn a_limit_that_nobody_set_is_none() {
        // An NVMe disk's second sensor: "no limit" is 65261.85 degrees.
        assert_eq!((limit(65_261_850), limit(0), limit(-273_150)), (None, None, None));
        assert_eq!(limit(84_850), Some(84.85));
    }
}
