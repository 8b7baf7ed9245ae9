//! Links, addresses, routes and names, read out.

use deskside_proto::rows::Value;

use super::{LINES_MAX, One, Rows, count, join};

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

fn one_line(each: &[String], none: &str) -> Vec<String> {
    let shown = each.iter().take(LINES_MAX).cloned().collect::<Vec<_>>().join(", ");
    match each.len() {
        0 => vec![none.into()],
        1..=LINES_MAX => vec![shown],
        more => vec![format!("{shown} … and {} more", more - LINES_MAX)],
    }
}
