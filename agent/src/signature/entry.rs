//! One signature: its row, and how often it was said in which hour.

use deskside_proto::v1::ErrorSignature;

/// Hours that are counted apart.
const HOURS: usize = 24;

const HOUR_MS: i64 = 3_600_000;

/// The clock hour of a time.
pub(super) fn hour(at_ms: i64) -> i64 {
    at_ms.div_euclid(HOUR_MS)
}

/// A signature that is held, or what a batch holds of one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entry {
    pub(super) row: ErrorSignature,
    /// The hour that the last of `hours` counts.
    pub(super) hour: i64,
    hours: [u32; HOURS],
}

impl Entry {
    /// A signature that is seen for the first time.
    pub(super) fn begun(row: ErrorSignature) -> Self {
        Self { row, ..Self::default() }
    }

    /// As it was written down.
    pub(super) fn restored(mut row: ErrorSignature) -> Self {
        let mut hours = [0; HOURS];
        for (slot, written) in hours.iter_mut().zip(std::mem::take(&mut row.hours)) {
            *slot = written;
        }
        let hour = hour(row.last_ms);
        Self { row, hour, hours }
    }

    /// One more line.
    pub(super) fn count(&mut self, at_ms: i64, priority: Option<u32>) {
        self.add(hour(at_ms), 1);
        self.span(at_ms, at_ms, 1, priority);
    }

    /// What a batch held.
    pub(super) fn merge(&mut self, seen: &Self) {
        for (back, count) in seen.hours.iter().rev().enumerate().rev().filter(|(_back, count)| **count > 0) {
            self.add(seen.hour - i64::try_from(back).unwrap_or_default(), *count);
        }
        self.span(seen.row.first_ms, seen.row.last_ms, seen.row.count, seen.row.priority);
    }

    /// The row as it is shown in an hour.
    pub(super) fn shown(&self, now: i64) -> ErrorSignature {
        let mut moved = self.clone();
        moved.move_to(now.max(self.hour));
        let peak = moved.hours.iter().max().copied().unwrap_or_default();
        ErrorSignature { hours: moved.hours.to_vec(), hourly_peak: step(peak), ..moved.row }
    }

    fn span(&mut self, first_ms: i64, last_ms: i64, count: u64, priority: Option<u32>) {
        let row = &mut self.row;
        row.first_ms = if row.count == 0 { first_ms } else { row.first_ms.min(first_ms) };
        row.last_ms = if row.count == 0 { last_ms } else { row.last_ms.max(last_ms) };
        row.count = row.count.saturating_add(count);
        row.priority = match (row.priority, priority) {
            (Some(worst), Some(this)) => Some(worst.min(this)),
            (known, other) => known.or(other),
        };
    }

    fn add(&mut self, hour: i64, count: u32) {
        if self.row.count == 0 && self.hours.iter().all(|hour| *hour == 0) {
            self.hour = hour;
        }
        self.move_to(self.hour.max(hour));
        let back = usize::try_from(self.hour.saturating_sub(hour)).unwrap_or(HOURS);
        if let Some(slot) = self.hours.iter_mut().rev().nth(back) {
            *slot = slot.saturating_add(count);
        }
    }

    fn move_to(&mut self, hour: i64) {
        let by = usize::try_from(hour.saturating_sub(self.hour)).unwrap_or(HOURS).min(HOURS);
        self.hours.rotate_left(by % HOURS);
        if let Some(empty) = self.hours.get_mut(HOURS - by..) {
            empty.fill(0);
        }
        self.hour = hour;
    }
}

/// Rounded down to a power of ten.
fn step(count: u32) -> u64 {
    if count == 0 { 0 } else { 10_u64.pow(count.ilog10()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_768_478_400_000;

    #[test]
    fn lines_are_counted_in_their_hour_and_leave_it_after_a_day() {
        let mut entry = Entry::default();
        for minutes in [0, 1, 59, 60, 61, 119] {
            entry.count(NOON + minutes * 60_000, Some(4));
        }
        let shown = entry.shown(hour(NOON) + 1);
        assert_eq!((shown.hours[22], shown.hours[23], shown.count, shown.hourly_peak), (3, 3, 6, 1));
        let later = entry.shown(hour(NOON) + 24);
        assert_eq!((later.hours[0], later.hours[1], later.hourly_peak), (3, 0, 1));
        assert_eq!(entry.shown(hour(NOON) + 25).hourly_peak, 0);
    }

    #[test]
    fn batches_add_up_to_what_the_lines_add_up_to() {
        let (mut whole, mut merged) = (Entry::default(), Entry::default());
        for batch in 0..30 {
            let mut part = Entry::default();
            for line in 0..40 {
                // Not in order, and over more than a day.
                let at_ms = NOON + (batch * 97 % 31) * HOUR_MS + line * 60_000;
                whole.count(at_ms, Some(3));
                part.count(at_ms, Some(3));
            }
            merged.merge(&part);
        }
        assert_eq!(whole, merged);
        let restored = Entry::restored(whole.shown(whole.hour));
        assert_eq!(restored.shown(restored.hour), whole.shown(whole.hour));
    }

    #[test]
    fn a_rate_is_told_in_steps() {
        assert_eq!([0, 1, 9, 10, 99, 100, 12_345].map(step), [0, 1, 1, 10, 10, 100, 10_000]);
    }
}
