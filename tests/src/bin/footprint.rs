//! What the agent costs: memory, processor time and bytes written over idle minutes with a connected server and the default policy;
//! processor time of a look at everything; time from escalation to evidence. Printed with the budget of each and the conditions.

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use deskside_tests::house::{House, Programs, said, until};
use serde_json::Value as Json;

const MIB: f64 = 1024.0 * 1024.0;

/// The kernel counts processor time for /proc in hundredths of a second on every machine that Linux runs on (proc(5), `USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Escalations that are timed, and looks at everything.
const ROUNDS: usize = 5;

const PSS_MIB_MAX: f64 = 9.0;
const PRIVATE_DIRTY_MIB_MAX: f64 = 4.0;
const CPU_PERCENT_MAX: f64 = 0.2;
const COLLECT_CPU_S_MAX: f64 = 1.5;
const EVIDENCE_S_MAX: f64 = 2.0;

/// Measures the agent's footprint on this machine.
#[derive(Debug, Parser)]
struct Arguments {
    /// Seconds to measure. Samples are gathered for ten minutes before they are written: less does not tell what the disk has to bear.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(10..))]
    seconds: u64,
    /// Seconds to wait before, so that the first looks are over.
    #[arg(long, default_value_t = 90)]
    settle: u64,
    /// Profile to build the agent with.
    #[arg(long, default_value = "small")]
    profile: String,
    /// Profile to build the server with.
    #[arg(long, default_value = "release")]
    server_profile: String,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let lines = runtime.block_on(async {
        tokio::select! {
            lines = measure(&arguments) => lines,
            _pressed = tokio::signal::ctrl_c() => bail!("ended before the measurement was over"),
        }
    })?;
    let kept = lines.iter().all(Line::is_kept);
    report(&arguments, &lines)?;
    Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(arguments: &Arguments) -> anyhow::Result<Vec<Line>> {
    note(&format!("building with the profiles {} and {}", arguments.profile, arguments.server_profile))?;
    let programs = Programs::build_apart(&arguments.profile, &arguments.server_profile)?;
    let folder = tempfile::Builder::new().prefix("deskside-footprint-").tempdir()?;
    let mut house = House::open(programs, folder.path()).await?;
    house.enrol()?;
    let device = connected(&house).await?;
    note(&format!("connected; waiting {} s, then measuring {} s", arguments.settle, arguments.seconds))?;
    tokio::time::sleep(Duration::from_secs(arguments.settle)).await;
    let mut lines = idle(house.agent_pid()?, Duration::from_secs(arguments.seconds)).await?;
    connected(&house).await?;
    note("looking at everything, and escalating")?;
    lines.push(Line::new("look at everything, processor time", collect(&house)?, "s", Some(COLLECT_CPU_S_MAX)));
    lines.push(Line::new("escalate to evidence on the ticket", escalate(&house, &device)?, "s", Some(EVIDENCE_S_MAX)));
    Ok(lines)
}

/// The device's id, once its session is open.
async fn connected(house: &House) -> anyhow::Result<String> {
    until("the agent to be connected", Duration::from_mins(1), || {
        let devices = house.desk_json(&["devices"])?;
        let on = devices.pointer("/0/connected").and_then(Json::as_bool) == Some(true);
        Ok(devices.pointer("/0/id").and_then(Json::as_str).filter(|_id| on).map(str::to_owned))
    })
    .await
}

/// The idle minutes.
async fn idle(pid: u32, length: Duration) -> anyhow::Result<Vec<Line>> {
    let (begun, before) = (Instant::now(), Used::of(pid)?);
    let (mut rss, mut pss, mut dirty) = (Vec::new(), Vec::new(), Vec::new());
    while begun.elapsed() < length {
        let memory = Memory::of(pid)?;
        rss.push(memory.rss);
        pss.push(memory.pss);
        dirty.push(memory.private_dirty);
        tokio::time::sleep(LOOK_EVERY.min(length)).await;
    }
    let (after, seconds) = (Used::of(pid)?, begun.elapsed().as_secs_f64());
    let (cpu, written) = (after.cpu_s - before.cpu_s, after.written - before.written);
    Ok(vec![
        Line::new("RSS, median", median(&mut rss) / MIB, "MiB", None),
        Line::new("PSS, median", median(&mut pss) / MIB, "MiB", Some(PSS_MIB_MAX)),
        Line::new("PSS, highest", highest(&pss) / MIB, "MiB", Some(PSS_MIB_MAX)),
        Line::new("private dirty, median", median(&mut dirty) / MIB, "MiB", Some(PRIVATE_DIRTY_MIB_MAX)),
        Line::new("private dirty, highest", highest(&dirty) / MIB, "MiB", Some(PRIVATE_DIRTY_MIB_MAX)),
        Line::new("processor time", cpu, "s", None),
        Line::new("share of one core", cpu / seconds * 100.0, "%", Some(CPU_PERCENT_MAX)),
        Line::new("written to disk", written / 1024.0, "KiB", None),
        Line::new("written to disk in an hour so", written * 3_600.0 / seconds / MIB, "MiB", None),
        Line::new("threads", after.threads, "", None),
    ])
}

/// Processor seconds of `deskside-agent collect`, programs that it starts included; the median.
fn collect(house: &House) -> anyhow::Result<f64> {
    let mut rounds = Vec::new();
    for _round in 0..ROUNDS {
        let before = children_cpu_s()?;
        said(house.agent_command().args(["collect", "--json"]))?;
        rounds.push(children_cpu_s()? - before);
    }
    Ok(median(&mut rounds))
}

/// Seconds from `ticket escalate` to the evidence; the median.
fn escalate(house: &House, device: &str) -> anyhow::Result<f64> {
    let mut rounds = Vec::new();
    for _round in 0..ROUNDS {
        let ticket = house.desk_json(&["ticket", "new", "A measurement", "--device", device])?;
        let number = ticket.get("number").and_then(Json::as_u64).context("the ticket has no number")?.to_string();
        let begun = Instant::now();
        let escalated = house.desk_json(&["ticket", "escalate", &number, "--wait"])?;
        rounds.push(begun.elapsed().as_secs_f64());
        let evidence = escalated.pointer("/collections/0/evidence_id").and_then(Json::as_str).unwrap_or_default();
        if evidence.is_empty() {
            bail!("an escalation ended without evidence: {escalated}");
        }
    }
    Ok(median(&mut rounds))
}

/// Bytes, from `smaps_rollup`.
struct Memory {
    rss: f64,
    pss: f64,
    private_dirty: f64,
}

impl Memory {
    fn of(pid: u32) -> anyhow::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("the agent has ended")?;
        let of = |name: &str| field(&text, name).map(|kib| kib * 1024.0);
        Ok(Self { rss: of("Rss:")?, pss: of("Pss:")?, private_dirty: of("Private_Dirty:")? })
    }
}

