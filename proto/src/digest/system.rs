//! The operating system and what runs on it, read out.

use super::{LINES_MAX, One, Rows, count, join, labelled};

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
    lines.push(format!("{running} active, {} in all", rows.opened.len()));
    lines
}

/// How the starts before this one ended, the latest first: `clean (reboot) · cut_off · clean (poweroff)`.
pub(super) fn boots(rows: &Rows) -> Vec<String> {
    let before = rows.each().filter(|row| !row.is("ended", "running"));
    let ends = before.map(|row| {
        let more = [row.text("how"), row.text("reason")].into_iter().find(|text| !text.is_empty());
        more.map_or_else(|| row.text("ended"), |more| format!("{} ({more})", row.text("ended")))
    });
    let ends: Vec<String> = ends.take(LINES_MAX).collect();
    if ends.is_empty() { Vec::new() } else { vec![format!("ended before: {}", join(&ends))] }
}

pub(super) fn crashes(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let times = format!("{} times, last {}", row.text("count"), row.text("last_ms"));
        join(&[row.text("program"), row.text("signal"), row.text("frame"), times])
    })
}

pub(super) fn reboot_required(rows: &Rows) -> Vec<String> {
    rows.tell(|row| join(&[row.text("reason"), labelled("since", &row.text("since_ms")), row.text("packages")]))
}

pub(super) fn updates(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let pending = match row.text("pending") {
            none if none.is_empty() => "pending not known".into(),
            number => format!("{number} pending, {} for security", row.text("pending_security")),
        };
        let failed = labelled("failed", &row.text("last_failure_ms"));
        join(&[row.text("manager"), pending, labelled("lists refreshed", &row.text("refreshed_ms")), failed])
    })
}

pub(super) fn time_sync(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let followed = row.either("synchronized", "synchronized", "NOT synchronized");
        join(&[row.text("service"), followed.into(), labelled("off by", &row.text("offset_ms")), row.text("source")])
    })
}

pub(super) fn users(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let place = ["seat", "tty", "remote_host"].map(|column| row.text(column));
        let locked = row.either("locked", "locked", "");
        let since = labelled("since", &row.text("since_ms"));
        join(&[row.text("user"), row.text("type"), row.text("state"), join(&place), since, locked.into()])
    })
}
