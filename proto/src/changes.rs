//! What changed between two readings of one state table: rows that came, rows that went, and columns that differ.

use std::collections::BTreeMap;

use crate::catalog;
use crate::rows::{self, RowError, Value};
use crate::show;
use crate::v1::{Outcome, Reading, TableSchema};

/// One difference between two readings.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What tells the row from others, as shown: "cups.service", "eth0 10.0.0.1".
    pub key: String,
    /// The column; empty where the whole row came or went.
    pub column: String,
    /// Before; `Null` where the row came.
    pub old: Value,
    /// After; `Null` where the row went.
    pub new: Value,
}

/// Follows one state table of one device from reading to reading, in order of time.
#[derive(Debug, Default)]
pub struct Walk {
    seen: Option<Reading>,
    outcome: Option<Outcome>,
}

impl Walk {
    /// What the reading says that the ones before did not. The first one is where the walk begins, and a look that did not see the machine
    /// says nothing of its rows.
    pub fn step(&mut self, schema: &TableSchema, reading: Reading) -> Result<Vec<Change>, RowError> {
        let now = reading.outcome();
        let turned = self.outcome.filter(|before| saw(*before) != saw(now));
        let mut found: Vec<Change> = turned.map(|before| turn(before, now)).into_iter().collect();
        self.outcome = Some(now);
        if !saw(now) {
            return Ok(found);
        }
        if let Some(before) = &self.seen {
            let partial = [before, &reading].iter().any(|reading| reading.outcome() == Outcome::Partial);
            let differ = between(schema, &before.rows, &reading.rows)?;
            found.extend(differ.into_iter().filter(|change| !(partial && change.column.is_empty())));
        }
        self.seen = Some(reading);
        Ok(found)
    }
}

/// Whether a look saw the machine. Why: what could not be looked at has not gone away.
pub fn saw(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Ok | Outcome::Empty | Outcome::Partial)
}

fn turn(before: Outcome, now: Outcome) -> Change {
    let text = |outcome| Value::Text(show::outcome(outcome).into());
    Change { key: String::new(), column: "outcome".into(), old: text(before), new: text(now) }
}

/// All differences, in the order of the keys. Columns marked as noise do not count.
pub fn between(
    schema: &TableSchema,
    old: &[impl AsRef<[u8]>],
    new: &[impl AsRef<[u8]>],
) -> Result<Vec<Change>, RowError> {
    let (old, new) = (by_key(schema, old)?, by_key(schema, new)?);
    let mut changes = Vec::new();
    for (key, before) in &old {
        match new.get(key) {
            None => changes.push(whole(key, Value::Text("present".into()), Value::Null)),
            Some(after) => changes.extend(columns(schema, key, before, after)),
        }
    }
    let came = new.keys().filter(|key| !old.contains_key(*key));
    changes.extend(came.map(|key| whole(key, Value::Null, Value::Text("present".into()))));
    changes.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(changes)
}

/// A row reduced to what counts as the machine's state (noise left out): equal bytes mean that nothing changed.
pub fn essence(schema: &TableSchema, row: &[u8]) -> Vec<u8> {
    let noisy = |number| schema.columns.iter().any(|column| column.number == number && catalog::options(column).noise);
    rows::fields(row)
        .map_while(Result::ok)
        .filter(|field| !noisy(field.number))
        .flat_map(|field| field.raw.iter().copied())
        .collect()
}

/// The row's key columns as one text.
pub fn key(schema: &TableSchema, values: &[Value]) -> String {
    let keys = schema.columns.iter().zip(values).filter(|(column, _value)| catalog::options(column).key);
    let texts: Vec<String> = keys.map(|(_column, value)| value.to_string()).filter(|text| !text.is_empty()).collect();
    texts.join(" ")
}

fn whole(key: &str, old: Value, new: Value) -> Change {
    Change { key: key.to_owned(), column: String::new(), old, new }
}

fn columns<'a>(
    schema: &'a TableSchema,
    key: &'a str,
    before: &'a [Value],
    after: &'a [Value],
) -> impl Iterator<Item = Change> + 'a {
    let pairs = schema.columns.iter().zip(before.iter().zip(after));
    pairs.filter(|(column, (old, new))| old != new && !catalog::options(column).noise).map(
        move |(column, (old, new))| Change {
            key: key.to_owned(),
            column: column.name.clone(),
            old: old.clone(),
            new: new.clone(),
        },
    )
}

fn by_key(schema: &TableSchema, rows: &[impl AsRef<[u8]>]) -> Result<BTreeMap<String, Vec<Value>>, RowError> {
    rows.iter()
        .map(|row| {
            let values = rows::open(schema, row.as_ref())?;
            Ok((key(schema, &values), values))
        })
        .collect()
}
