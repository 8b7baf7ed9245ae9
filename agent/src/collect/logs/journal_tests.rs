//! Journals written entry by entry, so that what journald does between two of our looks is in the test's hand.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use deskside_proto::v1::LogEvent;
use prost::Message;
use tempfile::TempDir;

use super::batch::{Batch, Rate};
use super::journal::Journals;

/// Where the first entry array lies, and how many entries it takes.
const ARRAY_AT: u64 = 272;
const ARRAY_ITEMS: u64 = 64;

/// A journal file of one journald, in the regular form.
struct Written {
    path: PathBuf,
    file_id: u8,
    seqnum_id: u8,
    archived: bool,
    entries: Vec<(u64, u64)>,
}

impl Written {
    fn new(folder: &Path, name: &str, file_id: u8, seqnum_id: u8) -> Self {
        let written = Self { path: folder.join(name), file_id, seqnum_id, archived: false, entries: Vec::new() };
        written.flush();
        written
    }

    /// One entry with a number and a time, whose text is its number.
    fn entry(&mut self, seqnum: u64, realtime_us: u64) {
        self.entries.push((seqnum, realtime_us));
        self.flush();
    }

    /// As journald rotates: another name, then another state.
    fn archive(&mut self, name: &str) {
        let path = self.path.with_file_name(name);
        fs::rename(&self.path, &path).unwrap();
        self.path = path;
        self.archived = true;
        self.flush();
    }

    fn flush(&self) {
        let mut bytes = self.head();
        bytes.extend(object(6, 24 + 8 * ARRAY_ITEMS));
        bytes.extend(0_u64.to_le_bytes());
        let mut at = ARRAY_AT + 24 + 8 * ARRAY_ITEMS;
        let mut bodies = Vec::new();
        for place in 0..ARRAY_ITEMS as usize {
            let Some((seqnum, realtime_us)) = self.entries.get(place) else {
                bytes.extend(0_u64.to_le_bytes());
                continue;
            };
            bytes.extend(at.to_le_bytes());
            let body = body(*seqnum, *realtime_us, at);
            at += body.len() as u64;
            bodies.extend(body);
        }
        bytes.extend(bodies);
        // In place, as journald writes: the file stays the same one.
        let mut file = File::options().create(true).truncate(false).write(true).open(&self.path).unwrap();
        file.write_all(&bytes).unwrap();
    }

    fn head(&self) -> Vec<u8> {
        let mut head = b"LPKSHHRH".to_vec();
        head.extend([0; 8]);
        head.extend([if self.archived { 2 } else { 1 }, 0, 0, 0, 0, 0, 0, 0]);
        head.extend([self.file_id; 16]);
        head.extend([0; 32]);
        head.extend([self.seqnum_id; 16]);
        head.extend([0; 64]);
        head.extend((self.entries.len() as u64).to_le_bytes());
        head.extend(self.entries.last().map_or(0, |(seqnum, _)| *seqnum).to_le_bytes());
        head.extend(self.entries.first().map_or(0, |(seqnum, _)| *seqnum).to_le_bytes());
        head.extend(ARRAY_AT.to_le_bytes());
        head.resize(ARRAY_AT as usize, 0);
        head
    }
}

fn object(kind: u64, size: u64) -> Vec<u8> {
    [kind.to_le_bytes(), size.to_le_bytes()].concat()
}

/// An entry and its only field, which follows it.
fn body(seqnum: u64, realtime_us: u64, at: u64) -> Vec<u8> {
    let text = format!("MESSAGE={seqnum}");
    let mut body = object(3, 80);
    for number in [seqnum, realtime_us, 0, 0, 0, 0] {
        body.extend(number.to_le_bytes());
    }
    body.extend((at + 80).to_le_bytes());
    body.extend(0_u64.to_le_bytes());
    body.extend(object(1, 64 + text.len() as u64));
    body.extend([0; 48]);
    body.extend(text.as_bytes());
    body.resize(body.len().next_multiple_of(8), 0);
    body
}

struct Followed {
    journals: Journals,
    rate: Rate,
}

impl Followed {
    fn new(folder: &TempDir, position: Option<&str>) -> Self {
        let folders = [folder.path().display().to_string()];
        let mut journals = Journals::new(&folders, position, 0, false);
        assert_eq!(journals.scan(), Vec::<String>::new());
        Self { journals, rate: Rate::new(1_000, 1_000, 0) }
    }

    fn read(&mut self) -> String {
        let mut batch = Batch::new(&mut self.rate, 0);
        assert_eq!(self.journals.read(&mut batch), Vec::<String>::new());
        let events = batch.into_events().into_iter().map(|event| LogEvent::decode(event.row).unwrap());
        events.map(|event| event.message).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn a_journal_begun_between_a_scan_and_a_read_is_not_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut system = Written::new(folder.path(), "system.journal", 1, 9);
    system.entry(1, 1);
    let mut followed = Followed::new(&folder, None);
    let mut user = Written::new(folder.path(), "user-1000.journal", 2, 9);
    user.entry(2, 2);
    system.entry(3, 3);
    assert_eq!(followed.read(), "1 2 3");
}

#[test]
fn the_file_that_takes_the_name_of_a_rotated_one_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut old = Written::new(folder.path(), "system.journal", 1, 9);
    old.entry(1, 1);
    let mut followed = Followed::new(&folder, None);
    assert_eq!(followed.read(), "1");
    old.entry(2, 2);
    old.archive("system@1.journal");
    let mut new = Written::new(folder.path(), "system.journal", 2, 9);
    assert_eq!(followed.read(), "2");
    new.entry(3, 3);
    assert_eq!(followed.journals.scan(), Vec::<String>::new());
    assert_eq!(followed.read(), "3");
    assert_eq!(Followed::new(&folder, Some(&followed.journals.position().at)).read(), "");
}

#[test]
fn a_clock_that_is_set_back_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut system = Written::new(folder.path(), "system.journal", 1, 9);
    system.entry(1, 5_000);
    system.entry(2, 6_000);
    let mut followed = Followed::new(&folder, None);
    assert_eq!(followed.read(), "1 2");
    system.entry(3, 100);
    let mut restarted = Followed::new(&folder, Some(&followed.journals.position().at));
    assert_eq!((followed.read(), restarted.read()), ("3".into(), "3".into()));
}

#[test]
fn files_of_one_journald_are_read_in_the_order_of_their_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let mut system = Written::new(folder.path(), "system.journal", 1, 9);
    let mut user = Written::new(folder.path(), "user-1000.journal", 2, 9);
    for seqnum in [1, 4, 5] {
        system.entry(seqnum, seqnum);
    }
    for seqnum in [2, 3, 6] {
        user.entry(seqnum, seqnum);
    }
    let mut followed = Followed::new(&folder, None);
    assert_eq!(followed.read(), "1 2 3 4 5 6");
    fs::remove_file(&system.path).unwrap();
    user.entry(7, 7);
    assert_eq!(followed.read(), "7");
}
