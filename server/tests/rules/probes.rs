//! Rules about what probes found.

use deskside_server::diagnose::rules::CHECKED_AT_MS;
use serde_json::{Value, json};

use super::{Sample, sample};

const HOUR_MS: i64 = 3_600_000;

/// One run of the test, so many hours ago.
fn run(queue: &str, hours: i64, outcome: &str, found: &str) -> Vec<Value> {
    let at_ms = CHECKED_AT_MS - hours * HOUR_MS;
    let broken_at = if outcome == "failed" { "port" } else { "" };
    let row = |number: u32, step: &str, outcome: &str, found: &str| {
        json!({
            "queue": queue, "number": number, "step": step, "target": "192.0.2.9:9100", "outcome": outcome, "found": found,
            "broken_at": if step == "verdict" { broken_at } else { "" }, "_at_ms": at_ms,
        })
    };
    vec![
        row(1, "queue", "ok", "idle"),
        row(6, "port", outcome, "connection refused"),
        row(9, "verdict", outcome, found),
    ]
}

fn runs(runs: &[Vec<Value>]) -> Value {
    json!({ "print_path": runs.concat() })
}

pub(super) fn samples() -> Vec<Sample> {
    let refused = "The printer at 192.0.2.9 does not answer on port 9100: connection refused; name and route are fine.";
    vec![sample(
        "print-path-broken",
        runs(&[run("front", 3, "ok", "The way is whole."), run("front", 1, "failed", refused)]),
        refused,
        vec![
            runs(&[run("front", 1, "ok", "The way is whole.")]),
            runs(&[run("front", 3, "failed", refused), run("front", 1, "ok", "The way is whole.")]),
            runs(&[run("front", 25, "failed", refused)]),
            runs(&[]),
        ],
    )]
}
