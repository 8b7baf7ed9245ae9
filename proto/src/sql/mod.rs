//! SQL over the catalogue's tables, in SQLite's dialect: one dialect for the endpoint, a case, a bundle and the fleet.
//!
//! A [`Source`] holds readings; every table is a virtual table over them, in these forms:
//!
//! | in SQL | what it is |
//! |---|---|
//! | `printers` | a state table now |
//! | `printers('-1 day')`, `printers WHERE as_of = '-1 day'` | as it was then |
//! | `printers_history` | each reading that differed, with `valid_from` and `valid_to` |
//! | `cpu`, `cpu('-1 hour')`, `cpu('-2 hours', '-1 hour')`, `cpu_history` | a sample table now, within a time, ever |
//! | `log_events`, `log_events('-1 hour')` | an event table, ever and within a time |
//! | `changes`, `changes('-1 day')` | what changed in all state tables |
//! | `tables`, `columns` | what can be asked |
//!
//! Each has the hidden columns `_at` (when it was looked at), `_age_s` and `_outcome`. `ms('-1 hour')` is a time as a number.

mod asked;
mod changed;
mod form;
mod guard;
mod like;
mod listing;
mod notes;
pub mod osquery;
mod pile;
mod row;
mod shelf;
mod sieve;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod vtab;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use prost::Message;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, Rows, Statement};

pub use form::HISTORY;
pub use guard::{Bounds, SQL_BYTES_MAX};
pub use listing::type_name;
pub use notes::{NOTES_MAX, Notes};
pub use shelf::{Found, Load, Shelf};
pub use source::{Brake, Held, Owner, Scan, Scanning, Source, When};

use crate::v1::cell::Value as Kind;
use crate::v1::{Cell, ColumnType, Query, QueryEnd, QueryPart, ResultColumn, ResultRow, TableSchema, Unit};
use asked::Asked;

/// Bytes of rows that go in one part of an answer. Why not fewer: a server holds so many parts of it that even the largest answer is not lost
/// where the one who asked reads slowly.
const PART_BYTES: usize = 256 * 1024;

/// Rows do not wait longer than this for others to go with.
const PART_WAIT: Duration = Duration::from_millis(100);

/// Most named parameters.
const PARAMETERS_MAX: usize = 64;

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// The question itself is wrong, or asks for what it may not.
    #[error("{0}")]
    Wrong(String),
    /// It took longer than it may.
    #[error("the question took longer than it may; narrow it: a shorter time, fewer tables, a LIMIT")]
    TooLong,
    /// It wanted more memory than it may have.
    #[error(
        "the question needs more memory than it may have: what ORDER BY, GROUP BY and DISTINCT put in order is held there until its end; \
         narrow it: a shorter time, a WHERE, fewer columns"
    )]
    TooLarge,
    /// Nobody waits for it any more.
    #[error("stopped")]
    Stopped,
    /// Readings could not be had.
    #[error("{0}")]
    Source(String),
}

/// Where an answer goes, part by part; false where nobody listens any more.
pub type Tell<'a> = dyn FnMut(QueryPart) -> bool + 'a;

/// The bounds of a query: those it asks for, but never beyond.
pub fn bounds(query: &Query, most: Bounds) -> Bounds {
    let less = |wanted: u64, most: u64| if wanted == 0 { most } else { wanted.min(most) };
    let time_max = less(query.time_max_ms.into(), most.time_max.as_millis() as u64);
    Bounds {
        rows_max: less(query.rows_max, most.rows_max),
        bytes_max: less(query.bytes_max, most.bytes_max),
        time_max: Duration::from_millis(time_max),
        memory_max: most.memory_max,
    }
}

