//! Block devices that are disks, from sysfs alone: nothing here reaches the device, so a sleeping disk sleeps on.

use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Disk;

use super::disk_place::{inside, link};
use crate::collect::mountinfo::{self, Mount};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const DISKS: Collector =
    Collector { table: Disk::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(15)), look };

pub(super) const BLOCK: &str = "/sys/block";

/// Bytes of a sector in what sysfs counts, whatever the disk's own.
pub(super) const SECTOR_BYTES: u64 = 512;

/// Block devices that are no disks: made by the kernel out of others, or drives for something that is put in.
const NO_DISKS: [&str; 10] = ["loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd", "drbd", "zd"];

/// Most disks that are told.
const DISKS_MAX: usize = 256;

/// How a disk is connected, by a part of its place under /sys/devices, the outermost first.
const TRANSPORTS: [(&str, &str); 8] = [
    ("/usb", "usb"),
    ("/nvme", "nvme"),
    ("/ata", "sata"),
    ("/virtio", "virtio"),
    ("/mmc", "mmc"),
    ("/end_device-", "sas"),
    ("/vbd-", "xen"),
    ("/host", "scsi"),
];

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let mut rows = Rows::none();
    let mounts = host.text("/proc/self/mountinfo").unwrap_or_default();
    let mounts: Vec<Mount> = mounts.lines().filter_map(mountinfo::parse).collect();
    for name in names(host)? {
        match disk(host, &name, &mounts) {
            Ok(disk) => rows.push(&disk),
            Err(error) => rows.missing(format!("disk {name}: {error:#}")),
        }
    }
    Ok(rows)
}

/// The disks of this machine, by kernel name.
pub(super) fn names(host: &dyn Host) -> anyhow::Result<Vec<String>> {
    let mut names = host.list(BLOCK).with_context(|| format!("listing {BLOCK}"))?;
    // Hidden: one path of several to the same NVMe disk.
    let hidden = |name: &str| host.line(&format!("{BLOCK}/{name}/hidden")).as_deref() == Some("1");
    names.retain(|name| is_disk(name) && !hidden(name));
    names.truncate(DISKS_MAX);
    Ok(names)
}

fn is_disk(name: &str) -> bool {
    // The boot and replay-protected areas of eMMC are listed beside the disk that they are part of.
    let part = name.starts_with("mmcblk") && (name.contains("boot") || name.contains("rpmb"));
    !part && !NO_DISKS.iter().any(|prefix| name.starts_with(prefix))
}

fn disk(host: &dyn Host, name: &str, mounts: &[Mount]) -> anyhow::Result<Disk> {
    let folder = format!("{BLOCK}/{name}");
    let folder = folder.as_str();
    let line = |path: &str| host.line(&format!("{folder}/{path}"));
    let first = |paths: &[&str]| paths.iter().find_map(|path| line(path)).unwrap_or_default();
    let sectors = host.text(&format!("{folder}/size")).context("reading its size")?;
    let sectors: u64 = sectors.trim().parse().context("its size is not a number")?;
    let counts = counts(&line("stat").unwrap_or_default());
    let [reads, writes, busy_ms] = counts.unwrap_or_default();
    let flag = |path: &str| line(path).and_then(|text| text.parse::<u8>().ok()).map(|number| number != 0);
    let number = |path: &str| line(path)?.parse::<u32>().ok();
    let place = host.link(folder).unwrap_or_default();
    let transport = transport(&place);
    let rotational = flag("queue/rotational");
    let link = link(host, &place, folder);
    let inside = inside(host, name, folder, mounts);
    Ok(Disk {
        name: name.to_owned(),
        model: model(line("device/vendor"), line("device/model").or_else(|| line("device/name"))),
        serial: line("serial")
            .or_else(|| line("device/serial"))
            .or_else(|| vital_serial(host, folder))
            .unwrap_or_default(),
        firmware: first(&["device/firmware_rev", "device/rev", "device/fwrev"]),
        size_bytes: sectors.saturating_mul(SECTOR_BYTES),
        rotational,
        removable: flag("removable").unwrap_or_default(),
        read_only: flag("ro").unwrap_or_default(),
        transport: transport.to_owned(),
        state: first(&["device/state"]),
        reads,
        writes,
        busy_ms,
        kind: kind(transport, rotational).to_owned(),
        wwn: line("wwid").or_else(|| line("device/wwid")).map(|wwid| squeezed(&wwid)).unwrap_or_default(),
        address: link.address,
        link_speed: link.speed,
        link_speed_max: link.speed_max,
        logical_sector_bytes: number("queue/logical_block_size"),
        physical_sector_bytes: number("queue/physical_block_size"),
        partitions: inside.partitions,
        used_by: inside.used_by,
        mount_points: inside.mount_points,
    })
}

