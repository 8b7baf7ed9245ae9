//! Tables: what there is, what a device last said, what it says now, and its log as it is written.

use std::collections::BTreeMap;

use anyhow::Context;
use deskside_proto::rows::{self, Value};
use deskside_proto::v1::{
    Answer, AskRequest, Family, ListTablesRequest, Reading, ShowReply, ShowRequest, TableSchema, TailRequest,
};
use deskside_proto::{catalog, show};
use serde_json::json;
use tonic::Streaming;

use super::connect::Desk;
use super::screen::{self, Line, Screen};
use super::sheet::{self, Sheet};
use super::trouble::Trouble;
use super::{devices, shape, when};

/// One table of a device, as last known or as it was.
#[derive(Debug, clap::Args)]
pub(super) struct Show {
    /// Id, beginning of it, or host name.
    device: String,
    /// Table name; `deskside tables` lists them.
    table: String,
    /// As it was then, by the device's clock: "-2h", "14:00", "yesterday 10:00", "2026-03-01 14:00", RFC 3339.
    #[arg(long, value_parser = when::moment, allow_hyphen_values = true, value_name = "TIME")]
    at: Option<i64>,
}

impl Show {
    pub(super) async fn run(self, mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
        let at_ms = self.at.unwrap_or_default();
        let request = ShowRequest { device: self.device, table: self.table, at_ms };
        let reply = desk.show(request).await?.into_inner();
        let schema = reply.schema.clone().unwrap_or_default();
        if screen.json {
            let reading = reply.reading.as_ref().map(|reading| shape::reading(&schema, reading));
            let device = reply.device.as_ref().map(shape::device);
            let checked = (reply.checked_ms != 0).then_some(reply.checked_ms);
            screen.value(&json!({ "device": device, "reading": reading, "checked_ms": checked }))?;
            return Ok(());
        }
        let name = reply.device.as_ref().map(|device| device.name.clone()).unwrap_or_default();
        let Some(reading) = &reply.reading else {
            let never = if self.at.is_some() { "had not sent it by then" } else { "has never sent it" };
            let line = Line::default().bold(&schema.name).warn(format!("  not known: {name} {never}"));
            return Ok(screen.line(line.dim("; `deskside ask` looks now"))?);
        };
        screen.line(heading(&reply, &name, reading, screen.now_ms, self.at.is_some()))?;
        Sheet::open(&schema, reading).show(screen)?;
        Ok(())
    }
}

fn heading(reply: &ShowReply, name: &str, reading: &Reading, now_ms: i64, then: bool) -> Line {
    let line = Line::default().bold(format!("{} on {name}", reading.table)).plain("  ");
    let line = line.dim(format!("read {}", show::time(reading.at_ms, now_ms)));
    let line = if reply.checked_ms > reading.at_ms && !then {
        line.dim(format!(", unchanged {}", show::age(reply.checked_ms, now_ms)))
    } else {
        line
    };
    let device = reply.device.clone().unwrap_or_default();
    let line = if device.connected || then {
        line
    } else {
        line.warn(format!("  stale: the device was last heard of {}", show::age(device.seen_ms, now_ms)))
    };
    sheet::outcome(line.plain("  "), reading.outcome(), &reading.reason)
}

/// A fresh look at tables of a device, now.
#[derive(Debug, clap::Args)]
pub(super) struct Ask {
    /// Id, beginning of it, or host name.
    device: String,
    /// Table names; `deskside tables` lists them.
    #[arg(required = true)]
    tables: Vec<String>,
    /// Give up after this.
    #[arg(long, value_parser = when::seconds, value_name = "TIME", default_value = "15s")]
    deadline: u64,
}

impl Ask {
    pub(super) async fn run(self, mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
        let schemas = schemas(&mut desk).await?;
        let deadline_ms = u32::try_from(self.deadline.saturating_mul(1000)).unwrap_or(u32::MAX);
        let spinner = screen::spinner(&format!("asking {}", self.device));
        let request = AskRequest { device: self.device, tables: self.tables, deadline_ms };
        let mut answers = desk.ask(request).await?.into_inner();
        let mut readings = Vec::new();
        while let Some(answer) = next(&mut answers).await? {
            if !answer.progress.is_empty() {
                spinner.set_message(show::printable(&answer.progress));
            }
            readings.extend(answer.readings);
        }
        spinner.finish_and_clear();
        if screen.json {
            let shapes =
                shape::list(&readings, |reading| shape::reading(&schema_of(&schemas, &reading.table), reading));
            return Ok(screen.value(&json!({ "readings": shapes }))?);
        }
        for (place, reading) in readings.iter().enumerate() {
            if place > 0 {
                screen.gap()?;
            }
            let took = format!("  read just now in {}", show::duration(f64::from(reading.took_ms) / 1e3));
            let line = Line::default().bold(&reading.table).dim(took).plain("  ");
            screen.line(sheet::outcome(line, reading.outcome(), &reading.reason))?;
            Sheet::open(&schema_of(&schemas, &reading.table), reading).show(screen)?;
        }
        Ok(())
    }
}

/// The next part of an answer; an answer that went wrong is an error.
pub(super) async fn next(answers: &mut Streaming<Answer>) -> anyhow::Result<Option<Answer>> {
    let Some(answer) = answers.message().await? else { return Ok(None) };
    if !answer.error.is_empty() {
        return Err(Trouble::new(answer.error, "what is last known is shown by `deskside show`").into());
    }
    Ok(Some(answer))
}

