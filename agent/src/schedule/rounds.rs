//! When probes run by themselves: rarely, spread by the seed, one at a time, and more rarely while they fail.

use deskside_proto::v1::Policy;

use super::{salt, spread};

/// What runs where policy says nothing: the way to the help desk, which tells of most that can go wrong.
const OWN: &[(&str, u64)] = &[("gateway_path", 15 * 60 * 1_000)];

/// Shortest interval that policy can set.
const EVERY_MS_MIN: u64 = 60 * 1_000;

/// Most probes that run by themselves.
const ALL_MAX: usize = 32;

/// Failures in a row after which the next run is put off.
const FAILURES_MAX: u32 = 3;

/// An interval is doubled this many times at most.
const DOUBLED_MAX: u32 = 2;

/// Where there was no turn, it is tried again after this.
const AGAIN_MS: u64 = 60 * 1_000;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It found nothing wrong.
    Well,
    /// It found something wrong, or could not run.
    Failed,
    /// Others ran, and there was no turn.
    NoTurn,
}

/// A probe that runs by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// Its name.
    pub name: String,
    /// What is said to it.
    pub arguments: Vec<String>,
    every_ms: u64,
    due_ms: u64,
    failures: u32,
}

/// All of them.
#[derive(Debug)]
pub struct Rounds {
    seed: u64,
    all: Vec<Round>,
}

impl Rounds {
    /// The rounds under a policy.
    pub fn new(seed: u64, policy: &Policy, now_ms: u64) -> Self {
        let mut rounds = Self { seed, all: Vec::new() };
        rounds.apply(policy, now_ms);
        rounds
    }

    /// Puts a policy in force. What it leaves as it was keeps its time.
    pub fn apply(&mut self, policy: &Policy, now_ms: u64) {
        let listed = |name: &str| policy.probes.iter().any(|line| line.name == name);
        let own = OWN.iter().filter(|(name, _every)| !listed(name)).map(|(name, every)| (*name, *every, Vec::new()));
        let set = policy.probes.iter().filter(|line| !line.off).map(|line| {
            let usual =
                OWN.iter().find(|(name, _every)| *name == line.name).map_or(15 * 60 * 1_000, |(_name, every)| *every);
            let every_ms = if line.every_s == 0 { usual } else { u64::from(line.every_s) * 1_000 };
            (line.name.as_str(), every_ms.max(EVERY_MS_MIN), line.arguments.clone())
        });
        let wanted: Vec<Round> = own
            .chain(set)
            .take(ALL_MAX)
            .map(|(name, every_ms, arguments)| Round {
                name: name.to_owned(),
                arguments,
                every_ms,
                // Why not before half an interval is over: what starts together after an outage is not to test together.
                due_ms: now_ms + every_ms / 2 + spread(self.seed, salt(name), every_ms / 2 + 1),
                failures: 0,
            })
            .collect();
        self.all = wanted
            .into_iter()
            .map(|round| {
                let same = |old: &&Round| {
                    old.name == round.name && old.every_ms == round.every_ms && old.arguments == round.arguments
                };
                self.all.iter().find(same).cloned().unwrap_or(round)
            })
            .collect();
    }

    /// When the next one is due; absent where none runs.
    pub fn next_ms(&self) -> Option<u64> {
        self.all.iter().map(|round| round.due_ms).min()
    }

    /// The one that is due, the longest waiting first. It is due again until [`Self::ended`] says how it ended.
    pub fn due(&self, now_ms: u64) -> Option<Round> {
        self.all.iter().filter(|round| round.due_ms <= now_ms).min_by_key(|round| round.due_ms).cloned()
    }

    /// Says how a run ended.
    pub fn ended(&mut self, name: &str, ended: Ended, now_ms: u64) {
        let Some(round) = self.all.iter_mut().find(|round| round.name == name) else { return };
        round.failures = match ended {
            Ended::Well => 0,
            Ended::Failed => round.failures.saturating_add(1),
            Ended::NoTurn => round.failures,
        };
        let doubled = round.failures.saturating_sub(FAILURES_MAX).min(DOUBLED_MAX);
        round.due_ms = match ended {
            Ended::NoTurn => now_ms + AGAIN_MS,
            Ended::Well | Ended::Failed => now_ms + (round.every_ms << doubled),
        };
    }
}

#[cfg(test)]
mod tests {
    use deskside_proto::v1::ProbePolicy;

    use super::*;

    const EVERY_MS: u64 = 15 * 60 * 1_000;

    fn policy(name: &str, every_s: u32, off: bool) -> Policy {
        let line = ProbePolicy { name: name.into(), every_s, off, ..ProbePolicy::default() };
        Policy { probes: vec![line], ..Policy::default() }
    }

    #[test]
    fn first_runs_are_spread_over_the_second_half_of_the_interval() {
        let firsts: Vec<u64> = (0..100).filter_map(|seed| Rounds::new(seed, &Policy::default(), 0).next_ms()).collect();
        assert!(firsts.iter().all(|first| (EVERY_MS / 2..=EVERY_MS).contains(first)));
        let spread = firsts.iter().max().unwrap() - firsts.iter().min().unwrap();
        assert!(spread > EVERY_MS / 3, "{spread}");
    }

    #[test]
    fn policy_sets_the_interval_and_switches_off() {
        assert_eq!(Rounds::new(1, &policy("gateway_path", 0, true), 0).next_ms(), None);
        let often = Rounds::new(1, &policy("gateway_path", 1, false), 0);
        assert!(often.next_ms().unwrap() <= EVERY_MS_MIN);
        let both = Rounds::new(1, &policy("dns", 3_600, false), 0);
        assert_eq!(both.all.len(), 2);
        let mut rounds = Rounds::new(1, &Policy::default(), 0);
        let first = rounds.next_ms();
        rounds.apply(&policy("dns", 3_600, false), 60_000);
        assert_eq!(rounds.next_ms(), first, "what stays as it was keeps its time");
    }

    #[test]
    fn failures_in_a_row_make_it_rarer_and_a_success_makes_it_as_before() {
        let mut rounds = Rounds::new(1, &Policy::default(), 0);
        let mut now_ms = rounds.next_ms().unwrap();
        let mut gaps = Vec::new();
        for _run in 0..6 {
            rounds.ended("gateway_path", Ended::Failed, now_ms);
            gaps.push((rounds.next_ms().unwrap() - now_ms) / EVERY_MS);
            now_ms = rounds.next_ms().unwrap();
        }
        assert_eq!(gaps, [1, 1, 1, 2, 4, 4]);
        rounds.ended("gateway_path", Ended::NoTurn, now_ms);
        assert_eq!(rounds.next_ms().unwrap() - now_ms, AGAIN_MS);
        rounds.ended("gateway_path", Ended::Well, now_ms);
        assert_eq!(rounds.next_ms().unwrap() - now_ms, EVERY_MS);
        assert!(rounds.due(now_ms).is_none() && rounds.due(now_ms + EVERY_MS).is_some());
    }
}
