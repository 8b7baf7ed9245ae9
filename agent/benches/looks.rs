//! What a look costs, table by table, on the recorded hosts: `cargo bench -p deskside-agent --bench looks`.
//!
//! A look here is reading the recorded answers (small files in the page cache) and making rows of them; what the machine itself
//! takes to answer, and programs take to run, is not in it.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use deskside_agent::collect::{Collector, Registry, look};
use deskside_agent::host::Recorded;
use deskside_proto::v1::Reading;

/// Looks of a round; the median round counts.
const LOOKS: u32 = 20;

/// Rounds of each table.
const ROUNDS: usize = 5;

/// What the looks at one table came to on the host that gave it most rows.
struct Cost {
    table: &'static str,
    host: String,
    rows: usize,
    bytes: usize,
    took: Duration,
}

fn main() -> anyhow::Result<()> {
    let mut hosts = Vec::new();
    for folder in folders()? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        hosts.push((name, Recorded::open(&folder)?));
    }
    let mut costs: Vec<Cost> =
        Registry::standard().collectors().iter().filter_map(|collector| cost(collector, &hosts)).collect();
    costs.sort_by_key(|cost| std::cmp::Reverse(cost.took));
    println!("{:22} {:12} {:>6} {:>8} {:>12}", "table", "host", "rows", "bytes", "a look");
    for Cost { table, host, rows, bytes, took } in &costs {
        println!("{table:22} {host:12} {rows:>6} {bytes:>8} {:>9.1} µs", took.as_secs_f64() * 1e6);
    }
    let all: Duration = costs.iter().map(|cost| cost.took).sum();
    println!(
        "\n{} tables, {:.2} ms together; median of {ROUNDS} rounds of {LOOKS} looks",
        costs.len(),
        all.as_secs_f64() * 1e3
    );
    Ok(())
}

fn folders() -> anyhow::Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/hosts");
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder)? {
        let folder = entry?.path();
        if folder.join("host.json").is_file() {
            folders.push(folder);
        }
    }
    folders.sort();
    Ok(folders)
}

/// Absent where no recorded host has such a thing.
fn cost(collector: &Collector, hosts: &[(String, Recorded)]) -> Option<Cost> {
    let size = |reading: &Reading| reading.rows.iter().map(prost::bytes::Bytes::len).sum::<usize>();
    let readings = hosts.iter().map(|(name, host)| (name, host, look(collector, host)));
    let (name, host, reading) = readings.max_by_key(|(_name, _host, reading)| (reading.rows.len(), size(reading)))?;
    if reading.rows.is_empty() {
        return None;
    }
    let mut rounds: Vec<Duration> = (0..ROUNDS).map(|_round| round(collector, host)).collect();
    rounds.sort_unstable();
    let took = rounds.get(ROUNDS / 2).copied().unwrap_or_default();
    Some(Cost { table: collector.table, host: name.clone(), rows: reading.rows.len(), bytes: size(&reading), took })
}

fn round(collector: &Collector, host: &Recorded) -> Duration {
    let begun = Instant::now();
    for _look in 0..LOOKS {
        black_box(look(collector, black_box(host)));
    }
    begun.elapsed() / LOOKS
}
