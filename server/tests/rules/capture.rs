//! Rules about what is seen on the wire itself.

use deskside_server::diagnose::rules::CHECKED_AT_MS;
use serde_json::{Value, json};

use super::{Sample, sample};

const HOUR_MS: i64 = 3_600_000;

/// One test of the addresses, so many hours ago.
fn tested(hours: i64, outcome: &str, macs: &str) -> Vec<Value> {
    let at_ms = CHECKED_AT_MS - hours * HOUR_MS;
    let row = |number: u32, step: &str| {
        json!({
            "number": number, "step": step, "interface": "eth0", "address": "192.0.2.20", "outcome": outcome, "found": "said",
            "macs": if macs.is_empty() { vec![] } else { vec![macs] }, "_at_ms": at_ms,
        })
    };
    vec![row(1, "address"), row(2, "verdict")]
}

fn runs(runs: &[Vec<Value>]) -> Value {
    json!({ "duplicate_ip": runs.concat() })
}

pub(super) fn samples() -> Vec<Sample> {
    let mac = "02:00:00:00:00:09";
    vec![sample(
        "address-conflict",
        runs(&[tested(3, "ok", ""), tested(1, "failed", mac)]),
        "192.0.2.20 of eth0 is used by another machine too (02:00:00:00:00:09)",
        vec![
            runs(&[tested(1, "ok", "")]),
            runs(&[tested(3, "failed", mac), tested(1, "ok", "")]),
            runs(&[tested(25, "failed", mac)]),
            runs(&[tested(1, "unknown", "")]),
        ],
    )]
}
