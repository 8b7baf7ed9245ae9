//! When to look: at intervals, under deadlines, never twice at once at the same thing, and without ever waiting for a look that hangs.
//!
//! A plain state machine: [`Schedule::step`] takes an event and the time on a clock that only goes forward, and says what to do.

use std::collections::BTreeMap;

use deskside_proto::v1::{Outcome, Policy};
use serde::{Deserialize, Serialize};

pub mod rounds;

/// Looks that run at the same time. Why: a fresh look at everything is to be quick, and an idle machine is to stay idle.
pub const LANES: usize = 3;

/// Looks that wait for other machines and run at the same time, beside the [`LANES`]. Why apart: a dead printer takes seconds, and no look at
/// this machine is to wait behind it.
pub const FAR_LANES: usize = 1;

/// Looks that may hang at the same time, each holding a thread, before there is no thread left to look with.
pub const STUCK_MAX: usize = 4;

/// A look that ended this recently answers the next one who asks.
pub const SHARED_MS: u64 = 2_000;

/// Looks begin on this beat, so that those that fall close together wake the machine once.
const TICK_MS: u64 = 1_000;

/// First looks are spread over this time.
const START_MS: u64 = 4_000;

/// A change is looked at this much later, so that a burst of them is one look.
const SETTLE_MS: u64 = 500;

/// Least time between a look and the next that a change brings about.
const CHANGE_GAP_MS: u64 = 5_000;

/// A change during a look or this soon after it may be the look's own doing: a print server may write down that it was asked.
const ECHO_MS: u64 = 1_000;

/// Shortest interval that policy can set.
const EVERY_MS_MIN: u64 = 1_000;

/// How long looks may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Seconds that one look may take.
    pub deadline_s: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self { deadline_s: 10 }
    }
}

