//! One timeline of all that happened: the moments of machines joined where two say the same, laid out in time, and held to a bound.

use std::collections::BTreeMap;

use anyhow::Result;
use deskside_proto::v1::{CaseFile, Moment, MomentKind};

use super::gathered::Gathered;
use super::{changed, happened};
use crate::diagnose::{self, LOOKS_MAX, Turn};

/// Moments of a case file before the ticket, and since.
const BEFORE_MAX: usize = 60;
const SINCE_MAX: usize = 250;

/// What is left out first where there is no room; what people did, and what was wrong, stay.
const LEAST: [MomentKind; 4] = [MomentKind::Change, MomentKind::Happened, MomentKind::Ended, MomentKind::NewError];

/// What one machine tells.
pub(super) struct Machine {
    pub(super) moments: Vec<Moment>,
    pub(super) left_out: Vec<String>,
}

/// All that happened on a machine. It opens rows and asks rules: not for an async thread.
pub(super) fn of_machine(gathered: &Gathered) -> Result<Machine> {
    let looks = gathered.tables.values().flat_map(|looks| looks.readings.iter().cloned()).collect();
    let replay = diagnose::replay(looks)?;
    let mut left_out = Vec::new();
    if replay.left_out > 0 {
        let name = &gathered.name;
        left_out.push(format!("what was wrong on {name} before its newest {LOOKS_MAX} changes was not looked for"));
    }
    let mut changes = changed::moments(gathered);
    let mut turns = Vec::new();
    for turned in replay.turned.into_iter().filter(|turned| turned.at_ms >= gathered.window.from_ms) {
        let kind = if turned.turn == Turn::Ended { MomentKind::Ended } else { MomentKind::Began };
        let finding = turned.finding;
        let mut moment = Moment {
            at_ms: turned.at_ms,
            kind: kind.into(),
            device: gathered.name.clone(),
            family: finding.family,
            severity: finding.severity.clone(),
            text: finding.title.clone(),
            times: 1,
            table: finding.table.clone(),
            ..Moment::default()
        };
        if turned.turn == Turn::Stood {
            moment.details.push("it was so at the first look".into());
        }
        turns.push(moment);
    }
    join(&mut turns, &mut changes);
    let moments = turns.into_iter().chain(changes).chain(happened::moments(gathered)).collect();
    Ok(Machine { moments, left_out })
}

/// A change of a table in which something began or ended is told with it.
fn join(turns: &mut [Moment], changes: &mut Vec<Moment>) {
    let mut of_look: BTreeMap<(i64, String), Moment> = BTreeMap::new();
    for change in std::mem::take(changes) {
        let with_turn =
            change.until_ms == 0 && turns.iter().any(|turn| turn.at_ms == change.at_ms && turn.table == change.table);
        if with_turn {
            of_look.insert((change.at_ms, change.table.clone()), change);
        } else {
            changes.push(change);
        }
    }
    for turn in turns {
        let Some(change) = of_look.remove(&(turn.at_ms, turn.table.clone())) else { continue };
        turn.details.extend(if change.details.is_empty() { vec![change.text] } else { change.details });
    }
}

/// Puts the moments into the file: those before the ticket was opened, and those since.
pub(super) fn lay_out(file: &mut CaseFile, mut moments: Vec<Moment>, opened_ms: i64) {
    moments.sort_by_key(|moment| (moment.at_ms, moment.kind));
    let (before, since): (Vec<Moment>, Vec<Moment>) =
        moments.into_iter().partition(|moment| moment.at_ms < opened_ms && moment.kind() != MomentKind::Reported);
    file.before = bounded(before, BEFORE_MAX, "before the ticket", &mut file.left_out);
    file.timeline = bounded(since, SINCE_MAX, "since the ticket was opened", &mut file.left_out);
}

/// The moments that have room, those that matter least left out first, the oldest of them first.
fn bounded(mut moments: Vec<Moment>, most: usize, when: &str, left_out: &mut Vec<String>) -> Vec<Moment> {
    let mut over = moments.len().saturating_sub(most);
    let whole = over;
    for kind in LEAST {
        moments.retain(|moment| {
            let goes = over > 0 && moment.kind() == kind && moment.severity != "critical";
            over -= usize::from(goes);
            !goes
        });
    }
    // What is still too much goes whatever it is.
    moments.drain(..over);
    if whole > 0 {
        left_out.push(format!(
            "{whole} lines of what happened {when}: {most} are told; `deskside diff` and `deskside sql` tell all"
        ));
    }
    moments
}
