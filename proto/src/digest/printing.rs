//! Queues and jobs, read out.

use std::collections::{BTreeMap, BTreeSet};

use super::{One, Rows, count, join, quoted};

pub(super) fn printers(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let refuses = if row.yes("accepting_jobs") { String::new() } else { "takes no new jobs".into() };
        join(&[
            row.text("name"),
            row.text("state"),
            count(row.number("queued_jobs"), "job"),
            refuses,
            row.text("state_reasons"),
            quoted(&row.text("state_message")),
        ])
    })
}

/// Jobs that are not done, and those that ended badly; of the others, how many.
pub(super) fn print_jobs(rows: &Rows) -> Vec<String> {
    let line = |row: One| {
        let sent = format!("sent {}", row.text("created_ms"));
        let job = format!("job {} on {}", row.text("id"), row.text("printer"));
        join(&[job, row.text("state"), row.text("size_bytes"), sent, quoted(&row.text("message"))])
    };
    let (done, others): (Vec<One>, Vec<One>) = rows.each().partition(|row| row.is("state", "completed"));
    let mut lines: Vec<String> = others.into_iter().map(line).collect();
    if !done.is_empty() {
        lines.push(format!("{} completed lately", count(done.len() as f64, "job")));
    }
    lines
}

/// The printers themselves, in words.
pub(super) fn print_devices(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let moved = if row.yes("address_changed") {
            format!("announces another address: {}", row.text("announced_addresses"))
        } else {
            String::new()
        };
        join(&[row.text("host"), row.text("model"), row.text("summary"), moved, quoted(&row.text("display"))])
    })
}

/// A line a printer: "192.0.2.9 · Black Toner 12 % · Waste Toner 95 % full".
pub(super) fn print_supplies(rows: &Rows) -> Vec<String> {
    let mut printers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows.each() {
        let (left, full) = (row.text("percent_left"), row.text("percent_full"));
        let level = match (left.is_empty(), full.is_empty()) {
            (false, _) => left,
            (true, false) => format!("{full} full"),
            (true, true) => row.text("level_said"),
        };
        printers.entry(row.text("host")).or_default().push(format!("{} {level}", row.text("name")));
    }
    printers.iter().map(|(host, supplies)| join(&[host.clone(), join(supplies)])).collect()
}

/// The latest verdict on each queue.
pub(super) fn print_path(rows: &Rows) -> Vec<String> {
    let verdicts: Vec<_> = rows.each().filter(|row| row.is("step", "verdict")).collect();
    let mut seen = BTreeSet::new();
    let latest = verdicts.into_iter().rev().filter(|row| seen.insert(row.text("queue")));
    latest.map(|row| row.text("found")).collect()
}
