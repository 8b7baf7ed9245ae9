//! A look at the latest entries, through the door: of the journal, or where there is none of the system's log file.

use std::io;

use anyhow::Context;
use deskside_proto::log_line::{self, Clock};
use deskside_proto::v1::LogEvent;
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value};

use super::entry::file_event;
use super::journal;
use super::lines::{Joiner, Splitter};
use crate::collect::Rows;
use crate::host::Host;

/// Entries that a look returns.
const LATEST: &str = "200";
/// What journalctl is asked for besides what it always tells.
const FIELDS: &str = "--output-fields=MESSAGE,MESSAGE_ID,PRIORITY,SYSLOG_IDENTIFIER,SYSLOG_PID,UNIT,USER_UNIT,_COMM,_PID,\
                      _SYSTEMD_UNIT,_SYSTEMD_USER_UNIT";
/// Where a system without a journal writes what it has to say; the first that is there is read.
const SYSTEM_LOGS: &[&str] = &["/var/log/syslog", "/var/log/messages"];

pub(super) fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let ran = match host.run("journalctl", &["--no-pager", "--lines", LATEST, "--output", "json", FIELDS]) {
        Ok(ran) if !ran.stdout.is_empty() => ran,
        Ok(_nothing) => return look_at_file(host),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return look_at_file(host),
        Err(error) => return Err(error).context("running journalctl"),
    };
    let mut rows = Rows::none();
    let mut unreadable = 0;
    for line in ran.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(entry) => rows.push(&event(&entry)),
            Err(_not_json) => unreadable += 1,
        }
    }
    if unreadable > 0 {
        rows.missing(format!("{unreadable} entries that are not JSON"));
    }
    let told = String::from_utf8_lossy(&ran.stderr);
    if told.contains("not seeing messages") {
        rows.missing("messages of others; the agent's user needs the group systemd-journal");
    }
    Ok(rows)
}

/// One entry as `journalctl -o json` writes it: numbers are texts, and what is no text is a list of bytes.
fn event(entry: &Map<String, Value>) -> LogEvent {
    let bytes = |name: &str| match entry.get(name) {
        Some(Value::String(text)) => Some(text.clone().into_bytes()),
        Some(Value::Array(bytes)) => Some(bytes.iter().filter_map(|byte| byte.as_u64()?.try_into().ok()).collect()),
        _ => None,
    };
    let string = |name: &str| bytes(name).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let first =
        |names: &[&str]| names.iter().map(|name| string(name)).find(|text| !text.is_empty()).unwrap_or_default();
    let message = bytes("MESSAGE");
    // journalctl leaves out what is longer than 4096 bytes.
    let left_out = matches!(entry.get("MESSAGE"), Some(Value::Null));
    let (text, invalid_utf8) = log_line::lossy(message.unwrap_or_default(), false);
    LogEvent {
        at_ms: string("__REALTIME_TIMESTAMP").parse::<i64>().unwrap_or_default() / 1000,
        source: journal::SOURCE.into(),
        position: string("__CURSOR"),
        priority: string("PRIORITY").parse().ok().filter(|priority| *priority <= 7),
        unit: first(&["UNIT", "USER_UNIT", "_SYSTEMD_UNIT", "_SYSTEMD_USER_UNIT"]),
        program: first(&["SYSLOG_IDENTIFIER", "_COMM"]),
        pid: first(&["_PID", "SYSLOG_PID"]).trim().parse().ok(),
        message: if left_out { "(a text of more than 4096 bytes)".into() } else { text },
        message_id: string("MESSAGE_ID"),
        boot_id: string("_BOOT_ID"),
        invalid_utf8,
        ..LogEvent::default()
    }
}

fn look_at_file(host: &dyn Host) -> anyhow::Result<Rows> {
    for path in SYSTEM_LOGS {
        let ran = match host.run("tail", &["-n", LATEST, path]) {
            Ok(ran) if ran.status == Some(0) => ran,
            Ok(ran) if String::from_utf8_lossy(&ran.stderr).contains("denied") => {
                let denied = io::Error::from(io::ErrorKind::PermissionDenied);
                return Err(denied).with_context(|| format!("reading {path}; the agent's user needs the group adm"));
            }
            Ok(_) | Err(_) => continue,
        };
        return Ok(from_file(path, &ran.stdout, host.now_ms()).into_iter().collect());
    }
    Ok(Rows::unsupported("neither a journal nor /var/log/syslog or /var/log/messages"))
}

fn from_file(path: &str, tail: &[u8], now_ms: i64) -> Vec<LogEvent> {
    let now = Timestamp::from_millisecond(now_ms).unwrap_or_default().to_zoned(TimeZone::system());
    let clock = Clock::at(&now);
    let (mut splitter, mut joiner) = (Splitter::default(), Joiner::default());
    let mut entries = Vec::new();
    let mut rest = tail;
    while !rest.is_empty() {
        let (behind, line) = splitter.line(rest);
        rest = behind;
        entries.extend(line.and_then(|line| joiner.push(line, 0, &clock)));
    }
    entries.extend(splitter.rest().and_then(|line| joiner.push(line, 0, &clock)));
    entries.extend(joiner.due(0, true));
    entries.into_iter().filter(|entry| !entry.text.is_empty()).map(|entry| file_event(path, entry, &clock).0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_journalctl_prints_becomes_an_event() {
        let line = r#"{"__CURSOR":"s=1;i=2","__REALTIME_TIMESTAMP":"1795311221493123","_BOOT_ID":"cb0f","PRIORITY":"3",
            "UNIT":"cups.service","_SYSTEMD_UNIT":"init.scope","_COMM":"systemd","_PID":"1","MESSAGE":[98,255,99]}"#;
        let event = event(&serde_json::from_str(line).unwrap());
        assert_eq!((event.at_ms, event.position.as_str()), (1_795_311_221_493, "s=1;i=2"));
        assert_eq!((event.priority, event.pid, event.boot_id.as_str()), (Some(3), Some(1), "cb0f"));
        assert_eq!((event.unit.as_str(), event.program.as_str()), ("cups.service", "systemd"));
        assert_eq!((event.message.as_str(), event.invalid_utf8), ("b\u{fffd}c", true));
    }

    #[test]
    fn a_text_that_journalctl_leaves_out_is_said_to_be_left_out() {
        let event = event(&serde_json::from_str(r#"{"MESSAGE":null}"#).unwrap());
        assert!(event.message.contains("4096"), "{}", event.message);
    }

    #[test]
    fn a_system_without_a_journal_is_read_from_its_log_file() {
        let tail = b"Nov 22 01:10:57 desk7 app[7]: boom\n  at a\nNov 22 01:10:58 desk7 app[7]: again\n";
        let events = from_file("/var/log/syslog", tail, Timestamp::now().as_millisecond());
        let said: Vec<_> = events.iter().map(|event| (event.message.as_str(), event.pid)).collect();
        assert_eq!(said, [("boom\n  at a", Some(7)), ("again", Some(7))]);
        assert!(events.iter().all(|event| event.source == "/var/log/syslog" && event.program == "app"));
    }
}
