//! macOS' unified log, as `log show --style ndjson` (or `log stream`) writes it: one JSON object a line.

use std::io::{BufReader, Read};

use deskside_proto::codes::Meaning;
use deskside_proto::v1::LogEvent;
use jiff::Timestamp;
use serde::Deserialize;

use super::lines::Lines;
use super::{Sink, Unread, bounded};

/// Longest line that is read. macOS itself cuts a message at 32 KiB; a backtrace may stand beside it.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// One line. What a line does not have stays at its default.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Entry {
    /// "2026-11-22 01:10:57.123456-0500".
    timestamp: Option<String>,
    event_message: Option<String>,
    event_type: Option<String>,
    message_type: Option<String>,
    process_image_path: Option<String>,
    sender_image_path: Option<String>,
    #[serde(rename = "processID")]
    process_id: Option<u32>,
    subsystem: Option<String>,
    category: Option<String>,
    #[serde(rename = "bootUUID")]
    boot_uuid: Option<String>,
    /// The last line of all has only this and a count.
    finished: Option<u32>,
}

pub(super) fn read(file: impl Read, source: &str, sink: Sink<'_>) -> anyhow::Result<Unread> {
    let mut lines = Lines::new(BufReader::new(file), LINE_BYTES_MAX);
    let mut unread = Unread::default();
    while let Some(line) = lines.next()? {
        // What `log` says about itself ("Filtering the log data using …") stands before the first object.
        if line.bytes.first() != Some(&b'{') {
            if line.offset > 0 && !line.bytes.is_empty() {
                unread.add(|| "a line is no JSON object".into());
            }
            continue;
        }
        if line.cut_from_bytes.is_some() {
            unread.add(|| format!("a line is longer than {LINE_BYTES_MAX} bytes"));
            continue;
        }
        match serde_json::from_slice::<Entry>(&line.bytes) {
            Ok(entry) if entry.finished.is_some() => {}
            Ok(entry) => sink(event(entry, source, line.offset))?,
            Err(error) => {
                unread.is_cut |= error.is_eof();
                unread.add(|| error.to_string());
            }
        }
    }
    Ok(unread)
}

fn event(entry: Entry, source: &str, offset: u64) -> LogEvent {
    let at: Option<Timestamp> = entry.timestamp.and_then(|at| at.parse().ok());
    let message = entry.event_message.filter(|message| !message.is_empty()).or(entry.event_type);
    let (message, cut_from_bytes) = bounded(message.unwrap_or_default());
    LogEvent {
        at_ms: at.map(Timestamp::as_millisecond).unwrap_or_default(),
        source: source.to_owned(),
        position: offset.to_string(),
        priority: entry.message_type.as_deref().and_then(priority),
        program: file_name(entry.process_image_path),
        pid: entry.process_id,
        message,
        boot_id: entry.boot_uuid.unwrap_or_default(),
        cut_from_bytes,
        provider: file_name(entry.sender_image_path),
        subsystem: entry.subsystem.unwrap_or_default(),
        category: entry.category.unwrap_or_default(),
        ..LogEvent::default()
    }
}

/// `os_log_type_t` (os/log.h) as syslog counts: a default message is one that is kept, more than information.
fn priority(kind: &str) -> Option<u32> {
    match kind {
        "Fault" => Some(2),
        "Error" => Some(3),
        "Default" => Some(5),
        "Info" => Some(6),
        "Debug" => Some(7),
        _ => None,
    }
}

/// Whether a code means on macOS what it means on Linux: numbers of errors above 34 and most of signals differ (sys/errno.h, sys/signal.h).
pub(super) fn means_the_same(meaning: &Meaning) -> bool {
    let number = meaning.number.parse::<u32>().unwrap_or_default();
    match meaning.kind {
        "errno" => number <= 34,
        "signal" => matches!(number, 1..=6 | 8 | 9 | 11 | 13..=15),
        "exit status" => number < 128,
        _ => true,
    }
}

fn file_name(path: Option<String>) -> String {
    let path = path.unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made after the form that log(1) of macOS 14 writes, not recorded on a Mac.
    const SAMPLE: &[u8] = include_bytes!("../../tests/logs/macos.ndjson");

    fn entries(bytes: &[u8]) -> (Vec<LogEvent>, Unread) {
        let mut events = Vec::new();
        let unread = read(bytes, "macos.ndjson", &mut |event| {
            events.push(event);
            Ok(())
        });
        (events, unread.unwrap())
    }

    #[test]
    fn each_object_is_an_entry_with_its_columns() {
        let (events, unread) = entries(SAMPLE);
        assert_eq!((events.len(), unread.entries, unread.is_cut), (4, 0, false));
        let error = &events[1];
        assert_eq!(error.at_ms, "2026-11-22T06:10:57.123Z".parse::<Timestamp>().unwrap().as_millisecond());
        assert_eq!((error.priority, error.program.as_str(), error.pid), (Some(3), "symptomsd", Some(214)));
        assert_eq!((error.subsystem.as_str(), error.category.as_str()), ("com.apple.network", "connection"));
        assert_eq!(error.provider, "libnetwork.dylib");
        assert!(error.message.contains("Connection refused"));
        assert_eq!(events[2].priority, Some(2));
        assert_eq!(events[3].message, "activityCreateEvent");
    }

    #[test]
    fn lines_that_cannot_be_read_are_counted() {
        let (events, unread) =
            entries(b"Filtering the log data\n{\"processID\":\"x\"}\nwhat\n{\"eventMessage\":\"a\"}\n{\"event");
        assert_eq!((events.len(), unread.entries, unread.is_cut), (1, 3, true));
        let nested = [b"{\"source\":".repeat(100_000), b"\n".to_vec()].concat();
        assert_eq!(entries(&nested).1.entries, 1);
        let long = format!("{{\"eventMessage\":\"{}\"}}\n", "é".repeat(LINE_BYTES_MAX));
        assert_eq!(entries(long.as_bytes()).1.entries, 1);
        let message = format!("{{\"eventMessage\":\"{}\"}}\n", "é".repeat(20_000));
        assert_eq!(entries(message.as_bytes()).0[0].cut_from_bytes, Some(40_000));
    }

    #[test]
    fn codes_that_macos_numbers_otherwise_are_not_decoded() {
        let told = |message| -> Vec<String> {
            let meanings = deskside_proto::codes::find(message).into_iter();
            meanings.filter(means_the_same).map(|meaning| meaning.name).collect()
        };
        assert_eq!(told("write failed: errno 28"), ["ENOSPC"]);
        assert_eq!(told("read failed: errno 35, signal 10, exit status 138"), [""; 0]);
    }

    #[test]
    fn a_file_cut_anywhere_is_read_up_to_there() {
        for cut in 0..SAMPLE.len() {
            entries(&SAMPLE[..cut]);
        }
    }
}
