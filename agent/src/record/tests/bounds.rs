//! Bounded by size and age, oldest first, and what was lost is told.

use deskside_proto::v1::Loss;
use prost::Message;

use super::{Bounds, T0, bounded, disk, drain, folder, history, line, load, local, reading, streamed};

const DAY: i64 = 24 * 3_600_000;

fn small() -> Bounds {
    Bounds { bytes_max: 1024 * 1024, ..Bounds::default() }
}

/// Text that does not compress.
fn noise(seed: i64) -> String {
    let digest = |n: i64| ring::digest::digest(&ring::digest::SHA256, &(seed * 1000 + n).to_le_bytes());
    (0..30).map(|n| data_encoding::HEXLOWER.encode(digest(n).as_ref())).collect()
}

#[test]
fn what_was_kept_goes_first_and_what_was_not_is_counted() {
    let dir = folder();
    let mut record = bounded(dir.path(), small(), T0);
    record.append(T0, &[streamed(reading(T0, &[disk("/", "sda1", 1.0)]))]).unwrap();
    for n in 0..400 {
        record.append(T0 + n, &[line(T0 + n, &noise(n))]).unwrap();
    }
    record.kept(401);
    let before_ms = T0 + 400;
    for n in 400..800 {
        record.append(T0 + n, &[line(T0 + n, &noise(n))]).unwrap();
    }
    assert_eq!(record.stats().dropped, 0, "room was made by what was kept");
    assert!(history(&record, "log_events", T0, before_ms).len() < 400);
    assert_eq!(drain(&mut record, 401).len(), 400);
    for n in 800..1600 {
        record.append(T0 + n, &[line(T0 + n, &noise(n))]).unwrap();
    }
    let stats = record.stats();
    assert!(stats.dropped > 0 && stats.bytes <= 1024 * 1024 + 64 * 1024, "{stats:?}");
    let losses = history(&record, "losses", T0, T0 + 9999);
    let told: u64 = losses.iter().map(|reading| Loss::decode(reading.rows[0].clone()).unwrap().readings).sum();
    assert_eq!(told, stats.dropped);
    let queue = drain(&mut record, 401);
    let lines = queue.iter().filter(|(_seq, reading)| reading.table == "log_events").count() as u64;
    assert_eq!(lines + stats.dropped, 1200, "each line is there or counted");
    assert!(queue.last().unwrap().0 == record.last_seq() || queue.last().unwrap().1.table == "losses");
    let root = record.reader().unwrap().latest("filesystems").unwrap();
    assert!(root.is_some(), "what is in force is never dropped");
}

#[test]
fn numbers_go_on_after_everything_was_dropped() {
    let dir = folder();
    let mut record = bounded(dir.path(), Bounds { age_max_ms: DAY, ..Bounds::default() }, T0);
    record.append(T0, &[local(line(T0, "old").reading)]).unwrap();
    for hour in 0..60 {
        record.tidy(T0 + hour * 3_600_000).unwrap();
    }
    assert_eq!((record.stats().readings, record.first_seq()), (0, 2));
    drop(record);
    let mut record = bounded(dir.path(), Bounds::default(), T0 + 3 * DAY);
    assert_eq!(record.append(T0, &[line(T0, "new")]).unwrap().last_seq, 2);
}

#[test]
fn old_readings_go_by_age_but_for_the_state_that_was_in_force() {
    let dir = folder();
    let mut record = bounded(dir.path(), Bounds { age_max_ms: 2 * DAY, ..Bounds::default() }, T0);
    let states = [
        reading(T0, &[disk("/", "a", 1.0)]),
        reading(T0 + DAY / 2, &[disk("/", "b", 1.0)]),
        reading(T0 + 4 * DAY, &[disk("/", "c", 1.0)]),
    ];
    let mut states = states.into_iter().peekable();
    for hour in 0..24 * 5 {
        let now_ms = T0 + hour * 3_600_000;
        if let Some(state) = states.next_if(|state| state.at_ms <= now_ms) {
            record.append(now_ms, &[streamed(state)]).unwrap();
        }
        record.append(now_ms, &[load(now_ms)]).unwrap();
        record.kept(record.last_seq());
        record.tidy(now_ms).unwrap();
    }
    let samples = history(&record, "load", 0, i64::MAX);
    assert!((48..=50).contains(&samples.len()), "{} of 120 hours", samples.len());
    let held: Vec<i64> = history(&record, "filesystems", 0, i64::MAX).iter().map(|state| state.at_ms - T0).collect();
    assert_eq!(held, [DAY / 2, 4 * DAY]);
    assert_eq!(record.stats().dropped, 0);
}

#[test]
fn a_clock_that_jumps_by_years_and_back_deletes_nothing() {
    let dir = folder();
    let mut record = bounded(dir.path(), Bounds::default(), T0);
    let years = 20 * 365 * DAY;
    let mut stored = 0;
    for now_ms in [T0, T0 + years, T0 + 1000, T0 - years, T0 + 2000, T0 + years] {
        for minute in 0..5 {
            record.append(now_ms + minute, &[load(now_ms + minute)]).unwrap();
            record.tidy(now_ms + minute).unwrap();
            stored += 1;
        }
    }
    assert_eq!(record.stats().readings, stored);
    assert_eq!(drain(&mut record, 0).len() as u64, stored);
}

#[test]
fn a_lowered_bound_makes_the_file_smaller() {
    let dir = folder();
    let mut record = bounded(dir.path(), Bounds::default(), T0);
    for n in 0..1500 {
        record.append(T0 + n, &[local(line(T0 + n, &noise(n)).reading)]).unwrap();
    }
    assert!(record.stats().bytes > 2 * 1024 * 1024);
    drop(record);
    let mut record = bounded(dir.path(), small(), T0);
    record.tidy(T0 + 2000).unwrap();
    assert!(record.stats().bytes <= 1024 * 1024, "{:?}", record.stats());
    assert!(std::fs::metadata(dir.path().join("record/record.db")).unwrap().len() <= 1024 * 1024);
}
