//! How fast questions in SQL read the record: `cargo bench -p deskside-agent --bench sql`.
//!
//! One million rows of `interface_io` (16 interfaces, a reading a minute) are remembered and folded into compressed blocks by the record
//! itself. Each question is asked through the whole engine that the agent answers with; its time includes opening the engine, reading and
//! opening blocks, and taking the answer's parts. Processor time is that of the asking thread alone.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use deskside_agent::ask::{Looks, Machine};
use deskside_agent::collect::Registry;
use deskside_agent::record::{Bounds, Entry, Reader, Record};
use deskside_proto::rows::Row;
use deskside_proto::sql::{self, Brake, Source, SqlError};
use deskside_proto::v1::{InterfaceIo, Outcome, Query, Reading};
use prost::Message;

/// Rows remembered.
const ROWS: u64 = 1_000_000;
const INTERFACES: u64 = 16;
const READINGS: i64 = (ROWS / INTERFACES) as i64;
const T0: i64 = 1_800_000_000_000;
const MINUTE: i64 = 60_000;

/// Readings remembered together.
const TOGETHER: usize = 2_000;

/// Times that each question is asked; the best counts.
const ROUNDS: usize = 5;

/// Rows a second that a filter by number within a time is to reach.
const FILTER_MIN: f64 = 4e6;

/// Why half of the rows where they are grouped: SQLite sorts them first, in memory, and a million of these rows are over its bound.
const QUESTIONS: [(&str, &str); 6] = [
    (
        "numeric filter in a time range",
        "SELECT count(*), sum(tx_bytes_per_second) FROM interface_io(:from, :to) WHERE rx_bytes_per_second > 900000",
    ),
    ("count", "SELECT count(*) FROM interface_io(:from, :to)"),
    ("numeric sum", "SELECT sum(rx_bytes_per_second) FROM interface_io(:from, :to)"),
    (
        "group by text, half of the rows",
        "SELECT interface, count(*), max(rx_bytes_per_second) FROM interface_io(:from, :half) GROUP BY interface",
    ),
    ("LIKE on text", "SELECT count(*) FROM interface_io(:from, :to) WHERE interface LIKE '%p1_'"),
    (
        "all columns",
        "SELECT max(interface), sum(rx_bytes_per_second), sum(tx_bytes_per_second), sum(rx_packets_per_second),
        sum(tx_packets_per_second), sum(rx_errors_per_second), sum(tx_errors_per_second), sum(rx_dropped_per_second),
        sum(tx_dropped_per_second), sum(used_percent), sum(over_s) FROM interface_io(:from, :to)",
    ),
];

/// Nothing is looked at: all is in the record.
struct Blind;

impl Looks for Blind {
    fn look(&self, _table: &str, _brake: &Brake) -> Result<Option<Reading>, SqlError> {
        Ok(None)
    }
}

fn main() -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("deskside-sql-").tempdir()?;
    let registry = Arc::new(Registry::standard());
    let bytes = remember(folder.path(), &registry)?;
    println!("{ROWS} rows of interface_io in blocks, {} MiB on disk", bytes >> 20);
    let mut filter = 0.0;
    for (name, question) in QUESTIONS {
        let (mut best, mut cpu) = (Duration::MAX, Duration::MAX);
        for _round in 0..ROUNDS {
            let (took, used) = ask(folder.path(), &registry, question)?;
            (best, cpu) = (best.min(took), cpu.min(used));
        }
        let rows = if question.contains(":half") { ROWS / 2 } else { ROWS } as f64;
        let (rate, on_cpu) = (rows / best.as_secs_f64() / 1e6, rows / cpu.as_secs_f64() / 1e6);
        println!("{name}: {rate:.2} million rows a second ({on_cpu:.2} by processor time), best of {ROUNDS}");
        if filter == 0.0 {
            filter = on_cpu * 1e6;
        }
    }
    ensure!(filter >= FILTER_MIN, "a filter reads {filter:.0} rows a second, less than {FILTER_MIN:.0}");
    Ok(())
}

fn remember(folder: &std::path::Path, registry: &Arc<Registry>) -> anyhow::Result<u64> {
    let bounds = Bounds { bytes_max: 4 << 30, age_max_ms: i64::MAX, samples_every_ms: 0, ..Bounds::default() };
    let mut record = Record::open(folder, bounds, Arc::clone(registry), T0)?;
    let mut entries = Vec::new();
    for place in 0..READINGS {
        entries.push(Entry { reading: reading(place), stream: false, position: None });
        if entries.len() >= TOGETHER || place + 1 == READINGS {
            record.append(T0 + place * MINUTE, &entries)?;
            entries.clear();
        }
    }
    record.tidy(T0 + READINGS * MINUTE)?;
    Ok(record.stats().bytes)
}

/// Rates as machines have them: some traffic, no errors.
fn reading(place: i64) -> Reading {
    let row = |interface: u64| {
        let draw = (place.cast_unsigned() * INTERFACES + interface).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 44;
        InterfaceIo {
            interface: format!("enp{interface}s0"),
            rx_bytes_per_second: Some(draw as f64),
            tx_bytes_per_second: Some((draw / 3) as f64),
            rx_packets_per_second: Some((draw / 900) as f64),
            tx_packets_per_second: Some((draw / 2_700) as f64),
            rx_errors_per_second: Some(0.0),
            tx_errors_per_second: Some(0.0),
            rx_dropped_per_second: Some(0.0),
            tx_dropped_per_second: Some(0.0),
            used_percent: Some(1.5),
            over_s: Some(60.0),
        }
    };
    Reading {
        table: InterfaceIo::TABLE.into(),
        at_ms: T0 + place * MINUTE,
        outcome: Outcome::Ok.into(),
        rows: (0..INTERFACES).map(|interface| row(interface).encode_to_vec().into()).collect(),
        ..Reading::default()
    }
}

/// How long a question took, and the processor time of it.
fn ask(folder: &std::path::Path, registry: &Arc<Registry>, question: &str) -> anyhow::Result<(Duration, Duration)> {
    let (begun, used) = (Instant::now(), on_cpu()?);
    let reader = Reader::open(folder, Arc::clone(registry))?;
    let machine = Machine::new(Some(reader), registry, Box::new(Blind), T0 + READINGS * MINUTE);
    let source: Arc<dyn Source> = Arc::new(machine);
    let brake = Arc::new(Brake::new(Instant::now() + Duration::from_mins(5)));
    let (to, half) = (T0 + READINGS * MINUTE, T0 + (READINGS / 2 - 1) * MINUTE);
    let parameters = [("from", T0), ("to", to), ("half", half)];
    let parameters = parameters.map(|(name, at_ms)| (name.to_owned(), at_ms.to_string()));
    let query = Query { sql: question.into(), parameters: parameters.into(), ..Query::default() };
    let mut rows = 0;
    sql::answer(&source, &query, sql::Bounds::default(), &brake, &mut |part| {
        rows += part.rows.len();
        true
    })?;
    ensure!(rows > 0, "no answer to {question}");
    Ok((begun.elapsed(), on_cpu()?.saturating_sub(used)))
}

/// proc(5), schedstat: nanoseconds that this thread was on a processor.
fn on_cpu() -> anyhow::Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = text.split(' ').next().context("an empty schedstat")?;
    Ok(Duration::from_nanos(first.parse()?))
}
