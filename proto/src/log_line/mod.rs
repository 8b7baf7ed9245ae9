//! What one line of a log file says, in the forms that are common: syslog, ISO 8601, CUPS, web servers, klog, Xorg, PostgreSQL.

use jiff::Zoned;

mod stamp;

pub use stamp::Clock;

/// A line's parts. What it does not say stays empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said<'a> {
    /// When it was written.
    pub at_ms: Option<i64>,
    /// syslog priority, 0 to 7.
    pub priority: Option<u32>,
    /// The program that wrote it, as it calls itself.
    pub program: &'a str,
    /// Its process id.
    pub pid: Option<u32>,
    /// What is left of the line.
    pub message: &'a str,
    /// Source file and line of the program.
    pub code: Option<(&'a str, u32)>,
}

/// Words of a line among which its level is looked for.
const LEVEL_WORDS: usize = 5;

/// Longest name of a level.
const LEVEL_BYTES_MAX: usize = "emergency".len();

/// Longest host name of a syslog line, which a CUPS access log begins with too.
const HOST_BYTES_MAX: usize = 255;

/// Text from bytes: what is not UTF-8 is marked. A character that our own cut split is not the writer's fault.
pub fn lossy(bytes: Vec<u8>, cut: bool) -> (String, bool) {
    let error = match String::from_utf8(bytes) {
        Ok(text) => return (text, false),
        Err(error) => error,
    };
    let split = (cut && error.utf8_error().error_len().is_none()).then(|| error.utf8_error().valid_up_to());
    let mut bytes = error.into_bytes();
    if let Some(valid) = split {
        bytes.truncate(valid);
    }
    (String::from_utf8_lossy(&bytes).into_owned(), split.is_none())
}

/// Reads a line. `now` gives the time zone, and the year that syslog leaves out.
pub fn read<'a>(line: &'a str, now: &Zoned) -> Said<'a> {
    read_by(line, &Clock::at(now))
}

/// Reads a line against a clock.
pub fn read_by<'a>(line: &'a str, clock: &Clock) -> Said<'a> {
    let (priority, line) = angle(line);
    let mut said = lettered(line, clock)
        .or_else(|| dated(line, clock))
        .or_else(|| common_log(line, clock))
        .or_else(|| audit(line))
        .unwrap_or(Said { message: line, ..Said::default() });
    said.priority = priority.or(said.priority).or_else(|| in_words(said.message));
    said
}

/// Whether a line begins with a time.
pub fn is_dated(line: &str, clock: &Clock) -> bool {
    let (_priority, line) = angle(line);
    stamp::read(line, clock).is_some() || lettered(line, clock).is_some()
}

/// `<n>` of syslog: facility times eight plus priority.
fn angle(line: &str) -> (Option<u32>, &str) {
    let Some(rest) = line.strip_prefix('<') else { return (None, line) };
    let Some((number, behind)) = rest.split_once('>').filter(|(number, _behind)| number.len() <= 3) else {
        return (None, line);
    };
    match number.parse::<u32>() {
        Ok(number) if number < 192 => (Some(number & 7), behind),
        _ => (None, line),
    }
}

/// `E [22/Nov/2026:01:10:57 +0100] message` (cupsd-logs(5)), and klog's `E1122 01:10:57.123456 1234 file.go:123] message`.
fn lettered<'a>(line: &'a str, clock: &Clock) -> Option<Said<'a>> {
    let letter = *line.as_bytes().first()?;
    let second = *line.as_bytes().get(1)?;
    if second == b' ' && line.as_bytes().get(2) == Some(&b'[') {
        let priority = match letter {
            b'X' => 0,
            b'A' => 1,
            b'C' => 2,
            b'E' => 3,
            b'W' => 4,
            b'N' => 5,
            b'I' => 6,
            b'D' | b'd' => 7,
            _ => return None,
        };
        let at_ms = stamp::common_log(line.get(3..)?, clock)?;
        let (_at, message) = line.split_once("] ")?;
        return Some(Said {
            at_ms: Some(at_ms),
            priority: Some(priority),
            program: "cupsd",
            message,
            ..Said::default()
        });
    }
    let priority = match letter {
        b'F' => 2,
        b'E' => 3,
        b'W' => 4,
        b'I' => 6,
        _ => return None,
    };
    if !second.is_ascii_digit() {
        return None;
    }
    let (at_ms, rest) = stamp::klog(line.get(1..)?, clock)?;
    let (head, message) = rest.split_once("] ")?;
    let (thread, place) = head.trim_start().split_once(' ')?;
    let code = place.trim_start().rsplit_once(':').and_then(|(file, line)| Some((file, line.parse().ok()?)));
    let pid = thread.parse().ok();
    Some(Said { at_ms: Some(at_ms), priority: Some(priority), pid, message, code, ..Said::default() })
}

