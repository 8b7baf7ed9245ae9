//! Takes secrets and persons out of readings, before anything remembers them.

mod key;
mod pairs;
mod programs;
mod text;
mod tokens;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;

use deskside_proto::catalog;
use deskside_proto::rows::{self, Field};
use deskside_proto::v1::{ColumnSchema, ColumnType, Reading, Sensitivity, TableSchema};
use prost::bytes::Bytes;
use prost::encoding::{WireType, encode_key, encode_varint};
use serde::{Deserialize, Serialize};

use key::Key;

/// What may be kept beyond the rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Tables (`print_jobs`) or columns (`print_jobs.title`) whose `content` columns may be kept, since those whom they are about agreed.
    pub consent: BTreeSet<String>,
}

/// Takes secrets and persons out of readings. Equal things stay equal, by a key that never leaves the machine.
#[derive(Debug)]
pub struct Redactor {
    config: Config,
    key: Key,
}

/// What becomes of one field.
enum Fate {
    Stays,
    Goes,
    Becomes(String),
}

impl Redactor {
    /// Reads the key in the agent's state folder, or makes one there (`redact.key`, mode 0600).
    pub fn open(dir: &Path, config: Config) -> anyhow::Result<Self> {
        Ok(Self { config, key: Key::open(dir)? })
    }

    /// The reading without what must not be kept. Rows in which nothing had to go stay as they are, byte by byte.
    pub fn redact(&self, schema: &TableSchema, mut reading: Reading) -> Reading {
        if let Some(reason) = text::clean(&self.key, &reading.reason) {
            reading.reason = reason;
        }
        let before = reading.rows.len();
        reading.rows = reading.rows.into_iter().filter_map(|row| self.row(schema, row)).collect();
        if reading.rows.len() < before {
            tracing::warn!(
                table = schema.name,
                rows = before - reading.rows.len(),
                "rows that could not be read were left out"
            );
        }
        reading
    }

    /// Free text without secrets and home folders' names.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        text::clean(&self.key, text).map_or(Cow::Borrowed(text), Cow::Owned)
    }

    /// One row; none where it is not well-formed, since then nobody can say what is in it.
    fn row(&self, schema: &TableSchema, row: Bytes) -> Option<Bytes> {
        let mut rewritten: Option<Vec<u8>> = None;
        let mut passed = 0;
        for field in rows::fields(&row) {
            let field = field.ok()?;
            let fate = self.fate(schema, &field);
            match (&fate, &mut rewritten) {
                (Fate::Stays, None) => {}
                (Fate::Stays, Some(new)) => new.extend_from_slice(field.raw),
                (_, new) => {
                    let new = new.get_or_insert_with(|| row.get(..passed).unwrap_or_default().to_vec());
                    if let Fate::Becomes(text) = fate {
                        encode_key(field.number, WireType::LengthDelimited, new);
                        encode_varint(text.len() as u64, new);
                        new.extend_from_slice(text.as_bytes());
                    }
                }
            }
            passed += field.raw.len();
        }
        Some(rewritten.map_or(row, Bytes::from))
    }

    fn fate(&self, schema: &TableSchema, field: &Field<'_>) -> Fate {
        let Some(column) = schema.columns.iter().find(|column| column.number == field.number) else {
            return field.text().map_or(Fate::Stays, |text| self.cleaned(text));
        };
        let is_text = column.r#type() == ColumnType::Text;
        match (catalog::options(column).sensitivity(), field.text().filter(|_text| is_text)) {
            (Sensitivity::Secret, _) | (Sensitivity::Personal, None) => Fate::Goes,
            (Sensitivity::Content, _) if !self.consented(schema, column) => Fate::Goes,
            (Sensitivity::Personal, Some(name)) => self.key.person(name).map_or(Fate::Stays, Fate::Becomes),
            (_, Some(text)) => self.cleaned(text),
            // A text column whose bytes are not text.
            (_, None) if is_text => Fate::Goes,
            (_, None) => Fate::Stays,
        }
    }

    fn cleaned(&self, text: &str) -> Fate {
        text::clean(&self.key, text).map_or(Fate::Stays, Fate::Becomes)
    }

    fn consented(&self, schema: &TableSchema, column: &ColumnSchema) -> bool {
        let consent = &self.config.consent;
        consent.contains(&schema.name) || consent.contains(&format!("{}.{}", schema.name, column.name))
    }
}

#[cfg(test)]
mod tests;
