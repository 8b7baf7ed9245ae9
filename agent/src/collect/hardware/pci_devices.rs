//! PCI devices: what drives them, how they are connected, and what is wrong with them (Documentation/ABI/testing/sysfs-bus-pci).

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::PciDevice;

use super::pci::{DEVICES, DEVICES_MAX, Device, above, address_in, problems};
use crate::collect::kernel_log::{self, Line};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const PCI_DEVICES: Collector = Collector {
    table: PciDevice::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_hours(1)),
    look,
};

/// Files that a driver did not find, and what says that it found another in their place.
const FIRMWARE: &str =
    "Direct firmware load for.*failed with error -2|loaded firmware version|no suitable firmware found";

/// Firmware files that are named for one device.
const FILES_MAX: usize = 16;

/// Classes and subclasses that do nothing without a driver. Left out: bridges, memory, system peripherals and the many functions of
/// chipsets that are known by a number alone.
const NEED_DRIVERS: [&str; 8] = ["01", "02", "03", "0401", "0403", "0805", "0c03", "0d"];

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let addresses = match host.list(DEVICES) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Rows::unsupported("this machine has no PCI bus"));
        }
        addresses => addresses.with_context(|| format!("listing {DEVICES}"))?,
    };
    let mut rows = Rows::none();
    let firmware = match kernel_log::lines(host, FIRMWARE) {
        Ok(found) => firmware_missing(&found.lines, &boot_id(host)),
        Err(error) => {
            rows.missing(format!("firmware that drivers did not find: {error:#}"));
            BTreeMap::new()
        }
    };
    for address in addresses.iter().take(DEVICES_MAX) {
        let device = device(host, address, firmware.get(address.as_str()));
        if device.class_id.is_empty() {
            rows.missing(format!("the device {address}"));
        } else {
            rows.push(&device);
        }
    }
    if addresses.len() > DEVICES_MAX {
        rows.missing(format!("{} devices beyond the first {DEVICES_MAX}", addresses.len() - DEVICES_MAX));
    }
    Ok(rows)
}

fn device(host: &dyn Host, address: &str, firmware: Option<&Vec<String>>) -> PciDevice {
    let device = Device::new(host, address);
    let (names, link) = (device.names(), device.link());
    let place = host.link(&format!("{DEVICES}/{address}")).unwrap_or_default();
    let port = above(&place).map(|port| Device::new(host, port).link()).unwrap_or_default();
    let class_id = device.hex("class");
    let mut row = PciDevice {
        address: address.to_owned(),
        class: if names.class.is_empty() { class_id.clone() } else { names.class },
        needs_driver: NEED_DRIVERS.iter().any(|class| class_id.starts_with(class)),
        class_id,
        vendor: names.vendor,
        name: names.device,
        id: format!("{}:{}", device.hex("vendor"), device.hex("device")),
        subsystem_id: subsystem(&device),
        revision: device.hex("revision"),
        driver: device.driver(),
        link_gts: link.gts,
        link_width: link.width,
        link_gts_max: link.gts_max,
        link_width_max: link.width_max,
        port_gts_max: port.gts_max,
        port_width_max: port.width_max,
        enabled: device.line("enable").and_then(|text| text.parse::<u32>().ok()).map(|count| count > 0),
        irq: device.line("irq").and_then(|text| text.parse().ok()).filter(|irq| *irq > 0),
        runtime_status: device
            .line("power/runtime_status")
            .filter(|status| status != "unsupported")
            .unwrap_or_default(),
        firmware_missing: firmware.cloned().unwrap_or_default(),
        problems: Vec::new(),
    };
    row.problems = problems(&row);
    row
}

/// Zeros: the maker gave none.
fn subsystem(device: &Device) -> String {
    match (device.hex("subsystem_vendor").as_str(), device.hex("subsystem_device").as_str()) {
        ("" | "0000", "" | "0000") => String::new(),
        (vendor, number) => format!("{vendor}:{number}"),
    }
}

fn boot_id(host: &dyn Host) -> String {
    host.line("/proc/sys/kernel/random/boot_id").unwrap_or_default().replace('-', "")
}

/// By address, what a driver looked for since the start and did not find. Why the last word counts: some drivers ask for a dozen versions
/// and are content with the first that is there.
fn firmware_missing(lines: &[Line], boot_id: &str) -> BTreeMap<String, Vec<String>> {
    let mut missing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // A log file does not tell one start from another: then all of it counts.
    for line in lines.iter().filter(|line| line.boot_id.is_empty() || line.boot_id == boot_id) {
        let Some(address) = address_in(&line.text) else { continue };
        let wanted = line.text.split_once("firmware load for ").and_then(|(_driver, rest)| rest.split_once(' '));
        match wanted {
            Some((file, _failed)) => {
                let files = missing.entry(address.to_owned()).or_default();
                if files.len() < FILES_MAX && !files.iter().any(|known| known == file) {
                    files.push(file.to_owned());
                }
            }
            None if line.text.contains("loaded firmware version") => {
                missing.remove(address);
            }
            None => {}
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line { at_ms: 0, boot_id: "b".into(), text: text.into() }
    }

    #[test]
    fn a_driver_that_found_another_version_misses_nothing() {
        let lines = [
            line("iwlwifi 0000:00:14.3: Direct firmware load for iwlwifi-so-a0-gf-a0-77.ucode failed with error -2"),
            line("iwlwifi 0000:00:14.3: loaded firmware version 72.a764baac.0 so-a0-gf-a0-72.ucode op_mode iwlmvm"),
            line("r8169 0000:03:00.0: Direct firmware load for rtl_nic/rtl8168g-2.fw failed with error -2"),
            line("platform regulatory.0: Direct firmware load for regulatory.db failed with error -2"),
        ];
        let missing = firmware_missing(&lines, "b");
        assert_eq!(missing, [("0000:03:00.0".to_owned(), vec!["rtl_nic/rtl8168g-2.fw".to_owned()])].into());
    }

    #[test]
    fn what_was_missing_before_this_start_is_over() {
        let mut lines = [line("r8169 0000:03:00.0: Direct firmware load for a.fw failed with error -2")];
        lines[0].boot_id = "before".into();
        assert!(firmware_missing(&lines, "b").is_empty());
    }

    #[test]
    fn a_port_is_the_folder_above() {
        assert_eq!(above("../../../devices/pci0000:00/0000:00:1c.0/0000:03:00.0"), Some("0000:00:1c.0"));
        assert_eq!(above("../../../devices/pci0000:00/0000:00:1c.0"), None);
    }

    #[test]
    fn graphics_that_rest_and_what_needs_no_driver_have_no_problem() {
        let slow = |class: &str| PciDevice {
            class_id: class.into(),
            link_gts: Some(2.5),
            link_gts_max: Some(16.0),
            port_gts_max: Some(8.0),
            link_width: Some(1),
            link_width_max: Some(4),
            port_width_max: Some(4),
            ..PciDevice::default()
        };
        assert_eq!(problems(&slow("030000")), Vec::<String>::new());
        assert_eq!(problems(&slow("010802")).len(), 2);
        let bound = PciDevice { link_gts: Some(8.0), link_width: Some(4), ..slow("010802") };
        assert_eq!(problems(&bound), Vec::<String>::new());
        let lonely = PciDevice { class_id: "028000".into(), needs_driver: true, ..PciDevice::default() };
        assert_eq!(problems(&lonely), ["no driver"]);
    }
}
