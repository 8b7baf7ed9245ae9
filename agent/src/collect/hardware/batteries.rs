//! Batteries of the machine itself (Documentation/ABI/testing/sysfs-class-power).

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Battery;

use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const BATTERIES: Collector =
    Collector { table: Battery::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(5)), look };

const SUPPLIES: &str = "/sys/class/power_supply";

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let names = match host.list(SUPPLIES) {
        // A kernel without power supplies is a machine without a battery.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Rows::none()),
        names => names.with_context(|| format!("listing {SUPPLIES}"))?,
    };
    let mut rows = Rows::none();
    for name in names {
        let supply = Supply { host, folder: format!("{SUPPLIES}/{name}") };
        match supply.line("type").as_deref() {
            // Scope "Device": the battery of a mouse or a keyboard.
            Some("Battery") if supply.line("scope").as_deref() != Some("Device") => rows.push(&supply.battery(name)),
            Some(_other) => {}
            None => rows.missing(format!("what kind of power supply {name} is")),
        }
    }
    Ok(rows)
}

/// One folder of the class.
struct Supply<'a> {
    host: &'a dyn Host,
    folder: String,
}

impl Supply<'_> {
    fn line(&self, name: &str) -> Option<String> {
        self.host.line(&format!("{}/{name}", self.folder))
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.line(name)?.parse().ok()
    }

    fn battery(&self, name: String) -> Battery {
        let text = |name: &str| self.line(name).unwrap_or_default();
        let [now, full, design] = ["now", "full", "full_design"].map(|which| self.energy(which));
        Battery {
            name,
            status: text("status"),
            charge_percent: self.number("capacity").map(|percent| percent as f64).or_else(|| share(now, full)),
            full_microwatt_hours: full,
            design_microwatt_hours: design,
            health_percent: share(full, design),
            // Drivers write 0 where the battery does not count.
            cycles: self
                .number("cycle_count")
                .and_then(|cycles| u32::try_from(cycles).ok())
                .filter(|cycles| *cycles > 0),
            manufacturer: text("manufacturer"),
            model: text("model_name"),
            technology: text("technology"),
            voltage_microvolts: self.number("voltage_now"),
            serial: text("serial_number"),
        }
    }

    /// In microwatt hours. Some batteries count charge (microampere hours) instead: then at the voltage that they are designed for.
    fn energy(&self, which: &str) -> Option<u64> {
        self.number(&format!("energy_{which}")).or_else(|| {
            let charge = self.number(&format!("charge_{which}"))?;
            let voltage = self.number("voltage_min_design").or_else(|| self.number("voltage_now"))?;
            u64::try_from(u128::from(charge) * u128::from(voltage) / 1_000_000).ok()
        })
    }
}

fn share(part: Option<u64>, whole: Option<u64>) -> Option<f64> {
    let whole = whole.filter(|whole| *whole > 0)?;
    Some(part? as f64 / whole as f64 * 100.0)
}
