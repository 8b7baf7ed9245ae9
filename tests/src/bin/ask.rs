//! How long a live question takes: `SELECT * FROM printers` from a technician's program through a real server to a real agent, which asks a
//! real CUPS, and back, over the loopback interface. Printed with the conditions.
//!
//! `cargo build --release --workspace --bins && target/release/ask`; needs `cups` as the tests do.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use deskside_tests::lab::asker::{Asker, to_device};
use deskside_tests::lab::cups::Cups;
use deskside_tests::lab::process::{Agent, Server, until};

/// A look that ended this recently answers the next one who asks; so much lies between two questions that each make a look.
const APART: Duration = Duration::from_millis(2_100);

/// Queues that CUPS has.
const QUEUES: usize = 5;

/// What 99 of 100 are to stay below.
const P99_MAX: Duration = Duration::from_millis(50);

/// Times a live question.
#[derive(Debug, Parser)]
struct Arguments {
    /// Questions that each make a look.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    looks: u32,
    /// Questions that share the look of a moment ago.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    shared: u32,
    /// Questions that are given up while they are worked on.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    stops: u32,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let cups = Cups::start()?;
    for number in 0..QUEUES {
        cups.add_queue(&format!("queue{number}"), "file:///dev/null")?;
    }
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path())?;
    let settings = format!("print_server = {:?}\n", cups.socket().display().to_string());
    let mut agent = Agent::new(folder.path(), &settings)?;
    let device = agent.enrol(&server)?;
    until("the session", || Ok(agent.status()?.connected_since_ms))?;
    let mut asker = Asker::new(&server, "nora", "technician").await?;
    let mut out = io::stdout().lock();
    let fresh = times(&mut asker, &device, arguments.looks, APART).await?;
    let shared = times(&mut asker, &device, arguments.shared, Duration::ZERO).await?;
    for (name, times) in [("each with a look", &fresh), ("sharing a look", &shared)] {
        let (median, p99) = (at(times, 50), at(times, 99));
        writeln!(
            out,
            "SELECT * FROM printers, {QUEUES} queues, {} questions {name}: median {median:?}, p99 {p99:?}",
            times.len()
        )?;
    }
    let stopped = stops(&mut asker, &device, arguments.stops).await?;
    let (median, worst) = (at(&stopped, 50), at(&stopped, 100));
    writeln!(
        out,
        "{} questions given up: the one that waited is answered within median {median:?}, at most {worst:?}",
        stopped.len()
    )?;
    ensure!(at(&fresh, 99) <= P99_MAX, "a live question takes longer than {P99_MAX:?}");
    Ok(())
}

/// How long each question took, shortest first.
async fn times(asker: &mut Asker, device: &str, count: u32, apart: Duration) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    for _question in 0..count {
        tokio::time::sleep(apart).await;
        let begun = Instant::now();
        let answered = asker.ask(to_device(device, "SELECT * FROM printers")).await?;
        times.push(begun.elapsed());
        ensure!(answered.rows.len() == QUEUES, "{} rows for {QUEUES} queues", answered.rows.len());
    }
    times.sort();
    Ok(times)
}

/// With as many questions worked on as may be: the time from hanging up on one to the whole answer of the one that waited for its turn.
async fn stops(asker: &mut Asker, device: &str, count: u32) -> anyhow::Result<Vec<Duration>> {
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
    let mut times = Vec::new();
    for _question in 0..count {
        let mut held = Vec::new();
        for _turn in 0..2 {
            let mut parts = asker.put(to_device(device, endless)).await?;
            parts.message().await?.context("an endless question has columns")?;
            held.push(parts);
        }
        let mut waits = asker.put(to_device(device, "SELECT count(*) FROM tables")).await?;
        let told = waits.message().await?.context("it is told to wait")?;
        ensure!(!told.progress.is_empty(), "it did not wait");
        let begun = Instant::now();
        drop(held.pop());
        while waits.message().await?.is_some() {}
        times.push(begun.elapsed());
        drop(held);
        // Both turns are to be free again.
        asker.ask(to_device(device, "SELECT 1")).await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    times.sort();
    Ok(times)
}

/// The time that so many of a hundred stay below.
fn at(times: &[Duration], percent: usize) -> Duration {
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}
