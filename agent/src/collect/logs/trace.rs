//! Which lines plainly continue the one before: wrapped text, and the stack traces of Java, Python and Go.

/// Where in a stack trace a line stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Trace {
    /// In none.
    #[default]
    Outside,
    /// Among Python's frames, which are set in; the exception that follows them is not.
    Python,
    /// Behind Python's exception, which another may follow.
    PythonEnd,
    /// In what Go prints when it panics.
    Go,
}

const PYTHON: &[u8] = b"Traceback (most recent call last):";

impl Trace {
    /// Whether a line goes on the entry before. `before` is that entry while it has one line.
    pub(super) fn goes_on(&mut self, line: &[u8], before: Option<&[u8]>) -> bool {
        let first = line.first().copied();
        let was = *self;
        if first == Some(b'T') && line.starts_with(PYTHON) {
            *self = Self::Python;
            // A logger writes the traceback below its own line; a program that dies writes it alone.
            return was == Self::PythonEnd || before.is_some_and(is_dated);
        }
        if matches!(first, Some(b' ' | b'\t')) {
            return true;
        }
        match was {
            Self::Python => {
                *self = Self::PythonEnd;
                return true;
            }
            Self::PythonEnd if line.is_empty() || is_chained(line) => return true,
            Self::Go if line.is_empty() || is_of_go(line) => return true,
            _ => {}
        }
        *self = if begins_go(line) { Self::Go } else { Self::Outside };
        match first {
            Some(b'C') => line.starts_with(b"Caused by"),
            Some(b'S') => line.starts_with(b"Suppressed: "),
            Some(b'a') => line.starts_with(b"at "),
            Some(b'.') => line.starts_with(b"... "),
            // Java's logger writes the exception below its own line.
            Some(b'a'..=b'z') => is_exception(line) && before.is_some_and(is_dated),
            _ => false,
        }
    }
}

/// It begins as a log's own line does: with a time, or a level in brackets.
fn is_dated(line: &[u8]) -> bool {
    line.first().is_some_and(|first| first.is_ascii_digit() || *first == b'[')
        || line.iter().take(24).filter(|byte| byte.is_ascii_digit()).count() >= 6
}

/// `java.io.IOException: No space left on device`.
fn is_exception(line: &[u8]) -> bool {
    let end = line.iter().position(|byte| matches!(byte, b':' | b' ')).unwrap_or(line.len());
    let name = line.get(..end).unwrap_or_default();
    (name.ends_with(b"Exception") || name.ends_with(b"Error")) && name.contains(&b'.')
}

fn is_chained(line: &[u8]) -> bool {
    line.starts_with(b"During handling of the above exception") || line.starts_with(b"The above exception was")
}

fn begins_go(line: &[u8]) -> bool {
    line.starts_with(b"panic: ") || line.starts_with(b"fatal error: ") || is_goroutine(line)
}

fn is_goroutine(line: &[u8]) -> bool {
    line.starts_with(b"goroutine ") && line.ends_with(b"]:")
}

/// A frame's function, or what stands between frames.
fn is_of_go(line: &[u8]) -> bool {
    let call = line.last() == Some(&b')')
        && line
            .iter()
            .position(|byte| *byte == b'(')
            .is_some_and(|open| open > 0 && !line.iter().take(open).any(|byte| matches!(byte, b' ' | b':')));
    let starts = |start: &[u8]| line.starts_with(start);
    call || is_goroutine(line)
        || starts(b"created by ")
        || starts(b"[signal ")
        || starts(b"exit status ")
        || starts(b"\tpanic: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many entries a text makes.
    fn entries(text: &str) -> usize {
        let (mut trace, mut entries, mut before) = (Trace::default(), 0, None);
        for line in text.lines().map(str::as_bytes) {
            if trace.goes_on(line, before) {
                before = None;
            } else {
                entries += 1;
                before = Some(line);
            }
        }
        entries
    }

    #[test]
    fn stack_traces_are_one_entry_each() {
        let python = "2026-11-22 01:10:57 ERROR oops\nTraceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    \
                      f()\nValueError: no\n\nDuring handling of the above exception, another exception occurred:\n\n\
                      Traceback (most recent call last):\n  File \"a.py\", line 3\nKeyError: 'x'\n2026-11-22 01:10:58 INFO next\n";
        assert_eq!(entries(python), 2);
        assert_eq!(
            entries("unrelated\nTraceback (most recent call last):\n  File \"a.py\"\nValueError: no\nnext\n"),
            3
        );
        let java = "01:10:57,123 ERROR boom\njava.lang.IllegalStateException: a\n\tat a.B.c(B.java:1)\n\t... 3 more\n\
                    Caused by: java.io.IOException: b\n\tat d.E.f(E.java:2)\nnext\n";
        assert_eq!(entries(java), 2);
        let go = "panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\nmain.main()\n\t/app/main.go:8 +0x1d\n\
                  created by main.start in goroutine 1\n\t/app/main.go:20 +0x2a\nexit status 2\n2026-11-22 next\n";
        assert_eq!(entries(go), 2);
    }

    #[test]
    fn ordinary_lines_are_entries_of_their_own() {
        assert_eq!(entries("one\ntwo\n\nthree (3)\nCannot open\natlas\n"), 6);
    }
}
