//! How an answer ended, in words: whether it is whole, and if not, what it lacks and why; what has one reason stands in one line.

use std::collections::BTreeMap;

use deskside_proto::show;
use deskside_proto::v1::{Outcome, QueryEnd, QueryNote};
use serde_json::{Value as Json, json};

use crate::cli::screen::Line;
use crate::cli::sheet;

/// Names of devices, tables or columns that one line tells.
const NAMES_MAX: usize = 12;

/// Lines of notes; more are counted.
const LINES_MAX: usize = 40;

/// Whether nothing is missing.
fn is_whole(end: Option<&QueryEnd>, notes: &[QueryNote]) -> bool {
    notes.is_empty() && end.is_some_and(|end| end.cut.is_empty() && end.notes_left_out == 0)
}

/// "12 rows of 3 devices, whole, in 34 ms", then what is missing.
pub(in crate::cli) fn lines(rows: u64, end: Option<&QueryEnd>, notes: &[QueryNote], now_ms: i64) -> Vec<Line> {
    let count = match rows {
        0 => "no rows".into(),
        1 => "1 row".into(),
        more => format!("{more} rows"),
    };
    let devices = match end.map_or(0, |end| end.devices) {
        0 => String::new(),
        1 => ", 1 device answered".into(),
        more => format!(", {more} devices answered"),
    };
    let Some(end) = end else {
        let mut lines = vec![Line::default().warn(format!("{count}, then the answer broke off"))];
        lines.extend(grouped(notes, now_ms));
        return lines;
    };
    let took = format!(", in {}", show::duration(f64::from(end.took_ms) / 1e3));
    if is_whole(Some(end), notes) {
        return vec![Line::default().dim(format!("{count}{devices}, whole{took}"))];
    }
    let mut lines = vec![Line::default().dim(format!("{count}{devices}")).warn(", with reserve").dim(took)];
    if !end.cut.is_empty() {
        lines.push(Line::default().warn("  cut: ").plain(&end.cut));
    }
    lines.extend(grouped(notes, now_ms));
    if end.notes_left_out > 0 {
        lines.push(Line::default().warn(format!("  and {} more reserves", end.notes_left_out)));
    }
    lines
}

/// What notes of one kind have in common.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    outcome: i32,
    words: String,
}

/// Whom and what a kind of notes is about.
#[derive(Debug, Default)]
struct About<'a> {
    columns: Vec<String>,
    tables: Vec<&'a str>,
    devices: Vec<&'a str>,
    /// When: the one time that all notes name.
    at_ms: Option<i64>,
}

fn grouped(notes: &[QueryNote], now_ms: i64) -> Vec<Line> {
    let mut kinds: BTreeMap<Kind, About> = BTreeMap::new();
    for note in notes {
        // "COLUMN is not …" is said of each column by itself.
        let of_column = note.words.split_once(" is not ").filter(|(column, _rest)| !column.contains(' '));
        let words = of_column.map_or_else(|| note.words.clone(), |(_column, rest)| format!("not {rest}"));
        let about = kinds.entry(Kind { outcome: note.outcome, words }).or_default();
        if let Some((column, _rest)) = of_column {
            about.columns.push(format!("{}.{column}", note.table));
        } else if !note.table.is_empty() && !about.tables.contains(&note.table.as_str()) {
            about.tables.push(&note.table);
        }
        if !note.device.is_empty() && !about.devices.contains(&note.device.as_str()) {
            about.devices.push(&note.device);
        }
        about.at_ms = match about.at_ms {
            None => Some(note.at_ms),
            Some(at_ms) if at_ms == note.at_ms => Some(at_ms),
            Some(_other) => Some(0),
        };
    }
    let more = kinds.len().saturating_sub(LINES_MAX);
    let mut lines: Vec<Line> =
        kinds.into_iter().take(LINES_MAX).map(|(kind, about)| line(&kind, &about, now_ms)).collect();
    if more > 0 {
        lines.push(Line::default().warn(format!("  and {more} reserves of other kinds; JSON has all")));
    }
    lines
}

