//! What following a log costs, from notify through redaction to the record: `cargo bench -p deskside-agent --bench tail`.
//!
//! The real agent follows a file that this bench writes: lines of 120 bytes, as fast as the disk takes them, with the rate limit
//! lifted. Processor time is the whole agent's from the first line to the last that its record holds; memory is the highest share
//! (PSS) and the highest resident set that were seen then, less those of the idle agent before.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rusqlite::{Connection, OpenFlags};

/// Lines written; `LINES` in the environment says otherwise.
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
    let folder = tempfile::Builder::new().prefix("deskside-tail-").tempdir()?;
    let log = folder.path().join("app.log");
    File::create(&log)?;
    let mut agent = start(folder.path(), &log)?;
    let told = measure(&mut agent, folder.path(), &log, lines);
    agent.kill()?;
    agent.wait()?;
    told
}

fn start(folder: &Path, log: &Path) -> anyhow::Result<Child> {
    let config = folder.join("agent.toml");
    let path = log.display();
    let logs = format!(
        "[logs]\njournals = []\nfiles = [\"{path}\"]\nfiles_without_journal = []\nkernel_ring = \"\"\nlines_per_s_max = 1000000000\n\
         lines_at_once_max = 1000000000\n"
    );
    fs::write(&config, logs)?;
    let program = env!("CARGO_BIN_EXE_deskside-agent");
    let mut command = Command::new(program);
    command.arg("--state").arg(folder.join("state")).arg("--config").arg(&config).arg("run");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(folder.join("agent.log"))?);
    command.spawn().context("starting the agent")
}

fn measure(agent: &mut Child, folder: &Path, log: &Path, lines: u64) -> anyhow::Result<()> {
    let pid = agent.id();
    std::thread::sleep(SETTLE);
    ensure!(agent.try_wait()?.is_none(), "the agent ended: {}", fs::read_to_string(folder.join("agent.log"))?);
    // Highest resident set: from here on (proc(5), clear_refs).
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("resetting the highest resident set")?;
    let (idle_cpu, idle_pss, idle_rss) = (cpu_s(pid)?, pss_kib(pid)?, status_kib(pid, "VmRSS:")?);
    let begun = Instant::now();
    let path = log.to_owned();
    let writing = std::thread::spawn(move || write(&path, lines));
    let (mut pss, end) = (idle_pss, lines * LINE_BYTES as u64);
    let record = folder.join("state/record/record.db");
    while read_to(&record, log).unwrap_or_default() < end {
        ensure!(begun.elapsed() < PATIENCE, "the record does not hold the last line after {PATIENCE:?}");
        pss = pss.max(pss_kib(pid)?);
        std::thread::sleep(PAUSE);
    }
    writing.join().ok().context("writing")??;
    let wall = begun.elapsed().as_secs_f64();
    let (cpu, rss) = (cpu_s(pid)? - idle_cpu, status_kib(pid, "VmHWM:")?);
    let millions = lines as f64 / 1e6;
    let bytes = fs::metadata(&record)?.len() as f64;
    println!("{lines} lines of {LINE_BYTES} bytes in {wall:.1} s ({:.0} lines a second)", lines as f64 / wall);
    println!("processor time   {:6.2} s a million lines (at most {CPU_S_A_MILLION_MAX})", cpu / millions);
    println!(
        "memory over idle {:6.2} MiB PSS (at most {GROWTH_MIB_MAX}), idle {:.2} MiB",
        (pss - idle_pss) / MIB,
        idle_pss / MIB
    );
    println!("                 {:6.2} MiB resident at most, idle {:.2} MiB", (rss - idle_rss) / MIB, idle_rss / MIB);
    println!("record           {:6.1} bytes a line", bytes / lines as f64);
    Ok(())
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

fn pss_kib(pid: u32) -> anyhow::Result<f64> {
    kib(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?, "Pss:")
}

fn status_kib(pid: u32, name: &str) -> anyhow::Result<f64> {
    kib(&fs::read_to_string(format!("/proc/{pid}/status"))?, name)
}

fn kib(text: &str, name: &str) -> anyhow::Result<f64> {
    let line = text.lines().find(|line| line.starts_with(name)).with_context(|| format!("no {name}"))?;
    line.split_ascii_whitespace().nth(1).context("a number")?.parse().context("a number")
}
