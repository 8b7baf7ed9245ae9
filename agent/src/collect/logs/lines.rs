//! Bytes of a log file cut into lines, and lines joined into entries.

use super::LINE_BYTES_MAX;

/// Lines of one entry: a stack trace has dozens.
const ENTRY_LINES_MAX: usize = 200;
/// An entry that may go on waits this long for its next line.
pub(super) const JOIN_MS: u64 = 1_000;

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
    lines: usize,
}

impl Entry {
    /// Text is missing at its end.
    pub(super) fn is_cut(&self) -> bool {
        self.bytes > self.text.len() as u64
    }
}

/// Cuts bytes into lines. Holds at most one line, and of it at most [`LINE_BYTES_MAX`] bytes.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    line: Entry,
}

impl Splitter {
    /// Begins anew at an offset. What was left of a line is given up.
    pub(super) fn restart(&mut self, offset: u64) {
        self.line = Entry { start: offset, end: offset, ..Entry::default() };
    }

    /// Where reading goes on.
    pub(super) fn offset(&self) -> u64 {
        self.line.end
    }

    /// Takes bytes that follow; returns what comes behind the first line end, and the line before it if there is one.
    pub(super) fn line<'a>(&mut self, bytes: &'a [u8]) -> (&'a [u8], Option<Entry>) {
        let (part, rest) = match bytes.iter().position(|byte| *byte == b'\n') {
            Some(at) => (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..)),
            None => (bytes, None),
        };
        let room = LINE_BYTES_MAX - self.line.text.len();
        self.line.text.extend_from_slice(part.get(..room).unwrap_or(part));
        self.line.bytes += part.len() as u64;
        self.line.end += part.len() as u64;
        match rest {
            Some(rest) => {
                self.line.end += 1;
                (rest, Some(self.end_line()))
            }
            None => (&[], None),
        }
    }

    /// The line without an end that the file ends with, once it is known that nothing follows.
    pub(super) fn rest(&mut self) -> Option<Entry> {
        (self.line.bytes > 0).then(|| self.end_line())
    }

    fn end_line(&mut self) -> Entry {
        let end = self.line.end;
        let mut line = std::mem::replace(&mut self.line, Entry { start: end, end, ..Entry::default() });
        if !line.is_cut() && line.text.last() == Some(&b'\r') {
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
    entry: Option<Entry>,
    since_ms: u64,
}

impl Joiner {
    /// Takes the next line; returns the entry that it shows to be complete.
    pub(super) fn push(&mut self, line: Entry, now_ms: u64) -> Option<Entry> {
        self.since_ms = now_ms;
        if let Some(entry) = &mut self.entry
            && goes_on(&line.text)
            && entry.lines < ENTRY_LINES_MAX
            && entry.text.len() + line.text.len() < LINE_BYTES_MAX
            && !entry.is_cut()
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

/// Whether a line plainly continues the one before: stack traces, wrapped text.
fn goes_on(line: &[u8]) -> bool {
    let indented = line.first().is_some_and(|first| matches!(first, b' ' | b'\t'));
    indented || line.starts_with(b"Caused by") || line.starts_with(b"at ")
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(line.is_cut());
    }

    #[test]
    fn a_stack_trace_is_one_entry() {
        let mut joiner = Joiner::default();
        let mut entries = Vec::new();
        for line in lines(&[b"first\nboom\n  at a\n\tat b\nCaused by: x\nat c\nlast\n"]) {
            entries.extend(joiner.push(line, 0));
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
            entries.extend(joiner.push(line, 0));
        }
        entries.extend(joiner.due(0, true));
        assert_eq!(entries.iter().map(|entry| entry.lines).collect::<Vec<_>>(), [ENTRY_LINES_MAX, ENTRY_LINES_MAX, 1]);
    }
}
