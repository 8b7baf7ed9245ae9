//! What happened to the radio, from the logs of the kernel and of `wpa_supplicant`.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::WifiEvent;

use crate::collect::journalctl::{self, Entry};
use crate::collect::{Cadence, Collector, Os, Rows, kernel_log};
use crate::host::Host;

mod codes;
mod meaning;

use meaning::{Happened, Kind, meaning};

pub(in crate::collect) const WIFI_EVENTS: Collector = Collector {
    table: WifiEvent::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_mins(15)),
    look,
};

const DAY_MS: i64 = 24 * 3600 * 1000;
const HOUR_MS: i64 = 3600 * 1000;

/// Most lines of one look (`--lines` below says the same), and most rows.
const LINES_MAX: usize = 2000;
const ROWS_MAX: usize = 200;

/// Most characters of a line.
const TEXT_CHARS_MAX: usize = 300;

/// A radio that was ever here has left the class behind.
const CLASS: &str = "/sys/class/ieee80211";

/// What the kernel writes: mac80211, cfg80211, then the drivers whose words for a crashed firmware are known (iwlwifi, ath10k and ath11k,
/// brcmfmac, rtw89, mt76).
const KERNEL: &str = "for new auth to|\\(Reason: |Connection to AP .* lost|denied authentication|denied association|\
    authentication with .* timed out|association with .* timed out|Hardware restart was requested|failed to load regulatory.db|\
    Microcode SW error detected|firmware crashed|Firmware has halted or crashed|SER catches error|Message .* timeout";

/// What `wpa_supplicant` writes (`wpa_ctrl.h`).
const SUPPLICANT: &str = "CTRL-EVENT-CONNECTED|CTRL-EVENT-DISCONNECTED|CTRL-EVENT-SSID-TEMP-DISABLED|CTRL-EVENT-EAP-FAILURE|\
    CTRL-EVENT-EAP-TLS-CERT-ERROR|CTRL-EVENT-ASSOC-REJECT|CTRL-EVENT-AUTH-REJECT";

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    if host.list(CLASS).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(Rows::none());
    }
    let mut missing = Vec::new();
    let lines = match journal(host)? {
        Some(lines) => lines,
        None => kernel_alone(host, &mut missing)?,
    };
    if lines.len() >= LINES_MAX {
        missing.push(format!("all but the last {LINES_MAX} lines about the radio"));
    }
    let from_ms = host.now_ms().saturating_sub(DAY_MS);
    let mut folded = fold(lines.into_iter().filter(|line| line.at_ms >= from_ms));
    if folded.len() > ROWS_MAX {
        missing.push(format!("{} more kinds of events", folded.len() - ROWS_MAX));
        folded.truncate(ROWS_MAX);
    }
    let mut rows: Rows = folded.into_iter().collect();
    for part in missing {
        rows.ends_early(part);
    }
    Ok(rows)
}

/// One line of a log.
#[derive(Clone, Debug)]
struct Line {
    at_ms: i64,
    /// The kernel did not write it.
    supplicant: bool,
    text: String,
}

/// Absent where there is no journal.
fn journal(host: &dyn Host) -> anyhow::Result<Option<Vec<Line>>> {
    let grep = format!("--grep={KERNEL}|{SUPPLICANT}");
    let arguments = [
        "--no-pager",
        "--output=json",
        "--output-fields=MESSAGE,SYSLOG_IDENTIFIER",
        "--since=-24h",
        "--reverse",
        "--lines=2000",
        "--case-sensitive=true",
        &grep,
        "SYSLOG_IDENTIFIER=kernel",
        "SYSLOG_IDENTIFIER=wpa_supplicant",
    ];
    let line = |entry: &Entry| Line {
        at_ms: entry.at_ms,
        supplicant: entry.field("SYSLOG_IDENTIFIER") != "kernel",
        text: entry.field("MESSAGE"),
    };
    let entries = journalctl::entries(host, &arguments).context("looking for messages about the radio")?;
    Ok(entries.map(|entries| entries.iter().map(line).collect()))
}

fn kernel_alone(host: &dyn Host, missing: &mut Vec<String>) -> anyhow::Result<Vec<Line>> {
    let found = kernel_log::lines(host, KERNEL)?;
    missing.extend(found.missing);
    missing.push("what wpa_supplicant says: there is no journal".into());
    let line = |line: kernel_log::Line| Line { at_ms: line.at_ms, supplicant: false, text: line.text };
    Ok(found.lines.into_iter().map(line).collect())
}

