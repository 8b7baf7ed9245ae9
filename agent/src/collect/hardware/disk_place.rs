//! Where a disk is plugged in, and what lies on it, from sysfs.

use crate::collect::mountinfo::Mount;
use crate::host::Host;

/// Most partitions of one disk that are told.
const PARTITIONS_MAX: usize = 64;

/// How deep devices may be built upon one another: partition, RAID, LUKS, LVM, and one to spare.
const DEPTH_MAX: usize = 5;

/// Most devices built upon one disk that are told.
const USERS_MAX: usize = 64;

/// How a disk is linked to the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) address: String,
    pub(super) speed: String,
    pub(super) speed_max: String,
}

/// By a disk's place under /sys/devices, as its link in /sys/block says it.
pub(super) fn link(host: &dyn Host, place: &str, folder: &str) -> Link {
    let parts: Vec<&str> = place.trim_start_matches("../").split('/').collect();
    // Bridges and emulated links say "<unknown>" or "Unknown".
    let line = |path: String| host.line(&path).filter(|text| !text.contains("nknown")).unwrap_or_default();
    // The last port of a USB device: "2-1.4", before its interface "2-1.4:1.0".
    if let Some(place) = parts.iter().position(|part| is_usb_port(part)) {
        let ports = parts.get(place..).unwrap_or_default();
        let last = ports.iter().take_while(|part| is_usb_port(part)).count() + place;
        let port = parts.get(last - 1).copied().unwrap_or_default();
        let speed = host.line(&format!("/sys/bus/usb/devices/{port}/speed"));
        let speed = speed.map(|speed| format!("{speed} Mbps")).unwrap_or_default();
        return Link { address: format!("usb {port}"), speed, ..Link::default() };
    }
    if let Some(port) = parts.iter().find_map(|part| part.strip_prefix("ata").filter(|number| is_number(number))) {
        let speed = |name: &str| line(format!("/sys/class/ata_link/link{port}/{name}"));
        let limit = speed("hw_sata_spd_limit");
        return Link { address: format!("ata{port}"), speed: speed("sata_spd"), speed_max: limit };
    }
    let address = parts.iter().rev().find(|part| is_pci(part)).map(ToString::to_string).unwrap_or_default();
    let speed = |which: &str| {
        let speed = line(format!("{folder}/device/device/{which}_link_speed"));
        let width = line(format!("{folder}/device/device/{which}_link_width"));
        if speed.is_empty() || width.is_empty() { speed } else { format!("{speed} x{width}") }
    };
    if parts.contains(&"nvme") {
        return Link { address, speed: speed("current"), speed_max: speed("max") };
    }
    Link { address, ..Link::default() }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// "2-1.4", not "2-1.4:1.0".
fn is_usb_port(part: &str) -> bool {
    part.split_once('-').is_some_and(|(bus, ports)| is_number(bus) && ports.split('.').all(is_number))
}

/// "0000:04:00.0".
fn is_pci(part: &str) -> bool {
    part.len() == 12 && part.bytes().filter(|byte| *byte == b':').count() == 2 && part.contains('.')
}

/// What lies on a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Inside {
    pub(super) partitions: Vec<String>,
    pub(super) used_by: Vec<String>,
    pub(super) mount_points: Vec<String>,
}

/// Its partitions, what is built on them, and where all of that is mounted.
pub(super) fn inside(host: &dyn Host, name: &str, folder: &str, mounts: &[Mount]) -> Inside {
    let mut partitions: Vec<String> = host.list(folder).unwrap_or_default();
    partitions.retain(|part| part.starts_with(name) && host.line(&format!("{folder}/{part}/partition")).is_some());
    partitions.truncate(PARTITIONS_MAX);
    let mut users = Users { host, mounts, used_by: Vec::new(), mount_points: Vec::new() };
    users.follow(folder, DEPTH_MAX);
    for part in &partitions {
        users.follow(&format!("{folder}/{part}"), DEPTH_MAX);
    }
    let Users { used_by, mut mount_points, .. } = users;
    mount_points.sort();
    mount_points.dedup();
    Inside { partitions, used_by, mount_points }
}

struct Users<'a> {
    host: &'a dyn Host,
    mounts: &'a [Mount],
    used_by: Vec<String>,
    mount_points: Vec<String>,
}

