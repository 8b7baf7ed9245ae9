//! How many log lines a second redaction reads: `cargo bench -p deskside-agent --bench redact`.
#![allow(clippy::print_stdout, reason = "a bench prints its figure")]

use std::hint::black_box;
use std::time::Instant;

use deskside_agent::redact::{Config, Redactor};

/// Lines as machines write them: nothing to take out, a secret, a person's folder.
const LINES: [&str; 6] = [
    "Started CUPS Scheduler.",
    "[Job 17] The printer is not responding. socket://192.0.2.7:9100 timed out after 30 seconds",
    "usb 1-4: new high-speed USB device number 7 using xhci_hcd",
    "curl: (22) The requested URL returned error: 401, tried https://anna:hunter2secret@files.example/a?token=abcdef0123456789",
    "systemd-resolved[512]: Using degraded feature set UDP instead of UDP+EDNS0 for DNS server 192.0.2.53.",
    "Could not open /home/anna/Documents/report.odt: Permission denied",
];

/// Lines read in one round.
const ROUND: usize = 600_000;

fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let redactor = Redactor::open(folder.path(), Config::default())?;
    let mut rates: Vec<f64> = (0..5).map(|_round| rate(&redactor)).collect();
    rates.sort_by(f64::total_cmp);
    let median = rates.get(rates.len() / 2).copied().unwrap_or_default();
    println!("redaction: {median:.0} lines a second on one core, median of {} rounds of {ROUND} lines", rates.len());
    Ok(())
}

fn rate(redactor: &Redactor) -> f64 {
    let begun = Instant::now();
    for line in LINES.iter().cycle().take(ROUND) {
        black_box(redactor.text(black_box(line)));
    }
    ROUND as f64 / begun.elapsed().as_secs_f64()
}
