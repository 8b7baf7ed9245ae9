//! The operating system and what runs on it, read out.

use super::{One, Rows, count, join};

pub(super) fn os(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        join(
            &["pretty_name", "kernel", "architecture", "vendor", "model", "virtualization"]
                .map(|column| row.text(column)),
        )
    })
}

pub(super) fn boot(rows: &Rows) -> Vec<String> {
    rows.tell(|row| format!("up {} since {}", row.text("uptime_s"), row.text("booted_ms")))
}

pub(super) fn memory(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let free = format!("{} of {} available", row.text("available_bytes"), row.text("total_bytes"));
        let swap = if row.number("swap_total_bytes") > 0.0 {
            format!("swap {} of {} used", row.text("swap_used_bytes"), row.text("swap_total_bytes"))
        } else {
            "no swap".into()
        };
        join(&[free, swap])
    })
}

pub(super) fn load(rows: &Rows) -> Vec<String> {
    let averages = |row: One| ["load_1", "load_5", "load_15"].map(|column| row.text(column)).join(" ");
    rows.tell(|row| format!("{} on {}", averages(row), count(row.number("processors"), "processor")))
}

pub(super) fn filesystems(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let full = format!("{} full, {} free", row.text("used_percent"), row.text("available_bytes"));
        let read_only = if row.yes("read_only") { "read-only".to_owned() } else { String::new() };
        join(&[row.text("mount_point"), full, row.text("type"), read_only])
    })
}

/// Failed ones by name; the others by number.
pub(super) fn services(rows: &Rows) -> Vec<String> {
    let failed = rows.each().filter(|row| row.is("active_state", "failed"));
    let mut lines: Vec<String> = failed
        .map(|row| join(&[row.text("name"), "failed".into(), row.text("result"), row.text("description")]))
        .collect();
    let running = rows.each().filter(|row| row.is("active_state", "active")).count();
    lines.push(format!("{running} active, {} in all", rows.sheet.rows.len()));
    lines
}
