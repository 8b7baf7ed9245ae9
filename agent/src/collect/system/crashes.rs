//! Programs and kernels that crashed, alike ones folded into one row.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Crash;

use super::pstore::{self, Dump};
use crate::collect::{Cadence, Collector, Os, Rows, kernel_log};
use crate::host::Host;

mod apport;
mod coredumps;
mod kernel;

pub(in crate::collect) const CRASHES: Collector =
    Collector { table: Crash::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(15)), look };

/// How far back it is looked, as far as the kernel's log is.
const WINDOW_MS: i64 = 7 * 24 * 3600 * 1000;
/// Most kinds of crash that are told; those with the newest crash are kept.
const ROWS_MAX: usize = 200;
/// Longest text that is kept of one message.
const TEXT_BYTES_MAX: usize = 400;
/// The kernel notes a program's fault and the dump of it is stored within this time.
const SAME_CRASH_MS: i64 = 2 * 60 * 1000;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let (mut found, mut missing, mut errors, mut seen) = (Vec::new(), Vec::new(), Vec::new(), false);
    match coredumps::crashes(host).context("crashes of programs") {
        Ok(Some((crashes, cut))) => {
            seen = true;
            found.extend(crashes);
            missing.extend(cut);
        }
        // No journal: nothing stores them there.
        Ok(None) => {}
        Err(error) => errors.push(error),
    }
    match kernel_log::lines(host, kernel::PATTERN).context("the kernel's log") {
        Ok(lines) => {
            seen = true;
            let noted = kernel::crashes(&lines.lines);
            let noted: Vec<Crash> = noted.into_iter().filter(|crash| !is_stored(crash, &found)).collect();
            found.extend(noted);
            missing.extend(lines.missing);
        }
        Err(error) => errors.push(error),
    }
    match pstore::dumps(host).context("what dying kernels left") {
        Ok(left) => {
            for dump in &left.dumps {
                add_dump(&mut found, dump);
            }
            missing.extend(left.missing);
        }
        Err(error) => errors.push(error),
    }
    match apport::crashes(host).context(apport::FOLDER) {
        Ok(crashes) => {
            let reported: Vec<Crash> = crashes.into_iter().filter(|crash| !is_stored(crash, &found)).collect();
            found.extend(reported);
        }
        Err(error) => errors.push(error),
    }
    if !seen && found.is_empty() && !errors.is_empty() {
        return Err(errors.swap_remove(0));
    }
    missing.extend(errors.iter().map(|error| format!("{error:#}")));
    let from_ms = host.now_ms().saturating_sub(WINDOW_MS);
    found.retain(|crash| crash.last_ms.is_none_or(|last_ms| last_ms >= from_ms));
    let (crashes, left_out) = fold(found);
    if left_out > 0 {
        missing.push(format!("{left_out} kinds of crash beyond the newest {ROWS_MAX}"));
    }
    let mut rows: Rows = crashes.into_iter().collect();
    for what in missing {
        if seen { rows.ends_early(what) } else { rows.missing(what) }
    }
    Ok(rows)
}

/// Whether the crash is the same as one that was stored with more to tell.
fn is_stored(crash: &Crash, stored: &[Crash]) -> bool {
    let near = |other: &Crash| match (crash.last_ms, other.last_ms) {
        (Some(one), Some(other)) => one.abs_diff(other) <= SAME_CRASH_MS.unsigned_abs(),
        _ => false,
    };
    let same = |other: &&Crash| other.kind == crash.kind && other.pid.is_some() && other.pid == crash.pid;
    crash.kind == "program" && stored.iter().filter(same).any(near)
}

/// A dump is told once, even where the kernel's log still has the same fault.
fn add_dump(found: &mut Vec<Crash>, dump: &Dump) {
    let Some(mut crash) = kernel::of_dump(&dump.text) else { return };
    crash.kind = if dump.panic { "panic".into() } else { crash.kind };
    crash.last_ms = dump.at_ms.or(dump.found_ms);
    crash.source = "pstore".into();
    let same = |other: &Crash| {
        let near = other.last_ms.zip(crash.last_ms).is_some_and(|(one, other)| one.abs_diff(other) <= 10 * 60 * 1000);
        other.source == "kernel" && other.frame == crash.frame && near
    };
    match found.iter().position(same) {
        Some(_known) if !dump.panic => return,
        Some(known) => drop(found.remove(known)),
        None => {}
    }
    found.push(crash);
}

