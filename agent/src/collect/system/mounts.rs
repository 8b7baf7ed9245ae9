//! What is mounted, against what fstab(5) says should be.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Mount;

use crate::collect::mountinfo::{self, holds_data, is_remote, plain_options, unescape};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const MOUNTS: Collector =
    Collector { table: Mount::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(5)), look };

/// Most mounts that are told. Machines that run containers have hundreds.
const MOUNTS_MAX: usize = 500;

/// Types of disks' file systems that are written to unless somebody says otherwise.
const WRITABLE: [&str; 12] =
    ["bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs", "ntfs3", "vfat", "xfs", "zfs"];

/// Options by which a file system says that an error ended writing to it.
const STOPPED: [&str; 2] = ["emergency_ro", "shutdown"];

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let mountinfo = host.text("/proc/self/mountinfo").context("reading /proc/self/mountinfo")?;
    let mut missing = Vec::new();
    let fstab = match host.text("/etc/fstab") {
        Ok(text) => text,
        Err(error) => {
            // Images and containers have none, and then nothing is asked of them.
            if error.kind() != ErrorKind::NotFound {
                missing.push(format!("/etc/fstab: {error}"));
            }
            String::new()
        }
    };
    let (mut mounts, unread) = parse(&mountinfo, &fstab);
    let booted_ms = booted_ms(&host.text("/proc/stat").unwrap_or_default());
    for mount in &mut mounts {
        damage(host, mount, booted_ms);
    }
    let mounts: Vec<Mount> = mounts.into_iter().map(|(mount, _device)| mount).collect();
    if unread > 0 {
        missing.push(format!("{unread} lines of /proc/self/mountinfo that do not read"));
    }
    if mounts.len() > MOUNTS_MAX {
        missing.push(format!("{} of {} mounts", mounts.len() - MOUNTS_MAX, mounts.len()));
    }
    let mut rows: Rows = mounts.into_iter().take(MOUNTS_MAX).collect();
    for what in missing {
        rows.missing(what);
    }
    Ok(rows)
}

/// What ext4 itself counted (Documentation/ABI/testing/sysfs-fs-ext4), by the name of the device in the kernel.
fn damage(host: &dyn Host, (mount, device): &mut (Mount, String), booted_ms: Option<i64>) {
    if !["ext2", "ext3", "ext4"].contains(&mount.r#type.as_str()) || !mount.mounted {
        return;
    }
    let linked = host.link(&format!("/sys/dev/block/{device}")).ok();
    let place = linked.as_deref().unwrap_or(&mount.source);
    let name = place.rsplit('/').next().unwrap_or_default().to_owned();
    let number = |file: &str| host.line(&format!("/sys/fs/ext4/{name}/{file}"))?.parse::<u64>().ok();
    mount.errors = number("errors_count");
    let seconds = number("last_error_time").filter(|seconds| *seconds > 0);
    mount.last_error_ms = seconds.and_then(|seconds| i64::try_from(seconds).ok()?.checked_mul(1000));
    let options = host.text(&format!("/proc/fs/ext4/{name}/options")).unwrap_or_default();
    let stops = options.lines().any(|option| option == "errors=remount-ro");
    let since_boot = mount.last_error_ms.zip(booted_ms).is_some_and(|(error, boot)| error >= boot);
    if stops && since_boot && mount.errors.is_some_and(|errors| errors > 0) {
        mount.read_only = true;
        mount.remounted_read_only = true;
    }
}

/// proc(5): "btime 1767250000" of /proc/stat.
fn booted_ms(stat: &str) -> Option<i64> {
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    seconds.trim().parse::<i64>().ok()?.checked_mul(1000)
}

/// One line of fstab.
struct Wanted {
    source: String,
    point: String,
    kind: String,
    options: String,
}

impl Wanted {
    fn has(&self, option: &str) -> bool {
        self.options.split(',').any(|own| own == option)
    }
}

