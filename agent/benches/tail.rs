//! What following a log costs, from notify through redaction to the record: `cargo bench -p deskside-agent --bench tail`.
//!
//! The real agent follows a file that this bench writes: lines of 120 bytes, as fast as the disk takes them, with the rate limit
//! lifted. Processor time is the whole agent's from the first line to the last that its record holds; memory is its share (PSS) then,
//! and in the idle minute before. Looks come due in both, and run much of the program for a moment; therefore the median is compared with
//! the median and the highest with the highest. What is dirty is the agent's own; the rest is its program in the page cache.
//!
//! With `-- storm` the limit stays as it is by default, so that nearly all lines are left out: what a log storm costs, what it leaves on
//! the disk, and whether each of its lines is either recorded or counted as left out.
//!
//! `LINES` in the environment says how many lines, `AGENT` which agent; by default it is the one that is built with the bench.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use deskside_agent::collect::Registry;
use deskside_agent::record::{Bounds, Record};
use deskside_proto::rows::Row;
use deskside_proto::v1::LogEvent;
use prost::Message;
use rusqlite::{Connection, OpenFlags};

/// Lines written.
const LINES: u64 = 2_000_000;

/// Bytes of a line, its end included.
const LINE_BYTES: usize = 120;

/// What is aimed at.
const CPU_S_A_MILLION_MAX: f64 = 4.0;
const GROWTH_MIB_MAX: f64 = 8.0;

/// The agent has looked at everything once, and is idle.
const SETTLE: Duration = Duration::from_secs(20);

/// Longest wait for the record to hold the last line.
const PATIENCE: Duration = Duration::from_mins(10);

/// Between two looks at memory and at the record.
const PAUSE: Duration = Duration::from_millis(100);

/// As long the idle agent is looked at: some of its looks come every minute.
const IDLE: Duration = Duration::from_mins(1);

/// Longer than the agent waits before it tells again how many lines were left out.
const TOLD: Duration = Duration::from_secs(15);

/// proc(5), `USER_HZ`.
const TICKS_PER_SECOND: f64 = 100.0;

const MIB: f64 = 1024.0;

/// What programs write, each with a number of its own; one line in a hundred holds a secret, one in twenty a person's folder.
const TEXTS: [&str; 5] = [
    "systemd[1]: Started session-{n}.scope - Session {n} of user anna, after waiting for the seat to be ready",
    "NetworkManager[812]: <info> dhcp4 (enp3s0): state changed new lease, address=192.0.2.17, transaction {n}",
    "cupsd[1203]: [Job {n}] The printer is not responding. socket://192.0.2.7:9100 timed out after 30 seconds",
    "kernel: [{n}.381] usb 1-4: new high-speed USB device number 7 using xhci_hcd, waiting for its descriptor",
    "app[4711]: request {n} to /api/v2/orders took 1834 ms, status 503, upstream 10.0.3.12:8443, will try again",
];

fn main() -> anyhow::Result<()> {
    let lines = std::env::var("LINES").ok().and_then(|lines| lines.parse().ok()).unwrap_or(LINES);
    let storm = std::env::args().any(|argument| argument == "storm");
    let folder = tempfile::Builder::new().prefix("deskside-tail-").tempdir()?;
    let log = folder.path().join("app.log");
    File::create(&log)?;
    let mut agent = start(folder.path(), &log, storm)?;
    let told = measure(&mut agent, folder.path(), &log, lines);
    if told.is_ok() && storm {
        std::thread::sleep(TOLD);
    }
    agent.kill()?;
    agent.wait()?;
    told?;
    if storm { account(&folder.path().join("state/record"), &log, lines) } else { Ok(()) }
}

fn start(folder: &Path, log: &Path, storm: bool) -> anyhow::Result<Child> {
    let config = folder.join("agent.toml");
    let path = log.display();
    let limit = if storm { "" } else { "lines_per_s_max = 1000000000\nlines_at_once_max = 1000000000\n" };
    let logs =
        format!("[logs]\njournals = []\nfiles = [\"{path}\"]\nfiles_without_journal = []\nkernel_ring = \"\"\n{limit}");
    fs::write(&config, logs)?;
    let program = std::env::var("AGENT").unwrap_or_else(|_none| env!("CARGO_BIN_EXE_deskside-agent").to_owned());
    let mut command = Command::new(program);
    command.arg("--state").arg(folder.join("state")).arg("--config").arg(&config).arg("run");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(folder.join("agent.log"))?);
    command.spawn().context("starting the agent")
}

