//! Why the machine should be started anew.

use std::cmp::Ordering;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::RebootReason;

use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const REBOOT_REQUIRED: Collector = Collector {
    table: RebootReason::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_hours(1)),
    look,
};

/// Where packages ask for it: on Debian and Ubuntu (with the packages' names beside it), and on SUSE.
const ASKED: [&str; 2] = ["/run/reboot-required", "/run/reboot-needed"];
/// Most packages that are named.
const PACKAGES_MAX: usize = 64;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let running = host.line("/proc/sys/kernel/osrelease").context("the running kernel has no release")?;
    let uptime_s = host.line("/proc/uptime").and_then(|uptime| uptime.split('.').next()?.parse().ok());
    let reason = |reason: &str| RebootReason {
        reason: reason.into(),
        running: running.clone(),
        uptime_s,
        ..RebootReason::default()
    };
    let mut rows = Rows::none();
    for path in ASKED {
        match host.read(path) {
            Ok(_asked) => rows.push(&RebootReason {
                packages: packages(&host.text(&format!("{path}.pkgs")).unwrap_or_default()),
                since_ms: changed_ms(host, path),
                ..reason("asked")
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => rows.missing(format!("{path}: {error}")),
        }
    }
    let modules = match host.list("/lib/modules") {
        // Containers, and kernels without modules.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(rows),
        modules => modules.context("listing /lib/modules")?,
    };
    let boot = host.list("/boot").unwrap_or_default();
    let installed = installed(host, &modules, &boot);
    if let Some(newest) = installed
        .iter()
        .filter(|(release, _file)| flavour(release) == flavour(&running))
        .max_by(|one, other| compare(&one.0, &other.0))
        && compare(&newest.0, &running) == Ordering::Greater
    {
        let since_ms = changed_ms(host, &newest.1);
        rows.push(&RebootReason { installed: newest.0.clone(), since_ms, ..reason("kernel") });
    }
    // Why only beside other kernels: a folder without any is that of a container or of a kernel that was built in one piece.
    if !installed.is_empty() && !modules.contains(&running) {
        rows.push(&reason("modules"));
    }
    Ok(rows)
}

/// One name a line, a package as often as it asks.
fn packages(text: &str) -> Vec<String> {
    let mut names: Vec<String> =
        text.lines().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names.truncate(PACKAGES_MAX);
    names
}

/// Releases that have modules and a kernel, and the kernel's file: in /boot, or beside the modules.
fn installed(host: &dyn Host, modules: &[String], boot: &[String]) -> Vec<(String, String)> {
    let kernel = |release: &String| {
        if boot.contains(&format!("vmlinuz-{release}")) {
            return Some((release.clone(), format!("/boot/vmlinuz-{release}")));
        }
        let beside = host.list(&format!("/lib/modules/{release}")).unwrap_or_default();
        let found = beside.iter().any(|name| name == "vmlinuz");
        found.then(|| (release.clone(), format!("/lib/modules/{release}/vmlinuz")))
    };
    modules.iter().filter_map(kernel).collect()
}

/// When a file came to its place. Why its inode's time: a package keeps the time at which the file was built.
fn changed_ms(host: &dyn Host, path: &str) -> Option<i64> {
    let ran = host.run("stat", &["--format=%Z", path]).ok().filter(|ran| ran.status == Some(0))?;
    String::from_utf8_lossy(&ran.stdout).trim().parse::<i64>().ok()?.checked_mul(1000)
}

/// What stands behind the version, digits left out: "-amd64" of "6.1.0-18-amd64", "-generic" of "6.8.0-45-generic". Kernels of another
/// flavour stand beside the one that runs, and do not replace it.
fn flavour(release: &str) -> String {
    let behind = release.char_indices().zip(release.chars().skip(1));
    let start = behind.into_iter().find(|((_at, c), next)| matches!(c, '-' | '+') && next.is_ascii_alphabetic());
    let flavour = start.and_then(|((at, _c), _next)| release.get(at..)).unwrap_or_default();
    flavour.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Compares runs of digits as numbers and everything else as text, as package managers do.
fn compare(one: &str, other: &str) -> Ordering {
    let (one, other) = (runs(one), runs(other));
    for (one, other) in one.iter().zip(&other) {
        let ordering = match (one.parse::<u64>(), other.parse::<u64>()) {
            (Ok(one), Ok(other)) => one.cmp(&other),
            // A version that goes on in digits is newer than one whose flavour begins.
            (Ok(_number), Err(_text)) => Ordering::Greater,
            (Err(_text), Ok(_number)) => Ordering::Less,
            _ => one.cmp(other),
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
    one.len().cmp(&other.len())
}

/// "6.1.0-18-amd64" is 6, 1, 0, 18, amd, 64.
fn runs(release: &str) -> Vec<String> {
    let mut runs: Vec<String> = Vec::new();
    let mut digits = None;
    for c in release.chars() {
        if !c.is_ascii_alphanumeric() {
            digits = None;
            continue;
        }
        match runs.last_mut() {
            Some(run) if digits == Some(c.is_ascii_digit()) => run.push(c),
            _ => runs.push(c.into()),
        }
        digits = Some(c.is_ascii_digit());
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_as_numbers() {
        let ascending = [
            ["6.1.0-9-amd64", "6.1.0-18-amd64"],
            ["6.1.0-18-amd64", "6.10.1-1-amd64"],
            ["5.14.0-362.8.1.el9_3.x86_64", "5.14.0-362.13.1.el9_3.x86_64"],
            ["5.14.0-362.el9.x86_64", "5.14.0-362.8.1.el9.x86_64"],
            ["6.7.0-arch3-1", "6.7.1-arch1-1"],
        ];
        for [older, newer] in ascending {
            assert_eq!([compare(older, newer), compare(newer, older)], [Ordering::Less, Ordering::Greater], "{older}");
        }
        assert_eq!(compare("6.1.0-18-amd64", "6.1.0-18-amd64"), Ordering::Equal);
        compare("99999999999999999999", "ä");
    }

    #[test]
    fn flavours_stand_beside_one_another() {
        let flavours = [
            "6.1.0-18-amd64",
            "6.1.0-18-cloud-amd64",
            "6.8.0-45-generic",
            "6.7.0-arch3-1",
            "5.14.0-362.el9.x86_64+debug",
            "6.1",
        ];
        assert_eq!(flavours.map(flavour), ["-amd", "-cloud-amd", "-generic", "-arch-", "+debug", ""]);
        assert_eq!(["", "-", "6-"].map(flavour), ["", "", ""]);
    }

    #[test]
    fn packages_are_named_once() {
        assert_eq!(packages("linux-base\nlibc6\n\nlinux-base\n"), ["libc6", "linux-base"]);
    }
}
