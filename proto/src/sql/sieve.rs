//! Rows that can not be wanted are passed over before SQLite hears of them. It looks again at those that are left, so this may let pass too
//! many, never too few.

use rusqlite::types::Value;

use super::like::like;
use super::row::Row;
use super::vtab::{Asks, Given, Term};
use crate::v1::{ColumnSchema, ColumnType};

/// Whole numbers up to this have an exact equal with a fraction.
const EXACT_MAX: i64 = 1 << 53;

/// Whether a condition on a column can be tried here.
pub(super) fn can(term: &Term, column: &ColumnSchema) -> bool {
    if column.repeated || term.one_of {
        return false;
    }
    match column.r#type() {
        ColumnType::Bool | ColumnType::Int | ColumnType::Uint | ColumnType::Sint => {
            !matches!(term.asks, Asks::Like | Asks::Other)
        }
        ColumnType::Text => (term.asks == Asks::Equal && term.binary) || term.asks == Asks::Like,
        _ => false,
    }
}

/// A condition on one own column.
#[derive(Clone, Debug)]
pub(super) struct Try {
    pub(super) place: usize,
    asks: Asks,
    value: Value,
}

impl Try {
    pub(super) fn new(place: usize, given: Given) -> Self {
        Self { place, asks: given.asks, value: given.value }
    }

    /// False where the row is surely not wanted.
    pub(super) fn passes(&self, row: &Row, column: &ColumnSchema) -> bool {
        match &self.value {
            Value::Integer(wanted) => match row.integer(self.place, column) {
                Some(number) => compares(self.asks, &number, wanted),
                None => column.r#type() == ColumnType::Text,
            },
            Value::Real(wanted) => match row.integer(self.place, column) {
                Some(number) if number.abs() < EXACT_MAX => compares(self.asks, &(number as f64), wanted),
                Some(_too_large) => true,
                None => column.r#type() == ColumnType::Text,
            },
            Value::Text(wanted) => match row.text(self.place, column) {
                Some(text) if self.asks == Asks::Like => {
                    std::str::from_utf8(text).map_or(true, |text| like(wanted, text, None))
                }
                Some(text) => text == wanted.as_bytes(),
                // Not known is like nothing; a number may still be.
                None => column.r#type() != ColumnType::Text,
            },
            Value::Null | Value::Blob(_) => true,
        }
    }
}

fn compares<T: PartialOrd>(asks: Asks, number: &T, wanted: &T) -> bool {
    match asks {
        Asks::Equal => number == wanted,
        Asks::Above => number > wanted,
        Asks::AtLeast => number >= wanted,
        Asks::Below => number < wanted,
        Asks::AtMost => number <= wanted,
        Asks::Like | Asks::Other => true,
    }
}
