//! Rows that can not be wanted are passed over before SQLite hears of them. It looks again at those that are left, so this may let pass too
//! many, never too few.

use rusqlite::types::Value;

use super::like::like;
use super::row::Row;
use super::vtab::{Asks, Given, Term};
use crate::v1::{ColumnSchema, ColumnType};

/// Whole numbers up to this have an exact equal with a fraction.
const EXACT_MAX: u64 = 1 << 53;

/// Whether a condition on a column can be tried here.
pub(super) fn can(term: &Term, column: &ColumnSchema) -> bool {
    if column.repeated || term.one_of {
        return false;
    }
    match column.r#type() {
        ColumnType::Bool | ColumnType::Int | ColumnType::Uint | ColumnType::Sint | ColumnType::Double => {
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

    /// The value, where only rows that have exactly it are wanted.
    pub(super) fn equal(&self) -> Option<&Value> {
        (self.asks == Asks::Equal).then_some(&self.value)
    }

    /// False where the row is surely not wanted.
    pub(super) fn passes(&self, row: &Row, bytes: &[u8], column: &ColumnSchema) -> bool {
        match column.r#type() {
            ColumnType::Text => self.text_passes(row.text(bytes, self.place, column)),
            ColumnType::Double => self.real_passes(row.real(self.place, column)),
            ColumnType::Bool | ColumnType::Int | ColumnType::Uint | ColumnType::Sint => {
                self.integer_passes(row.integer(self.place, column))
            }
            ColumnType::Blob | ColumnType::Unspecified => true,
        }
    }

    /// What is not known is neither equal to anything nor more or less than it.
    fn integer_passes(&self, number: Option<i64>) -> bool {
        let Some(number) = number else { return false };
        match &self.value {
            Value::Integer(wanted) => compares(self.asks, &number, wanted),
            Value::Real(wanted) if number.unsigned_abs() < EXACT_MAX => compares(self.asks, &(number as f64), wanted),
            _ => true,
        }
    }

    fn real_passes(&self, number: Option<f64>) -> bool {
        let Some(number) = number else { return false };
        match &self.value {
            Value::Integer(wanted) if wanted.unsigned_abs() < EXACT_MAX => {
                compares(self.asks, &number, &(*wanted as f64))
            }
            Value::Real(wanted) => compares(self.asks, &number, wanted),
            _ => true,
        }
    }

    fn text_passes(&self, text: Option<&[u8]>) -> bool {
        let Some(text) = text else { return false };
        match &self.value {
            Value::Text(wanted) if self.asks == Asks::Like => {
                std::str::from_utf8(text).map_or(true, |text| like(wanted, text, None))
            }
            Value::Text(wanted) => text == wanted.as_bytes(),
            _ => true,
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
