//! Three months of a machine that changes a little and logs a lot.

use deskside_proto::v1::{Filesystem, Loss, Outcome};
use prost::Message;

use super::{Bounds, T0, bounded, disk, drain, folder, history, line, load, reading, streamed};
use crate::record::{ChangeAt, Entry, Record};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const DAYS: i64 = 90;
const BYTES_MAX: u64 = 3 * 1024 * 1024;

/// An hour of it: a sample every five minutes, a change in ten hours of the day, and lines that storm every third week.
fn hour(nth: i64) -> Vec<Entry> {
    let at_ms = T0 + nth * HOUR;
    let mut entries: Vec<Entry> = (0..12).map(|n| load(at_ms + n * 5 * 60_000)).collect();
    if nth % 24 < 10 {
        entries.push(streamed(reading(at_ms, &[disk("/", &format!("sda{nth}"), 1.0)])));
    }
    // Short enough to lie uncompressed.
    let text = "x".repeat(900);
    let storms = (nth / (24 * 7)) % 3 == 2;
    entries.extend((0..if storms { 40 } else { 2 }).map(|n| line(at_ms + n, &text)));
    entries
}

fn bounds() -> Bounds {
    Bounds { bytes_max: BYTES_MAX, age_max_ms: 100 * DAY, ..Bounds::default() }
}

fn thinning() -> Bounds {
    Bounds { samples_full_ms: 2 * DAY, ..bounds() }
}

/// Lives the three months; from a day on the server keeps nothing any more.
fn lived(dir: &std::path::Path, kept_days: i64) -> Record {
    let mut record = bounded(dir, bounds(), T0);
    for begin in (0..DAYS * 24).step_by(4) {
        let now_ms = T0 + (begin + 4) * HOUR;
        record.append(now_ms, &(begin..begin + 4).flat_map(hour).collect::<Vec<_>>()).unwrap();
        if begin < kept_days * 24 {
            record.kept(record.last_seq());
        }
        record.tidy(now_ms).unwrap();
        let bytes = record.pages("page_count").unwrap();
        assert!(bytes <= BYTES_MAX + 128 * 1024, "{bytes} bytes in hour {begin}");
    }
    record
}

#[test]
fn a_log_that_storms_pushes_out_no_other_tables_history() {
    let dir = folder();
    let mut record = lived(dir.path(), DAYS);
    let end_ms = T0 + DAYS * 24 * HOUR;
    let states = history(&record, "filesystems", 0, end_ms);
    assert_eq!(states.len() as i64, DAYS * 10, "every change of three months is there");
    let reader = record.reader().unwrap();
    let lines_since = reader.held_since("log_events").unwrap().unwrap();
    assert!(lines_since > T0 + 10 * DAY, "the log gave way");
    assert!(lines_since < end_ms - DAY, "it keeps its newest day");
    assert!(reader.held_since("load").unwrap().unwrap() < T0 + 2 * DAY);
    assert_eq!(record.stats().dropped, 0, "the server had kept it all");
    assert!(drain(&mut record, 0).windows(2).all(|two| two[0].0 < two[1].0));
}

#[test]
fn what_goes_before_the_server_kept_it_is_counted_and_every_table_keeps_its_newest_day() {
    let dir = folder();
    let mut record = lived(dir.path(), 30);
    let end_ms = T0 + DAYS * 24 * HOUR;
    let reader = record.reader().unwrap();
    for table in ["filesystems", "load", "log_events"] {
        assert!(reader.held_since(table).unwrap().unwrap() < end_ms - DAY, "{table}");
    }
    let stats = record.stats();
    let told = history(&record, "losses", 0, i64::MAX).into_iter();
    let told: u64 = told.map(|reading| Loss::decode(reading.rows[0].clone()).unwrap().readings).sum();
    assert!(stats.dropped > 0 && told <= stats.dropped, "{told} told of {stats:?}");
    let kept = record.kept_seq();
    let queue = drain(&mut record, kept);
    let streamed: i64 = (30 * 24..DAYS * 24).map(|nth| hour(nth).len() as i64).sum();
    let losses = queue.iter().filter(|(_seq, reading)| reading.table == "losses").count() as u64;
    assert!(queue.len() as u64 - losses + stats.dropped >= streamed as u64, "each is there or counted");
}

