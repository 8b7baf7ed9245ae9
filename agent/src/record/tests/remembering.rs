//! State on change, samples in blocks, positions with their events.

use deskside_proto::v1::Outcome;

use super::{T0, disk, drain, folder, history, line, load, local, open, reading, streamed};

#[test]
fn a_state_that_is_as_it_was_is_not_stored_again() {
    let dir = folder();
    let mut record = open(dir.path());
    let (root, home) = (disk("/", "sda1", 10.0), disk("/home", "sda2", 20.0));
    record.append(T0, &[streamed(reading(T0, &[root.clone(), home.clone()]))]).unwrap();
    let fuller = disk("/", "sda1", 11.0);
    let again = record.append(T0 + 5, &[streamed(reading(T0 + 5, &[home.clone(), fuller]))]).unwrap();
    assert_eq!((again.stored, again.unchanged, again.last_seq), (0, 1, 1), "order and noise are no change");
    assert_eq!(record.unchanged().into_iter().collect::<Vec<_>>(), [("filesystems".to_owned(), T0 + 5)]);
    let moved = record.append(T0 + 9, &[streamed(reading(T0 + 9, &[root]))]).unwrap();
    assert_eq!((moved.stored, moved.last_seq), (1, 2));
    assert!(record.unchanged().is_empty());
}

#[test]
fn an_outcome_that_turned_is_stored_though_the_rows_are_the_same() {
    let dir = folder();
    let mut record = open(dir.path());
    let mut look = reading(T0, &[disk("/", "sda1", 10.0)]);
    record.append(T0, &[streamed(look.clone())]).unwrap();
    look.outcome = Outcome::Partial.into();
    assert_eq!(record.append(T0, &[streamed(look.clone())]).unwrap().stored, 1);
    look.reason = "not seen: /home".into();
    assert_eq!(record.append(T0, &[streamed(look.clone())]).unwrap().stored, 1);
    assert_eq!(record.append(T0, &[streamed(look)]).unwrap().stored, 0);
}

#[test]
fn a_table_that_begins_to_be_streamed_is_told_in_full() {
    let dir = folder();
    let mut record = open(dir.path());
    let look = reading(T0, &[disk("/", "sda1", 10.0)]);
    record.append(T0, &[local(look.clone())]).unwrap();
    assert_eq!(drain(&mut record, 0), []);
    assert_eq!(record.append(T0, &[streamed(look.clone())]).unwrap().stored, 1);
    assert_eq!(drain(&mut record, 0), [(2, look)]);
}

#[test]
fn history_begins_with_the_state_in_force() {
    let dir = folder();
    let mut record = open(dir.path());
    let looks: Vec<_> = (0..5).map(|n| reading(T0 + n * 10, &[disk("/", &format!("sda{n}"), 1.0)])).collect();
    for look in &looks {
        record.append(look.at_ms, &[streamed(look.clone())]).unwrap();
    }
    assert_eq!(history(&record, "filesystems", T0 + 15, T0 + 30), looks[1..=3]);
    assert_eq!(history(&record, "filesystems", T0 + 10, T0 + 12), looks[1..2]);
    let reader = record.reader().unwrap();
    assert_eq!(reader.at("filesystems", T0 + 29).unwrap(), Some(looks[2].clone()));
    assert_eq!(reader.at("filesystems", T0 - 1).unwrap(), None);
    assert_eq!(reader.latest("filesystems").unwrap(), Some(looks[4].clone()));
    assert_eq!(reader.held_since("filesystems").unwrap(), Some(T0));
    assert_eq!(reader.held_since("load").unwrap(), None);
}

