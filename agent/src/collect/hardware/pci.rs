//! What several tables say of a PCI device alike: its folder in sysfs, and its names.

use deskside_proto::v1::PciDevice;

use super::udev::Properties;
use crate::host::Host;

pub(super) const DEVICES: &str = "/sys/bus/pci/devices";

/// Devices that are looked at.
pub(super) const DEVICES_MAX: usize = 1024;

/// One device.
pub(super) struct Device<'a> {
    host: &'a dyn Host,
    pub(super) address: &'a str,
}

/// What the machine's list of names says; empty where it has none.
pub(super) struct Names {
    pub(super) class: String,
    pub(super) vendor: String,
    pub(super) device: String,
}

impl<'a> Device<'a> {
    pub(super) fn new(host: &'a dyn Host, address: &'a str) -> Self {
        Self { host, address }
    }

    pub(super) fn line(&self, name: &str) -> Option<String> {
        self.host.line(&format!("{DEVICES}/{}/{name}", self.address))
    }

    /// "0x8086" as "8086".
    pub(super) fn hex(&self, name: &str) -> String {
        self.line(name).map(|text| text.trim_start_matches("0x").to_owned()).unwrap_or_default()
    }

    /// Empty for none.
    pub(super) fn driver(&self) -> String {
        let link = self.host.link(&format!("{DEVICES}/{}/driver", self.address)).unwrap_or_default();
        link.rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// From udev, which looks them up in the hardware database (hwdb) once for each device. Why not from pci.ids: that file is larger than
    /// the agent may ever be.
    pub(super) fn names(&self) -> Names {
        let known = Properties::of(self.host, &format!("+pci:{}", self.address)).ok();
        let text = |name: &str| known.as_ref().map(|known| known.text(name)).unwrap_or_default();
        let class = ["ID_PCI_SUBCLASS_FROM_DATABASE", "ID_PCI_CLASS_FROM_DATABASE"];
        Names {
            class: class.into_iter().map(text).find(|name| !name.is_empty()).unwrap_or_default(),
            vendor: text("ID_VENDOR_FROM_DATABASE"),
            device: text("ID_MODEL_FROM_DATABASE"),
        }
    }

    /// For tables that are about something else: "Samsung NVM Express controller", or the numbers.
    pub(super) fn name(&self) -> String {
        let names = self.names();
        match (names.vendor.as_str(), names.device.as_str()) {
            ("", "") => format!("{}:{}", self.hex("vendor"), self.hex("device")),
            (vendor, device) => format!("{vendor} {device}").trim().to_owned(),
        }
    }

    /// Speed in gigatransfers a second, and lanes, now and at most: `8.0 GT/s PCIe` or `Unknown`; 0 and 255 lanes are not known.
    pub(super) fn link(&self) -> Link {
        let speed = |name: &str| self.line(name)?.split_whitespace().next()?.parse::<f64>().ok();
        let width = |name: &str| self.line(name)?.parse::<u32>().ok().filter(|lanes| !matches!(lanes, 0 | 255));
        Link {
            gts: speed("current_link_speed"),
            width: width("current_link_width"),
            gts_max: speed("max_link_speed"),
            width_max: width("max_link_width"),
        }
    }
}

/// The link to the port above.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Link {
    pub(super) gts: Option<f64>,
    pub(super) width: Option<u32>,
    pub(super) gts_max: Option<f64>,
    pub(super) width_max: Option<u32>,
}

/// The address of the port above, from where the device's folder really is:
/// "../../../devices/pci0000:00/0000:00:1c.0/0000:03:00.0".
pub(super) fn above(place: &str) -> Option<&str> {
    place.rsplit('/').nth(1).filter(|parent| is_address(parent))
}

/// "0000:03:00.0".
pub(super) fn is_address(text: &str) -> bool {
    let digits =
        |from: usize, to: usize| text.get(from..to).is_some_and(|part| part.bytes().all(|b| b.is_ascii_hexdigit()));
    text.len() == 12
        && digits(0, 4)
        && digits(5, 7)
        && digits(8, 10)
        && digits(11, 12)
        && [(4, b':'), (7, b':'), (10, b'.')].iter().all(|(place, sign)| text.as_bytes().get(*place) == Some(sign))
}

/// The address in front of a message of the kernel: `nvme 0000:01:00.0: PCIe Bus Error: ...`.
pub(super) fn address_in(message: &str) -> Option<&str> {
    message.split(' ').map(|word| word.trim_end_matches(':')).find(|word| is_address(word))
}

/// What keeps a device from working as it could, from what the kernel says of it.
pub(super) fn problems(device: &PciDevice) -> Vec<String> {
    let mut problems = Vec::new();
    if device.needs_driver && device.driver.is_empty() {
        problems.push("no driver".to_owned());
    }
    if !device.firmware_missing.is_empty() {
        problems.push("firmware not found".to_owned());
    }
    // Why disks and network alone: graphics slow their link down while they rest, and often sit in slots with fewer lanes than they have.
    if !matches!(device.class_id.get(..2), Some("01" | "02")) {
        return problems;
    }
    let less = |now: Option<f64>, device: Option<f64>, port: Option<f64>| match (now, device, port) {
        (Some(now), Some(device), Some(port)) => now < device.min(port),
        _ => false,
    };
    let lanes = |width: Option<u32>| width.map(f64::from);
    if less(lanes(device.link_width), lanes(device.link_width_max), lanes(device.port_width_max)) {
        problems.push("link narrower than device and port".to_owned());
    }
    if less(device.link_gts, device.link_gts_max, device.port_gts_max) {
        problems.push("link slower than device and port".to_owned());
    }
    problems
}
