//! Disks that a real kernel drives, healthy and failing, as the real agent reads them: in a virtual machine.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use deskside_server::diagnose::rules::check_rule;
use deskside_tests::house::{Programs, said};
use deskside_tests::lab::initramfs::{Initramfs, find};
use deskside_tests::lab::vm::{Kernel, Vm};
use serde_json::{Value, json};

const MIB: u64 = 1024 * 1024;

/// What the kernel needs for these disks.
const MODULES: [&str; 7] =
    ["nvme", "ahci", "sd_mod", "ext4", "crc32c_generic", "crc64_rocksoft_generic", "crct10dif_generic"];

const TOOLS: [&str; 10] = ["sh", "mount", "insmod", "poweroff", "cat", "echo", "sleep", "dd", "dmesg", "grep"];

/// The first sector that cannot be read, beyond what the kernel reads to find partitions.
const BAD_SECTOR: u64 = 8192;

/// Tells the disks apart by their size, since the kernel looks for them at once. The fault of the file system is one that ext4 itself
/// reports, as after an error that it found on the disk.
const SCRIPT: &str = "#!/bin/sh
export PATH=/bin:/usr/sbin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp
for module in /modules/*; do insmod $module; done
until [ -b /dev/nvme0n1 ] && [ -b /dev/nvme1n1 ] && [ -b /dev/sda ] && [ -b /dev/sdb ]; do sleep 0.1; done
if [ $(cat /sys/block/sda/size) = 32768 ]; then data=sda; bad=sdb; else data=sdb; bad=sda; fi
echo \"/dev/$data /data ext4 defaults 0 2
/dev/none /gone ext4 defaults 0 2\" > /etc/fstab
smartctl -t short /dev/$data
mount -t ext4 /dev/$data /data
echo broken > /sys/fs/ext4/$data/trigger_fs_error
dd if=/dev/$bad of=/dev/null bs=4k count=2048 iflag=direct
exec > /dev/ttyS1
echo \"{\\\"root\\\":\"
deskside-agent collect disks disk_health disk_attributes disk_self_tests disk_errors disk_io mounts --json
echo \",\\\"nobody\\\":\"
/bin/setpriv --reuid=65534 --regid=65534 --clear-groups deskside-agent collect disk_health --json
echo \",\\\"read_errors\\\": $(dmesg | grep -c \"I/O error, dev $bad\")}\"
poweroff -f
";

/// Two disks of NVM Express, one of which warns, and two ATA disks: one carries a file system, one has a sector that cannot be read.
/// QEMU's ATA disk counts no errors and always passes its own SMART verdict: failing ATA disks are among the recorded hosts.
fn machine() -> Vm {
    let mut vm = Vm::new().unwrap();
    let drive = |image: &Path, id: &str| format!("file={},if=none,format=raw,id={id},snapshot=on", image.display());
    for (name, more) in [("good", ""), ("bad", ",smart_critical_warning=9")] {
        let image = vm.image(name, 64 * MIB).unwrap();
        vm.with("-drive", drive(&image, name));
        vm.with("-device", format!("nvme,serial=NVME-{name},drive={name}{more}"));
    }
    let data = vm.image("data", 16 * MIB).unwrap();
    said(Command::new("mkfs.ext4").args(["-q", "-F", "-e", "remount-ro"]).arg(&data)).unwrap();
    vm.with("-drive", drive(&data, "data"));
    vm.with("-device", "ide-hd,drive=data,serial=ATA-data,bus=ide.0".into());
    let torn = vm.image("torn", 64 * MIB).unwrap();
    let fault = format!(
        "if=none,id=torn,rerror=report,driver=raw,file.driver=blkdebug,file.image.driver=file,file.image.filename={},\
         file.inject-error.0.event=none,file.inject-error.0.iotype=read,file.inject-error.0.errno=5,\
         file.inject-error.0.sector={BAD_SECTOR}",
        torn.display()
    );
    vm.with("-drive", fault);
    vm.with("-device", "ide-hd,drive=torn,serial=ATA-torn,bus=ide.1".into());
    vm
}

fn root(kernel: &Kernel, vm: &Vm) -> Initramfs {
    let mut root = Initramfs::with_busybox(&TOOLS).unwrap();
    root.modules(&kernel.modules.join("kernel"), &MODULES).unwrap();
    root.program("/usr/sbin/smartctl", &find("smartctl").unwrap(), vm.folder()).unwrap();
    root.program("/bin/setpriv", &find("setpriv").unwrap(), vm.folder()).unwrap();
    let agent = Programs::found().unwrap().folder().join("deskside-agent");
    root.program("/bin/deskside-agent", &agent, vm.folder()).unwrap();
    root.file("/init", SCRIPT);
    root
}

/// A reading of a table.
fn reading<'a>(readings: &'a Value, table: &str) -> &'a Value {
    readings.as_array().unwrap().iter().find(|reading| reading["table"] == table).unwrap()
}

/// The only row with this value.
fn row<'a>(readings: &'a Value, table: &str, column: &str, value: &str) -> &'a Value {
    let reading = reading(readings, table);
    assert!(["ok", "empty"].contains(&reading["outcome"].as_str().unwrap()), "{reading}");
    let rows: Vec<&Value> = reading["rows"].as_array().unwrap().iter().filter(|row| row[column] == value).collect();
    assert_eq!(rows.len(), 1, "{column} {value} in {reading}");
    rows[0]
}

#[test]
fn healthy_and_failing_disks_of_a_real_kernel_are_seen_and_judged() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vm");
    let (kernel, vm) = (Kernel::fetched(&folder).unwrap(), machine());
    let said = vm.run(&kernel, &root(&kernel, &vm)).unwrap();
    let said: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    let seen = &said["root"];
    nvme_disks(seen);
    ata_disks(seen);
    mounts(seen);
    assert_ne!(said["read_errors"], 0, "the kernel read the torn disk without an error");
    let denied = reading(&said["nobody"], "disk_health");
    assert_eq!(denied["outcome"], "denied", "{denied}");
    assert!(denied["reason"].as_str().unwrap().contains("CAP_SYS_RAWIO"), "{denied}");
}

fn nvme_disks(seen: &Value) {
    let name = |serial: &str| row(seen, "disks", "serial", serial)["name"].as_str().unwrap();
    let good = row(seen, "disks", "serial", "NVME-good");
    assert_eq!(
        (&good["kind"], &good["model"], &good["size_bytes"]),
        (&json!("nvme"), &json!("QEMU NVMe Ctrl"), &json!(64 * MIB))
    );
    let good = row(seen, "disk_health", "disk", name("NVME-good"));
    assert_eq!(
        (&good["passed"], &good["critical_warning"], &good["source"]),
        (&json!(true), &json!(0), &json!("smartctl"))
    );
    assert_eq!((&good["protocol"], &good["state"], &good["media_errors"]), (&json!("NVMe"), &json!("read"), &json!(0)));
    assert!(good["temperature_celsius"].as_i64().unwrap() > 0 && good["read_ms"].as_i64().unwrap() > 0, "{good}");
    let bad = row(seen, "disk_health", "disk", name("NVME-bad"));
    assert_eq!((&bad["passed"], &bad["critical_warning"]), (&json!(false), &json!(9)));
    assert_eq!(bad["critical_warnings"], json!(["spare-below-threshold", "media-read-only"]));
    assert_eq!(bad["exit_bits"], json!(["disk-failing"]));

    let told = check_rule("disk-nvme-failing", &json!({"disk_health": reading(seen, "disk_health")["rows"]})).unwrap();
    let titles: Vec<String> = told.into_iter().map(|finding| finding.title).collect();
    assert_eq!(titles, [format!("Disk {} (QEMU NVMe Ctrl) accepts no more writes", name("NVME-bad"))]);
}

fn ata_disks(seen: &Value) {
    let data = row(seen, "disks", "serial", "ATA-data");
    assert_eq!(
        (&data["kind"], &data["transport"], &data["link_speed"]),
        (&json!("hdd"), &json!("sata"), &json!("1.5 Gbps"))
    );
    assert_eq!((&data["address"], &data["mount_points"]), (&json!("ata1"), &json!(["/data"])));
    let name = data["name"].as_str().unwrap();
    let health = row(seen, "disk_health", "disk", name);
    assert_eq!(
        (&health["passed"], &health["protocol"], &health["device_type"]),
        (&json!(true), &json!("ATA"), &json!("sat"))
    );
    assert_eq!((&health["reallocated_sectors"], &health["pending_sectors"]), (&json!(0), &Value::Null));
    assert_eq!(health["last_self_test_passed"], true, "{health}");
    let attributes = reading(seen, "disk_attributes")["rows"].as_array().unwrap();
    let ids: Vec<u64> =
        attributes.iter().filter(|row| row["disk"] == name).map(|row| row["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [1, 3, 4, 5, 9, 12, 190]);
    let test = row(seen, "disk_self_tests", "disk", name);
    assert_eq!((&test["type"], &test["status"]), (&json!("Short offline"), &json!("Completed without error")));
    let io = row(seen, "disk_io", "disk", name);
    assert!(io["over_s"].as_f64().unwrap() > 0.0 && io["busy_percent"].as_f64().is_some(), "{io}");
    for rule in ["disk-failing", "disk-unreadable-sectors", "disk-bad-sectors"] {
        let told = check_rule(rule, &json!({"disk_health": reading(seen, "disk_health")["rows"]})).unwrap();
        assert_eq!(told, [], "{rule}");
    }
}

fn mounts(seen: &Value) {
    let data = row(seen, "mounts", "mount_point", "/data");
    assert_eq!((&data["read_only"], &data["remounted_read_only"]), (&json!(true), &json!(true)), "{data}");
    assert_eq!((&data["in_fstab"], &data["type"], &data["errors"]), (&json!(true), &json!("ext4"), &json!(1)));
    assert!(data["last_error_ms"].as_i64().unwrap() > 0, "{data}");
    let gone = row(seen, "mounts", "mount_point", "/gone");
    assert_eq!((&gone["mounted"], &gone["at_boot"]), (&json!(false), &json!(true)));
    let tables = json!({"mounts": reading(seen, "mounts")["rows"]});
    assert_eq!(check_rule("mount-remounted-read-only", &tables).unwrap()[0].title, "/data may not be written to");
    assert_eq!(check_rule("mount-missing", &tables).unwrap()[0].title, "/gone is not mounted, though fstab wants it");
}
