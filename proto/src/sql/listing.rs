//! The tables `tables` and `columns`: what can be asked, as the catalogue says it.

use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use super::SqlError;
use super::changed::family;
use super::vtab::{Given, Plan, Term, Virtual, Walk};
use crate::catalog;
use crate::v1::{ColumnSchema, ColumnType, Kind, Sensitivity, TableSchema};

/// A table whose rows are all known.
pub(super) struct Listing {
    name: &'static str,
    declaration: &'static str,
    rows: Arc<Vec<Vec<Value>>>,
}

impl Listing {
    /// Every table.
    pub(super) fn tables(tables: &[Arc<TableSchema>]) -> Self {
        let rows = tables.iter().map(|table| {
            let columns = table.columns.len() as i64;
            vec![
                text(&table.name),
                text(kind(table)),
                text(family(table.family())),
                Value::Integer(columns),
                text(&table.doc),
            ]
        });
        Self {
            name: "tables",
            declaration: "CREATE TABLE x(name TEXT, kind TEXT, family TEXT, columns INTEGER, doc TEXT)",
            rows: Arc::new(rows.collect()),
        }
    }

    /// Every column of every table.
    pub(super) fn columns(tables: &[Arc<TableSchema>]) -> Self {
        let rows = tables.iter().flat_map(|table| {
            table.columns.iter().map(|column| {
                let options = catalog::options(column);
                let unit = options.unit().as_str_name().to_ascii_lowercase().replace("unit_unspecified", "");
                vec![
                    text(&table.name),
                    text(&column.name),
                    text(type_name(column)),
                    text(&unit),
                    Value::Integer(options.key.into()),
                    text(sensitivity(options.sensitivity())),
                    text(&column.doc),
                ]
            })
        });
        Self {
            name: "columns",
            declaration: "CREATE TABLE x(table_name TEXT, name TEXT, type TEXT, unit TEXT, is_key INTEGER, sensitivity TEXT, doc TEXT)",
            rows: Arc::new(rows.collect()),
        }
    }
}

impl Virtual for Listing {
    fn name(&self) -> &str {
        self.name
    }

    fn declaration(&self) -> &str {
        self.declaration
    }

    fn plan(&self, _terms: &[Term]) -> Option<Plan> {
        Some(Plan { taken: Vec::new(), rows: self.rows.len() as f64 })
    }

    fn walk(&self) -> Box<dyn Walk> {
        Box::new(Lines { rows: Arc::clone(&self.rows), next: 0 })
    }
}

struct Lines {
    rows: Arc<Vec<Vec<Value>>>,
    next: usize,
}

impl Walk for Lines {
    fn start(&mut self, _used: u64, _given: Vec<Given>) -> Result<(), SqlError> {
        self.next = 0;
        Ok(())
    }

    fn step(&mut self) -> Result<bool, SqlError> {
        self.next += 1;
        Ok(self.next <= self.rows.len())
    }

    fn value(&self, column: usize) -> ToSqlOutput<'_> {
        let row = self.next.checked_sub(1).and_then(|row| self.rows.get(row));
        match row.and_then(|row| row.get(column)) {
            Some(value) => ToSqlOutput::Borrowed(ValueRef::from(value)),
            None => ToSqlOutput::Owned(Value::Null),
        }
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn kind(table: &TableSchema) -> &'static str {
    match table.kind() {
        Kind::Unspecified => "",
        Kind::State => "state",
        Kind::Sample => "sample",
        Kind::Event => "event",
    }
}

/// A column's type in words.
pub fn type_name(column: &ColumnSchema) -> &'static str {
    match (column.repeated, column.r#type()) {
        (true, _) => "list (JSON)",
        (_, ColumnType::Bool) => "yes or no (1, 0)",
        (_, ColumnType::Int | ColumnType::Uint | ColumnType::Sint) => "integer",
        (_, ColumnType::Double) => "real",
        (_, ColumnType::Text) => "text",
        (_, ColumnType::Blob) => "bytes",
        (_, ColumnType::Unspecified) => "",
    }
}

fn sensitivity(sensitivity: Sensitivity) -> &'static str {
    match sensitivity {
        Sensitivity::Public => "public",
        Sensitivity::Device => "device",
        Sensitivity::Personal => "personal",
        Sensitivity::Secret => "secret",
        Sensitivity::Content => "content",
    }
}
