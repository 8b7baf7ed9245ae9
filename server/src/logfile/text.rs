//! Lines of text, in the forms that logs commonly have.

use std::io::{BufReader, Read};

use deskside_proto::log_line::{self, Clock};
use deskside_proto::v1::LogEvent;
use jiff::Zoned;

use super::lines::{FileLine, Lines};
use super::{MESSAGE_BYTES_MAX, Sink, Unread};

pub(super) fn read(file: impl Read, source: &str, sink: Sink<'_>) -> anyhow::Result<Unread> {
    let now = Zoned::now();
    let mut lines = Lines::new(BufReader::new(file), MESSAGE_BYTES_MAX);
    let mut last: Option<(i64, Option<u32>)> = None;
    while let Some(line) = lines.next()? {
        if line.bytes.is_empty() {
            continue;
        }
        let clock = Clock { last_ms: last.map(|(at_ms, _priority)| at_ms), ..Clock::at(&now) };
        let (mut event, at_ms) = event(line, source, &clock);
        match (at_ms, last) {
            (Some(at_ms), _) => last = Some((at_ms, event.priority)),
            // A line without a time goes on with what the line before said.
            (None, Some((at_ms, priority))) => {
                event.at_ms = at_ms;
                event.priority = event.priority.or(priority);
            }
            (None, None) => {}
        }
        sink(event)?;
    }
    Ok(Unread::default())
}

fn event(line: FileLine, source: &str, clock: &Clock) -> (LogEvent, Option<i64>) {
    let FileLine { bytes, cut_from_bytes, offset } = line;
    let (text, invalid_utf8) = log_line::lossy(bytes, cut_from_bytes.is_some());
    let said = log_line::read_by(&text, clock);
    let (code_file, code_line) = said.code.unzip();
    let event = LogEvent {
        at_ms: said.at_ms.unwrap_or_default(),
        source: source.to_owned(),
        position: offset.to_string(),
        priority: said.priority,
        program: said.program.to_owned(),
        pid: said.pid,
        message: said.message.to_owned(),
        cut_from_bytes,
        invalid_utf8,
        code_file: code_file.unwrap_or_default().to_owned(),
        code_line,
        ..LogEvent::default()
    };
    (event, said.at_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_without_a_time_go_on_with_the_line_before() {
        let text = b"begin\n2026-11-22T01:10:57Z desk7 app[7]: ERROR no space left on device\n  at a.B\n\n";
        let mut events = Vec::new();
        read(&text[..], "a.log", &mut |event| {
            events.push((event.at_ms, event.priority, event.program, event.message));
            Ok(())
        })
        .unwrap();
        let at_ms = 1_795_309_857_000;
        let told =
            |at_ms, priority, program: &str, message: &str| (at_ms, priority, program.to_owned(), message.to_owned());
        assert_eq!(
            events,
            [
                told(0, None, "", "begin"),
                told(at_ms, Some(3), "app", "ERROR no space left on device"),
                told(at_ms, Some(3), "", "  at a.B"),
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_trouble(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            read(&bytes[..], "a", &mut |_event| Ok(())).unwrap();
        }
    }
}
