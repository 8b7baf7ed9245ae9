//! Which of the record goes when it is full, as arithmetic: days of tables and their bytes in, what to drop from next out.
//!
//! Why shares: were the oldest of all tables simply first, a table that fills the record, such as a log that storms, would push out the
//! history of all others, and what changed is small, and asked for most. So every table has a share: the room that is to stay, divided by
//! the number of tables. What lies within its share nobody takes from it. Beyond the shares the oldest day goes first, what the server has
//! kept before what it has not; and no table loses its newest day while an older one may go instead. There is always a table beyond its
//! share while there is too much.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A table's runs of one day of the record's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day {
    pub(super) table_id: i64,
    /// Which day.
    pub(super) nth: i64,
    /// Kept by the server, or never meant for it.
    pub(super) kept: bool,
}

/// Where to drop from, the oldest runs first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) from: Day,
    /// So many bytes at most, but one run at least.
    pub(super) bytes: u64,
}

/// What the record holds that may go.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    days: BTreeMap<Day, u64>,
    totals: BTreeMap<i64, u64>,
    newest: BTreeMap<i64, i64>,
}

impl Held {
    pub(super) fn add(&mut self, day: Day, bytes: u64) {
        *self.days.entry(day).or_default() += bytes;
        *self.totals.entry(day.table_id).or_default() += bytes;
        let newest = self.newest.entry(day.table_id).or_insert(day.nth);
        *newest = day.nth.max(*newest);
    }

    /// The share of each table once so many bytes have gone.
    pub(super) fn share(&self, over: u64) -> u64 {
        let all: u64 = self.totals.values().sum();
        all.saturating_sub(over) / (self.totals.len() as u64).max(1)
    }

    /// What goes next; nothing where no table holds more than its share.
    pub(super) fn choose(&self, share: u64) -> Option<Choice> {
        let total = |day: &Day| self.totals.get(&day.table_id).copied().unwrap_or_default();
        let beyond = self.days.keys().filter(|day| total(day) > share);
        let first = beyond.min_by_key(|day| {
            let newest = self.newest.get(&day.table_id) == Some(&day.nth);
            (newest, !day.kept, if newest { 0 } else { day.nth }, Reverse(total(day)))
        });
        first.map(|day| Choice { from: *day, bytes: total(day) - share })
    }

    /// So many bytes of a day went; none: there is nothing there that may go.
    pub(super) fn take(&mut self, from: Day, bytes: u64) {
        let held = self.days.get(&from).copied().unwrap_or_default();
        let gone = if bytes == 0 { held } else { bytes.min(held) };
        if gone == held {
            self.days.remove(&from);
        } else {
            self.days.insert(from, held - gone);
        }
        if let Some(total) = self.totals.get_mut(&from.table_id) {
            *total = total.saturating_sub(gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn held(days: &[(i64, i64, bool, u64)]) -> Held {
        let mut held = Held::default();
        for (table_id, day, kept, bytes) in days {
            held.add(Day { table_id: *table_id, nth: *day, kept: *kept }, *bytes);
        }
        held
    }

    /// Drops until enough is gone; what went, in order.
    fn dropped(held: &mut Held, over: u64) -> Vec<(Day, u64)> {
        let (share, mut gone, mut went) = (held.share(over), 0, Vec::new());
        while gone < over {
            let choice = held.choose(share).expect("a table is beyond its share");
            let bytes = held.days[&choice.from].min(choice.bytes).min(over - gone);
            held.take(choice.from, bytes);
            gone += bytes;
            went.push((choice.from, bytes));
        }
        went
    }

    #[test]
    fn a_table_that_fills_the_record_makes_its_own_room() {
        let mut held = held(&[(1, 1, true, 10), (1, 9, true, 10), (2, 8, true, 400), (2, 9, false, 600)]);
        let went = dropped(&mut held, 100);
        assert_eq!(went, [(Day { table_id: 2, nth: 8, kept: true }, 100)]);
    }

    #[test]
    fn the_oldest_day_goes_first_and_the_newest_of_a_table_last() {
        let mut held =
            held(&[(1, 3, true, 500), (2, 1, true, 300), (2, 2, false, 200), (2, 3, true, 50), (3, 3, true, 9)]);
        let went: Vec<(i64, i64)> =
            dropped(&mut held, 600).into_iter().map(|(day, _bytes)| (day.table_id, day.nth)).collect();
        assert_eq!(went, [(2, 1), (2, 2), (1, 3)]);
    }

    proptest! {
        #[test]
        fn no_table_within_its_share_loses_and_none_its_newest_day_before_older_ones(
            days in prop::collection::vec((0..6_i64, 0..8_i64, any::<bool>(), 1..5000_u64), 1..60),
            percent in 1..90_u64,
        ) {
            let mut held = held(&days);
            let before = held.clone();
            let over = (before.totals.values().sum::<u64>() * percent / 100).max(1);
            let share = before.share(over);
            let went = dropped(&mut held, over);
            for (table_id, total) in &before.totals {
                prop_assert!(held.totals[table_id] >= share.min(*total), "a share was touched");
            }
            for (nth, (day, _bytes)) in went.iter().enumerate() {
                if before.newest[&day.table_id] == day.nth {
                    let later = &went[nth..];
                    prop_assert!(later.iter().all(|(later, _)| before.newest[&later.table_id] == later.nth));
                }
            }
        }
    }
}
