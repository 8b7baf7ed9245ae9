//! The families of a device: what is wrong first, then what a technician would read out, and what was not seen, with why.

use std::collections::BTreeMap;

use deskside_proto::changes::saw;
use deskside_proto::v1::{CaseDevice, CaseFamily, Device, Family, Finding, Outcome, Reading, TableState, Told};
use deskside_proto::{digest, show};

use crate::diagnose::{Diagnosis, Known};

/// Families in the order in which a user feels them.
const FAMILIES: [Family; 6] =
    [Family::Printing, Family::Hardware, Family::Network, Family::Logs, Family::System, Family::Deskside];

/// The severity of what could not be judged, since it was not seen.
const UNKNOWN: &str = "unknown";

/// A device with its families: the worst first, among equals in the order in which a user feels them.
pub(super) fn device(device: Device, diagnosis: &Diagnosis, made_ms: i64) -> CaseDevice {
    let offset_ms = device.clock_offset_ms;
    let shown = |family: &&Family| {
        let wrong =
            diagnosis.findings.iter().any(|finding| finding.family() == **family && finding.severity != UNKNOWN);
        **family != Family::Deskside || wrong
    };
    let mut families: Vec<CaseFamily> =
        FAMILIES.iter().filter(shown).map(|of| family(*of, diagnosis, offset_ms, made_ms)).collect();
    families.sort_by_key(|family| match family.state.as_str() {
        "critical" => 0,
        "warning" => 1,
        _ => 2,
    });
    CaseDevice { device: Some(device), families }
}

fn family(family: Family, diagnosis: &Diagnosis, offset_ms: i64, made_ms: i64) -> CaseFamily {
    let states: Vec<&TableState> = diagnosis.tables.iter().filter(|state| state.family() == family).collect();
    let findings = diagnosis.findings.iter().filter(|found| found.family() == family && found.severity != UNKNOWN);
    let findings: Vec<Finding> = findings
        .map(|found| Finding { at_ms: if found.at_ms == 0 { 0 } else { found.at_ms + offset_ms }, ..found.clone() })
        .collect();
    let whole = states.iter().filter(|state| matches!(state.outcome(), Outcome::Ok | Outcome::Empty)).count();
    let (state, verdict) = verdict(&findings, whole, states.len());
    let mut told: Vec<Told> = diagnosis
        .known
        .iter()
        .filter(|known| known.schema.family() == family)
        .filter_map(|known| read_out(known, made_ms - offset_ms))
        .collect();
    told.sort_by_key(|told| digest::place(&told.table));
    let newest = states.iter().map(|state| state.at_ms.max(state.checked_ms)).max();
    CaseFamily {
        family: family.into(),
        state,
        verdict,
        findings,
        told,
        whole: u32::try_from(whole).unwrap_or(u32::MAX),
        tables: u32::try_from(states.len()).unwrap_or(u32::MAX),
        as_of_ms: newest.map_or(0, |newest| newest + offset_ms),
        unseen: unseen(&states),
    }
}

/// How bad it is. What was not seen whole never makes a family look healthy, and notices are no trouble.
fn verdict(findings: &[Finding], whole: usize, all: usize) -> (String, String) {
    let count = |severity: &str| findings.iter().filter(|finding| finding.severity == severity).count();
    let (critical, warnings) = (count("critical"), count("warning"));
    let words: Vec<String> = [(critical, "critical"), (warnings, if warnings == 1 { "warning" } else { "warnings" })]
        .into_iter()
        .filter(|(count, _word)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    let (state, words) = match (critical, warnings) {
        (1.., _) => ("critical", words.join(", ")),
        (0, 1..) => ("warning", words.join(", ")),
        (0, 0) if all == 0 => (UNKNOWN, "nothing received".into()),
        (0, 0) if whole == 0 => (UNKNOWN, "unknown: none of it could be seen".into()),
        (0, 0) if whole == all => ("well", "nothing wrong found".into()),
        (0, 0) => ("well", "nothing wrong found in what was seen".into()),
    };
    (state.to_owned(), words)
}

/// A table in a line or a few; of events the last day, as one.
fn read_out(known: &Known, now_ms: i64) -> Option<Told> {
    if !digest::is_told(&known.schema.name) || !saw(known.outcome()) {
        return None;
    }
    let rows = known.readings.iter().flat_map(|reading| reading.rows.iter().cloned()).collect();
    let lines = digest::of(&known.schema, &Reading { rows, ..Reading::default() }, now_ms);
    (!lines.is_empty()).then(|| Told { table: known.schema.name.clone(), lines })
}

/// Tables that were not seen whole, with why; those of one fate in one line.
fn unseen(states: &[&TableState]) -> Vec<String> {
    let mut fates: BTreeMap<(i32, &str), Vec<&str>> = BTreeMap::new();
    let short =
        |state: &&&TableState| !matches!(state.outcome(), Outcome::Ok | Outcome::Empty) || !state.reason.is_empty();
    for state in states.iter().filter(short) {
        fates.entry((state.outcome, &state.reason)).or_default().push(&state.table);
    }
    let line = |((outcome, reason), tables): ((i32, &str), Vec<&str>)| {
        let label = match Outcome::try_from(outcome).unwrap_or_default() {
            Outcome::Unsupported => "not on this machine",
            Outcome::Ok | Outcome::Empty | Outcome::Partial => "in part",
            other => show::outcome(other),
        };
        let reason = if reason.is_empty() { String::new() } else { format!(": {}", show::printable(reason)) };
        format!("{label}: {}{reason}", tables.join(", "))
    };
    fates.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_as_bad_as_its_worst_finding_and_what_was_not_seen_is_never_well() {
        let found = |severity: &str| Finding { severity: severity.into(), ..Finding::default() };
        let state = |findings: &[Finding], whole, all| verdict(findings, whole, all).0;
        assert_eq!(state(&[found("notice")], 3, 3), "well");
        assert_eq!(state(&[found("warning"), found("critical")], 3, 3), "critical");
        assert_eq!(state(&[], 0, 3), "unknown");
        assert_eq!(state(&[], 0, 0), "unknown");
        assert_eq!(verdict(&[], 2, 3).1, "nothing wrong found in what was seen");
        assert_eq!(verdict(&[found("warning"), found("warning")], 3, 3).1, "2 warnings");
    }
}
