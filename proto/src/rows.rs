//! Rows: sealed by the collector, opened by the one who asks, by field number and wire type; nobody in between looks inside.

use prost::bytes::{Buf, Bytes};
use prost::encoding::{WireType, decode_key, decode_varint};

use crate::v1::{ColumnSchema, ColumnType, TableSchema};

/// A message that is one row of a table. Implemented for every table of the contract by the build.
pub trait Row: prost::Message + Default {
    /// The table's name.
    const TABLE: &'static str;
}

include!(concat!(env!("OUT_DIR"), "/rows.rs"));

/// One value of a row. `Null` is "not known", which differs from zero.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Not known.
    Null,
    /// bool
    Bool(bool),
    /// Signed whole number.
    Int(i64),
    /// Unsigned whole number.
    Uint(u64),
    /// Number with a fraction.
    Double(f64),
    /// UTF-8 text.
    Text(String),
    /// Bytes.
    Blob(Bytes),
    /// A column that holds a list.
    List(Vec<Value>),
}

/// Why bytes are not a row.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// The bytes end early or are not protobuf.
    #[error("not a row of {table}: {detail}")]
    Malformed {
        /// The table that the row was said to be of.
        table: String,
        /// What is wrong.
        detail: String,
    },
}

/// Opens one row: the values in the order of the table's columns. Fields that the schema lacks are passed over.
pub fn open(schema: &TableSchema, row: &[u8]) -> Result<Vec<Value>, RowError> {
    let wrong = |detail: String| RowError::Malformed { table: schema.name.clone(), detail };
    let mut values: Vec<Value> = schema.columns.iter().map(absent).collect();
    for field in fields(row) {
        let field = field.map_err(&wrong)?;
        let Some(place) = schema.columns.iter().position(|column| column.number == field.number) else {
            continue;
        };
        let (Some(column), Some(slot)) = (schema.columns.get(place), values.get_mut(place)) else { continue };
        if column.repeated {
            let Value::List(list) = slot else { continue };
            field.append(column, list).map_err(&wrong)?;
        } else {
            *slot = field.value(column).map_err(&wrong)?;
        }
    }
    Ok(values)
}

/// Whether bytes are a well-formed row of the table: every field reads, and text is UTF-8. Why not by opening it: this is done to every row
/// that arrives at a server, and memory for values that nobody asked for would be half its work.
pub fn check(schema: &TableSchema, row: &[u8]) -> Result<(), RowError> {
    let wrong = |detail: String| RowError::Malformed { table: schema.name.clone(), detail };
    for field in fields(row) {
        let field = field.map_err(wrong)?;
        if let Some(column) = schema.columns.iter().find(|column| column.number == field.number) {
            field.check(column).map_err(wrong)?;
        }
    }
    Ok(())
}

/// What an absent field means.
fn absent(column: &ColumnSchema) -> Value {
    if column.repeated {
        return Value::List(Vec::new());
    }
    if column.optional {
        return Value::Null;
    }
    match column.r#type() {
        ColumnType::Bool => Value::Bool(false),
        ColumnType::Int | ColumnType::Sint => Value::Int(0),
        ColumnType::Uint => Value::Uint(0),
        ColumnType::Double => Value::Double(0.0),
        ColumnType::Text => Value::Text(String::new()),
        ColumnType::Blob => Value::Blob(Bytes::new()),
        ColumnType::Unspecified => Value::Null,
    }
}

/// One field as it lies on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Field number.
    pub number: u32,
    /// Its key and payload together, as they lie; copying them copies the field.
    pub raw: &'a [u8],
    wire: WireType,
    /// Varint or fixed value; 0 for a length-delimited field.
    pub scalar: u64,
    /// Payload of a length-delimited field.
    payload: &'a [u8],
}

impl<'a> Field<'a> {
    /// The payload of a length-delimited field; nothing for another.
    pub(crate) fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The payload where it is text.
    pub fn text(&self) -> Option<&'a str> {
        (self.wire == WireType::LengthDelimited).then(|| std::str::from_utf8(self.payload).ok()).flatten()
    }

    fn value(&self, column: &ColumnSchema) -> Result<Value, String> {
        let expected = wire_type(column);
        if self.wire != expected {
            return Err(format!("{} has wire type {:?}, not {expected:?}", column.name, self.wire));
        }
        scalar(column, self.scalar, self.payload)
    }

    fn check(&self, column: &ColumnSchema) -> Result<(), String> {
        let expected = wire_type(column);
        match column.r#type() {
            ColumnType::Blob if self.wire == expected => Ok(()),
            ColumnType::Text if self.wire == expected => std::str::from_utf8(self.payload)
                .map(|_text| ())
                .map_err(|_error| format!("{} is not UTF-8", column.name)),
            _ if column.repeated && self.wire != expected => self.append(column, &mut Vec::new()),
            _ => self.value(column).map(|_value| ()),
        }
    }

    fn append(&self, column: &ColumnSchema, list: &mut Vec<Value>) -> Result<(), String> {
        let expected = wire_type(column);
        if self.wire == expected {
            list.push(self.value(column)?);
            return Ok(());
        }
        if self.wire != WireType::LengthDelimited {
            return Err(format!("{} has wire type {:?}, not {expected:?}", column.name, self.wire));
        }
        let mut packed = self.payload;
        while packed.has_remaining() {
            let number = match expected {
                WireType::SixtyFourBit if packed.len() >= 8 => packed.get_u64_le(),
                WireType::SixtyFourBit => return Err(format!("{} ends early", column.name)),
                _ => decode_varint(&mut packed).map_err(|error| error.to_string())?,
            };
            list.push(scalar(column, number, &[])?);
        }
        Ok(())
    }
}

