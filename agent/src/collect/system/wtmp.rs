//! Starts of the machine as /var/log/wtmp has them: utmp(5) records, on Linux 384 bytes long, or 400 where times have 64 bits.

use std::io::{self, ErrorKind};

use anyhow::Context;

use crate::host::Host;

/// One start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Start {
    /// When it began.
    pub(super) at_ms: i64,
    /// Kernel release, which is written in the place of the host.
    pub(super) kernel: String,
    /// When going down was noted; absent where the next start came without.
    pub(super) down_ms: Option<i64>,
    /// The last thing noted before the next start.
    pub(super) last_ms: i64,
}

const PATH: &str = "/var/log/wtmp";
/// Where a record's time lies, by the record's size.
const LAYOUTS: [(usize, usize); 2] = [(384, 340), (400, 344)];
/// How much of its end is read: 1 MiB or a little more, and a whole number of records of either size.
const TAIL: &str = "--bytes=1075200";

const RUN_LVL: u16 = 1;
const BOOT_TIME: u16 = 2;
/// The largest type of a record (`ACCOUNTING`).
const TYPE_MAX: u16 = 9;

/// Oldest first; none where the file is not there. Newer systems do not write it.
pub(super) fn starts(host: &dyn Host) -> anyhow::Result<Vec<Start>> {
    let ran = match host.run("tail", &[TAIL, PATH]) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        ran => ran.context("running tail")?,
    };
    let complaint = String::from_utf8_lossy(&ran.stderr);
    if complaint.contains("Permission denied") {
        return Err(io::Error::from(ErrorKind::PermissionDenied))
            .with_context(|| format!("reading {PATH}; the agent's user needs the group utmp"));
    }
    if complaint.contains("No such file") {
        return Ok(Vec::new());
    }
    anyhow::ensure!(ran.status == Some(0), "tail ended with status {:?}: {}", ran.status, complaint.trim());
    parse(&ran.stdout)
}

fn parse(bytes: &[u8]) -> anyhow::Result<Vec<Start>> {
    let layout = LAYOUTS.iter().find(|(size, _time)| bytes.len().is_multiple_of(*size) && plausible(bytes, *size));
    let (size, time) = layout.with_context(|| format!("{PATH} has records of an unknown form"))?;
    let mut starts: Vec<Start> = Vec::new();
    for record in bytes.chunks_exact(*size) {
        let (Some(kind), Some(seconds)) = (kind(record), number(record, *time)) else { continue };
        let at_ms = i64::from(seconds).saturating_mul(1000);
        if kind == BOOT_TIME {
            starts.push(Start { at_ms, kernel: text(record, 76, 256), down_ms: None, last_ms: at_ms });
        } else if let Some(start) = starts.last_mut() {
            start.last_ms = start.last_ms.max(at_ms);
            if kind == RUN_LVL && text(record, 44, 32) == "shutdown" {
                start.down_ms = Some(at_ms);
            }
        }
    }
    Ok(starts)
}

fn plausible(bytes: &[u8], size: usize) -> bool {
    bytes.chunks_exact(size).all(|record| kind(record).is_some_and(|kind| kind <= TYPE_MAX))
}

fn kind(record: &[u8]) -> Option<u16> {
    Some(u16::from_le_bytes(record.get(..2)?.try_into().ok()?))
}

/// Seconds fit into 32 bits until 2106; the lower half of a longer number comes first.
fn number(record: &[u8], place: usize) -> Option<u32> {
    Some(u32::from_le_bytes(record.get(place..place.checked_add(4)?)?.try_into().ok()?))
}

fn text(record: &[u8], place: usize, bytes_max: usize) -> String {
    let field = record.get(place..place.saturating_add(bytes_max)).unwrap_or_default();
    let field = field.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(field).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(size: usize, kind: u16, user: &str, host: &str, seconds: u32) -> Vec<u8> {
        let mut record = vec![0; size];
        record[..2].copy_from_slice(&kind.to_le_bytes());
        record[44..44 + user.len()].copy_from_slice(user.as_bytes());
        record[76..76 + host.len()].copy_from_slice(host.as_bytes());
        let time = if size == 384 { 340 } else { 344 };
        record[time..time + 4].copy_from_slice(&seconds.to_le_bytes());
        record
    }

    fn file(size: usize) -> Vec<u8> {
        [
            record(size, 7, "anna", "", 50),
            record(size, BOOT_TIME, "reboot", "6.1.0-18-amd64", 100),
            record(size, 7, "anna", ":0", 200),
            record(size, RUN_LVL, "shutdown", "6.1.0-18-amd64", 300),
            record(size, BOOT_TIME, "reboot", "6.1.0-18-amd64", 400),
            record(size, 7, "anna", ":0", 450),
            record(size, BOOT_TIME, "reboot", "6.1.0-21-amd64", 500),
            record(size, RUN_LVL, "runlevel", "6.1.0-21-amd64", 510),
        ]
        .concat()
    }

    #[test]
    fn a_start_with_and_without_going_down_in_both_forms() {
        for size in [384, 400] {
            let starts = parse(&file(size)).unwrap();
            assert_eq!(starts.len(), 3);
            assert_eq!((starts[0].at_ms, starts[0].down_ms, starts[0].last_ms), (100_000, Some(300_000), 300_000));
            assert_eq!((starts[1].down_ms, starts[1].last_ms), (None, 450_000));
            assert_eq!((starts[2].kernel.as_str(), starts[2].down_ms), ("6.1.0-21-amd64", None));
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_refused_or_shorter() {
        let whole = file(384);
        for cut in 0..whole.len() {
            let starts = parse(&whole[..cut]);
            assert!(starts.is_ok() || cut % 384 != 0, "{cut}");
            assert!(starts.map_or(0, |starts| starts.len()) <= 3, "{cut}");
        }
        assert!(parse(&[0xff; 768]).is_err());
    }
}
