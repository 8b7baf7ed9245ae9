//! Tables that rules would read and that could not be seen: said as findings, since silence would be taken for health.

use std::collections::BTreeSet;

use deskside_proto::catalog;
use deskside_proto::show;
use deskside_proto::v1::{Fact, Family, Finding, Outcome};

use super::{Known, Severity, rules};

/// One finding for each table that could not be read; one quiet line for all that this machine has not, and one for all that never came.
pub(super) fn findings(known: &[Known]) -> Vec<Finding> {
    let wanted: BTreeSet<&str> = rules::all().iter().flat_map(|rule| &rule.tables).map(String::as_str).collect();
    // Why no probes: what nobody asked for is not missed.
    let probed = |table: &str| catalog::table(table).is_some_and(|schema| schema.probe.is_some());
    let wanted = wanted.into_iter().filter(|table| *table != "device" && !probed(table));
    let (mut found, mut absent, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    for name in wanted {
        match known.iter().find(|table| table.schema.name == name) {
            None => silent.push(name),
            Some(table) => match table.outcome() {
                Outcome::Ok | Outcome::Empty => {}
                Outcome::Unsupported => absent.push(table),
                Outcome::Unspecified => silent.push(name),
                _ => found.push(unread(table)),
            },
        }
    }
    found.extend(has_not(&absent));
    found.extend(never_came(&silent, known.is_empty()));
    found
}

fn unread(table: &Known) -> Finding {
    let name = &table.schema.name;
    let reason = reason(table);
    let title = match table.outcome() {
        Outcome::Partial => format!("{name} were read only in part: {reason}"),
        outcome => format!("{name} could not be read ({}): {reason}", show::outcome(outcome)),
    };
    Finding {
        rule: "not-seen".into(),
        severity: Severity::Unknown.name().into(),
        title,
        table: name.clone(),
        proof: vec![fact("outcome", show::outcome(table.outcome())), fact("reason", &reason)],
        cause: "What was not seen may be broken as well as healthy.".into(),
        next_step: format!("`deskside ask DEVICE {name}` looks again; the reason says what the agent would need."),
        at_ms: table.seen_ms(),
        family: table.schema.family,
    }
}

fn has_not(absent: &[&Known]) -> Option<Finding> {
    let first = absent.first()?;
    let names: Vec<&str> = absent.iter().map(|table| table.schema.name.as_str()).collect();
    Some(Finding {
        rule: "not-on-this-machine".into(),
        severity: Severity::Unknown.name().into(),
        title: format!("Not on this machine, or no means to see it: {}", names.join(", ")),
        table: first.schema.name.clone(),
        proof: absent.iter().map(|table| fact(&table.schema.name, &reason(table))).collect(),
        cause: "The agent found no such thing to look at.".into(),
        next_step: "Nothing, unless the machine should have it.".into(),
        at_ms: first.seen_ms(),
        family: Family::Deskside.into(),
    })
}

fn never_came(silent: &[&str], nothing_at_all: bool) -> Option<Finding> {
    silent.first()?;
    let title = if nothing_at_all {
        "Nothing has been received from this device yet".to_owned()
    } else {
        format!("Never received from this device: {}", silent.join(", "))
    };
    Some(Finding {
        rule: "never-received".into(),
        severity: Severity::Unknown.name().into(),
        title,
        table: silent.first().map(ToString::to_string).unwrap_or_default(),
        proof: vec![fact("tables", &silent.join(", "))],
        cause: "The device has just been enrolled, its policy keeps these tables local or off, or its agent is too old to have them.".into(),
        next_step: "`deskside ask DEVICE TABLE` looks now.".into(),
        at_ms: 0,
        family: Family::Deskside.into(),
    })
}

fn reason(table: &Known) -> String {
    let reason = table.readings.last().map(|reading| reading.reason.as_str()).unwrap_or_default();
    if reason.is_empty() { "no reason was given".into() } else { show::printable(reason) }
}

fn fact(name: &str, value: &str) -> Fact {
    Fact { name: name.to_owned(), value: value.to_owned() }
}
