//! The way from this machine to what it needs, step by step, and the first step that breaks it named in one sentence.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::GatewayPath;

use super::step::{Outcome, Taken, VERDICT, since_ms};
use super::{Asked, Probe, Steps, Unrun};
use crate::collect::Rows;
use crate::host::Host;
use stations::Station;

mod certificate;
mod clock;
mod flaps;
mod link;
mod names;
mod quality;
mod stations;

pub(super) const GATEWAY_PATH: Probe = Probe { table: GatewayPath::TABLE, deadline: Duration::from_secs(45), run };

/// What a step says.
#[derive(Clone, Debug)]
struct Said {
    outcome: Outcome,
    /// A word for rules; empty where nothing is wrong.
    problem: &'static str,
    found: String,
    /// Where it breaks the way: the whole in one sentence.
    sentence: String,
}

fn ok(found: &str) -> Said {
    Said { outcome: Outcome::Ok, problem: "", found: found.to_owned(), sentence: String::new() }
}

fn failed(problem: &'static str, found: &str, sentence: &str) -> Said {
    Said { outcome: Outcome::Failed, problem, found: found.to_owned(), sentence: sentence.to_owned() }
}

fn unknown(why: String) -> Said {
    Said { outcome: Outcome::Unknown, problem: "", found: why, sentence: String::new() }
}

fn not_done(why: &str) -> Said {
    Said { outcome: Outcome::NotDone, problem: "", found: format!("not done, because {why}"), sentence: String::new() }
}

/// The way while it is tested.
struct Path<'a, 'b, 'c> {
    host: &'a dyn Host,
    taken: Taken<'b, 'c, GatewayPath>,
    /// The steps that failed, in their order.
    broken: Vec<(&'static str, Said)>,
}

impl Path<'_, '_, '_> {
    /// Takes a step, unless the time is up; false where the way ends at it.
    fn take(&mut self, step: &'static str, target: &str, test: impl FnOnce(&dyn Host) -> Said) -> Result<bool, Unrun> {
        let late = self.taken.steps.time_is_up(self.host);
        let begun_ms = self.host.now_ms();
        let said = if late { not_done("the time for the whole test is up") } else { test(self.host) };
        let took_ms = Some(since_ms(self.host, begun_ms)).filter(|_took| said.outcome != Outcome::NotDone);
        self.taken.note(GatewayPath {
            step: step.into(),
            target: target.into(),
            outcome: said.outcome.word().into(),
            found: said.found.clone(),
            took_ms,
            problem: said.problem.into(),
            ..GatewayPath::default()
        })?;
        let fine = said.outcome != Outcome::Failed;
        if !fine {
            self.broken.push((step, said));
        }
        Ok(fine)
    }
}

fn run(host: &dyn Host, asked: &Asked, steps: &mut Steps<'_>) -> anyhow::Result<Rows> {
    let stations = stations::of(host, asked)?;
    let mut path = Path { host, taken: Taken::new(steps), broken: Vec::new() };
    let before = flaps::counted(host);
    if let Some(begins) = link::test(&mut path)? {
        names::test(&mut path, &stations)?;
        stations::test(&mut path, &stations, asked, &begins)?;
        clock::test(&mut path)?;
    }
    flaps::test(&mut path, &before)?;
    let verdict = verdict(&path, &stations);
    path.taken.note(verdict)?;
    Ok(path.taken.rows())
}

fn verdict(path: &Path<'_, '_, '_>, stations: &[Station]) -> GatewayPath {
    let row = |outcome: Outcome, found: String| GatewayPath {
        step: VERDICT.into(),
        target: stations.iter().map(|station| station.place.clone()).collect::<Vec<_>>().join(", "),
        outcome: outcome.word().into(),
        found,
        ..GatewayPath::default()
    };
    // Why the clock comes first where certificates seem to have ended: it is by the clock that they do.
    let by_clock = path.broken.first().is_some_and(|(_step, said)| said.problem == "expired");
    let clock = path.broken.iter().find(|(step, _said)| by_clock && *step == "clock");
    // And a link that went away before all: whatever was tested meanwhile failed by it.
    let flap = path.broken.iter().find(|(step, _said)| *step == flaps::STEP);
    if let Some((step, said)) = flap.or(clock).or(path.broken.first()) {
        let broken = row(Outcome::Failed, said.sentence.clone());
        return GatewayPath { problem: said.problem.into(), broken_at: (*step).into(), ..broken };
    }
    let unseen = path.taken.rows.iter().find(|row| row.outcome == Outcome::Unknown.word());
    match (stations, unseen) {
        ([], None) => row(Outcome::Ok, "The way works as far as the gateway and the name servers; no server or help desk is known to test the rest with.".into()),
        (_, Some(unseen)) => row(Outcome::Unknown, format!("The way works as far as it can be seen; not seen: {} ({}).", unseen.step, unseen.found)),
        (all, None) => {
            let ends: Vec<&str> = all.iter().map(|station| station.name).collect();
            row(Outcome::Ok, format!("The way works, from the link to {}.", ends.join(" and ")))
        }
    }
}
