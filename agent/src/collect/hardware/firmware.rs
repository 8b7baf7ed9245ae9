//! The machine as its maker made it: what the kernel took from the firmware's tables (Documentation/ABI/testing/sysfs-class-dmi), and
//! what guards the start of the system.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Firmware;

use crate::collect::procfs::field;
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const FIRMWARE: Collector =
    Collector { table: Firmware::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_hours(1)), look };

const DMI: &str = "/sys/class/dmi/id";
const DEVICE_TREE: &str = "/sys/firmware/devicetree/base";
/// Global variables of UEFI (UEFI specification, 3.3).
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// DSP0134, 7.4.1.
const CHASSIS: [&str; 37] = [
    "",
    "Other",
    "",
    "Desktop",
    "Low Profile Desktop",
    "Pizza Box",
    "Mini Tower",
    "Tower",
    "Portable",
    "Laptop",
    "Notebook",
    "Hand Held",
    "Docking Station",
    "All in One",
    "Sub Notebook",
    "Space-saving",
    "Lunch Box",
    "Main Server Chassis",
    "Expansion Chassis",
    "SubChassis",
    "Bus Expansion Chassis",
    "Peripheral Chassis",
    "RAID Chassis",
    "Rack Mount Chassis",
    "Sealed-case PC",
    "Multi-system Chassis",
    "Compact PCI",
    "Advanced TCA",
    "Blade",
    "Blade Enclosure",
    "Tablet",
    "Convertible",
    "Detachable",
    "IoT Gateway",
    "Embedded PC",
    "Mini PC",
    "Stick PC",
];

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let mut rows = Rows::none();
    let id = Id { host };
    let firmware = match host.list(DMI) {
        Ok(_names) => id.firmware(&mut rows),
        Err(error) if error.kind() == ErrorKind::NotFound => device_tree(host),
        Err(error) => return Err(error).with_context(|| format!("listing {DMI}")),
    };
    let firmware = guards(host, firmware);
    if firmware.product.is_empty() && firmware.bios_version.is_empty() && firmware.boot_mode.is_empty() {
        return Ok(Rows::unsupported(
            "the kernel shows no firmware here (container, or a virtual machine without one)",
        ));
    }
    rows.push(&firmware);
    Ok(rows)
}

/// The folder of what the kernel took from SMBIOS.
struct Id<'a> {
    host: &'a dyn Host,
}

impl Id<'_> {
    fn text(&self, name: &str) -> String {
        self.host.line(&format!("{DMI}/{name}")).map(|text| said(&text).to_owned()).unwrap_or_default()
    }

    /// What only root may read; one sentence for all that was refused.
    fn guarded(&self, name: &'static str, refused: &mut Vec<&'static str>) -> String {
        match self.host.text(&format!("{DMI}/{name}")) {
            Ok(text) => said(text.trim()).to_owned(),
            Err(error) => {
                if error.kind() == ErrorKind::PermissionDenied {
                    refused.push(name);
                }
                String::new()
            }
        }
    }

    fn firmware(&self, rows: &mut Rows) -> Firmware {
        let mut refused = Vec::new();
        let chassis = self.text("chassis_type").parse::<usize>().ok();
        let firmware = Firmware {
            bios_vendor: self.text("bios_vendor"),
            bios_version: self.text("bios_version"),
            bios_date: self.text("bios_date"),
            controller_release: self.text("ec_firmware_release"),
            manufacturer: self.text("sys_vendor"),
            product: self.text("product_name"),
            version: self.text("product_version"),
            sku: self.text("product_sku"),
            serial: self.guarded("product_serial", &mut refused),
            uuid: self.guarded("product_uuid", &mut refused),
            board_manufacturer: self.text("board_vendor"),
            board: self.text("board_name"),
            board_version: self.text("board_version"),
            board_serial: self.guarded("board_serial", &mut refused),
            chassis: chassis.and_then(|kind| CHASSIS.get(kind)).copied().unwrap_or_default().to_owned(),
            chassis_serial: self.guarded("chassis_serial", &mut refused),
            asset_tag: self.text("chassis_asset_tag"),
            ..Firmware::default()
        };
        if !refused.is_empty() {
            rows.missing(format!("{}: {DMI} shows them to CAP_DAC_READ_SEARCH alone", refused.join(", ")));
        }
        firmware
    }
}

