//! What the kernel wrote down in the last week, over all boots: from the journal, else from the system's log files, else from the
//! kernel's own buffer.

use std::io::{self, ErrorKind};

use anyhow::Context;
use deskside_proto::log_line;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::journalctl::{self, Entry};
use crate::host::Host;

/// How far back it is looked.
const WINDOW_MS: i64 = 7 * 24 * 3600 * 1000;
/// Most lines of one look; the newest are kept.
const LINES_MAX: usize = 1000;
/// How much of a log file's end is read.
const TAIL_BYTES: usize = 1024 * 1024;
/// Why reverse and case-sensitive are said: without the first, older journalctl search only among the last thousand entries; without the
/// second, what a pattern means depends on whether it has a capital letter.
const SEARCH: [&str; 8] = [
    "--no-pager",
    "--output=json",
    "--output-fields=MESSAGE,_BOOT_ID",
    "--since=-7d",
    "--reverse",
    "--lines=1000",
    "--case-sensitive=true",
    "_TRANSPORT=kernel",
];
/// Whether the journal has anything from the kernel.
const ANY: [&str; 5] = ["--no-pager", "--output=json", "--output-fields=_BOOT_ID", "--lines=1", "_TRANSPORT=kernel"];
/// Where systems without a journal keep what the kernel says, and the file that was rotated away from it; the first that is there is read.
const FILES: [[&str; 2]; 2] =
    [["/var/log/kern.log.1", "/var/log/kern.log"], ["/var/log/messages.1", "/var/log/messages"]];
const DMESG: [&str; 3] = ["--kernel", "--time-format=iso", "--color=never"];

/// One message of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::collect) struct Line {
    /// When it was written.
    pub(in crate::collect) at_ms: i64,
    /// Of which boot, without dashes; empty where a log file does not tell.
    pub(in crate::collect) boot_id: String,
    /// The message, without the time since the start.
    pub(in crate::collect) text: String,
}

/// What was found, and what could not be looked at.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::collect) struct Found {
    /// Oldest first.
    pub(in crate::collect) lines: Vec<Line>,
    /// For [`Rows::ends_early`](super::Rows::ends_early).
    pub(in crate::collect) missing: Option<String>,
}

/// The kernel's messages of the last seven days that match, with case. A pattern is alternatives between `|`, each of texts with `.*`
/// between them; a special character of regular expressions is escaped with a backslash. Why so little: journalctl searches by it, and
/// log files are searched here. An error with the kind `PermissionDenied` says which group is needed.
pub(in crate::collect) fn lines(host: &dyn Host, pattern: &str) -> anyhow::Result<Found> {
    let matcher = Matcher::new(pattern);
    let from_ms = host.now_ms().saturating_sub(WINDOW_MS);
    let mut found = match journal(host, pattern)? {
        Some(found) => found,
        None => match files(host, &matcher, from_ms)? {
            Some(found) => found,
            None => buffer(host, &matcher)?,
        },
    };
    found.lines.retain(|line| line.at_ms >= from_ms);
    found.lines.sort_by_key(|line| line.at_ms);
    if found.lines.len() >= LINES_MAX {
        found.lines.drain(..found.lines.len() - LINES_MAX);
        found.missing.get_or_insert_with(|| format!("all but the last {LINES_MAX} messages of the kernel about this"));
    }
    Ok(found)
}

/// Absent where there is no journal, or none that holds what the kernel says (containers).
fn journal(host: &dyn Host, pattern: &str) -> anyhow::Result<Option<Found>> {
    let grep = format!("--grep={pattern}");
    let Some(lines) = said(host, &[&SEARCH[..], &[&grep]].concat())? else { return Ok(None) };
    if lines.is_empty() && said(host, &ANY)?.is_none_or(|any| any.is_empty()) {
        return Ok(None);
    }
    Ok(Some(Found { lines, missing: None }))
}

fn said(host: &dyn Host, arguments: &[&str]) -> anyhow::Result<Option<Vec<Line>>> {
    let line = |entry: &Entry| Line { at_ms: entry.at_ms, boot_id: entry.boot_id(), text: entry.field("MESSAGE") };
    let entries = journalctl::entries(host, arguments).context("looking for messages of the kernel")?;
    Ok(entries.map(|entries| entries.iter().map(line).collect()))
}

