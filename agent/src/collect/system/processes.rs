//! The processes that use the most processor time or memory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Process;

use crate::collect::procfs::{self, Stat, TICK_MS};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Before, Host};

pub(in crate::collect) const PROCESSES: Collector =
    Collector { table: Process::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(1)), look };

/// How many are shown for processor time, and as many for memory.
const TOP: usize = 15;

/// Most processes that are looked at; each costs a file.
const PROCESSES_MAX: usize = 8192;

/// Longest command line that is kept.
const COMMAND_LINE_BYTES_MAX: usize = 2048;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let names = host.list("/proc").context("listing /proc")?;
    let pids: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    let mut rows = Rows::none();
    if pids.len() > PROCESSES_MAX {
        rows.missing(format!("{} processes beyond the first {PROCESSES_MAX}", pids.len() - PROCESSES_MAX));
    }
    let mut stats = Vec::new();
    for pid in pids.into_iter().take(PROCESSES_MAX) {
        // One that is gone by now, or not ours to see, is no row.
        let Ok(text) = host.text(&format!("/proc/{pid}/stat")) else { continue };
        match procfs::stat(&text) {
            Ok(stat) => stats.push((pid, stat)),
            Err(error) => rows.missing(format!("process {pid}: {error}")),
        }
    }
    anyhow::ensure!(!stats.is_empty(), "no process can be seen under /proc");
    let shares = Shares::since(host.recall("processes", note(&stats)), host.now_ms());
    let users = users(&host.text("/etc/passwd").unwrap_or_default());
    let booted_ms = host.text("/proc/stat").ok().and_then(|text| booted_ms(&text)).unwrap_or_default();
    for (pid, stat) in top(&stats, &shares) {
        rows.push(&row(host, *pid, stat, &shares, &users, booted_ms));
    }
    Ok(rows)
}

fn row(
    host: &dyn Host,
    pid: u32,
    stat: &Stat,
    shares: &Shares,
    users: &BTreeMap<u32, String>,
    booted_ms: i64,
) -> Process {
    let status = host.text(&format!("/proc/{pid}/status")).unwrap_or_default();
    let uid = procfs::field(&status, "Uid").and_then(|uids| uids.split_whitespace().next()?.parse::<u32>().ok());
    let user = uid.map(|uid| users.get(&uid).cloned().unwrap_or_else(|| uid.to_string()));
    let command_line = host.text(&format!("/proc/{pid}/cmdline")).unwrap_or_default();
    Process {
        pid,
        parent_pid: stat.parent_pid,
        name: stat.name.clone(),
        command_line: plain(&command_line),
        user: user.unwrap_or_default(),
        state: stat.state.clone(),
        cpu_percent: shares.of(pid, stat),
        cpu_ms: stat.cpu_ticks.saturating_mul(TICK_MS),
        resident_bytes: procfs::kib_line(&status, "VmRSS").unwrap_or_default(),
        threads: stat.threads,
        started_ms: booted_ms.saturating_add_unsigned(stat.start_ticks.saturating_mul(TICK_MS)),
    }
}

/// Arguments end with a zero byte each.
fn plain(command_line: &str) -> String {
    let mut line = command_line.trim_end_matches('\0').replace('\0', " ");
    line.truncate(line.floor_char_boundary(COMMAND_LINE_BYTES_MAX));
    line
}

/// The greediest by processor time since the look before (at the first look: ever) and by memory, each once.
fn top<'a>(stats: &'a [(u32, Stat)], shares: &Shares) -> Vec<&'a (u32, Stat)> {
    let mut by_cpu: Vec<&(u32, Stat)> = stats.iter().collect();
    by_cpu.sort_by_key(|(pid, stat)| (Reverse(shares.ticks(*pid, stat)), *pid));
    let mut by_memory: Vec<&(u32, Stat)> = stats.iter().collect();
    by_memory.sort_by_key(|(pid, stat)| (Reverse(stat.resident_pages), *pid));
    let mut seen = BTreeSet::new();
    let chosen = by_cpu.into_iter().take(TOP).chain(by_memory.into_iter().take(TOP));
    chosen.filter(|(pid, _stat)| seen.insert(*pid)).collect()
}

