//! What one entry of a journal or of a log file says, as an event.

use data_encoding::HEXLOWER;
use deskside_proto::log_line::{self, Clock};
use deskside_proto::v1::LogEvent;

use super::journal::SOURCE;
use super::journal_file::{EntryHead, Field};
use super::lines::Entry;

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
            "MESSAGE" => set_message(&mut event, field),
            "MESSAGE_ID" => event.message_id = text(),
            "CODE_FILE" => event.code_file = text(),
            "CODE_LINE" => event.code_line = text().parse().ok(),
            "CODE_FUNC" => event.code_function = text(),
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

fn set_message(event: &mut LogEvent, field: Field) {
    let cut = field.bytes > field.value.len() as u64;
    event.cut_from_bytes = cut.then_some(field.bytes);
    (event.message, event.invalid_utf8) = log_line::lossy(field.value, cut);
}

/// One entry of a log file as an event, and whether it says itself when it was written.
pub(super) fn file_event(path: &str, entry: Entry, clock: &Clock) -> (LogEvent, bool) {
    let (mut text, invalid_utf8) = log_line::lossy(entry.text, entry.cut);
    let said = log_line::read_by(&text, clock);
    let stem = || path.rsplit('/').next().and_then(|name| name.split('.').next()).unwrap_or_default();
    let mut event = LogEvent {
        at_ms: said.at_ms.unwrap_or_else(|| clock.now.timestamp().as_millisecond()),
        source: path.into(),
        position: entry.start.to_string(),
        priority: said.priority,
        program: if said.program.is_empty() { stem() } else { said.program }.into(),
        pid: said.pid,
        code_file: said.code.map(|(file, _line)| file).unwrap_or_default().into(),
        code_line: said.code.map(|(_file, line)| line),
        cut_from_bytes: entry.cut.then_some(entry.bytes),
        invalid_utf8,
        ..LogEvent::default()
    };
    let dated = said.at_ms.is_some();
    // What is said is the end of the line, so that the line itself becomes the message.
    let head = text.len() - said.message.len();
    text.drain(..head);
    text.truncate(text.trim_end_matches('\n').len());
    event.message = if path.ends_with(PAGE_LOG) { page(&text) } else { text };
    (event, dated)
}

/// CUPS' log of printed pages.
const PAGE_LOG: &str = "/page_log";

/// A line of CUPS' page log without who printed and what it was called: `printer - job [time] page copies` (cupsd-logs(5)). Of a form that
/// was configured, the printer alone is known.
fn page(line: &str) -> String {
    let rest = || {
        let (head, rest) = line.split_once(" [")?;
        let (at, counts) = rest.split_once("] ")?;
        let mut head = head.rsplitn(3, ' ');
        let (job, _user, printer) = (head.next()?, head.next()?, head.next()?);
        let _number: u32 = job.parse().ok()?;
        let counts: Vec<&str> = counts.split(' ').take(2).collect();
        Some(format!("{printer} - {job} [{at}] {}", counts.join(" ")))
    };
    rest().unwrap_or_else(|| format!("{} printed", line.split(' ').next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_pages_says_nothing_of_persons_and_titles() {
        let line = "desk7-laser anna 17 [22/Nov/2026:01:10:57 +0100] total 3 - localhost Letter to the doctor.odt A4 one-sided";
        assert_eq!(page(line), "desk7-laser - 17 [22/Nov/2026:01:10:57 +0100] total 3");
        assert_eq!(page("desk7-laser something else of anna"), "desk7-laser printed");
    }
}