/// fstab(5): "UUID=… /home ext4 defaults,errors=remount-ro 0 2". Swap and other lines without a mount point are no mounts.
fn wanted(fstab: &str) -> Vec<Wanted> {
    let lines = fstab.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let parsed = lines.filter_map(|line| {
        let mut fields = line.split_whitespace().map(unescape);
        let (source, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
        let options = fields.next().unwrap_or_default();
        point.starts_with('/').then_some(Wanted { source, point, kind, options })
    });
    parsed.collect()
}

/// The mounts that hold data or stand in fstab, by mount point, each with its device's number; and how many lines of mountinfo do not read.
fn parse(mountinfo: &str, fstab: &str) -> (Vec<(Mount, String)>, usize) {
    let wanted = wanted(fstab);
    let asked = |point: &str| wanted.iter().find(|wanted| wanted.point == point);
    let (mut found, mut unread) = (BTreeMap::new(), 0);
    for line in mountinfo.lines() {
        let Some(mount) = mountinfo::parse(line) else {
            unread += 1;
            continue;
        };
        let wanted = asked(&mount.point);
        let known = holds_data(&mount.kind) || (mount.kind == "overlay" && mount.point == "/");
        // autofs waits where something will be mounted. What is mounted last at a place hides what was there before.
        if mount.kind != "autofs" && (known || wanted.is_some_and(|wanted| wanted.kind == mount.kind)) {
            found.insert(mount.point.clone(), (mounted(&mount, wanted), mount.device));
        }
    }
    for line in &wanted {
        found.entry(line.point.clone()).or_insert_with(|| (absent(line), String::new()));
    }
    (found.into_values().collect(), unread)
}

fn mounted(mount: &mountinfo::Mount, wanted: Option<&Wanted>) -> Mount {
    let stopped = mount.options.iter().any(|option| STOPPED.contains(&option.as_str()));
    let read_only = mount.point_read_only || mount.beneath_read_only || stopped;
    let by_error = (mount.beneath_read_only || stopped) && !mount.point_read_only;
    let remounted = wanted.map_or(by_error, |wanted| !wanted.has("ro"));
    Mount {
        remounted_read_only: read_only && remounted && WRITABLE.contains(&mount.kind.as_str()),
        network: is_remote(&mount.kind),
        mount_point: mount.point.clone(),
        source: mount.source.clone(),
        r#type: mount.kind.clone(),
        mounted: true,
        options: mount.options.clone(),
        in_fstab: wanted.is_some(),
        fstab_options: wanted.map(|wanted| plain_options(&wanted.options)).unwrap_or_default(),
        at_boot: wanted.is_some_and(at_boot),
        read_only,
        ..Mount::default()
    }
}

fn absent(wanted: &Wanted) -> Mount {
    Mount {
        mount_point: wanted.point.clone(),
        source: wanted.source.clone(),
        r#type: wanted.kind.clone(),
        in_fstab: true,
        fstab_options: plain_options(&wanted.options),
        at_boot: at_boot(wanted),
        network: is_remote(&wanted.kind),
        ..Mount::default()
    }
}

fn at_boot(wanted: &Wanted) -> bool {
    !wanted.has("noauto") && !wanted.has("x-systemd.automount")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FSTAB: &str = "# comment\nUUID=1 / ext4 errors=remount-ro 0 1\n\nUUID=2 none swap sw 0 0\nUUID=3 /data xfs defaults 0 2\n\
        UUID=4 /media/dvd udf ro,noauto 0 0\n//nas/x /mnt/my\\040share cifs user=alice,x-systemd.automount,vers=3.0 0 0\nbroken\n";

    fn find(mountinfo: &str, point: &str) -> Mount {
        let (mounts, _unread) = parse(mountinfo, FSTAB);
        mounts.into_iter().find(|(mount, _device)| mount.mount_point == point).unwrap().0
    }

    #[test]
    fn a_root_that_an_error_made_read_only_was_remounted() {
        let root = find("22 1 8:1 / / rw,relatime - ext4 /dev/sda1 ro,errors=remount-ro\n", "/");
        assert!(root.read_only && root.remounted_read_only && root.in_fstab && root.at_boot && root.mounted);
    }

    #[test]
    fn without_fstab_only_a_difference_between_mount_and_file_system_tells() {
        let told = |line: &str| parse(line, "").0.remove(0).0.remounted_read_only;
        assert!(told("22 1 8:1 / /mnt rw - xfs /dev/sda1 ro\n"));
        assert!(told("22 1 8:1 / /mnt rw - ext4 /dev/sda1 rw,emergency_ro\n"));
        assert!(!told("22 1 8:1 / /mnt ro - xfs /dev/sda1 ro\n"));
        assert!(!told("22 1 8:1 / /mnt ro - xfs /dev/sda1 rw\n"));
    }

    #[test]
    fn what_fstab_wants_and_is_not_there_is_told() {
        let data = find("", "/data");
        assert!(!data.mounted && data.in_fstab && data.at_boot && !data.network);
        let dvd = find("", "/media/dvd");
        assert!(!dvd.mounted && !dvd.at_boot);
        let share = find("", "/mnt/my share");
        assert!(share.network && !share.at_boot);
        assert_eq!(share.fstab_options, ["x-systemd.automount", "vers=3.0"]);
    }

    #[test]
    fn the_time_of_boot_is_read_or_not_known() {
        assert_eq!(booted_ms("cpu 1 2\nbtime 1767250000\n"), Some(1_767_250_000_000));
        assert_eq!(
            (booted_ms(""), booted_ms("btime x\n"), booted_ms("btime 9223372036854775807\n")),
            (None, None, None)
        );
    }

    #[test]
    fn swap_and_lines_that_end_early_are_no_mounts() {
        let (mounts, unread) = parse("garbage\n", FSTAB);
        assert_eq!((mounts.len(), unread), (4, 1));
    }

    #[test]
    fn what_is_mounted_last_hides_what_was_there() {
        let twice = "22 1 8:1 / /data rw - xfs /dev/sda1 rw\n23 1 8:2 / /data rw - ext4 /dev/sdb1 rw\n";
        assert_eq!(find(twice, "/data").source, "/dev/sdb1");
    }
}