/// What the schedule is told about a collector.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its table.
    pub table: &'static str,
    /// Its own interval; absent where it is looked at only on request.
    pub every_ms: Option<u64>,
    /// It waits for other machines. Such tables are looked at together, one after the other, so that they can share a conversation.
    pub far: bool,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time went by.
    Tick,
    /// Somebody wants a fresh look.
    Ask(&'static str),
    /// What a table shows may have changed.
    Changed(&'static str),
    /// A look came back, be it late.
    Returned {
        /// Its table.
        table: &'static str,
    },
    /// The policy in force.
    Policy(Policy),
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Begin a look.
    Look(&'static str),
    /// The look that came back is good: it is the table's reading.
    Take(&'static str),
    /// The latest reading is fresh enough for the one who asks.
    Share(&'static str),
    /// There is no look; this is the reading.
    Say {
        /// The table.
        table: &'static str,
        /// Its outcome.
        outcome: Outcome,
        /// Why.
        reason: String,
    },
}

/// Where one collector stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Idle,
    Queued { since_ms: u64 },
    Running { since_ms: u64 },
    Stuck { since_ms: u64 },
}

/// The last change that was heeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heeded {
    /// It came on its own, or none came yet.
    Own,
    /// It may have been the echo of a look.
    Echo,
    /// It came while a look runs, and is looked at after it.
    Overlapping,
}

#[derive(Debug)]
struct Timed {
    table: &'static str,
    far: bool,
    salt: u64,
    own_ms: Option<u64>,
    every_ms: Option<u64>,
    off: bool,
    due_ms: Option<u64>,
    looked_ms: Option<u64>,
    heeded: Heeded,
    standing: Standing,
}

/// The schedule of all collectors of an agent.
#[derive(Debug)]
pub struct Schedule {
    seed: u64,
    deadline_ms: u64,
    all: Vec<Timed>,
}

impl Schedule {
    /// A schedule whose first looks are spread by the seed. `deadline_ms` is how long a look may take.
    pub fn new(seed: u64, deadline_ms: u64, entries: &[Entry], now_ms: u64) -> Self {
        let place = |entry: &Entry| salt(if entry.far { "far" } else { entry.table });
        let timed = |entry: &Entry| Timed {
            table: entry.table,
            far: entry.far,
            salt: place(entry),
            own_ms: entry.every_ms,
            every_ms: entry.every_ms,
            off: false,
            due_ms: entry.every_ms.map(|_every| now_ms + spread(seed, place(entry), START_MS)),
            looked_ms: None,
            heeded: Heeded::Own,
            standing: Standing::Idle,
        };
        Self { seed, deadline_ms, all: entries.iter().map(timed).collect() }
    }

    /// The next moment at which [`Event::Tick`] has something to do; absent where nothing is to come by itself.
    pub fn next_ms(&self) -> Option<u64> {
        let deadline = |timed: &Timed| match timed.standing {
            Standing::Queued { since_ms } | Standing::Running { since_ms } => Some(since_ms + self.deadline_ms),
            Standing::Idle | Standing::Stuck { .. } => None,
        };
        self.all.iter().flat_map(|timed| [timed.due_ms, deadline(timed)]).flatten().min()
    }

    /// Tables whose look hangs.
    pub fn stuck(&self) -> Vec<&'static str> {
        let stuck = self.all.iter().filter(|timed| matches!(timed.standing, Standing::Stuck { .. }));
        stuck.map(|timed| timed.table).collect()
    }

    /// Decides. `now_ms` is on a clock that never goes back; how far it jumps ahead does not matter.
    pub fn step(&mut self, now_ms: u64, event: Event) -> Vec<Act> {
        let mut acts = Vec::new();
        match event {
            Event::Tick => {}
            Event::Ask(table) => acts.extend(self.ask(now_ms, table)),
            Event::Changed(table) => self.changed(now_ms, table),
            Event::Returned { table } => acts.extend(self.returned(now_ms, table)),
            Event::Policy(policy) => self.apply(now_ms, &policy, &mut acts),
        }
        self.give_up(now_ms, &mut acts);
        self.queue_due(now_ms, &mut acts);
        self.begin(now_ms, &mut acts);
        acts
    }

    fn ask(&mut self, now_ms: u64, table: &'static str) -> Option<Act> {
        let deadline_ms = self.deadline_ms;
        let timed = self.all.iter_mut().find(|timed| timed.table == table)?;
        if timed.off {
            return Some(switched_off(table));
        }
        match timed.standing {
            Standing::Queued { .. } | Standing::Running { .. } => None,
            Standing::Stuck { since_ms } => Some(still_stuck(table, now_ms - since_ms, deadline_ms)),
            Standing::Idle if timed.looked_ms.is_some_and(|at| now_ms - at < SHARED_MS) => Some(Act::Share(table)),
            Standing::Idle => {
                timed.standing = Standing::Queued { since_ms: now_ms };
                None
            }
        }
    }

    /// Brings the next look forward. Why echoes are heeded once in a row and no more: a change that a look overlaps must not be lost, and looking
    /// must not be what makes it look again.
    fn changed(&mut self, now_ms: u64, table: &'static str) {
        let Some(timed) = self.all.iter_mut().find(|timed| timed.table == table) else { return };
        let Some(due_ms) = timed.due_ms.filter(|_due| !timed.off) else { return };
        let running = matches!(timed.standing, Standing::Running { .. });
        let echo = running || timed.looked_ms.is_some_and(|looked_ms| now_ms < looked_ms + ECHO_MS);
        if echo && timed.heeded != Heeded::Own {
            return;
        }
        timed.heeded = match (running, echo) {
            (true, _) => Heeded::Overlapping,
            (false, true) => Heeded::Echo,
            (false, false) => Heeded::Own,
        };
        if running {
            return;
        }
        let rested_ms = timed.looked_ms.map_or(0, |looked_ms| looked_ms + CHANGE_GAP_MS);
        timed.due_ms = Some(due_ms.min(rested_ms.max(now_ms + SETTLE_MS)));
    }

    fn returned(&mut self, now_ms: u64, table: &'static str) -> Option<Act> {
        let timed = self.all.iter_mut().find(|timed| timed.table == table)?;
        let in_time = matches!(timed.standing, Standing::Running { .. });
        timed.standing = Standing::Idle;
        if timed.heeded == Heeded::Overlapping {
            timed.heeded = Heeded::Echo;
            timed.due_ms = timed.due_ms.map(|due_ms| due_ms.min(now_ms + CHANGE_GAP_MS));
        }
        in_time.then(|| {
            timed.looked_ms = Some(now_ms);
            Act::Take(table)
        })
    }

    fn apply(&mut self, now_ms: u64, policy: &Policy, acts: &mut Vec<Act>) {
        let lines: BTreeMap<&str, _> = policy.tables.iter().map(|line| (line.table.as_str(), line)).collect();
        for timed in &mut self.all {
            let line = lines.get(timed.table);
            let was_off = timed.off;
            timed.off = line.is_some_and(|line| line.off);
            let set_ms = line.map(|line| u64::from(line.every_s) * 1000).filter(|every| *every > 0);
            let every_ms = set_ms.map(|every| every.max(EVERY_MS_MIN)).or(timed.own_ms).filter(|_every| !timed.off);
            if timed.off && !was_off {
                acts.push(switched_off(timed.table));
            }
            if every_ms != timed.every_ms {
                let begin = spread(self.seed, timed.salt, START_MS);
                timed.due_ms = every_ms.map(|every| now_ms + begin.min(every));
                timed.every_ms = every_ms;
            }
        }
    }

    /// Ends what ran out of time: as a reading, not as a thread, since nothing can end a thread that hangs in the kernel.
    fn give_up(&mut self, now_ms: u64, acts: &mut Vec<Act>) {
        let (mut hung, mut waited) = (Vec::new(), Vec::new());
        for timed in &mut self.all {
            match timed.standing {
                Standing::Running { since_ms } if now_ms >= since_ms + self.deadline_ms => {
                    timed.standing = Standing::Stuck { since_ms };
                    hung.push(timed.table);
                }
                Standing::Queued { since_ms } if now_ms >= since_ms + self.deadline_ms => {
                    timed.standing = Standing::Idle;
                    waited.push(timed.table);
                }
                _ => {}
            }
        }
        let stuck = self.stuck();
        for table in hung {
            let mut reason = format!("the look did not end within {}", seconds(self.deadline_ms));
            if stuck.len() > 1 {
                reason = format!("{reason}; {} looks hang: {}", stuck.len(), stuck.join(", "));
            }
            acts.push(Act::Say { table, outcome: Outcome::TimedOut, reason });
        }
        let behind =
            if stuck.is_empty() { "other looks".into() } else { format!("looks that hang: {}", stuck.join(", ")) };
        for table in waited {
            let reason = format!("not begun: it waited {} behind {behind}", seconds(self.deadline_ms));
            acts.push(Act::Say { table, outcome: Outcome::TimedOut, reason });
        }
    }

    fn queue_due(&mut self, now_ms: u64, acts: &mut Vec<Act>) {
        for timed in &mut self.all {
            let (Some(due_ms), Some(every_ms)) = (timed.due_ms, timed.every_ms) else { continue };
            if due_ms > now_ms {
                continue;
            }
            // Why: what was missed while the machine slept is not made up for, and the second look takes the place in the
            // interval that the seed gives it, so that looks spread out after a quick start.
            let first = timed.looked_ms.is_none() && timed.standing == Standing::Idle;
            let place = if first { every_ms / 2 + spread(self.seed, timed.salt, every_ms / 2 + 1) } else { every_ms };
            timed.due_ms = Some((now_ms + place).next_multiple_of(TICK_MS));
            match timed.standing {
                Standing::Idle => timed.standing = Standing::Queued { since_ms: now_ms },
                Standing::Stuck { since_ms } => {
                    acts.push(still_stuck(timed.table, now_ms - since_ms, self.deadline_ms));
                }
                Standing::Queued { .. } | Standing::Running { .. } => {}
            }
        }
    }

    fn begin(&mut self, now_ms: u64, acts: &mut Vec<Act>) {
        let running = |far: bool| {
            let of_lane = self.all.iter().filter(|timed| timed.far == far);
            of_lane.filter(|timed| matches!(timed.standing, Standing::Running { .. })).count()
        };
        let (near, far) = (running(false), running(true));
        let mut threads = (LANES + FAR_LANES + STUCK_MAX).saturating_sub(near + far + self.stuck().len());
        let (mut near, mut far) = (LANES.saturating_sub(near), FAR_LANES.saturating_sub(far));
        let mut queued: Vec<&mut Timed> =
            self.all.iter_mut().filter(|timed| matches!(timed.standing, Standing::Queued { .. })).collect();
        queued.sort_by_key(|timed| match timed.standing {
            Standing::Queued { since_ms } => since_ms,
            _ => u64::MAX,
        });
        for timed in queued {
            let lane = if timed.far { &mut far } else { &mut near };
            if *lane == 0 || threads == 0 {
                continue;
            }
            (*lane, threads) = (*lane - 1, threads - 1);
            timed.standing = Standing::Running { since_ms: now_ms };
            acts.push(Act::Look(timed.table));
        }
    }
}

fn switched_off(table: &'static str) -> Act {
    Act::Say { table, outcome: Outcome::Denied, reason: "policy has switched this table off".into() }
}

fn still_stuck(table: &'static str, for_ms: u64, deadline_ms: u64) -> Act {
    let reason = format!(
        "the look that began {} ago has still not ended (its deadline was {}); the next begins when it does",
        seconds(for_ms),
        seconds(deadline_ms)
    );
    Act::Say { table, outcome: Outcome::TimedOut, reason }
}

fn seconds(ms: u64) -> String {
    if ms.is_multiple_of(1000) { format!("{} s", ms / 1000) } else { format!("{:.1} s", ms as f64 / 1000.0) }
}

/// A number below a bound that only the seed and the salt decide (`SplitMix64`, Steele et al. 2014). 0 where the bound is 0.
pub fn spread(seed: u64, salt: u64, below: u64) -> u64 {
    let mut mixed = seed.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)).checked_rem(below).unwrap_or(0)
}

fn salt(table: &str) -> u64 {
    table.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
