//! Takes secrets and persons out of readings, before anything remembers them.

mod addresses;
mod groups;
mod key;
mod known;
mod makers;
mod mapping;
mod pairs;
mod programs;
mod text;
mod tokens;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use deskside_proto::catalog;
use deskside_proto::rows::{self, Field};
use deskside_proto::v1::{ColumnSchema, ColumnType, Reading, Redaction, Sensitivity, TableSchema};
use prost::bytes::Bytes;
use prost::encoding::{WireType, encode_key, encode_varint};
use serde::{Deserialize, Serialize};

use crate::host::Host;
use key::Key;
use known::Known;
use mapping::Mapping;
use text::Kind;

/// What may be kept beyond the rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Tables (`print_jobs`) or columns (`print_jobs.title`) whose `content` columns may be kept, since those whom they are about agreed.
    pub consent: BTreeSet<String>,
    /// IP and hardware addresses become pseudonyms.
    pub addresses: bool,
    /// So does the machine's own name.
    pub hosts: bool,
    /// A list of pseudonyms and whom they stand for is kept beside the key.
    pub mapping: bool,
}

/// Takes secrets and persons out of readings. Equal things stay equal, by a key that never leaves the machine.
#[derive(Debug)]
pub struct Redactor {
    config: Config,
    key: Key,
    dir: PathBuf,
    beyond: RwLock<Beyond>,
}

/// What may change while the agent runs: the people of the machine, and what policy says.
#[derive(Debug, Default)]
struct Beyond {
    known: Known,
    mapping: Option<Mapping>,
}

/// One thing that is taken out of a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Where it stands, in bytes.
    pub range: Range<usize>,
    /// What it is, in words.
    pub what: &'static str,
    /// What is written in its place.
    pub instead: String,
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
        Ok(Self { config, key: Key::open(dir)?, dir: dir.to_owned(), beyond: RwLock::default() })
    }

    /// Learns who uses this machine and what it is called, and what the policy takes out beyond the rule.
    pub fn learn(&self, host: &dyn Host, policy: Option<&Redaction>) {
        let config = Config {
            addresses: self.config.addresses || policy.is_some_and(|policy| policy.addresses),
            hosts: self.config.hosts || policy.is_some_and(|policy| policy.hosts),
            mapping: self.config.mapping || policy.is_some_and(|policy| policy.mapping),
            ..Config::default()
        };
        let known = Known::of(host, &config);
        let mut beyond = self.beyond.write().unwrap_or_else(PoisonError::into_inner);
        beyond.known = known;
        if !config.mapping {
            beyond.mapping = None;
            // Why not without a policy: whoever asks at the machine knows nothing of it.
            if policy.is_some() {
                mapping::forget(&self.dir);
            }
        } else if beyond.mapping.is_none() {
            beyond.mapping = Some(Mapping::open(&self.dir));
        }
    }

    /// What would be taken out of a text, in order.
    pub fn explain(&self, text: &str) -> Vec<Removed> {
        let beyond = self.beyond();
        let removed = |span: text::Span| {
            let found = text.get(span.range.clone())?;
            let instead = text::instead(&self.key, &span.kind, found);
            (instead != found).then_some(Removed { range: span.range, what: span.what, instead })
        };
        text::find(&beyond.known, text).into_iter().filter_map(removed).collect()
    }

    /// Whom a pseudonym stands for; only where a list is kept.
    pub fn stands_for(dir: &Path, pseudonym: &str) -> anyhow::Result<Option<String>> {
        mapping::read(dir, pseudonym)
    }

    /// What is taken out now.
    fn beyond(&self) -> RwLockReadGuard<'_, Beyond> {
        self.beyond.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The text as it may be kept; nothing where it is fine.
    fn clean(&self, beyond: &Beyond, text: &str) -> Option<String> {
        let cleaned = text::clean(&self.key, &beyond.known, text)?;
        if let Some(mapping) = &beyond.mapping {
            for span in text::find(&beyond.known, text).into_iter().filter(|span| span.kind != Kind::Secret) {
                let found = text.get(span.range).unwrap_or_default();
                mapping.note(&text::instead(&self.key, &span.kind, found), found);
            }
        }
        Some(cleaned)
    }

    fn person(&self, beyond: &Beyond, name: &str) -> Option<String> {
        let pseudonym = self.key.person(name)?;
        if let Some(mapping) = &beyond.mapping {
            mapping.note(&pseudonym, name);
        }
        Some(pseudonym)
    }

    /// The reading without what must not be kept. Rows in which nothing had to go stay as they are, byte by byte.
    pub fn redact(&self, schema: &TableSchema, mut reading: Reading) -> Reading {
        // Why for the whole reading: text comes by the million lines, and what is learnt changes every few minutes.
        let beyond = &*self.beyond();
        if let Some(reason) = self.clean(beyond, &reading.reason) {
            reading.reason = reason;
        }
        let before = reading.rows.len();
        reading.rows = reading.rows.into_iter().filter_map(|row| self.row(beyond, schema, row)).collect();
        if reading.rows.len() < before {
            tracing::warn!(
                table = schema.name,
                rows = before - reading.rows.len(),
                "rows that could not be read were left out"
            );
        }
        reading
    }

    /// Free text without secrets and people's names.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.clean(&self.beyond(), text).map_or(Cow::Borrowed(text), Cow::Owned)
    }

    /// One row; none where it is not well-formed, since then nobody can say what is in it.
    fn row(&self, beyond: &Beyond, schema: &TableSchema, row: Bytes) -> Option<Bytes> {
        let mut rewritten: Option<Vec<u8>> = None;
        let mut passed = 0;
        for field in rows::fields(&row) {
            let field = field.ok()?;
            let fate = self.fate(beyond, schema, &field);
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

    fn fate(&self, beyond: &Beyond, schema: &TableSchema, field: &Field<'_>) -> Fate {
        // Most tables number their columns from one on.
        let at_its_place = schema.columns.get((field.number as usize).wrapping_sub(1));
        let column = at_its_place.filter(|column| column.number == field.number);
        let Some(column) = column.or_else(|| schema.columns.iter().find(|column| column.number == field.number)) else {
            return field.text().map_or(Fate::Stays, |text| self.cleaned(beyond, text));
        };
        let is_text = column.r#type() == ColumnType::Text;
        match (catalog::options(column).sensitivity(), field.text().filter(|_text| is_text)) {
            (Sensitivity::Secret, _) | (Sensitivity::Personal, None) => Fate::Goes,
            (Sensitivity::Content, _) if !self.consented(schema, column) => Fate::Goes,
            (Sensitivity::Personal, Some(name)) => self.person(beyond, name).map_or(Fate::Stays, Fate::Becomes),
            (_, Some(text)) => self.cleaned(beyond, text),
            // A text column whose bytes are not text.
            (_, None) if is_text => Fate::Goes,
            (_, None) => Fate::Stays,
        }
    }

    fn cleaned(&self, beyond: &Beyond, text: &str) -> Fate {
        self.clean(beyond, text).map_or(Fate::Stays, Fate::Becomes)
    }

    fn consented(&self, schema: &TableSchema, column: &ColumnSchema) -> bool {
        let consent = &self.config.consent;
        consent.contains(&schema.name) || consent.contains(&format!("{}.{}", schema.name, column.name))
    }
}

/// The kinds of secret that are known by their form, in words.
pub fn kinds() -> BTreeSet<&'static str> {
    text::kinds()
}

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod people;
#[cfg(test)]
mod tests;
