//! Bad days of the outbox: a help desk that loses answers, refuses, sleeps and comes back, and a server that is killed at any step.

use super::*;
use crate::store::OutboxKind;

fn item(order: i64, ticket: &str) -> OutboxItem {
    OutboxItem {
        id: Uuid::from_u128(order as u128 * 7_919 + 1),
        order,
        desk: "rt".into(),
        foreign: ticket.into(),
        ticket: 1,
        kind: OutboxKind::Note,
        about: order.to_string(),
        body: String::new(),
        evidence: None,
        state: OutboxState::Waiting,
        attempts: 0,
        next_ms: 0,
        why: String::new(),
        made_ms: 0,
        ended_ms: 0,
    }
}

fn saved(acts: &[Act]) -> &OutboxItem {
    acts.iter().find_map(|act| if let Act::Save { item, .. } = act { Some(item) } else { None }).unwrap()
}

fn later(seconds: Option<u64>) -> Trouble {
    Trouble::Later { after: seconds.map(Duration::from_secs), why: "busy".into() }
}

#[test]
fn it_is_written_down_before_it_is_sent_and_looked_for_before_it_is_sent_again() {
    let mut outbox = Outbox::default();
    let acts = outbox.step(0, Event::Added(item(1, "42")));
    assert!(matches!(acts.as_slice(), [Act::Save { .. }, Act::Send(_)]), "{acts:?}");
    let id = item(1, "42").id;
    let acts = outbox.step(10, Event::Answered { id, answer: Err(Trouble::unknown("timed out")) });
    let next_ms = saved(&acts).next_ms;
    assert!(next_ms >= 10 + SETTLE_MS, "a doubt is given time to settle");
    assert_eq!(outbox.step(next_ms - 1, Event::Tick), []);
    assert!(matches!(outbox.step(next_ms, Event::Tick).as_slice(), [Act::Look(_)]));
    let found = Ok(Some(Posted { id: "7".into(), files: Vec::new() }));
    let acts = outbox.step(next_ms, Event::Looked { id, found });
    assert_eq!(saved(&acts).state, OutboxState::Done);
    assert_eq!(outbox.wake_at_ms(), None);
}

#[test]
fn a_help_desk_that_asks_to_be_left_alone_is_left_alone_for_all_its_tickets() {
    let mut outbox = Outbox::default();
    outbox.step(0, Event::Added(item(1, "42")));
    outbox.step(0, Event::Answered { id: item(1, "42").id, answer: Err(later(Some(120))) });
    assert_eq!(outbox.step(1, Event::Added(item(2, "43"))), []);
    assert_eq!(outbox.wake_at_ms(), Some(120_000));
    assert_eq!(outbox.step(119_999, Event::Tick), []);
    assert_eq!(outbox.step(120_000, Event::Tick).len(), 3, "one is looked for, the other sent");
}

#[test]
fn what_is_refused_for_good_is_told_and_lets_the_next_one_pass() {
    let mut outbox = Outbox::default();
    outbox.step(0, Event::Added(item(1, "42")));
    assert_eq!(outbox.step(0, Event::Added(item(2, "42"))), [], "in order");
    let acts = outbox.step(5, Event::Answered { id: item(1, "42").id, answer: Err(Trouble::never("no such ticket")) });
    let [Act::Save { item: failed, tell: Some(tell) }, Act::Save { .. }, Act::Send(next)] = acts.as_slice() else {
        panic!("{acts:?}");
    };
    assert_eq!((failed.state, next.order), (OutboxState::Failed, 2));
    assert!(tell.contains("no such ticket") && tell.contains("deskside outbox"), "{tell}");
    let acts = outbox.step(6, Event::Retry(failed.clone()));
    assert!(!acts.iter().any(|act| matches!(act, Act::Send(_))), "one at a time in a ticket");
}

