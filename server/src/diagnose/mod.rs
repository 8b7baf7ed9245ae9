//! What is wrong with a device: rules are SQL queries over its latest known tables, and each row that one returns is a finding.
//!
//! Why SQL: a technician who can ask the machine can read the rule, and can write the next one.

use deskside_proto::v1::{Family, Finding, Outcome, Reading, TableSchema};

mod current;
mod proof;
mod replay;
pub mod rules;
#[cfg(test)]
mod tests;
mod unseen;
mod view;

pub use current::{Diagnosis, lately};
pub use replay::{LOOKS_MAX, Replay, Turn, Turned, replay};
pub use rules::{Rule, Severity};

/// Most findings that are told of one device; past it a technician reads none.
pub const FINDINGS_MAX: usize = 100;

/// Most rows that one rule may prove at once; the rest are counted in a last finding of the rule.
pub const ROWS_OF_RULE_MAX: usize = 20;

/// How far back entries of event tables (the log) are weighed.
pub const EVENT_WINDOW_MS: i64 = 24 * 3_600 * 1_000;

/// Most readings of one event table that are weighed, newest first.
pub const EVENT_READINGS_MAX: usize = 500;

/// What is known of one table of a device.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its description.
    pub schema: TableSchema,
    /// Readings, oldest first. State and sample tables have one; event tables those of the window.
    pub readings: Vec<Reading>,
    /// When the latest was last found to be unchanged, device's clock; 0 if never.
    pub checked_ms: i64,
}

impl Known {
    /// When the rows were last known to be so, device's clock.
    pub fn seen_ms(&self) -> i64 {
        self.readings.last().map_or(0, |reading| reading.at_ms.max(self.checked_ms))
    }

    /// How the latest look went.
    pub fn outcome(&self) -> Outcome {
        self.readings.last().map_or(Outcome::Unspecified, Reading::outcome)
    }
}

/// What the server itself knows of the device; rules see it as the table `device`.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Host name.
    pub name: String,
    /// A session is open.
    pub connected: bool,
    /// When it was last heard of, server's clock.
    pub seen_ms: i64,
    /// Server's clock minus the device's.
    pub clock_offset_ms: i64,
    /// Readings lost before they reached the server.
    pub lost: u64,
    /// The agent's version.
    pub agent_version: String,
    /// Now, by the device's clock.
    pub now_ms: i64,
}

/// Everything that is wrong, worst first. Tables that could not be seen are said, never taken for healthy.
pub fn findings(known: &[Known], about: &About) -> anyhow::Result<Vec<Finding>> {
    let view = view::View::of(known, about)?;
    let mut found = Vec::new();
    for rule in rules::all() {
        if rule.tables.iter().all(|table| view.holds(table)) {
            found.extend(view.ask(rule)?);
        }
    }
    found.extend(unseen::findings(known));
    sort(&mut found);
    found.truncate(FINDINGS_MAX);
    Ok(found)
}

/// Worst first; among equals, what a person at the machine feels first.
fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        let rank = |finding: &Finding| (Severity::rank(&finding.severity), family_rank(finding.family()));
        rank(a).cmp(&rank(b)).then_with(|| a.title.cmp(&b.title))
    });
}

fn family_rank(family: Family) -> u8 {
    match family {
        Family::Printing => 0,
        Family::Hardware => 1,
        Family::Network => 2,
        Family::System => 3,
        Family::Logs => 4,
        Family::Deskside => 5,
        Family::Unspecified => 6,
    }
}
