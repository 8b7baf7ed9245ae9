//! What the kernel left in pstore when it died: the end of its log, in parts. systemd-pstore(8) takes it from there at the next start, and
//! writes it to the journal as well; where it does not run, it lies in /sys/fs/pstore.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use crate::collect::journalctl::{self, Entry};
use crate::host::Host;

/// Why a month: the last twenty starts of a workstation take about as long.
const TAKEN: [&str; 7] = [
    "--no-pager",
    "--all",
    "--output=json",
    "--output-fields=MESSAGE,FILE,_BOOT_ID",
    "--since=-30d",
    "--lines=200",
    "SYSLOG_IDENTIFIER=systemd-pstore",
];
const FOLDER: &str = "/sys/fs/pstore";
/// Most files of the folder that are read.
const FILES_MAX: usize = 64;
/// Most bytes of one dump; what is older than these is left out.
const DUMP_BYTES_MAX: usize = 64 * 1024;

/// One death of the kernel, as far as it could write it down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dump {
    /// The boot that found it; empty where it still lies in pstore.
    pub(super) found_by: String,
    /// When it was written, where its name says so.
    pub(super) at_ms: Option<i64>,
    /// When it was taken out of pstore, where it was.
    pub(super) found_ms: Option<i64>,
    /// The end of the kernel's log, oldest line first.
    pub(super) text: String,
    /// The kernel did not go on.
    pub(super) panic: bool,
}

/// What was found, and what could not be looked at.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// By the boot that found them, and then by time.
    pub(super) dumps: Vec<Dump>,
    /// For `Rows::missing`.
    pub(super) missing: Option<String>,
}

/// One file of pstore.
struct Part {
    found_by: String,
    found_ms: Option<i64>,
    name: String,
    text: String,
}

/// Looks in the journal and in pstore itself. Errors are those of the journal.
pub(super) fn dumps(host: &dyn Host) -> anyhow::Result<Found> {
    let entries = journalctl::entries(host, &TAKEN)?.unwrap_or_default();
    let mut parts: Vec<Part> = entries.iter().filter_map(taken).collect();
    let missing = waiting(host, &mut parts);
    Ok(Found { dumps: together(parts), missing })
}

/// "`PStore` dmesg-efi-165467561001001 moved to /var/lib/systemd/pstore/…", with the file's content in a field of its own.
fn taken(entry: &Entry) -> Option<Part> {
    let message = entry.field("MESSAGE");
    let name = message.strip_prefix("PStore ")?.split([' ', '.']).next()?.to_owned();
    Some(Part { found_by: entry.boot_id(), found_ms: Some(entry.at_ms), name, text: entry.field("FILE") })
}

/// Files that nobody has taken yet. Returns what could not be seen.
fn waiting(host: &dyn Host, parts: &mut Vec<Part>) -> Option<String> {
    let names = match host.list(FOLDER) {
        Ok(names) => names,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        // Where systemd-pstore runs, the journal has told what was in it.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let takers = host.list("/usr/lib/systemd").or_else(|_absent| host.list("/lib/systemd")).unwrap_or_default();
            let runs = takers.iter().any(|name| name == "systemd-pstore");
            let needs = "what a dying kernel left in /sys/fs/pstore: permission denied; it needs systemd-pstore, or CAP_DAC_READ_SEARCH";
            return (!runs).then(|| needs.to_owned());
        }
        Err(error) => return Some(format!("{FOLDER}: {error}")),
    };
    let dumps = names.into_iter().filter(|name| name.starts_with("dmesg-") && !name.ends_with(".enc.z"));
    for name in dumps.take(FILES_MAX) {
        match host.text(&format!("{FOLDER}/{name}")) {
            Ok(text) => parts.push(Part { found_by: String::new(), found_ms: None, name, text }),
            Err(error) => return Some(format!("{FOLDER}/{name}: {error}")),
        }
    }
    None
}

