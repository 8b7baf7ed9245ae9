//! The tables of one device in a SQLite database in memory, for the rules to ask: filled once, then sealed for good.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use anyhow::Context;
use deskside_proto::catalog;
use deskside_proto::rows::{self, Value};
use deskside_proto::v1::{ColumnOptions, ColumnSchema, ColumnType, Finding, Outcome, TableSchema, Unit};
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::{Value as Sql, ValueRef};
use rusqlite::{Connection, Statement};

use super::proof::Proof;
use super::rules::Rule;
use super::{About, Known, ROWS_OF_RULE_MAX};

/// Steps of SQLite's machine that all rules together may take for one device.
const STEPS_MAX: u64 = 50_000_000;

/// Steps between two looks at the count.
const STEPS_A_LOOK: i32 = 10_000;

/// Most rows of one table that rules see.
const ROWS_MAX: usize = 20_000;

/// The server's own knowledge of the device, as a table.
static DEVICE: LazyLock<TableSchema> = LazyLock::new(|| {
    let column = |name: &str, number, kind: ColumnType, unit: Unit| ColumnSchema {
        name: name.into(),
        number,
        r#type: kind.into(),
        options: Some(ColumnOptions { unit: unit.into(), ..ColumnOptions::default() }),
        ..ColumnSchema::default()
    };
    TableSchema {
        name: "device".into(),
        doc: "What the server knows of the device.".into(),
        columns: vec![
            column("name", 1, ColumnType::Text, Unit::Unspecified),
            column("connected", 2, ColumnType::Bool, Unit::Unspecified),
            column("seen_ms", 3, ColumnType::Int, Unit::UnixMs),
            column("clock_offset_ms", 4, ColumnType::Int, Unit::Milliseconds),
            column("lost", 5, ColumnType::Uint, Unit::Unspecified),
            column("agent_version", 6, ColumnType::Text, Unit::Unspecified),
        ],
        ..TableSchema::default()
    }
});

/// The description of a table that a rule may read.
pub(super) fn schema(table: &str) -> Option<TableSchema> {
    if table == DEVICE.name { Some(DEVICE.clone()) } else { catalog::table(table).cloned() }
}

/// The database.
pub(super) struct View {
    connection: Connection,
    schemas: Vec<TableSchema>,
    held: BTreeSet<String>,
    now_ms: i64,
}

impl View {
    /// With no tables yet.
    pub(super) fn empty(about: &About) -> anyhow::Result<Self> {
        let connection = Connection::open_in_memory().context("opening a database in memory")?;
        Ok(Self { connection, schemas: Vec::new(), held: BTreeSet::new(), now_ms: about.now_ms })
    }

    /// With all that is known of a device, sealed.
    pub(super) fn of(known: &[Known], about: &About) -> anyhow::Result<Self> {
        let mut view = Self::empty(about)?;
        view.connection.execute_batch("BEGIN")?;
        for table in known.iter().filter(|table| readable(table.outcome())) {
            let rows = opened(table);
            view.add(&table.schema, &rows, table.seen_ms())?;
        }
        let row = vec![
            Value::Text(about.name.clone()),
            Value::Bool(about.connected),
            Value::Int(about.seen_ms),
            Value::Int(about.clock_offset_ms),
            Value::Uint(about.lost),
            Value::Text(about.agent_version.clone()),
        ];
        view.add(&DEVICE, &[(about.now_ms, row)], about.now_ms)?;
        view.connection.execute_batch("COMMIT")?;
        view.seal()?;
        Ok(view)
    }

    /// Whether a table was seen, so that a rule may be asked about it.
    pub(super) fn holds(&self, table: &str) -> bool {
        self.held.contains(table)
    }

    /// Adds a table. `_at_ms` is when a row was read, `_age_s` how long ago it was last known to be so.
    pub(super) fn add(&mut self, schema: &TableSchema, rows: &[(i64, Vec<Value>)], seen_ms: i64) -> anyhow::Result<()> {
        let columns: Vec<String> = schema.columns.iter().map(|column| quoted(&column.name)).collect();
        let columns = [columns, vec!["_at_ms".into(), "_age_s".into()]].concat();
        let table = quoted(&schema.name);
        self.connection.execute_batch(&format!("CREATE TABLE {table} ({})", columns.join(", ")))?;
        let marks = vec!["?"; columns.len()].join(", ");
        let mut insert = self.connection.prepare(&format!("INSERT INTO {table} VALUES ({marks})"))?;
        for (at_ms, values) in rows.iter().take(ROWS_MAX) {
            let age_s = (self.now_ms.saturating_sub(seen_ms.max(*at_ms)) / 1_000).max(0);
            let own = values.iter().map(sql);
            let row = own.chain([Sql::Integer(*at_ms), Sql::Integer(age_s)]);
            insert.execute(rusqlite::params_from_iter(row))?;
        }
        drop(insert);
        self.held.insert(schema.name.clone());
        self.schemas.push(schema.clone());
        Ok(())
    }

