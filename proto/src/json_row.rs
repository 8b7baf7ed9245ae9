//! Rows from JSON, as [`crate::show::json`] writes them and as a bundle of evidence holds them: the way back.

use std::io::BufRead;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use prost::encoding::{WireType, encode_key, encode_varint};
use serde_json::{Map, Value as Json};

use crate::show;
use crate::v1::{ColumnSchema, ColumnType, Outcome, Reading, TableSchema};

/// Longest line of a bundle's table.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The outcomes, as they are written in words.
const OUTCOMES: [Outcome; 7] = [
    Outcome::Ok,
    Outcome::Empty,
    Outcome::Partial,
    Outcome::TimedOut,
    Outcome::Denied,
    Outcome::Unsupported,
    Outcome::Failed,
];

/// A row as its table's message would have it. Members that the table does not have are passed over; a value that a column can not hold is
/// an error.
pub fn seal(schema: &TableSchema, row: &Map<String, Json>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for column in &schema.columns {
        match row.get(&column.name) {
            None | Some(Json::Null) => {}
            Some(Json::Array(values)) if column.repeated => {
                values.iter().try_for_each(|value| put(column, value, &mut bytes))?;
            }
            Some(value) if is_default(value) && !column.optional => {}
            Some(value) => put(column, value, &mut bytes)?,
        }
    }
    Ok(bytes)
}

/// What an absent field means anyway.
fn is_default(value: &Json) -> bool {
    match value {
        Json::Bool(value) => !value,
        Json::Number(number) => number.as_f64() == Some(0.0),
        Json::String(text) => text.is_empty(),
        _ => false,
    }
}

fn put(column: &ColumnSchema, value: &Json, bytes: &mut Vec<u8>) -> Result<(), String> {
    let wrong = || format!("{} can not be {value}", column.name);
    let mut varint = |number: u64| {
        encode_key(column.number, WireType::Varint, bytes);
        encode_varint(number, bytes);
    };
    match column.r#type() {
        ColumnType::Bool => varint(u64::from(value.as_bool().ok_or_else(wrong)?)),
        ColumnType::Uint => varint(value.as_u64().ok_or_else(wrong)?),
        ColumnType::Int => varint(value.as_i64().ok_or_else(wrong)?.cast_unsigned()),
        ColumnType::Sint => {
            let number = value.as_i64().ok_or_else(wrong)?;
            varint(((number << 1) ^ (number >> 63)).cast_unsigned());
        }
        ColumnType::Double => {
            encode_key(column.number, WireType::SixtyFourBit, bytes);
            bytes.extend_from_slice(&value.as_f64().ok_or_else(wrong)?.to_le_bytes());
        }
        ColumnType::Text => payload(column, value.as_str().ok_or_else(wrong)?.as_bytes(), bytes),
        ColumnType::Blob => {
            let hex = value.as_str().and_then(|text| HEXLOWER.decode(text.as_bytes()).ok());
            payload(column, &hex.ok_or_else(wrong)?, bytes);
        }
        ColumnType::Unspecified => return Err(format!("{} has no type", column.name)),
    }
    Ok(())
}

fn payload(column: &ColumnSchema, payload: &[u8], bytes: &mut Vec<u8>) {
    encode_key(column.number, WireType::LengthDelimited, bytes);
    encode_varint(payload.len() as u64, bytes);
    bytes.extend_from_slice(payload);
}

/// The readings of a table as a bundle holds them: a line of JSON a row, with `_at` and `_outcome`; a reading without rows is a line with its
/// `_reason`. Lines of one moment that follow one another are one reading.
#[derive(Debug)]
pub struct Readings<'a, R> {
    schema: &'a TableSchema,
    lines: R,
    number: u64,
    next: Option<Reading>,
    /// Why the line after the reading that was told last is none.
    wrong: Option<String>,
}

impl<'a, R: BufRead> Readings<'a, R> {
    /// Begins to read.
    pub fn new(schema: &'a TableSchema, lines: R) -> Self {
        Self { schema, lines, number: 0, next: None, wrong: None }
    }

