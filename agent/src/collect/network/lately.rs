//! What went wrong with interfaces within the last hour, from the kernel's counters of the looks before. Why rounded down to steps: a column
//! that moves by itself would be written down at every look, and whether it is 20 or 23 errors an hour decides nothing.

use std::collections::BTreeMap;
use std::fmt::Write;

use deskside_proto::v1::Interface;

use crate::host::Host;

const HOUR_MS: i64 = 3_600_000;

/// Counters are remembered this far apart.
const APART_MS: i64 = 5 * 60_000;

/// Interfaces that are watched.
const INTERFACES_MAX: usize = 64;

/// Counters: packets received, with a wrong checksum, without room, received in error; sent in error, late collisions, changes of the carrier.
const COUNTERS: usize = 7;

/// The counters of one interface at one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    index: u32,
    at_ms: i64,
    counters: [u64; COUNTERS],
}

/// Fills in what the columns of the last hour say, and remembers the counters for the looks to come.
pub(super) fn watch(host: &dyn Host, interfaces: &mut [Interface]) {
    let now_ms = host.now_ms();
    let note = host.noted("interfaces").map(|before| before.text).unwrap_or_default();
    let mut before = remembered(&note, now_ms);
    let mut next = String::new();
    let watched = interfaces.iter_mut().filter(|interface| matches!(interface.kind.as_str(), "ethernet" | "wifi"));
    for interface in watched.take(INTERFACES_MAX) {
        let mut seen = before.remove(&interface.name).unwrap_or_default();
        let now = Seen { index: interface.index, at_ms: now_ms, counters: counters(interface) };
        // One that was made anew, or whose driver was, begins to count anew.
        if seen.iter().any(|then| then.index != now.index || gained(then, &now).is_none()) {
            seen.clear();
        }
        if let Some(then) = seen.first() {
            tell(interface, then, &now);
        }
        if seen.last().is_none_or(|last| now_ms.saturating_sub(last.at_ms) >= APART_MS) {
            seen.push(now);
        }
        for seen in &seen {
            write(&mut next, &interface.name, seen);
        }
    }
    host.recall("interfaces", next);
}

fn counters(interface: &Interface) -> [u64; COUNTERS] {
    let overruns = [interface.rx_fifo_errors, interface.rx_missed_errors, interface.rx_over_errors];
    [
        interface.rx_packets,
        interface.rx_crc_errors,
        overruns.into_iter().fold(0, u64::saturating_add),
        interface.rx_errors,
        interface.tx_errors,
        interface.late_collisions,
        u64::from(interface.carrier_changes),
    ]
}

/// Absent where a counter ran backwards.
fn gained(then: &Seen, now: &Seen) -> Option<[u64; COUNTERS]> {
    let mut gained = [0; COUNTERS];
    for ((gain, now), then) in gained.iter_mut().zip(now.counters).zip(then.counters) {
        *gain = now.checked_sub(then)?;
    }
    Some(gained)
}

fn tell(interface: &mut Interface, then: &Seen, now: &Seen) {
    let Some([packets, crc, overruns, received, sent, late, carrier]) = gained(then, now) else { return };
    let per_million = |count: u64| {
        let frames = u128::from(packets) + u128::from(count);
        let share = (u128::from(count) * 1_000_000).checked_div(frames).unwrap_or_default();
        step(u64::try_from(share).unwrap_or(u64::MAX))
    };
    interface.watched_s = u32::try_from(now.at_ms.saturating_sub(then.at_ms) / 1000).ok();
    interface.carrier_changes_an_hour = Some(step(carrier));
    interface.crc_errors_an_hour = Some(step(crc));
    interface.crc_errors_per_million = Some(per_million(crc));
    interface.receive_errors_an_hour = Some(step(received));
    interface.receive_errors_per_million = Some(per_million(received));
    interface.overruns_an_hour = Some(step(overruns));
    interface.overruns_per_million = Some(per_million(overruns));
    interface.transmit_errors_an_hour = Some(step(sent));
    interface.late_collisions_an_hour = Some(step(late));
}

/// The largest of 0 to 10, 20, 50, 100 … that is not above the number.
fn step(number: u64) -> u64 {
    let Some(digits) = number.checked_ilog10().filter(|digits| *digits > 0) else { return number };
    let unit = 10_u64.pow(digits);
    let first = number / unit;
    unit * match first {
        1 => 1,
        2..=4 => 2,
        _ => 5,
    }
}

/// A line `name index at_ms counters` a look, the oldest first.
fn remembered(note: &str, now_ms: i64) -> BTreeMap<String, Vec<Seen>> {
    let mut all: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    for (name, seen) in note.lines().filter_map(line) {
        if (1..=HOUR_MS).contains(&now_ms.saturating_sub(seen.at_ms)) {
            all.entry(name.to_owned()).or_default().push(seen);
        }
    }
    all
}

fn line(line: &str) -> Option<(&str, Seen)> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let (index, at_ms) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let counters: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
    Some((name, Seen { index, at_ms, counters: counters.try_into().ok()? }))
}

fn write(note: &mut String, name: &str, seen: &Seen) {
    // Writing to a String cannot fail.
    let _written = write!(note, "{name} {} {}", seen.index, seen.at_ms);
    for counter in seen.counters {
        let _written = write!(note, " {counter}");
    }
    note.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(at_ms: i64, counters: [u64; COUNTERS]) -> Seen {
        Seen { index: 2, at_ms, counters }
    }

    #[test]
    fn numbers_move_in_steps() {
        let steps = [0, 1, 2, 3, 5, 9, 10, 19, 49, 50, 1_234, 999_999, u64::MAX].map(step);
        assert_eq!(steps, [0, 1, 2, 3, 5, 9, 10, 10, 20, 50, 1_000, 500_000, 10_000_000_000_000_000_000]);
    }

    #[test]
    fn what_was_gained_is_told_as_a_count_and_as_a_share() {
        let mut interface = Interface::default();
        let (then, now) = (seen(0, [1_000, 0, 0, 5, 0, 0, 2]), seen(1_800_000, [1_000_960, 40, 0, 45, 0, 3, 8]));
        tell(&mut interface, &then, &now);
        assert_eq!((interface.crc_errors_an_hour, interface.crc_errors_per_million), (Some(20), Some(20)));
        assert_eq!((interface.receive_errors_an_hour, interface.late_collisions_an_hour), (Some(20), Some(3)));
        assert_eq!((interface.carrier_changes_an_hour, interface.overruns_per_million), (Some(6), Some(0)));
        assert_eq!(interface.watched_s, Some(1_800));
    }

    #[test]
    fn a_counter_that_ran_backwards_is_another_counter() {
        assert_eq!(gained(&seen(0, [9; COUNTERS]), &seen(1, [8; COUNTERS])), None);
    }

    #[test]
    fn notes_are_read_as_written_and_garbage_and_the_old_are_left() {
        let (mut note, now_ms) = (String::new(), 10 * HOUR_MS);
        write(&mut note, "eth0", &seen(now_ms - HOUR_MS - 1, [1; COUNTERS]));
        write(&mut note, "eth0", &seen(now_ms - 60_000, [2; COUNTERS]));
        note.push_str("eth0\neth0 2 x\neth0 2 3 4 5\n\n");
        let read = remembered(&note, now_ms);
        assert_eq!(read["eth0"], [seen(now_ms - 60_000, [2; COUNTERS])]);
    }
}