#[test]
fn what_cannot_be_said_for_two_weeks_is_given_up() {
    let mut outbox = Outbox::default();
    outbox.step(0, Event::Added(item(1, "42")));
    outbox.step(0, Event::Answered { id: item(1, "42").id, answer: Err(later(None)) });
    let acts = outbox.step(GIVEN_UP_MS + 1, Event::Tick);
    assert_eq!(saved(&acts).state, OutboxState::Failed);
}

struct Seed(u64);

impl Seed {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// A help desk and a store, as far as the outbox can tell.
#[derive(Default)]
struct World {
    /// Notes by ticket there, as they came.
    notes: BTreeMap<String, Vec<Uuid>>,
    stored: BTreeMap<i64, OutboxItem>,
}

impl World {
    /// The help desk answers, or does not; and whether it took the note has little to do with what it answers.
    fn send(&mut self, dice: &mut Seed, item: &OutboxItem) -> Result<Posted, Trouble> {
        let takes = |world: &mut Self| world.notes.entry(item.foreign.clone()).or_default().push(item.id);
        match dice.below(8) {
            0 => Err(later(None)),
            1 => Err(later(Some(dice.below(300)))),
            2 => Err(Trouble::unknown("500 before it was taken")),
            3 => {
                takes(self);
                Err(Trouble::unknown("500 after it was taken"))
            }
            4 => {
                takes(self);
                Err(Trouble::unknown("timed out after accepting"))
            }
            _ => {
                takes(self);
                Ok(Posted::default())
            }
        }
    }

    fn look(&self, dice: &mut Seed, item: &OutboxItem) -> Result<Option<Posted>, Trouble> {
        if dice.below(5) == 0 {
            return Err(later(None));
        }
        let there = self.notes.get(&item.foreign).is_some_and(|notes| notes.contains(&item.id));
        Ok(there.then(Posted::default))
    }
}

fn live(seed: u64) {
    let (mut dice, mut world, mut now_ms) = (Seed(seed), World::default(), 0);
    let mut outbox = Outbox::default();
    let mut events = Vec::new();
    for order in 0..6 {
        let item = item(order, ["42", "43"][dice.below(2) as usize]);
        world.stored.insert(order, item.clone());
        events.push(Event::Added(item));
    }
    events.reverse();
    for _step in 0..3_000 {
        let event = match events.pop() {
            Some(event) => event,
            None => match outbox.wake_at_ms() {
                Some(wake_ms) => {
                    now_ms = now_ms.max(wake_ms);
                    Event::Tick
                }
                None => break,
            },
        };
        let acts = outbox.step(now_ms, event);
        let mut killed = false;
        for act in acts {
            // The server may be killed between any two acts, and after an act whose answer it will never see.
            if dice.below(40) == 0 {
                killed = true;
                break;
            }
            match act {
                Act::Save { item, .. } => drop(world.stored.insert(item.order, item)),
                Act::Look(item) => {
                    let found = world.look(&mut dice, &item);
                    events.insert(0, Event::Looked { id: item.id, found });
                }
                Act::Send(item) => {
                    let answer = world.send(&mut dice, &item);
                    events.insert(0, Event::Answered { id: item.id, answer });
                }
            }
        }
        if killed {
            outbox = Outbox::default();
            events = world.stored.values().cloned().map(Event::Added).rev().collect();
        }
    }
    for item in world.stored.values() {
        assert_eq!(item.state, OutboxState::Done, "seed {seed}: {item:?}");
    }
    for (ticket, notes) in &world.notes {
        let wanted: Vec<Uuid> =
            world.stored.values().filter(|item| item.foreign == *ticket).map(|item| item.id).collect();
        assert_eq!(*notes, wanted, "seed {seed}: exactly once each, in order, at ticket {ticket}");
    }
}

#[test]
fn thousands_of_bad_days_end_with_each_note_once_and_in_order() {
    for seed in 0..3_000 {
        live(seed);
    }
}
