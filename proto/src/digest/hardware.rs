//! What the machine is made of, read out.

use std::collections::BTreeMap;

use crate::rows::Value;

use super::{One, Rows, join, labelled};

/// `LENOVO ThinkPad T14 · serial … · BIOS N1 (09/01/2025) uefi · Secure Boot on · TPM 2.0`
pub(super) fn firmware(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let made = ["manufacturer", "product", "version"].map(|column| row.text(column)).join(" ");
        let bios = format!("BIOS {} ({}) {}", row.text("bios_version"), row.text("bios_date"), row.text("boot_mode"));
        let secure_boot = row.either("secure_boot", "Secure Boot on", "Secure Boot off");
        join(&[
            made.trim().to_owned(),
            labelled("serial", &row.text("serial")),
            bios,
            secure_boot.into(),
            labelled("TPM", &row.text("tpm_version")),
        ])
    })
}

/// Alike modules together: "2 × 16 GiB DDR5 at 5600 MT/s, part … (DIMM A1, DIMM B1)"; then the empty slots.
pub(super) fn memory_modules(rows: &Rows) -> Vec<String> {
    let mut alike: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows.each().filter(|row| row.yes("present")) {
        let speed = row.text("configured_mts");
        let speed = if speed.is_empty() { speed } else { format!("at {speed} MT/s") };
        let what = ["size_bytes", "type"].map(|column| row.text(column)).join(" ");
        let module = join(&[format!("{what} {speed}").trim().to_owned(), labelled("part", &row.text("part"))]);
        alike.entry(module).or_default().push(row.text("slot"));
    }
    let line = |(module, slots): (&String, &Vec<String>)| format!("{} × {module} ({})", slots.len(), slots.join(", "));
    let mut lines: Vec<String> = alike.iter().map(line).collect();
    let empty = rows.each().filter(|row| !row.yes("present")).count();
    if empty > 0 {
        lines.push(format!("{empty} empty slots"));
    }
    lines
}

pub(super) fn cpu(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let used = row.text("used_percent");
        let used = if used.is_empty() { used } else { format!("{used} busy") };
        join(&[format!("{} × {}", row.text("processors"), row.text("model")), used])
    })
}

pub(super) fn disks(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let read_only = if row.yes("read_only") { "read-only" } else { "" };
        let parts = ["name", "model", "size_bytes", "kind", "transport", "state"].map(|column| row.text(column));
        join(&[join(&parts), read_only.into(), row.text("mount_points")])
    })
}

/// The disk's own verdict first; what was not read says why.
pub(super) fn disk_health(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        if !row.is("state", "read") {
            return join(&[row.text("disk"), row.text("state"), row.text("reason")]);
        }
        let verdict = match row.value("passed") {
            Some(Value::Bool(true)) => "expects to live",
            Some(Value::Bool(false)) => "EXPECTS TO FAIL",
            _ => "gives no verdict",
        };
        join(&[
            row.text("disk"),
            verdict.into(),
            row.text("critical_warnings"),
            row.text("temperature_celsius"),
            after(&row.text("power_on_hours"), "h on"),
            after(&row.text("percentage_used"), "of its life used"),
            after(&row.text("available_spare_percent"), "spare"),
            above_zero(row, "pending_sectors", "pending sectors"),
            above_zero(row, "reallocated_sectors", "reallocated sectors"),
            above_zero(row, "media_errors", "media errors"),
        ])
    })
}

pub(super) fn batteries(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let health = after(&row.text("health_percent"), "of its first capacity");
        join(&[
            row.text("name"),
            row.text("status"),
            row.text("charge_percent"),
            health,
            after(&row.text("cycles"), "cycles"),
        ])
    })
}

/// The hottest sensor of each part, in one line: "cpu 54 °C (critical 100 °C) · disk 36 °C".
pub(super) fn temperatures(rows: &Rows) -> Vec<String> {
    let mut hottest: BTreeMap<String, One> = BTreeMap::new();
    for row in rows.each().filter(|row| !row.text("temperature_celsius").is_empty()) {
        let part = row.text("part");
        let part = if part.is_empty() { row.text("chip") } else { part };
        let hotter = |before: &One| row.number("temperature_celsius") > before.number("temperature_celsius");
        if hottest.get(&part).is_none_or(hotter) {
            hottest.insert(part, row);
        }
    }
    let each = hottest.iter().map(|(part, row)| {
        let critical = row.text("critical_celsius");
        let critical = if critical.is_empty() { critical } else { format!(" (critical {critical})") };
        format!("{part} {}{critical}", row.text("temperature_celsius"))
    });
    let line = join(&each.collect::<Vec<_>>());
    if line.is_empty() { Vec::new() } else { vec![line] }
}

/// Devices that have a problem, or none of them all.
pub(super) fn pci_devices(rows: &Rows) -> Vec<String> {
    let wrong = rows.each().filter(|row| !row.text("problems").is_empty());
    wrong.map(|row| join(&["address", "vendor", "name", "problems"].map(|column| row.text(column)))).collect()
}

fn after(number: &str, words: &str) -> String {
    if number.is_empty() { String::new() } else { format!("{number} {words}") }
}

fn above_zero(row: One, column: &str, words: &str) -> String {
    if row.number(column) > 0.0 { after(&row.text(column), words) } else { String::new() }
}
