//! What came back of a number of echo requests, counted and measured.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::host::{Back, Echoed, IcmpError};

/// The count so far.
#[derive(Clone, Debug, Default)]
pub(in crate::probe) struct Tally {
    pub(in crate::probe) sent: u16,
    pub(in crate::probe) duplicates: u32,
    pub(in crate::probe) reordered: u32,
    times: BTreeMap<u16, Duration>,
    errors: Vec<IcmpError>,
}

impl Tally {
    /// Takes one thing that came back.
    pub(in crate::probe) fn take(&mut self, heard: Echoed) {
        match heard.back {
            Back::Error(error) => self.errors.push(error),
            Back::TooLarge(_mtu) => {}
            Back::Reply(_from) if self.times.contains_key(&heard.sequence) => self.duplicates += 1,
            Back::Reply(_from) => {
                let later = self.times.last_key_value().is_some_and(|(last, _took)| *last > heard.sequence);
                self.reordered += u32::from(later);
                self.times.insert(heard.sequence, heard.took);
            }
        }
    }

    pub(in crate::probe) fn received(&self) -> u16 {
        self.times.len() as u16
    }

    pub(in crate::probe) fn lost(&self) -> u16 {
        self.sent.saturating_sub(self.received())
    }

    /// Nothing more can come but duplicates.
    pub(in crate::probe) fn is_whole(&self) -> bool {
        usize::from(self.sent) <= self.times.len() + self.errors.len()
    }

    pub(in crate::probe) fn loss_percent(&self) -> f64 {
        f64::from(self.lost()) * 100.0 / f64::from(self.sent.max(1))
    }

    /// So many of a hundred answers took no longer (nearest rank); absent where none came.
    pub(in crate::probe) fn percentile(&self, percent: usize) -> Option<Duration> {
        let mut times: Vec<Duration> = self.times.values().copied().collect();
        times.sort_unstable();
        let rank = (times.len() * percent).div_ceil(100).max(1);
        times.get(rank - 1).copied()
    }

    /// The middle; of an even number, the mean of the two in the middle.
    pub(in crate::probe) fn median(&self) -> Option<Duration> {
        let mut times: Vec<Duration> = self.times.values().copied().collect();
        times.sort_unstable();
        let upper = *times.get(times.len() / 2)?;
        let lower = times.get(times.len().saturating_sub(1) / 2).copied().unwrap_or(upper);
        Some((lower + upper) / 2)
    }

    /// Mean of the absolute differences between answers to successive requests; absent where no two came.
    pub(in crate::probe) fn jitter(&self) -> Option<Duration> {
        let steps = self.times.iter().zip(self.times.iter().skip(1));
        let successive = steps.filter(|((one, _took), (two, _later))| u32::from(**one) + 1 == u32::from(**two));
        let differences: Vec<Duration> =
            successive.map(|((_one, took), (_two, later))| took.abs_diff(*later)).collect();
        let number = u32::try_from(differences.len()).ok().filter(|number| *number > 0)?;
        Some(differences.iter().sum::<Duration>() / number)
    }

    /// How many answers took longer.
    pub(in crate::probe) fn slower_than(&self, time: Duration) -> usize {
        self.times.values().filter(|took| **took > time).count()
    }

    /// The error that came most.
    pub(in crate::probe) fn error(&self) -> Option<IcmpError> {
        let number = |error: &IcmpError| self.errors.iter().filter(|other| *other == error).count();
        self.errors.iter().copied().max_by_key(number)
    }
}

/// Milliseconds with three digits behind the point.
pub(in crate::probe) fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(sequence: u16, took_ms: u64) -> Echoed {
        let back = Back::Reply([192, 0, 2, 1].into());
        Echoed { sequence, took: Duration::from_millis(took_ms), back }
    }

    #[test]
    fn times_are_ranked_and_compared_with_those_before() {
        let mut tally = Tally { sent: 6, ..Tally::default() };
        for heard in [reply(0, 10), reply(1, 30), reply(3, 20), reply(2, 60), reply(3, 99)] {
            tally.take(heard);
        }
        let expected = |ms: u64| Some(Duration::from_millis(ms));
        assert_eq!((tally.received(), tally.lost(), tally.duplicates, tally.reordered), (4, 2, 1, 1));
        assert_eq!(
            (tally.percentile(0), tally.median(), tally.percentile(95)),
            (expected(10), expected(25), expected(60))
        );
        assert_eq!(tally.jitter(), Some(Duration::from_millis(20 + 30 + 40) / 3));
        assert_eq!(tally.slower_than(Duration::from_millis(20)), 2);
        assert!((tally.loss_percent() - 100.0 / 3.0).abs() < 1e-9 && !tally.is_whole());
    }

    #[test]
    fn nothing_has_no_times() {
        let tally = Tally::default();
        assert_eq!((tally.percentile(95), tally.median(), tally.jitter(), tally.error()), (None, None, None, None));
        assert!(tally.loss_percent().abs() < 1e-9 && tally.is_whole());
    }

    #[test]
    fn the_error_that_came_most_is_told() {
        let mut tally = Tally { sent: 3, ..Tally::default() };
        for (sequence, code) in [(0, 0), (1, 13), (2, 13)] {
            let error = IcmpError { from: [192, 0, 2, 1].into(), kind: 3, code, mtu: None };
            tally.take(Echoed { sequence, took: Duration::ZERO, back: Back::Error(error) });
        }
        assert_eq!((tally.error().unwrap().code, tally.is_whole(), tally.lost()), (13, true, 3));
    }
}
