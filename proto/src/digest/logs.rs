//! Errors that are new, and the latest urgent lines, read out.

use crate::rows::Value;
use crate::{codes, show};

use super::{LINES_MAX, One, Rows, join, labelled};

/// What is new first, then what is said most; what was not said for a day is left out.
pub(super) fn error_signatures(rows: &Rows) -> Vec<String> {
    let is_new = |row: &One| row.yes("new_since_update") || row.yes("new_since_boot");
    let mut said: Vec<One> = rows.each().filter(|row| row.number("hourly_peak") > 0.0).collect();
    said.sort_by(|a, b| is_new(b).cmp(&is_new(a)).then(b.number("hourly_peak").total_cmp(&a.number("hourly_peak"))));
    let line = |row: &One| {
        let new = match (row.yes("new_since_update"), row.yes("new_since_boot")) {
            (true, _) => "NEW since the update",
            (false, true) => "NEW since the start",
            (false, false) => "",
        };
        let rate = format!("{} an hour or more", row.text("hourly_peak"));
        join(&[new.into(), row.text("source"), row.text("template"), rate, row.text("codes")])
    };
    said.iter().map(line).collect()
}

/// The latest, newest last, as in a log. Codes are told with their meaning.
pub(super) fn log_events(rows: &Rows) -> Vec<String> {
    let urgent = rows.each().filter(|row| matches!(row.value("priority"), Some(Value::Uint(0..=4))));
    let line = |row: One| {
        let who = [row.text("program"), row.text("unit"), row.text("source")].into_iter().find(|name| !name.is_empty());
        let priority = show::priority_name(row.number("priority") as u64);
        let at = match row.value("at_ms") {
            Some(Value::Int(at_ms)) => show::clock(*at_ms),
            _ => String::new(),
        };
        let message = row.text("message");
        let codes: Vec<String> = codes::find(&message).into_iter().map(|meaning| meaning.to_string()).collect();
        join(&[at, priority.into(), who.unwrap_or_default(), message, labelled("=", &codes.join("; "))])
    };
    let lines: Vec<String> = urgent.map(line).collect();
    let before = lines.len().saturating_sub(LINES_MAX);
    lines.into_iter().skip(before).collect()
}
