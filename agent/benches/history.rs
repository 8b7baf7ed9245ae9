//! What three months of a machine's past answer, and how fast: `cargo bench -p deskside-agent --bench history`.
//! Ten changes a day in two state tables, a sample a minute, a log of 400 lines an hour; and a million sampled rows for the scan.
#![allow(clippy::print_stdout, reason = "a bench prints its figure")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use deskside_agent::collect::Registry;
use deskside_agent::record::{Bounds, Entry, Order, Reader, Record};
use deskside_proto::rows::Row;
use deskside_proto::v1::{Certificate, Filesystem, Load, LogEvent, Outcome, Reading};

const T0: i64 = 1_780_000_000_000;
const HOUR_MS: i64 = 3_600_000;
const DAYS: i64 = 90;

/// Certificates that the machine has; one of them changes at a time.
const CERTIFICATES: i64 = 300;

const ROUNDS: usize = 11;

fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let bounds = Bounds { age_max_ms: 100 * 24 * HOUR_MS, samples_every_ms: 0, ..Bounds::default() };
    let registry = Arc::new(Registry::standard());
    let mut record = Record::open(&folder.path().join("months"), bounds.clone(), Arc::clone(&registry), T0)?;
    for hour in 0..DAYS * 24 {
        let now_ms = T0 + hour * HOUR_MS;
        record.append(now_ms, &lived(hour))?;
        record.kept(record.last_seq());
        record.tidy(now_ms)?;
    }
    let (stats, reader) = (record.stats(), record.reader()?);
    println!("{DAYS} days: {} readings in {} KiB, of {}", stats.readings, stats.bytes / 1024, bounds.bytes_max / 1024);
    for table in [Filesystem::TABLE, Certificate::TABLE, Load::TABLE, LogEvent::TABLE] {
        let since = reader.held_since(table)?.unwrap_or(i64::MAX);
        println!("  {table}: held since day {}", (since - T0) / (24 * HOUR_MS));
    }
    let tuesday = T0 + 60 * 24 * HOUR_MS;
    report("the newest 100 changes before Tuesday 10:00", || Ok(reader.changes_before(tuesday, 100)?.len()))?;
    report("the changes of the seven days before", || {
        Ok(reader.changes(None, tuesday - 7 * 24 * HOUR_MS, tuesday)?.len())
    })?;
    report("the changes of all three months", || Ok(reader.changes(None, T0, i64::MAX)?.len()))?;
    drop(reader);

    let bounds = Bounds { bytes_max: 1 << 30, ..bounds };
    let mut record = Record::open(&folder.path().join("million"), bounds, registry, T0)?;
    for minute in 0..20_000 {
        let now_ms = T0 + minute * 60_000;
        let rows: Vec<Load> = (0..50).map(|row| load(minute * 50 + row)).collect();
        record.append(now_ms, &[entry(now_ms, &rows)])?;
    }
    record.kept(record.last_seq());
    record.tidy(T0 + 20_000 * 60_000)?;
    let reader = record.reader()?;
    let (rows, spent) = median(|| scanned(&reader))?;
    println!("a million rows pulled in blocks: {:.1} million a second", rows as f64 / spent.as_secs_f64() / 1e6);
    Ok(())
}

/// An hour of a machine's life.
fn lived(hour: i64) -> Vec<Entry> {
    let at_ms = T0 + hour * HOUR_MS;
    let mut entries: Vec<Entry> = (0..60).map(|n| entry(at_ms + n * 60_000, &[load(hour * 60 + n)])).collect();
    if hour % 24 < 5 {
        let disk = Filesystem { mount_point: "/".into(), source: format!("sda{hour}"), ..Filesystem::default() };
        entries.push(entry(at_ms, &[disk]));
        let subject = |n| format!("CN=host-{n}.example, serial {}", if n == hour % CERTIFICATES { hour } else { 0 });
        let certificate =
            |n| Certificate { file: format!("/etc/ssl/{n}.pem"), subject: subject(n), ..Certificate::default() };
        entries.push(entry(at_ms, &(0..CERTIFICATES).map(certificate).collect::<Vec<_>>()));
    }
    let line = |n: i64| {
        let message =
            format!("unit-{}.service: request {:x} took {} ms", n % 17, (hour * 400 + n) * 2_654_435_761, n * 7);
        LogEvent { at_ms: at_ms + n, source: "journal".into(), position: n.to_string(), message, ..LogEvent::default() }
    };
    entries.extend((0..20).map(|part| entry(at_ms + part, &(part * 20..part * 20 + 20).map(line).collect::<Vec<_>>())));
    entries
}

fn load(n: i64) -> Load {
    Load { load_1: n as f64 / 97.0, load_5: n as f64 / 193.0, processors: 8, ..Load::default() }
}

fn entry<R: Row>(at_ms: i64, rows: &[R]) -> Entry {
    let rows = rows.iter().map(|row| row.encode_to_vec().into()).collect();
    let outcome = Outcome::Ok.into();
    Entry {
        reading: Reading { table: R::TABLE.into(), at_ms, outcome, rows, ..Reading::default() },
        stream: true,
        position: None,
    }
}

fn scanned(reader: &Reader) -> anyhow::Result<usize> {
    let mut runs = reader.runs(Load::TABLE, T0, i64::MAX, Order::OldestFirst)?;
    let mut rows = 0;
    while let Some(readings) = runs.next(reader)? {
        rows += readings.iter().map(|reading| reading.rows.len()).sum::<usize>();
    }
    Ok(rows)
}

fn report(what: &str, work: impl FnMut() -> anyhow::Result<usize>) -> anyhow::Result<()> {
    let (found, spent) = median(work)?;
    println!("{what}: {found} in {:.1} ms, median of {ROUNDS}", spent.as_secs_f64() * 1e3);
    Ok(())
}

fn median(mut work: impl FnMut() -> anyhow::Result<usize>) -> anyhow::Result<(usize, Duration)> {
    let (mut found, mut times) = (0, Vec::new());
    for _round in 0..ROUNDS {
        let begun = Instant::now();
        found = work()?;
        times.push(begun.elapsed());
    }
    times.sort();
    Ok((found, times.get(ROUNDS / 2).copied().unwrap_or_default()))
}
