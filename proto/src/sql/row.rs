//! One row, read where it lies: only the columns that a question asks for, straight from the bytes.

use std::fmt::Write as _;

use prost::bytes::Bytes;
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
    there: bool,
    scalar: u64,
    start: usize,
    length: usize,
}

/// The row at hand.
#[derive(Debug, Default)]
pub(super) struct Row {
    bytes: Bytes,
    slots: Vec<Slot>,
}

impl Row {
    /// Takes up a row. A field that does not read ends it: what stands before it counts.
    pub(super) fn take(&mut self, bytes: Bytes, places: &Places, columns: usize) {
        self.slots.clear();
        self.slots.resize(columns, Slot::default());
        self.bytes = bytes;
        let begin = self.bytes.as_ptr() as usize;
        for field in rows::fields(&self.bytes) {
            let Ok(field) = field else { break };
            let Some(slot) = places.of(field.number).and_then(|place| self.slots.get_mut(place)) else { continue };
            let payload = field.payload();
            *slot = Slot {
                there: true,
                scalar: field.scalar,
                start: (payload.as_ptr() as usize).saturating_sub(begin),
                length: payload.len(),
            };
        }
    }

    /// A column's whole number; none where it is not known or no whole number.
    pub(super) fn integer(&self, place: usize, column: &ColumnSchema) -> Option<i64> {
        let slot = self.slots.get(place)?;
        if !slot.there && column.optional {
            return None;
        }
        match column.r#type() {
            ColumnType::Bool => Some(i64::from(slot.scalar != 0)),
            ColumnType::Int => Some(slot.scalar.cast_signed()),
            ColumnType::Uint => Some(i64::try_from(slot.scalar).unwrap_or(i64::MAX)),
            ColumnType::Sint => Some((slot.scalar >> 1).cast_signed() ^ -(slot.scalar & 1).cast_signed()),
            _ => None,
        }
    }

    /// A column's text or bytes; none where it is not known or neither.
    pub(super) fn text(&self, place: usize, column: &ColumnSchema) -> Option<&[u8]> {
        let slot = self.slots.get(place)?;
        if (!slot.there && column.optional) || !matches!(column.r#type(), ColumnType::Text | ColumnType::Blob) {
            return None;
        }
        self.bytes.get(slot.start..slot.start + slot.length)
    }

    /// A column as SQLite takes it. Lists are JSON, which `json_each` opens.
    pub(super) fn value(&self, place: usize, column: &ColumnSchema) -> ToSqlOutput<'_> {
        if column.repeated {
            return ToSqlOutput::Owned(Owned::Text(self.list(column)));
        }
        let Some(slot) = self.slots.get(place).filter(|slot| slot.there || !column.optional) else {
            return ToSqlOutput::Owned(Owned::Null);
        };
        match column.r#type() {
            ColumnType::Double => ToSqlOutput::Owned(Owned::Real(f64::from_bits(slot.scalar))),
            ColumnType::Text => ToSqlOutput::Borrowed(ValueRef::Text(self.text(place, column).unwrap_or_default())),
            ColumnType::Blob => ToSqlOutput::Borrowed(ValueRef::Blob(self.text(place, column).unwrap_or_default())),
            _ => ToSqlOutput::Owned(self.integer(place, column).map_or(Owned::Null, Owned::Integer)),
        }
    }

    fn list(&self, column: &ColumnSchema) -> String {
        let only = TableSchema { columns: vec![column.clone()], ..TableSchema::default() };
        let opened = rows::open(&only, &self.bytes).ok().and_then(|values| values.into_iter().next());
        let Some(Value::List(values)) = opened else { return "[]".into() };
        let mut text = String::from("[");
        for (place, value) in values.iter().enumerate() {
            // Writing to a string does not fail.
            write!(text, "{}{}", if place == 0 { "" } else { "," }, show::json_value(value)).ok();
        }
        text.push(']');
        text
    }
}
