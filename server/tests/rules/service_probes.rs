//! Rules about names, TLS, pages, portals, time and the way to them.

use deskside_server::diagnose::rules::CHECKED_AT_MS;
use serde_json::{Value, json};

use super::{Sample, sample};

const HOUR_MS: i64 = 3_600_000;

/// The verdict of one run, so many hours ago, with more columns.
#[expect(clippy::needless_pass_by_value, reason = "a made-up row reads best where it is used")]
fn verdict(hours: i64, outcome: &str, problem: &str, found: &str, more: Value) -> Value {
    let mut row = json!({
        "number": 9, "step": "verdict", "target": "", "outcome": outcome, "found": found, "problem": problem,
        "_at_ms": CHECKED_AT_MS - hours * HOUR_MS,
    });
    for (name, value) in more.as_object().unwrap() {
        row[name] = value.clone();
    }
    row
}

fn well(hours: i64) -> Value {
    verdict(hours, "ok", "", "It works.", json!({}))
}

fn rows(table: &str, rows: &[Value]) -> Value {
    json!({ table: rows })
}

/// A rule that finds the latest verdict with a problem, and leaves alone: a well one, one that is well again, one of yesterday, nothing.
fn latest(rule: &'static str, table: &str, problem: &str, more: &Value) -> Sample {
    let bad = |hours| verdict(hours, "failed", problem, "It is broken.", more.clone());
    let again = verdict(1, "ok", "", "It works.", json!({ "target": bad(1)["target"] }));
    let passes =
        vec![rows(table, &[well(1)]), rows(table, &[bad(3), again]), rows(table, &[bad(25)]), rows(table, &[])];
    sample(rule, rows(table, &[well(3), bad(1)]), "It is broken.", passes)
}

fn gateway_path() -> Sample {
    let bad = |hours: i64| {
        let step = json!({
            "number": 4, "step": "gateway", "target": "192.0.2.1", "outcome": "failed", "found": "nobody answers", "problem": "gateway-silent",
            "_at_ms": CHECKED_AT_MS - hours * HOUR_MS,
        });
        let verdict = verdict(
            hours,
            "failed",
            "gateway-silent",
            "Nobody has the gateway's address.",
            json!({ "broken_at": "gateway" }),
        );
        [step, verdict]
    };
    let unseen = verdict(1, "unknown", "", "The way works as far as it can be seen.", json!({}));
    let passes = vec![
        rows("gateway_path", &[well(1)]),
        rows("gateway_path", &[&bad(3)[..], &[well(1)]].concat()),
        rows("gateway_path", &bad(25)),
        rows("gateway_path", &[unseen]),
    ];
    sample("gateway-path-broken", rows("gateway_path", &bad(1)), "Nobody has the gateway's address.", passes)
}

fn dead_server() -> Sample {
    let bad = |hours: i64| {
        let step = json!({
            "number": 2, "step": "server", "target": "192.0.2.9", "outcome": "failed", "found": "no answer in time",
            "_at_ms": CHECKED_AT_MS - hours * HOUR_MS,
        });
        [step, verdict(hours, "failed", "dead-server", "192.0.2.9 does not answer.", json!({}))]
    };
    let passes = vec![rows("dns", &[&bad(3)[..], &[well(1)]].concat()), rows("dns", &bad(25))];
    sample("dns-server-dead", rows("dns", &bad(1)), "192.0.2.9 does not answer.", passes)
}

fn interception() -> Sample {
    let of = |target: &str, issuer: &str, local: Value| {
        verdict(1, "ok", "", "It works.", json!({ "target": target, "issuer": issuer, "local_root": local }))
    };
    let proxy = "CN=Inspecting proxy";
    let all = |local: &Value| {
        let targets = ["www.one.example:443", "www.two.example:443", "www.three.example:443"];
        targets.map(|target| of(target, proxy, local.clone()))
    };
    let own: Vec<Value> = ["a.corp.example:443", "b.corp.example:443", "c.corp.example:443"]
        .map(|target| of(target, proxy, json!(true)))
        .to_vec();
    let passes = vec![
        rows("tls", &all(&json!(false))),
        rows("tls", &all(&Value::Null)),
        rows("tls", &all(&json!(true))[..2]),
        rows("tls", &own),
    ];
    sample("tls-intercepted", rows("tls", &all(&json!(true))), proxy, passes)
}

pub(super) fn samples() -> Vec<Sample> {
    let target = json!({ "target": "intranet.example:443" });
    let clock = |ms: f64| json!({ "offset_ms": ms });
    let mut near = latest("ntp-clock-off", "ntp", "offset", &clock(-5_000.0));
    near.passes.push(rows("ntp", &[verdict(1, "failed", "offset", "It is broken.", clock(400_000.0))]));
    let mut far = latest("ntp-clock-refused", "ntp", "offset", &clock(400_000.0));
    far.passes.push(rows("ntp", &[verdict(1, "failed", "offset", "It is broken.", clock(-5_000.0))]));
    let mut page = latest("page-fails", "http", "unreachable", &target);
    page.passes.push(rows("http", &[verdict(1, "failed", "client-error", "answers 404", target.clone())]));
    page.passes.push(rows("http", &[verdict(1, "failed", "proxy-login", "407", target.clone())]));
    let mut portal = latest("captive-portal", "captive", "portal", &json!({}));
    portal.passes.push(rows("captive", &[verdict(1, "failed", "unreachable", "no answer", json!({}))]));
    vec![
        gateway_path(),
        latest("dns-does-not-answer", "dns", "dead", &json!({})),
        dead_server(),
        latest("dns-slow", "dns", "slow", &json!({ "took_ms": 300 })),
        latest("dns-answers-wrong", "dns", "differs", &json!({ "target": "a.example" })),
        portal,
        latest("proxy-fails", "http", "proxy-login", &target),
        page,
        latest("tls-not-trusted", "tls", "expired", &target),
        latest("tls-ends-soon", "tls", "expiring", &target),
        interception(),
        far,
        near,
        latest("time-servers-silent", "ntp", "silent", &json!({})),
    ]
}
