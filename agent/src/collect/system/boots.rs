//! Starts of the machine and how each of them ended.
//!
//! Why from the journal: a machine that goes down says so. systemd reaches poweroff.target or its like, and journald stops as the last of
//! all; a log that just ends belongs to a machine that lost its power, was reset, or hung.

use std::collections::BTreeMap;
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::BootRecord;

use super::pstore::{self, Dump};
use super::wtmp::{self, Start};
use crate::collect::journalctl::{self, Entry};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

mod ends;
mod listed;

pub(super) use ends::without_stamp;
use listed::Span;

pub(in crate::collect) const BOOTS: Collector = Collector {
    table: BootRecord::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_hours(1)),
    look,
};

/// Most starts that are told.
const BOOTS_MAX: usize = 20;
/// Most starts whose last lines are read, each by a program of its own: the newest of those that did not end clean.
const LAST_LINES_BOOTS_MAX: usize = 5;
/// A start that wtmp has within this of one in the journal is the same.
const SAME_START_MS: i64 = 10 * 60 * 1000;

const LIST: [&str; 4] = ["--no-pager", "--utc", "--output=json", "--list-boots"];

/// What a machine says of its end, over all boots: journald stopped; somebody asked for the end; a target that only an end reaches; the
/// power key; the kernel's alerts and emergencies. The message ids are those of sd-messages.h.
const MARKS: [&str; 17] = [
    "--no-pager",
    "--output=json",
    "--output-fields=MESSAGE,MESSAGE_ID,UNIT,_TRANSPORT,_BOOT_ID",
    "--reverse",
    "--lines=400",
    "MESSAGE_ID=d93fb3c9c24d451a97cea615ce59c00b",
    "MESSAGE_ID=98268866d1d54a499c4e98921d93bc40",
    "MESSAGE_ID=b72ea4a2881545a0b50e200e55b9b071",
    "+",
    "UNIT=poweroff.target",
    "UNIT=reboot.target",
    "UNIT=halt.target",
    "UNIT=kexec.target",
    "+",
    "_TRANSPORT=kernel",
    "PRIORITY=0",
    "PRIORITY=1",
];

/// The kernel's first words, which name its release.
const BANNERS: [&str; 9] = [
    "--no-pager",
    "--output=json",
    "--output-fields=MESSAGE,_BOOT_ID",
    "--reverse",
    "--lines=40",
    "--case-sensitive=true",
    "--grep=^Linux version ",
    "_TRANSPORT=kernel",
    "PRIORITY=5",
];

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let now_id = host.line("/proc/sys/kernel/random/boot_id").unwrap_or_default().replace('-', "");
    let mut missing = Vec::new();
    let journal = journaled(host, &now_id, &mut missing);
    let (mut boots, unread) = journal.map_or_else(|error| (Vec::new(), Some(error)), |boots| (boots, None));
    if !boots.iter().any(|boot| boot.boot_id == now_id) {
        boots.insert(0, running(host, now_id));
    }
    if boots.len() < BOOTS_MAX {
        match wtmp::starts(host) {
            Ok(starts) => add_older(&mut boots, &starts),
            Err(error) => missing.push(format!("starts before the journal's first: {error:#}")),
        }
    }
    match unread {
        Some(error) if boots.len() == 1 => return Err(error),
        Some(error) => missing.push(format!("the journal: {error:#}")),
        None => {}
    }
    let is_journaled = boots.iter().any(|boot| boot.known_from == "journal");
    if boots.len() == 1 && missing.is_empty() && !(is_journaled && is_kept(host)) {
        let why = "starts before this one: no journal is kept over them, and there is no wtmp; journald keeps one in /var/log/journal";
        missing.push(why.into());
    }
    let mut rows = Rows::none();
    for (index, mut boot) in (0_i32..).zip(boots.into_iter().take(BOOTS_MAX)) {
        boot.index = index.saturating_neg();
        rows.push(&boot);
    }
    for what in missing {
        rows.missing(what);
    }
    Ok(rows)
}

