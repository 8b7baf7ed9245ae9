//! Where power comes from: mains and USB-C (the class `power_supply`), supply rails (hwmon), and the processor's own meter (RAPL, powercap).

use std::io::ErrorKind;
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::PowerSource;

use super::hwmon::{self, Channel, Chip};
use super::supplies::{Supply, plausible, product, supplies};
use crate::collect::sysfs::{self, Folder};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Before, Host};

pub(in crate::collect) const POWER: Collector = Collector {
    table: PowerSource::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_mins(5)),
    look,
};

const POWERCAP: &str = "/sys/class/powercap";

/// Most zones of the processor's meter; a machine has a handful for each socket.
const METERS_MAX: usize = 64;

/// Kinds of rail, by the beginning of the channel's name.
const RAILS: [&str; 3] = ["in", "curr", "power"];

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let (supplies, more) = supplies(host)?;
    let mut rows = Rows::none();
    for supply in supplies.iter().filter(|supply| supply.feeds()) {
        rows.push(&feeding(supply));
    }
    if more > 0 {
        rows.missing(format!("{more} more power supplies"));
    }
    let (chips, cut) = hwmon::chips(host)?.unwrap_or_default();
    // What a power supply mirrors as a sensor is told by the supply itself.
    let own = |chip: &&Chip<'_>| supplies.iter().all(|supply| supply.name != chip.device);
    for chip in chips.iter().filter(own) {
        rails(chip, &mut rows);
    }
    if cut {
        rows.missing("sensor chips beyond the number that is read");
    }
    meters(host, &mut rows)?;
    Ok(rows)
}

fn feeding(supply: &Supply<'_>) -> PowerSource {
    let kind = supply.kind.as_deref().unwrap_or_default();
    let text = |name: &str| supply.folder.line(name).unwrap_or_default();
    let [voltage_max, current_max] =
        ["voltage_max", "current_max"].map(|name| supply.micro(name).filter(|most| *most > 0));
    let online = supply.online();
    let offered = voltage_max.zip(current_max).and_then(|(voltage, current)| product(voltage, current));
    PowerSource {
        name: supply.name.clone(),
        // Older kernels put the kind of USB into the type: "USB_PD".
        kind: if kind.starts_with("USB") { "usb".to_owned() } else { kind.to_lowercase() },
        online,
        usb_type: in_use(&text("usb_type")),
        voltage_microvolts: supply.micro("voltage_now"),
        voltage_min_microvolts: supply.micro("voltage_min").filter(|least| *least > 0),
        voltage_max_microvolts: voltage_max,
        current_microamperes: supply.micro("current_now"),
        current_max_microamperes: current_max,
        // A supply that is not in use negotiated nothing.
        power_microwatts: supply.power().filter(|_power| online != Some(false)),
        power_max_microwatts: offered.filter(|_power| online != Some(false)),
        manufacturer: text("manufacturer"),
        model: text("model_name"),
        serial: text("serial_number"),
        ..PowerSource::default()
    }
}

/// Of `C [PD] PD_PPS`, the one in brackets; a driver that knows only one writes it alone.
fn in_use(types: &str) -> String {
    let mut words = types.split_whitespace();
    let chosen = words.clone().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    let only = || words.next().filter(|_first| words.next().is_none());
    chosen.or_else(only).unwrap_or_default().to_owned()
}

/// The channels that say what they measure, or that raise an alarm: a board's unnamed ones are voltages at pins, divided who knows how.
fn rails(chip: &Chip<'_>, rows: &mut Rows) {
    for kind in RAILS {
        let (channels, cut) = chip.channels(kind);
        for channel in &channels {
            let (label, alarms) = (channel.label(), channel.alarms());
            if !label.is_empty() || !alarms.is_empty() || chip.part() == "power" {
                rows.push(&rail(chip, kind, channel, label, alarms));
            }
        }
        if cut {
            rows.missing(format!("channels of {} beyond the number that is read", chip.name));
        }
    }
}

