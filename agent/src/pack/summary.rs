//! `summary.md`: what a technician reads in a minute. What stands out first, then what changed, then what is here, then what is missing.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use deskside_proto::catalog;
use deskside_proto::rows;
use deskside_proto::show;
use deskside_proto::v1::{Family, Outcome, Pack, Reading, TableSchema};

use super::Facts;
use super::archive::iso;
use super::glance::{self, Remark};
use super::logs::Tally;
use super::manifest::family;
use super::part::{Part, Window};
use crate::record::ChangeAt;

/// Lines of one kind of remark; more are counted.
const REMARKS_MAX: usize = 8;
const ERRORS_MAX: usize = 10;
const CHANGES_MAX: usize = 30;
/// Characters of one value.
const VALUE_CHARS: usize = 120;
/// Columns of a table's only row that are shown.
const COLUMNS_MAX: usize = 6;

/// All that the summary tells of.
pub(super) struct Told<'a> {
    pub(super) request: &'a Pack,
    pub(super) facts: &'a Facts,
    pub(super) window: Window,
    pub(super) parts: &'a [Part],
    pub(super) changes: &'a [ChangeAt],
    pub(super) tally: &'a Tally,
}

/// The summary's text.
pub(super) fn write(told: &Told<'_>) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    head(told, &mut text)?;
    at_a_glance(told, &mut text)?;
    tested(told, &mut text)?;
    errors(told, &mut text)?;
    changes(told, &mut text)?;
    contents(told, &mut text)?;
    missing(told, &mut text)?;
    Ok(text)
}

fn head(told: &Told<'_>, text: &mut String) -> std::fmt::Result {
    let (facts, request) = (told.facts, told.request);
    let clock = show::clock;
    let hours = show::duration((told.window.to_ms - told.window.from_ms) as f64 / 1e3);
    writeln!(text, "# {}: evidence for ticket {}\n", plain(&facts.hostname), request.ticket)?;
    writeln!(text, "Collected {} for {}. ", iso(facts.now_ms), or_unknown(&request.requested_by))?;
    writeln!(
        text,
        "Window {} to {} ({hours}), the device's local time. ",
        clock(told.window.from_ms),
        clock(told.window.to_ms)
    )?;
    let offset = request.clock_offset_ms;
    if offset.abs() >= 1000 {
        let way = if offset > 0 { "behind" } else { "ahead of" };
        writeln!(text, "**The device's clock is {} {way} the server's.** ", show::duration(offset as f64 / 1e3))?;
    }
    writeln!(text, "{}, agent {}, device {}.\n", or_unknown(&facts.os), facts.agent_version, facts.device_id)
}

fn at_a_glance(told: &Told<'_>, text: &mut String) -> std::fmt::Result {
    writeln!(text, "## At a glance\n")?;
    let now_ms = told.facts.now_ms;
    let latest = told.parts.iter().filter_map(|part| part.latest.as_ref());
    let mut remarks: Vec<Remark> = latest.flat_map(|latest| glance::remarks(latest, now_ms)).collect();
    remarks.sort_by_key(|remark| weight(remark.title));
    let mut shown = 0;
    for group in remarks.chunk_by(|a, b| a.title == b.title) {
        for remark in group.iter().take(REMARKS_MAX) {
            writeln!(text, "- **{}:** {}", remark.title, plain(&remark.text))?;
        }
        if let (Some(remark), more @ 1..) = (group.first(), group.len().saturating_sub(REMARKS_MAX)) {
            writeln!(text, "- **{}:** and {more} more", remark.title)?;
        }
        shown += group.len();
    }
    if told.tally.total > 0 {
        writeln!(text, "- **Errors in the log:** {} in the window, listed below", told.tally.total)?;
    }
    let blind = told.parts.iter().filter(|part| is_blind(part.said.outcome()));
    let blind: Vec<&str> = blind.map(|part| part.said.name.as_str()).collect();
    if !blind.is_empty() {
        writeln!(text, "- **Not seen, so not known to be well:** {} (why: see the end)", blind.join(", "))?;
    }
    if shown == 0 && told.tally.total == 0 {
        writeln!(text, "- Nothing stands out in what was seen.")?;
    }
    writeln!(text)
}

/// What probes found, in their sentences.
fn tested(told: &Told<'_>, text: &mut String) -> std::fmt::Result {
    let probes = told.request.probes.iter().map(|probe| probe.name.as_str()).collect::<BTreeSet<_>>();
    let parts: Vec<&Part> = told.parts.iter().filter(|part| probes.contains(part.said.name.as_str())).collect();
    if parts.is_empty() {
        return Ok(());
    }
    writeln!(text, "## What was tested\n")?;
    for part in parts {
        let said = &part.said;
        match (said.found.as_str(), said.reason.as_str()) {
            ("", "") => writeln!(text, "- `{}`: nothing to test", said.name)?,
            ("", reason) => writeln!(text, "- `{}` {}: {}", said.name, show::outcome(said.outcome()), plain(reason))?,
            (found, _) => writeln!(text, "- `{}`: {}", said.name, escaped(&show::printable(found)))?,
        }
    }
    writeln!(text)
}

/// What a person at the desk feels comes first.
fn weight(title: &str) -> usize {
    const ORDER: [&str; 5] = ["Print queue stopped", "Print", "No carrier", "Disk not well", "File system"];
    ORDER.iter().position(|begin| title.starts_with(begin)).unwrap_or(ORDER.len())
}

