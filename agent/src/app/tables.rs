//! Readings, the data dictionary and the agent's state as a person reads them, or as JSON.

use std::io::Write;

use anyhow::Context;
use comfy_table::{ContentArrangement, Table};
use deskside_proto::catalog;
use deskside_proto::rows::{self, Value};
use deskside_proto::show;
use deskside_proto::v1::{Outcome, Reading, Sensitivity, TableSchema, Unit};
use serde_json::json;

use crate::collect::Registry;
use crate::local::{Pending, Status};

/// Rows of a table that a person is shown.
const ROWS_SHOWN: usize = 15;

/// Columns of a table that a person is shown side by side.
const COLUMNS_SHOWN: usize = 9;

/// Longest cell, in characters.
const CELL_CHARS_MAX: usize = 60;

/// Prints a value as JSON.
pub(super) fn json(value: &serde_json::Value, out: &mut dyn Write) -> anyhow::Result<()> {
    Ok(writeln!(out, "{}", serde_json::to_string_pretty(value)?)?)
}

/// What technicians ask to take of this machine.
pub(super) fn consents(pending: &[Pending], as_json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    if as_json {
        return json(&serde_json::to_value(pending)?, out);
    }
    if pending.is_empty() {
        return Ok(writeln!(out, "nobody asks for anything")?);
    }
    for asked in pending {
        let (request, ticket, until) = (asked.request, asked.ticket, show::clock(asked.until_ms));
        let (who, what) = (show::printable(&asked.asked_by), show::printable(&asked.what));
        writeln!(out, "request {request}: {who} asks for ticket {ticket} to capture {what}")?;
        writeln!(out, "  until {until}: deskside-agent consent approve {request}, or refuse {request}")?;
    }
    Ok(())
}

/// All readings as JSON, with all rows.
pub(super) fn readings_json(registry: &Registry, readings: Vec<Reading>, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for reading in readings {
        let schema = registry.schema(&reading.table).context("a table without a description")?;
        let opened: Result<Vec<_>, _> =
            reading.rows.iter().map(|row| rows::open(schema, row).map(|values| show::json(schema, &values))).collect();
        all.push(json!({
            "table": reading.table,
            "at_ms": reading.at_ms,
            "took_ms": reading.took_ms,
            "outcome": show::outcome(reading.outcome()),
            "reason": reading.reason,
            "rows": opened?,
        }));
    }
    json(&all.into(), out)
}

/// Readings for a person: what went wrong first, and what this machine does not have in a line each at the end.
pub(super) fn readings(registry: &Registry, mut readings: Vec<Reading>, out: &mut dyn Write) -> anyhow::Result<()> {
    readings.sort_by_key(|reading| (urgency(reading.outcome()), registry.schema(&reading.table).map(|s| s.family)));
    for reading in &readings {
        let schema = registry.schema(&reading.table).context("a table without a description")?;
        let name = &reading.table;
        match reading.outcome() {
            Outcome::Ok => writeln!(out, "{name}")?,
            Outcome::Empty => writeln!(out, "{name}: none\n")?,
            other => {
                let reason = show::printable(&reading.reason);
                writeln!(out, "{name}: {}: {reason}", show::outcome(other))?;
                if reading.rows.is_empty() {
                    writeln!(out)?;
                }
            }
        }
        if !reading.rows.is_empty() {
            print_rows(schema, reading, out)?;
        }
    }
    Ok(())
}

fn urgency(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Failed | Outcome::Unspecified => 0,
        Outcome::TimedOut => 1,
        Outcome::Denied => 2,
        Outcome::Partial => 3,
        Outcome::Ok => 4,
        Outcome::Empty => 5,
        Outcome::Unsupported => 6,
    }
}

fn print_rows(schema: &TableSchema, reading: &Reading, out: &mut dyn Write) -> anyhow::Result<()> {
    let shown = reading.rows.iter().take(if reading.rows.len() == 1 { 1 } else { ROWS_SHOWN });
    let opened: Result<Vec<Vec<Value>>, _> = shown.map(|row| rows::open(schema, row)).collect();
    let opened = opened?;
    let cell = |place: usize, values: &[Value]| -> String {
        let (Some(column), Some(value)) = (schema.columns.get(place), values.get(place)) else { return String::new() };
        cut(&show::human(column, value, reading.at_ms))
    };
    let said = |place: usize| opened.iter().any(|values| !matches!(cell(place, values).as_str(), "" | "-"));
    let columns: Vec<usize> = (0..schema.columns.len()).filter(|place| said(*place)).collect();
    let mut table = new_table();
    if let [values] = opened.as_slice() {
        for place in columns {
            let name = schema.columns.get(place).map(|column| column.name.clone()).unwrap_or_default();
            table.add_row([format!("  {name}"), cell(place, values)]);
        }
        return Ok(writeln!(out, "{}\n", text(&table))?);
    }
    let side: Vec<usize> = columns.iter().copied().take(COLUMNS_SHOWN).collect();
    let names = side.iter().filter_map(|place| schema.columns.get(*place)).map(|column| column.name.clone());
    table.set_header(names);
    for values in &opened {
        table.add_row(side.iter().map(|place| cell(*place, values)));
    }
    writeln!(out, "{}", text(&table))?;
    let (rows, more) = (reading.rows.len().saturating_sub(opened.len()), columns.len() - side.len());
    match (rows, more) {
        (0, 0) => writeln!(out)?,
        (0, more) => writeln!(out, "… and {}, --json shows all\n", count(more, "more column"))?,
        (rows, 0) => writeln!(out, "… and {rows} more, --json shows all\n")?,
        (rows, more) => {
            let (rows, more) = (count(rows, "more row"), count(more, "more column"));
            writeln!(out, "… and {rows} and {more}, --json shows all\n")?;
        }
    }
    Ok(())
}