fn dated<'a>(line: &'a str, clock: &Clock) -> Option<Said<'a>> {
    // RFC 5424 has its version before the time.
    let versioned = line.strip_prefix("1 ");
    if let Some(stamp) = versioned.and_then(|line| stamp::read(line, clock)).filter(|stamp| stamp.of_syslog) {
        let said = Said { at_ms: Some(stamp.at_ms), ..structured(stamp.rest) };
        return Some(said);
    }
    let stamp = stamp::read(line, clock)?;
    let said = Said { at_ms: Some(stamp.at_ms), message: stamp.rest, ..Said::default() };
    if stamp.of_syslog
        && let Some((program, pid, message)) = tag(stamp.rest)
    {
        return Some(Said { program, pid, message, ..said });
    }
    Some(Said { pid: numbered(stamp.rest), priority: server_level(stamp.rest), ..said })
}

/// `host program pid msgid [structured data] message` of RFC 5424; "-" stands for nothing.
fn structured(rest: &str) -> Said<'_> {
    let mut parts = rest.splitn(5, ' ');
    let (_host, program, pid, _id) = (parts.next(), parts.next(), parts.next(), parts.next());
    let mut message = parts.next().unwrap_or_default();
    message = match message.strip_prefix('-') {
        Some(rest) => rest,
        None => elements(message),
    };
    let message = message.trim_start_matches([' ', '\u{feff}']);
    let program = program.filter(|program| *program != "-").unwrap_or_default();
    Said { program, pid: pid.and_then(|pid| pid.parse().ok()), message, ..Said::default() }
}

/// What follows `[id name="value"][…]`; all of it where that does not end.
fn elements(text: &str) -> &str {
    let (mut quoted, mut escaped, mut depth) = (false, false, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if depth > 0 => quoted = !quoted,
            b'[' if !quoted => depth += 1,
            b']' if !quoted => depth -= 1,
            _ if depth == 0 => return text.get(at..).unwrap_or_default(),
            _ => {}
        }
    }
    if depth == 0 { "" } else { text }
}

/// `host ident user [22/Nov/2026:01:10:57 +0100] …`: web servers' and CUPS' access logs, and CUPS' log of pages.
fn common_log<'a>(line: &'a str, clock: &Clock) -> Option<Said<'a>> {
    let open = line.bytes().take(HOST_BYTES_MAX).position(|byte| byte == b'[')?;
    let at_ms = stamp::common_log(line.get(open + 1..)?, clock)?;
    Some(Said { at_ms: Some(at_ms), message: line, ..Said::default() })
}

/// `type=AVC msg=audit(1795306257.123:456): …`.
fn audit(line: &str) -> Option<Said<'_>> {
    let (_type, rest) = line.strip_prefix("type=")?.split_once(" msg=audit(")?;
    let (seconds, rest) = rest.split_once('.')?;
    let (ms, _serial) = rest.split_once(':')?;
    let (seconds, ms): (i64, i64) = (seconds.parse().ok()?, ms.parse().ok()?);
    let at_ms = seconds.checked_mul(1000)?.checked_add(ms.clamp(0, 999))?;
    Some(Said { at_ms: Some(at_ms), program: "audit", message: line, ..Said::default() })
}

/// `host program[pid]: message`.
fn tag(rest: &str) -> Option<(&str, Option<u32>, &str)> {
    let (_host, rest) = rest.split_once(' ')?;
    let (tag, message) = rest.split_once(": ").or_else(|| Some((rest.strip_suffix(':')?, "")))?;
    let (program, pid) = match tag.split_once('[') {
        Some((program, pid)) => (program, pid.strip_suffix(']')?.parse().ok()),
        None => (tag, None),
    };
    (!program.is_empty() && !program.contains(' ')).then_some((program, pid, message))
}

