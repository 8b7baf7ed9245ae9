//! Rotation of every kind, with the agent there and away: each line once.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::tests::{Logs, append, messages, numbered, text};
use super::{Entries, Source};

/// As gzip does: another file beside it with the same times, and then the first is gone.
fn gzip(path: &Path) {
    let packed = path.with_file_name(format!("{}.gz", path.file_name().unwrap().to_string_lossy()));
    let mut gzip = GzEncoder::new(File::create(&packed).unwrap(), Compression::fast());
    gzip.write_all(&fs::read(path).unwrap()).unwrap();
    let written = fs::metadata(path).unwrap().modified().unwrap();
    gzip.finish().unwrap().set_modified(written).unwrap();
    fs::remove_file(path).unwrap();
}

fn zstd(path: &Path) {
    let packed = path.with_file_name(format!("{}.zst", path.file_name().unwrap().to_string_lossy()));
    let written = fs::metadata(path).unwrap().modified().unwrap();
    fs::write(&packed, zstd::bulk::compress(&fs::read(path).unwrap(), 3).unwrap()).unwrap();
    File::options().append(true).open(packed).unwrap().set_modified(written).unwrap();
    fs::remove_file(path).unwrap();
}

fn rename(logs: &Logs, from: &str, to: &str) {
    fs::rename(logs.path(from), logs.path(to)).unwrap();
}

/// Writes a hundred lines, rotates, ten times over, with the agent there in every other round; then each line has come once, in order.
fn each_line_comes_once(mut rotate: impl FnMut(&Logs, usize)) {
    let mut logs = Logs::new();
    logs.start_with("a.log");
    let mut came = Vec::new();
    let begun = SystemTime::now() - Duration::from_mins(1);
    for round in 0..10 {
        let lines = numbered(round * 100, round * 100 + 100);
        logs.write("a.log", text(&lines[..50]));
        if round % 2 == 0 {
            came.extend(logs.next());
        }
        if round % 4 == 3 {
            logs.stop();
        }
        logs.write("a.log", text(&lines[50..]));
        // Rounds lie seconds apart, as rotations do.
        let written = begun + Duration::from_secs(round as u64);
        File::options().append(true).open(logs.path("a.log")).unwrap().set_modified(written).unwrap();
        rotate(&logs, round);
        if round % 4 == 3 {
            logs.start();
        }
    }
    logs.write("a.log", "the last\n");
    came.extend(logs.take(1001 - came.len()));
    let mut wanted = numbered(0, 1000);
    wanted.push("the last".into());
    assert_eq!(messages(&came), wanted);
    logs.nothing_more();
}

#[test]
fn renamed_and_made_again() {
    each_line_comes_once(|logs, _round| {
        for number in (1..9).rev() {
            fs::rename(logs.path(&format!("a.log.{number}")), logs.path(&format!("a.log.{}", number + 1))).ok();
        }
        rename(logs, "a.log", "a.log.1");
        logs.write("a.log", "");
    });
}

#[test]
fn renamed_and_compressed_at_once() {
    each_line_comes_once(|logs, round| {
        rename(logs, "a.log", &format!("a.log-{round}"));
        gzip(&logs.path(&format!("a.log-{round}")));
        logs.write("a.log", "");
    });
}

#[test]
fn renamed_and_compressed_one_round_later() {
    each_line_comes_once(|logs, round| {
        rename(logs, "a.log", &format!("a.log.{round}"));
        if let Some(before) = round.checked_sub(1) {
            zstd(&logs.path(&format!("a.log.{before}")));
        }
        logs.write("a.log", "");
    });
}

#[test]
fn renamed_to_a_name_that_is_followed_too() {
    let mut logs = Logs::new();
    logs.start_with("a.log");
    let mut came = Vec::new();
    for round in 0..6 {
        let lines = numbered(round * 100, round * 100 + 100);
        logs.write("a.log", text(&lines[..50]));
        came.extend(logs.take(1));
        if round % 2 == 1 {
            logs.stop();
        }
        logs.write("a.log", text(&lines[50..]));
        rename(&logs, "a.log", &format!("a-{round}.log"));
        logs.write("a.log", "");
        if round % 2 == 1 {
            logs.start();
        }
    }
    came.extend(logs.take(600 - came.len()));
    let mut numbers: Vec<usize> =
        messages(&came).iter().filter_map(|text| text.strip_prefix("line ")?.parse().ok()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..600).collect::<Vec<_>>());
    logs.nothing_more();
}

/// Copies a log, as many seconds after the first as rotations lie apart, and empties it.
fn copy_and_truncate(logs: &Logs, round: usize) -> PathBuf {
    let (log, copy) = (logs.path("a.log"), logs.path(&format!("a.log.{round}")));
    let written = fs::metadata(&log).unwrap().modified().unwrap();
    fs::copy(&log, &copy).unwrap();
    File::options().append(true).open(&copy).unwrap().set_modified(written).unwrap();
    File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
    copy
}

#[test]
fn copied_and_truncated() {
    each_line_comes_once(|logs, round| {
        copy_and_truncate(logs, round);
    });
}

