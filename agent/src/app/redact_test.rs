//! What redaction would do to a file, line by line: what goes, why, and what stands there instead.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use anyhow::Context;
use deskside_proto::show;
use serde_json::json;

use super::tables;
use crate::redact::{self, Redactor, Removed};

/// Longest line that is looked through; the rest of it is a line of its own.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Prints each line out of which something would go, and what it comes to.
pub(super) fn run(redactor: &Redactor, file: &Path, all: bool, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut input: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(BufReader::new(io::stdin()))
    } else {
        Box::new(BufReader::new(File::open(file).with_context(|| format!("opening {}", file.display()))?))
    };
    let (mut number, mut changed) = (0_u64, 0_u64);
    let mut kinds: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        if (&mut input).take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes).context("reading")? == 0 {
            break;
        }
        number += 1;
        let text = String::from_utf8_lossy(&bytes);
        let line = text.trim_end_matches(['\n', '\r']);
        let removed = redactor.explain(line);
        changed += u64::from(!removed.is_empty());
        for one in &removed {
            *kinds.entry(one.what).or_default() += 1;
        }
        if json {
            if all || !removed.is_empty() {
                let kept = redactor.text(line);
                writeln!(out, "{}", json!({"line": number, "kept": kept, "removed": removed}))?;
            }
        } else if !removed.is_empty() {
            print(number, &redactor.text(line), line, &removed, out)?;
        } else if all {
            writeln!(out, "{number:>6}  {}", show::printable(line))?;
        }
    }
    if json { Ok(()) } else { sum(number, changed, &kinds, out) }
}

/// The line as it would be kept, and beneath it what went. Secrets are not shown again: the output may be kept too.
fn print(number: u64, kept: &str, line: &str, removed: &[Removed], out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "{number:>6}  {}", show::printable(kept))?;
    for one in removed {
        let length = line.get(one.range.clone()).map_or(0, |found| found.chars().count());
        writeln!(out, "        {} for a {} of {length} characters", one.instead, one.what)?;
    }
    Ok(())
}

fn sum(lines: u64, changed: u64, kinds: &BTreeMap<&'static str, u64>, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "\n{changed} of {lines} lines would be changed.")?;
    let mut kinds: Vec<_> = kinds.iter().collect();
    kinds.sort_by_key(|(what, count)| (std::cmp::Reverse(**count), **what));
    let mut table = tables::new_table();
    for (what, count) in kinds {
        table.add_row([format!("{count:>6}"), (*what).to_owned()]);
    }
    Ok(writeln!(out, "{}", tables::text(&table))?)
}

/// The kinds of secret that are known.
pub(super) fn kinds(out: &mut dyn Write) -> anyhow::Result<()> {
    redact::kinds().into_iter().try_for_each(|kind| Ok(writeln!(out, "{kind}")?))
}
