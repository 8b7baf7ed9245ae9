//! The bridge to SQLite's virtual tables; all that is unsafe about it is here.
//!
//! Why `unsafe`: SQLite is handed structs that begin with its own, which the trait can not promise by itself.
#![allow(unsafe_code)]

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_int};
use std::fmt::Write as _;
use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, Value};
use rusqlite::vtab::{Context, Filters, IndexConstraintOp, IndexInfo, Module, VTab, VTabConnection, VTabCursor};
use rusqlite::vtab::{VTabConfig, sqlite3_vtab, sqlite3_vtab_cursor};
use rusqlite::{Connection, Error};

use super::SqlError;

/// Constraints looked at in one question to one table.
const CONSTRAINTS_MAX: usize = 64;

/// A table that SQLite reads through us.
pub(super) trait Virtual: Send + Sync + 'static {
    /// Its name.
    fn name(&self) -> &str;
    /// `CREATE TABLE`, as SQLite wants to hear it.
    fn declaration(&self) -> &str;
    /// How it would be read under conditions; none where it can not be.
    fn plan(&self, terms: &[Term]) -> Option<Plan>;
    /// Begins to read.
    fn walk(&self) -> Box<dyn Walk>;
}

/// A condition on a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    /// The column's place.
    pub(super) column: usize,
    /// What is asked of it.
    pub(super) asks: Asks,
    /// The value it is compared with is known when reading begins.
    pub(super) usable: bool,
    /// Text is compared byte by byte.
    pub(super) binary: bool,
    /// It is one of several values (`IN`): taking it means to read once for each.
    pub(super) one_of: bool,
}

/// What a condition asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    Equal,
    Above,
    AtLeast,
    Below,
    AtMost,
    Like,
    /// Something that only SQLite decides.
    Other,
}

/// How a table is read.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// Which conditions' values reading begins with, by their place among the terms, and whether SQLite need not look again.
    pub(super) taken: Vec<(usize, bool)>,
    /// Rows to expect.
    pub(super) rows: f64,
}

/// A condition and its value, when reading begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Given {
    pub(super) column: usize,
    pub(super) asks: Asks,
    pub(super) value: Value,
}

/// Reading, row by row.
pub(super) trait Walk: Send {
    /// Begins, or begins anew. `used` has a bit for each column that is looked at; the highest stands for all from the 64th on.
    fn start(&mut self, used: u64, given: Vec<Given>) -> Result<(), SqlError>;
    /// To the next row; false where there is none.
    fn step(&mut self) -> Result<bool, SqlError>;
    /// A column of the row at hand.
    fn value(&self, column: usize) -> ToSqlOutput<'_>;
}

/// Makes a table known.
pub(super) fn register(connection: &Connection, table: Arc<dyn Virtual>) -> rusqlite::Result<()> {
    const MODULE: &Module<'static, Table> = &Module::eponymous_only_module();
    let name = table.name().to_owned();
    connection.create_module(name.as_str(), MODULE, Some(table))
}

/// Bytes that SQLite holds in this process.
pub(super) fn memory_used() -> u64 {
    // SAFETY: it takes nothing and answers a number.
    u64::try_from(unsafe { rusqlite::ffi::sqlite3_memory_used() }).unwrap_or(0)
}

#[repr(C)]
struct Table {
    /// SQLite's own part; must be first.
    base: sqlite3_vtab,
    table: Arc<dyn Virtual>,
}

// SAFETY: `Table` is `repr(C)` and begins with `sqlite3_vtab`.
unsafe impl<'vtab> VTab<'vtab> for Table {
    type Aux = Arc<dyn Virtual>;
    type Cursor = Cursor;

    fn connect(
        db: &mut VTabConnection,
        aux: Option<&Arc<dyn Virtual>>,
        _module: &[u8],
        _database: &[u8],
        _table: &[u8],
        _arguments: &[&[u8]],
    ) -> rusqlite::Result<(Cow<'static, CStr>, Self)> {
        let table = aux.map(Arc::clone).ok_or_else(|| Error::ModuleError("a table without its rows".into()))?;
        db.config(VTabConfig::Innocuous)?;
        let declaration = CString::new(table.declaration()).map_err(|error| Error::ModuleError(error.to_string()))?;
        Ok((Cow::Owned(declaration), Self { base: sqlite3_vtab::default(), table }))
    }

