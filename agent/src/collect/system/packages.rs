//! Installed software packages, as dpkg and rpm know them.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Package;

use super::rpm;
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Host, READ_BYTES_MAX};

pub(in crate::collect) const PACKAGES: Collector =
    Collector { table: Package::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_hours(1)), look };

const DPKG: &str = "/var/lib/dpkg/status";

const RPM_FORMAT: &str = "%{NAME}\\t%{EVR}\\t%{ARCH}\\t%{SIZE}\\t%{INSTALLTIME}\\n";

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let mut rows = Rows::none();
    let (dpkg, rpm) = (from_dpkg(host, &mut rows)?, from_rpm(host, &mut rows)?);
    if !dpkg && !rpm {
        return Ok(Rows::unsupported("there is neither a dpkg nor an rpm database"));
    }
    Ok(rows)
}

/// Whether dpkg is there.
fn from_dpkg(host: &dyn Host, rows: &mut Rows) -> anyhow::Result<bool> {
    let status = match host.text(DPKG) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        read => read.with_context(|| format!("reading {DPKG}"))?,
    };
    if status.len() >= READ_BYTES_MAX {
        rows.missing(format!("what stands behind the first {READ_BYTES_MAX} bytes of {DPKG}"));
    }
    let mut unread = 0;
    for entry in status.split("\n\n").filter(|entry| !entry.trim().is_empty()) {
        match dpkg_package(entry) {
            Some(package) => rows.push(&package),
            None => unread += 1,
        }
    }
    if unread > 0 {
        rows.missing(format!("{unread} entries of {DPKG} that do not read"));
    }
    Ok(true)
}

/// deb-control(5) fields, and "Status: want flag state".
fn dpkg_package(entry: &str) -> Option<Package> {
    let mut package = Package { manager: "dpkg".into(), ..Package::default() };
    let mut states = None;
    for line in entry.lines() {
        // Continued lines begin with a blank and belong to fields that are not used here.
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match key {
            "Package" => value.clone_into(&mut package.name),
            "Version" => value.clone_into(&mut package.version),
            "Architecture" => value.clone_into(&mut package.architecture),
            "Installed-Size" => package.size_bytes = value.parse::<u64>().ok().and_then(|kib| kib.checked_mul(1024)),
            "Status" => states = Some(value),
            _ => {}
        }
    }
    let mut words = states?.split_whitespace().skip(1);
    let (flag, state) = (words.next()?, words.next()?);
    package.status = match (flag, state) {
        ("ok", "installed") => String::new(),
        ("ok", state) => state.to_owned(),
        (flag, state) => format!("{state}, {flag}"),
    };
    (!package.name.is_empty()).then_some(package)
}

/// Whether an rpm database is there.
fn from_rpm(host: &dyn Host, rows: &mut Rows) -> anyhow::Result<bool> {
    let Some(listing) = rpm::installed(host, RPM_FORMAT)? else { return Ok(false) };
    let mut unread = 0;
    for line in listing.lines() {
        match rpm_package(line) {
            Some(package) => rows.push(&package),
            None => unread += 1,
        }
    }
    if unread > 0 {
        rows.missing(format!("{unread} lines of rpm that do not read"));
    }
    Ok(true)
}

/// A line of [`RPM_FORMAT`].
fn rpm_package(line: &str) -> Option<Package> {
    let mut fields = line.split('\t');
    let mut next = || fields.next().map(str::to_owned);
    Some(Package {
        name: next().filter(|name| !name.is_empty())?,
        version: next()?,
        architecture: next()?,
        manager: "rpm".into(),
        status: String::new(),
        size_bytes: next()?.parse().ok(),
        installed_ms: next()?.parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1000)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_clean_has_a_status() {
        let entry =
            |status: &str| format!("Package: cups\nStatus: {status}\nVersion: 2.4.2-3\nDescription: a\n b: c\n");
        let status = |text: &str| dpkg_package(&entry(text)).map(|package| package.status);
        assert_eq!(status("install ok installed").as_deref(), Some(""));
        assert_eq!(status("hold ok installed").as_deref(), Some(""));
        assert_eq!(status("install ok half-configured").as_deref(), Some("half-configured"));
        assert_eq!(status("install reinstreq half-installed").as_deref(), Some("half-installed, reinstreq"));
        assert_eq!(status("install"), None);
    }

    #[test]
    fn an_entry_without_a_name_or_status_is_no_package() {
        assert_eq!(dpkg_package("Status: install ok installed\n"), None);
        assert_eq!(dpkg_package("Package: a\n"), None);
    }

    #[test]
    fn a_line_of_rpm_is_a_package() {
        let package = rpm_package("bash\t5.1.8-9.el9\tx86_64\t7738634\t1700000000").unwrap();
        assert_eq!((package.name.as_str(), package.version.as_str()), ("bash", "5.1.8-9.el9"));
        assert_eq!((package.size_bytes, package.installed_ms), (Some(7_738_634), Some(1_700_000_000_000)));
        assert_eq!(rpm_package("bash"), None);
    }
}
