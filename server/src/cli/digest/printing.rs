//! Queues and jobs, read out.

use std::collections::BTreeSet;

use super::{Rows, count, join, quoted};

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

pub(super) fn print_jobs(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let sent = format!("sent {}", row.text("created_ms"));
        let job = format!("job {} on {}", row.text("id"), row.text("printer"));
        join(&[job, row.text("state"), row.text("size_bytes"), sent, quoted(&row.text("message"))])
    })
}

/// The latest verdict on each queue.
pub(super) fn print_path(rows: &Rows) -> Vec<String> {
    let verdicts: Vec<_> = rows.each().filter(|row| row.is("step", "verdict")).collect();
    let mut seen = BTreeSet::new();
    let latest = verdicts.into_iter().rev().filter(|row| seen.insert(row.text("queue")));
    latest.map(|row| row.text("found")).collect()
}