fn rail(chip: &Chip<'_>, kind: &str, channel: &Channel<'_>, label: String, alarms: Vec<String>) -> PowerSource {
    let name = format!("{}/{}/{}", chip.name, chip.device, channel.name);
    let row = PowerSource { name, kind: "rail".to_owned(), label, alarms, ..PowerSource::default() };
    // Some channels have an alarm and no number.
    let (now, problem) = match channel.input() {
        Ok(now) => (u64::try_from(now).ok(), String::new()),
        Err(_none) if !channel.has("input") => {
            (channel.number("average").and_then(|mean| u64::try_from(mean).ok()), String::new())
        }
        Err(problem) => (None, problem),
    };
    let limit = |names: [&str; 2], scale: u64| {
        let set = names.iter().find_map(|name| channel.number(name)).filter(|limit| *limit > 0)?;
        u64::try_from(set).ok()?.checked_mul(scale).and_then(plausible)
    };
    match kind {
        "in" => PowerSource {
            voltage_microvolts: now.and_then(|millivolts| millivolts.checked_mul(1000)).and_then(plausible),
            voltage_min_microvolts: limit(["min", "lcrit"], 1000),
            voltage_max_microvolts: limit(["max", "crit"], 1000),
            problem,
            ..row
        },
        "curr" => PowerSource {
            current_microamperes: now.and_then(|milliamperes| milliamperes.checked_mul(1000)).and_then(plausible),
            current_max_microamperes: limit(["max", "crit"], 1000),
            problem,
            ..row
        },
        _ => PowerSource {
            power_microwatts: now.and_then(plausible),
            power_max_microwatts: limit(["cap", "max"], 1),
            problem,
            ..row
        },
    }
}

/// The processor's meter counts energy; power is what it counted since the look before.
fn meters(host: &dyn Host, rows: &mut Rows) -> anyhow::Result<()> {
    let mut zones = sysfs::class(host, POWERCAP)?;
    zones.retain(|(name, _zone)| name.starts_with("intel-rapl:"));
    let mut meters: Vec<Meter> = zones.iter().take(METERS_MAX).map(|(name, zone)| Meter::read(name, zone)).collect();
    if zones.len() > METERS_MAX {
        rows.missing(format!("{} more zones of the processor's meter", zones.len() - METERS_MAX));
    }
    let note: String =
        meters.iter().filter_map(|meter| Some(format!("{} {}\n", meter.row.name, meter.energy?))).collect();
    if !note.is_empty() {
        let now_ms = host.now_ms();
        let before = host.recall(PowerSource::TABLE, note);
        for meter in &mut meters {
            meter.row.power_microwatts = before.as_ref().and_then(|before| meter.power(before, now_ms));
        }
    }
    for meter in &meters {
        rows.push(&meter.row);
    }
    Ok(())
}

struct Meter {
    row: PowerSource,
    /// In microjoules since some time or other.
    energy: Option<u64>,
    /// Where it begins again at 0.
    range: Option<u64>,
}

impl Meter {
    fn read(name: &str, zone: &Folder<'_>) -> Self {
        let (energy, problem) = match zone.ask("energy_uj") {
            Ok(text) => (text.parse().ok(), String::new()),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                (None, "the kernel tells the energy only to root (CAP_DAC_READ_SEARCH)".to_owned())
            }
            Err(error) => (None, format!("the meter does not answer: {error}")),
        };
        let row = PowerSource {
            name: name.to_owned(),
            kind: "meter".to_owned(),
            label: zone.line("name").unwrap_or_default(),
            power_max_microwatts: zone.count("constraint_0_power_limit_uw").filter(|limit| *limit > 0),
            problem,
            ..PowerSource::default()
        };
        Self { row, energy, range: zone.count("max_energy_range_uj") }
    }

    fn power(&self, before: &Before, now_ms: i64) -> Option<u64> {
        let line = before.text.lines().find_map(|line| line.strip_prefix(self.row.name.as_str())?.strip_prefix(' '));
        let (now, then): (u64, u64) = (self.energy?, line?.parse().ok()?);
        // It began again at 0 at most once: in five minutes it can at no power do so twice.
        let spent = now.checked_sub(then).or_else(|| self.range?.checked_sub(then)?.checked_add(now))?;
        let took_ms = u64::try_from(now_ms.checked_sub(before.at_ms)?).ok().filter(|took| *took > 0)?;
        u64::try_from(u128::from(spent) * 1000 / u128::from(took_ms)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(energy: u64) -> Meter {
        let row = PowerSource { name: "intel-rapl:0".into(), ..PowerSource::default() };
        Meter { row, energy: Some(energy), range: Some(262_143_328_850) }
    }

    #[test]
    fn power_is_energy_by_time_also_where_the_counter_began_again() {
        let before = |energy: u64| Before { at_ms: 1_000, text: format!("intel-rapl:0:0 9\nintel-rapl:0 {energy}\n") };
        assert_eq!(meter(90_000_000).power(&before(40_000_000), 11_000), Some(5_000_000));
        assert_eq!(meter(10_000_000).power(&before(262_103_328_850), 11_000), Some(5_000_000));
        assert_eq!(meter(90_000_000).power(&before(40_000_000), 1_000), None);
        assert_eq!(meter(90_000_000).power(&Before::default(), 11_000), None);
    }

    #[test]
    fn the_usb_supply_in_brackets_is_the_one_in_use() {
        assert_eq!(in_use("C [PD] PD_PPS"), "PD");
        assert_eq!(in_use("DCP"), "DCP");
        assert_eq!(in_use("SDP DCP"), "");
    }
}
