//! Mounted file systems that hold data, and how full they are.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Filesystem;

use crate::collect::mountinfo::{Mount, holds_data, parse};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Host, Space};

pub(in crate::collect) const FILESYSTEMS: Collector = Collector {
    table: Filesystem::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_mins(5)),
    look,
};

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let mounts = host.text("/proc/self/mountinfo").context("reading /proc/self/mountinfo")?;
    let mut rows = Rows::none();
    let (mounts, unread) = mounts_of_data(&mounts);
    if unread > 0 {
        rows.missing(format!("{unread} lines of /proc/self/mountinfo that do not read"));
    }
    for mount in mounts {
        match host.space(&mount.point) {
            Ok(space) => rows.push(&row(mount, space)),
            Err(error) => rows.missing(format!("{} ({}): {error}", mount.point, mount.source)),
        }
    }
    Ok(rows)
}

/// Each source once: where it is mounted more than once (bind mounts, subvolumes), the shortest mount point stands for it. Also counts
/// the lines that do not read.
fn mounts_of_data(mountinfo: &str) -> (Vec<Mount>, usize) {
    let (mut shown, mut unread) = (BTreeMap::<(String, String), Mount>::new(), 0);
    for line in mountinfo.lines() {
        let Some(mount) = parse(line) else {
            unread += 1;
            continue;
        };
        let kind = mount.kind.as_str();
        let container_root = kind == "overlay" && mount.point == "/";
        if !holds_data(kind) && !container_root {
            continue;
        }
        let key = (mount.device.clone(), mount.source.clone());
        match shown.get(&key) {
            Some(other) if other.point.len() <= mount.point.len() => {}
            _ => {
                shown.insert(key, mount);
            }
        }
    }
    let mut mounts: Vec<Mount> = shown.into_values().collect();
    mounts.sort_by(|one, other| one.point.cmp(&other.point));
    (mounts, unread)
}

fn row(mount: Mount, space: Space) -> Filesystem {
    let used = space.total_bytes.saturating_sub(space.free_bytes);
    let usable = used.saturating_add(space.available_bytes);
    Filesystem {
        mount_point: mount.point,
        source: mount.source,
        r#type: mount.kind,
        total_bytes: space.total_bytes,
        available_bytes: space.available_bytes,
        used_percent: if usable == 0 { 0.0 } else { used as f64 / usable as f64 * 100.0 },
        inodes_total: (space.inodes > 0).then_some(space.inodes),
        inodes_free: (space.inodes > 0).then_some(space.inodes_free),
        read_only: mount.options.iter().any(|option| option == "ro"),
        options: mount.options,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
23 22 0:21 / /proc rw - proc proc rw
24 22 8:1 /home /srv/home rw,relatime shared:1 - ext4 /dev/sda1 rw
25 22 0:44 / /mnt/my\\040share rw master:2 - cifs //nas/share rw,vers=3.1.1,username=alice
26 22 0:50 / /var/lib/docker/overlay rw - overlay overlay rw
27 22 7:3 / /snap/core/1 ro - squashfs /dev/loop3 ro
";

    #[test]
    fn each_source_is_shown_once_where_it_is_mounted_shortest() {
        let (mounts, unread) = mounts_of_data(MOUNTS);
        let points: Vec<&str> = mounts.iter().map(|mount| mount.point.as_str()).collect();
        assert_eq!((points, unread), (vec!["/", "/mnt/my share"], 0));
        assert_eq!(mounts[0].options, ["rw", "relatime", "errors=remount-ro"]);
        assert_eq!(mounts[1].options, ["rw", "vers=3.1.1"]);
    }

    #[test]
    fn a_container_shows_its_root() {
        let (mounts, _unread) = mounts_of_data("26 22 0:50 / / rw - overlay overlay rw,lowerdir=/a\n");
        assert_eq!(mounts.len(), 1);
    }

    #[test]
    fn lines_that_do_not_read_are_counted() {
        assert_eq!(mounts_of_data("garbage\n1 2 3\n\n").1, 3);
    }

    #[test]
    fn use_is_counted_as_df_does() {
        let (mut mounts, _unread) = mounts_of_data(MOUNTS);
        let space = Space { total_bytes: 1000, free_bytes: 200, available_bytes: 100, inodes: 0, inodes_free: 0 };
        let row = row(mounts.remove(0), space);
        assert!((row.used_percent - 800.0 / 9.0).abs() < 1e-9, "{}", row.used_percent);
        assert_eq!((row.inodes_total, row.read_only), (None, false));
    }
}
