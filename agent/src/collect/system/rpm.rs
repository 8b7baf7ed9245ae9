//! What rpm knows of the installed software.

use std::io::ErrorKind;

use anyhow::Context;

use crate::host::Host;

/// Where rpm keeps its database: the older place and the newer one.
const PLACES: [&str; 2] = ["/var/lib/rpm", "/usr/lib/sysimage/rpm"];

/// A line for each installed package, as the format says (rpm(8), --queryformat). Absent where there is no database or no rpm.
pub(super) fn installed(host: &dyn Host, format: &str) -> anyhow::Result<Option<String>> {
    if !PLACES.iter().any(|folder| host.list(folder).is_ok_and(|names| !names.is_empty())) {
        return Ok(None);
    }
    let ran = match host.run("rpm", &["-qa", "--qf", format]) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        ran => ran.context("running rpm")?,
    };
    let complaint = String::from_utf8_lossy(&ran.stderr);
    anyhow::ensure!(ran.status == Some(0), "rpm ended with status {:?}: {}", ran.status, complaint.trim());
    Ok(Some(String::from_utf8_lossy(&ran.stdout).into_owned()))
}
