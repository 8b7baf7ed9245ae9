//! The schedule through made-up days: jitter, deadlines, stuck looks, policy.

use super::*;
use deskside_proto::v1::TablePolicy;

const DEADLINE_MS: u64 = 10_000;

fn schedule(entries: &[(&'static str, u64)], seed: u64) -> Schedule {
    let entries: Vec<Entry> = entries
        .iter()
        .map(|(table, every)| Entry { table, every_ms: (*every > 0).then_some(*every), far: table.starts_with("far") })
        .collect();
    Schedule::new(seed, DEADLINE_MS, &entries, 0)
}

fn looks(acts: &[Act]) -> Vec<&'static str> {
    acts.iter().filter_map(|act| if let Act::Look(table) = act { Some(*table) } else { None }).collect()
}

fn said(acts: &[Act]) -> Vec<(&'static str, Outcome)> {
    let said = |act: &Act| if let Act::Say { table, outcome, .. } = act { Some((*table, *outcome)) } else { None };
    acts.iter().filter_map(said).collect()
}

/// A machine in which a look takes what `took` says, lived from wake-up to wake-up.
fn live(schedule: &mut Schedule, until_ms: u64, took: &dyn Fn(&'static str, u64) -> Option<u64>) -> Vec<(u64, Act)> {
    let (mut lived, mut now_ms, mut returns) = (Vec::new(), 0, Vec::<(u64, &'static str)>::new());
    loop {
        let back = returns.iter().map(|(at, _)| *at).min();
        let Some(next) = schedule.next_ms().into_iter().chain(back).min().filter(|next| *next <= until_ms) else {
            return lived;
        };
        now_ms = next.max(now_ms);
        let event = match returns.iter().position(|(at, _)| *at <= now_ms) {
            Some(place) => Event::Returned { table: returns.remove(place).1 },
            None => Event::Tick,
        };
        for act in schedule.step(now_ms, event) {
            if let Act::Look(table) = act {
                returns.extend(took(table, now_ms).map(|took| (now_ms + took, table)));
            }
            lived.push((now_ms, act));
        }
    }
}

#[test]
fn every_table_is_looked_at_soon_and_then_at_its_interval() {
    for seed in 0..50 {
        let mut schedule = schedule(&[("load", 60_000), ("disks", 900_000)], seed);
        let lived = live(&mut schedule, 3_600_000, &|_table, _now| Some(20));
        let at =
            |table| lived.iter().filter(|(_, act)| *act == Act::Look(table)).map(|(at, _)| *at).collect::<Vec<_>>();
        let load = at("load");
        assert!(load[0] < START_MS && at("disks")[0] < START_MS, "seed {seed}");
        assert!((58..=62).contains(&load.len()), "seed {seed}: {} looks", load.len());
        assert!(load.windows(2).skip(1).all(|pair| (59_000..=61_000).contains(&(pair[1] - pair[0]))), "seed {seed}");
        assert_eq!(at("disks").len() - 4, usize::from(at("disks").len() == 5), "seed {seed}");
    }
}

#[test]
fn machines_that_start_together_do_not_look_together() {
    let seconds = |seed| {
        let lived = live(&mut schedule(&[("load", 60_000)], seed), 120_000, &|_table, _now| Some(20));
        lived.iter().filter(|(_, act)| *act == Act::Look("load")).nth(1).map(|(at, _)| at / 1000)
    };
    let different: std::collections::BTreeSet<_> = (0..200).map(seconds).collect();
    assert!(different.len() > 25, "second looks fall on {} different seconds", different.len());
}

#[test]
fn a_look_that_hangs_times_out_and_harms_no_other() {
    let mut schedule = schedule(&[("hangs", 60_000), ("load", 60_000)], 1);
    let lived = live(&mut schedule, 600_000, &|table, _now| (table == "load").then_some(5));
    let of = |wanted| lived.iter().filter(|(_, act)| *act == wanted).count();
    assert_eq!(of(Act::Look("hangs")), 1, "it is not begun again while it hangs");
    assert_eq!(of(Act::Look("load")), of(Act::Take("load")));
    assert!(of(Act::Look("load")) >= 9);
    let timeouts =
        lived.iter().filter(|(_, act)| matches!(act, Act::Say { table: "hangs", outcome: Outcome::TimedOut, .. }));
    assert!(timeouts.count() >= 9, "each time it was due, a reading says so");
    assert_eq!(schedule.stuck(), ["hangs"]);
}

#[test]
fn a_late_return_is_not_taken_and_frees_the_collector() {
    let mut schedule = schedule(&[("hangs", 0)], 1);
    assert_eq!(looks(&schedule.step(0, Event::Ask("hangs"))), ["hangs"]);
    assert_eq!(said(&schedule.step(DEADLINE_MS, Event::Tick)), [("hangs", Outcome::TimedOut)]);
    assert_eq!(said(&schedule.step(DEADLINE_MS + 1, Event::Ask("hangs"))), [("hangs", Outcome::TimedOut)]);
    assert_eq!(schedule.step(DEADLINE_MS + 2, Event::Returned { table: "hangs" }), []);
    assert_eq!(looks(&schedule.step(DEADLINE_MS + 3, Event::Ask("hangs"))), ["hangs"]);
}

#[test]
fn the_machine_can_look_while_four_looks_hang_and_says_so_when_more_do() {
    let tables = ["a", "b", "c", "d", "e", "f", "g"];
    let mut schedule = schedule(&tables.map(|table| (table, 0)), 1);
    for (now, table) in (0..).zip(tables) {
        schedule.step(now * DEADLINE_MS, Event::Ask(table));
    }
    assert_eq!(schedule.stuck().len(), 6, "each but the last hangs, and each was begun");
    schedule.step(7 * DEADLINE_MS, Event::Returned { table: "none" });
    assert_eq!(schedule.stuck().len(), LANES + STUCK_MAX);
    schedule.step(8 * DEADLINE_MS, Event::Returned { table: "a" });
    assert_eq!(looks(&schedule.step(8 * DEADLINE_MS, Event::Ask("a"))), ["a"], "a thread that came back is used");
}

#[test]
fn no_two_looks_of_one_collector_run_at_once() {
    let mut schedule = schedule(&[("load", 2_000)], 3);
    let mut running = 0;
    for now in 0..200_000 {
        let event = match now % 7 {
            0 => Event::Ask("load"),
            3 if now % 5000 < 2500 => Event::Returned { table: "load" },
            _ => Event::Tick,
        };
        if matches!(event, Event::Returned { .. }) {
            running = 0;
        }
        running += looks(&schedule.step(now, event)).len();
        assert!(running <= 1, "at {now}");
    }
}

#[test]
fn those_who_ask_together_share_one_look() {
    let mut schedule = schedule(&[("printers", 0)], 1);
    assert_eq!(looks(&schedule.step(0, Event::Ask("printers"))), ["printers"]);
    assert_eq!(schedule.step(1, Event::Ask("printers")), []);
    assert_eq!(schedule.step(5, Event::Returned { table: "printers" }), [Act::Take("printers")]);
    assert_eq!(schedule.step(6, Event::Ask("printers")), [Act::Share("printers")]);
    assert_eq!(looks(&schedule.step(5 + SHARED_MS, Event::Ask("printers"))), ["printers"]);
}

#[test]
fn policy_changes_intervals_and_a_table_that_is_off_says_so_once() {
    let mut schedule = schedule(&[("load", 60_000), ("packages", 3_600_000)], 1);
    let line = |table: &str, every_s, off| TablePolicy { table: table.into(), every_s, off, local: false };
    let policy =
        Policy { version: 2, tables: vec![line("load", 5, false), line("packages", 0, true)], ..Policy::default() };
    assert_eq!(said(&schedule.step(0, Event::Policy(policy.clone()))), [("packages", Outcome::Denied)]);
    assert_eq!(said(&schedule.step(0, Event::Policy(policy))), []);
    let lived = live(&mut schedule, 100_000, &|_table, _now| Some(1));
    let count = |table| lived.iter().filter(|(_, act)| *act == Act::Look(table)).count();
    assert!((18..=21).contains(&count("load")), "{}", count("load"));
    assert_eq!(count("packages"), 0);
    assert_eq!(said(&schedule.step(100_000, Event::Ask("packages"))), [("packages", Outcome::Denied)]);
    schedule.step(100_000, Event::Policy(Policy::default()));
    assert!(
        schedule.next_ms().is_some_and(|next| next < 100_000 + START_MS),
        "switched on again, it is looked at soon"
    );
}

#[test]
fn a_machine_that_slept_a_week_does_not_make_up_for_it() {
    let mut schedule = schedule(&[("load", 60_000)], 1);
    live(&mut schedule, 100_000, &|_table, _now| Some(1));
    let week_ms = 7 * 24 * 3_600_000;
    assert_eq!(looks(&schedule.step(week_ms, Event::Tick)), ["load"]);
    schedule.step(week_ms + 1, Event::Returned { table: "load" });
    assert_eq!(schedule.step(week_ms + 2, Event::Tick), []);
    assert!(schedule.next_ms().is_some_and(|next| next >= week_ms + 59_000));
}

#[test]
fn far_looks_run_one_after_the_other_and_hold_up_no_other() {
    let tables = ["far_a", "far_b", "far_c", "a", "b", "c"];
    let mut schedule = schedule(&tables.map(|table| (table, 0)), 1);
    let mut begun: Vec<_> = tables.into_iter().flat_map(|table| looks(&schedule.step(0, Event::Ask(table)))).collect();
    assert_eq!(begun, ["far_a", "a", "b", "c"]);
    begun = looks(&schedule.step(5_000, Event::Returned { table: "far_a" }));
    assert_eq!(begun, ["far_b"]);
}

#[test]
fn far_tables_of_one_interval_are_due_together() {
    for seed in 0..20 {
        let mut schedule = schedule(&[("far_a", 300_000), ("far_b", 300_000), ("near", 300_000)], seed);
        let lived = live(&mut schedule, 3_600_000, &|_table, _now| Some(20));
        let at =
            |table| lived.iter().filter(|(_, act)| *act == Act::Look(table)).map(|(at, _)| *at).collect::<Vec<_>>();
        let apart = at("far_a").iter().zip(at("far_b")).map(|(a, b)| a.abs_diff(b)).max();
        assert!(apart.is_some_and(|apart| apart <= 100), "seed {seed}: {apart:?}");
    }
}

#[test]
fn a_change_is_looked_at_soon_and_a_burst_of_them_once() {
    let mut schedule = schedule(&[("printers", 30_000)], 1);
    let first = schedule.next_ms().unwrap();
    assert_eq!(looks(&schedule.step(first, Event::Tick)), ["printers"]);
    schedule.step(first + 5, Event::Returned { table: "printers" });
    let burst = first + 6_000;
    for more in 0..20 {
        assert_eq!(schedule.step(burst + more, Event::Changed("printers")), []);
    }
    let next = schedule.next_ms().unwrap();
    assert!((burst + SETTLE_MS..burst + SETTLE_MS + 20).contains(&next), "{}", next - burst);
    assert_eq!(looks(&schedule.step(next, Event::Tick)), ["printers"]);
    schedule.step(next + 5, Event::Returned { table: "printers" });
    let later = next + 5 + ECHO_MS;
    schedule.step(later, Event::Changed("printers"));
    assert_eq!(schedule.next_ms(), Some(next + 5 + CHANGE_GAP_MS), "two looks are apart");
}

#[test]
fn a_look_that_causes_changes_itself_does_not_go_round_in_circles() {
    let mut schedule = schedule(&[("printers", 30_000)], 1);
    let (mut count, mut now_ms) = (0, 0);
    while let Some(next) = schedule.next_ms().filter(|next| *next <= 600_000) {
        now_ms = next.max(now_ms);
        for _look in looks(&schedule.step(now_ms, Event::Tick)) {
            count += 1;
            schedule.step(now_ms + 1, Event::Changed("printers"));
            schedule.step(now_ms + 5, Event::Returned { table: "printers" });
            schedule.step(now_ms + 6, Event::Changed("printers"));
        }
    }
    assert!((20..=22).contains(&count), "{count} looks in ten minutes");
}

#[test]
fn a_change_that_a_look_overlaps_is_looked_at_again() {
    let mut schedule = schedule(&[("printers", 30_000)], 1);
    let first = schedule.next_ms().unwrap();
    schedule.step(first, Event::Tick);
    schedule.step(first + 1, Event::Changed("printers"));
    schedule.step(first + 5, Event::Returned { table: "printers" });
    schedule.step(first + 600, Event::Changed("printers"));
    assert!(schedule.next_ms().is_some_and(|next| next <= first + 5 + CHANGE_GAP_MS));
}

#[test]
fn a_change_of_a_table_that_is_off_or_unknown_is_nothing() {
    let mut schedule = schedule(&[("printers", 0)], 1);
    assert_eq!(schedule.step(0, Event::Changed("printers")), []);
    assert_eq!(schedule.step(0, Event::Changed("fans")), []);
    assert_eq!(schedule.next_ms(), None);
}
