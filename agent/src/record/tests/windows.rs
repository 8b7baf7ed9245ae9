//! Readings pulled from a window, run by run.

use deskside_proto::v1::Reading;

use super::{T0, folder, history, line, load, open};
use crate::record::{Order, Reader, Record};

const MINUTE: i64 = 60_000;

fn pulled(reader: &Reader, from_ms: i64, to_ms: i64, order: Order) -> Vec<Reading> {
    let mut runs = reader.runs("load", from_ms, to_ms, order).unwrap();
    std::iter::from_fn(|| runs.next(reader).unwrap()).flatten().collect()
}

/// Five hundred samples, the older ones in blocks.
fn samples(record: &mut Record) -> Vec<Reading> {
    let mut all = Vec::new();
    for minute in 0..500 {
        let entry = load(T0 + minute * MINUTE);
        all.push(entry.reading.clone());
        record.append(T0 + minute * MINUTE, &[entry]).unwrap();
    }
    record.tidy(T0 + 500 * MINUTE).unwrap();
    all
}

#[test]
fn a_window_is_pulled_from_either_end_and_is_what_history_tells() {
    let dir = folder();
    let mut record = open(dir.path());
    let all = samples(&mut record);
    let reader = record.reader().unwrap();
    for (from, to) in [(0, 499), (30, 130), (61, 61), (440, 480), (499, 499)] {
        let (from_ms, to_ms) = (all[from].at_ms, all[to].at_ms);
        assert_eq!(pulled(&reader, from_ms, to_ms, Order::OldestFirst), history(&record, "load", from_ms, to_ms));
        let mut newest = pulled(&reader, from_ms, to_ms, Order::NewestFirst);
        newest.reverse();
        assert_eq!(newest, all[from..=to]);
    }
    assert_eq!(pulled(&reader, i64::MIN, i64::MAX, Order::NewestFirst).len(), 500);
    assert_eq!(pulled(&reader, T0 + 2, T0 + 1, Order::OldestFirst), []);
    assert_eq!(pulled(&reader, 0, T0 - 1, Order::OldestFirst), []);
    assert!(reader.runs("no such table", 0, i64::MAX, Order::OldestFirst).unwrap().next(&reader).unwrap().is_none());
}

#[test]
fn what_is_folded_while_a_window_is_pulled_is_neither_missed_nor_seen_twice() {
    let dir = folder();
    let mut record = open(dir.path());
    let mut all = Vec::new();
    for minute in 0..300 {
        let entry = load(T0 + minute * MINUTE);
        all.push(entry.reading.clone());
        record.append(T0 + minute * MINUTE, &[entry]).unwrap();
    }
    let reader = record.reader().unwrap();
    let mut runs = reader.runs("load", T0, i64::MAX, Order::OldestFirst).unwrap();
    let mut seen = Vec::new();
    while let Some(readings) = runs.next(&reader).unwrap() {
        seen.extend(readings);
        if seen.len() == 40 {
            record.tidy(T0 + 300 * MINUTE).unwrap();
            record.append(T0 + 300 * MINUTE, &[line(T0 + 300 * MINUTE, "meanwhile")]).unwrap();
        }
    }
    assert_eq!(seen, all);
}

#[test]
fn rows_of_a_block_are_slices_of_one_piece_of_memory() {
    let dir = folder();
    let mut record = open(dir.path());
    samples(&mut record);
    let reader = record.reader().unwrap();
    let mut runs = reader.runs("load", T0, T0 + 100 * MINUTE, Order::OldestFirst).unwrap();
    let block = runs.next(&reader).unwrap().unwrap();
    assert!(block.len() > 50, "a block of {}", block.len());
    let places: Vec<usize> = block.iter().map(|reading| reading.rows[0].as_ptr() as usize).collect();
    let apart = places.last().unwrap() - places[0];
    let bytes: usize = block.iter().map(prost::Message::encoded_len).sum();
    assert!(places.is_sorted() && apart <= bytes + 16 * block.len(), "{apart} bytes apart, {bytes} bytes long");
}
