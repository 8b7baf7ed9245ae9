//! The operating system and the machine's name and make.

use std::io;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1;

use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const OS: Collector =
    Collector { table: v1::Os::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_hours(1)), look };

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let hostname = host.text("/proc/sys/kernel/hostname").context("reading the host name")?;
    let release = host.text("/etc/os-release").or_else(|_absent| host.text("/usr/lib/os-release"));
    let mut rows = Rows::none();
    let mut seen = |what: &str, found: io::Result<String>| {
        found.unwrap_or_else(|error| {
            rows.missing(format!("{what}: {error}"));
            String::new()
        })
    };
    let release = seen("os-release", release);
    let architecture = seen("architecture", architecture(host));
    let virtualization = seen("virtualization", virtualization(host));
    let dmi = |name: &str| host.line(&format!("/sys/class/dmi/id/{name}"));
    // Machines without DMI (most ARM boards) tell their model in the device tree, ended by a zero byte.
    let board =
        || host.line("/sys/firmware/devicetree/base/model").map(|model| model.trim_end_matches('\0').to_owned());
    rows.push(&v1::Os {
        hostname: hostname.trim().to_owned(),
        pretty_name: value(&release, "PRETTY_NAME"),
        id: value(&release, "ID"),
        version_id: value(&release, "VERSION_ID"),
        kernel: host.line("/proc/sys/kernel/osrelease").unwrap_or_default(),
        architecture,
        time_zone: time_zone(host),
        vendor: dmi("sys_vendor").unwrap_or_default(),
        model: dmi("product_name").or_else(board).unwrap_or_default(),
        virtualization,
    });
    Ok(rows)
}

/// os-release(5): shell-like assignments, the value bare or in quotes.
fn value(release: &str, key: &str) -> String {
    let line = release.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
    let plain = line.unwrap_or_default().trim().trim_matches(['"', '\'']);
    plain.replace("\\\"", "\"").replace("\\$", "$")
}

/// `/proc/sys/kernel/arch` is there since Linux 6.1.
fn architecture(host: &dyn Host) -> io::Result<String> {
    match host.line("/proc/sys/kernel/arch") {
        Some(architecture) => Ok(architecture),
        None => Ok(String::from_utf8_lossy(&host.run("uname", &["-m"])?.stdout).trim().to_owned()),
    }
}

fn time_zone(host: &dyn Host) -> String {
    let linked = host.link("/etc/localtime").ok();
    let named = linked.and_then(|link| link.split_once("zoneinfo/").map(|(_folder, zone)| zone.to_owned()));
    named.or_else(|| host.line("/etc/timezone")).unwrap_or_default()
}

/// In systemd's words where it can be asked; without it, what the files of containers and the processor's flags tell.
fn virtualization(host: &dyn Host) -> io::Result<String> {
    match host.run("systemd-detect-virt", &[]) {
        Ok(ran) => {
            let word = String::from_utf8_lossy(&ran.stdout).trim().to_owned();
            return Ok(if word == "none" { String::new() } else { word });
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_not_installed) => {}
    }
    if let Some(container) = host.line("/run/systemd/container") {
        return Ok(container);
    }
    if host.read("/.dockerenv").is_ok() {
        return Ok("docker".into());
    }
    let processors = host.text("/proc/cpuinfo").unwrap_or_default();
    let flags = processors.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let guest = flags.split_whitespace().any(|flag| flag == "hypervisor");
    Ok(if guest { "vm-other".into() } else { String::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_os_release_come_without_their_quotes() {
        let release = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID='12'\nID=debian\nID_LIKE=x\n";
        assert_eq!(value(release, "PRETTY_NAME"), "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(value(release, "VERSION_ID"), "12");
        assert_eq!(value(release, "ID"), "debian");
        assert_eq!(value(release, "BUILD_ID"), "");
    }
}