    fn best_index(&self, info: &mut IndexInfo) -> rusqlite::Result<bool> {
        let found = info.constraints().enumerate().take(CONSTRAINTS_MAX);
        let terms: Vec<Term> = found
            .map(|(place, constraint)| Term {
                column: usize::try_from(constraint.column()).unwrap_or(usize::MAX),
                asks: asks(&constraint.operator()),
                usable: constraint.is_usable(),
                binary: info.collation(place).is_ok_and(|name| name.eq_ignore_ascii_case("BINARY")),
                one_of: info.is_in_constraint(place).unwrap_or(false),
            })
            .collect();
        let Some(plan) = self.table.plan(&terms) else { return Ok(false) };
        let mut words = format!("{:x}", info.col_used());
        for ((place, omit), argument) in plan.taken.iter().zip(1..) {
            let Some(term) = terms.get(*place) else { continue };
            let mut usage = info.constraint_usage(*place);
            usage.set_argv_index(argument);
            usage.set_omit(*omit);
            // Writing to a string does not fail.
            write!(words, ",{}{}", sign(term.asks), term.column).ok();
        }
        info.set_idx_str(&words);
        info.set_estimated_rows(plan.rows as i64);
        info.set_estimated_cost(plan.rows);
        Ok(true)
    }

    fn open(&'vtab mut self) -> rusqlite::Result<Cursor> {
        Ok(Cursor { base: sqlite3_vtab_cursor::default(), walk: self.table.walk(), row: 0, there: false })
    }
}

#[repr(C)]
struct Cursor {
    /// SQLite's own part; must be first.
    base: sqlite3_vtab_cursor,
    walk: Box<dyn Walk>,
    row: i64,
    there: bool,
}

// SAFETY: `Cursor` is `repr(C)` and begins with `sqlite3_vtab_cursor`.
unsafe impl VTabCursor for Cursor {
    fn filter(&mut self, _number: c_int, words: Option<&str>, values: &Filters<'_>) -> rusqlite::Result<()> {
        let mut words = words.unwrap_or_default().split(',');
        let used = u64::from_str_radix(words.next().unwrap_or_default(), 16).unwrap_or(u64::MAX);
        let given = words.enumerate().map(|(place, word)| {
            let (asks, column) = read(word).ok_or_else(|| Error::ModuleError("a plan that does not read".into()))?;
            Ok(Given { column, asks, value: values.get(place)? })
        });
        let given = given.collect::<rusqlite::Result<Vec<Given>>>()?;
        self.row = 0;
        self.walk.start(used, given).map_err(|error| told(&error))?;
        self.next()
    }

    fn next(&mut self) -> rusqlite::Result<()> {
        self.there = self.walk.step().map_err(|error| told(&error))?;
        self.row += 1;
        Ok(())
    }

    fn eof(&self) -> bool {
        !self.there
    }

    fn column(&self, context: &mut Context, column: c_int) -> rusqlite::Result<()> {
        context.set_result(self.walk.value(usize::try_from(column).unwrap_or(usize::MAX)))
    }

    fn rowid(&self) -> rusqlite::Result<i64> {
        Ok(self.row)
    }
}

fn told(error: &SqlError) -> Error {
    Error::ModuleError(error.to_string())
}

fn asks(operator: &IndexConstraintOp) -> Asks {
    match operator {
        IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_EQ => Asks::Equal,
        IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_GT => Asks::Above,
        IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_GE => Asks::AtLeast,
        IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_LT => Asks::Below,
        IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_LE => Asks::AtMost,
        IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_LIKE => Asks::Like,
        _ => Asks::Other,
    }
}

/// A sign for each condition, by which a plan tells its reading what the values are.
const SIGNS: [(char, Asks); 7] = [
    ('e', Asks::Equal),
    ('g', Asks::Above),
    ('G', Asks::AtLeast),
    ('l', Asks::Below),
    ('L', Asks::AtMost),
    ('k', Asks::Like),
    ('o', Asks::Other),
];

fn sign(asks: Asks) -> char {
    SIGNS.iter().find(|(_sign, other)| *other == asks).map_or('o', |(sign, _asks)| *sign)
}

fn read(word: &str) -> Option<(Asks, usize)> {
    let mut letters = word.chars();
    let first = letters.next()?;
    let (_sign, asks) = SIGNS.iter().find(|(sign, _asks)| *sign == first)?;
    Some((*asks, letters.as_str().parse().ok()?))
}