/// Answers a query. Blocks; `brake` stops it. The last part has the end.
pub fn answer(
    source: &Arc<dyn Source>,
    query: &Query,
    bounds: Bounds,
    brake: &Arc<Brake>,
    tell: &mut Tell<'_>,
) -> Result<QueryEnd, SqlError> {
    let begun = Instant::now();
    if query.sql.len() > SQL_BYTES_MAX {
        let length = query.sql.len();
        return Err(SqlError::Wrong(format!("the question has {length} bytes; at most {SQL_BYTES_MAX} are read")));
    }
    let asked = Arc::new(Asked {
        source: Arc::clone(source),
        notes: Notes::default(),
        brake: Arc::clone(brake),
        zone: asked::zone(&query.zone),
        room: Arc::default(),
        now_ms: source.now_ms(),
    });
    let tables = source.tables();
    let mut connection = open(&asked, &tables, query).map_err(|error| SqlError::Source(error.to_string()))?;
    let sealed = guard::seal(&mut connection, brake, bounds.memory_max);
    let over = sealed.map_err(|error| SqlError::Source(error.to_string()))?;
    let mut statement = connection.prepare(&query.sql).map_err(|error| said(&error, brake, &over))?;
    if !statement.readonly() {
        return Err(SqlError::Wrong("only questions are answered: SELECT, WITH, VALUES, EXPLAIN".into()));
    }
    if statement.column_count() == 0 {
        return Err(SqlError::Wrong("nothing is asked; a question begins with SELECT, WITH or VALUES".into()));
    }
    bind(&mut statement, &query.parameters)?;
    let columns = headings(&statement, &tables);
    let told = tell(QueryPart { columns, ..QueryPart::default() });
    let mut end = QueryEnd::default();
    if told {
        let count = statement.column_count();
        let mut rows = statement.raw_query();
        fill(&mut rows, count, bounds, &mut end, tell).map_err(|error| match error {
            Ended::Gone => SqlError::Stopped,
            Ended::Failed(error) => said(&error, brake, &over),
        })?;
    }
    let (notes, notes_left_out) = asked.notes.take();
    end.notes_left_out = notes_left_out;
    end.took_ms = u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX);
    tell(QueryPart { notes, end: Some(end.clone()), ..QueryPart::default() });
    Ok(end)
}

/// A database of nothing but the virtual tables.
fn open(asked: &Arc<Asked>, tables: &[Arc<TableSchema>], query: &Query) -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    guard::furnish(&connection, asked)?;
    let (many, sight) = (asked.source.has_many_devices(), query.sight.unwrap_or_default());
    // Why not all: to make them known takes longer than most answers.
    let text = query.sql.to_ascii_lowercase();
    let whole = query.osquery || osquery::names().any(|name| text.contains(name));
    for table in tables.iter().filter(|table| whole || text.contains(&table.name.to_ascii_lowercase())) {
        for mut shape in form::Shape::all(table, many, sight) {
            shape.name = osquery::own_name(&shape.name, query.osquery);
            vtab::register(&connection, Arc::new(table::Table::new(shape, asked)))?;
        }
    }
    vtab::register(&connection, Arc::new(changed::ChangesTable::new(asked, tables, many, sight)))?;
    vtab::register(&connection, Arc::new(listing::Listing::tables(tables)))?;
    vtab::register(&connection, Arc::new(listing::Listing::columns(tables)))?;
    osquery::furnish(&connection, asked, &osquery::Scope { sql: &query.sql, osquery: query.osquery, many, tables })?;
    Ok(connection)
}

fn bind(statement: &mut Statement<'_>, parameters: &BTreeMap<String, String>) -> Result<(), SqlError> {
    let wrong = |error: rusqlite::Error| SqlError::Wrong(error.to_string());
    if parameters.len() > PARAMETERS_MAX {
        return Err(SqlError::Wrong(format!("more than {PARAMETERS_MAX} parameters")));
    }
    for place in 1..=statement.parameter_count() {
        let name = statement.parameter_name(place).unwrap_or_default().to_owned();
        let value = parameters.get(name.trim_start_matches([':', '@', '$']));
        let Some(value) = value else {
            let name = if name.is_empty() { "?".into() } else { name };
            return Err(SqlError::Wrong(format!("the parameter {name} has no value")));
        };
        let bound = match (value.parse::<i64>(), value.parse::<f64>()) {
            (Ok(number), _) => statement.raw_bind_parameter(place, number),
            (_, Ok(number)) if number.is_finite() => statement.raw_bind_parameter(place, number),
            _ => statement.raw_bind_parameter(place, value),
        };
        bound.map_err(wrong)?;
    }
    Ok(())
}

/// The columns of the answer, as the catalogue knows those that come from a table.
fn headings(statement: &Statement<'_>, tables: &[Arc<TableSchema>]) -> Vec<ResultColumn> {
    let heading = |column: rusqlite::ColumnMetadata<'_>| {
        let (table, origin) = (column.table_name().unwrap_or_default(), column.origin_name().unwrap_or_default());
        let table = osquery::catalogue_name(table);
        let base = table.strip_suffix(HISTORY).unwrap_or(table);
        let schema = tables.iter().find(|schema| schema.name == table || schema.name == base);
        let known = schema.and_then(|schema| schema.columns.iter().find(|known| known.name == origin));
        let (unit, kind) = match known {
            Some(known) => (crate::catalog::options(known).unit(), known.r#type()),
            None => (unit_of(if origin.is_empty() { column.name() } else { origin }), ColumnType::Unspecified),
        };
        ResultColumn {
            name: column.name().to_owned(),
            table: base.to_owned(),
            column: origin.to_owned(),
            unit: unit.into(),
            r#type: kind.into(),
        }
    };
    statement.columns_with_metadata().map(heading).collect()
}

