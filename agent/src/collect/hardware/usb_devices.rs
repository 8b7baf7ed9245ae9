//! USB devices (Documentation/ABI/testing/sysfs-bus-usb), and ports with trouble that nothing is connected to now.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::UsbDevice;

use super::udev::Properties;
use super::usb_log::{self, Port, is_port};
use crate::collect::kernel_log;
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const USB_DEVICES: Collector = Collector {
    table: UsbDevice::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_mins(30)),
    look,
};

const DEVICES: &str = "/sys/bus/usb/devices";

/// Devices that are shown, and interfaces of one.
const DEVICES_MAX: usize = 256;
const INTERFACES_MAX: usize = 32;

/// Defined class codes (usb.org).
const CLASSES: [(&str, &str); 20] = [
    ("01", "audio"),
    ("02", "communications"),
    ("03", "human interface"),
    ("05", "physical"),
    ("06", "image"),
    ("07", "printer"),
    ("08", "mass storage"),
    ("09", "hub"),
    ("0a", "communications data"),
    ("0b", "smart card"),
    ("0d", "content security"),
    ("0e", "video"),
    ("0f", "personal healthcare"),
    ("10", "audio and video"),
    ("11", "billboard"),
    ("12", "type-C bridge"),
    ("dc", "diagnostic"),
    ("e0", "wireless"),
    ("fe", "application"),
    ("ff", "of its vendor"),
];

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let names = match host.list(DEVICES) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Rows::unsupported("this machine has no USB"));
        }
        names => names.with_context(|| format!("listing {DEVICES}"))?,
    };
    let mut rows = Rows::none();
    let mut ports = match kernel_log::lines(host, usb_log::LOGGED) {
        Ok(found) => {
            found.missing.into_iter().for_each(|missing| rows.ends_early(missing));
            usb_log::ports(&found.lines, host.now_ms())
        }
        Err(error) => {
            rows.missing(format!("drops and errors of ports: {error:#}"));
            BTreeMap::new()
        }
    };
    let is_device =
        |name: &&String| is_port(name) || name.strip_prefix("usb").is_some_and(|bus| bus.parse::<u32>().is_ok());
    let devices: Vec<&String> = names.iter().filter(is_device).collect();
    if devices.len() > DEVICES_MAX {
        rows.missing(format!("{} devices beyond the first {DEVICES_MAX}", devices.len() - DEVICES_MAX));
    }
    for name in devices.into_iter().take(DEVICES_MAX) {
        let port = ports.remove(name).unwrap_or_default();
        rows.push(&with_log(device(host, name, &names), &port));
    }
    for (name, port) in ports.into_iter().filter(|(_name, port)| port.is_trouble()) {
        let row = UsbDevice {
            name: port.product.clone(),
            over_currents: over_currents(host, &name),
            port: name,
            ..UsbDevice::default()
        };
        rows.push(&with_log(row, &port));
    }
    Ok(rows)
}

fn with_log(row: UsbDevice, port: &Port) -> UsbDevice {
    UsbDevice {
        disconnects_last_day: u32::try_from(port.disconnected_ms.len()).unwrap_or(u32::MAX),
        disconnects_worst_hour: port.worst_hour(),
        errors_last_day: port.errors,
        over_currents_last_day: port.over_currents,
        last_trouble_ms: port.last_ms,
        message: port.message.clone(),
        ..row
    }
}

fn device(host: &dyn Host, name: &str, names: &[String]) -> UsbDevice {
    let line = |file: &str| host.line(&format!("{DEVICES}/{name}/{file}"));
    let text = |file: &str| line(file).unwrap_or_default();
    let known = line("dev").and_then(|number| Properties::of(host, &format!("c{number}")).ok());
    let looked_up = |property: &str| known.as_ref().map(|known| known.text(property)).unwrap_or_default();
    let own = |file: &str, property: &str| line(file).unwrap_or_else(|| looked_up(property));
    let (classes, drivers) = interfaces(host, name, names);
    UsbDevice {
        port: name.to_owned(),
        present: true,
        vendor: own("manufacturer", "ID_VENDOR_FROM_DATABASE"),
        name: own("product", "ID_MODEL_FROM_DATABASE"),
        id: format!("{}:{}", text("idVendor"), text("idProduct")),
        serial: text("serial"),
        classes: classes.into_iter().collect(),
        drivers,
        usb_version: text("version"),
        speed_bits_per_second: line("speed").and_then(|speed| bits_per_second(&speed)),
        power_max_microamperes: line("bMaxPower").and_then(|power| microamperes(&power)),
        authorized: line("authorized").and_then(|text| text.parse::<u8>().ok()).map(|flag| flag != 0),
        over_currents: over_currents(host, name),
        ..UsbDevice::default()
    }
}

/// Folders "1-4:1.0" beside "1-4", and "1-0:1.0" beside "usb1".
fn interfaces(host: &dyn Host, name: &str, names: &[String]) -> (BTreeSet<String>, Vec<String>) {
    let start = name.strip_prefix("usb").map_or_else(|| format!("{name}:"), |bus| format!("{bus}-0:"));
    let own = |other: &&String| other.starts_with(&start);
    let (mut classes, mut drivers) = (BTreeSet::new(), Vec::new());
    for interface in names.iter().filter(own).take(INTERFACES_MAX) {
        let code = host.line(&format!("{DEVICES}/{interface}/bInterfaceClass")).unwrap_or_default();
        let class = CLASSES.iter().find(|(known, _class)| *known == code).map_or(code.as_str(), |(_code, class)| class);
        classes.insert(class.to_owned());
        let driver = host.link(&format!("{DEVICES}/{interface}/driver")).unwrap_or_default();
        let driver = driver.rsplit('/').next().filter(|driver| !driver.is_empty()).unwrap_or("-");
        if !drivers.iter().any(|known| known == driver) {
            drivers.push(driver.to_owned());
        }
    }
    (classes, drivers)
}

/// The port belongs to the hub that it is on: "1-0:1.0/usb1-port4" for "1-4", "1-4:1.0/1-4-port2" for "1-4.2".
fn over_currents(host: &dyn Host, name: &str) -> Option<u32> {
    let place = if let Some((hub, number)) = name.rsplit_once('.') {
        format!("{hub}:1.0/{hub}-port{number}")
    } else {
        let (bus, number) = name.split_once('-')?;
        format!("{bus}-0:1.0/usb{bus}-port{number}")
    };
    host.line(&format!("{DEVICES}/{place}/over_current_count"))?.parse().ok()
}

/// In megabits: "480", "1.5".
fn bits_per_second(speed: &str) -> Option<u64> {
    let megabits = speed.parse::<f64>().ok().filter(|speed| (0.0..1e6).contains(speed))?;
    Some((megabits * 1e6) as u64)
}

/// "500mA".
fn microamperes(power: &str) -> Option<u64> {
    power.strip_suffix("mA")?.parse::<u64>().ok()?.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_with_their_units() {
        assert_eq!((bits_per_second("1.5"), bits_per_second("20000")), (Some(1_500_000), Some(20_000_000_000)));
        assert_eq!((bits_per_second("unknown"), bits_per_second("-1"), bits_per_second("inf")), (None, None, None));
        assert_eq!((microamperes("500mA"), microamperes("500"), microamperes("-1mA")), (Some(500_000), None, None));
    }
}
