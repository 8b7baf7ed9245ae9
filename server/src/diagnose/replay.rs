//! When something began to be wrong, and when it was over: the rules asked again of each look at a state table, in the order of time.
//!
//! Why the rules and no list of transitions: what is worth a finding now was worth a line then, and a new rule is told of without another edit.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use deskside_proto::changes::saw;
use deskside_proto::v1::{Finding, Kind, Reading};

use super::view::{self, View};
use super::{About, Known, Rule, Severity, rules};

/// Looks that are replayed for one device; of more, the newest.
pub const LOOKS_MAX: usize = 300;

/// Rows of a table beyond which a look at it is not replayed. Why: a list of packages is weighed once, as it is now.
const ROWS_MAX: usize = 400;

/// What a finding did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It stood when its table was first looked at.
    Stood,
    /// It began.
    Began,
    /// It was over.
    Ended,
}

/// A finding that changed whether it stands.
#[derive(Clone, Debug)]
pub struct Turned {
    /// At which look, device's clock.
    pub at_ms: i64,
    /// What it did.
    pub turn: Turn,
    /// The finding, as it stands or last stood.
    pub finding: Finding,
}

/// What the rules said of state tables, look by look.
#[derive(Debug, Default)]
pub struct Replay {
    /// In the order of time.
    pub turned: Vec<Turned>,
    /// Looks that were left out for want of room.
    pub left_out: usize,
}

/// What tells a finding from others of its rule.
type Standing = BTreeMap<(String, String, usize), Finding>;

/// Replays the looks of one device, oldest first. Notices are left out.
pub fn replay(mut looks: Vec<Reading>) -> Result<Replay> {
    looks.retain(|look| saw(look.outcome()) && look.rows.len() <= ROWS_MAX && !concerned(&look.table).is_empty());
    looks.sort_by_key(|look| look.at_ms);
    let left_out = looks.len().saturating_sub(LOOKS_MAX);
    let mut replay = Replay { turned: Vec::new(), left_out };
    let (mut now, mut standing): (BTreeMap<String, Reading>, Standing) = (BTreeMap::new(), BTreeMap::new());
    let mut asked = BTreeSet::new();
    for (place, look) in looks.into_iter().enumerate() {
        let (at_ms, table) = (look.at_ms, look.table.clone());
        now.insert(table.clone(), look);
        if place < left_out {
            continue;
        }
        for rule in concerned(&table) {
            if rule.tables.iter().all(|table| now.contains_key(table)) {
                let is_first = asked.insert(rule.id.as_str());
                let found = ask(rule, &now, at_ms)?;
                turn(&mut replay.turned, &mut standing, rule, found, at_ms, is_first);
            }
        }
    }
    Ok(replay)
}

/// Rules that read a table and no others but state tables.
fn concerned(table: &str) -> Vec<&'static Rule> {
    let is_state = |table: &String| view::schema(table).is_some_and(|schema| schema.kind() == Kind::State);
    let felt = |rule: &&Rule| matches!(rule.severity, Severity::Critical | Severity::Warning);
    let reads = rules::all().iter().filter(|rule| rule.tables.iter().any(|other| other == table));
    reads.filter(felt).filter(|rule| rule.tables.iter().all(is_state)).collect()
}

fn ask(rule: &Rule, now: &BTreeMap<String, Reading>, at_ms: i64) -> Result<Vec<Finding>> {
    let known: Vec<Known> = rule
        .tables
        .iter()
        .filter_map(|table| {
            let readings = vec![now.get(table)?.clone()];
            Some(Known { schema: view::schema(table)?, readings, checked_ms: at_ms })
        })
        .collect();
    View::of(&known, &About { now_ms: at_ms, connected: true, ..About::default() })?.ask(rule)
}

fn turn(
    turned: &mut Vec<Turned>,
    standing: &mut Standing,
    rule: &Rule,
    found: Vec<Finding>,
    at_ms: i64,
    is_first: bool,
) {
    let mut now = Standing::new();
    for finding in found {
        // The first fact is what a rule names its row by.
        let name = finding.proof.first().map(|fact| fact.value.clone()).unwrap_or_default();
        let place = now.keys().filter(|(_rule, other, _place)| *other == name).count();
        now.insert((rule.id.clone(), name, place), finding);
    }
    let before: Vec<_> = standing.keys().filter(|(id, _name, _place)| *id == rule.id).cloned().collect();
    for key in before {
        if now.contains_key(&key) {
            continue;
        }
        turned.extend(standing.remove(&key).map(|finding| Turned { at_ms, turn: Turn::Ended, finding }));
    }
    for (key, finding) in now {
        let turn = if is_first { Turn::Stood } else { Turn::Began };
        if standing.insert(key, finding.clone()).is_none() {
            turned.push(Turned { at_ms, turn, finding });
        }
    }
}

#[cfg(test)]
mod tests {
    use deskside_proto::rows::Row;
    use deskside_proto::v1::{Outcome, Printer};
    use prost::Message;

    use super::*;

    fn look(at_ms: i64, outcome: Outcome, queues: &[(&str, &str)]) -> Reading {
        let queue = |(name, state): &(&str, &str)| {
            let paused_by = if *state == "stopped" { "error" } else { "" };
            let queue = Printer {
                name: (*name).into(),
                state: (*state).into(),
                paused_by: paused_by.into(),
                queued_jobs: 1,
                ..Printer::default()
            };
            queue.encode_to_vec().into()
        };
        let rows = queues.iter().map(queue).collect();
        Reading { table: Printer::TABLE.into(), at_ms, outcome: outcome.into(), rows, ..Reading::default() }
    }

    #[test]
    fn a_queue_that_stops_and_goes_on_is_two_turns_and_a_look_that_saw_nothing_is_none() {
        let looks = vec![
            look(3_000, Outcome::Ok, &[("hall", "stopped"), ("attic", "stopped")]),
            look(1_000, Outcome::Ok, &[("hall", "idle"), ("attic", "stopped")]),
            look(4_000, Outcome::Denied, &[]),
            look(5_000, Outcome::Ok, &[("hall", "idle"), ("attic", "stopped")]),
        ];
        let turned = replay(looks).unwrap().turned;
        let stopped: Vec<_> = turned
            .iter()
            .filter(|turned| turned.finding.rule == "print-queue-stopped")
            .map(|turned| (turned.at_ms, turned.turn, turned.finding.proof[0].value.as_str()))
            .collect();
        assert_eq!(
            stopped,
            [(1_000, Turn::Stood, "attic"), (3_000, Turn::Began, "hall"), (5_000, Turn::Ended, "hall")]
        );
    }
}
