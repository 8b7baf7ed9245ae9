//! What apt and dpkg wrote down about changes of software: /var/log/apt/history.log and /var/log/dpkg.log.

use std::io::{ErrorKind, Read};

use anyhow::Context;
use flate2::read::GzDecoder;
use jiff::tz::TimeZone;

use super::zone;
use crate::host::{Host, READ_BYTES_MAX};

/// apt's history, newest first. logrotate(8) keeps the one before the running one compressed.
const HISTORY: [&str; 2] = ["/var/log/apt/history.log", "/var/log/apt/history.log.1"];

/// dpkg's log, newest first.
const DPKG_LOG: [&str; 2] = ["/var/log/dpkg.log", "/var/log/dpkg.log.1"];

/// Most characters of a command. Why: it stands in the row of each package, and there are runs that name hundreds.
const COMMAND_CHARS_MAX: usize = 256;

/// One run of apt, or of a front end that uses its library.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) begun_ms: i64,
    /// Absent while it runs, or where it was ended from outside.
    pub(super) ended_ms: Option<i64>,
    pub(super) command: String,
    pub(super) user: String,
    pub(super) error: String,
    /// Packages that came as dependencies, as "name:architecture".
    pub(super) automatic: Vec<String>,
    /// It changed something, or tried to.
    pub(super) changes: bool,
}

/// One line of dpkg's log that is a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change<'a> {
    pub(super) at_ms: i64,
    pub(super) action: &'a str,
    pub(super) package: &'a str,
    pub(super) architecture: &'a str,
    pub(super) from_version: &'a str,
    pub(super) to_version: &'a str,
}

/// How many logs there were, and what of them could not be had.
#[derive(Debug, Default)]
pub(super) struct Logs {
    pub(super) found: usize,
    pub(super) missing: Vec<String>,
}

/// apt's history of the month before and of the running one, each shown in its turn.
pub(super) fn history(host: &dyn Host, show: &mut dyn FnMut(&str)) -> anyhow::Result<Logs> {
    logs(host, &HISTORY, show)
}

/// dpkg's log of the month before and of the running one, each shown in its turn.
pub(super) fn dpkg_log(host: &dyn Host, show: &mut dyn FnMut(&str)) -> anyhow::Result<Logs> {
    logs(host, &DPKG_LOG, show)
}

/// Why shown and not returned: a log may be megabytes long, and one at a time is enough.
fn logs(host: &dyn Host, names: &[&str], show: &mut dyn FnMut(&str)) -> anyhow::Result<Logs> {
    let mut logs = Logs::default();
    for name in names.iter().rev() {
        let (text, whole) = match log(host, name) {
            Ok(Some(read)) => read,
            Ok(None) => continue,
            Err(error) => {
                // The running log decides the outcome; an older one that is refused is a part that is missing.
                if Some(name) == names.first() {
                    return Err(error);
                }
                logs.missing.push(format!("{name}: {error:#}"));
                continue;
            }
        };
        if !whole {
            logs.missing.push(format!("what stands behind the first {READ_BYTES_MAX} bytes of {name}"));
        }
        logs.found += 1;
        show(&text);
    }
    Ok(logs)
}

/// A log or its compressed form, and whether that is all of it; nothing where it is not there.
fn log(host: &dyn Host, name: &str) -> anyhow::Result<Option<(String, bool)>> {
    let packed = format!("{name}.gz");
    for (path, is_packed) in [(name, false), (packed.as_str(), true)] {
        let bytes = match host.read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            read => read.with_context(|| format!("reading {path}; the group adm may"))?,
        };
        let bytes = if is_packed {
            unpacked(&bytes, READ_BYTES_MAX).with_context(|| format!("unpacking {path}"))?
        } else {
            bytes
        };
        let whole = bytes.len() < READ_BYTES_MAX;
        let text = String::from_utf8(bytes);
        let text = text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        return Ok(Some((text, whole)));
    }
    Ok(None)
}

/// Never more than the door itself gives, whatever a small file claims to unfold to.
fn unpacked(bytes: &[u8], most: usize) -> std::io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    GzDecoder::new(bytes).take(most as u64).read_to_end(&mut plain)?;
    Ok(plain)
}

/// The runs that a history tells of; paragraphs that do not say when they began are none.
pub(super) fn runs<'a>(text: &'a str, local: &'a TimeZone) -> impl Iterator<Item = Run> + 'a {
    text.split("\n\n").filter_map(|paragraph| run(paragraph, local))
}

fn run(paragraph: &str, local: &TimeZone) -> Option<Run> {
    let mut run = Run::default();
    let mut begun = None;
    for line in paragraph.lines() {
        let Some((key, value)) = line.split_once(": ") else { continue };
        match key {
            "Start-Date" => begun = zone::ms(value, local),
            "End-Date" => run.ended_ms = zone::ms(value, local),
            "Commandline" => run.command = value.chars().take(COMMAND_CHARS_MAX).collect(),
            "Requested-By" => value.clone_into(&mut run.user),
            "Error" => value.clone_into(&mut run.error),
            "Install" | "Upgrade" | "Downgrade" | "Reinstall" | "Remove" | "Purge" => {
                run.changes = true;
                run.automatic.extend(automatic(value));
            }
            _ => {}
        }
    }
    run.begun_ms = begun?;
    // "anna (1000)"
    if let Some((name, _uid)) = run.user.split_once(" (") {
        run.user = name.to_owned();
    }
    Some(run)
}

