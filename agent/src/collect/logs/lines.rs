//! Bytes of a log file cut into lines, and lines joined into entries.

use deskside_proto::log_line::{self, Clock};
use serde::{Deserialize, Serialize};

use super::LINE_BYTES_MAX;
use super::trace::Trace;

/// Lines of one entry: a stack trace has dozens.
const ENTRY_LINES_MAX: usize = 200;
/// An entry that may go on waits this long for its next line.
pub(super) const JOIN_MS: u64 = 1_000;

/// How bytes are letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Code {
    /// UTF-8, or whatever ends its lines with the same byte.
    #[default]
    Bytes,
    Utf16Le,
    Utf16Be,
}

impl Code {
    /// As a file's first two bytes say, which are a mark of the order of bytes where it is UTF-16.
    pub(super) fn of(first: &[u8]) -> Self {
        match first {
            [0xff, 0xfe, ..] => Self::Utf16Le,
            [0xfe, 0xff, ..] => Self::Utf16Be,
            _ => Self::Bytes,
        }
    }

    /// Where the first line end begins, and how many bytes it has.
    fn line_end(self, bytes: &[u8]) -> Option<(usize, usize)> {
        let end: [u8; 2] = match self {
            Self::Bytes => return memchr::memchr(b'\n', bytes).map(|at| (at, 1)),
            Self::Utf16Le => [b'\n', 0],
            Self::Utf16Be => [0, b'\n'],
        };
        bytes.chunks_exact(2).position(|unit| unit == end).map(|unit| (unit * 2, 2))
    }

    /// The same text as UTF-8.
    fn utf8(self, text: &[u8]) -> Vec<u8> {
        let unit =
            |pair: &[u8; 2]| if self == Self::Utf16Le { u16::from_le_bytes(*pair) } else { u16::from_be_bytes(*pair) };
        let units = text.as_chunks::<2>().0.iter().map(unit);
        let letters = char::decode_utf16(units).map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER));
        letters.filter(|letter| *letter != '\u{feff}').collect::<String>().into_bytes()
    }
}

/// How lines of a log make entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Entries {
    /// Each line is one.
    Lines,
    /// Lines that are set in go on, and so do the stack traces of Java, Python and Go.
    #[default]
    Traces,
    /// A line that begins with a time begins an entry; all others go on.
    Timestamps,
}

/// One line, or several that belong together, and where they lie in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its first bytes, without line ends but those within.
    pub(super) text: Vec<u8>,
    /// All of its bytes, without its line ends.
    pub(super) bytes: u64,
    /// Offset of its first byte.
    pub(super) start: u64,
    /// Offset behind its line end.
    pub(super) end: u64,
    /// Text is missing at its end.
    pub(super) cut: bool,
    lines: usize,
}

/// Cuts bytes into lines. Holds at most one line, and of it at most [`LINE_BYTES_MAX`] bytes.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    line: Entry,
    code: Code,
}

impl Splitter {
    pub(super) fn new(code: Code) -> Self {
        Self { line: Entry::default(), code }
    }

    /// Begins anew at an offset. What was left of a line is given up.
    pub(super) fn restart(&mut self, offset: u64) {
        self.line = Entry { start: offset, end: offset, ..Entry::default() };
    }

    /// Where reading goes on.
    pub(super) fn offset(&self) -> u64 {
        self.line.end
    }

