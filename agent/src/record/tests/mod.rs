//! What the record promises, on real files.

mod bad_days;
mod bounds;
mod long;
mod model;
mod remembering;
mod windows;

use std::path::Path;
use std::sync::Arc;

use deskside_proto::rows::Row;
use deskside_proto::v1::{Filesystem, Load, LogEvent, Outcome, Reading};

use super::{Bounds, Entry, Position, Record};
use crate::collect::Registry;

const T0: i64 = 1_780_000_000_000;

/// A folder in memory where there is one: what is tried here is not the disk's patience.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_no_such| tempfile::tempdir()).unwrap()
}

fn open(dir: &Path) -> Record {
    bounded(dir, Bounds::default(), T0)
}

fn bounded(dir: &Path, bounds: Bounds, now_ms: i64) -> Record {
    Record::open(&dir.join("record"), bounds, Arc::new(Registry::standard()), now_ms).unwrap()
}

fn reading<R: Row>(at_ms: i64, rows: &[R]) -> Reading {
    let rows = rows.iter().map(|row| row.encode_to_vec().into()).collect();
    Reading { table: R::TABLE.into(), at_ms, outcome: Outcome::Ok.into(), rows, ..Reading::default() }
}

fn streamed(reading: Reading) -> Entry {
    Entry { reading, stream: true, position: None }
}

fn local(reading: Reading) -> Entry {
    Entry { reading, stream: false, position: None }
}

fn disk(mount_point: &str, source: &str, used_percent: f64) -> Filesystem {
    Filesystem { mount_point: mount_point.into(), source: source.into(), used_percent, ..Filesystem::default() }
}

fn load(at_ms: i64) -> Entry {
    streamed(reading(at_ms, &[Load { load_1: at_ms as f64 / 7.0, processors: 2, ..Load::default() }]))
}

fn line(at_ms: i64, text: &str) -> Entry {
    let position = at_ms.to_string();
    let event = LogEvent {
        at_ms,
        source: "journal".into(),
        position: position.clone(),
        message: text.into(),
        ..LogEvent::default()
    };
    let position = Some(Position { source: "journal".into(), at: position });
    Entry { reading: reading(at_ms, &[event]), stream: true, position }
}

/// All that is queued after a number, asked for in small pieces.
fn drain(record: &mut Record, after: u64) -> Vec<(u64, Reading)> {
    let (mut all, mut seq) = (Vec::new(), after);
    loop {
        let some = record.after(seq, 700).unwrap();
        let Some(last) = some.last() else { return all };
        seq = last.seq;
        all.extend(some.into_iter().map(|numbered| (numbered.seq, numbered.reading.unwrap())));
    }
}

fn history(record: &Record, table: &str, from_ms: i64, to_ms: i64) -> Vec<Reading> {
    let mut all = Vec::new();
    record.reader().unwrap().history(table, from_ms, to_ms, &mut |reading| all.push(reading)).unwrap();
    all
}
