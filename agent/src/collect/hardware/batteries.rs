//! Batteries of the machine itself (Documentation/ABI/testing/sysfs-class-power).

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::Battery;

use super::supplies::{Supply, product, supplies};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const BATTERIES: Collector =
    Collector { table: Battery::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(5)), look };

/// A new battery may hold a little more than it was designed for; above this one of the two numbers is wrong.
const HEALTH_PERCENT_MAX: f64 = 150.0;

/// No battery lives as long.
const CYCLES_MAX: u32 = 20_000;

/// Longer than this, the power is too small for the quotient to mean anything.
const TIME_MAX_S: u64 = 100 * 3600;

/// What a battery can be, in tenths of a degree.
const TEMPERATURE: std::ops::RangeInclusive<i64> = -400..=1_200;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let (supplies, more) = supplies(host)?;
    let said: Vec<bool> = supplies.iter().filter(|supply| supply.feeds()).filter_map(Supply::online).collect();
    let on_supply = (!said.is_empty()).then(|| said.contains(&true));
    let mut rows = Rows::none();
    for supply in &supplies {
        if supply.is_battery() {
            rows.push(&Battery { on_supply, ..battery(supply) });
        } else if supply.kind.is_none() {
            rows.missing(format!("what kind of power supply {} is", supply.name));
        }
    }
    if more > 0 {
        rows.missing(format!("{more} more power supplies"));
    }
    Ok(rows)
}

fn battery(supply: &Supply<'_>) -> Battery {
    let folder = &supply.folder;
    let present = folder.count("present").map(|present| present != 0);
    let text = |name: &str| folder.line(name).unwrap_or_default();
    if present == Some(false) {
        // An empty bay: whatever else the driver still says is about a battery that was there.
        return Battery { name: supply.name.clone(), present, ..Battery::default() };
    }
    let [now, full, design] = ["now", "full", "full_design"].map(|which| energy(supply, which));
    let mut problems = Vec::new();
    let power = supply.power();
    let status = text("status");
    Battery {
        name: supply.name.clone(),
        charge_percent: charge(folder.number("capacity"), now, full, &mut problems),
        health_percent: health(full, design, &mut problems),
        full_microwatt_hours: full,
        design_microwatt_hours: design,
        cycles: cycles(folder.number("cycle_count"), &mut problems),
        manufacturer: text("manufacturer"),
        model: text("model_name"),
        technology: text("technology"),
        voltage_microvolts: supply.micro("voltage_now"),
        serial: text("serial_number"),
        present,
        capacity_level: text("capacity_level"),
        condition: text("health"),
        manufactured: day(["manufacture_year", "manufacture_month", "manufacture_day"].map(|name| folder.count(name))),
        alarm_microwatt_hours: alarm(supply),
        power_microwatts: power,
        time_to_empty_s: (status == "Discharging")
            .then(|| time(folder.count("time_to_empty_now"), now, power))
            .flatten(),
        time_to_full_s: (status == "Charging")
            .then(|| {
                time(folder.count("time_to_full_now"), full.zip(now).map(|(full, now)| full.saturating_sub(now)), power)
            })
            .flatten(),
        charge_start_percent: threshold(folder.number("charge_control_start_threshold")),
        charge_end_percent: threshold(folder.number("charge_control_end_threshold")),
        charge_behaviour: chosen(&text("charge_behaviour")),
        temperature_celsius: folder
            .number("temp")
            .filter(|tenths| TEMPERATURE.contains(tenths))
            .map(|tenths| tenths as f64 / 10.0),
        problem: problems.join("; "),
        status,
        ..Battery::default()
    }
}

/// In microwatt hours. Some batteries count charge (microampere hours) instead: then at the voltage that they are designed for.
fn energy(supply: &Supply<'_>, which: &str) -> Option<u64> {
    supply.micro(&format!("energy_{which}")).or_else(|| charge_at_voltage(supply, &format!("charge_{which}")))
}

fn charge_at_voltage(supply: &Supply<'_>, name: &str) -> Option<u64> {
    let voltage = supply.micro("voltage_min_design").filter(|voltage| *voltage > 0);
    product(voltage.or_else(|| supply.micro("voltage_now"))?, supply.micro(name)?)
}

