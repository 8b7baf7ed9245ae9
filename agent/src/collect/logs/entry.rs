//! What one entry of a journal or of a log file says, as an event.

use data_encoding::HEXLOWER;
use deskside_proto::v1::LogEvent;
use jiff::Zoned;

use super::journal::SOURCE;
use super::journal_file::{EntryHead, Field};
use super::lines::Entry;
use super::text;

/// An entry's fields as an event (systemd.journal-fields(7)).
pub(super) fn event(entry: &EntryHead, cursor: String, fields: Vec<Field>) -> LogEvent {
    let mut event = LogEvent {
        at_ms: (entry.realtime_us / 1000).cast_signed(),
        source: SOURCE.into(),
        position: cursor,
        boot_id: HEXLOWER.encode(&entry.boot_id),
        ..LogEvent::default()
    };
    let (mut command, mut syslog_pid, mut named_unit) = (String::new(), None, false);
    for field in fields {
        let text = || String::from_utf8_lossy(&field.value).into_owned();
        match field.name {
            "MESSAGE" => set_message(&mut event, &field),
            "MESSAGE_ID" => event.message_id = text(),
            "PRIORITY" => event.priority = text().parse().ok().filter(|priority| *priority <= 7),
            "SYSLOG_IDENTIFIER" => event.program = text(),
            "SYSLOG_PID" => syslog_pid = text().trim().parse().ok(),
            "_COMM" => command = text(),
            "_PID" => event.pid = text().parse().ok(),
            // The manager names the unit that it speaks of; it is its unit that is meant, not the manager's.
            "UNIT" | "USER_UNIT" => {
                event.unit = text();
                named_unit = true;
            }
            "_SYSTEMD_UNIT" | "_SYSTEMD_USER_UNIT" if !named_unit => event.unit = text(),
            _ => {}
        }
    }
    if event.program.is_empty() {
        event.program = command;
    }
    event.pid = event.pid.or(syslog_pid);
    event
}

fn set_message(event: &mut LogEvent, field: &Field) {
    let cut = field.bytes > field.value.len() as u64;
    event.cut_from_bytes = cut.then_some(field.bytes);
    (event.message, event.invalid_utf8) = text::lossy(&field.value, cut);
}

/// One entry of a log file as an event, and whether it says itself when it was written.
pub(super) fn file_event(path: &str, entry: &Entry, now: &Zoned) -> (LogEvent, bool) {
    let (line, invalid_utf8) = text::lossy(&entry.text, entry.is_cut());
    let said = text::read(&line, now);
    let stem = || path.rsplit('/').next().and_then(|name| name.split('.').next()).unwrap_or_default().to_owned();
    let event = LogEvent {
        at_ms: said.at_ms.unwrap_or_else(|| now.timestamp().as_millisecond()),
        source: path.into(),
        position: entry.start.to_string(),
        priority: said.priority,
        program: if said.program.is_empty() { stem() } else { said.program },
        pid: said.pid,
        message: said.message,
        cut_from_bytes: entry.is_cut().then_some(entry.bytes),
        invalid_utf8,
        ..LogEvent::default()
    };
    (event, said.at_ms.is_some())
}
