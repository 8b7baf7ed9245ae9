//! The lines of CUPS's error log (cupsd-logs(5)): `E [22/Nov/2026:04:06:14 +0000] [Job 8] Backend returned status 1 (failed)`.

use jiff::Timestamp;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// X, A, C, E, W, N, I, D or d.
    pub(super) level: char,
    pub(super) at_ms: i64,
    /// The job that it is about.
    pub(super) job: Option<u32>,
    pub(super) text: &'a str,
}

/// An entry; absent for a line that is none.
pub(super) fn parse(line: &str) -> Option<Line<'_>> {
    let mut letters = line.chars();
    let level = letters.next().filter(|letter| "XACEWNIDd".contains(*letter))?;
    let (time, rest) = letters.as_str().strip_prefix(" [")?.split_once("] ")?;
    let (job, text) = of_a_job(rest);
    Some(Line { level, at_ms: at_ms(time)?, job, text: text.trim() })
}

/// The job's number and the text behind it.
pub(super) fn of_a_job(text: &str) -> (Option<u32>, &str) {
    let numbered = text.strip_prefix("[Job ").and_then(|rest| rest.split_once("] "));
    match numbered.and_then(|(number, rest)| Some((number.parse().ok()?, rest))) {
        Some((number, rest)) => (Some(number), rest),
        None => (None, text),
    }
}

/// `LogTimeFormat standard` or `usecs`.
fn at_ms(time: &str) -> Option<i64> {
    let at = Timestamp::strptime("%d/%b/%Y:%H:%M:%S%.f %z", time).ok()?;
    Some(at.as_millisecond())
}

/// Whether it tells of a failure: all from warning up, and a crash, which CUPS writes among its debug entries.
pub(super) fn is_failure(line: &Line<'_>) -> bool {
    !line.text.is_empty() && "XACEW".contains(line.level) || crashed(line.text).is_some()
}

/// The program of `PID 19627 (/usr/lib/cups/filter/gs) crashed on signal 11.`
pub(super) fn crashed(text: &str) -> Option<&str> {
    text.contains(") crashed on signal ").then(|| program(text)).flatten()
}

/// The program of a line that names one: `PID 7 (/path/gs) …`, `Started backend /path/socket (PID 7)`, `Unable to start filter "gs" - …`.
pub(super) fn program(text: &str) -> Option<&str> {
    let path = if let Some(rest) = text.strip_prefix("PID ") {
        rest.split_once('(')?.1.split_once(')')?.0
    } else if let Some(rest) = text.strip_prefix("Started ") {
        rest.split_once(' ')?.1.rsplit_once(" (PID ")?.0
    } else if let Some(rest) = text.strip_prefix("Unable to start filter \"") {
        rest.split_once('"')?.0
    } else {
        return None;
    };
    path.rsplit('/').next().filter(|name| !name.is_empty())
}

/// The queue of a line that names one: `Queued on "front" by "anna".`, `front: File "…" not available: …`.
pub(super) fn queue(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix("Queued on \"") {
        return Some(rest.split_once('"')?.0);
    }
    let (name, rest) = text.split_once(": ")?;
    (rest.starts_with("File ") && !name.contains(' ')).then_some(name)
}

/// Longest signature, in characters.
const SIGNATURE_CHARS_MAX: usize = 160;

/// The text with each number as `#` and each quoted name as `"…"`, so that like entries are one.
pub(super) fn signature(text: &str) -> String {
    let mut plain = String::new();
    let (mut quoted, mut number) = (false, false);
    for letter in text.chars().take(SIGNATURE_CHARS_MAX * 2) {
        if letter == '"' {
            plain.push_str(if quoted { "\"" } else { "\"…" });
            quoted = !quoted;
        } else if letter.is_ascii_digit() && !quoted {
            if !number {
                plain.push('#');
            }
        } else if !quoted {
            plain.push(letter);
        }
        number = letter.is_ascii_digit();
    }
    plain.chars().take(SIGNATURE_CHARS_MAX).collect()
}

/// A level in words.
pub(super) fn level_name(level: char) -> &'static str {
    match level {
        'X' => "emergency",
        'A' => "alert",
        'C' => "critical",
        'W' => "warning",
        _ => "error",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_of_a_job_is_read() {
        let line = parse("E [22/Nov/2026:04:06:14 +0000] [Job 8] it failed").unwrap();
        assert_eq!(line, Line { level: 'E', at_ms: 1_795_320_374_000, job: Some(8), text: "it failed" });
        let line = parse("W [22/Nov/2026:05:06:14.250000 +0100] Notifier died").unwrap();
        assert_eq!((line.at_ms, line.job, line.text), (1_795_320_374_250, None, "Notifier died"));
        for other in ["", "hello", "E [] x", "E [yesterday] x", "Q [22/Nov/2026:04:06:14 +0000] x"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_crash_is_a_failure_whatever_its_level() {
        let crash = "D [22/Nov/2026:04:06:14 +0000] [Job 11] PID 196 (/usr/lib/cups/filter/gs) crashed on signal 11.";
        let crash = parse(crash).unwrap();
        assert!(is_failure(&crash));
        assert_eq!(crashed(crash.text), Some("gs"));
        assert!(!is_failure(&parse("D [22/Nov/2026:04:06:14 +0000] [Job 11] envp[0]=\"crashed\"").unwrap()));
    }

    #[test]
    fn programs_and_queues_are_taken_from_the_lines_that_name_them() {
        assert_eq!(program("Started backend /usr/lib/cups/backend/socket (PID 7)"), Some("socket"));
        assert_eq!(program("Unable to start filter \"notthere\" - No such file or directory."), Some("notthere"));
        assert_eq!(program("The printer is not responding."), None);
        assert_eq!(queue("Queued on \"front\" by \"anna\"."), Some("front"));
        assert_eq!(queue("gone: File \\\"/x\\\" not available: No such file or directory"), Some("gone"));
        assert_eq!(queue("Unable to open: x"), None);
    }

    #[test]
    fn like_entries_have_one_signature() {
        assert_eq!(signature("PID 196 (/usr/gs) crashed on signal 11."), "PID # (/usr/gs) crashed on signal #.");
        assert_eq!(signature("Unable to start filter \"gs\" - no"), "Unable to start filter \"…\" - no");
        assert!(signature(&"x1".repeat(5_000)).chars().count() <= SIGNATURE_CHARS_MAX);
    }

    proptest! {
        #[test]
        fn no_line_breaks_it(text in "\\PC{0,80}") {
            let line = format!("E [22/Nov/2026:04:06:14 +0000] {text}");
            let found = (parse(&text), program(&text), queue(&text), parse(&line));
            prop_assert!(signature(&text).len() <= 4 * SIGNATURE_CHARS_MAX, "{found:?}");
        }
    }
}
