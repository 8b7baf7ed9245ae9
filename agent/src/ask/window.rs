//! A table's recorded readings within a time, and how long each was in force.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use deskside_proto::changes::saw;
use deskside_proto::sql::{Brake, Held, Scanning, SqlError};
use deskside_proto::v1::{Kind, Reading, TableSchema};

use super::machine::{lock, unread};
use crate::record::{Order, Reader, RecordError, Runs};

/// Looks that did not see the machine, one after the other, that are passed over in search of one that did.
const UNSEEN_MAX: usize = 1_000;

/// Readings on their way, oldest first.
pub(super) struct Window {
    record: Arc<Mutex<Reader>>,
    brake: Arc<Brake>,
    runs: Runs,
    ready: VecDeque<Reading>,
    /// Pulled already, to know how long the one before it was in force.
    ahead: Option<Reading>,
    /// Where the window ends and what table it is; taken when what follows it has been looked for.
    beyond: Option<(String, i64)>,
    kind: Kind,
}

impl Window {
    /// Of a state table it begins with the last reading before the window that saw the machine, and all between that one and the window.
    pub(super) fn begin(
        record: Arc<Mutex<Reader>>,
        schema: &TableSchema,
        (from_ms, to_ms): (i64, i64),
        brake: Arc<Brake>,
    ) -> Result<Self, RecordError> {
        let (table, kind) = (&schema.name, schema.kind());
        let (runs, ready) = {
            let reader = lock(&record);
            let runs = reader.runs(table, from_ms, to_ms, Order::OldestFirst)?;
            let before = kind == Kind::State && from_ms > i64::MIN;
            (runs, if before { in_force(&reader, table, from_ms)? } else { VecDeque::new() })
        };
        Ok(Self { record, brake, runs, ready, ahead: None, beyond: Some((table.clone(), to_ms)), kind })
    }

    fn pull(&mut self) -> Result<Option<Reading>, SqlError> {
        if self.ready.is_empty() {
            self.brake.check()?;
            let next = self.runs.next(&lock(&self.record)).map_err(|error| unread(&error))?;
            self.ready = next.map(VecDeque::from).unwrap_or_default();
        }
        Ok(self.ready.pop_front())
    }

    /// When the first reading after the window was.
    fn after(&mut self) -> Result<Option<i64>, SqlError> {
        let Some((table, to_ms)) = self.beyond.take().filter(|(_table, to_ms)| *to_ms < i64::MAX) else {
            return Ok(None);
        };
        let reader = lock(&self.record);
        let mut later = reader.runs(&table, to_ms + 1, i64::MAX, Order::OldestFirst).map_err(|error| unread(&error))?;
        let next = later.next(&reader).map_err(|error| unread(&error))?;
        Ok(next.and_then(|readings| readings.first().map(|reading| reading.at_ms)))
    }

    fn checked_ms(&self, reading: &Reading) -> Result<i64, SqlError> {
        let checked_ms = lock(&self.record).checked_ms(&reading.table).map_err(|error| unread(&error))?;
        Ok(checked_ms.unwrap_or(reading.at_ms))
    }
}

impl Scanning for Window {
    fn next(&mut self) -> Result<Option<Held>, SqlError> {
        let ahead = self.ahead.take();
        let next = if ahead.is_some() { ahead } else { self.pull()? };
        let Some(reading) = next else { return Ok(None) };
        let at_ms = reading.at_ms;
        if self.kind != Kind::State {
            return Ok(Some(Held { owner: None, reading, checked_ms: at_ms, until_ms: None }));
        }
        self.ahead = self.pull()?;
        let until_ms = match &self.ahead {
            Some(ahead) => Some(ahead.at_ms),
            None => self.after()?,
        };
        let checked_ms = if until_ms.is_some() { at_ms } else { self.checked_ms(&reading)? };
        Ok(Some(Held { owner: None, reading, checked_ms, until_ms }))
    }
}

/// The last reading before a time that saw the machine, and those after it that did not, oldest first.
fn in_force(reader: &Reader, table: &str, from_ms: i64) -> Result<VecDeque<Reading>, RecordError> {
    let mut before = reader.runs(table, i64::MIN, from_ms - 1, Order::NewestFirst)?;
    let mut found = VecDeque::new();
    while let Some(readings) = before.next(reader)? {
        for reading in readings {
            let seen = saw(reading.outcome());
            found.push_front(reading);
            if seen || found.len() >= UNSEEN_MAX {
                return Ok(found);
            }
        }
    }
    Ok(found)
}
