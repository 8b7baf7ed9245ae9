//! udisks2 over D-Bus, asked by busctl(1): it reads SMART every ten minutes without waking a disk, and tells everybody. ATA disks since
//! 2.0 (`org.freedesktop.UDisks2.Drive.Ata`), those of NVM Express since 2.10 (`org.freedesktop.UDisks2.NVMe.Controller`). Raw attributes
//! are not among it.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use anyhow::{Context, bail, ensure};
use deskside_proto::v1::{DiskAttribute, DiskHealth};
use serde_json::Value;

use super::json::{flag, number, small, text};
use super::{DISK_MAX, Found, Smart, UDISKS, ata};
use crate::host::Host;

const SERVICE: &str = "org.freedesktop.UDisks2";
const ROOT: &str = "/org/freedesktop/UDisks2";
const BLOCKS: &str = "/org/freedesktop/UDisks2/block_devices/";

/// Most bytes of its whole tree that are read.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most attributes of one disk.
const ATTRIBUTES_MAX: usize = 256;

/// What busctl says where nobody has the name, or where there is no bus.
const ABSENT: [&str; 5] = [
    "was not provided by any",
    "ServiceUnknown",
    "not activatable",
    "Failed to connect to bus",
    "Unit udisks2.service not",
];

/// Critical warnings of NVM Express: udisks2's names and those of the table.
const WARNINGS: [(&str, &str, u32); 6] = [
    ("spare", "spare-below-threshold", 0),
    ("temperature", "temperature", 1),
    ("degraded", "reliability-degraded", 2),
    ("readonly", "media-read-only", 3),
    ("volatile_mem", "volatile-memory-backup-failed", 4),
    ("pmr_readonly", "persistent-memory-unreliable", 5),
];

/// Asks for these disks. `NotFound` where there is no udisks2.
pub(super) fn ask(host: &dyn Host, disks: &[String]) -> anyhow::Result<Found> {
    let tree = call(host, ROOT, "org.freedesktop.DBus.ObjectManager", &["GetManagedObjects"])?;
    let tree = tree.pointer("/data/0").context("udisks2 shows no objects")?;
    let drives = drives(tree);
    let mut found = Found::default();
    for disk in disks {
        let Some((path, drive)) = drives.get(disk) else {
            found.missing.push(format!("disk {disk}: udisks2 does not know it"));
            continue;
        };
        match drive_health(host, disk, path, drive) {
            Ok(smart) => found.disks.push(smart),
            Err(error) => found.missing.push(format!("disk {disk}: {error:#}")),
        }
    }
    Ok(found)
}

/// One call; the answer's JSON.
fn call(host: &dyn Host, path: &str, interface: &str, more: &[&str]) -> anyhow::Result<Value> {
    let arguments = [&["--system", "--json=short", "call", SERVICE, path, interface], more].concat();
    let ran = host.run_shared("busctl", &arguments, DISK_MAX)?;
    if ran.status != Some(0) {
        let said = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
        if ABSENT.iter().any(|part| said.contains(part)) {
            return Err(io::Error::new(ErrorKind::NotFound, said).into());
        }
        bail!("busctl: {said}");
    }
    ensure!(ran.stdout.len() <= BYTES_MAX, "udisks2 said more than {BYTES_MAX} bytes");
    serde_json::from_slice(&ran.stdout).context("busctl printed no JSON")
}

/// Each whole disk's drive, with its path, by kernel name.
fn drives(tree: &Value) -> BTreeMap<String, (String, &Value)> {
    let objects = tree.as_object().into_iter().flatten();
    let found = objects.filter_map(|(path, interfaces)| {
        let name = path.strip_prefix(BLOCKS)?;
        if interfaces.get("org.freedesktop.UDisks2.Partition").is_some() {
            return None;
        }
        let drive = property(interfaces.get("org.freedesktop.UDisks2.Block")?, "Drive")?.as_str()?;
        Some((name.to_owned(), (drive.to_owned(), tree.get(drive)?)))
    });
    found.collect()
}

