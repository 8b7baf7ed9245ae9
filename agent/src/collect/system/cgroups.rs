//! Groups of processes (cgroup v2, cgroups(7)): what each uses, and how long each has to wait for what it wants.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Cgroup;

use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Before, Host};

pub(in crate::collect) const CGROUPS: Collector =
    Collector { table: Cgroup::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(5)), look };

const ROOT: &str = "/sys/fs/cgroup";
/// Most groups that are looked at; each costs a few files.
const GROUPS_MAX: usize = 1024;
/// How deep below the root: slice, user's slice, user's manager, its slice, its application, and one for what that makes itself.
const DEPTH_MAX: usize = 6;
/// How many are shown for processor time, and as many for memory and for waiting.
const TOP: usize = 12;

/// One group, and what it is chosen by.
struct Group {
    path: String,
    cpu_us: u64,
    memory_bytes: u64,
    /// Microseconds in which some task waited for memory or a disk, ever.
    waited_us: u64,
}

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let names = match host.list(ROOT) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Rows::unsupported("there are no cgroups")),
        names => names.with_context(|| format!("listing {ROOT}"))?,
    };
    if !names.iter().any(|name| name == "cgroup.controllers") {
        let why = "the machine runs with cgroup v1, which has no pressure by group; boot with systemd.unified_cgroup_hierarchy=1";
        return Ok(Rows::unsupported(why));
    }
    let mut rows = Rows::none();
    let (groups, beyond) = walk(host);
    if beyond {
        rows.missing(format!("groups beyond the first {GROUPS_MAX}"));
    }
    let before = host.recall("cgroups", note(&groups));
    let shares = Shares::since(before, host.now_ms());
    for group in top(&groups, &shares) {
        rows.push(&row(host, group, &shares));
    }
    Ok(rows)
}

/// All groups below the root, parents before children, and whether there were more.
fn walk(host: &dyn Host) -> (Vec<Group>, bool) {
    let mut groups = Vec::new();
    let mut ahead = vec![(String::new(), 0)];
    while let Some((path, depth)) = ahead.pop() {
        let folder = format!("{ROOT}{path}");
        // One that is gone by now is no row.
        let Ok(names) = host.list(&folder) else { continue };
        if depth > 0 {
            if groups.len() >= GROUPS_MAX {
                return (groups, true);
            }
            if let Some(group) = group(host, &path) {
                groups.push(group);
            }
        }
        if depth < DEPTH_MAX {
            // Why by name: a group's own files are "controller.what", and no group that systemd makes is without its kind.
            let children = names.into_iter().rev().filter(|name| is_group(name));
            ahead.extend(children.map(|name| (format!("{path}/{name}"), depth + 1)));
        }
    }
    (groups, false)
}

/// Whether a name in a group's folder is a group of its own.
fn is_group(name: &str) -> bool {
    const OF_SYSTEMD: [&str; 3] = [".slice", ".service", ".scope"];
    const CONTROLLERS: [&str; 10] =
        ["cgroup.", "cpu.", "cpuset.", "memory.", "io.", "pids.", "hugetlb.", "rdma.", "misc.", "irq."];
    OF_SYSTEMD.iter().any(|kind| name.ends_with(kind))
        || !CONTROLLERS.iter().any(|controller| name.starts_with(controller))
}

fn group(host: &dyn Host, path: &str) -> Option<Group> {
    let text = |file: &str| host.text(&format!("{ROOT}{path}/{file}")).unwrap_or_default();
    let stat = text("cpu.stat");
    // A folder without it is none: every group counts its processor time.
    let cpu_us = value(&stat, "usage_usec")?;
    let memory_bytes = text("memory.current").trim().parse().unwrap_or_default();
    let waited_us = total_us(&text("memory.pressure")).saturating_add(total_us(&text("io.pressure")));
    Some(Group { path: path.to_owned(), cpu_us, memory_bytes, waited_us })
}