/// For the next look: "pid start ticks", a line each.
fn note(stats: &[(u32, Stat)]) -> String {
    stats.iter().fold(String::new(), |mut note, (pid, stat)| {
        // Writing to a String cannot fail.
        let _written = writeln!(note, "{pid} {} {}", stat.start_ticks, stat.cpu_ticks);
        note
    })
}

/// Processor time since the look before.
#[derive(Debug, Default)]
struct Shares {
    /// By process id and start, since ids are used again.
    before: BTreeMap<(u32, u64), u64>,
    /// Time between the looks; absent on the first.
    between_ms: Option<u64>,
}

impl Shares {
    fn since(before: Option<Before>, now_ms: i64) -> Self {
        let Some(before) = before else { return Self::default() };
        let entry = |line: &str| {
            let mut words = line.split(' ');
            let pid = words.next()?.parse().ok()?;
            Some(((pid, words.next()?.parse().ok()?), words.next()?.parse().ok()?))
        };
        let between_ms = u64::try_from(now_ms.saturating_sub(before.at_ms)).ok().filter(|between| *between > 0);
        Self { before: before.text.lines().filter_map(entry).collect(), between_ms }
    }

    /// One that the look before did not see has used all its time since.
    fn ticks(&self, pid: u32, stat: &Stat) -> u64 {
        stat.cpu_ticks.saturating_sub(self.before.get(&(pid, stat.start_ticks)).copied().unwrap_or_default())
    }

    fn of(&self, pid: u32, stat: &Stat) -> Option<f64> {
        let between_ms = self.between_ms?;
        Some(self.ticks(pid, stat).saturating_mul(TICK_MS) as f64 / between_ms as f64 * 100.0)
    }
}

/// passwd(5): name, password, user id.
pub(super) fn users(passwd: &str) -> BTreeMap<u32, String> {
    let entry = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        Some((fields.nth(1)?.parse().ok()?, name))
    };
    passwd.lines().filter_map(entry).collect()
}

/// The line "btime 1700000000" of /proc/stat.
fn booted_ms(stat: &str) -> Option<i64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<i64>().ok()?.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(start_ticks: u64, cpu_ticks: u64, resident_pages: u64) -> Stat {
        let (name, state) = ("p".into(), "S".into());
        Stat { name, state, parent_pid: 1, cpu_ticks, threads: 1, start_ticks, resident_pages }
    }

    #[test]
    fn a_share_is_of_the_time_between_two_looks() {
        let first = [(7, stat(100, 40, 1))];
        let shares = Shares::since(Some(Before { at_ms: 1000, text: note(&first) }), 3000);
        assert_eq!(shares.of(7, &stat(100, 140, 1)), Some(50.0));
        assert_eq!(shares.of(8, &stat(250, 20, 1)), Some(10.0));
    }

    #[test]
    fn a_process_id_used_again_is_another_process() {
        let first = [(7, stat(100, 4000, 1))];
        let shares = Shares::since(Some(Before { at_ms: 0, text: note(&first) }), 1000);
        assert_eq!(shares.of(7, &stat(900, 10, 1)), Some(10.0));
    }

    #[test]
    fn the_first_look_and_a_clock_set_back_say_nothing_of_shares() {
        assert_eq!(Shares::since(None, 5).of(7, &stat(1, 1, 1)), None);
        let later = Before { at_ms: 99, text: "garbage\n7 x 1\n".into() };
        assert_eq!(Shares::since(Some(later), 5).of(7, &stat(1, 1, 1)), None);
    }

    #[test]
    fn the_greedy_by_time_and_by_memory_are_shown_once_each() {
        let stats: Vec<(u32, Stat)> = (1..=100).map(|pid| (pid, stat(0, pid.into(), (100 - pid).into()))).collect();
        let shown: BTreeSet<u32> = top(&stats, &Shares::default()).iter().map(|(pid, _stat)| *pid).collect();
        assert_eq!(shown, (1..=15).chain(86..=100).collect());
        assert_eq!(top(&stats[..20], &Shares::default()).len(), 20);
    }

    #[test]
    fn a_long_command_line_is_cut_between_characters() {
        let line = plain(&"ä\0".repeat(2000));
        assert!(line.len() <= COMMAND_LINE_BYTES_MAX && line.starts_with("ä ä"));
    }
}
