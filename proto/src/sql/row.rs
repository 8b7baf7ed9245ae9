//! One row, read where it lies: only the columns that a question asks for, straight from the bytes.

use std::fmt::Write as _;

use rusqlite::types::{ToSqlOutput, Value as Owned, ValueRef};

use crate::rows::{self, Value};
use crate::show;
use crate::v1::{ColumnSchema, ColumnType, TableSchema};

/// Field numbers below this are found by their place, others by looking through a list.
const NUMBERS_MAX: usize = 64;

/// Where the columns of a table lie among the fields of its rows.
#[derive(Debug)]
pub(super) struct Places {
    by_number: [Option<u16>; NUMBERS_MAX],
    others: Vec<(u32, u16)>,
}

impl Places {
    /// Those of the columns that are wanted; lists are opened when they are asked for.
    pub(super) fn new(schema: &TableSchema, wanted: impl Fn(usize) -> bool) -> Self {
        let (mut by_number, mut others) = ([None; NUMBERS_MAX], Vec::new());
        for (column, place) in schema.columns.iter().zip(0_u16..) {
            if column.repeated || !wanted(usize::from(place)) {
                continue;
            }
            match by_number.get_mut(column.number as usize) {
                Some(slot) => *slot = Some(place),
                None => others.push((column.number, place)),
            }
        }
        Self { by_number, others }
    }

    /// No column is wanted.
    fn is_empty(&self) -> bool {
        self.others.is_empty() && self.by_number.iter().all(Option::is_none)
    }

    fn of(&self, number: u32) -> Option<usize> {
        let place = match self.by_number.get(number as usize) {
            Some(place) => *place,
            None => self.others.iter().find(|(other, _place)| *other == number).map(|(_number, place)| *place),
        };
        place.map(usize::from)
    }
}

/// What one column of the row at hand holds.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// The row that it was found in; of another row it holds nothing.
    turn: u32,
    scalar: u64,
    start: usize,
    length: usize,
}

/// Where the columns of the row at hand lie in its bytes.
#[derive(Debug, Default)]
pub(super) struct Row {
    turn: u32,
    slots: Vec<Slot>,
}

impl Row {
    /// Takes up a row. A field that does not read ends it: what stands before it counts.
    pub(super) fn take(&mut self, bytes: &[u8], places: &Places, columns: usize) {
        self.turn = self.turn.wrapping_add(1);
        if self.slots.len() != columns || self.turn == 0 {
            (self.slots, self.turn) = (vec![Slot::default(); columns], 1);
        }
        if places.is_empty() {
            return;
        }
        let begin = bytes.as_ptr() as usize;
        for field in rows::fields(bytes) {
            let Ok(field) = field else { break };
            let Some(slot) = places.of(field.number).and_then(|place| self.slots.get_mut(place)) else { continue };
            let payload = field.payload();
            let start = (payload.as_ptr() as usize).wrapping_sub(begin);
            *slot = Slot { turn: self.turn, scalar: field.scalar, start, length: payload.len() };
        }
    }

    /// What a column holds; none where it is not known.
    fn slot(&self, place: usize, column: &ColumnSchema) -> Option<Slot> {
        let slot = *self.slots.get(place)?;
        if slot.turn == self.turn {
            return Some(slot);
        }
        (!column.optional).then(Slot::default)
    }

    /// A column's whole number; none where it is not known or no whole number.
    pub(super) fn integer(&self, place: usize, column: &ColumnSchema) -> Option<i64> {
        let scalar = self.slot(place, column)?.scalar;
        match column.r#type() {
            ColumnType::Bool => Some(i64::from(scalar != 0)),
            ColumnType::Int => Some(scalar.cast_signed()),
            ColumnType::Uint => Some(i64::try_from(scalar).unwrap_or(i64::MAX)),
            ColumnType::Sint => Some((scalar >> 1).cast_signed() ^ -(scalar & 1).cast_signed()),
            _ => None,
        }
    }

    /// A column's number with a fraction; none where it is not known or another.
    pub(super) fn real(&self, place: usize, column: &ColumnSchema) -> Option<f64> {
        let slot = self.slot(place, column)?;
        (column.r#type() == ColumnType::Double).then(|| f64::from_bits(slot.scalar))
    }

    /// A column's text or bytes; none where it is not known or neither.
    pub(super) fn text<'a>(&self, bytes: &'a [u8], place: usize, column: &ColumnSchema) -> Option<&'a [u8]> {
        let slot = self.slot(place, column)?;
        if !matches!(column.r#type(), ColumnType::Text | ColumnType::Blob) {
            return None;
        }
        if slot.length == 0 {
            return Some(&[]);
        }
        bytes.get(slot.start..slot.start.checked_add(slot.length)?)
    }

    /// A column as SQLite takes it. Lists are JSON, which `json_each` opens.
    pub(super) fn value<'a>(&self, bytes: &'a [u8], place: usize, column: &ColumnSchema) -> ToSqlOutput<'a> {
        if column.repeated {
            return ToSqlOutput::Owned(Owned::Text(list(bytes, column)));
        }
        let null = ToSqlOutput::Owned(Owned::Null);
        match column.r#type() {
            ColumnType::Double => {
                self.real(place, column).map_or(null, |number| ToSqlOutput::Owned(Owned::Real(number)))
            }
            ColumnType::Text => {
                self.text(bytes, place, column).map_or(null, |text| ToSqlOutput::Borrowed(ValueRef::Text(text)))
            }
            ColumnType::Blob => {
                self.text(bytes, place, column).map_or(null, |blob| ToSqlOutput::Borrowed(ValueRef::Blob(blob)))
            }
            _ => ToSqlOutput::Owned(self.integer(place, column).map_or(Owned::Null, Owned::Integer)),
        }
    }
}

fn list(bytes: &[u8], column: &ColumnSchema) -> String {
    let only = TableSchema { columns: vec![column.clone()], ..TableSchema::default() };
    let opened = rows::open(&only, bytes).ok().and_then(|values| values.into_iter().next());
    let Some(Value::List(values)) = opened else { return "[]".into() };
    let mut text = String::from("[");
    for (place, value) in values.iter().enumerate() {
        // Writing to a string does not fail.
        write!(text, "{}{}", if place == 0 { "" } else { "," }, show::json_value(value)).ok();
    }
    text.push(']');
    text
}