/// A disk that a hypervisor makes up says of itself that it spins; what it is made of is not known here.
fn kind(transport: &str, rotational: Option<bool>) -> &'static str {
    match (transport, rotational) {
        ("nvme", _) => "nvme",
        ("mmc", _) => "flash",
        ("virtio" | "xen", _) => "virtual",
        // Sticks and bridges say that they spin unless they know better.
        (_, Some(true)) if transport != "usb" => "hdd",
        (_, Some(false)) => "ssd",
        _ => "",
    }
}

/// Some names are padded with blanks: "t10.ATA     ST1000DM010 …".
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// SCSI keeps maker and model apart; "ATA" in place of the maker is the kernel's own word for a SATA disk.
fn model(vendor: Option<String>, model: Option<String>) -> String {
    let vendor = vendor.filter(|vendor| vendor != "ATA" && !vendor.starts_with("0x"));
    [vendor, model].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Vital product data page 0x80 (SPC), as the kernel read it when the disk was found: four bytes of header, then the serial number.
fn vital_serial(host: &dyn Host, folder: &str) -> Option<String> {
    let page = host.read(&format!("{folder}/device/vpd_pg80")).ok()?;
    let serial = String::from_utf8_lossy(page.get(4..)?).trim_matches(['\0', ' ']).to_owned();
    (!serial.is_empty()).then_some(serial)
}

pub(super) fn transport(place: &str) -> &'static str {
    let known = TRANSPORTS.iter().find(|(part, _transport)| place.contains(part));
    known.map_or("", |(_part, transport)| transport)
}

/// Documentation/block/stat.rst: reads completed, writes completed, and time with input or output under way.
fn counts(stat: &str) -> Option<[u64; 3]> {
    let numbers: Vec<u64> = stat.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    Some([*numbers.first()?, *numbers.get(4)?, *numbers.get(9)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_makes_of_others_is_no_disk() {
        let names =
            ["sda", "nvme0n1", "vda", "mmcblk0", "xvda", "loop0", "dm-0", "zram0", "sr0", "md127", "mmcblk0boot0"];
        let disks: Vec<&str> = names.into_iter().filter(|name| is_disk(name)).collect();
        assert_eq!(disks, ["sda", "nvme0n1", "vda", "mmcblk0", "xvda"]);
    }

    #[test]
    fn a_disk_is_connected_as_its_place_says() {
        let sata = "../devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda";
        let stick = "../devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host4/target4:0:0/4:0:0:0/block/sdb";
        assert_eq!((transport(sata), transport(stick), transport("")), ("sata", "usb", ""));
    }

    #[test]
    fn what_a_disk_is_made_of_is_told_where_it_is_known() {
        let told = [("sata", Some(true)), ("sata", Some(false)), ("nvme", Some(false)), ("virtio", Some(true))];
        assert_eq!(told.map(|(transport, spins)| kind(transport, spins)), ["hdd", "ssd", "nvme", "virtual"]);
        assert_eq!((kind("usb", Some(true)), kind("sata", None)), ("", ""));
    }

    #[test]
    fn counts_come_from_their_places() {
        let stat = "  1 0 8 3  4 0 80 6  0 70 9 0 0 0 0 0 0";
        assert_eq!(counts(stat), Some([1, 4, 70]));
        assert_eq!((counts("1 2 3"), counts("x")), (None, None));
    }

    #[test]
    fn the_kernels_word_for_sata_is_no_maker() {
        assert_eq!(model(Some("ATA".into()), Some("ST1000DM010".into())), "ST1000DM010");
        assert_eq!(model(Some("SanDisk".into()), Some("Ultra".into())), "SanDisk Ultra");
        assert_eq!(model(Some("0x1af4".into()), None), "");
    }
}
