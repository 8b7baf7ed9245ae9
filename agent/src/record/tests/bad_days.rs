//! Damaged files, full disks, and deaths in the middle.

use std::fs;
use std::sync::Arc;

use deskside_proto::v1::Loss;
use prost::Message;

use super::{Bounds, T0, drain, folder, history, line, load, open};
use crate::collect::Registry;
use crate::record::{Record, RecordError};

fn names(dir: &std::path::Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_of_random_bytes_is_set_aside_and_told() {
    let dir = folder();
    fs::create_dir_all(dir.path().join("record")).unwrap();
    let mut epochs = Vec::new();
    for day in 0..4 {
        let garbage: Vec<u8> = (0..50_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        fs::write(dir.path().join("record/record.db"), garbage).unwrap();
        let registry = Arc::new(Registry::standard());
        let mut record = Record::open(&dir.path().join("record"), Bounds::default(), registry, T0 + day).unwrap();
        epochs.push(record.epoch());
        let queue = drain(&mut record, 0);
        let loss = Loss::decode(queue[0].1.rows[0].clone()).unwrap();
        assert!(loss.reason.contains("damaged"), "{loss:?}");
        assert_eq!(record.stats().set_aside, 1);
        record.append(T0, &[load(T0)]).unwrap();
    }
    epochs.dedup();
    assert_eq!(epochs.len(), 4, "each has an epoch of its own");
    let aside = names(&dir.path().join("record")).into_iter().filter(|name| name.starts_with("record-damaged-"));
    assert_eq!(aside.collect::<Vec<_>>(), [format!("record-damaged-{}", T0 + 2), format!("record-damaged-{}", T0 + 3)]);
}

#[test]
fn a_file_that_lost_its_end_is_set_aside() {
    let dir = folder();
    let mut record = open(dir.path());
    for n in 0..300 {
        record.append(T0 + n, &[line(T0 + n, &"x".repeat(900))]).unwrap();
    }
    let epoch = record.epoch();
    drop(record);
    let file = fs::OpenOptions::new().write(true).open(dir.path().join("record/record.db")).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let record = open(dir.path());
    assert_ne!(record.epoch(), epoch);
    assert_eq!(history(&record, "losses", 0, i64::MAX).len(), 1);
}

#[test]
fn a_file_of_another_form_is_set_aside() {
    let dir = folder();
    let record = open(dir.path());
    let epoch = record.epoch();
    record.file.db.pragma_update(None, "user_version", 99).unwrap();
    drop(record);
    assert_ne!(open(dir.path()).epoch(), epoch);
}

#[test]
fn damage_found_while_running_loses_neither_the_new_readings_nor_the_positions() {
    let dir = folder();
    let mut record = open(dir.path());
    for n in 0..300 {
        record.append(T0 + n, &[line(T0 + n, &"x".repeat(900))]).unwrap();
    }
    let epoch = record.epoch();
    record.file.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let path = dir.path().join("record/record.db");
    let length = fs::metadata(&path).unwrap().len() as usize;
    let mut bytes = fs::read(&path).unwrap();
    bytes[8192..length].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    record.file.db.execute_batch("PRAGMA cache_size = 0; PRAGMA shrink_memory; PRAGMA cache_size = -256").unwrap();
    let mut at_ms = T0 + 1000;
    while record.epoch() == epoch {
        record.append(at_ms, &[line(at_ms, "after the damage")]).unwrap();
        at_ms += 1;
        assert!(at_ms < T0 + 2000, "the damage was never seen");
    }
    assert_eq!(record.position("journal"), Some((at_ms - 1).to_string()));
    let queue = drain(&mut record, 0);
    assert_eq!(queue[0].1.table, "losses");
    assert_eq!(queue.last().unwrap().1, line(at_ms - 1, "after the damage").reading);
    drop(record);
    assert_eq!(open(dir.path()).position("journal"), Some((at_ms - 1).to_string()));
}

#[test]
fn a_full_disk_stores_nothing_says_so_and_is_got_over() {
    let dir = folder();
    let mut record = open(dir.path());
    record.append(T0, &[line(T0, "before")]).unwrap();
    let pages: i64 = record.file.db.query_row("PRAGMA max_page_count = 1", [], |row| row.get(0)).unwrap();
    let big = [line(T0 + 1, &"x".repeat(900)), line(T0 + 2, &format!("{:?}", (0..9000).collect::<Vec<_>>()))];
    let refused = record.append(T0 + 1, &big);
    assert!(matches!(refused, Err(RecordError::Full(_))), "{refused:?} with {pages} pages");
    assert_eq!((record.last_seq(), record.position("journal")), (1, Some(T0.to_string())));
    record.file.db.query_row("PRAGMA max_page_count = 1000000", [], |_row| Ok(())).unwrap();
    assert_eq!(record.append(T0 + 1, &big).unwrap().last_seq, 3);
    assert_eq!(drain(&mut record, 0).len(), 3);
}

#[test]
fn a_death_in_the_middle_of_an_append_leaves_all_of_it_or_nothing() {
    let dir = folder();
    let mut record = open(dir.path());
    record.append(T0, &[line(T0, "one")]).unwrap();
    let begun = record.file.db.unchecked_transaction().unwrap();
    begun
        .execute("INSERT INTO runs SELECT 2, 2, table_id, at_ms, last_ms, 1, 1, 0, form, content FROM runs", [])
        .unwrap();
    let copy = folder();
    fs::create_dir_all(copy.path().join("record")).unwrap();
    for name in ["record.db", "record.db-wal"] {
        fs::copy(dir.path().join("record").join(name), copy.path().join("record").join(name)).unwrap();
    }
    let epoch = {
        let mut survivor = open(copy.path());
        assert_eq!((survivor.last_seq(), drain(&mut survivor, 0).len()), (1, 1));
        survivor.epoch()
    };
    begun.commit().unwrap();
    assert_eq!(record.epoch(), epoch);
}

/// A small generator of numbers, so that a failing seed can be lived again.
fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    }
}