/// `{"Name": {"type": "s", "data": "…"}}`
fn property<'a>(interface: &'a Value, name: &str) -> Option<&'a Value> {
    interface.get(name)?.get("data")
}

fn drive_health(host: &dyn Host, disk: &str, path: &str, drive: &Value) -> anyhow::Result<Smart> {
    let own = drive.get("org.freedesktop.UDisks2.Drive").unwrap_or(&Value::Null);
    let health = DiskHealth {
        disk: disk.to_owned(),
        source: UDISKS.into(),
        model: text(own, "/Model/data"),
        ..DiskHealth::default()
    };
    if let Some(ata) = drive.get("org.freedesktop.UDisks2.Drive.Ata") {
        return ata_health(host, path, ata, DiskHealth { protocol: "ATA".into(), ..health });
    }
    if let Some(nvme) = drive.get("org.freedesktop.UDisks2.NVMe.Controller") {
        return nvme_health(host, path, nvme, DiskHealth { protocol: "NVMe".into(), ..health });
    }
    let reason = "this udisks2 does not read its health (NVMe: from 2.10 on); smartctl may".into();
    let health = DiskHealth { state: "not supported".into(), reason, ..health };
    Ok(Smart { health, ..Smart::default() })
}

fn ata_health(host: &dyn Host, path: &str, ata: &Value, mut health: DiskHealth) -> anyhow::Result<Smart> {
    let yes = |name: &str| property(ata, name).and_then(Value::as_bool).unwrap_or_default();
    let state = match (yes("SmartSupported"), yes("SmartEnabled")) {
        (false, _) => ("not supported", "the disk has no SMART"),
        (true, false) => ("switched off", "SMART is switched off in the disk; `smartctl -s on` switches it on"),
        (true, true) => ("read", ""),
    };
    (health.state, health.reason) = (state.0.into(), state.1.into());
    if health.state != "read" {
        return Ok(Smart { health, ..Smart::default() });
    }
    let updated_s = number(ata, "/SmartUpdated/data").filter(|seconds| *seconds > 0);
    let updated_s = updated_s.context("udisks2 has not read its health yet")?;
    health.read_ms = i64::try_from(updated_s).ok().and_then(|seconds| seconds.checked_mul(1000));
    health.passed = flag(ata, "/SmartFailing/data").map(|failing| !failing);
    health.temperature_celsius = property(ata, "SmartTemperature").and_then(Value::as_f64).and_then(celsius);
    health.power_on_hours = number(ata, "/SmartPowerOnSeconds/data").filter(|hours| *hours > 0).map(|s| s / 3600);
    self_test(&text(ata, "/SmartSelftestStatus/data"), &mut health);
    health.self_test_remaining_percent =
        small(ata, "/SmartSelftestPercentRemaining/data").filter(|_left| health.last_self_test.contains("inprogress"));
    let answer = call(host, path, "org.freedesktop.UDisks2.Drive.Ata", &["SmartGetAttributes", "a{sv}", "0"])?;
    let attributes = attributes(&answer, &health.disk);
    ata::counts(&attributes, &mut health);
    health.power_cycles = attributes.iter().find(|attribute| attribute.id == 12).and_then(|attribute| attribute.raw);
    Ok(Smart { health, attributes, ..Smart::default() })
}

/// a(ysqiiixia{sv}): id, name, flags, value, worst, threshold, the number read out of the raw bytes, its unit, more. Below zero is not known.
fn attributes(answer: &Value, disk: &str) -> Vec<DiskAttribute> {
    let list = answer.pointer("/data/0").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let rows = list.iter().take(ATTRIBUTES_MAX).filter_map(|entry| {
        let flags = number(entry, "/2").unwrap_or_default();
        let (value, threshold) = (small(entry, "/3"), small(entry, "/5"));
        let worst = small(entry, "/4");
        let raw = number(entry, "/6");
        let at_limit =
            |value: Option<u32>| value.zip(threshold).is_some_and(|(value, limit)| limit > 0 && value <= limit);
        let when_failed = match (at_limit(value), at_limit(worst)) {
            (true, _) => "now",
            (false, true) => "past",
            (false, false) => "",
        };
        Some(DiskAttribute {
            disk: disk.to_owned(),
            id: small(entry, "/0")?,
            name: text(entry, "/1"),
            value,
            worst,
            threshold,
            raw,
            raw_text: raw.map(|raw| pretty(raw, number(entry, "/7").unwrap_or_default())).unwrap_or_default(),
            when_failed: when_failed.into(),
            prefail: flags & 1 == 1,
            updated_online: flags & 2 == 2,
        })
    });
    rows.collect()
}