/// Walks the fields of a row without opening them.
pub fn fields(row: &[u8]) -> impl Iterator<Item = Result<Field<'_>, String>> {
    let mut rest = row;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = next_field(&mut rest);
        if field.is_err() {
            rest = &[];
        }
        Some(field)
    })
}

#[inline]
fn next_field<'a>(rest: &mut &'a [u8]) -> Result<Field<'a>, String> {
    match short_field(rest) {
        Some(field) => Ok(field),
        None => any_field(rest),
    }
}

/// A field as most are: its key one byte, its number or length one byte. Nothing is taken where it is another.
#[inline]
fn short_field<'a>(rest: &mut &'a [u8]) -> Option<Field<'a>> {
    let start = *rest;
    let (&key, after) = start.split_first()?;
    if !(8..128).contains(&key) {
        return None;
    }
    let (wire, scalar, payload, after): (_, u64, &[u8], _) = match key & 7 {
        0 => {
            let (&value, after) = after.split_first().filter(|(value, _after)| **value < 128)?;
            (WireType::Varint, value.into(), &[], after)
        }
        1 => {
            let (value, after) = after.split_first_chunk()?;
            (WireType::SixtyFourBit, u64::from_le_bytes(*value), &[], after)
        }
        2 => {
            let (&length, after) = after.split_first().filter(|(length, _after)| **length < 128)?;
            let (payload, after) = after.split_at_checked(length.into())?;
            (WireType::LengthDelimited, 0, payload, after)
        }
        _ => return None,
    };
    *rest = after;
    let raw = start.get(..start.len() - after.len())?;
    Some(Field { number: u32::from(key >> 3), raw, wire, scalar, payload })
}

fn any_field<'a>(rest: &mut &'a [u8]) -> Result<Field<'a>, String> {
    let start = *rest;
    let (number, wire) = decode_key(rest).map_err(|error| error.to_string())?;
    let (mut scalar, mut payload): (u64, &[u8]) = (0, &[]);
    match wire {
        WireType::Varint => scalar = decode_varint(rest).map_err(|error| error.to_string())?,
        WireType::SixtyFourBit if rest.len() >= 8 => scalar = rest.get_u64_le(),
        WireType::ThirtyTwoBit if rest.len() >= 4 => scalar = u64::from(rest.get_u32_le()),
        WireType::LengthDelimited => {
            let length = decode_varint(rest).map_err(|error| error.to_string())?;
            let length = usize::try_from(length).ok().filter(|length| *length <= rest.len());
            let length = length.ok_or("a field is longer than its row")?;
            (payload, *rest) = rest.split_at(length);
        }
        other => return Err(format!("field {number} has wire type {other:?}, or ends early")),
    }
    let raw = start.get(..start.len() - rest.len()).unwrap_or_default();
    Ok(Field { number, raw, wire, scalar, payload })
}

fn wire_type(column: &ColumnSchema) -> WireType {
    match column.r#type() {
        ColumnType::Double => WireType::SixtyFourBit,
        ColumnType::Text | ColumnType::Blob => WireType::LengthDelimited,
        _ => WireType::Varint,
    }
}

fn scalar(column: &ColumnSchema, number: u64, payload: &[u8]) -> Result<Value, String> {
    Ok(match column.r#type() {
        ColumnType::Bool => Value::Bool(number != 0),
        ColumnType::Int => Value::Int(number.cast_signed()),
        ColumnType::Sint => Value::Int((number >> 1).cast_signed() ^ -(number & 1).cast_signed()),
        ColumnType::Uint => Value::Uint(number),
        ColumnType::Double => Value::Double(f64::from_bits(number)),
        ColumnType::Text => {
            let text = std::str::from_utf8(payload).map_err(|_error| format!("{} is not UTF-8", column.name))?;
            Value::Text(text.to_owned())
        }
        ColumnType::Blob => Value::Blob(Bytes::copy_from_slice(payload)),
        ColumnType::Unspecified => return Err(format!("{} has no type", column.name)),
    })
}
