//! Cameras, as the kernel (`video4linux`) and udev know them. No device file is opened: that would wake the camera, and light its lamp.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::Camera;

use super::udev::Properties;
use crate::collect::sysfs::{self, Folder};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const CAMERAS: Collector =
    Collector { table: Camera::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(15)), look };

const CLASS: &str = "/sys/class/video4linux";

/// Most device files that are told.
const NODES_MAX: usize = 64;

/// The driver of USB cameras; it lets a camera sleep as soon as nobody takes pictures.
const UVC: &str = "uvcvideo";

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let mut nodes = sysfs::class(host, CLASS)?;
    // Beside them are radios and the parts of a camera that no program opens by itself.
    nodes.retain(|(name, _folder)| name.starts_with("video"));
    let mut rows = Rows::none();
    for (name, folder) in nodes.iter().take(NODES_MAX) {
        rows.push(&camera(host, name, folder));
    }
    if nodes.len() > NODES_MAX {
        rows.missing(format!("{} more device files", nodes.len() - NODES_MAX));
    }
    Ok(rows)
}

fn camera(host: &dyn Host, name: &str, folder: &Folder<'_>) -> Camera {
    let device = folder.at("device");
    let driver = device.link_name("driver").unwrap_or_default();
    let number = folder.line("dev").unwrap_or_default();
    let udev = Properties::of(host, &format!("c{number}")).ok();
    let said = udev.as_ref().and_then(|udev| udev.get("ID_V4L_CAPABILITIES"));
    let state = device.line("power/runtime_status").filter(|_state| driver == UVC);
    Camera {
        node: name.to_owned(),
        name: folder.line("name").unwrap_or_default(),
        device: folder.link_name("device").unwrap_or_default(),
        ids: ids(&host.text(&device.path_of("uevent")).unwrap_or_default()),
        gives: gives(said, &driver, folder.count("index")).to_owned(),
        in_use: state.and_then(|state| match state.as_str() {
            "active" => Some(true),
            "suspended" => Some(false),
            _ => None,
        }),
        driver,
    }
}

/// Of a device's uevent: `PRODUCT=4f2/b67c/27` on USB, without leading zeros, `PCI_ID=8086:9A19` on PCI.
fn ids(uevent: &str) -> String {
    let value = |key: &str| uevent.lines().find_map(|line| line.strip_prefix(key));
    let usb = value("PRODUCT=").and_then(|product| {
        let mut numbers = product.split('/').map(|number| u16::from_str_radix(number, 16).ok());
        Some(format!("{:04x}:{:04x}", numbers.next()??, numbers.next()??))
    });
    let pci = || value("PCI_ID=").map(|id| id.chars().take(9).collect::<String>().to_lowercase());
    usb.or_else(pci).unwrap_or_default()
}

/// udev asks the device once, when it is found, and writes ":capture:" or ":" for a file without pictures.
fn gives(said: Option<&str>, driver: &str, index: Option<u64>) -> &'static str {
    match (said, driver, index) {
        (Some(said), _, _) if said.contains(":capture:") => "capture",
        (Some(said), _, _) if said.contains(":video_output:") => "output",
        (Some(_), UVC, _) | (None, UVC, Some(1)) => "metadata",
        (None, UVC, Some(0)) => "capture",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_is_known_by_its_numbers() {
        assert_eq!(ids("DRIVER=uvcvideo\nPRODUCT=4f2/b67c/27\nTYPE=239/2/1\n"), "04f2:b67c");
        assert_eq!(ids("PCI_ID=8086:9A19\n"), "8086:9a19");
        assert_eq!(ids("PRODUCT=zz/\nPCI_ID"), "");
    }

    #[test]
    fn a_file_of_pictures_is_told_from_one_of_metadata() {
        assert_eq!(gives(Some(":capture:"), UVC, Some(1)), "capture");
        assert_eq!(gives(Some(":"), UVC, Some(1)), "metadata");
        assert_eq!((gives(None, UVC, Some(0)), gives(None, UVC, Some(1))), ("capture", "metadata"));
        assert_eq!(gives(None, "vivid", Some(0)), "");
    }
}
