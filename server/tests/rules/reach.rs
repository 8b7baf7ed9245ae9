//! Rules about how far and how well packets get.

use deskside_server::diagnose::rules::CHECKED_AT_MS;
use serde_json::{Value, json};

use super::{Sample, sample};

const HOUR_MS: i64 = 3_600_000;

fn ago(hours: i64) -> i64 {
    CHECKED_AT_MS - hours * HOUR_MS
}

/// A ping of one address, so many hours ago.
fn ping(address: &str, gateway: bool, hours: i64, outcome: &str, found: &str) -> Vec<Value> {
    let row = |number: u32, step: &str, found: String| {
        json!({
            "target": address, "number": number, "step": step, "address": if step == "ping" { address } else { "" }, "gateway": gateway,
            "outcome": outcome, "found": found, "sent": 100, "received": 95, "loss_percent": 5.0, "_at_ms": ago(hours),
        })
    };
    vec![row(1, "ping", found.into()), row(2, "verdict", format!("Echo requests to {address}: {found}."))]
}

fn verdict(table: &str, hours: i64, more: &Value) -> Value {
    let mut row = json!({ "target": "203.0.113.2", "number": 9, "step": "verdict", "_at_ms": ago(hours) });
    let (Some(row_of), Some(more)) = (row.as_object_mut(), more.as_object()) else { return Value::Null };
    row_of.extend(more.clone());
    json!({ table: [row] })
}

fn join(one: Value, other: Value) -> Value {
    let (Value::Object(mut one), Value::Object(other)) = (one, other) else { return Value::Null };
    for (table, rows) in other {
        let known = one.entry(table).or_insert_with(|| json!([]));
        if let (Some(known), Value::Array(rows)) = (known.as_array_mut(), rows) {
            known.extend(rows);
        }
    }
    Value::Object(one)
}

fn pings(runs: &[Vec<Value>]) -> Value {
    json!({ "ping": runs.concat() })
}

pub(super) fn samples() -> Vec<Sample> {
    let mut all = echoes();
    all.extend(ways());
    all
}

/// Rules on ping.
fn echoes() -> Vec<Sample> {
    let lossy = "5 of 100 lost (5 %); half of the answers within 3.0 ms";
    let (gateway, far) = ("192.0.2.1", "203.0.113.2");
    let upstream =
        json!({ "outcome": "failed", "way": "lossy_upstream", "broken_at": 3, "found": "Lost from hop 3 on." });
    vec![
        sample(
            "reach-gateway-poor",
            pings(&[ping(gateway, true, 3, "ok", "0 of 10 lost"), ping(gateway, true, 1, "failed", lossy)]),
            "The gateway 192.0.2.1 is reached badly: 5 of 100 lost",
            vec![
                pings(&[ping(gateway, true, 1, "ok", "1 of 10 lost")]),
                pings(&[ping(gateway, true, 1, "unknown", "none of 10 answered, though the gateway is there")]),
                pings(&[ping(gateway, true, 3, "failed", lossy), ping(gateway, true, 1, "ok", "0 of 10 lost")]),
                pings(&[ping(gateway, true, 25, "failed", lossy)]),
                pings(&[ping(far, false, 1, "failed", lossy)]),
            ],
        ),
        sample(
            "reach-target-poor",
            pings(&[ping(far, false, 1, "failed", lossy)]),
            "Echo requests to 203.0.113.2: 5 of 100 lost",
            vec![
                pings(&[ping(gateway, true, 1, "failed", lossy)]),
                pings(&[ping(far, false, 3, "failed", lossy), ping(far, false, 1, "ok", "0 of 10 lost")]),
                pings(&[ping(far, false, 25, "failed", lossy)]),
                // The trace after it says where.
                join(pings(&[ping(far, false, 2, "failed", lossy)]), verdict("trace", 1, &upstream)),
            ],
        ),
    ]
}

/// Rules on trace, mtu and tcp.
fn ways() -> Vec<Sample> {
    let hole = json!({ "outcome": "failed", "black_hole": true, "link_mtu": 1500, "path_mtu": 1372, "found": "Packets vanish." });
    let whole =
        json!({ "outcome": "ok", "black_hole": false, "link_mtu": 1500, "path_mtu": 1500, "found": "All is well." });
    let unreached = json!({ "outcome": "failed", "black_hole": false, "found": "No way there." });
    let upstream =
        json!({ "outcome": "failed", "way": "lossy_upstream", "broken_at": 3, "found": "Lost from hop 3 on." });
    let local = json!({ "outcome": "failed", "way": "lossy_local", "broken_at": 1, "found": "Lost from hop 1 on." });
    let clean = json!({ "outcome": "ok", "way": "whole", "found": "The way works." });
    let refused = json!({ "outcome": "failed", "result": "refused", "found": "Port 443 takes no connection." });
    let open = json!({ "outcome": "ok", "result": "open", "found": "Port 443 takes connections." });
    vec![
        sample(
            "reach-way-broken",
            join(verdict("trace", 3, &clean), verdict("trace", 1, &upstream)),
            "Lost from hop 3 on.",
            vec![
                verdict("trace", 1, &clean),
                join(verdict("trace", 3, &local), verdict("trace", 1, &clean)),
                verdict("trace", 25, &local),
            ],
        ),
        sample(
            "reach-mtu-black-hole",
            verdict("mtu", 1, &hole),
            "Packets vanish.",
            vec![verdict("mtu", 1, &whole), verdict("mtu", 1, &unreached), verdict("mtu", 25, &hole)],
        ),
        sample(
            "reach-mtu-failed",
            verdict("mtu", 1, &unreached),
            "No way there.",
            vec![
                verdict("mtu", 1, &whole),
                verdict("mtu", 1, &hole),
                join(verdict("mtu", 2, &unreached), verdict("mtu", 1, &whole)),
            ],
        ),
        sample(
            "reach-port-closed",
            verdict("tcp", 1, &refused),
            "Port 443 takes no connection.",
            vec![
                verdict("tcp", 1, &open),
                join(verdict("tcp", 2, &refused), verdict("tcp", 1, &open)),
                verdict("tcp", 25, &refused),
            ],
        ),
    ]
}