#[test]
fn whatever_bytes_are_hurt_the_record_goes_on() {
    for seed in 0..60 {
        eprintln!("seed {seed}");
        let mut number = numbers(seed);
        let dir = folder();
        let mut record = open(dir.path());
        let entries: Vec<_> =
            (0..150).map(|n| if n % 3 == 0 { load(T0 + n * 60_000) } else { line(T0 + n, &"y".repeat(400)) }).collect();
        record.append(T0, &entries).unwrap();
        record.tidy(T0 + 200 * 60_000).unwrap();
        record.file.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        let live = number(2) == 0;
        let mut held = Some(record).filter(|_record| live);
        let path = dir.path().join("record/record.db");
        let mut bytes = fs::read(&path).unwrap();
        for _hurt in 0..=number(300) {
            let place = number(bytes.len() as u64) as usize;
            bytes[place] = number(256) as u8;
        }
        fs::write(&path, bytes).unwrap();
        let mut record = held.take().unwrap_or_else(|| open(dir.path()));
        let day = 25 * 3_600_000;
        record.after(0, 1 << 20).unwrap_or_else(|error| panic!("seed {seed}: after: {error}"));
        record.append(T0 + day, &[line(T0 + day, "still here")]).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        record.tidy(T0 + day).unwrap_or_else(|error| panic!("seed {seed}: tidy: {error}"));
        drop(record);
        // What memory had kept of a hurt page may be found out only now.
        let mut record = open(dir.path());
        let position = Some((T0 + day + 1).to_string());
        record
            .append(T0 + day, &[line(T0 + day + 1, "and here")])
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!((record.position("journal"), drain(&mut record, 0).is_empty()), (position, false), "seed {seed}");
    }
}

#[test]
fn damage_on_a_full_disk_is_mended_once_there_is_room() {
    let dir = folder();
    let mut record = open(dir.path());
    record.append(T0, &[line(T0, "before")]).unwrap();
    let epoch = record.epoch();
    record.damage = Some("its disk lied".into());
    crate::record::file::set_aside(&dir.path().join("record"), T0).unwrap();
    // A folder in the file's place: nothing can be begun there.
    let place = dir.path().join("record/record.db");
    fs::create_dir(&place).unwrap();
    assert!(record.append(T0 + 1, &[line(T0 + 1, "refused")]).is_err());
    assert_eq!(record.epoch(), epoch);
    fs::remove_dir(&place).unwrap();
    record.append(T0 + 2, &[line(T0 + 2, "after")]).unwrap();
    assert_ne!(record.epoch(), epoch);
    let tables: Vec<String> = drain(&mut record, 0).into_iter().map(|(_seq, reading)| reading.table).collect();
    assert_eq!(tables, ["losses", "log_events"]);
    assert_eq!((record.position("journal"), record.stats().set_aside), (Some((T0 + 2).to_string()), 1));
}