fn row(host: &dyn Host, group: &Group, shares: &Shares) -> Cgroup {
    let text = |file: &str| host.text(&format!("{ROOT}{}/{file}", group.path)).unwrap_or_default();
    let number = |file: &str| text(file).trim().parse::<u64>().ok();
    let (stat, io) = (text("cpu.stat"), text("io.stat"));
    let (cpu, memory, disk) = (text("cpu.pressure"), text("memory.pressure"), text("io.pressure"));
    let counted = |key: &str| (!io.is_empty()).then(|| total(&io, key));
    Cgroup {
        path: group.path.clone(),
        kind: kind(&group.path).into(),
        cpu_percent: shares.of(group),
        cpu_ms: Some(group.cpu_us / 1000),
        cpu_throttled_ms: value(&stat, "throttled_usec").map(|us| us / 1000),
        memory_bytes: number("memory.current"),
        memory_peak_bytes: number("memory.peak"),
        // "max" is none.
        memory_max_bytes: number("memory.max"),
        swap_bytes: number("memory.swap.current"),
        read_bytes: counted("rbytes"),
        written_bytes: counted("wbytes"),
        tasks: number("pids.current"),
        oom_kills: value(&text("memory.events"), "oom_kill"),
        cpu_some_10: share(&cpu, "some", "avg10"),
        cpu_some_60: share(&cpu, "some", "avg60"),
        memory_some_10: share(&memory, "some", "avg10"),
        memory_some_60: share(&memory, "some", "avg60"),
        memory_full_60: share(&memory, "full", "avg60"),
        io_some_10: share(&disk, "some", "avg10"),
        io_some_60: share(&disk, "some", "avg60"),
        io_full_60: share(&disk, "full", "avg60"),
    }
}

fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.') {
        Some((_name, "slice")) => "slice",
        Some((_name, "service")) => "service",
        Some((_name, "scope")) => "scope",
        _ => "other",
    }
}

/// The greediest by processor time since the look before (at the first look: ever), by memory and by waiting, each once.
fn top<'a>(groups: &'a [Group], shares: &Shares) -> Vec<&'a Group> {
    let mut seen = BTreeSet::new();
    let mut chosen: Vec<&Group> = Vec::new();
    let measures: [&dyn Fn(&Group) -> u64; 3] =
        [&|group| shares.used_us(group), &|group| group.memory_bytes, &|group| shares.waited_us(group)];
    for measure in measures {
        let mut order: Vec<&Group> = groups.iter().filter(|group| measure(group) > 0).collect();
        order.sort_by_key(|group| (Reverse(measure(group)), group.path.as_str()));
        chosen.extend(order.into_iter().take(TOP).filter(|group| seen.insert(group.path.as_str())));
    }
    chosen
}

/// For the next look: processor time, time waited and path, a line each.
fn note(groups: &[Group]) -> String {
    groups.iter().fold(String::new(), |mut note, group| {
        // Writing to a String cannot fail.
        let _written = writeln!(note, "{} {} {}", group.cpu_us, group.waited_us, group.path);
        note
    })
}

/// What was used since the look before.
#[derive(Debug, Default)]
struct Shares {
    before: BTreeMap<String, (u64, u64)>,
    /// Time between the looks; absent on the first.
    between_ms: Option<u64>,
}

impl Shares {
    fn since(before: Option<Before>, now_ms: i64) -> Self {
        let Some(before) = before else { return Self::default() };
        let entry = |line: &str| {
            let mut words = line.splitn(3, ' ');
            let counts = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some((words.next()?.to_owned(), counts))
        };
        let between_ms = u64::try_from(now_ms.saturating_sub(before.at_ms)).ok().filter(|between| *between > 0);
        Self { before: before.text.lines().filter_map(entry).collect(), between_ms }
    }

    /// A group that the look before did not see has used all its time since; so has one that was made anew under its old name.
    fn used_us(&self, group: &Group) -> u64 {
        let (before, _waited) = self.before.get(&group.path).copied().unwrap_or_default();
        group.cpu_us.checked_sub(before).unwrap_or(group.cpu_us)
    }

