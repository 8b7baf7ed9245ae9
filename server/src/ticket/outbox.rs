//! How what is to be said at a help desk is said exactly once, in order: a plain state machine, through lost answers, restarts of either
//! side, refusals and time.
//!
//! Before an entry is sent it is written down that it is; one that was ever sent is looked for by its marker before it is sent again. So a
//! doubt ends in a look and never in a second note.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use uuid::Uuid;

use super::{Posted, Trouble};
use crate::store::{OutboxItem, OutboxState};

/// Wait after the first trouble; each further one waits twice as long.
pub const RETRY_MIN_MS: i64 = 2_000;

/// Longest wait between tries.
pub const RETRY_MAX_MS: i64 = 10 * 60 * 1_000;

/// Shortest wait after a doubt. Why: a request whose answer was not waited for may still be under way, and is not yet to be found.
pub const SETTLE_MS: i64 = 5_000;

/// Age at which an entry is given up.
pub const GIVEN_UP_MS: i64 = 14 * 24 * 3_600 * 1_000;

/// Entries of one help desk that are under way at a time.
const BUSY_MAX: usize = 4;

/// Characters of a trouble that are kept.
const WHY_CHARS_MAX: usize = 500;

/// What happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// An entry is in the store, new or found there after a restart.
    Added(OutboxItem),
    /// It was looked for.
    Looked {
        /// Which.
        id: Uuid,
        /// Whether it is there.
        found: Result<Option<Posted>, Trouble>,
    },
    /// It was sent.
    Answered {
        /// Which.
        id: Uuid,
        /// What came of it.
        answer: Result<Posted, Trouble>,
    },
    /// A technician wants an entry tried again, at once.
    Retry(OutboxItem),
    /// A technician drops it.
    Drop {
        /// Which.
        item: OutboxItem,
        /// Who.
        who: String,
    },
    /// Time has passed.
    Tick,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Write down where it stands before anything that follows, with a line for the ticket where there is something to tell.
    Save {
        /// The entry.
        item: OutboxItem,
        /// The line.
        tell: Option<String>,
    },
    /// Look whether it is there.
    Look(OutboxItem),
    /// Send it.
    Send(OutboxItem),
}

/// Everything that waits.
#[derive(Debug, Default)]
pub struct Outbox {
    /// By help desk and ticket there, in order.
    lanes: BTreeMap<(String, String), BTreeMap<i64, OutboxItem>>,
    /// Sent or looked for, and not yet answered.
    busy: HashMap<Uuid, (String, String, i64)>,
    /// Help desks that asked to be left alone, until when.
    rests: HashMap<String, i64>,
}

impl Outbox {
    /// One step.
    pub fn step(&mut self, now_ms: i64, event: Event) -> Vec<Act> {
        let mut acts = match event {
            Event::Added(item) => {
                self.keep(item);
                Vec::new()
            }
            Event::Looked { id, found } => self.looked(now_ms, id, found),
            Event::Answered { id, answer } => match answer {
                Ok(posted) => self.end(now_ms, id, OutboxState::Done, &posted.id),
                Err(trouble) => self.troubled(now_ms, id, &trouble),
            },
            Event::Retry(item) => self.retry(item),
            Event::Drop { item, who } => self.dropped(now_ms, &item, &who),
            Event::Tick => Vec::new(),
        };
        acts.extend(self.go_on(now_ms));
        acts
    }

    /// When it wants to be told that time has passed; none while there is nothing to wait for.
    pub fn wake_at_ms(&self) -> Option<i64> {
        let heads = self.lanes.iter().filter_map(|(lane, items)| Some((lane, items.values().next()?)));
        let idle = heads.filter(|(_lane, head)| !self.busy.contains_key(&head.id));
        idle.map(|((desk, _ticket), head)| head.next_ms.max(self.rests.get(desk).copied().unwrap_or_default())).min()
    }

    fn keep(&mut self, item: OutboxItem) {
        if item.state == OutboxState::Waiting {
            let lane = (item.desk.clone(), item.foreign.clone());
            self.lanes.entry(lane).or_default().insert(item.order, item);
        }
    }

    /// The first of each lane, where its time has come and its help desk has room.
    fn go_on(&mut self, now_ms: i64) -> Vec<Act> {
        let mut acts = Vec::new();
        let mut crowd: HashMap<String, usize> = HashMap::new();
        for (desk, _ticket, _order) in self.busy.values() {
            *crowd.entry(desk.clone()).or_default() += 1;
        }
        let mut old = BTreeSet::new();
        for (lane, items) in &mut self.lanes {
            let Some(head) = items.values_mut().next() else { continue };
            if now_ms - head.made_ms > GIVEN_UP_MS && !self.busy.contains_key(&head.id) {
                old.insert(head.id);
                continue;
            }
            let resting = self.rests.get(&lane.0).is_some_and(|until_ms| now_ms < *until_ms);
            let there = crowd.entry(lane.0.clone()).or_default();
            if self.busy.contains_key(&head.id) || resting || now_ms < head.next_ms || *there >= BUSY_MAX {
                continue;
            }
            *there += 1;
            self.busy.insert(head.id, (lane.0.clone(), lane.1.clone(), head.order));
            if head.attempts == 0 {
                acts.extend(sent(now_ms, head));
            } else {
                acts.push(Act::Look(head.clone()));
            }
        }
        for id in old {
            let why = format!("not said within {} days", GIVEN_UP_MS / 86_400_000);
            acts.extend(self.end(now_ms, id, OutboxState::Failed, &why));
        }
        acts
    }