    /// The next line as a reading of one row or none.
    fn line(&mut self) -> Result<Option<Reading>, String> {
        let mut text = String::new();
        let mut limited = std::io::Read::take(&mut self.lines, LINE_BYTES_MAX);
        let read = limited.read_line(&mut text).map_err(|error| error.to_string())?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let row: Map<String, Json> = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let word = |name: &str| row.get(name).and_then(Json::as_str).unwrap_or_default();
        let at: Timestamp = word("_at").parse().map_err(|_error| "_at is not a time".to_owned())?;
        let outcome = OUTCOMES.into_iter().find(|outcome| show::outcome(*outcome) == word("_outcome"));
        let has_row = row.keys().any(|name| !name.starts_with('_'));
        let rows = if has_row { vec![seal(self.schema, &row)?.into()] } else { Vec::new() };
        Ok(Some(Reading {
            table: self.schema.name.clone(),
            at_ms: at.as_millisecond(),
            outcome: outcome.unwrap_or_default().into(),
            reason: word("_reason").to_owned(),
            rows,
            ..Reading::default()
        }))
    }

    fn reading(&mut self) -> Result<Option<Reading>, String> {
        if let Some(wrong) = self.wrong.take() {
            return Err(wrong);
        }
        let mut reading = match self.next.take() {
            Some(reading) => reading,
            None => match self.line()? {
                Some(reading) => reading,
                None => return Ok(None),
            },
        };
        loop {
            match self.line() {
                Ok(Some(line)) if line.at_ms == reading.at_ms && line.outcome == reading.outcome => {
                    reading.rows.extend(line.rows);
                }
                Ok(next) => {
                    self.next = next;
                    break;
                }
                // What was read before it is told first.
                Err(wrong) => {
                    self.wrong = Some(wrong);
                    break;
                }
            }
        }
        Ok(Some(reading))
    }
}

impl<R: BufRead> Iterator for Readings<'_, R> {
    type Item = Result<Reading, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let reading = self.reading();
        let reading = reading.map_err(|error| format!("{}, line {}: {error}", self.schema.name, self.number));
        reading.transpose()
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use serde_json::json;

    use super::*;
    use crate::v1::{Printer, WifiNetwork};
    use crate::{catalog, rows};

    fn back_and_forth(table: &str, bytes: &[u8]) -> Vec<u8> {
        let schema = catalog::table(table).unwrap();
        let shown = show::json(schema, &rows::open(schema, bytes).unwrap());
        seal(schema, &shown).unwrap()
    }

    #[test]
    fn a_row_comes_back_from_its_json_byte_by_byte() {
        let printer = Printer {
            name: "hall".into(),
            state_reasons: vec!["media-jam".into(), "door-open".into()],
            queued_jobs: 3,
            shared: true,
            waiting_jobs: Some(0),
            ..Printer::default()
        };
        let bytes = printer.encode_to_vec();
        assert_eq!(Printer::decode(back_and_forth("printers", &bytes).as_slice()).unwrap(), printer);
        let heard = WifiNetwork { interface: "wlan0".into(), signal_dbm: Some(-71), ..WifiNetwork::default() };
        let bytes = heard.encode_to_vec();
        assert_eq!(back_and_forth("wifi_scan", &bytes), bytes);
    }

    #[test]
    fn what_a_column_can_not_hold_is_refused() {
        let schema = catalog::table("printers").unwrap();
        let row = |row: Json| seal(schema, row.as_object().unwrap());
        assert_eq!(row(json!({"queued_jobs": "many"})).unwrap_err(), "queued_jobs can not be \"many\"");
        assert!(row(json!({"queued_jobs": -1})).is_err());
        assert!(row(json!({"a_column_of_the_future": {}})).unwrap().is_empty());
    }

    #[test]
    fn lines_of_one_moment_are_one_reading() {
        let text = concat!(
            "{\"_at\":\"2026-03-01T10:00:00.000+01:00\",\"_outcome\":\"ok\",\"name\":\"a\"}\n",
            "{\"_at\":\"2026-03-01T10:00:00.000+01:00\",\"_outcome\":\"ok\",\"name\":\"b\"}\n",
            "{\"_at\":\"2026-03-01T10:05:00.000+01:00\",\"_outcome\":\"timed out\",\"_reason\":\"slow\"}\n",
            "not JSON\n",
        );
        let found: Vec<_> = Readings::new(catalog::table("printers").unwrap(), text.as_bytes()).take(3).collect();
        let first = found[0].as_ref().unwrap();
        assert_eq!((first.at_ms, first.rows.len(), first.outcome()), (1_772_355_600_000, 2, Outcome::Ok));
        assert_eq!(found[1].as_ref().unwrap().reason, "slow");
        assert!(found[2].as_ref().is_err_and(|error| error.starts_with("printers, line 4: ")));
    }
}