    /// From here on it can only be read, and only for so long.
    pub(super) fn seal(&mut self) -> anyhow::Result<()> {
        let mut left = STEPS_MAX / u64::from(STEPS_A_LOOK.unsigned_abs());
        let spend = move || {
            left = left.saturating_sub(1);
            left == 0
        };
        self.connection.progress_handler(STEPS_A_LOOK, Some(spend))?;
        self.connection.authorizer(Some(only_reading))?;
        Ok(())
    }

    /// The findings of one rule.
    pub(super) fn ask(&self, rule: &Rule) -> anyhow::Result<Vec<Finding>> {
        self.rows(rule).with_context(|| format!("asking rule {:?}", rule.id))
    }

    fn rows(&self, rule: &Rule) -> anyhow::Result<Vec<Finding>> {
        let mut statement = self.connection.prepare(&rule.sql)?;
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let columns: Vec<ColumnSchema> = names.iter().map(|name| self.column(rule, name)).collect();
        bind_now(&mut statement, self.now_ms)?;
        let mut found = statement.raw_query();
        let (mut findings, mut rest) = (Vec::new(), 0_usize);
        while let Some(row) = found.next()? {
            if findings.len() >= ROWS_OF_RULE_MAX {
                rest += 1;
                continue;
            }
            let values = columns
                .iter()
                .enumerate()
                .map(|(place, column)| Ok::<_, rusqlite::Error>(value(column, row.get_ref(place)?)));
            let values = values.collect::<Result<Vec<_>, _>>()?;
            findings.push(Proof { rule, columns: &columns, values: &values, now_ms: self.now_ms }.finding());
        }
        if let (Some(last), true) = (findings.last_mut(), rest > 0) {
            last.cause = format!("{} (and {rest} more like it)", last.cause);
        }
        Ok(findings)
    }

    /// How a returned column is shown: as the catalogue says, else by the unit at the end of its name.
    fn column(&self, rule: &Rule, name: &str) -> ColumnSchema {
        let tables = rule.tables.iter().filter_map(|table| self.schemas.iter().find(|schema| schema.name == *table));
        let known = tables.flat_map(|schema| &schema.columns).find(|column| column.name == name);
        known.cloned().unwrap_or_else(|| by_name(name))
    }
}

/// Whether a look's rows may be taken for the machine's state.
fn readable(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Ok | Outcome::Empty | Outcome::Partial)
}

/// Rows of all readings with their times; rows that do not open are left out, since ingest has already said so.
fn opened(table: &Known) -> Vec<(i64, Vec<Value>)> {
    let readings = table.readings.iter().rev().take(super::EVENT_READINGS_MAX);
    let rows = readings.flat_map(|reading| reading.rows.iter().map(|row| (reading.at_ms, row)));
    rows.filter_map(|(at_ms, row)| Some((at_ms, rows::open(&table.schema, row).ok()?))).take(ROWS_MAX).collect()
}

fn only_reading(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Function { .. } | AuthAction::Recursive => {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    }
}

fn bind_now(statement: &mut Statement<'_>, now_ms: i64) -> rusqlite::Result<()> {
    match statement.parameter_index(":now_ms")? {
        Some(place) => statement.raw_bind_parameter(place, now_ms),
        None => Ok(()),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn sql(value: &Value) -> Sql {
    match value {
        Value::Null => Sql::Null,
        Value::Bool(value) => Sql::Integer(i64::from(*value)),
        Value::Int(value) => Sql::Integer(*value),
        Value::Uint(value) => Sql::Integer(i64::try_from(*value).unwrap_or(i64::MAX)),
        Value::Double(value) => Sql::Real(*value),
        Value::Text(value) => Sql::Text(value.clone()),
        Value::Blob(value) => Sql::Blob(value.to_vec()),
        list @ Value::List(_) => Sql::Text(list.to_string()),
    }
}

fn value(column: &ColumnSchema, value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) if column.r#type() == ColumnType::Bool => Value::Bool(number != 0),
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Real(number) => Value::Double(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec().into()),
    }
}

fn by_name(name: &str) -> ColumnSchema {
    let unit = match name {
        name if name.ends_with("_percent") => Unit::Percent,
        name if name.ends_with("_bytes") => Unit::Bytes,
        name if name.ends_with("_s") => Unit::Seconds,
        name if name.ends_with("_at_ms") => Unit::UnixMs,
        _ => Unit::Unspecified,
    };
    let options = ColumnOptions { unit: unit.into(), ..ColumnOptions::default() };
    ColumnSchema { name: name.to_owned(), options: Some(options), ..ColumnSchema::default() }
}
