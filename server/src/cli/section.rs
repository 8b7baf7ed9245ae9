//! One family of a device's tables: whether anything is wrong in a line, a few facts, and what was not seen, with why.

use std::collections::BTreeMap;
use std::io;

use deskside_proto::show;
use deskside_proto::v1::{Device, Family, Outcome, TableState};

use super::devices::LABEL;
use super::screen::{Line, Screen};
use super::{facts, shape, sheet};

/// A reading of a connected device that was not confirmed for this long is called stale.
const STALE_MS: i64 = 3 * 60 * 60 * 1000;

/// Width of the column of tables: the longest that is read out fits.
const TABLE: usize = 18;

/// Shows a family. `wrong` are the severities of its findings; `said` is what its tables read out.
pub(super) fn show(
    screen: Screen,
    device: &Device,
    family: Family,
    wrong: &[&str],
    states: &[&TableState],
    said: &[&(String, Vec<String>)],
) -> io::Result<()> {
    heading(screen, device, family, wrong, states)?;
    for (table, lines) in said {
        for (place, line) in lines.iter().enumerate() {
            screen.beside(if place == 0 { table } else { "" }, TABLE, line)?;
        }
    }
    let untold = |state: &&&TableState| {
        state.outcome() == Outcome::Ok && state.rows > 0 && !said.iter().any(|(table, _lines)| *table == state.table)
    };
    let untold: Vec<&str> = states.iter().filter(untold).map(|state| state.table.as_str()).collect();
    if !untold.is_empty() {
        screen.beside("also", TABLE, &untold.join(" · "))?;
    }
    unseen(screen, states)?;
    states.iter().try_for_each(|state| stale(screen, device, state))
}

/// "hardware    1 warning · 24 of 27 tables seen, as of 20 s ago". What was not seen whole never makes a family look healthy.
fn heading(screen: Screen, device: &Device, family: Family, wrong: &[&str], states: &[&TableState]) -> io::Result<()> {
    let line = Line::default().bold(format!("{:LABEL$}", shape::family(family)));
    let newest = states.iter().map(|state| state.at_ms.max(state.checked_ms)).max().unwrap_or_default();
    let whole = states.iter().filter(|state| matches!(state.outcome(), Outcome::Ok | Outcome::Empty)).count();
    let seen = match states.len() - whole {
        0 => format!("all {} tables seen", states.len()),
        _ => format!("{whole} of {} tables seen whole", states.len()),
    };
    let line = match verdict(wrong) {
        Some((true, words)) => line.bad(words),
        Some((false, words)) => line.warn(words),
        None if whole == states.len() => line.good("nothing wrong found"),
        None if whole == 0 => line.warn("unknown"),
        None => line.plain("nothing wrong found in what was seen"),
    };
    screen.line(line.dim(format!(" · {seen}, as of {}", show::age(newest + device.clock_offset_ms, screen.now_ms))))
}

/// How many findings of each severity, and whether something does not work. Notices are no trouble.
fn verdict(wrong: &[&str]) -> Option<(bool, String)> {
    let count = |severity: &str| wrong.iter().filter(|of| **of == severity).count();
    let (critical, warnings) = (count("critical"), count("warning"));
    let parts: Vec<String> = [(critical, "critical"), (warnings, if warnings == 1 { "warning" } else { "warnings" })]
        .iter()
        .filter(|(count, _word)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    (!parts.is_empty()).then(|| (critical > 0, parts.join(", ")))
}

/// Tables that were not seen whole, with why; those of one fate in one line.
fn unseen(screen: Screen, states: &[&TableState]) -> io::Result<()> {
    let mut fates: BTreeMap<(i32, &str), Vec<&str>> = BTreeMap::new();
    for state in states.iter().filter(|state| !sheet::is_seen(state.outcome()) || !state.reason.is_empty()) {
        fates.entry((state.outcome, &state.reason)).or_default().push(&state.table);
    }
    for ((outcome, reason), tables) in fates {
        let label = match Outcome::try_from(outcome).unwrap_or_default() {
            Outcome::Unsupported => "not here".to_owned(),
            Outcome::Ok | Outcome::Empty | Outcome::Partial => "in part".to_owned(),
            other => show::outcome(other).replace('_', " "),
        };
        screen.beside(&label, TABLE, &format!("{}: {reason}", tables.join(", ")))?;
    }
    Ok(())
}

/// A state that a connected device has not confirmed for long.
fn stale(screen: Screen, device: &Device, state: &TableState) -> io::Result<()> {
    let at_ms = state.at_ms.max(state.checked_ms) + device.clock_offset_ms;
    if !device.connected || at_ms + STALE_MS >= screen.now_ms || facts::is_event(&state.table) {
        return Ok(());
    }
    let label = Line::default().dim(format!("{:width$}", state.table, width = TABLE));
    screen.line(label.warn(format!("stale: not confirmed since {}", show::time(at_ms, screen.now_ms))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_as_bad_as_its_worst_finding_and_notices_are_no_trouble() {
        assert_eq!(verdict(&["notice", "notice"]), None);
        assert_eq!(verdict(&["warning", "notice"]), Some((false, "1 warning".into())));
        let both = verdict(&["warning", "critical", "warning"]);
        assert_eq!(both, Some((true, "1 critical, 2 warnings".into())));
    }
}