    fn looked(&mut self, now_ms: i64, id: Uuid, found: Result<Option<Posted>, Trouble>) -> Vec<Act> {
        match found {
            Ok(Some(posted)) => self.end(now_ms, id, OutboxState::Done, &posted.id),
            Ok(None) => self.item(id).map(|item| sent(now_ms, item)).unwrap_or_default(),
            Err(trouble) => {
                // Why counted: a look that fails is a try, or its wait would never grow.
                if let Some(item) = self.item(id) {
                    item.attempts += 1;
                }
                self.troubled(now_ms, id, &trouble)
            }
        }
    }

    fn troubled(&mut self, now_ms: i64, id: Uuid, trouble: &Trouble) -> Vec<Act> {
        let (least_ms, rest) = match trouble {
            Trouble::Never { why } => return self.end(now_ms, id, OutboxState::Failed, why),
            Trouble::Unknown { .. } => (SETTLE_MS, None),
            Trouble::Later { after, .. } => (0, *after),
        };
        let Some(item) = self.item(id) else { return Vec::new() };
        let wait_ms = back_off_ms(item).max(least_ms).max(rest.map_or(0, millis));
        item.next_ms = now_ms.saturating_add(wait_ms);
        item.why = trouble.why().chars().take(WHY_CHARS_MAX).collect();
        let (desk, saved) = (item.desk.clone(), item.clone());
        if let Some(rest) = rest {
            self.rests.insert(desk, now_ms.saturating_add(millis(rest)));
        }
        self.busy.remove(&id);
        vec![Act::Save { item: saved, tell: None }]
    }

    fn end(&mut self, now_ms: i64, id: Uuid, state: OutboxState, words: &str) -> Vec<Act> {
        let Some(mut item) = self.take(id) else { return Vec::new() };
        item.state = state;
        item.ended_ms = now_ms;
        item.why = words.chars().take(WHY_CHARS_MAX).collect();
        let place = format!("{}:{}", item.desk, item.foreign);
        let kind = item.kind.name();
        let tell = match state {
            OutboxState::Done => format!("{kind} is at {place}"),
            OutboxState::Dropped => format!("{kind} for {place} was dropped by {}", item.why),
            _ => format!("{kind} could not be put at {place}: {}; `deskside outbox` has it", item.why),
        };
        vec![Act::Save { item, tell: Some(tell) }]
    }

    /// One that waits is tried at once; one that had failed waits again.
    fn retry(&mut self, mut item: OutboxItem) -> Vec<Act> {
        if let Some(waiting) = self.item(item.id) {
            waiting.next_ms = 0;
            let desk = waiting.desk.clone();
            self.rests.remove(&desk);
            return Vec::new();
        }
        if !matches!(item.state, OutboxState::Failed | OutboxState::Dropped) {
            return Vec::new();
        }
        item.state = OutboxState::Waiting;
        item.ended_ms = 0;
        item.next_ms = 0;
        item.attempts = item.attempts.max(1);
        self.keep(item.clone());
        vec![Act::Save { item, tell: None }]
    }

    fn dropped(&mut self, now_ms: i64, item: &OutboxItem, who: &str) -> Vec<Act> {
        if self.item(item.id).is_none() {
            // Why: one that has failed is no longer waiting, and dropping it says that nobody minds.
            if item.state != OutboxState::Failed {
                return Vec::new();
            }
            self.keep(OutboxItem { state: OutboxState::Waiting, ..item.clone() });
        }
        self.end(now_ms, item.id, OutboxState::Dropped, who)
    }

    fn item(&mut self, id: Uuid) -> Option<&mut OutboxItem> {
        self.lanes.values_mut().flat_map(BTreeMap::values_mut).find(|item| item.id == id)
    }

    fn take(&mut self, id: Uuid) -> Option<OutboxItem> {
        self.busy.remove(&id);
        let (lane, order) = self.lanes.iter().find_map(|(lane, items)| {
            let found = items.values().find(|item| item.id == id)?;
            Some((lane.clone(), found.order))
        })?;
        let items = self.lanes.get_mut(&lane)?;
        let item = items.remove(&order);
        if items.is_empty() {
            self.lanes.remove(&lane);
        }
        item
    }
}

/// Writes down that it is sent, then sends it. The time until it is looked at again after a crash is in what is written.
fn sent(now_ms: i64, item: &mut OutboxItem) -> Vec<Act> {
    item.attempts += 1;
    item.next_ms = now_ms.saturating_add(SETTLE_MS);
    vec![Act::Save { item: item.clone(), tell: None }, Act::Send(item.clone())]
}

/// Twice as long each time, and up to a quarter more, so that what failed together does not come back together. Why from the identity and
/// not by chance: the same course can be lived again.
fn back_off_ms(item: &OutboxItem) -> i64 {
    let doubled = RETRY_MIN_MS.saturating_mul(1_i64.checked_shl(item.attempts.min(20)).unwrap_or(i64::MAX) / 2);
    let wait_ms = doubled.clamp(RETRY_MIN_MS, RETRY_MAX_MS);
    let dice = item.id.as_u128().wrapping_mul(u128::from(item.attempts) + 0x9e37_79b9).rotate_left(29) % 1_000;
    wait_ms + wait_ms * i64::try_from(dice).unwrap_or_default() / 4_000
}

fn millis(rest: Duration) -> i64 {
    i64::try_from(rest.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