/// The boots that the journal knows, newest first.
fn journaled(host: &dyn Host, now_id: &str, missing: &mut Vec<String>) -> anyhow::Result<Vec<BootRecord>> {
    let Some(ran) = journalctl::ask(host, &LIST)? else { return Ok(Vec::new()) };
    let mut spans = listed::parse(&String::from_utf8_lossy(&ran.stdout));
    if spans.is_empty() && !ran.stdout.trim_ascii().is_empty() {
        missing.push("starts in the journal: journalctl lists them in an unknown form".into());
    }
    spans.reverse();
    spans.truncate(BOOTS_MAX);
    let marks = by_boot(journalctl::entries(host, &MARKS)?.unwrap_or_default());
    let mut kernels = BTreeMap::new();
    for entry in journalctl::entries(host, &BANNERS)?.unwrap_or_default() {
        let release = entry.field("MESSAGE").split(' ').nth(2).unwrap_or_default().to_owned();
        kernels.insert(entry.boot_id(), release);
    }
    let pstore = pstore::dumps(host)?;
    missing.extend(pstore.missing);
    let (mut boots, mut next, mut looked_at) = (Vec::new(), None, 0);
    for span in &spans {
        let mut boot = BootRecord {
            boot_id: span.boot_id.clone(),
            first_ms: span.first_ms,
            last_ms: Some(span.last_ms),
            duration_s: u64::try_from(span.last_ms.saturating_sub(span.first_ms) / 1000).ok(),
            kernel: kernels.get(&span.boot_id).cloned().unwrap_or_default(),
            known_from: "journal".into(),
            ..BootRecord::default()
        };
        let nothing = Vec::new();
        let own = marks.get(&span.boot_id).unwrap_or(&nothing);
        if span.boot_id == now_id {
            boot.ended = "running".into();
            if let (true, Some(release)) = (boot.kernel.is_empty(), host.line("/proc/sys/kernel/osrelease")) {
                boot.kernel = release;
            }
        } else if let Some(dump) = left(&pstore.dumps, span, next) {
            boot.ended = "crashed".into();
            boot.known_from = "pstore".into();
            boot.reason = ends::last_words(&dump.text);
        } else {
            ends::from_marks(&mut boot, own, span.last_ms);
            if boot.ended != "clean" && boot.ended != "crashed" {
                if looked_at < LAST_LINES_BOOTS_MAX {
                    looked_at += 1;
                    ends::from_last_lines(&mut boot, &last_lines(host, &span.boot_id)?);
                } else {
                    boot.ended = if boot.ended.is_empty() { "unknown".into() } else { boot.ended };
                }
            }
        }
        next = Some(span);
        boots.push(boot);
    }
    Ok(boots)
}

/// The dump that this boot left: written after it began and before the next did, or else taken out of pstore by the next.
fn left<'a>(dumps: &'a [Dump], span: &Span, next: Option<&Span>) -> Option<&'a Dump> {
    dumps.iter().filter(|dump| dump.panic).find(|dump| match dump.at_ms {
        Some(at_ms) => at_ms >= span.first_ms && next.is_none_or(|next| at_ms < next.first_ms),
        None => next.is_some_and(|next| dump.found_by == next.boot_id),
    })
}

fn by_boot(entries: Vec<Entry>) -> BTreeMap<String, Vec<Entry>> {
    let mut boots: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        boots.entry(entry.boot_id()).or_default().push(entry);
    }
    boots
}

/// Newest first.
fn last_lines(host: &dyn Host, boot_id: &str) -> anyhow::Result<Vec<Entry>> {
    let boot = format!("--boot={boot_id}");
    let fields = "--output-fields=MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,_TRANSPORT,_BOOT_ID";
    let arguments = ["--no-pager", "--output=json", fields, "--reverse", "--lines=30", &boot];
    Ok(journalctl::entries(host, &arguments)?.unwrap_or_default())
}