    /// Takes bytes that follow; returns what comes behind the first line end, and the line before it if there is one. Half a letter at the
    /// end is not taken, so that as many bytes may come back as went in.
    pub(super) fn line<'a>(&mut self, bytes: &'a [u8]) -> (&'a [u8], Option<Entry>) {
        let whole = if self.code == Code::Bytes { bytes } else { bytes.get(..bytes.len() & !1).unwrap_or_default() };
        let (part, rest) = match self.code.line_end(whole) {
            Some((at, width)) => (whole.get(..at).unwrap_or_default(), bytes.get(at + width..)),
            None => (whole, None),
        };
        let room = LINE_BYTES_MAX - self.line.text.len();
        self.line.text.extend_from_slice(part.get(..room).unwrap_or(part));
        self.line.bytes += part.len() as u64;
        self.line.end += part.len() as u64;
        match rest {
            Some(rest) => {
                self.line.end += (bytes.len() - rest.len() - part.len()) as u64;
                (rest, Some(self.end_line()))
            }
            None => (bytes.get(whole.len()..).unwrap_or_default(), None),
        }
    }

    /// The line without an end that the file ends with, once it is known that nothing follows.
    pub(super) fn rest(&mut self) -> Option<Entry> {
        (self.line.bytes > 0).then(|| self.end_line())
    }

    fn end_line(&mut self) -> Entry {
        let end = self.line.end;
        let mut line = std::mem::replace(&mut self.line, Entry { start: end, end, ..Entry::default() });
        line.cut = line.bytes > line.text.len() as u64;
        if self.code != Code::Bytes {
            line.text = self.code.utf8(&line.text);
            line.text.truncate(LINE_BYTES_MAX);
            if !line.cut {
                line.bytes = line.text.len() as u64;
            }
        }
        if !line.cut && line.text.last() == Some(&b'\r') {
            line.text.pop();
            line.bytes -= 1;
        }
        line.lines = 1;
        line
    }
}

/// Joins lines that go on into the entry that they belong to.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    entries: Entries,
    entry: Option<Entry>,
    trace: Trace,
    since_ms: u64,
}

impl Joiner {
    pub(super) fn new(entries: Entries) -> Self {
        Self { entries, ..Self::default() }
    }

    pub(super) fn entries(&self) -> Entries {
        self.entries
    }

    /// Takes the next line; returns the entry that it shows to be complete.
    pub(super) fn push(&mut self, line: Entry, now_ms: u64, clock: &Clock) -> Option<Entry> {
        self.since_ms = now_ms;
        let goes_on = match (self.entries, &self.entry) {
            (Entries::Lines, _) => false,
            (Entries::Timestamps, _) => {
                std::str::from_utf8(&line.text).is_ok_and(|line| !log_line::is_dated(line, clock))
            }
            (Entries::Traces, before) => self
                .trace
                .goes_on(&line.text, before.as_ref().filter(|before| before.lines == 1).map(|before| &*before.text)),
        };
        if let Some(entry) = &mut self.entry
            && goes_on
            && entry.lines < ENTRY_LINES_MAX
            && entry.text.len() + line.text.len() < LINE_BYTES_MAX
            && !entry.cut
            && !line.cut
        {
            entry.text.push(b'\n');
            entry.text.extend_from_slice(&line.text);
            entry.bytes += line.bytes + 1;
            entry.end = line.end;
            entry.lines += 1;
            return None;
        }
        self.entry.replace(line)
    }

    /// The entry that has waited long enough, or in any case.
    pub(super) fn due(&mut self, now_ms: u64, in_any_case: bool) -> Option<Entry> {
        let due = in_any_case || now_ms.saturating_sub(self.since_ms) >= JOIN_MS;
        if due { self.entry.take() } else { None }
    }

