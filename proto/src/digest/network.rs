//! Links, addresses, routes and names, read out.

use std::collections::BTreeSet;

use crate::rows::Value;

use super::{LINES_MAX, One, Rows, count, join, labelled};

pub(super) fn interfaces(rows: &Rows) -> Vec<String> {
    let real = rows.each().filter(|row| !row.is("name", "lo") && !row.is("kind", "loopback"));
    real.map(|row| {
        let errors = row.number("rx_errors") + row.number("tx_errors");
        let errors = if errors > 0.0 { count(errors, "error") } else { String::new() };
        let carrier = if row.yes("admin_up") && matches!(row.value("carrier"), Some(Value::Bool(false))) {
            "no carrier"
        } else {
            ""
        };
        let parts = ["name", "kind", "state", "speed_bits_per_second", "duplex"].map(|column| row.text(column));
        join(&[join(&parts), carrier.into(), errors])
    })
    .collect()
}

pub(super) fn addresses(rows: &Rows) -> Vec<String> {
    let global = rows.each().filter(|row| !row.yes("link_local") && !row.is("interface", "lo"));
    let each: Vec<String> = global
        .map(|row| format!("{} {}/{}", row.text("interface"), row.text("address"), row.text("prefix_length")))
        .collect();
    one_line(&each, "no address but link-local ones")
}

pub(super) fn routes(rows: &Rows) -> Vec<String> {
    let default = |row: &One| row.is("destination", "default") || row.text("destination").ends_with("/0");
    let each: Vec<String> = rows
        .each()
        .filter(default)
        .map(|row| format!("default by {} on {}", row.text("gateway"), row.text("interface")))
        .collect();
    one_line(&each, "no default route")
}

pub(super) fn resolvers(rows: &Rows) -> Vec<String> {
    let mut each: Vec<String> =
        rows.each().filter(|row| row.is("kind", "nameserver")).map(|row| row.text("value")).collect();
    each.dedup();
    one_line(&each, "no name server")
}

/// Leases that are not in force come first.
pub(super) fn dhcp(rows: &Rows) -> Vec<String> {
    let line = |row: One| {
        let by = labelled("by", &row.text("server"));
        let until = labelled("until", &row.text("expires_ms"));
        let outside = if row.yes("router_outside") { "router outside the network" } else { "" };
        join(&[row.text("interface"), row.text("state"), row.text("address"), by, until, outside.into()])
    };
    let (bound, other): (Vec<One>, Vec<One>) = rows.each().partition(|row| row.is("state", "bound"));
    other.into_iter().chain(bound).map(line).collect()
}

pub(super) fn wifi(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let parts = ["interface", "state", "ssid", "signal_dbm", "rate"].map(|column| row.text(column));
        join(&parts)
    })
}

/// Tunnels whose other end does not answer, and connections that failed, come first.
pub(super) fn vpn(rows: &Rows) -> Vec<String> {
    let line = |row: One| {
        let down = if matches!(row.value("up"), Some(Value::Bool(false))) { "switched off" } else { "" };
        let all = if row.yes("default_route") { "takes all traffic" } else { "" };
        let handshake = labelled("last handshake", &row.text("handshake"));
        join(&[row.text("name"), row.text("kind"), row.text("state"), down.into(), handshake, all.into()])
    };
    let well = |row: &One| row.is("handshake", "within 3 minutes") || row.is("state", "activated");
    let (well, other): (Vec<One>, Vec<One>) = rows.each().partition(well);
    other.into_iter().chain(well).map(line).collect()
}

pub(super) fn proxies(rows: &Rows) -> Vec<String> {
    let set = rows.each().filter(|row| !row.is("scheme", "none") && !row.is("scheme", "mode"));
    let mut each: Vec<String> =
        set.map(|row| format!("{} {} {}", row.text("consumer"), row.text("scheme"), row.text("value"))).collect();
    each.dedup();
    if each.is_empty() { Vec::new() } else { one_line(&each, "") }
}

/// The chains that filter what comes in and what goes out.
pub(super) fn firewall(rows: &Rows) -> Vec<String> {
    let filters =
        rows.each().filter(|row| row.is("type", "filter") && (row.is("hook", "input") || row.is("hook", "output")));
    let each: Vec<String> = filters
        .map(|row| {
            let verdict =
                if row.is("policy", "drop") || row.yes("drops_rest") { "drops the rest" } else { "accepts the rest" };
            format!("{} {}: {} rules, {verdict}", row.text("hook"), row.text("family"), row.text("rules"))
        })
        .collect();
    one_line(&each, "nothing is filtered")
}

/// What probes found: the latest sentence of each thing that was tested, those of failures first.
pub(super) fn verdicts(rows: &Rows) -> Vec<String> {
    let subject = rows.schema.columns.first().map(|column| column.name.clone()).unwrap_or_default();
    let verdicts: Vec<One> = rows.each().filter(|row| row.is("step", "verdict")).collect();
    let mut seen = BTreeSet::new();
    let latest = verdicts.into_iter().rev().filter(|row| seen.insert(row.text(&subject)));
    let (well, other): (Vec<One>, Vec<One>) = latest.partition(|row| row.is("outcome", "ok"));
    other.into_iter().chain(well).map(|row| row.text("found")).collect()
}

fn one_line(each: &[String], none: &str) -> Vec<String> {
    let shown = each.iter().take(LINES_MAX).cloned().collect::<Vec<_>>().join(", ");
    match each.len() {
        0 => vec![none.into()],
        1..=LINES_MAX => vec![shown],
        more => vec![format!("{shown} … and {} more", more - LINES_MAX)],
    }
}
