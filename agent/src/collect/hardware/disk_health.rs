//! What disks say of their own health, and which of their counts grew while the agent watched.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::DiskHealth;

use super::smart::{self, ASLEEP, Part, Smart};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const DISK_HEALTH: Collector = Collector {
    table: DiskHealth::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_hours(1)),
    look,
};

/// Where the counts of earlier looks are noted.
const COUNTS: &str = "disk_health_counts";

/// How far back growth is told.
const WATCHED_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// How often a count is written down for later.
const NOTED_EVERY_MS: i64 = 24 * 60 * 60 * 1000;

/// Most lines that are noted: eight a disk.
const LINES_MAX: usize = 1024;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let noted = host.noted(COUNTS).map(|note| lines(&note.text)).unwrap_or_default();
    let mut watch = Watch { now_ms: host.now_ms(), lines: noted };
    let rows = smart::look_with(host, |row: &mut DiskHealth| watch.see(row));
    host.recall(COUNTS, watch.note());
    rows
}

impl Part for DiskHealth {
    const IN_UDISKS: bool = true;

    fn of(smart: &Smart) -> Vec<Self> {
        vec![smart.health.clone()]
    }

    fn asleep(smart: &Smart, before: Vec<Self>) -> Vec<Self> {
        let known = before.into_iter().next().unwrap_or_else(|| smart.health.clone());
        vec![Self { state: ASLEEP.into(), reason: smart.health.reason.clone(), ..known }]
    }
}

/// The counts of one disk at one time: reallocated sectors, CRC errors, media errors.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    disk: String,
    at_ms: i64,
    counts: [Option<u64>; 3],
}

/// "sda 1768478400000 0 - 3"; "-" is not known.
fn lines(note: &str) -> Vec<Line> {
    let parsed = note.lines().take(LINES_MAX).filter_map(|line| {
        let mut fields = line.split(' ');
        let (disk, at_ms) = (fields.next()?.to_owned(), fields.next()?.parse().ok()?);
        let counts = [(); 3].map(|()| fields.next().and_then(|count| count.parse().ok()));
        Some(Line { disk, at_ms, counts })
    });
    parsed.collect()
}

struct Watch {
    now_ms: i64,
    lines: Vec<Line>,
}

impl Watch {
    /// Fills in what grew since the oldest counts of the last week.
    fn see(&mut self, row: &mut DiskHealth) {
        if row.state == ASLEEP {
            return;
        }
        let counts = [row.reallocated_sectors, row.interface_crc_errors, row.media_errors];
        let own = |line: &&Line| line.disk == row.disk && line.at_ms <= self.now_ms;
        let shrank = |line: &Line| line.counts.iter().zip(counts).any(|(then, now)| now < *then && now.is_some());
        if self.lines.iter().filter(own).any(shrank) {
            // Another disk by the same name.
            self.lines.retain(|line| line.disk != row.disk);
        }
        let recent = |line: &&Line| own(line) && self.now_ms.saturating_sub(line.at_ms) <= WATCHED_MS;
        if let Some(oldest) = self.lines.iter().filter(recent).min_by_key(|line| line.at_ms) {
            let gained = |place: usize| {
                let (now, then) = (counts.get(place).copied()??, oldest.counts.get(place).copied()??);
                now.checked_sub(then)
            };
            row.reallocated_sectors_gained = gained(0);
            row.interface_crc_errors_gained = gained(1);
            row.media_errors_gained = gained(2);
        }
        let latest = self.lines.iter().filter(own).map(|line| line.at_ms).max();
        if latest.is_none_or(|at_ms| self.now_ms.saturating_sub(at_ms) >= NOTED_EVERY_MS) {
            self.lines.push(Line { disk: row.disk.clone(), at_ms: self.now_ms, counts });
        }
    }

    fn note(&self) -> String {
        let recent = self.lines.iter().filter(|line| self.now_ms.saturating_sub(line.at_ms) <= WATCHED_MS);
        let count = |count: &Option<u64>| count.map_or_else(|| "-".into(), |count| count.to_string());
        let written = recent.map(|line| {
            let counts: Vec<String> = line.counts.iter().map(count).collect();
            format!("{} {} {}", line.disk, line.at_ms, counts.join(" "))
        });
        written.take(LINES_MAX).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = NOTED_EVERY_MS;

    fn seen(watch: &mut Watch, day: i64, crc: u64) -> Option<u64> {
        watch.now_ms = day * DAY_MS;
        watch.lines = lines(&watch.note());
        let mut row = DiskHealth { disk: "sda".into(), interface_crc_errors: Some(crc), ..DiskHealth::default() };
        watch.see(&mut row);
        assert_eq!(row.media_errors_gained, None);
        row.interface_crc_errors_gained
    }

    #[test]
    fn growth_is_told_of_the_last_week_alone() {
        let mut watch = Watch { now_ms: 0, lines: Vec::new() };
        assert_eq!(seen(&mut watch, 1, 5), None);
        assert_eq!(seen(&mut watch, 2, 8), Some(3));
        assert_eq!(seen(&mut watch, 8, 8), Some(3));
        assert_eq!(seen(&mut watch, 9, 8), Some(0));
        assert!(watch.lines.len() <= 8, "{:?}", watch.lines);
    }

    #[test]
    fn a_count_that_shrank_is_another_disk_by_the_same_name() {
        let mut watch = Watch { now_ms: 0, lines: Vec::new() };
        seen(&mut watch, 1, 50);
        assert_eq!(seen(&mut watch, 2, 0), None);
        assert_eq!(seen(&mut watch, 3, 1), Some(1));
    }

    #[test]
    fn a_note_that_is_none_is_no_note() {
        assert_eq!(lines("garbage\nsda x 1 2 3\n\n"), Vec::new());
        assert_eq!(lines("sda 5 1 - 3")[0].counts, [Some(1), None, Some(3)]);
    }

    #[test]
    fn a_disk_that_sleeps_says_what_it_said_before() {
        let asleep = Smart {
            health: DiskHealth {
                disk: "sda".into(),
                state: ASLEEP.into(),
                reason: "zzz".into(),
                ..DiskHealth::default()
            },
            ..Smart::default()
        };
        let before =
            DiskHealth { disk: "sda".into(), state: "read".into(), pending_sectors: Some(8), ..DiskHealth::default() };
        let told = DiskHealth::asleep(&asleep, vec![before]).remove(0);
        assert_eq!((told.state.as_str(), told.reason.as_str(), told.pending_sectors), ("asleep", "zzz", Some(8)));
        assert_eq!(DiskHealth::asleep(&asleep, Vec::new()).remove(0), asleep.health);
    }
}