/// One row a key, with the latest crash's particulars; newest first. Returns how many rows were left out.
fn fold(found: Vec<Crash>) -> (Vec<Crash>, usize) {
    let mut rows: BTreeMap<(String, String, String, String), Crash> = BTreeMap::new();
    for crash in found {
        let key = (crash.kind.clone(), crash.program.clone(), crash.signal.clone(), crash.frame.clone());
        let row = rows.entry(key).or_default();
        let (count, first_ms) = (row.count, row.first_ms);
        if count == 0 || crash.last_ms >= row.last_ms {
            *row = Crash { message: short(&crash.message), first_ms: crash.last_ms, ..crash };
            row.first_ms = [first_ms, row.last_ms].into_iter().flatten().min();
        } else {
            row.first_ms = [first_ms, crash.last_ms].into_iter().flatten().min();
        }
        row.count = count.saturating_add(1);
    }
    let mut rows: Vec<Crash> = rows.into_values().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.last_ms));
    let left_out = rows.len().saturating_sub(ROWS_MAX);
    rows.truncate(ROWS_MAX);
    (rows, left_out)
}

fn short(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default().trim();
    line.get(..line.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(program: &str, frame: &str, last_ms: i64, pid: u32) -> Crash {
        Crash {
            kind: "program".into(),
            program: program.into(),
            frame: frame.into(),
            last_ms: Some(last_ms),
            pid: Some(pid),
            ..Crash::default()
        }
    }

    #[test]
    fn alike_crashes_are_one_row_with_the_latest_s_particulars() {
        let (rows, left_out) =
            fold(vec![crash("a", "f", 20, 2), crash("a", "f", 10, 1), crash("a", "g", 30, 3), crash("a", "f", 15, 9)]);
        let seen: Vec<_> =
            rows.iter().map(|row| (row.frame.as_str(), row.count, row.first_ms, row.last_ms, row.pid)).collect();
        assert_eq!(seen, [("g", 1, Some(30), Some(30), Some(3)), ("f", 3, Some(10), Some(20), Some(2))]);
        assert_eq!(left_out, 0);
    }

    #[test]
    fn a_fault_that_the_kernel_noted_and_that_was_stored_is_one_crash() {
        let stored = [crash("a", "f", 100_000, 7)];
        assert!(is_stored(&crash("a", "libx.so+0x1", 99_000, 7), &stored));
        assert!(!is_stored(&crash("a", "libx.so+0x1", 99_000, 8), &stored));
        assert!(!is_stored(&crash("a", "libx.so+0x1", 900_000, 7), &stored));
    }

    #[test]
    fn rows_are_bounded_and_the_newest_are_kept() {
        let many = (0..300).map(|n| crash(&n.to_string(), "f", n, 1)).collect();
        let (rows, left_out) = fold(many);
        assert_eq!((rows.len(), left_out, rows[0].last_ms), (ROWS_MAX, 100, Some(299)));
    }

    #[test]
    fn a_dump_takes_the_place_of_the_same_fault_in_the_log() {
        let text = "BUG: unable to handle page fault for address: 0\nRIP: 0010:bad+0x1/0x2 [mod]\nKernel panic - not syncing: Fatal exception\n";
        let dump = Dump { at_ms: Some(60_000), text: text.into(), panic: true, ..Dump::default() };
        let logged = Crash { kind: "oops".into(), source: "kernel".into(), ..crash("x", "bad+0x1", 59_000, 1) };
        let mut found = vec![logged];
        add_dump(&mut found, &dump);
        let seen: Vec<_> = found.iter().map(|crash| (crash.kind.as_str(), crash.source.as_str())).collect();
        assert_eq!(seen, [("panic", "pstore")]);
    }
}