pub(super) fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::TableStyle::new()).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// The table without the blanks that fill its lines.
pub(super) fn text(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= CELL_CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(CELL_CHARS_MAX - 1).chain(['…']).collect()
}

/// The data dictionary: all tables in a line each, or one with its columns.
pub(super) fn dictionary(
    registry: &Registry,
    wanted: Option<&str>,
    as_json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if let Some(name) = wanted {
        let no_such = || format!("there is no table {name:?}; deskside-agent tables lists them");
        let schema = registry.schema(name).with_context(no_such)?;
        return if as_json { json(&describe(schema), out) } else { columns(schema, out) };
    }
    let mut schemas: Vec<&TableSchema> = registry.schemas().collect();
    schemas.sort_by_key(|schema| (schema.family, schema.name.clone()));
    if as_json {
        return json(&schemas.into_iter().map(describe).collect(), out);
    }
    let mut table = new_table();
    for schema in schemas {
        let family = schema.family().as_str_name().to_lowercase();
        table.add_row([schema.name.clone(), family, schema.kind().as_str_name().to_lowercase(), schema.doc.clone()]);
    }
    Ok(writeln!(out, "{}", text(&table))?)
}

fn columns(schema: &TableSchema, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "{}: {}\n", schema.name, schema.doc)?;
    let mut table = new_table();
    for column in &schema.columns {
        let options = column.options.unwrap_or_default();
        let unit = options.unit();
        let mut notes = Vec::new();
        notes.extend(options.key.then_some("key"));
        notes.extend((unit != Unit::Unspecified).then_some(unit.as_str_name()));
        notes.extend((options.sensitivity() != Sensitivity::Public).then_some(options.sensitivity().as_str_name()));
        let name = format!("  {}", column.name);
        let kind = column.r#type().as_str_name().to_lowercase();
        table.add_row([name, kind, notes.join(", ").to_lowercase(), column.doc.clone()]);
    }
    Ok(writeln!(out, "{}", text(&table))?)
}

fn describe(schema: &TableSchema) -> serde_json::Value {
    let columns = schema.columns.iter().map(|column| {
        let options = column.options.unwrap_or_default();
        json!({
            "name": column.name,
            "type": column.r#type().as_str_name().to_lowercase(),
            "repeated": column.repeated,
            "optional": column.optional,
            "key": options.key,
            "unit": options.unit().as_str_name().to_lowercase(),
            "sensitivity": options.sensitivity().as_str_name().to_lowercase(),
            "noise": options.noise,
            "doc": column.doc,
        })
    });
    json!({
        "name": schema.name,
        "kind": schema.kind().as_str_name().to_lowercase(),
        "family": schema.family().as_str_name().to_lowercase(),
        "doc": schema.doc,
        "columns": columns.collect::<Vec<_>>(),
    })
}

/// What can be tested, and what can be said to each probe.
pub(super) fn probes(as_json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let probes = catalog::tables().iter().filter_map(|table| Some((table, table.probe.as_ref()?)));
    if as_json {
        let shown = probes.map(|(table, probe)| {
            let arguments = probe.argument.iter();
            let arguments = arguments
                .map(|argument| json!({"name": argument.name, "doc": argument.doc, "optional": argument.optional}));
            json!({"name": table.name, "doc": table.doc, "arguments": arguments.collect::<Vec<_>>()})
        });
        return json(&shown.collect(), out);
    }
    let mut table = new_table();
    for (schema, probe) in probes {
        table.add_row([schema.name.clone(), schema.doc.clone()]);
        for argument in &probe.argument {
            table.add_row([format!("  {}", argument.name.to_uppercase()), argument.doc.clone()]);
        }
    }
    Ok(writeln!(out, "{}", text(&table))?)
}

/// How the agent is, for a person.
pub(super) fn status(status: &Status, out: &mut dyn Write) -> anyhow::Result<()> {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let mut table = new_table();
    let mut line = |name: &str, value: String| {
        table.add_row([name.to_owned(), show::printable(&value)]);
    };
    line("agent", status.version.clone());
    line("device", status.device_id.clone().unwrap_or_else(|| "not enrolled".into()));
    line(
        "server",
        match (status.connected_since_ms, &status.why) {
            (Some(since), _) => {
                format!("connected since {} ({})", show::time(since, now_ms), status.addresses.join(" or "))
            }
            (None, Some(why)) => format!("not connected: {why}"),
            (None, None) => "connecting".into(),
        },
    );
    let record = &status.record;
    line("record", format!("{} readings, {}", record.readings, show::bytes(record.bytes as f64)));
    line("to be sent", format!("{} readings, {} bundles of evidence", record.queued, status.evidence_waiting));
    if record.dropped + record.set_aside > 0 || record.waiting > 0 {
        let (dropped, damaged, waiting) = (record.dropped, record.set_aside, record.waiting);
        line(
            "lost",
            format!("{dropped} readings dropped, {damaged} damaged records, {waiting} readings wait for room"),
        );
    }
    line("memory", show::bytes(status.resident_bytes as f64));
    writeln!(out, "{}\n", text(&table))?;
    let mut looks: Vec<_> = status.tables.iter().collect();
    looks.sort_by_key(|(table, seen)| (matches!(seen.outcome.as_str(), "ok" | "empty"), table.as_str()));
    let mut table = new_table();
    for (name, seen) in looks {
        let rows = if seen.rows == 0 { String::new() } else { count(seen.rows, "row") };
        let age = show::age(seen.at_ms, now_ms);
        table.add_row([name.clone(), seen.outcome.clone(), age, rows, cut(&show::printable(&seen.reason))]);
    }
    Ok(writeln!(out, "{}", text(&table))?)
}
