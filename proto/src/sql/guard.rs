//! What a question may do, and how much of everything it may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use memchr::memmem;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Error};

use super::asked::Asked;
use super::like::{glob, like};
use super::source::Brake;
use super::vtab::memory_used;

/// Longest question.
pub const SQL_BYTES_MAX: usize = 64 * 1024;

/// Longest value and longest row. Why no more: some functions take time that grows with the square of it, and can not be stopped.
const VALUE_BYTES_MAX: i32 = 512 * 1024;

/// Steps of SQLite's machine between two looks at the brake.
const STEPS_A_LOOK: i32 = 2_000;

/// Pages that SQLite holds in memory when it sorts, in KiB.
const CACHE_KIB: u32 = 1_024;

/// How much one answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Rows.
    pub rows_max: u64,
    /// Bytes of the rows, encoded.
    pub bytes_max: u64,
    /// From the question to the last row.
    pub time_max: Duration,
    /// What SQLite may hold in memory for it.
    pub memory_max: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { rows_max: 100_000, bytes_max: 16 << 20, time_max: Duration::from_secs(30), memory_max: 32 << 20 }
    }
}

const LIMITS: [(Limit, i32); 10] = [
    (Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES_MAX as i32),
    (Limit::SQLITE_LIMIT_COLUMN, 256),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 50),
    (Limit::SQLITE_LIMIT_VDBE_OP, 100_000),
    (Limit::SQLITE_LIMIT_FUNCTION_ARG, 64),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
];

/// Settings that keep what is sorted in memory, where it is counted: a question writes no file.
pub(super) fn furnish(connection: &Connection, asked: &Arc<Asked>) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{CACHE_KIB}; PRAGMA trusted_schema = ON;"
    ))?;
    functions(connection, asked)
}

/// From here on it can only be read, within bounds, until the brake is pulled or its time is over. What is given back tells, afterwards, whether
/// this question was stopped for want of memory.
pub(super) fn seal(
    connection: &mut Connection,
    brake: &Arc<Brake>,
    memory_max: u64,
) -> rusqlite::Result<Arc<AtomicBool>> {
    for (limit, value) in LIMITS {
        connection.set_limit(limit, value)?;
    }
    let over = Arc::new(AtomicBool::new(false));
    let (brake, stopped, held) = (Arc::clone(brake), Arc::clone(&over), memory_used());
    let stop = move || {
        if brake.check().is_err() {
            return true;
        }
        let too_much = memory_used().saturating_sub(held) > memory_max;
        stopped.fetch_or(too_much, Ordering::Relaxed);
        too_much
    };
    connection.progress_handler(STEPS_A_LOOK, Some(stop))?;
    connection.authorizer(Some(only_reading))?;
    Ok(over)
}

fn only_reading(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Function { function_name: "load_extension" } => Authorization::Deny,
        AuthAction::Select
        | AuthAction::Read { .. }
        | AuthAction::Recursive
        | AuthAction::Function { .. }
        | AuthAction::Pragma { pragma_name: "table_info" | "table_xinfo", .. } => Authorization::Allow,
        _ => Authorization::Deny,
    }
}

/// Functions of ours, and in the place of SQLite's those whose time must not grow beyond the text.
fn functions(connection: &Connection, asked: &Arc<Asked>) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection
        .create_scalar_function("like", 2, flags, |call| Ok(both(call, |pattern, text| like(pattern, text, None))))?;
    connection.create_scalar_function("like", 3, flags, |call| {
        let escape = call.get::<Option<String>>(2)?.and_then(|text| text.chars().next());
        Ok(both(call, |pattern, text| like(pattern, text, escape)))
    })?;
    connection.create_scalar_function("glob", 2, flags, |call| Ok(both(call, glob)))?;
    connection.create_scalar_function("instr", 2, flags, |call| Ok(instr(call)))?;
    connection.create_scalar_function("replace", 3, flags, replace)?;
    let asked = Arc::clone(asked);
    connection.create_scalar_function("ms", 1, flags, move |call| {
        let value: Value = call.get(0)?;
        asked.moment(&value).map_err(|error| Error::UserFunctionError(error.to_string().into()))
    })
}

fn both(call: &Context<'_>, fits: impl Fn(&str, &str) -> bool) -> Option<bool> {
    let (pattern, text) = (words(call, 0), words(call, 1));
    pattern.zip(text).map(|(pattern, text)| fits(&pattern, &text))
}

/// An argument as text; none for NULL.
fn words(call: &Context<'_>, place: usize) -> Option<String> {
    match call.get_raw(place) {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        // As SQLite writes it: with a fraction always.
        ValueRef::Real(number) => Some(format!("{number:?}")),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}

/// The place of the first occurrence, in characters from 1; 0 where there is none.
fn instr(call: &Context<'_>) -> Option<i64> {
    let (text, part) = (words(call, 0), words(call, 1));
    text.zip(part).map(|(text, part)| {
        let before = memmem::find(text.as_bytes(), part.as_bytes()).and_then(|at| text.get(..at));
        before.map_or(0, |before| before.chars().count() as i64 + 1)
    })
}

fn replace(call: &Context<'_>) -> rusqlite::Result<Option<String>> {
    let (Some(text), Some(part), Some(with)) = (words(call, 0), words(call, 1), words(call, 2)) else {
        return Ok(None);
    };
    if part.is_empty() {
        return Ok(Some(text));
    }
    let found = memmem::find_iter(text.as_bytes(), part.as_bytes()).count();
    let grown = text.len().saturating_add(found.saturating_mul(with.len()));
    if grown > VALUE_BYTES_MAX as usize {
        return Err(Error::UserFunctionError("string or blob too big".into()));
    }
    Ok(Some(text.replace(&part, &with)))
}