/// The process that nginx, PostgreSQL and Apache name near the beginning: `[error] 1234#0:`, `[1234] LOG:`, `[core:error] [pid 1234…]`.
fn numbered(rest: &str) -> Option<u32> {
    let mut rest = rest;
    for _part in 0..2 {
        let Some(inner) = rest.strip_prefix('[') else { break };
        let (pid, behind) = digits(inner.strip_prefix("pid ").unwrap_or(inner));
        if pid.is_some() && behind.starts_with([']', ':', '-']) {
            return pid;
        }
        rest = inner.split_once("] ")?.1;
    }
    let (pid, behind) = digits(rest);
    pid.filter(|_pid| behind.starts_with('#'))
}

fn digits(text: &str) -> (Option<u32>, &str) {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, behind) = text.split_at(end);
    (number.parse().ok(), behind)
}

/// Apache's `[core:error]`, Xorg's `(EE)`, java.util.logging's `SEVERE:`.
fn server_level(rest: &str) -> Option<u32> {
    let first = rest.split(' ').next()?;
    match first {
        "(EE)" => return Some(3),
        "(WW)" => return Some(4),
        "(II)" | "(--)" | "(**)" | "(==)" => return Some(6),
        _ => {}
    }
    let (_module, level) = first.strip_prefix('[')?.strip_suffix(']')?.split_once(':')?;
    level_named(level)
}

fn level_named(word: &str) -> Option<u32> {
    let mut letters = [0; LEVEL_BYTES_MAX];
    let letters = letters.get_mut(..word.len())?;
    letters.copy_from_slice(word.as_bytes());
    letters.make_ascii_lowercase();
    Some(match &*letters {
        b"emerg" | b"emergency" | b"panic" => 0,
        b"alert" => 1,
        b"crit" | b"critical" | b"fatal" => 2,
        b"err" | b"error" | b"severe" => 3,
        b"warn" | b"warning" => 4,
        b"notice" => 5,
        b"info" => 6,
        b"debug" | b"trace" => 7,
        _ => return None,
    })
}

