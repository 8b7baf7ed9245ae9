//! What a note says, as plain text: what is wrong first, then what is missing and why, then where the evidence is and what it hashes to.
//!
//! Words of machines and people stand in it as they are; each system's adapter writes them so that they stay words.

use std::collections::BTreeMap;

use deskside_proto::show;
use deskside_proto::v1::{Finding, Outcome, PartOutcome};

use crate::config::HelpDeskConfig;
use crate::store::{Collection, Device, EvidenceItem};

/// Findings that are told; the rest are counted.
const FINDINGS_TOLD: usize = 12;

/// Reasons for missing parts that are told; the rest are counted.
const MISSING_TOLD: usize = 12;

/// Longest line.
const LINE_CHARS_MAX: usize = 400;

/// What stands between a note that was cut and its end.
const CUT: &str = "\n(cut here; the case has the rest)";

/// What becomes of the bundle.
pub(super) enum Bundle {
    /// It goes with the note, or right after it.
    Attached,
    /// It does not, for this reason.
    Kept(String),
}

/// A case as a note speaks of it.
pub(super) struct Subject<'a> {
    pub(super) config: &'a HelpDeskConfig,
    pub(super) collection: &'a Collection,
    pub(super) device: &'a Device,
    pub(super) findings: &'a [Finding],
    /// As of when the findings are, server's clock.
    pub(super) known_ms: i64,
    pub(super) now_ms: i64,
}

impl Subject<'_> {
    /// The evidence has come, or will not.
    pub(super) fn ended(&self, item: Option<&EvidenceItem>, bundle: &Bundle) -> String {
        let Collection { ticket, asked_ms, ended_ms, note, state, .. } = self.collection;
        let (name, what) = (line(&self.device.name), self.what());
        let took = show::duration((ended_ms - asked_ms) as f64 / 1e3);
        let mut text = match item {
            Some(_item) => {
                format!("Deskside case {ticket}: evidence from {name} ({what}), {took} after it was asked for.\n")
            }
            None => {
                format!("Deskside case {ticket}: no evidence from {name} ({what}). {}: {}.\n", state.name(), line(note))
            }
        };
        text.push_str(&self.wrong(item.is_some()));
        text.push_str(&missing(&self.collection.parts));
        if let Some(item) = item {
            let size = show::bytes(item.size as f64);
            text.extend([format!("\nEvidence: {} ({size}), SHA-256 {}\n", item.name, item.sha256)]);
            if let Bundle::Kept(why) = bundle {
                text.extend([format!("The bundle is not attached: {why}.\n")]);
            }
        }
        text.push_str(&self.link());
        text
    }

    /// The evidence is asked for, and is not there yet.
    pub(super) fn begun(&self, connected: bool) -> String {
        let Collection { ticket, expires_ms, note, .. } = self.collection;
        let (name, what) = (line(&self.device.name), self.what());
        let mut text = if connected {
            format!("Deskside case {ticket}: evidence from {name} is under way ({what}): {}.\n", line(note))
        } else if self.device.seen_ms == 0 {
            format!("Deskside case {ticket}: {name} is off and has never been seen here ({what}).\n")
        } else {
            let since =
                format!("{} ({})", show::clock(self.device.seen_ms), show::age(self.device.seen_ms, self.now_ms));
            format!("Deskside case {ticket}: {name} is off since {since} ({what}).\n")
        };
        text.extend([format!(
            "It is collected by itself and follows here as another note, until {} at the latest.\n",
            show::clock(*expires_ms)
        )]);
        text.push_str(&self.wrong(false));
        text.push_str(&self.link());
        text
    }

    fn what(&self) -> String {
        let asked = if self.collection.recipe.is_empty() {
            [self.collection.tables.as_slice(), self.collection.probes.as_slice()].concat().join(", ")
        } else {
            format!("recipe {}", self.collection.recipe)
        };
        line(&asked)
    }

    /// What is wrong, worst first; as last known where the machine was not just looked at.
    fn wrong(&self, fresh: bool) -> String {
        let felt: Vec<&Finding> = self.findings.iter().filter(|finding| finding.severity != "unknown").collect();
        let unseen = self.findings.len() - felt.len();
        let when = if fresh { String::new() } else { format!(", as last known {}", show::clock(self.known_ms)) };
        let mut text = if felt.is_empty() {
            format!("\nNothing is known to be wrong{when}.\n")
        } else {
            format!("\nWhat is wrong, worst first{when}:\n")
        };
        for finding in felt.iter().take(FINDINGS_TOLD) {
            text.extend([format!("  {}: {}\n", finding.severity, line(&finding.title))]);
            if !finding.cause.is_empty() {
                text.extend([format!("      likely cause: {}\n", line(&finding.cause))]);
            }
            if !finding.next_step.is_empty() {
                text.extend([format!("      next: {}\n", line(&finding.next_step))]);
            }
        }
        if felt.len() > FINDINGS_TOLD {
            text.extend([format!("  and {} more\n", felt.len() - FINDINGS_TOLD)]);
        }
        if unseen > 0 {
            text.extend([format!("  {unseen} things could not be seen; that is not the same as healthy\n")]);
        }
        text
    }

    fn link(&self) -> String {
        let number = self.collection.ticket;
        format!("\nOpen it: {}deskside case {number}\n", address(self.config, number))
    }
}

