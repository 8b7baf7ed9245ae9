//! Tables as osquery names them, for those who know it: views over our own, with osquery's column names, units and codes.
//!
//! A column that has no equivalent reads NULL, and the answer says so. Where a name is also one of ours, ours wins unless the question asks
//! for osquery's meaning ([`crate::v1::Query::osquery`]): then ours is read under its name with `deskside_` before it.
//!
//! Column names and units are those of osquery's published schema (osquery.io/schema, release 5).

mod hardware;
mod network;
mod software;
mod system;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::sync::Arc;

use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, types::Null};

use super::asked::Asked;
use super::form::HISTORY;
use crate::v1::TableSchema;

/// What stands before the name of a table of ours whose own name means osquery's.
const OURS: &str = "deskside_";

/// A table of osquery's as a view of ours.
pub(super) struct View {
    /// osquery's name.
    name: &'static str,
    /// The columns that we can fill: "expression AS name, …". The first table is `t`; `{device}` is the name for a column called `device`.
    columns: &'static str,
    /// The columns that we can not fill.
    unfilled: &'static str,
    /// Tables: `{name} alias`, joined by `ON {same alias}`: on the same device. Empty where no table is read.
    from: &'static str,
}

/// All views, by the family of what they tell.
const VIEWS: [&[View]; 4] = [hardware::VIEWS, network::VIEWS, software::VIEWS, system::VIEWS];

fn views() -> impl Iterator<Item = &'static View> {
    VIEWS.into_iter().flatten()
}

/// The names of osquery's tables that can be asked.
pub fn names() -> impl Iterator<Item = &'static str> {
    views().map(|view| view.name)
}

/// The name under which a table of ours is read where a question means osquery's tables.
pub(super) fn own_name(table: &str, osquery: bool) -> String {
    let base = table.strip_suffix(HISTORY).unwrap_or(table);
    if osquery && names().any(|name| name == base) { format!("{OURS}{table}") } else { table.to_owned() }
}

/// The name of a table of ours in the catalogue.
pub(super) fn catalogue_name(table: &str) -> &str {
    table.strip_prefix(OURS).unwrap_or(table)
}

/// Makes the views known that a question may mean: those whose name it holds. Why not all: few questions mean any, and each costs time.
pub(super) fn furnish(connection: &Connection, asked: &Arc<Asked>, scope: &Scope<'_>) -> rusqlite::Result<()> {
    let words = scope.sql.to_ascii_lowercase();
    let is_own = |name: &str| scope.tables.iter().any(|table| table.name == name);
    let wanted: Vec<&View> =
        views().filter(|view| words.contains(view.name) && (scope.osquery || !is_own(view.name))).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let asked = Arc::clone(asked);
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("unfilled", 2, flags, move |call| {
        let (table, column): (String, String) = (call.get(0)?, call.get(1)?);
        asked.notes.say(&table, format!("{column} is not known here and reads NULL"));
        Ok(Null)
    })?;
    wanted.into_iter().try_for_each(|view| connection.execute_batch(&view.declared(scope)))
}

/// What the views of one question are made for.
pub(super) struct Scope<'a> {
    /// The question.
    pub(super) sql: &'a str,
    /// Names that both have mean osquery's.
    pub(super) osquery: bool,
    /// Tables are of many devices.
    pub(super) many: bool,
    /// All tables of ours.
    pub(super) tables: &'a [Arc<TableSchema>],
}

impl View {
    /// `CREATE VIEW`. A view of tables that the source does not have is left out.
    fn declared(&self, scope: &Scope<'_>) -> String {
        let mut from = self.from.to_owned();
        for table in self.tables() {
            if !scope.tables.iter().any(|known| known.name == table) {
                return String::new();
            }
            from = from.replace(&format!("{{{table}}}"), &own_name(table, scope.osquery));
        }
        for alias in ["f", "m", "c", "b"] {
            let same = if scope.many { format!("{alias}.device = t.device") } else { "1".into() };
            from = from.replace(&format!("{{same {alias}}}"), &same);
        }
        let of_machine = scope.many && !from.is_empty();
        let device = if of_machine { "t.device AS device, " } else { "" };
        let own_device = if of_machine { format!("{}_device", self.name) } else { "device".into() };
        let columns = self.columns.replace("{device}", &own_device);
        let mut unfilled = String::new();
        for name in self.unfilled.split_whitespace() {
            let shown = if name == "device" { own_device.as_str() } else { name };
            // Writing to a string does not fail.
            write!(unfilled, ", unfilled('{}', '{shown}') AS {shown}", self.name).ok();
        }
        let from = if from.is_empty() { String::new() } else { format!(" FROM {from}") };
        format!("CREATE VIEW {} AS SELECT {device}{columns}{unfilled}{from};", self.name)
    }

    /// The tables of ours that it reads.
    fn tables(&self) -> impl Iterator<Item = &'static str> {
        let names = self.from.split('{').skip(1).filter_map(|part| part.split('}').next());
        names.filter(|name| !name.starts_with("same "))
    }
}