/// Boards that describe themselves by a device tree (ARM): texts that end with a zero.
fn device_tree(host: &dyn Host) -> Firmware {
    let text = |name: &str| {
        let line = host.line(&format!("{DEVICE_TREE}/{name}"));
        line.map(|text| text.trim_end_matches('\0').to_owned()).unwrap_or_default()
    };
    Firmware { product: text("model"), serial: text("serial-number"), ..Firmware::default() }
}

fn guards(host: &dyn Host, firmware: Firmware) -> Firmware {
    let uefi = host.list("/sys/firmware/efi").is_ok();
    let tpm = match host.list("/sys/class/tpm") {
        Ok(names) => Some(names.iter().any(|name| name.starts_with("tpm"))),
        Err(_no_support) => None,
    };
    let known = !firmware.product.is_empty() || !firmware.bios_version.is_empty();
    let lockdown = host.line("/sys/kernel/security/lockdown").unwrap_or_default();
    Firmware {
        boot_mode: match (uefi, known) {
            (true, _) => "uefi".into(),
            (false, true) if host.list(DMI).is_ok() => "bios".into(),
            (false, _) => String::new(),
        },
        secure_boot: variable(host, "SecureBoot"),
        setup_mode: variable(host, "SetupMode"),
        tpm,
        tpm_version: tpm_version(host),
        microcode: host
            .text("/proc/cpuinfo")
            .ok()
            .and_then(|text| field(&text, "microcode\t").map(str::to_owned))
            .unwrap_or_default(),
        lockdown: chosen(&lockdown).to_owned(),
        ..firmware
    }
}

/// One byte behind four bytes of attributes (Documentation/filesystems/efivarfs.rst).
fn variable(host: &dyn Host, name: &str) -> Option<bool> {
    let bytes = host.read(&format!("/sys/firmware/efi/efivars/{name}-{GLOBAL}")).ok()?;
    match bytes.get(4..) {
        Some([value]) => Some(*value != 0),
        _ => None,
    }
}

fn tpm_version(host: &dyn Host) -> String {
    match host.line("/sys/class/tpm/tpm0/tpm_version_major").as_deref() {
        Some("2") => "2.0".into(),
        Some("1") => "1.2".into(),
        Some(other) => other.into(),
        None => String::new(),
    }
}

/// "none \[integrity\] confidentiality": the one in brackets is in force.
fn chosen(choices: &str) -> &str {
    choices.split_once('[').and_then(|(_before, rest)| rest.split_once(']')).map_or("", |(chosen, _after)| chosen)
}

/// What makers leave where nothing was filled in is nothing.
fn said(text: &str) -> &str {
    let nothing = [
        "to be filled by o.e.m.",
        "default string",
        "not specified",
        "not applicable",
        "none",
        "system serial number",
        "system version",
        "system product name",
        "system manufacturer",
        "invalid",
        "n/a",
        "0123456789",
        "no asset tag",
        "no asset information",
        "chassis serial number",
    ];
    if nothing.contains(&text.trim().to_ascii_lowercase().as_str()) { "" } else { text.trim() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_filled_in_is_not_known() {
        assert_eq!(said("To Be Filled By O.E.M."), "");
        assert_eq!(said(" Precision 7920 Tower \n"), "Precision 7920 Tower");
    }

    #[test]
    fn the_lockdown_in_force_stands_in_brackets() {
        assert_eq!(chosen("none [integrity] confidentiality"), "integrity");
        assert_eq!((chosen(""), chosen("[none")), ("", ""));
    }
}