/// The units of udisks2: 2 milliseconds, 3 sectors, 4 millikelvin; others are none.
fn pretty(number: u64, unit: u64) -> String {
    match unit {
        2 => format!("{number} ms"),
        3 => format!("{number} sectors"),
        4 => format!("{number} mK"),
        _ => number.to_string(),
    }
}

fn nvme_health(host: &dyn Host, path: &str, nvme: &Value, mut health: DiskHealth) -> anyhow::Result<Smart> {
    let updated_s = number(nvme, "/SmartUpdated/data").filter(|seconds| *seconds > 0);
    let updated_s = updated_s.context("udisks2 has not read its health yet")?;
    let warnings = property(nvme, "SmartCriticalWarning").and_then(Value::as_array).cloned().unwrap_or_default();
    let raised: Vec<_> = WARNINGS.iter().filter(|(name, ..)| warnings.iter().any(|warning| warning == name)).collect();
    health.state = "read".into();
    health.read_ms = i64::try_from(updated_s).ok().and_then(|seconds| seconds.checked_mul(1000));
    health.critical_warnings = raised.iter().map(|(_theirs, ours, _bit)| (*ours).to_owned()).collect();
    health.critical_warning = Some(raised.iter().map(|(_theirs, _ours, bit)| 1 << bit).sum());
    // As smartctl has it: any warning is a verdict.
    health.passed = Some(warnings.is_empty());
    health.temperature_celsius = property(nvme, "SmartTemperature").and_then(Value::as_f64).and_then(celsius);
    health.power_on_hours = number(nvme, "/SmartPowerOnHours/data");
    self_test(&text(nvme, "/SmartSelftestStatus/data"), &mut health);
    let answer = call(host, path, "org.freedesktop.UDisks2.NVMe.Controller", &["SmartGetAttributes", "a{sv}", "0"])?;
    let more = answer.pointer("/data/0").unwrap_or(&Value::Null);
    let count = |name: &str| number(more, &format!("/{name}/data"));
    health.available_spare_percent = small(more, "/avail_spare/data");
    health.available_spare_threshold_percent = small(more, "/spare_thresh/data");
    health.percentage_used = small(more, "/percent_used/data");
    health.power_cycles = count("power_cycles");
    health.unsafe_shutdowns = count("unsafe_shutdowns");
    health.media_errors = count("media_errors");
    health.error_log_entries = count("num_err_log_entries");
    let bytes = |name: &str| count(name).filter(|bytes| *bytes > 0);
    health.read_bytes = bytes("total_data_read");
    health.written_bytes = bytes("total_data_written");
    health.temperature_limit_celsius =
        more.pointer("/cctemp/data").and_then(Value::as_f64).and_then(celsius).filter(|limit| *limit > 0);
    Ok(Smart { health, ..Smart::default() })
}

/// From kelvin; 0 is not known.
fn celsius(kelvin: f64) -> Option<i32> {
    (kelvin > 0.0 && kelvin < 1e4).then(|| (kelvin - 273.15).round() as i32)
}

/// udisks2 tells the last one by a word; when it was it does not tell.
fn self_test(status: &str, health: &mut DiskHealth) {
    if status.is_empty() {
        return;
    }
    status.clone_into(&mut health.last_self_test);
    health.last_self_test_passed = match status {
        "success" => Some(true),
        "aborted" | "interrupted" | "inprogress" | "ctrl_reset" | "ns_removed" | "aborted_format"
        | "aborted_unknown" | "aborted_sanitize" => None,
        _ => Some(false),
    };
}