/// This boot, where the journal has not heard of it.
fn running(host: &dyn Host, boot_id: String) -> BootRecord {
    let uptime_s = host.line("/proc/uptime").and_then(|uptime| uptime.split('.').next()?.parse::<u64>().ok());
    let uptime_s = uptime_s.unwrap_or_default();
    BootRecord {
        boot_id,
        first_ms: host.now_ms().saturating_sub_unsigned(uptime_s.saturating_mul(1000)),
        kernel: host.line("/proc/sys/kernel/osrelease").unwrap_or_default(),
        ended: "running".into(),
        ..BootRecord::default()
    }
}

/// Whether journald writes to disk.
fn is_kept(host: &dyn Host) -> bool {
    host.list("/var/log/journal").is_ok_and(|machines| !machines.is_empty())
}

/// Adds what only wtmp knows: starts before the first that is known otherwise.
fn add_older(boots: &mut Vec<BootRecord>, starts: &[Start]) {
    // This boot's own time is counted back from now; the journal's is what was written.
    let journaled = boots.iter().filter(|boot| !boot.known_from.is_empty()).map(|boot| boot.first_ms).min();
    let first_ms = journaled.or_else(|| boots.iter().map(|boot| boot.first_ms).min()).unwrap_or(i64::MAX);
    let room = BOOTS_MAX.saturating_sub(boots.len());
    let older = starts.iter().rev().filter(|start| start.at_ms < first_ms.saturating_sub(SAME_START_MS));
    boots.extend(older.take(room).map(|start| BootRecord {
        wtmp_ms: Some(start.at_ms),
        first_ms: start.at_ms,
        last_ms: Some(start.last_ms),
        duration_s: u64::try_from(start.last_ms.saturating_sub(start.at_ms) / 1000).ok(),
        kernel: start.kernel.clone(),
        ended: if start.down_ms.is_some() { "clean" } else { "cut_off" }.into(),
        known_from: "wtmp".into(),
        ..BootRecord::default()
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(at_ms: i64, down_ms: Option<i64>) -> Start {
        Start { at_ms, down_ms, last_ms: at_ms + 1000, kernel: "6.1".into() }
    }

    #[test]
    fn only_starts_before_the_known_ones_come_from_wtmp() {
        let mut boots = vec![BootRecord { boot_id: "b".into(), first_ms: 10_000_000, ..BootRecord::default() }];
        add_older(&mut boots, &[start(1_000, None), start(5_000, Some(6_000)), start(9_900_000, None)]);
        let seen: Vec<(Option<i64>, &str)> = boots.iter().map(|boot| (boot.wtmp_ms, boot.ended.as_str())).collect();
        assert_eq!(seen, [(None, ""), (Some(5_000), "clean"), (Some(1_000), "cut_off")]);
    }

    #[test]
    fn a_dump_belongs_to_the_boot_that_died_not_to_the_one_that_found_it() {
        let span = |id: &str, first_ms, last_ms| Span { boot_id: id.into(), first_ms, last_ms };
        let dump = |found_by: &str, at_ms| Dump { found_by: found_by.into(), at_ms, panic: true, ..Dump::default() };
        let (died, next) = (span("a", 0, 100_000), span("b", 900_000, 1_000_000));
        let is_left = |dump: Dump, span: &Span, next: Option<&Span>| left(&[dump], span, next).is_some();
        // The log may have been silent for long before.
        assert!(is_left(dump("b", Some(800_000)), &died, Some(&next)));
        assert!(is_left(dump("b", None), &died, Some(&next)));
        assert!(!is_left(dump("c", None), &died, Some(&next)));
        assert!(!is_left(dump("b", Some(800_000)), &next, None));
        assert!(!is_left(dump("b", None), &next, None));
        assert!(!is_left(Dump { panic: false, ..dump("b", None) }, &died, Some(&next)));
    }
}