    /// An entry waits for more.
    pub(super) fn waits(&self) -> bool {
        self.entry.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(joiner: &mut Joiner, line: Entry) -> Option<Entry> {
        let now: jiff::Zoned = "2026-11-22T02:00:00+01:00[Europe/Berlin]".parse().unwrap();
        joiner.push(line, 0, &Clock::at(&now))
    }

    fn lines(chunks: &[&[u8]]) -> Vec<Entry> {
        let mut splitter = Splitter::default();
        let mut all = Vec::new();
        for chunk in chunks {
            let mut rest = *chunk;
            while !rest.is_empty() {
                let (behind, line) = splitter.line(rest);
                all.extend(line);
                rest = behind;
            }
        }
        all.extend(splitter.rest());
        all
    }

    fn texts(lines: &[Entry]) -> Vec<String> {
        lines.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect()
    }

    #[test]
    fn lines_are_the_same_however_the_bytes_come() {
        let text = b"one\ntwo\r\n\nfour without an end";
        let whole = lines(&[text]);
        assert_eq!(texts(&whole), ["one", "two", "", "four without an end"]);
        for at in 0..text.len() {
            let (left, right) = text.split_at(at);
            assert_eq!(lines(&[left, right]), whole, "cut at {at}");
        }
        let offsets: Vec<_> = whole.iter().map(|line| (line.start, line.end)).collect();
        assert_eq!(offsets, [(0, 4), (4, 9), (9, 10), (10, 29)]);
    }

    #[test]
    fn a_line_of_ten_megabytes_is_cut_and_knows_its_size() {
        let mut splitter = Splitter::default();
        let chunk = vec![b'x'; 64 * 1024];
        for _chunk in 0..160 {
            assert_eq!(splitter.line(&chunk), (&[][..], None));
        }
        let (rest, line) = splitter.line(b"\nnext");
        let line = line.unwrap();
        assert_eq!((rest, line.bytes, line.text.len()), (&b"next"[..], 10 * 1024 * 1024, LINE_BYTES_MAX));
        assert!(line.cut);
    }

    #[test]
    fn a_stack_trace_is_one_entry() {
        let mut joiner = Joiner::default();
        let mut entries = Vec::new();
        for line in lines(&[b"first\nboom\n  at a\n\tat b\nCaused by: x\nat c\nlast\n"]) {
            entries.extend(push(&mut joiner, line));
        }
        assert_eq!(joiner.due(JOIN_MS - 1, false), None);
        entries.extend(joiner.due(JOIN_MS, false));
        assert_eq!(texts(&entries), ["first", "boom\n  at a\n\tat b\nCaused by: x\nat c", "last"]);
        assert_eq!((entries[1].start, entries[1].end, entries[1].bytes), (6, 42, 35));
    }

    #[test]
    fn joined_entries_are_bounded() {
        let mut joiner = Joiner::default();
        let mut entries = Vec::new();
        let text = " more\n".repeat(ENTRY_LINES_MAX * 2 + 1);
        for line in lines(&[text.as_bytes()]) {
            entries.extend(push(&mut joiner, line));
        }
        entries.extend(joiner.due(0, true));
        assert_eq!(entries.iter().map(|entry| entry.lines).collect::<Vec<_>>(), [ENTRY_LINES_MAX, ENTRY_LINES_MAX, 1]);
    }

    #[test]
    fn utf_16_is_read_in_either_order_however_the_bytes_come() {
        for order in [u16::to_le_bytes, u16::to_be_bytes] {
            let bytes: Vec<u8> = "\u{feff}erste \u{10a}\r\nzweite\n".encode_utf16().flat_map(order).collect();
            for at in 0..bytes.len() {
                let mut splitter = Splitter::new(Code::of(&bytes));
                let (mut all, mut taken) = (Vec::new(), 0);
                // What was not taken comes again with what follows, as when a file is read.
                for until in [at, bytes.len()] {
                    while taken < until {
                        let (rest, line) = splitter.line(&bytes[taken..until]);
                        all.extend(line);
                        let now = until - rest.len();
                        if now == taken {
                            break;
                        }
                        taken = now;
                        assert_eq!(splitter.offset(), taken as u64);
                    }
                }
                assert_eq!(texts(&all), ["erste \u{10a}", "zweite"], "cut at {at}");
            }
        }
    }

    #[test]
    fn entries_are_made_as_the_configuration_says() {
        let text = b"2026-11-22 01:10:57 one\nplain\n\n  set in\n2026-11-22 01:10:58 two\n";
        let joined = |entries| {
            let (mut joiner, mut all) = (Joiner::new(entries), Vec::new());
            for line in lines(&[text]) {
                all.extend(push(&mut joiner, line));
            }
            all.extend(joiner.due(0, true));
            all.len()
        };
        assert_eq!([Entries::Lines, Entries::Traces, Entries::Timestamps].map(joined), [5, 4, 2]);
    }
}