/// The charge at which it warns: counted as the battery counts.
fn alarm(supply: &Supply<'_>) -> Option<u64> {
    let counts_energy = supply.folder.count("energy_full").is_some();
    if counts_energy { supply.micro("alarm") } else { charge_at_voltage(supply, "alarm") }
}

fn charge(capacity: Option<i64>, now: Option<u64>, full: Option<u64>, problems: &mut Vec<String>) -> Option<f64> {
    match capacity {
        Some(percent @ 0..=100) => return Some(percent as f64),
        Some(percent) => problems.push(format!("its charge is {percent} %")),
        None => {}
    }
    share(now, full).filter(|percent| *percent <= HEALTH_PERCENT_MAX)
}

fn health(full: Option<u64>, design: Option<u64>, problems: &mut Vec<String>) -> Option<f64> {
    if design == Some(0) {
        problems.push("it says that it was designed to hold nothing".to_owned());
    }
    let health = share(full, design)?;
    if health > HEALTH_PERCENT_MAX {
        problems.push(format!("it says that it holds {health:.0} % of what it was designed for"));
        return None;
    }
    Some(health)
}

/// Drivers write 0, and some -1, where the battery does not count.
fn cycles(count: Option<i64>, problems: &mut Vec<String>) -> Option<u32> {
    let count = u32::try_from(count?).ok().filter(|count| *count > 0)?;
    if count > CYCLES_MAX {
        problems.push(format!("it says that it was charged {count} times"));
        return None;
    }
    Some(count)
}

fn share(part: Option<u64>, whole: Option<u64>) -> Option<f64> {
    let whole = whole.filter(|whole| *whole > 0)?;
    Some(part? as f64 / whole as f64 * 100.0)
}

/// Seconds: those that the battery tells, else an amount by a power.
fn time(told: Option<u64>, amount: Option<u64>, power: Option<u64>) -> Option<u64> {
    let by_power = || Some(amount?.saturating_mul(3600) / power.filter(|power| *power > 0)?);
    told.filter(|seconds| *seconds > 0).or_else(by_power).filter(|seconds| *seconds <= TIME_MAX_S)
}

fn threshold(percent: Option<i64>) -> Option<u32> {
    u32::try_from(percent?).ok().filter(|percent| *percent <= 100)
}

fn day(parts: [Option<u64>; 3]) -> String {
    match parts {
        [Some(year @ 1980..=2100), Some(month @ 1..=12), Some(day @ 1..=31)] => format!("{year}-{month:02}-{day:02}"),
        _ => String::new(),
    }
}

/// Of "[auto] inhibit-charge force-discharge", the one in brackets.
fn chosen(choices: &str) -> String {
    let chosen = choices.split_whitespace().find_map(|choice| choice.strip_prefix('[')?.strip_suffix(']'));
    chosen.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_told_and_not_taken_for_health() {
        let mut problems = Vec::new();
        assert_eq!(health(Some(50), Some(0), &mut problems), None);
        assert_eq!(health(Some(5_000), Some(50), &mut problems), None);
        assert_eq!(charge(Some(255), None, None, &mut problems), None);
        assert_eq!(charge(Some(-3), Some(40), Some(80), &mut problems), Some(50.0));
        assert_eq!(cycles(Some(65_535), &mut problems), None);
        assert_eq!(problems.len(), 5, "{problems:?}");
        assert_eq!((cycles(Some(0), &mut problems), cycles(Some(-1), &mut problems)), (None, None));
        assert_eq!((health(Some(51), Some(50), &mut problems), problems.len()), (Some(102.0), 5));
    }

    #[test]
    fn time_left_is_what_is_left_by_what_is_drawn() {
        assert_eq!(time(None, Some(20_000_000), Some(10_000_000)), Some(7200));
        assert_eq!(time(Some(60), Some(20_000_000), Some(10_000_000)), Some(60));
        assert_eq!(time(Some(0), Some(20_000_000), Some(0)), None);
        assert_eq!(time(None, Some(u64::MAX), Some(1)), None);
    }

    #[test]
    fn the_choice_in_brackets_is_the_one_that_holds() {
        assert_eq!(chosen("auto [inhibit-charge] force-discharge"), "inhibit-charge");
        assert_eq!(chosen("auto"), "");
    }

    #[test]
    fn a_day_is_a_day() {
        assert_eq!(day([Some(2021), Some(3), Some(4)]), "2021-03-04");
        assert_eq!(day([Some(0), Some(0), Some(0)]), "");
    }
}