/// It is not known which device the ticket is about.
pub(super) fn which(config: &HelpDeskConfig, ticket: u64, several: &[(String, &str)]) -> String {
    let mut text = format!("Deskside case {ticket}: which machine is this about? ");
    if several.is_empty() {
        text.push_str("Nothing in the ticket names one that is known here.\n");
    } else {
        text.push_str("It may be any of these:\n");
        for (name, why) in several {
            text.extend([format!("  {}: {why}\n", line(name))]);
        }
    }
    text.extend([format!(
        "\nSay so with `deskside ticket link {ticket} DEVICE`; the evidence then comes here by itself.\n"
    )]);
    text.extend([format!("\nOpen it: {}deskside case {ticket}\n", address(config, ticket))]);
    text
}

/// Text within a help desk's bound, with its marker as the last line.
pub(super) fn bounded(text: &str, marker: &str, bytes_max: usize) -> String {
    let room = bytes_max.saturating_sub(marker.len() + CUT.len() + 8);
    let text = text.trim_end();
    if text.len() <= room {
        return format!("{text}\n\n{marker}");
    }
    let end = (0..=room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}{CUT}\n\n{marker}", text.get(..end).unwrap_or_default())
}

/// Where a person opens the case, where that is configured; with what stands between it and the command.
pub(super) fn address(config: &HelpDeskConfig, ticket: u64) -> String {
    if config.link.is_empty() {
        return String::new();
    }
    format!("{}  or: ", config.link.replace("{case}", &ticket.to_string()))
}

/// Parts that did not come whole, those of one fate together.
fn missing(parts: &[PartOutcome]) -> String {
    let mut fates: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
    for part in parts {
        if !matches!(part.outcome(), Outcome::Ok | Outcome::Empty) {
            let fate = (show::outcome(part.outcome()).to_owned(), line(&part.reason));
            fates.entry(fate).or_default().push(&part.name);
        }
    }
    if parts.is_empty() {
        return String::new();
    }
    if fates.is_empty() {
        return format!("\nEvery part that was asked for came ({}).\n", parts.len());
    }
    let mut text = "\nMissing or not whole, and why:\n".to_owned();
    for ((outcome, reason), names) in fates.iter().take(MISSING_TOLD) {
        text.push_str(&line(&format!("  {outcome}: {} ({reason})", names.join(", "))));
        text.push('\n');
    }
    if fates.len() > MISSING_TOLD {
        text.extend([format!("  and {} more reasons\n", fates.len() - MISSING_TOLD)]);
    }
    text
}

/// One line, bounded; its blanks at the beginning stay.
fn line(text: &str) -> String {
    let one: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LINE_CHARS_MAX + 1).collect();
    if one.chars().count() <= LINE_CHARS_MAX {
        return one.trim_end().to_owned();
    }
    let mut cut: String = one.chars().take(LINE_CHARS_MAX - 1).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_never_outgrows_its_bound_and_ends_with_its_marker() {
        let marker = "deskside-case: 1";
        assert_eq!(bounded("short\n", marker, 1_000), "short\n\ndeskside-case: 1");
        let long = bounded(&"ü".repeat(5_000), marker, 1_000);
        assert!(long.len() <= 1_000 && long.ends_with(marker) && long.contains("cut here"), "{}", long.len());
    }

    #[test]
    fn what_did_not_come_is_told_with_its_reason() {
        let part = |name: &str, outcome: Outcome, reason: &str| PartOutcome {
            name: name.into(),
            outcome: outcome.into(),
            reason: reason.into(),
            ..PartOutcome::default()
        };
        let parts = [
            part("printers", Outcome::Ok, ""),
            part("disks", Outcome::Denied, "needs\nCAP_SYS_RAWIO"),
            part("disk_health", Outcome::Denied, "needs\nCAP_SYS_RAWIO"),
        ];
        let text = missing(&parts);
        assert!(text.contains("  denied: disks, disk_health (needs CAP_SYS_RAWIO)\n"), "{text}");
        assert!(missing(&parts[..1]).contains("Every part"));
    }
}