/// All descriptions that the server knows, those that agents brought included.
pub(super) async fn schemas(desk: &mut Desk) -> anyhow::Result<BTreeMap<String, TableSchema>> {
    let tables = desk.list_tables(ListTablesRequest {}).await?.into_inner().tables;
    Ok(tables.into_iter().map(|table| (table.name.clone(), table)).collect())
}

pub(super) fn schema_of(schemas: &BTreeMap<String, TableSchema>, table: &str) -> TableSchema {
    schemas.get(table).or_else(|| catalog::table(table)).cloned().unwrap_or_default()
}

/// A device's log, live, until Ctrl-C.
#[derive(Debug, clap::Args)]
pub(super) struct Tail {
    /// Id, beginning of it, or host name.
    device: String,
    /// Only this unit or program.
    #[arg(long, default_value = "")]
    unit: String,
    /// Only this priority and more urgent ones: 0 to 7, or err, warning, info …
    #[arg(long, value_parser = when::priority, default_value = "7")]
    priority: u32,
}

impl Tail {
    pub(super) async fn run(self, mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
        let schemas = schemas(&mut desk).await?;
        let asked = format!("following the log of {}; Ctrl-C ends it", self.device);
        let request = TailRequest { device: self.device, unit: self.unit, priority_max: self.priority };
        let mut answers = desk.tail(request).await?.into_inner();
        if !screen.json {
            screen::note(Line::default().dim(asked))?;
        }
        loop {
            let answer = tokio::select! {
                answer = next(&mut answers) => answer?,
                pressed = tokio::signal::ctrl_c() => return Ok(pressed?),
            };
            let Some(answer) = answer else { return Ok(()) };
            for reading in &answer.readings {
                let schema = schema_of(&schemas, &reading.table);
                log_lines(screen, &schema, reading)?;
            }
        }
    }
}

fn log_lines(screen: Screen, schema: &TableSchema, reading: &Reading) -> anyhow::Result<()> {
    for row in &reading.rows {
        let values = rows::open(schema, row).context("the agent sent a line that cannot be read")?;
        if screen.json {
            screen.event(&show::json(schema, &values).into())?;
        } else {
            screen.line(log_line(schema, &values))?;
        }
    }
    Ok(())
}

/// "14:05:09 err cups: message"; what is urgent is coloured.
pub(super) fn log_line(schema: &TableSchema, values: &[Value]) -> Line {
    let value = |name: &str| catalog::column(schema, name).and_then(|place| values.get(place)).cloned();
    let text = |name: &str| value(name).map(|value| value.to_string()).unwrap_or_default();
    let at = match value("at_ms") {
        Some(Value::Int(at_ms)) => show::clock(at_ms),
        _ => String::new(),
    };
    let who = [text("program"), text("unit"), text("source")].into_iter().find(|name| !name.is_empty());
    let line = Line::default().dim(format!("{at} ")).bold(who.unwrap_or_default()).plain(" ");
    match value("priority") {
        Some(Value::Uint(priority @ 0..=3)) => line.bad(when::priority_name(priority)).plain(" "),
        Some(Value::Uint(priority @ 4)) => line.warn(when::priority_name(priority)).plain(" "),
        _ => line,
    }
    .plain(text("message"))
}

/// Which tables there are, and what their columns mean.
#[derive(Debug, clap::Args)]
pub(super) struct Tables {
    /// Only this one, with its columns.
    table: Option<String>,
}

impl Tables {
    pub(super) async fn run(self, mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
        let mut schemas = schemas(&mut desk).await?;
        let Some(name) = self.table else { return all(&schemas.into_values().collect::<Vec<_>>(), screen) };
        let schema = schemas.remove(&name);
        let schema =
            schema.ok_or_else(|| Trouble::new(format!("no table \"{name}\""), "`deskside tables` lists them"))?;
        if screen.json {
            return Ok(screen.value(&shape::table(&schema))?);
        }
        let kind = format!("  {}, {}", shape::family(schema.family()), shape::kind(schema.kind()));
        screen.line(Line::default().bold(&schema.name).dim(kind))?;
        screen.text(&schema.doc)?;
        screen.gap()?;
        let rows = schema.columns.iter().map(|column| {
            let options = catalog::options(column);
            let unit = shape::unit(options.unit()).unwrap_or_default();
            let list = if column.repeated { "list of " } else { "" };
            let kind = format!("{list}{}", shape::column_type(column.r#type()));
            let key = if options.key { "key" } else { "" };
            vec![column.name.clone(), kind, unit, key.into(), column.doc.clone()]
        });
        screen.table(&["column", "type", "unit", "key", "what it is"], &rows.collect::<Vec<_>>())?;
        Ok(())
    }
}

fn all(schemas: &[TableSchema], screen: Screen) -> anyhow::Result<()> {
    if screen.json {
        return Ok(screen.value(&shape::list(schemas, shape::table))?);
    }
    let mut rows = Vec::new();
    for family in devices::FAMILIES.into_iter().chain([Family::Unspecified]) {
        for schema in schemas.iter().filter(|schema| schema.family() == family) {
            rows.push(vec![shape::family(family), schema.name.clone(), shape::kind(schema.kind()), schema.doc.clone()]);
        }
    }
    screen.table(&["family", "table", "kind", "what it is"], &rows)?;
    Ok(())
}
