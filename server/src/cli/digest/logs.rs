//! The latest urgent lines, read out.

use deskside_proto::rows::Value;
use deskside_proto::show;

use super::super::when;
use super::{LINES_MAX, One, Rows, join};

/// The latest, newest last, as in a log.
pub(super) fn log_events(rows: &Rows) -> Vec<String> {
    let urgent = rows.each().filter(|row| matches!(row.value("priority"), Some(Value::Uint(0..=4))));
    let line = |row: One| {
        let who = [row.text("program"), row.text("unit"), row.text("source")].into_iter().find(|name| !name.is_empty());
        let priority = when::priority_name(row.number("priority") as u64);
        let at = match row.value("at_ms") {
            Some(Value::Int(at_ms)) => show::clock(*at_ms),
            _ => String::new(),
        };
        join(&[at, priority.into(), who.unwrap_or_default(), row.text("message")])
    };
    let lines: Vec<String> = urgent.map(line).collect();
    let before = lines.len().saturating_sub(LINES_MAX);
    lines.into_iter().skip(before).collect()
}