/// "libfoo:amd64 (1.2-3, automatic), bar:all (1.0)" names libfoo:amd64.
fn automatic(packages: &str) -> impl Iterator<Item = String> {
    let each = packages.split("), ").filter_map(|package| package.split_once(" ("));
    each.filter(|(_name, rest)| rest.trim_end_matches(')').ends_with(", automatic"))
        .map(|(name, _rest)| name.to_owned())
}

/// The changes that a log of dpkg tells of. Its lines: "DAY TIME ACTION NAME:ARCH FROM TO", with "<none>" for no version.
pub(super) fn changes<'a>(text: &'a str, local: &'a TimeZone) -> impl Iterator<Item = Change<'a>> {
    text.lines().filter_map(|line| change(line, local))
}

fn change<'a>(line: &'a str, local: &TimeZone) -> Option<Change<'a>> {
    let (when, rest) = line.split_at_checked("2026-03-01 14:05:09".len())?;
    let mut words = rest.split_ascii_whitespace();
    let action = words.next()?;
    // All others ("status", "configure", "trigproc", "startup") are steps within these. Why before the time: most lines are steps.
    if !matches!(action, "install" | "upgrade" | "remove" | "purge") {
        return None;
    }
    let named = words.next()?.split_once(':');
    let (package, architecture) = named.filter(|(name, architecture)| !name.is_empty() && !architecture.is_empty())?;
    let mut version = || words.next().filter(|version| *version != "<none>").unwrap_or_default();
    let (from_version, to_version) = (version(), version());
    Some(Change { at_ms: zone::ms(when, local)?, action, package, architecture, from_version, to_version })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    static UTC: TimeZone = TimeZone::UTC;
    const HISTORY: &str = "\nStart-Date: 2026-01-15  13:00:00\nCommandline: apt install vim\nRequested-By: anna (1000)\n\
                           Install: vim:amd64 (2:9.0.1378-2), vim-runtime:all (2:9.0.1378-2, automatic)\n\
                           Error: Sub-process /usr/bin/dpkg returned an error code (1)\nEnd-Date: 2026-01-15  13:00:07\n\n\
                           Start-Date: 2026-01-15  14:00:00\nCommandline: apt-get clean\nEnd-Date: 2026-01-15  14:00:00\n";

    #[test]
    fn a_run_tells_who_asked_for_what_and_how_it_ended() {
        let all: Vec<Run> = runs(HISTORY, &TimeZone::UTC).collect();
        let [first, second] = all.as_slice() else { panic!("two runs: {all:?}") };
        assert_eq!((first.command.as_str(), first.user.as_str()), ("apt install vim", "anna"));
        assert_eq!(first.automatic, ["vim-runtime:all"]);
        assert_eq!(first.ended_ms.map(|ended| ended - first.begun_ms), Some(7_000));
        assert!(first.error.ends_with("error code (1)") && first.changes && !second.changes);
    }

    #[test]
    fn only_whole_changes_are_changes_and_not_their_steps() {
        let log = "2026-01-15 13:00:01 startup archives unpack\n2026-01-15 13:00:02 install vim:amd64 <none> 2:9.0\n\
                   2026-01-15 13:00:03 status half-installed vim:amd64 2:9.0\n2026-01-15 13:00:04 upgrade a:all 1 2\n\
                   2026-01-15 13:00:05 purge b:i386 3 <none>\n2026-01-15 13:00:06 remove c\nremove\n";
        let all: Vec<Change<'_>> = changes(log, &UTC).collect();
        let told: Vec<_> = all.iter().map(|c| (c.action, c.package, c.from_version, c.to_version)).collect();
        assert_eq!(told, [("install", "vim", "", "2:9.0"), ("upgrade", "a", "1", "2"), ("purge", "b", "3", "")]);
    }

    #[test]
    fn a_log_cut_anywhere_is_no_panic() {
        for cut in 0..HISTORY.len() {
            let _runs = runs(&HISTORY[..cut], &TimeZone::UTC).count();
        }
        let line = "2026-01-15 13:00:02 install vim:amd64 <none> 2:9.0 é";
        for cut in (0..line.len()).filter(|cut| line.is_char_boundary(*cut)) {
            let _changes = changes(&line[..cut], &TimeZone::UTC).count();
        }
        assert_eq!(changes("é026-01-15 13:00:0é install", &TimeZone::UTC).count(), 0);
    }

    #[test]
    fn a_packed_log_that_unfolds_without_end_is_cut() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&[b'a'; 5_000]).unwrap();
        let packed = packed.finish().unwrap();
        assert_eq!(unpacked(&packed, 3_000).unwrap().len(), 3_000);
        assert_eq!(unpacked(&packed, READ_BYTES_MAX).unwrap().len(), 5_000);
        assert!(unpacked(b"no gzip at all", READ_BYTES_MAX).is_err());
    }
}
