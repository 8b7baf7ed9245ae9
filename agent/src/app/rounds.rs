//! Probes that run by themselves. What one finds is recorded where it differs from what was found before, and else once an hour.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use deskside_proto::catalog;
use deskside_proto::rows::{self, Value};
use deskside_proto::v1::{Probe, Reading};
use tokio::time::{Instant, sleep_until};

use super::commands::Means;
use crate::schedule::rounds::{Ended, Rounds};

/// A sleep where nothing runs by itself.
const FAR: Duration = Duration::from_hours(1);

/// What has not changed is recorded again after this, so that it is known to be so still.
const AGAIN_MS: i64 = 60 * 60 * 1_000;

/// What tells one verdict from another. Why not its words: times are in them.
const TELLING: [&str; 4] = ["step", "outcome", "problem", "broken_at"];

/// What was found last of a probe, and when that was recorded.
type Recorded = BTreeMap<String, (i64, Vec<String>)>;

/// Runs until it is dropped.
pub(super) async fn run(means: Arc<Means>, seed: u64) {
    let (begun, mut policies) = (Instant::now(), means.policies.subscribe());
    let now_ms = || begun.elapsed().as_millis() as u64;
    let mut rounds = Rounds::new(seed, &policies.borrow_and_update().clone(), 0);
    let mut recorded = Recorded::new();
    loop {
        let wake = rounds.next_ms().map_or_else(|| Instant::now() + FAR, |next| begun + Duration::from_millis(next));
        tokio::select! {
            changed = policies.changed() => {
                if changed.is_err() {
                    return;
                }
                let policy = policies.borrow_and_update().clone();
                rounds.apply(&policy, now_ms());
            }
            () = sleep_until(wake) => {
                let Some(round) = rounds.due(now_ms()) else { continue };
                let ended = one(&means, &round.name, &round.arguments, &mut recorded).await;
                rounds.ended(&round.name, ended, now_ms());
            }
        }
    }
}

/// One run; how it ended.
async fn one(means: &Means, name: &str, arguments: &[String], recorded: &mut Recorded) -> Ended {
    let asked = Probe { name: name.to_owned(), arguments: arguments.to_vec() };
    let reading = match means.unasked(&asked).await {
        Ok(Some(reading)) => reading,
        Ok(None) => return Ended::NoTurn,
        Err(error) => {
            tracing::warn!(probe = name, error = format!("{error:#}"), "a probe did not run");
            return Ended::Failed;
        }
    };
    let told = telling(&reading);
    let known = recorded.get(name).is_some_and(|(at_ms, before)| {
        *before == told && reading.at_ms.saturating_sub(*at_ms) < AGAIN_MS && reading.at_ms >= *at_ms
    });
    let failed = told.iter().any(|word| word == "failed");
    if !known {
        recorded.insert(name.to_owned(), (reading.at_ms, told));
        if let Err(error) = means.keep(reading).await {
            tracing::error!(error = format!("{error:#}"), "not recorded");
        }
    }
    if failed { Ended::Failed } else { Ended::Well }
}

/// What the verdict comes to; of a probe without one, of all its rows.
fn telling(reading: &Reading) -> Vec<String> {
    let Some(schema) = catalog::table(&reading.table) else { return Vec::new() };
    let places: Vec<Option<usize>> = TELLING.iter().map(|name| catalog::column(schema, name)).collect();
    let opened = reading.rows.iter().filter_map(|row| rows::open(schema, row).ok());
    let words = opened.map(|values| {
        let word = |place: &Option<usize>| match place.and_then(|place| values.get(place)) {
            Some(Value::Text(text)) => text.clone(),
            _ => String::new(),
        };
        places.iter().map(word).collect::<Vec<String>>()
    });
    let all: Vec<Vec<String>> = words.collect();
    let verdicts: Vec<&Vec<String>> =
        all.iter().filter(|words| words.first().is_some_and(|step| step == "verdict")).collect();
    let told = if verdicts.is_empty() { all.concat() } else { verdicts.into_iter().flatten().cloned().collect() };
    [vec![reading.outcome.to_string()], told].concat()
}

#[cfg(test)]
mod tests {
    use deskside_proto::rows::Row;
    use deskside_proto::v1::GatewayPath;

    use super::*;

    fn reading(found: &str, outcome: &str, problem: &str) -> Reading {
        let row = |step: &str, found: &str| GatewayPath {
            step: step.into(),
            outcome: outcome.into(),
            problem: problem.into(),
            found: found.into(),
            ..GatewayPath::default()
        };
        let rows = [row("gateway", "answers"), row("verdict", found)];
        Reading {
            table: GatewayPath::TABLE.into(),
            rows: rows.iter().map(|row| prost::Message::encode_to_vec(row).into()).collect(),
            ..Reading::default()
        }
    }

    #[test]
    fn a_verdict_differs_by_what_it_comes_to_and_not_by_its_times() {
        let slow = telling(&reading("It answers after 803 ms.", "failed", "resolver-slow"));
        assert_eq!(telling(&reading("It answers after 811 ms.", "failed", "resolver-slow")), slow);
        assert_ne!(telling(&reading("It is dead.", "failed", "resolver-dead")), slow);
        assert_ne!(telling(&reading("It works.", "ok", "")), slow);
    }
}