#[test]
fn copied_truncated_and_compressed() {
    each_line_comes_once(|logs, round| gzip(&copy_and_truncate(logs, round)));
}

#[test]
fn copied_truncated_and_compressed_again_and_again_while_nobody_looks() {
    let mut logs = Logs::new();
    logs.start_with("a.log");
    let begun = SystemTime::now() - Duration::from_mins(10);
    let lines = numbered(0, 4_000);
    for (round, some) in lines.chunks(100).enumerate() {
        logs.write("a.log", text(some));
        let written = begun + Duration::from_secs(round as u64);
        File::options().append(true).open(logs.path("a.log")).unwrap().set_modified(written).unwrap();
        gzip(&copy_and_truncate(&logs, round));
        // The agent is there for the first round, and knows the log from then on.
        if round == 0 {
            assert_eq!(messages(&logs.take(100)), some);
            logs.stop();
        }
    }
    logs.start();
    logs.write("a.log", "the last\n");
    let mut wanted = lines[100..].to_vec();
    wanted.push("the last".into());
    assert_eq!(messages(&logs.take(wanted.len())), wanted);
    logs.nothing_more();
}

#[test]
fn more_rotations_than_are_open_at_once_are_caught_up_with() {
    let mut logs = Logs::new();
    logs.start_with("a.log");
    logs.write("a.log", "line first\n".repeat(10));
    logs.take(10);
    logs.stop();
    let begun = SystemTime::now() - Duration::from_mins(10);
    let lines = numbered(0, 4_000);
    for (round, some) in lines.chunks(100).enumerate() {
        logs.write("a.log", text(some));
        let written = begun + Duration::from_secs(round as u64);
        File::options().append(true).open(logs.path("a.log")).unwrap().set_modified(written).unwrap();
        rename(&logs, "a.log", &format!("a.log.{round}"));
        if round % 3 == 0 {
            gzip(&logs.path(&format!("a.log.{round}")));
        }
    }
    logs.write("a.log", "");
    logs.start();
    assert_eq!(messages(&logs.take(4_000)), lines);
    logs.nothing_more();
}

#[test]
fn renamed_and_not_made_again_until_something_is_written() {
    each_line_comes_once(|logs, round| rename(logs, "a.log", &format!("a.log.{round}")));
}

#[test]
fn a_link_that_is_switched_to_another_file() {
    let mut logs = Logs::new();
    let switch = |logs: &Logs, day: usize| {
        append(&logs.path(&format!("day-{day}.txt")), b"");
        std::os::unix::fs::symlink(format!("day-{day}.txt"), logs.path("next")).unwrap();
        rename(logs, "next", "a.log");
    };
    switch(&logs, 0);
    logs.start_with("a.log");
    for day in 0..4 {
        let lines = numbered(day * 100, day * 100 + 100);
        logs.write("a.log", text(&lines[..50]));
        let mut came = logs.take(50);
        if day % 2 == 1 {
            logs.stop();
        }
        logs.write("a.log", text(&lines[50..]));
        switch(&logs, day + 1);
        if day % 2 == 1 {
            logs.start();
        }
        came.extend(logs.take(50));
        assert_eq!(messages(&came), lines);
    }
    logs.nothing_more();
}

#[test]
fn files_that_are_named_by_date_are_followed_as_they_come() {
    let mut logs = Logs::new();
    logs.start_with("day-0.log");
    for round in 1..5 {
        if round == 3 {
            logs.stop();
        }
        logs.write(&format!("day-{round}.log"), format!("line {round}\n"));
        if round == 3 {
            logs.start();
        }
        assert_eq!(messages(&logs.take(1)), [format!("line {round}")]);
    }
    logs.nothing_more();
}

#[test]
fn a_folder_that_comes_later_is_followed() {
    let mut logs = Logs::new();
    logs.config.files.push(logs.path("*/log/*.txt").display().to_string());
    logs.start_with("a.log");
    fs::create_dir_all(logs.path("app/log")).unwrap();
    append(&logs.path("app/log/b.txt"), b"one\n");
    assert_eq!(messages(&logs.take(1)), ["one"]);
    append(&logs.path("app/log/b.txt"), b"two\n");
    assert_eq!(messages(&logs.take(1)), ["two"]);
}

#[test]
fn utf_16_and_entries_by_timestamp_are_read_as_configured() {
    let mut logs = Logs::new();
    logs.config.sources = vec![Source {
        files: vec![logs.path("*.txt").display().to_string()],
        entries: Entries::Timestamps,
        zone: Some("America/New_York".into()),
        ..Source::default()
    }];
    logs.start_with("a.log");
    let text = "\u{feff}2026-11-22 01:10:57 eins\r\nzwei \u{e4}\r\n\r\n2026-11-22 01:10:58 drei\r\n";
    logs.write("w.txt", text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
    let events = logs.take(2);
    assert_eq!(messages(&events), ["eins\nzwei \u{e4}", "drei"]);
    let at: jiff::Timestamp = "2026-11-22T06:10:57Z".parse().unwrap();
    assert_eq!(events[0].at_ms, at.as_millisecond());
}