/// A level that is plainly written near the beginning: `[error]`, `ERROR`, `warning:`. "no errors" is none.
fn in_words(message: &str) -> Option<u32> {
    let start = message.get(..message.len().min(200)).unwrap_or(message);
    start.split_ascii_whitespace().take(LEVEL_WORDS).find_map(|word| {
        let bare = word.trim_matches(['[', ']', '(', ')', '<', '>', ':', '|']);
        let level = level_named(bare)?;
        let marked = word.len() > bare.len() || bare.bytes().all(|byte| byte.is_ascii_uppercase());
        marked.then_some(level)
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn now() -> Zoned {
        "2026-11-22T02:00:00+01:00[Europe/Berlin]".parse().unwrap()
    }

    fn said(line: &str) -> (Option<String>, Option<u32>, String, Option<u32>, String) {
        let said = read(line, &now());
        let at = said.at_ms.map(|ms| Timestamp::from_millisecond(ms).unwrap().to_string());
        (at, said.priority, said.program.to_owned(), said.pid, said.message.to_owned())
    }

    #[test]
    fn the_common_forms_are_read() {
        let at = Some("2026-11-22T00:10:57Z".to_owned());
        assert_eq!(
            said("Nov 22 01:10:57 desk7 NetworkManager[812]: <warn> dhcp4 (eth0): timed out"),
            (at.clone(), Some(4), "NetworkManager".into(), Some(812), "<warn> dhcp4 (eth0): timed out".into())
        );
        assert_eq!(
            said("2026-11-22T01:10:57+01:00 desk7 kernel: eth0: link down"),
            (at.clone(), None, "kernel".into(), None, "eth0: link down".into())
        );
        assert_eq!(
            said("2026-11-22 01:10:57 status installed cups:amd64 2.4.2-3"),
            (at.clone(), None, String::new(), None, "status installed cups:amd64 2.4.2-3".into())
        );
        assert_eq!(
            said("E [22/Nov/2026:01:10:57 +0100] [Job 12] Unable to connect"),
            (at, Some(3), "cupsd".into(), None, "[Job 12] Unable to connect".into())
        );
        assert_eq!(said("no form at all"), (None, None, String::new(), None, "no form at all".into()));
    }

    #[test]
    fn a_date_ahead_of_now_is_last_years() {
        assert_eq!(said("Dec 31 23:59:59 desk7 cron[1]: x").0.unwrap(), "2025-12-31T22:59:59Z");
        assert_eq!(said("Jan  1 00:00:00 desk7 cron[1]: x").0.unwrap(), "2025-12-31T23:00:00Z");
    }

    #[test]
    fn a_priority_is_read_where_it_is_plainly_written() {
        assert_eq!(said("<11>oops").1, Some(3));
        assert_eq!(said("[error] oops").1, Some(3));
        assert_eq!(said("2026-11-22 01:10:57,123 ERROR oops").1, Some(3));
        assert_eq!(said("worker warning: slow").1, Some(4));
        assert_eq!(said("there was no error today").1, None);
    }

    #[test]
    fn bytes_that_are_not_text_are_marked_but_our_own_cut_is_not_blamed() {
        assert_eq!(lossy(b"a\xffb".to_vec(), false), ("a\u{fffd}b".into(), true));
        assert_eq!(lossy("aé".as_bytes()[..2].to_vec(), true), ("a".into(), false));
        assert_eq!(lossy("aé".as_bytes()[..2].to_vec(), false), ("a\u{fffd}".into(), true));
    }

    #[test]
    fn times_are_read_in_the_forms_that_programs_write() {
        let at = |line: &str| said(line).0.unwrap_or_else(|| panic!("{line} has no time"));
        for (line, expected) in [
            ("<34>1 2026-11-22T00:10:57.003Z desk7 su 77 ID47 [a@1 b=\"]\"] text", "2026-11-22T00:10:57.003Z"),
            ("2026-11-22 01:10:57,123 ERROR [main] a.B - no", "2026-11-22T00:10:57.123Z"),
            ("2026-11-22T01:10:57.123456+0100 x", "2026-11-22T00:10:57.123Z"),
            ("2026-11-22 01:10:57.123 CET [77] LOG:  x", "2026-11-22T00:10:57.123Z"),
            ("2026-11-22 01:10:57 UTC [77] ERROR:  x", "2026-11-22T01:10:57Z"),
            ("2026-11-22 01:10:57.123456-0500  0x1f2 Default", "2026-11-22T06:10:57.123Z"),
            ("2026-11-22 01:10:57+01 desk7 installd[77]: x", "2026-11-22T00:10:57Z"),
            ("2026/11/22 01:10:57 [error] 77#77: *1 x", "2026-11-22T00:10:57Z"),
            ("[Sun Nov 22 01:10:57.123456 2026] [core:error] [pid 77:tid 8] x", "2026-11-22T00:10:57.123Z"),
            ("192.0.2.7 - - [22/Nov/2026:01:10:57 +0100] \"GET / HTTP/1.1\" 503 7", "2026-11-22T00:10:57Z"),
            ("desk7-laser anna 17 [22/Nov/2026:01:10:57 +0100] total 3", "2026-11-22T00:10:57Z"),
            ("Nov 22 2026 01:10:57 desk7 a: x", "2026-11-22T00:10:57Z"),
            ("Nov 22, 2026 1:10:57 AM a.B c", "2026-11-22T00:10:57Z"),
            ("Sun Nov 22 01:10:57 2026 x", "2026-11-22T00:10:57Z"),
            ("11/22/2026 1:10:57 PM x", "2026-11-22T12:10:57Z"),
            ("11/22/26, 12:10:57 AM x", "2026-11-21T23:10:57Z"),
            ("22/11/2026 01:10:57 x", "2026-11-22T00:10:57Z"),
            ("22-Nov-2026 01:10:57.123 x", "2026-11-22T00:10:57.123Z"),
            ("22 Nov 2026 01:10:57.123 * x", "2026-11-22T00:10:57.123Z"),
            ("1795306257 x", "2026-11-22T00:10:57Z"),
            ("1795306257.123 45 x", "2026-11-22T00:10:57.123Z"),
            ("1795306257123 x", "2026-11-22T00:10:57.123Z"),
            ("type=AVC msg=audit(1795306257.123:456): x", "2026-11-22T00:10:57.123Z"),
            ("E1122 01:10:57.123456      77 a.go:12] x", "2026-11-22T00:10:57.123Z"),
            ("[2026-11-22 01:10:57] x", "2026-11-22T00:10:57Z"),
        ] {
            assert_eq!(at(line), expected, "{line}");
        }
        for line in [
            "12:30 x",
            "99/99/2026 01:10:57 x",
            "2026 was good",
            "17 apples",
            "[77] x",
            "1795306257x",
            "2026-02-30 01:00:00 x",
            "",
        ] {
            assert_eq!(said(line).0, None, "{line}");
        }
    }

    #[test]
    fn what_else_a_line_says_is_read_by_its_form() {
        let read = |line| read(line, &now());
        let klog = read("E1122 01:10:57.123456      77 a.go:12] no");
        assert_eq!((klog.priority, klog.pid, klog.code, klog.message), (Some(3), Some(77), Some(("a.go", 12)), "no"));
        let modern = read("<34>1 2026-11-22T00:10:57.003Z desk7 su 77 ID47 [a@1 b=\"]\"][c@1] \u{feff}text [x]");
        assert_eq!(
            (modern.priority, modern.program, modern.pid, modern.message),
            (Some(2), "su", Some(77), "text [x]")
        );
        let pid = |line| read(line).pid;
        assert_eq!(pid("2026/11/22 01:10:57 [error] 77#77: *1 x"), Some(77));
        assert_eq!(pid("[Sun Nov 22 01:10:57.123456 2026] [core:error] [pid 77:tid 8] x"), Some(77));
        assert_eq!(pid("2026-11-22 01:10:57.123 CET [77] LOG:  x"), Some(77));
        let level = |line| read(line).priority;
        assert_eq!(level("[Sun Nov 22 01:10:57.123456 2026] [core:error] [pid 77:tid 8] x"), Some(3));
        assert_eq!(level("2026-11-22 01:10:57.123 CET [77] FATAL:  x"), Some(2));
        assert_eq!(level("2026/11/22 01:10:57 [warn] 77#77: *1 x"), Some(4));
    }

    #[test]
    fn an_hour_that_comes_twice_and_one_that_is_left_out_are_placed() {
        let now = now();
        let at = |line, last_ms| read_by(line, &Clock { last_ms, ..Clock::at(&now) }).at_ms.unwrap();
        let ms = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        // Berlin, 2026-10-25: 02:30 is 00:30 and 01:30 UTC.
        let twice = "2026-10-25 02:30:00 x";
        assert_eq!(at(twice, None), ms("2026-10-25T00:30:00Z"));
        assert_eq!(at(twice, Some(ms("2026-10-25T00:29:00Z"))), ms("2026-10-25T00:30:00Z"));
        assert_eq!(at(twice, Some(ms("2026-10-25T01:10:00Z"))), ms("2026-10-25T01:30:00Z"));
        assert_eq!(at("2026-10-25 02:30:00 CET x", None), ms("2026-10-25T01:30:00Z"));
        assert_eq!(at("2026-10-25 02:30:00 CEST x", None), ms("2026-10-25T00:30:00Z"));
        // 2026-03-29: there is no 02:30.
        assert_eq!(at("2026-03-29 02:30:00 x", None), ms("2026-03-29T01:30:00Z"));
        let booted = Clock { booted_ms: Some(1_000_000), ..Clock::at(&now) };
        let xorg = read_by("[    12.345] (EE) no screens", &booted);
        assert_eq!((xorg.at_ms, xorg.priority, xorg.message), (Some(1_012_345), Some(3), "(EE) no screens"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_trouble(line in "\\PC{0,80}", digits in "[0-9\\[\\]/: .,+TZAPM-]{0,40}") {
            for text in [&line, &digits, &format!("2026-11-22 {digits}"), &format!("[{digits}{line}"), &format!("<{digits}")] {
                let said = read_by(text, &Clock { booted_ms: Some(0), last_ms: Some(0), ..Clock::at(&now()) });
                proptest::prop_assert!(text.ends_with(said.message));
            }
        }
    }
}