/// Absent where there is no such file.
fn files(host: &dyn Host, matcher: &Matcher, from_ms: i64) -> anyhow::Result<Option<Found>> {
    for [rotated, current] in FILES {
        let Some(mut found) = file(host, current, matcher, from_ms)? else { continue };
        if let Some(older) = file(host, rotated, matcher, from_ms)? {
            found.lines.extend(older.lines);
            found.missing = found.missing.or(older.missing);
        }
        return Ok(Some(found));
    }
    Ok(None)
}

/// The end of one log file.
fn file(host: &dyn Host, path: &str, matcher: &Matcher, from_ms: i64) -> anyhow::Result<Option<Found>> {
    let ran = match host.run("tail", &["--bytes=1048576", path]) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        ran => ran.with_context(|| format!("reading {path}"))?,
    };
    if ran.status != Some(0) {
        let complaint = String::from_utf8_lossy(&ran.stderr);
        anyhow::ensure!(complaint.contains("No such file") || complaint.contains("denied"), "{}", complaint.trim());
        if complaint.contains("denied") {
            return Err(io::Error::from(ErrorKind::PermissionDenied))
                .with_context(|| format!("reading {path}; the agent's user needs the group adm"));
        }
        return Ok(None);
    }
    let now = Timestamp::from_millisecond(host.now_ms()).unwrap_or_default().to_zoned(TimeZone::system());
    let (mut found, mut oldest_ms) = (Found::default(), None);
    let text = String::from_utf8_lossy(&ran.stdout);
    // The first line is cut where the file is longer than what was read.
    let cut = ran.stdout.len() >= TAIL_BYTES;
    for line in text.lines().skip(usize::from(cut)) {
        let said = log_line::read(line, &now);
        let Some(at_ms) = said.at_ms else { continue };
        oldest_ms = oldest_ms.or(Some(at_ms));
        let message = since_start_removed(said.message);
        if said.program == "kernel" && matcher.matches(message) {
            found.lines.push(Line { at_ms, boot_id: String::new(), text: message.to_owned() });
        }
    }
    if cut && oldest_ms.is_none_or(|oldest| oldest > from_ms) {
        found.missing = Some(format!("what stands before the last {TAIL_BYTES} bytes of {path}"));
    }
    Ok(Some(found))
}

/// What is still in the kernel's ring buffer.
fn buffer(host: &dyn Host, matcher: &Matcher) -> anyhow::Result<Found> {
    let ran = host.run("dmesg", &DMESG).context("running dmesg, for want of a journal and of kernel log files")?;
    let complaint = String::from_utf8_lossy(&ran.stderr);
    if complaint.contains("not permitted") || complaint.contains("denied") {
        return Err(io::Error::from(ErrorKind::PermissionDenied))
            .context("reading the kernel's buffer; the agent needs a journal that it may read, or CAP_SYSLOG");
    }
    anyhow::ensure!(ran.status == Some(0), "dmesg ended with status {:?}: {}", ran.status, complaint.trim());
    let boot_id = host.line("/proc/sys/kernel/random/boot_id").unwrap_or_default().replace('-', "");
    let text = String::from_utf8_lossy(&ran.stdout);
    let lines = text.lines().filter_map(|line| {
        let (at, message) = line.split_once(' ')?;
        let at_ms = at.replacen(',', ".", 1).parse::<Timestamp>().ok()?.as_millisecond();
        matcher.matches(message).then(|| Line { at_ms, boot_id: boot_id.clone(), text: message.to_owned() })
    });
    let missing = "messages of the kernel before this start: there is no journal and no kernel log file";
    Ok(Found { lines: lines.collect(), missing: Some(missing.to_owned()) })
}

/// Without `[  123.456789] `, which rsyslog leaves in front.
fn since_start_removed(message: &str) -> &str {
    let stamp = message.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    match stamp {
        Some((time, rest)) if time.trim().parse::<f64>().is_ok() => rest,
        _ => message,
    }
}

/// Alternatives, each the texts that must follow one another.
struct Matcher(Vec<Vec<String>>);

