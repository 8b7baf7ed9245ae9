//! What one line of a log file says, in the forms that are common: syslog, ISO 8601, CUPS, dpkg.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// A line's parts. What it does not say stays empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::collect) struct Said {
    pub(in crate::collect) at_ms: Option<i64>,
    pub(in crate::collect) priority: Option<u32>,
    pub(in crate::collect) program: String,
    pub(in crate::collect) pid: Option<u32>,
    pub(in crate::collect) message: String,
}

/// Text from bytes: what is not UTF-8 is marked. A character that our own cut split is not the writer's fault.
pub(super) fn lossy(bytes: &[u8], cut: bool) -> (String, bool) {
    let bytes = match std::str::from_utf8(bytes) {
        Err(error) if cut && error.error_len().is_none() => bytes.get(..error.valid_up_to()).unwrap_or_default(),
        _ => bytes,
    };
    let text = String::from_utf8_lossy(bytes);
    let invalid = matches!(text, std::borrow::Cow::Owned(_));
    (text.into_owned(), invalid)
}

/// Reads a line. `now` gives the time zone, and the year that syslog leaves out.
pub(in crate::collect) fn read(line: &str, now: &Zoned) -> Said {
    let (priority, line) = angle(line);
    let mut said = cups(line).unwrap_or_else(|| dated(line, now));
    said.priority = priority.or(said.priority).or_else(|| in_words(&said.message));
    said
}

/// `<n>` of syslog: facility times eight plus priority.
fn angle(line: &str) -> (Option<u32>, &str) {
    let number = line.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    match number.and_then(|(number, rest)| Some((number.parse::<u32>().ok().filter(|n| *n < 192)?, rest))) {
        Some((number, rest)) => (Some(number & 7), rest),
        None => (None, line),
    }
}

/// `E [22/Nov/2026:01:10:57 +0100] message` (cupsd-logs(5)).
fn cups(line: &str) -> Option<Said> {
    let (letter, rest) = line.split_once(" [")?;
    let priority = match letter {
        "X" => 0,
        "A" => 1,
        "C" => 2,
        "E" => 3,
        "W" => 4,
        "N" => 5,
        "I" => 6,
        "D" | "d" => 7,
        _ => return None,
    };
    let (at, message) = rest.split_once("] ")?;
    let at = Timestamp::strptime("%d/%b/%Y:%H:%M:%S %z", at).ok()?;
    let at_ms = Some(at.as_millisecond());
    Some(Said { at_ms, priority: Some(priority), program: "cupsd".into(), message: message.into(), ..Said::default() })
}

fn dated(line: &str, now: &Zoned) -> Said {
    let found = iso(line, now.time_zone()).or_else(|| traditional(line, now));
    let Some((at, rest, has_host)) = found else {
        return Said { message: line.into(), ..Said::default() };
    };
    let said = Said { at_ms: Some(at.as_millisecond()), ..Said::default() };
    let tagged = has_host.then(|| tag(rest)).flatten();
    match tagged {
        Some((program, pid, message)) => Said { program: program.into(), pid, message: message.into(), ..said },
        None => Said { message: rest.into(), ..said },
    }
}

/// `2026-11-22T01:10:57.123456+01:00 host …` and `2026-11-22 01:10:57 …`, with or without a fraction and a zone.
fn iso<'a>(line: &'a str, zone: &TimeZone) -> Option<(Timestamp, &'a str, bool)> {
    let date = line.get(..10).filter(|date| date.as_bytes().get(4) == Some(&b'-'))?;
    let separator = line.as_bytes().get(10)?;
    let (clock, rest) = line.get(11..)?.split_once(' ').unwrap_or((line.get(11..)?, ""));
    let clock = clock.trim_end_matches(',');
    let zoned = format!("{date}T{clock}").parse::<Timestamp>().ok();
    let at = match zoned {
        Some(at) => at,
        None => format!("{date}T{clock}").parse::<DateTime>().ok()?.to_zoned(zone.clone()).ok()?.timestamp(),
    };
    Some((at, rest, *separator == b'T'))
}

/// `Nov 22 01:10:57 host …` (RFC 3164): local, without a year.
fn traditional<'a>(line: &'a str, now: &Zoned) -> Option<(Timestamp, &'a str, bool)> {
    let (stamp, rest) = line.split_at_checked(15)?;
    let year = |year: i16| {
        let at = DateTime::strptime("%Y %b %e %H:%M:%S", format!("{year} {stamp}")).ok()?;
        at.to_zoned(now.time_zone().clone()).ok()
    };
    // A date of tomorrow or later is last year's.
    let at = year(now.year()).filter(|at| at.timestamp().as_second() <= now.timestamp().as_second() + 86_400);
    let at = at.or_else(|| year(now.year() - 1))?;
    Some((at.timestamp(), rest.strip_prefix(' ')?, true))
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

/// A level that is plainly written near the beginning: `[error]`, `ERROR`, `warning:`. "no errors" is none.
fn in_words(message: &str) -> Option<u32> {
    let words = message.split_ascii_whitespace().take(4);
    words.into_iter().find_map(|word| {
        let bare = word.trim_matches(['[', ']', '(', ')', '<', '>', ':', '|']);
        let marked = word.len() > bare.len() || bare.bytes().all(|byte| byte.is_ascii_uppercase());
        let level = match bare.to_ascii_lowercase().as_str() {
            "emerg" | "emergency" | "panic" => 0,
            "alert" => 1,
            "crit" | "critical" | "fatal" => 2,
            "err" | "error" => 3,
            "warn" | "warning" => 4,
            "notice" => 5,
            "info" => 6,
            "debug" => 7,
            _ => return None,
        };
        marked.then_some(level)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Zoned {
        "2026-11-22T02:00:00+01:00[Europe/Berlin]".parse().unwrap()
    }

    fn said(line: &str) -> (Option<String>, Option<u32>, String, Option<u32>, String) {
        let said = read(line, &now());
        let at = said.at_ms.map(|ms| Timestamp::from_millisecond(ms).unwrap().to_string());
        (at, said.priority, said.program, said.pid, said.message)
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
        assert_eq!(lossy(b"a\xffb", false), ("a\u{fffd}b".into(), true));
        assert_eq!(lossy("aé".as_bytes().get(..2).unwrap(), true), ("a".into(), false));
        assert_eq!(lossy("aé".as_bytes().get(..2).unwrap(), false), ("a\u{fffd}".into(), true));
    }
}