#[test]
fn old_samples_are_thinned_but_for_an_outcome_that_turned() {
    let dir = folder();
    let mut record = bounded(dir.path(), thinning(), T0);
    let mut turned = load(T0 + 7 * 60_000);
    turned.reading.outcome = Outcome::Failed.into();
    for nth in 0..5 * 24 {
        let mut entries: Vec<Entry> = (0..30).map(|n| load(T0 + nth * HOUR + n * 2 * 60_000)).collect();
        if nth == 0 {
            entries.insert(4, turned.clone());
        }
        let now_ms = T0 + (nth + 1) * HOUR;
        record.append(now_ms, &entries).unwrap();
        record.kept(record.last_seq());
        record.tidy(now_ms).unwrap();
    }
    let full = history(&record, "load", T0 + 4 * DAY, i64::MAX);
    assert_eq!(full.len(), 30 * 24, "what is young is whole");
    let old = history(&record, "load", T0 + 5 * HOUR, T0 + 2 * DAY - 1);
    assert!((43 * 4..=43 * 4 + 4).contains(&old.len()), "{} of {} are left", old.len(), 43 * 30);
    assert!(old.windows(2).all(|two| two[1].at_ms - two[0].at_ms <= 16 * 60_000));
    assert!(history(&record, "load", T0, T0 + HOUR).contains(&turned.reading));
    let thinned = record.reader().unwrap().thinned().unwrap().unwrap();
    assert_eq!(thinned.every_ms, 15 * 60_000);
    assert!((T0 + 2 * DAY..T0 + 4 * DAY).contains(&thinned.to_ms), "{thinned:?}");
    let stats = record.stats();
    assert_eq!(stats.readings + stats.thinned_out, 5 * 24 * 30 + 1);
    drop(record);
    let record = bounded(dir.path(), thinning(), T0 + 5 * DAY);
    assert_eq!((record.stats().readings, record.stats().thinned_out), (stats.readings, stats.thinned_out));
}

#[test]
fn samples_that_the_server_has_yet_to_keep_are_not_thinned() {
    let dir = folder();
    let mut record = bounded(dir.path(), thinning(), T0);
    for nth in 0..5 * 24 {
        let entries: Vec<Entry> = (0..30).map(|n| load(T0 + nth * HOUR + n * 2 * 60_000)).collect();
        record.append(T0 + (nth + 1) * HOUR, &entries).unwrap();
        record.tidy(T0 + (nth + 1) * HOUR).unwrap();
    }
    assert_eq!(drain(&mut record, 0).len(), 5 * 24 * 30);
    assert_eq!(record.reader().unwrap().thinned().unwrap(), None);
}

#[test]
fn the_newest_changes_before_a_time_are_those_that_a_window_tells() {
    let dir = folder();
    let mut record = bounded(dir.path(), bounds(), T0);
    for nth in 0..72 {
        record.append(T0 + nth * HOUR, &hour(nth)).unwrap();
        if nth == 50 {
            let mut blind = reading::<Filesystem>(T0 + nth * HOUR + 5, &[]);
            blind.outcome = Outcome::Denied.into();
            record.append(T0 + nth * HOUR, &[streamed(blind)]).unwrap();
        }
    }
    let reader = record.reader().unwrap();
    let mut window = reader.changes(None, T0, T0 + 60 * HOUR - 1).unwrap();
    window.reverse();
    let newest = reader.changes_before(T0 + 60 * HOUR, 12).unwrap();
    assert_eq!(newest.len(), 12);
    let times = |changes: &[ChangeAt]| changes.iter().map(|at| at.at_ms).collect::<Vec<_>>();
    assert_eq!(times(&newest), times(&window[..12]));
    assert_eq!(reader.changes_before(T0 + 60 * HOUR, 1000).unwrap().len(), window.len());
    assert!(reader.changes_before(T0, 10).unwrap().is_empty());
}