/// Puts parts of one dump together, and keeps one dump a death: an oops that ends in a panic leaves two.
fn together(parts: Vec<Part>) -> Vec<Dump> {
    let mut groups: BTreeMap<(String, String), Vec<Part>> = BTreeMap::new();
    for part in parts {
        groups.entry((part.found_by.clone(), group(&part.name))).or_default().push(part);
    }
    let mut dumps: BTreeMap<(String, Option<i64>), Dump> = BTreeMap::new();
    for ((found_by, _group), mut parts) in groups {
        // Part 1 is the end of the log.
        parts.sort_by_key(|part| std::cmp::Reverse(heading(&part.text).map_or(0, |(_kind, number)| number)));
        let panic = parts.iter().any(|part| heading(&part.text).is_some_and(|(kind, _number)| kind == "Panic"));
        let at_ms = parts.first().and_then(|part| written_ms(&part.name));
        let text: String = parts.iter().map(|part| body(&part.text)).collect();
        let start = text.ceil_char_boundary(text.len().saturating_sub(DUMP_BYTES_MAX));
        let text = text.get(start..).unwrap_or_default().to_owned();
        let panic = panic || text.contains("Kernel panic");
        let found_ms = parts.first().and_then(|part| part.found_ms);
        let dump = Dump { found_by: found_by.clone(), at_ms, found_ms, text, panic };
        // An oops and the panic that it became are written within a moment.
        let minute = at_ms.map(|at_ms| at_ms / 60_000);
        let known = dumps.entry((found_by, minute)).or_default();
        if dump.panic || !known.panic {
            *known = dump;
        }
    }
    dumps.into_values().collect()
}

/// The part of the name that the parts of one dump share: systemd-pstore, too, leaves out the last six digits.
fn group(name: &str) -> String {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let kept = if digits > 6 { name.len() - 6 } else { name.len() };
    name.get(..kept).unwrap_or(name).to_owned()
}

/// EFI names are "dmesg-efi-" (later "dmesg-efi_pstore-") and a number: seconds, then two digits for the part and three for a count.
fn written_ms(name: &str) -> Option<i64> {
    let number = name.strip_prefix("dmesg-efi")?.rsplit('-').next()?;
    let seconds: i64 = number.get(..number.len().checked_sub(5)?)?.parse().ok()?;
    seconds.checked_mul(1000)
}

/// The first line: "Panic#2 Part1".
fn heading(text: &str) -> Option<(&str, u32)> {
    let (kind, part) = text.lines().next()?.split_once('#')?;
    let (_count, part) = part.split_once(" Part")?;
    Some((kind, part.trim().parse().ok()?))
}

fn body(text: &str) -> String {
    let mut body = match (heading(text), text.split_once('\n')) {
        (Some(_heading), Some((_first, rest))) => rest.to_owned(),
        (Some(_heading), None) => String::new(),
        _ => text.to_owned(),
    };
    if !body.is_empty() && !body.ends_with('\n') {
        body.push('\n');
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(found_by: &str, name: &str, text: &str) -> Part {
        Part { found_by: found_by.into(), found_ms: None, name: name.into(), text: text.into() }
    }

    #[test]
    fn parts_are_put_together_oldest_line_first() {
        let dumps = together(vec![
            part("b", "dmesg-efi-165467561001001", "Panic#1 Part1\n<0>[ 9.1] Kernel panic - not syncing: x\n"),
            part("b", "dmesg-efi-165467561002001", "Panic#1 Part2\n<4>[ 9.0] RIP: 0010:foo+0x1/0x2"),
        ]);
        assert_eq!(dumps.len(), 1);
        assert_eq!(dumps[0].text, "<4>[ 9.0] RIP: 0010:foo+0x1/0x2\n<0>[ 9.1] Kernel panic - not syncing: x\n");
        assert_eq!((dumps[0].at_ms, dumps[0].panic), (Some(1_654_675_610_000), true));
    }

    #[test]
    fn an_oops_that_became_a_panic_is_one_death() {
        let dumps = together(vec![
            part("b", "dmesg-efi-165467561001001", "Oops#1 Part1\nOops: 0002 [#1]\n"),
            part("b", "dmesg-efi-165467561101002", "Panic#2 Part1\nKernel panic - not syncing: Fatal exception\n"),
            part("c", "dmesg-ramoops-0", "Oops#1 Part1\nOops: 0000 [#1]\n"),
        ]);
        let seen: Vec<(&str, bool)> = dumps.iter().map(|dump| (dump.found_by.as_str(), dump.panic)).collect();
        assert_eq!(seen, [("b", true), ("c", false)]);
    }

    #[test]
    fn names_and_texts_of_any_kind_are_taken_without_a_panic_of_our_own() {
        for name in
            ["dmesg-efi-", "dmesg-efi-1", "dmesg-efi-99999999999999999999999999", "dmesg-erst-5496868943955263489", "ä"]
        {
            for text in ["", "\n", "Panic#", "Panic#1 Part", "Panic#1 Part99999999999", "\u{fffd}"] {
                together(vec![part("", name, text)]);
            }
        }
        assert_eq!(group("dmesg-erst-5496868943955263489"), "dmesg-erst-5496868943955");
        assert_eq!(group("dmesg-ramoops-0"), "dmesg-ramoops-0");
    }
}