impl Matcher {
    fn new(pattern: &str) -> Self {
        let (mut alternatives, mut text, mut texts) = (Vec::new(), String::new(), Vec::new());
        let mut rest = pattern.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '\\' => text.extend(rest.next()),
                '|' => {
                    texts.push(std::mem::take(&mut text));
                    alternatives.push(std::mem::take(&mut texts));
                }
                '.' if rest.next_if_eq(&'*').is_some() => texts.push(std::mem::take(&mut text)),
                c => {
                    debug_assert!(!"*+?()[]{}^$".contains(c), "{c} means more to journalctl than here");
                    text.push(c);
                }
            }
        }
        texts.push(text);
        alternatives.push(texts);
        Self(alternatives)
    }

    fn matches(&self, message: &str) -> bool {
        self.0.iter().any(|texts| {
            let mut rest = message;
            texts.iter().all(|text| match rest.split_once(text.as_str()) {
                Some((_before, behind)) => {
                    rest = behind;
                    true
                }
                None => false,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use deskside_proto::v1::Outcome;
    use proptest::prelude::*;

    use super::*;
    use crate::collect::{Registry, look};
    use crate::host::Recorded;

    const NOW: i64 = 1_795_320_600_000;

    /// A machine whose programs answer so.
    fn host(programs: &[(&str, Vec<&str>, i32, &str, &str)]) -> (tempfile::TempDir, Recorded) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("host.json"), format!("{{\"now_ms\": {NOW}}}")).unwrap();
        fs::create_dir(folder.path().join("run")).unwrap();
        for (number, (program, arguments, status, stdout, stderr)) in programs.iter().enumerate() {
            let place = folder.path().join("run").join(number.to_string());
            let json =
                serde_json::json!({"program": program, "arguments": arguments, "status": status, "stderr": stderr});
            fs::write(place.with_extension("json"), json.to_string()).unwrap();
            fs::write(place.with_extension("out"), stdout).unwrap();
        }
        let host = Recorded::open(folder.path()).unwrap();
        (folder, host)
    }

    fn search(pattern: &'static str) -> Vec<&'static str> {
        let grep = format!("--grep={pattern}").leak();
        [&SEARCH[..], &[grep]].concat()
    }

    fn kind(error: &anyhow::Error) -> ErrorKind {
        error.downcast_ref::<io::Error>().unwrap().kind()
    }

    #[test]
    fn the_journal_tells_oldest_first() {
        let out = "{\"__REALTIME_TIMESTAMP\":\"1795320531853341\",\"_BOOT_ID\":\"cb0f\",\"MESSAGE\":[98,255]}\n\
                   {\"__REALTIME_TIMESTAMP\":\"1795320531000000\",\"_BOOT_ID\":\"cb0f\",\"MESSAGE\":\"usb 1-1: a\"}\nnot json\n";
        let (_folder, host) = host(&[("journalctl", search("a"), 0, out, "")]);
        let found = lines(&host, "a").unwrap();
        let said: Vec<_> = found.lines.iter().map(|line| (line.at_ms, line.text.as_str())).collect();
        assert_eq!(said, [(1_795_320_531_000, "usb 1-1: a"), (1_795_320_531_853, "b\u{fffd}")]);
        assert_eq!(found.missing, None);
    }

    #[test]
    fn a_journal_without_a_match_is_nothing_found_and_nothing_missing() {
        let any = "{\"__REALTIME_TIMESTAMP\":\"1795320531853341\",\"_BOOT_ID\":\"cb0f\"}\n";
        let (_folder, host) = host(&[("journalctl", search("a"), 1, "", ""), ("journalctl", ANY.to_vec(), 0, any, "")]);
        assert_eq!(lines(&host, "a").unwrap(), Found::default());
    }

    #[test]
    fn a_journal_that_may_not_be_read_is_denied_and_names_the_group() {
        for stderr in [
            "No journal files were opened due to insufficient permissions.\n",
            "Hint: You are currently not seeing messages from other users and the system.\n",
        ] {
            let (_folder, host) = host(&[("journalctl", search("a"), 1, "", stderr)]);
            let error = lines(&host, "a").unwrap_err();
            assert_eq!(kind(&error), ErrorKind::PermissionDenied);
            assert!(format!("{error:#}").contains("systemd-journal"), "{error:#}");
        }
    }

    #[test]
    fn a_search_that_journalctl_refuses_is_no_empty_journal() {
        let (_folder, host) =
            host(&[("journalctl", search("a"), 1, "", "Compiled without pattern matching support\n")]);
        assert!(lines(&host, "a").is_err());
    }

    #[test]
    fn without_a_journal_of_the_kernel_the_log_files_are_read() {
        let file = "2026-11-22T03:50:00+00:00 desk kernel: [   12.345678] usb 1-2: USB disconnect, device number 4\n\
                    2026-11-22T03:50:01+00:00 desk sshd[7]: usb USB disconnect\n\
                    2026-10-01T03:50:00+00:00 desk kernel: usb 1-2: USB disconnect, device number 3\n";
        let (_folder, host) = host(&[
            ("journalctl", search("usb.*disconnect"), 1, "", ""),
            ("journalctl", ANY.to_vec(), 1, "", ""),
            ("tail", vec!["--bytes=1048576", "/var/log/kern.log"], 0, file, ""),
        ]);
        let found = lines(&host, "usb.*disconnect").unwrap();
        assert_eq!(found.lines.len(), 1);
        assert_eq!(found.lines[0].text, "usb 1-2: USB disconnect, device number 4");
        assert_eq!(found.missing, None);
    }

    #[test]
    fn the_kernels_buffer_says_that_it_knows_this_start_alone() {
        let out = "2026-11-22T03:54:24,020609+00:00 mce: [Hardware Error]: CPU 0\nno time\n";
        let (_folder, host) = host(&[("dmesg", DMESG.to_vec(), 0, out, "")]);
        let found = lines(&host, r"\[Hardware Error\]").unwrap();
        assert_eq!((found.lines.len(), found.lines[0].at_ms), (1, 1_795_319_664_020));
        assert!(found.missing.unwrap().contains("before this start"));
    }

    #[test]
    fn a_log_that_is_short_and_holds_nothing_is_seen_in_part_and_has_not_failed() {
        let (_folder, host) = host(&[("dmesg", DMESG.to_vec(), 0, "", "")]);
        let registry = Registry::standard();
        let reading = look(registry.collector("machine_checks").unwrap(), &host);
        assert_eq!(reading.outcome(), Outcome::Partial);
        assert!(reading.reason.contains("before this start"), "{}", reading.reason);
    }

    #[test]
    fn a_buffer_that_may_not_be_read_is_denied() {
        let refused = "dmesg: read kernel buffer failed: Operation not permitted\n";
        let (_folder, host) = host(&[("dmesg", DMESG.to_vec(), 1, "", refused)]);
        assert_eq!(kind(&lines(&host, "a").unwrap_err()), ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_machine_that_keeps_no_messages_is_unsupported() {
        let (_folder, host) = host(&[]);
        assert_eq!(kind(&lines(&host, "a").unwrap_err()), ErrorKind::NotFound);
    }

    #[test]
    fn only_the_newest_lines_are_kept_and_the_cut_is_told() {
        let stamp = |number: i64| Timestamp::from_millisecond(NOW - 3_600_000 + number).unwrap();
        let out = (0..1200).map(|number| format!("{} a {number}", stamp(number))).collect::<Vec<_>>().join("\n");
        let (_folder, host) = host(&[("dmesg", DMESG.to_vec(), 0, &out, "")]);
        let found = lines(&host, "a").unwrap();
        assert_eq!((found.lines.len(), found.lines[999].text.as_str()), (LINES_MAX, "a 1199"));
    }

    #[test]
    fn a_pattern_means_the_same_here_as_to_journalctl() {
        let matches = |pattern: &str, message: &str| Matcher::new(pattern).matches(message);
        assert!(matches(r"mce: \[Hardware Error\]|AER:", "mce: [Hardware Error]: CPU 2"));
        assert!(matches("mce:|AER:.*BadTLP", "pcieport: AER: x BadTLP"));
        assert!(!matches("AER:.*BadTLP", "BadTLP AER: x"));
        assert!(!matches("aer", "AER"));
    }

    proptest! {
        // Each case writes two folders.
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn no_answer_of_a_program_makes_it_panic(out: Vec<u8>, status in 0..3, text in r"(\{.{0,40}\}|[0-9TZ:,.+-]{0,30} .{0,20}|\[.{0,9}\] .)") {
            let out = [text.as_bytes(), b"\n", &out].concat();
            let _entries = journalctl::read(&out);
            let ran = |program: &'static str, arguments: Vec<&'static str>| (program, arguments, status, String::from_utf8_lossy(&out).into_owned());
            let programs = [ran("journalctl", search("a")), ran("dmesg", DMESG.to_vec())];
            for (program, arguments, status, out) in programs {
                let (_folder, host) = host(&[(program, arguments, status, &out, "")]);
                let _found = lines(&host, "a");
            }
        }
    }
}