#[test]
fn changes_say_what_was_and_what_is_and_a_blind_look_removes_nothing() {
    let dir = folder();
    let mut record = open(dir.path());
    let mut blind = reading::<deskside_proto::v1::Filesystem>(T0 + 1, &[]);
    blind.outcome = Outcome::Denied.into();
    for look in [
        reading(T0, &[disk("/", "sda1", 1.0)]),
        blind,
        reading(T0 + 2, &[disk("/", "sdb1", 2.0), disk("/x", "c", 0.0)]),
    ] {
        record.append(look.at_ms, &[streamed(look)]).unwrap();
    }
    let changes = record.reader().unwrap().changes(None, T0, T0 + 9).unwrap();
    let told: Vec<String> = changes
        .iter()
        .map(|at| {
            format!("{} {} {}: {} -> {}", at.at_ms - T0, at.change.key, at.change.column, at.change.old, at.change.new)
        })
        .collect();
    assert_eq!(
        told,
        ["1  outcome: ok -> denied", "2  outcome: denied -> ok", "2 / source: sda1 -> sdb1", "2 /x :  -> present"]
    );
}

#[test]
fn samples_come_out_of_blocks_as_they_went_in() {
    let dir = folder();
    let mut record = open(dir.path());
    let mut all = Vec::new();
    for n in 0..200 {
        let entry = load(T0 + n * 60_000);
        all.push(entry.reading.clone());
        record.append(T0 + n * 60_000, &[entry]).unwrap();
        if n % 50 == 3 {
            record.append(T0 + n * 60_000, &[line(T0 + n * 60_000, "between")]).unwrap();
        }
    }
    let now_ms = T0 + 200 * 60_000;
    record.tidy(now_ms).unwrap();
    let runs: i64 = record.file.db.query_row("SELECT count(*) FROM runs WHERE form = 2", [], |row| row.get(0)).unwrap();
    assert_eq!(runs, 3, "three hours in three blocks");
    assert_eq!(history(&record, "load", T0, now_ms), all);
    assert_eq!(history(&record, "load", all[70].at_ms, all[90].at_ms), all[70..=90]);
    assert_eq!(record.reader().unwrap().at("load", all[17].at_ms + 5).unwrap().as_ref(), Some(&all[17]));
    let queue = drain(&mut record, 0);
    assert!(queue.is_sorted_by(|a, b| a.0 < b.0), "ascending over all tables");
    assert_eq!(queue.len(), 204);
    assert_eq!(drain(&mut record, 60), queue[60..], "a queue may begin within a block");
    record.kept(100);
    assert_eq!(record.stats().queued, 104);
}

#[test]
fn a_position_is_remembered_with_its_events() {
    let dir = folder();
    let mut record = open(dir.path());
    record.append(T0, &[line(T0, "one"), line(T0 + 1, "two")]).unwrap();
    let epoch = record.epoch();
    drop(record);
    let mut record = open(dir.path());
    assert_eq!(record.position("journal"), Some((T0 + 1).to_string()));
    assert_eq!((record.epoch(), record.last_seq(), record.stats().readings), (epoch, 2, 2));
    assert_eq!(record.append(T0, &[line(T0 + 2, "three")]).unwrap().last_seq, 3);
}

#[test]
fn when_a_state_was_last_found_as_it_was_is_written_down_within_minutes_and_read_back() {
    let dir = folder();
    let mut record = open(dir.path());
    let look = |at_ms: i64| streamed(reading(at_ms, &[disk("/", "sda1", 10.0)]));
    record.append(T0, &[look(T0)]).unwrap();
    let written = |record: &super::Record| record.reader().unwrap().checked_ms("filesystems").unwrap();
    assert!(record.is_unchanged(T0 + 60_000, &look(T0 + 60_000)));
    assert_eq!(written(&record), Some(T0), "nothing is written for it alone");
    let elsewhere = streamed(reading(T0 + 70_000, &[disk("/", "sdb1", 10.0)]));
    assert!(!record.is_unchanged(T0 + 70_000, &elsewhere));
    let due = T0 + 11 * 60_000;
    assert!(!record.is_unchanged(due, &look(due)), "it is to be written");
    record.append(due, &[look(due), load(due)]).unwrap();
    assert_eq!(written(&record), Some(due));
    drop(record);
    assert_eq!(open(dir.path()).unchanged().into_iter().collect::<Vec<_>>(), [("filesystems".to_owned(), due)]);
}
