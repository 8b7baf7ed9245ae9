//! Logs as plain text, one file a source; and what the errors among them are.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};

use deskside_proto::v1::LogEvent;

use super::archive::{Archive, Filed, iso, safe_name};

/// Sources with a file of their own; the rest share one.
const SOURCES_MAX: usize = 32;

/// Different errors that are counted apart.
const ERRORS_MAX: usize = 1000;

/// syslog: error, critical, alert, emergency.
pub(super) const ERROR_PRIORITY: u32 = 3;

/// Characters of an error that are compared and shown.
const EXAMPLE_CHARS: usize = 160;

/// The log files that are being written.
#[derive(Default)]
pub(super) struct Texts {
    files: BTreeMap<String, BufWriter<File>>,
}

impl Texts {
    /// Writes one event; the bytes that it took.
    pub(super) fn write(&mut self, archive: &Archive, event: &LogEvent) -> anyhow::Result<u64> {
        let source = event.source.strip_suffix(".log").unwrap_or(&event.source);
        let mut name = safe_name(source);
        if !self.files.contains_key(&name) && self.files.len() >= SOURCES_MAX {
            name = "others".into();
        }
        let line = line(event);
        let file = match self.files.entry(name) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert(archive.scratch()?),
        };
        file.write_all(line.as_bytes())?;
        Ok(line.len() as u64)
    }

    pub(super) fn finish(self, archive: &mut Archive) -> anyhow::Result<Vec<Filed>> {
        let add = |(name, file): (String, _)| archive.add_scratch(&format!("logs/{name}.log"), file);
        self.files.into_iter().map(add).collect()
    }
}

/// Time, priority, who, and the text; the lines of a longer text are set in.
fn line(event: &LogEvent) -> String {
    let priority = event.priority.map_or_else(|| "-".into(), |priority| priority.to_string());
    let pid = event.pid.map(|pid| format!("[{pid}]")).unwrap_or_default();
    let unit = if event.unit.is_empty() { String::new() } else { format!("{} ", event.unit) };
    let clean = |c: char| c.is_control() && c != '\n' && c != '\t';
    let message = event.message.replace(clean, "\u{fffd}").replace('\n', "\n    ");
    let cut = event.cut_from_bytes.map(|bytes| format!(" [cut, {bytes} bytes]")).unwrap_or_default();
    format!("{} <{priority}> {unit}{}{pid}: {message}{cut}\n", iso(event.at_ms), event.program)
}

/// Errors that say the same but for numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Errors {
    pub(super) times: u64,
    pub(super) latest_ms: i64,
    pub(super) from: String,
    pub(super) example: String,
}

/// Errors counted by what they say.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) total: u64,
    alike: BTreeMap<(String, String), Errors>,
}

impl Tally {
    pub(super) fn count(&mut self, event: &LogEvent) {
        if event.priority.is_none_or(|priority| priority > ERROR_PRIORITY) {
            return;
        }
        self.total += 1;
        let from = [&event.unit, &event.program, &event.source].into_iter().find(|name| !name.is_empty());
        let from = from.cloned().unwrap_or_default();
        let example: String = event.message.chars().take(EXAMPLE_CHARS).collect();
        let key = (from.clone(), pattern(&example));
        if self.alike.len() >= ERRORS_MAX && !self.alike.contains_key(&key) {
            return;
        }
        let errors = self.alike.entry(key).or_insert(Errors { times: 0, latest_ms: event.at_ms, from, example });
        errors.times += 1;
        errors.latest_ms = errors.latest_ms.max(event.at_ms);
    }

    /// The most frequent first.
    pub(super) fn top(&self, most: usize) -> Vec<&Errors> {
        let mut all: Vec<&Errors> = self.alike.values().collect();
        all.sort_by_key(|errors| (std::cmp::Reverse(errors.times), std::cmp::Reverse(errors.latest_ms)));
        all.truncate(most);
        all
    }
}

/// What a message says, its numbers left out.
fn pattern(message: &str) -> String {
    let mut pattern = String::with_capacity(message.len());
    for c in message.chars() {
        let c = if c.is_ascii_digit() { '#' } else { c };
        if c != '#' || !pattern.ends_with('#') {
            pattern.push(c);
        }
    }
    pattern
}