fn errors(told: &Told<'_>, text: &mut String) -> std::fmt::Result {
    let top = told.tally.top(ERRORS_MAX);
    if top.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "## Errors in the log\n\nPriority error or worse, {} in all, the most frequent first.\n",
        told.tally.total
    )?;
    writeln!(text, "| times | latest | from | example |\n|---:|---|---|---|")?;
    for errors in top {
        let latest = show::clock(errors.latest_ms);
        writeln!(text, "| {} | {latest} | {} | {} |", errors.times, plain(&errors.from), plain(&errors.example))?;
    }
    writeln!(text)
}

fn changes(told: &Told<'_>, text: &mut String) -> std::fmt::Result {
    writeln!(text, "## What changed in the window\n")?;
    if told.changes.is_empty() {
        return writeln!(text, "Nothing that is on record.\n");
    }
    writeln!(text, "The latest first.\n\n| when | table | what | before | after |\n|---|---|---|---|---|")?;
    for change in told.changes.iter().rev().take(CHANGES_MAX) {
        let (at, inner) = (show::clock(change.at_ms), &change.change);
        let what = [inner.key.as_str(), inner.column.as_str()].join(" ");
        let (old, new) = (plain(&inner.old.to_string()), plain(&inner.new.to_string()));
        writeln!(text, "| {at} | {} | {} | {old} | {new} |", change.table, plain(what.trim()))?;
    }
    if let more @ 1.. = told.changes.len().saturating_sub(CHANGES_MAX) {
        writeln!(text, "\n… and {more} more in `changes.csv`.")?;
    }
    writeln!(text)
}

fn contents(told: &Told<'_>, text: &mut String) -> std::fmt::Result {
    writeln!(text, "## What is here\n")?;
    let families = [
        Family::Printing,
        Family::Network,
        Family::Hardware,
        Family::System,
        Family::Logs,
        Family::Deskside,
        Family::Unspecified,
    ];
    for of in families {
        let parts = told.parts.iter().filter(|part| part.schema.as_ref().is_some_and(|schema| schema.family() == of));
        let parts: Vec<&Part> = parts.filter(|part| part.readings > 0).collect();
        if parts.is_empty() {
            continue;
        }
        writeln!(text, "### {}\n\n| table | went | rows | looks | latest |\n|---|---|---:|---:|---|", family(of))?;
        for part in parts {
            let (said, latest) = (&part.said, part.latest.as_ref());
            let brief = match latest.zip(part.schema.as_ref()) {
                Some(_probed) if !said.found.is_empty() => Some(plain(&said.found)),
                other => other.map(|(latest, schema)| brief(schema, latest, told.facts.now_ms)),
            };
            let (name, outcome) = (&said.name, show::outcome(said.outcome()));
            writeln!(
                text,
                "| `{name}` | {outcome} | {} | {} | {} |",
                said.rows,
                part.readings,
                brief.unwrap_or_default()
            )?;
        }
        writeln!(text)?;
    }
    Ok(())
}

/// A table's latest reading in a line: its only row's first columns, or the keys of its rows.
fn brief(schema: &TableSchema, latest: &Reading, now_ms: i64) -> String {
    let opened = latest.rows.iter().filter_map(|row| rows::open(schema, row).ok());
    let mut opened = opened.take(COLUMNS_MAX + 1);
    let (first, second) = (opened.next(), opened.next());
    let said = match (first, second) {
        (None, _) => "nothing there".into(),
        (Some(only), None) => {
            let named = schema.columns.iter().zip(&only).filter(|(_column, value)| !value.to_string().is_empty());
            let shown = named.take(COLUMNS_MAX);
            let shown = shown.map(|(column, value)| format!("{} {}", column.name, show::human(column, value, now_ms)));
            shown.collect::<Vec<_>>().join(", ")
        }
        (Some(first), Some(second)) => {
            let keys = |values: &[rows::Value]| {
                let keys = schema.columns.iter().zip(values).filter(|(column, _value)| catalog::options(column).key);
                keys.map(|(column, value)| show::human(column, value, now_ms)).next().unwrap_or_default()
            };
            let shown: Vec<String> = [first, second].into_iter().chain(opened).map(|values| keys(&values)).collect();
            let more = latest.rows.len().saturating_sub(shown.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{}{more}", shown.join(", "))
        }
    };
    plain(&said)
}

fn missing(told: &Told<'_>, text: &mut String) -> std::fmt::Result {
    writeln!(text, "## What is missing, and why\n")?;
    let mut any = false;
    for part in told.parts {
        let outcome = part.said.outcome();
        if !matches!(outcome, Outcome::Ok | Outcome::Empty) {
            any = true;
            writeln!(text, "- `{}` {}: {}", part.said.name, show::outcome(outcome), plain(&part.said.reason))?;
        }
    }
    let late = told.parts.iter().filter_map(|part| Some((part, part.begins_late(told.window)?)));
    let late: Vec<String> =
        late.map(|(part, since_ms)| format!("`{}` {}", part.said.name, show::clock(since_ms))).collect();
    if !late.is_empty() {
        any = true;
        writeln!(text, "- The record does not reach back to the window's begin. It begins with: {}.", late.join(", "))?;
    }
    if !any {
        writeln!(text, "Nothing: all that was asked for is here.")?;
    }
    Ok(())
}

fn is_blind(outcome: Outcome) -> bool {
    !matches!(outcome, Outcome::Ok | Outcome::Empty | Outcome::Partial | Outcome::Unsupported)
}

fn or_unknown(text: &str) -> String {
    if text.is_empty() { "(not known)".into() } else { plain(text) }
}

/// Text on one line of a table, bounded, that formats nothing.
fn plain(text: &str) -> String {
    let printable = show::printable(text);
    let mut short: String = printable.chars().take(VALUE_CHARS).collect();
    if short.len() < printable.len() {
        short.push('…');
    }
    escaped(&short)
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}
