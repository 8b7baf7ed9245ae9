//! What changed: one reading of a state table held against the one before it.

use std::cmp::Reverse;

use deskside_proto::changes::{self, Change};
use deskside_proto::rows::Value;
use deskside_proto::show;
use deskside_proto::v1::{Kind, Outcome, Reading, TableSchema};

use super::reader::Reader;
use super::{ChangeAt, Order, RecordError};

/// Most changes that one question returns; the oldest of the window come first.
pub const CHANGES_MAX: usize = 20_000;

impl Reader {
    /// What changed in state tables within a window, in order; in one table, or in all. At most [`CHANGES_MAX`].
    pub fn changes(&self, table: Option<&str>, from_ms: i64, to_ms: i64) -> Result<Vec<ChangeAt>, RecordError> {
        let mut all = Vec::new();
        for schema in self.registry().schemas().filter(|schema| schema.kind() == Kind::State) {
            if table.is_none_or(|table| table == schema.name) {
                self.table_changes(schema, from_ms, to_ms, &mut all)?;
            }
        }
        all.sort_by_key(|change| change.at_ms);
        all.truncate(CHANGES_MAX);
        Ok(all)
    }

    /// What changed in state tables before a time, the newest first, at most so many. No more of the past is opened than that takes.
    pub fn changes_before(&self, at_ms: i64, most: usize) -> Result<Vec<ChangeAt>, RecordError> {
        let most = most.min(CHANGES_MAX);
        let mut newest: Vec<ChangeAt> = Vec::new();
        for schema in self.registry().schemas().filter(|schema| schema.kind() == Kind::State) {
            let floor_ms = newest.get(most.saturating_sub(1)).map_or(i64::MIN, |oldest| oldest.at_ms);
            self.table_changes_before(schema, (floor_ms, at_ms), most, &mut newest)?;
            newest.sort_by_key(|change| Reverse(change.at_ms));
            newest.truncate(most);
        }
        Ok(newest)
    }

    fn table_changes(
        &self,
        schema: &TableSchema,
        from_ms: i64,
        to_ms: i64,
        all: &mut Vec<ChangeAt>,
    ) -> Result<(), RecordError> {
        let begin = all.len();
        let (mut seen, mut outcome) = (None::<Reading>, None);
        self.history(&schema.name, from_ms, to_ms, &mut |reading| {
            let now = reading.outcome();
            if all.len() - begin < CHANGES_MAX {
                let told = |change| ChangeAt { at_ms: reading.at_ms, table: schema.name.clone(), change };
                let turned = outcome.filter(|before| sight(*before) != sight(now));
                all.extend(turned.map(|before| told(turn(before, now))));
                all.extend(differences(schema, seen.as_ref(), &reading).into_iter().map(told));
            }
            outcome = Some(now);
            if sight(now) {
                seen = Some(reading);
            }
        })
    }

    fn table_changes_before(
        &self,
        schema: &TableSchema,
        (floor_ms, at_ms): (i64, i64),
        most: usize,
        all: &mut Vec<ChangeAt>,
    ) -> Result<(), RecordError> {
        let begin = all.len();
        let (mut seen, mut after) = (None::<Reading>, None);
        let told = |at_ms, change| ChangeAt { at_ms, table: schema.name.clone(), change };
        let mut runs = self.runs(&schema.name, i64::MIN, at_ms.saturating_sub(1), Order::NewestFirst)?;
        while let Some(readings) = runs.next(self)? {
            for reading in readings {
                let outcome = reading.outcome();
                let turned = after.filter(|(_at_ms, later)| sight(*later) != sight(outcome));
                all.extend(turned.map(|(at_ms, later)| told(at_ms, turn(outcome, later))));
                after = Some((reading.at_ms, outcome));
                if sight(outcome) {
                    if let Some(later) = seen.take() {
                        let between = differences(schema, Some(&reading), &later);
                        all.extend(between.into_iter().map(|change| told(later.at_ms, change)));
                    }
                    seen = Some(reading);
                }
            }
            let unpaired_ms = seen.as_ref().map_or(i64::MAX, |seen| seen.at_ms);
            if all.len() - begin >= most || unpaired_ms < floor_ms {
                break;
            }
        }
        Ok(())
    }
}

/// Whether something was seen. Why: what could not be looked at has not gone away.
fn sight(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Ok | Outcome::Empty | Outcome::Partial)
}

fn turn(before: Outcome, now: Outcome) -> Change {
    let text = |outcome| Value::Text(show::outcome(outcome).into());
    Change { key: String::new(), column: "outcome".into(), old: text(before), new: text(now) }
}

fn differences(schema: &TableSchema, before: Option<&Reading>, now: &Reading) -> Vec<Change> {
    let Some(before) = before.filter(|_before| sight(now.outcome())) else { return Vec::new() };
    let between = changes::between(schema, &before.rows, &now.rows).unwrap_or_else(|error| {
        tracing::warn!(table = schema.name, %error, "readings could not be compared");
        Vec::new()
    });
    let partial = [before, now].iter().any(|reading| reading.outcome() == Outcome::Partial);
    between.into_iter().filter(|change| !(partial && change.column.is_empty())).collect()
}