impl Users<'_> {
    /// Depth is bounded, since what the kernel shows as a tree may be made to look like a ring.
    fn follow(&mut self, folder: &str, depth: usize) {
        let device = self.host.line(&format!("{folder}/dev")).unwrap_or_default();
        // btrfs and ZFS are mounted under a number of their own: there the source tells.
        let name = folder.rsplit('/').next().unwrap_or_default();
        let mapped = self.host.line(&format!("{folder}/dm/name")).map(|label| format!("/dev/mapper/{label}"));
        let own = |source: &str| source.strip_prefix("/dev/") == Some(name) || mapped.as_deref() == Some(source);
        let mounted = self.mounts.iter().filter(|mount| mount.device == device || own(&mount.source));
        self.mount_points.extend(mounted.map(|mount| mount.point.clone()).take(USERS_MAX));
        if depth == 0 || self.used_by.len() >= USERS_MAX {
            return;
        }
        for holder in self.host.list(&format!("{folder}/holders")).unwrap_or_default() {
            let above = format!("/sys/block/{holder}");
            let label = self.host.line(&format!("{above}/dm/name")).unwrap_or_else(|| holder.clone());
            if !self.used_by.contains(&label) && self.used_by.len() < USERS_MAX {
                self.used_by.push(label);
                self.follow(&above, depth - 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::mountinfo;
    use crate::host::Recorded;

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Recorded) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("host.json"), "{}").unwrap();
        for (path, text) in files {
            let path = folder.path().join("files").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let host = Recorded::open(folder.path()).unwrap();
        (folder, host)
    }

    #[test]
    fn a_disk_on_usb_is_at_its_last_port() {
        let place = "../devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1.4/2-1.4:1.0/host4/target4:0:0/4:0:0:0/block/sdb";
        let (_folder, host) = host(&[("sys/bus/usb/devices/2-1.4/speed", "5000\n")]);
        let told = link(&host, place, "/sys/block/sdb");
        assert_eq!((told.address.as_str(), told.speed.as_str()), ("usb 2-1.4", "5000 Mbps"));
    }

    #[test]
    fn a_disk_on_sata_is_at_its_port_and_one_on_pci_at_its_address() {
        let (_folder, host) = host(&[
            ("sys/class/ata_link/link1/sata_spd", "3.0 Gbps\n"),
            ("sys/class/ata_link/link1/hw_sata_spd_limit", "6.0 Gbps\n"),
            ("sys/block/nvme0n1/device/device/current_link_speed", "8.0 GT/s PCIe\n"),
            ("sys/block/nvme0n1/device/device/current_link_width", "4\n"),
        ]);
        let sata = link(&host, "../devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda", "");
        let told = (sata.address.as_str(), sata.speed.as_str(), sata.speed_max.as_str());
        assert_eq!(told, ("ata1", "3.0 Gbps", "6.0 Gbps"));
        let place = "../devices/pci0000:00/0000:00:06.0/0000:04:00.0/nvme/nvme0/nvme0n1";
        let nvme = link(&host, place, "/sys/block/nvme0n1");
        assert_eq!((nvme.address.as_str(), nvme.speed.as_str()), ("0000:04:00.0", "8.0 GT/s PCIe x4"));
    }

    #[test]
    fn mounts_are_found_through_what_is_built_on_a_partition() {
        let files = [
            ("sys/block/sda/dev", "8:0\n"),
            ("sys/block/sda/sda1/partition", "1\n"),
            ("sys/block/sda/sda1/dev", "8:1\n"),
            ("sys/block/sda/sda1/holders/dm-0", ""),
            ("sys/block/dm-0/dev", "253:0\n"),
            ("sys/block/dm-0/dm/name", "luks-home\n"),
            ("sys/block/dm-0/holders/dm-0", ""),
            ("sys/block/sda/queue/rotational", "1\n"),
        ];
        let (_folder, host) = host(&files);
        let line = |point: &str| format!("22 1 0:34 / {point} rw - btrfs /dev/mapper/luks-home rw");
        let mounts = ["/home", "/srv"].map(|point| mountinfo::parse(&line(point)).unwrap());
        let told = inside(&host, "sda", "/sys/block/sda", &mounts);
        assert_eq!((told.partitions, told.used_by), (vec!["sda1".to_owned()], vec!["luks-home".to_owned()]));
        assert_eq!(told.mount_points, ["/home", "/srv"]);
    }
}