/// The unit that a name which no table has ends with.
fn unit_of(name: &str) -> Unit {
    match name {
        "_at" | "at" | "valid_from" | "valid_to" => Unit::UnixMs,
        name if name.ends_with("_at_ms") => Unit::UnixMs,
        name if name.ends_with("_percent") => Unit::Percent,
        name if name.ends_with("_bytes") => Unit::Bytes,
        name if name.ends_with("_s") => Unit::Seconds,
        name if name.ends_with("_ms") => Unit::Milliseconds,
        _ => Unit::Unspecified,
    }
}

/// Why an answer ended early.
enum Ended {
    Gone,
    Failed(rusqlite::Error),
}

fn fill(
    rows: &mut Rows<'_>,
    columns: usize,
    bounds: Bounds,
    end: &mut QueryEnd,
    tell: &mut Tell<'_>,
) -> Result<(), Ended> {
    let (mut part, mut part_bytes, mut bytes) = (Vec::new(), 0_usize, 0_u64);
    let mut since = Instant::now();
    while let Some(row) = rows.next().map_err(Ended::Failed)? {
        if end.rows >= bounds.rows_max {
            end.cut = format!("the first {} rows; there are more", bounds.rows_max);
            break;
        }
        let cells = (0..columns).map(|place| row.get_ref(place).map(cell)).collect::<rusqlite::Result<Vec<_>>>();
        let row = ResultRow { cells: cells.map_err(Ended::Failed)? };
        let size = row.encoded_len();
        if bytes + size as u64 > bounds.bytes_max {
            end.cut = format!("the first {} rows; more would be over {} bytes", end.rows, bounds.bytes_max);
            break;
        }
        (bytes, part_bytes) = (bytes + size as u64, part_bytes + size);
        end.rows += 1;
        part.push(row);
        if part_bytes >= PART_BYTES || since.elapsed() >= PART_WAIT {
            if !tell(QueryPart { rows: std::mem::take(&mut part), ..QueryPart::default() }) {
                return Err(Ended::Gone);
            }
            (part_bytes, since) = (0, Instant::now());
        }
    }
    if !part.is_empty() && !tell(QueryPart { rows: part, ..QueryPart::default() }) {
        return Err(Ended::Gone);
    }
    Ok(())
}

fn cell(value: ValueRef<'_>) -> Cell {
    let value = match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(Kind::Integer(number)),
        ValueRef::Real(number) => Some(Kind::Real(number)),
        ValueRef::Text(text) => Some(Kind::Text(String::from_utf8_lossy(text).into_owned())),
        ValueRef::Blob(bytes) => Some(Kind::Blob(bytes.to_vec())),
    };
    Cell { value }
}

/// SQLite's error in our words. Why `over` and not how much is held now: other questions hold memory too, and an error of this one's own is
/// not theirs to explain.
fn said(error: &rusqlite::Error, brake: &Brake, over: &AtomicBool) -> SqlError {
    let code = error.sqlite_error_code();
    let interrupted = code == Some(ErrorCode::OperationInterrupted);
    if code == Some(ErrorCode::OutOfMemory) || interrupted && over.load(Ordering::Relaxed) {
        return SqlError::TooLarge;
    }
    if let Err(stopped) = brake.check() {
        return stopped;
    }
    match error {
        rusqlite::Error::MultipleStatement => {
            SqlError::Wrong("one question at a time: there is more after the first \";\"".into())
        }
        rusqlite::Error::SqlInputError { msg, sql, offset, .. } => {
            let place = usize::try_from(*offset).ok().and_then(|offset| sql.get(offset..));
            let near = place.map(|rest| rest.chars().take(24).collect::<String>()).filter(|near| !near.is_empty());
            SqlError::Wrong(near.map_or_else(|| msg.clone(), |near| format!("{msg} (at \"{near}\")")))
        }
        rusqlite::Error::SqliteFailure(_code, Some(words)) => match code {
            Some(ErrorCode::AuthorizationForStatementDenied) => {
                SqlError::Wrong("only questions are answered: SELECT, WITH, VALUES, EXPLAIN".into())
            }
            _ => SqlError::Wrong(words.clone()),
        },
        other => SqlError::Wrong(other.to_string()),
    }
}