    fn waited_us(&self, group: &Group) -> u64 {
        let (_used, before) = self.before.get(&group.path).copied().unwrap_or_default();
        group.waited_us.checked_sub(before).unwrap_or(group.waited_us)
    }

    fn of(&self, group: &Group) -> Option<f64> {
        let between_us = self.between_ms?.saturating_mul(1000);
        Some(self.used_us(group) as f64 / between_us as f64 * 100.0)
    }
}

/// A line "key 123".
fn value(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?.trim().parse().ok()
}

/// The sum over all disks of "8:0 rbytes=1 wbytes=2 rios=3 …".
fn total(io: &str, key: &str) -> u64 {
    let counts =
        io.split_whitespace().filter_map(|word| word.strip_prefix(key)?.strip_prefix('=')?.parse::<u64>().ok());
    counts.fold(0, u64::saturating_add)
}

/// "some avg10=0.12 avg60=0.05 avg300=0.01 total=123456".
fn pressure<'a>(text: &'a str, who: &str, key: &str) -> Option<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(who)?.strip_prefix(' '))?;
    line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

fn share(text: &str, who: &str, key: &str) -> Option<f64> {
    pressure(text, who, key)?.parse().ok().filter(|share: &f64| (0.0..=100.0).contains(share))
}

fn total_us(text: &str) -> u64 {
    pressure(text, "some", "total").and_then(|total| total.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(path: &str, cpu_us: u64, memory_bytes: u64, waited_us: u64) -> Group {
        Group { path: path.into(), cpu_us, memory_bytes, waited_us }
    }

    #[test]
    fn a_share_is_of_the_time_between_two_looks() {
        let before = note(&[group("/a.slice", 1_000_000, 0, 5), group("/with blank.scope", 7, 0, 0)]);
        let shares = Shares::since(Some(Before { at_ms: 1_000, text: before }), 3_000);
        assert_eq!(shares.of(&group("/a.slice", 2_000_000, 0, 0)), Some(50.0));
        assert_eq!(shares.used_us(&group("/with blank.scope", 9, 0, 0)), 2);
        assert_eq!(shares.used_us(&group("/a.slice", 10, 0, 0)), 10);
        assert_eq!(Shares::since(None, 5).of(&group("/a.slice", 1, 0, 0)), None);
    }

    #[test]
    fn the_greedy_by_each_measure_are_shown_once() {
        let groups: Vec<Group> = (0..100).map(|n| group(&format!("/{n:03}"), n, 100 - n, n % 2)).collect();
        let shown = top(&groups, &Shares::default());
        let paths: BTreeSet<&str> = shown.iter().map(|group| group.path.as_str()).collect();
        assert_eq!((shown.len(), paths.len()), (30, 30));
        assert!(paths.contains("/099") && paths.contains("/000") && !paths.contains("/050"));
    }

    #[test]
    fn files_of_a_group_are_no_groups() {
        assert!(is_group("cups.service") && is_group("memory.slice") && is_group("docker"));
        assert!(!is_group("cpu.stat") && !is_group("cgroup.procs") && !is_group("memory.current"));
    }

    #[test]
    fn pressure_and_counters_of_any_kind_are_read_or_not_known() {
        let text = "some avg10=1.50 avg60=0.25 avg300=0.00 total=77\nfull avg10=0.00 avg60=101.0 avg300=0.00 total=1\n";
        assert_eq!(share(text, "some", "avg10"), Some(1.5));
        assert_eq!(share(text, "full", "avg60"), None);
        assert_eq!(total_us(text), 77);
        for cut in 0..text.len() {
            let _shares = (share(&text[..cut], "full", "avg10"), total_us(&text[..cut]));
        }
        assert_eq!(total("8:0 rbytes=5 wbytes=1\n8:16 rbytes=18446744073709551615 x\n", "rbytes"), u64::MAX);
        assert_eq!(value("oom 1\noom_kill 2\n", "oom_kill"), Some(2));
    }
}