fn line(kind: &Kind, about: &About<'_>, now_ms: i64) -> Line {
    let columns: Vec<&str> = about.columns.iter().map(String::as_str).collect();
    let what = [names(&columns), names(&about.tables)].into_iter().filter(|names| !names.is_empty());
    let mut subject = what.collect::<Vec<_>>().join(", ");
    if !about.devices.is_empty() {
        let of = if subject.is_empty() { "" } else { " of " };
        subject = format!("{subject}{of}{}", names(&about.devices));
    }
    let outcome = Outcome::try_from(kind.outcome).unwrap_or_default();
    let words = match outcome {
        Outcome::Unspecified | Outcome::Ok => kind.words.clone(),
        outcome if kind.words == show::outcome(outcome) => sheet::words(outcome, ""),
        outcome => sheet::words(outcome, &kind.words),
    };
    let when = about.at_ms.filter(|at_ms| *at_ms != 0).map(|at_ms| format!(" ({})", show::time(at_ms, now_ms)));
    let line = Line::default().plain("  ");
    let line = if subject.is_empty() { line } else { line.warn(subject).plain(": ") };
    line.plain(words).dim(when.unwrap_or_default())
}

/// The first names, and how many more there are.
fn names(names: &[&str]) -> String {
    let first = names.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// The same for a program: `complete, row_count, devices, took_ms, cut, notes, notes_left_out`.
pub(super) fn json(end: Option<&QueryEnd>, notes: &[QueryNote], _now_ms: i64) -> Json {
    let note = |note: &QueryNote| {
        let outcome = (note.outcome() != Outcome::Unspecified).then(|| show::outcome(note.outcome()));
        let at_ms = (note.at_ms != 0).then_some(note.at_ms);
        json!({ "device": note.device, "table": note.table, "outcome": outcome, "words": note.words, "at_ms": at_ms })
    };
    let whole = is_whole(end, notes);
    let end = end.cloned().unwrap_or_default();
    json!({
        "complete": whole, "row_count": end.rows, "devices": end.devices, "took_ms": end.took_ms, "cut": end.cut,
        "notes": notes.iter().map(note).collect::<Vec<_>>(), "notes_left_out": end.notes_left_out,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: &[Line]) -> String {
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        anstream::adapter::strip_str(&lines.join("\n")).to_string()
    }

    fn note(device: &str, table: &str, outcome: Outcome, words: &str) -> QueryNote {
        QueryNote { device: device.into(), table: table.into(), outcome: outcome.into(), words: words.into(), at_ms: 0 }
    }

    #[test]
    fn what_has_one_reason_stands_in_one_line() {
        let notes = [
            note("anna", "", Outcome::Unspecified, "timed out"),
            note("ben", "", Outcome::Unspecified, "timed out"),
            note("", "printers", Outcome::Denied, "no permission"),
            note("", "print_jobs", Outcome::Denied, "no permission"),
            note("", "users", Outcome::Unspecified, "user is not shown: it needs another role, or consent"),
            note("", "users", Outcome::Unspecified, "uid is not shown: it needs another role, or consent"),
        ];
        let end =
            QueryEnd { rows: 2, took_ms: 34, cut: "the first 2 rows; there are more".into(), ..QueryEnd::default() };
        assert_eq!(
            text(&lines(2, Some(&end), &notes, 0)),
            "2 rows, with reserve, in 34 ms\n  \
             cut: the first 2 rows; there are more\n  \
             users.user, users.uid: not shown: it needs another role, or consent\n  \
             anna, ben: timed out\n  \
             printers, print_jobs: not seen (denied): no permission"
        );
    }

    #[test]
    fn an_answer_without_its_end_is_never_whole() {
        assert_eq!(text(&lines(7, None, &[], 0)), "7 rows, then the answer broke off");
        assert_eq!(json(None, &[], 0)["complete"], false);
    }

    #[test]
    fn a_note_says_when() {
        let notes =
            [QueryNote { at_ms: 1_000, ..note("", "log_events", Outcome::Unspecified, "held only since then") }];
        let said = text(&lines(0, Some(&QueryEnd::default()), &notes, 3_601_000));
        assert!(said.contains("log_events: held only since then (") && said.ends_with("(1 h 0 min ago))"), "{said}");
    }
}
