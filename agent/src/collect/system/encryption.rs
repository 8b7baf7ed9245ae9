//! Whether root and swap lie on encrypted devices: dm-crypt anywhere below them (Documentation/ABI/testing/sysfs-block-dm).

use anyhow::Context;

use crate::host::Host;

/// Devices below devices that are followed: a logical volume on a volume group on RAID on LUKS.
const DEPTH_MAX: usize = 8;

/// Root, and all of swap. Absent where it cannot be said: root is no device of its own (a container), or there is no swap.
pub(super) fn of(host: &dyn Host) -> anyhow::Result<(Option<bool>, Option<bool>)> {
    let mounts = host.text("/proc/self/mountinfo").context("reading the mounts")?;
    let root = root_source(&mounts).and_then(|source| encrypted(host, source));
    let swaps = host.text("/proc/swaps").unwrap_or_default();
    let mut swap = None;
    for line in swaps.lines().skip(1) {
        let mut words = line.split_whitespace();
        let (Some(place), Some(kind)) = (words.next(), words.next()) else { continue };
        // Compressed memory is gone with the power.
        if place.starts_with("/dev/zram") {
            continue;
        }
        let this = if kind == "file" { root } else { encrypted(host, place) };
        swap = Some(swap.unwrap_or(true) && this == Some(true));
    }
    Ok((root, swap))
}

/// The source of what was last mounted at `/` (`proc_pid_mountinfo(5)`).
fn root_source(mounts: &str) -> Option<&str> {
    let mut at_root = mounts.lines().filter(|line| line.split(' ').nth(4) == Some("/"));
    let (_place, rest) = at_root.next_back()?.split_once(" - ")?;
    rest.split(' ').nth(1).filter(|source| source.starts_with("/dev/"))
}

fn encrypted(host: &dyn Host, source: &str) -> Option<bool> {
    let name = source.strip_prefix("/dev/")?;
    let Some(mapped) = name.strip_prefix("mapper/") else {
        // A disk or partition, a dm device by its own name, or a logical volume as /dev/GROUP/VOLUME.
        return if name.contains('/') { by_link(host, source) } else { Some(crypt_below(host, name, DEPTH_MAX)) };
    };
    let devices = host.list("/sys/block").ok()?;
    let device =
        devices.iter().find(|device| host.line(&format!("/sys/block/{device}/dm/name")).as_deref() == Some(mapped))?;
    Some(crypt_below(host, device, DEPTH_MAX))
}

fn by_link(host: &dyn Host, source: &str) -> Option<bool> {
    let link = host.link(source).ok()?;
    Some(crypt_below(host, link.rsplit('/').next()?, DEPTH_MAX))
}

fn crypt_below(host: &dyn Host, device: &str, depth: usize) -> bool {
    let uuid = host.line(&format!("/sys/block/{device}/dm/uuid")).unwrap_or_default();
    if uuid.starts_with("CRYPT-") {
        return true;
    }
    let below = if depth > 0 { host.list(&format!("/sys/block/{device}/slaves")) } else { return false };
    let below = below.unwrap_or_default();
    !below.is_empty() && below.iter().all(|device| crypt_below(host, device, depth - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_what_was_mounted_there_last() {
        let mounts = "1 0 0:2 / / rw - rootfs rootfs rw\n22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/mapper/vg-root rw\n\
                      23 22 254:2 / /home rw - ext4 /dev/sda2 rw\n";
        assert_eq!(root_source(mounts), Some("/dev/mapper/vg-root"));
        assert_eq!(root_source("30 1 0:40 / / rw - overlay overlay rw\n"), None);
        assert_eq!(root_source("garbage\n"), None);
    }
}