fn measure(agent: &mut Child, folder: &Path, log: &Path, lines: u64) -> anyhow::Result<()> {
    let pid = agent.id();
    std::thread::sleep(SETTLE);
    ensure!(agent.try_wait()?.is_none(), "the agent ended: {}", fs::read_to_string(folder.join("agent.log"))?);
    let idle = idle(pid)?;
    let idle_cpu = cpu_s(pid)?;
    let begun = Instant::now();
    let path = log.to_owned();
    let writing = std::thread::spawn(move || write(&path, lines));
    let (mut held, end) = (Vec::new(), lines * LINE_BYTES as u64);
    let record = folder.join("state/record");
    let (before, mut most) = (bytes_on_disk(&record)?, 0);
    while read_to(&record.join("record.db"), log).unwrap_or_default() < end {
        ensure!(begun.elapsed() < PATIENCE, "the record does not hold the last line after {PATIENCE:?}");
        held.push(Held::of(pid)?);
        most = most.max(bytes_on_disk(&record)?);
        std::thread::sleep(PAUSE);
    }
    writing.join().ok().context("writing")??;
    let wall = begun.elapsed().as_secs_f64();
    let cpu = cpu_s(pid)? - idle_cpu;
    let (after, millions) = (bytes_on_disk(&record)?, lines as f64 / 1e6);
    println!("{lines} lines of {LINE_BYTES} bytes in {wall:.1} s ({:.0} lines a second)", lines as f64 / wall);
    println!("processor time   {:6.2} s a million lines (at most {CPU_S_A_MILLION_MAX})", cpu / millions);
    for (what, of) in [("share (PSS)", (|held| held.pss) as fn(&Held) -> f64), ("dirty", |held| held.dirty)] {
        let [before, then] = [&idle, &held].map(|held| spread(held, of));
        let growth: Vec<f64> = then.iter().zip(before).map(|(then, before)| then - before).collect();
        println!("memory over idle {growth:6.2?} MiB {what}, least, median and highest (at most {GROWTH_MIB_MAX})");
        println!("                 {before:6.2?} idle, {then:6.2?} then");
    }
    println!("record           {:6.1} bytes a line", after.saturating_sub(before) as f64 / lines as f64);
    println!("                 {:6.2} MiB on disk at most, {:.2} before", mib(most.max(after)), mib(before));
    Ok(())
}

/// What an agent holds, in MiB.
struct Held {
    pss: f64,
    dirty: f64,
}

impl Held {
    fn of(pid: u32) -> anyhow::Result<Self> {
        let held = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let mib = |name: &str| -> anyhow::Result<f64> {
            let line = held.lines().find(|line| line.starts_with(name)).with_context(|| format!("no {name}"))?;
            let kib: f64 = line.split_ascii_whitespace().nth(1).context("a number")?.parse().context("a number")?;
            Ok(kib / MIB)
        };
        Ok(Self { pss: mib("Pss:")?, dirty: mib("Pss_Dirty:")? })
    }
}

/// Least, median and highest.
fn spread(held: &[Held], of: fn(&Held) -> f64) -> [f64; 3] {
    let mut all: Vec<f64> = held.iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    [all.first(), all.get(all.len() / 2), all.last()].map(|found| found.copied().unwrap_or_default())
}

/// What the idle agent holds, again and again.
fn idle(pid: u32) -> anyhow::Result<Vec<Held>> {
    let begun = Instant::now();
    let mut held = Vec::new();
    while begun.elapsed() < IDLE {
        held.push(Held::of(pid)?);
        std::thread::sleep(PAUSE);
    }
    Ok(held)
}

/// What became of every line, as the record says once the agent has ended.
fn account(record: &Path, log: &Path, lines: u64) -> anyhow::Result<()> {
    let bounds = Bounds::default();
    let bytes_max = bounds.bytes_max;
    let now_ms = i64::try_from(std::time::UNIX_EPOCH.elapsed()?.as_millis())?;
    let record = Record::open(record, bounds, Arc::new(Registry::standard()), now_ms)?;
    let source = log.display().to_string();
    let (mut kept, mut left_out, mut times) = (0, 0, 0);
    record.reader()?.history(LogEvent::TABLE, 0, i64::MAX, &mut |reading| {
        let events = reading.rows.into_iter().filter_map(|row| LogEvent::decode(row).ok());
        for event in events.filter(|event| event.source == source) {
            match event.left_out {
                Some(count) => (left_out, times) = (left_out + count, times + 1),
                None => kept += 1,
            }
        }
    })?;
    println!("lines            {kept} recorded, {left_out} left out as {times} rows tell; {lines} were written");
    println!("record's bound   {:6.2} MiB", mib(bytes_max));
    ensure!(kept + left_out == lines, "{} lines are neither recorded nor counted", lines.abs_diff(kept + left_out));
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB / 1024.0
}

fn bytes_on_disk(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        // The record's companion files come and go.
        bytes += entry?.metadata().map_or(0, |facts| facts.len());
    }
    Ok(bytes)
}

fn write(path: &Path, lines: u64) -> anyhow::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::options().append(true).open(path)?);
    for number in 0..lines {
        let text = TEXTS.get(number as usize % TEXTS.len()).copied().unwrap_or_default();
        let text = text.replace("{n}", &number.to_string());
        let text = match number % 100 {
            7 => format!("curl[9]: request {number} with Authorization: Bearer eyJhbGciOi{number:09}J9 was refused"),
            n if n % 20 == 3 => {
                format!("app[4711]: cannot open /home/anna/Documents/report-{number}.odt: permission denied")
            }
            _ => text,
        };
        let stamp = format!(
            "2026-11-22T{:02}:{:02}:{:02}.{:06}+01:00 desk7 ",
            number / 360_000 % 24,
            number / 6000 % 60,
            number / 100 % 60,
            number % 1_000_000
        );
        let mut line = stamp + &text;
        line.truncate(LINE_BYTES - 1);
        writeln!(file, "{line:.<width$}", width = LINE_BYTES - 1)?;
    }
    Ok(file.flush()?)
}

/// The offset to which the record holds the log.
fn read_to(record: &Path, log: &Path) -> anyhow::Result<u64> {
    let db = Connection::open_with_flags(record, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let source = log.display().to_string();
    let at: String = db.query_row("SELECT at FROM positions WHERE source = ?1", [source], |row| row.get(0))?;
    at.split(':').nth(2).context("a position has an offset")?.parse().context("an offset is a number")
}

/// User and system time of all threads.
fn cpu_s(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_name, rest) = stat.rsplit_once(')').context("a process has a name")?;
    let ticks = rest.split_ascii_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / TICKS_PER_SECOND)
}