/// What the logs tell, told once: where `wpa_supplicant` speaks of an interface, its word counts for joining and leaving, since the kernel
/// says the same in other words.
fn fold(lines: impl Iterator<Item = Line>) -> Vec<WifiEvent> {
    let mut lines: Vec<Line> = lines.collect();
    lines.sort_by_key(|line| line.at_ms);
    let happened: Vec<(&Line, Happened)> =
        lines.iter().filter_map(|line| Some((line, meaning(line.supplicant, &line.text)?))).collect();
    let speaks =
        |interface: &str| happened.iter().any(|(line, happened)| line.supplicant && happened.interface == interface);
    let mut rows: BTreeMap<_, (WifiEvent, Vec<i64>)> = BTreeMap::new();
    let mut joined: BTreeMap<&str, &str> = BTreeMap::new();
    for (line, happened) in &happened {
        if !line.supplicant && happened.kind.is_told_by_supplicant() && speaks(&happened.interface) {
            continue;
        }
        let mut kind = happened.kind;
        match kind {
            Kind::Connected => {
                let before = joined.insert(&happened.interface, &happened.bssid);
                if before.is_some_and(|before| before != happened.bssid) {
                    kind = Kind::Roamed;
                }
            }
            Kind::Disconnected | Kind::Left => {
                joined.remove(happened.interface.as_str());
            }
            _ => {}
        }
        let key = (happened.interface.clone(), kind, happened.code, happened.reason.clone(), happened.ssid.clone());
        let (row, times) = rows.entry(key).or_default();
        if times.is_empty() {
            *row = first(happened, kind, line.at_ms);
        }
        times.push(line.at_ms);
        row.bssid.clone_from(&happened.bssid);
        row.example = line.text.chars().take(TEXT_CHARS_MAX).collect();
    }
    let rows = rows.into_values().map(|(row, times)| WifiEvent {
        count: times.len() as u32,
        worst_hour: worst_hour(&times),
        last_ms: times.last().copied().unwrap_or_default(),
        ..row
    });
    rows.collect()
}

fn first(happened: &Happened, kind: Kind, at_ms: i64) -> WifiEvent {
    WifiEvent {
        interface: happened.interface.clone(),
        kind: kind.word().into(),
        code: happened.code,
        reason: happened.reason.clone(),
        ssid: happened.ssid.clone(),
        first_ms: at_ms,
        ..WifiEvent::default()
    }
}

/// The most times within any hour; the times are in order.
fn worst_hour(times: &[i64]) -> u32 {
    let mut first = times.iter();
    let mut oldest = first.next();
    let (mut within, mut worst) = (0_u32, 0);
    for at_ms in times {
        within += 1;
        while oldest.is_some_and(|oldest| at_ms.saturating_sub(*oldest) >= HOUR_MS) {
            within -= 1;
            oldest = first.next();
        }
        worst = worst.max(within);
    }
    worst
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(lines: &[(i64, bool, &str)]) -> Vec<(String, String, Option<u32>, u32)> {
        let line = |(at_ms, supplicant, text): &(i64, bool, &str)| Line {
            at_ms: *at_ms,
            supplicant: *supplicant,
            text: (*text).into(),
        };
        let rows = fold(lines.iter().map(line));
        rows.into_iter().map(|row| (row.interface, row.kind, row.code, row.count)).collect()
    }

    const JOINED: &str = "wlp4s0: CTRL-EVENT-CONNECTED - Connection to 02:00:5e:00:00:00 completed [id=0 id_str=]";
    const ELSEWHERE: &str = "wlp4s0: CTRL-EVENT-CONNECTED - Connection to 02:00:5e:00:00:02 completed [id=0 id_str=]";
    const MOVES: &str = "wlp4s0: disconnect from AP 02:00:5e:00:00:00 for new auth to 02:00:5e:00:00:02";
    const LEFT: &str = "wlp4s0: CTRL-EVENT-DISCONNECTED bssid=02:00:5e:00:00:00 reason=3 locally_generated=1";

    #[test]
    fn what_both_logs_tell_is_told_once() {
        let both = [(1, true, JOINED), (2, false, MOVES), (3, true, ELSEWHERE)];
        let connected = ("wlp4s0".to_owned(), "connected".to_owned(), None, 1);
        let roamed = ("wlp4s0".to_owned(), "roamed".to_owned(), None, 1);
        assert_eq!(told(&both), [connected.clone(), roamed.clone()]);
        assert_eq!(told(&[(2, false, MOVES)]), [roamed]);
        let again = told(&[(1, true, JOINED), (2, true, LEFT), (3, true, ELSEWHERE)]);
        assert_eq!(
            again,
            [("wlp4s0".into(), "connected".into(), None, 2), ("wlp4s0".into(), "left".into(), Some(3), 1)]
        );
    }

    #[test]
    fn a_wrong_password_is_a_wrong_key_and_a_disconnection_with_its_reason() {
        let lines = [
            (1, false, "wlp4s0: deauthenticated from 02:00:5e:00:00:00 (Reason: 15=4WAY_HANDSHAKE_TIMEOUT)"),
            (1, true, "wlp4s0: CTRL-EVENT-DISCONNECTED bssid=02:00:5e:00:00:00 reason=15"),
            (
                1,
                true,
                "wlp4s0: CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid=\"desk-office\" auth_failures=1 duration=10 reason=WRONG_KEY",
            ),
        ];
        let disconnected = ("wlp4s0".to_owned(), "disconnected".to_owned(), Some(15), 1);
        assert_eq!(told(&lines), [disconnected, ("wlp4s0".into(), "wrong-key".into(), None, 1)]);
    }

    #[test]
    fn the_worst_hour_is_any_sixty_minutes() {
        let minutes = |minutes: &[i64]| worst_hour(&minutes.iter().map(|minute| minute * 60_000).collect::<Vec<_>>());
        assert_eq!((minutes(&[]), minutes(&[5]), minutes(&[0, 59, 60, 61, 200])), (0, 1, 3));
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(lines in proptest::collection::vec((0_i64..10_000_000, any::<bool>(), "(wl0: )?(CTRL-EVENT-[A-Z-]{3,20}|[a-z ]{0,20}\\(Reason: )?.{0,60}"), 0..20)) {
            let lines = lines.into_iter().map(|(at_ms, supplicant, text)| Line { at_ms, supplicant, text });
            fold(lines);
        }
    }
}