/// What a process has used since it began.
struct Used {
    cpu_s: f64,
    written: f64,
    threads: f64,
}

impl Used {
    fn of(pid: u32) -> anyhow::Result<Self> {
        let io = fs::read_to_string(format!("/proc/{pid}/io")).context("the agent has ended")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        // Programs that the agent started and waited for count as its own.
        let stat = stat(&pid.to_string())?;
        let cpu_s = (11..=14).map(|place| stat.get(place).copied().unwrap_or_default()).sum::<f64>() / TICKS_PER_SECOND;
        Ok(Self { cpu_s, written: field(&io, "write_bytes:")?, threads: field(&status, "Threads:")? })
    }
}

/// Processor seconds of all children that this process has waited for.
fn children_cpu_s() -> anyhow::Result<f64> {
    let stat = stat("self")?;
    Ok((13..=14).map(|place| stat.get(place).copied().unwrap_or_default()).sum::<f64>() / TICKS_PER_SECOND)
}

/// The numbers of /proc/PID/stat after the program's name; 11 to 14 are own and children's user and system time.
fn stat(pid: &str) -> anyhow::Result<Vec<f64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_name, numbers) = text.rsplit_once(')').context("/proc/PID/stat is not as proc(5) says")?;
    Ok(numbers.split_whitespace().map(|number| number.parse().unwrap_or_default()).collect())
}

fn field(text: &str, name: &str) -> anyhow::Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name} in /proc"))?;
    line.split_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("{name} is no number"))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn highest(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// One figure, and what it may be at most.
struct Line {
    name: &'static str,
    value: f64,
    unit: &'static str,
    budget: Option<f64>,
}

impl Line {
    fn new(name: &'static str, value: f64, unit: &'static str, budget: Option<f64>) -> Self {
        Self { name, value, unit, budget }
    }

    fn is_kept(&self) -> bool {
        self.budget.is_none_or(|budget| self.value <= budget)
    }
}

fn report(arguments: &Arguments, lines: &[Line]) -> anyhow::Result<()> {
    let mut out = io::stdout();
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("unknown")
        .trim_matches([':', ' ', '\t']);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    writeln!(out, "\nmachine     {cores} × {model}, Linux {}", kernel.trim())?;
    writeln!(
        out,
        "conditions  agent built with profile {}, default policy, connected to a server on this machine",
        arguments.profile
    )?;
    writeln!(
        out,
        "            idle {} s after {} s to settle; {ROUNDS} rounds of the rest\n",
        arguments.seconds, arguments.settle
    )?;
    writeln!(out, "{:38} {:>10}       {:>8}", "", "measured", "budget")?;
    for line in lines {
        let budget =
            line.budget.map(|budget| format!("{budget:>8} {}", if line.is_kept() { "kept" } else { "EXCEEDED" }));
        writeln!(out, "{:38} {:>10.2} {:4}  {}", line.name, line.value, line.unit, budget.unwrap_or_default())?;
    }
    Ok(())
}

fn note(text: &str) -> io::Result<()> {
    writeln!(io::stderr(), "{text}")
}
