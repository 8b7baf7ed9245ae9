//! Two collections of a case compared: what was wrong then and is not now, and what each table said, counters and other noise left out.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use deskside_proto::changes::{self, saw};
use deskside_proto::rows::{self, Value};
use deskside_proto::v1::{Comparison, Finding, Kind, Outcome, Reading, TableDifference, TableSchema, ValueDifference};
use deskside_proto::{catalog, show};

use super::changed::may_tell;
use super::{CaseFiles, words};
use crate::diagnose::{self, About, Known};
use crate::evidence::Bundle;
use crate::store::Collection;

/// Differences of one table that are told; the rest are counted.
const VALUES_MAX: usize = 60;

/// Longest text of one value, in characters.
const VALUE_CHARS_MAX: usize = 240;

/// What became of a comparison.
#[derive(Debug)]
pub enum Compared {
    /// It was made.
    Whole(Box<Comparison>),
    /// It could not be made, in words.
    Not(String),
}

/// One side: its looks, and what is wrong by them.
struct Side {
    known: Vec<Known>,
    findings: Vec<Finding>,
}

impl CaseFiles {
    /// Compares two collections by their places in the case, from 1 up; one table, or all where none is named.
    pub async fn compare(&self, number: u64, one: u32, other: u32, table: &str) -> Result<Compared> {
        let all = self.store.collections_of(number).await?;
        let items = self.store.evidence(Some(number)).await?;
        let mut bundles = Vec::new();
        let mut picked = Vec::new();
        for place in [one, other] {
            let found = usize::try_from(place).ok().and_then(|place| all.get(place.checked_sub(1)?));
            let Some(collection) = found else {
                return Ok(Compared::Not(format!(
                    "ticket {number} has no collection {place}; it has {}, `deskside case {number}` lists them",
                    all.len()
                )));
            };
            let item = collection.evidence.and_then(|id| items.iter().find(|item| item.id == id));
            let Some(item) = item else {
                let state = collection.state.name();
                return Ok(Compared::Not(format!("collection {place} has no evidence ({state}): {}", collection.note)));
            };
            match self.questions.open_bundle(item).await? {
                Ok(bundle) => bundles.push(bundle),
                Err(why) => {
                    return Ok(Compared::Not(format!("the evidence of collection {place}, {}: {why}", item.name)));
                }
            }
            picked.push(collection.clone());
        }
        let (table, name) = (table.to_owned(), self.names(&picked).await?);
        let compared = tokio::task::spawn_blocking(move || -> Result<Compared> {
            let [one, other] = bundles.as_slice() else {
                return Ok(Compared::Not("two collections are compared".into()));
            };
            let sides = Side::of(one).and_then(|one| Ok((one, Side::of(other)?)));
            let (one, other) = match sides {
                Ok(sides) => sides,
                Err(error) => return Ok(Compared::Not(format!("a bundle cannot be read: {error:#}"))),
            };
            let mut comparison = between(&one, &other, &table)?;
            let mut shown = picked.iter().zip(name).map(|(collection, name)| words::collection(collection, name));
            (comparison.one, comparison.other) = (shown.next(), shown.next());
            Ok(Compared::Whole(Box::new(comparison)))
        });
        compared.await?
    }

    async fn names(&self, collections: &[Collection]) -> Result<Vec<Option<deskside_proto::v1::Device>>> {
        let mut named = Vec::new();
        for collection in collections {
            let device = self.store.device(collection.device).await?;
            named.push(device.map(|device| words::device(&device, self.switchboard.connected(device.id), 0)));
        }
        Ok(named)
    }
}

impl Side {
    /// The latest look at each table that a bundle holds; of those that failed, that they did.
    fn of(bundle: &Bundle) -> Result<Self> {
        let mut known = Vec::new();
        for schema in catalog::tables() {
            let (mut seen, mut last): (Option<Reading>, Option<Reading>) = (None, None);
            bundle.read(schema, &mut |reading| {
                let is_newer = |held: &Option<Reading>| held.as_ref().is_none_or(|held| held.at_ms <= reading.at_ms);
                if saw(reading.outcome()) && is_newer(&seen) {
                    seen = Some(reading.clone());
                }
                if is_newer(&last) {
                    last = Some(reading);
                }
                true
            })?;
            let Some(reading) = last else { continue };
            let checked_ms = reading.at_ms;
            known.push(Known { schema: schema.clone(), readings: vec![reading], checked_ms });
        }
        let about = About { now_ms: bundle.collected_ms(), connected: true, ..About::default() };
        let mut findings = diagnose::findings(&known, &about)?;
        findings.retain(|finding| matches!(finding.severity.as_str(), "critical" | "warning"));
        Ok(Self { known, findings })
    }

    fn table(&self, name: &str) -> Option<(&TableSchema, &Reading)> {
        let known = self.known.iter().find(|known| known.schema.name == name)?;
        Some((&known.schema, known.readings.last()?))
    }
}

/// What differs between two sides. A table that one of them lacks is said to lack, not to have gone.
fn between(one: &Side, other: &Side, only: &str) -> Result<Comparison> {
    let mut comparison = Comparison::default();
    if only.is_empty() {
        findings(one, other, &mut comparison);
    }
    let names: BTreeSet<&str> = one.known.iter().chain(&other.known).map(|known| known.schema.name.as_str()).collect();
    let (mut numbers, mut logs) = (0_usize, 0_usize);
    for name in names.into_iter().filter(|name| only.is_empty() || *name == only) {
        let (Some((schema, before)), Some((_, after))) = (one.table(name), other.table(name)) else {
            let place = if one.table(name).is_none() { "earlier" } else { "later" };
            comparison.uncompared.push(format!("{name}: not in the {place} collection"));
            continue;
        };
        match schema.kind() {
            Kind::Sample => {
                numbers += 1;
                continue;
            }
            Kind::Event if schema.probe.is_some() => {
                match verdicts(schema, before, after) {
                    None => comparison.alike += 1,
                    Some(differ) => comparison.tables.push(differ),
                }
                continue;
            }
            Kind::Event => {
                logs += 1;
                continue;
            }
            _ => {}
        }
        let unseen = [("earlier", before), ("later", after)].into_iter().find(|(_place, look)| !saw(look.outcome()));
        if let Some((place, look)) = unseen {
            let outcome = show::outcome(look.outcome());
            comparison
                .uncompared
                .push(format!("{name}: {outcome} in the {place} collection: {}", show::printable(&look.reason)));
            continue;
        }
        let partial = [before, after].iter().any(|look| look.outcome() == Outcome::Partial);
        let differ = differences(schema, before, after, partial)?;
        if partial {
            comparison.uncompared.push(format!("{name}: rows that one collection lacks, since a look saw it in part"));
        }
        match differ {
            None => comparison.alike += 1,
            Some(differ) => comparison.tables.push(differ),
        }
    }
    comparison.tables.sort_by(|a, b| (a.family, &a.table).cmp(&(b.family, &b.table)));
    if numbers + logs > 0 && only.is_empty() {
        comparison.uncompared.push(format!(
            "{numbers} tables of numbers that move by themselves, and {logs} logs: `deskside sql --case N` asks them"
        ));
    }
    if !only.is_empty() && comparison.tables.is_empty() && comparison.alike == 0 && comparison.uncompared.is_empty() {
        comparison.uncompared.push(format!("{only}: in neither collection"));
    }
    Ok(comparison)
}

/// By rule and the row that it names: the words of a finding may count what changes.
fn findings(one: &Side, other: &Side, comparison: &mut Comparison) {
    let name = |finding: &Finding| {
        (finding.rule.clone(), finding.proof.first().map(|fact| fact.value.clone()).unwrap_or_default())
    };
    let (before, after): (BTreeSet<_>, BTreeSet<_>) =
        (one.findings.iter().map(name).collect(), other.findings.iter().map(name).collect());
    comparison.gone = one.findings.iter().filter(|found| !after.contains(&name(found))).cloned().collect();
    for found in &other.findings {
        let list = if before.contains(&name(found)) { &mut comparison.stands } else { &mut comparison.come };
        list.push(found.clone());
    }
}

/// What a probe found then and later, by its target: its steps are asked in SQL.
fn verdicts(schema: &TableSchema, before: &Reading, after: &Reading) -> Option<TableDifference> {
    let found = |reading: &Reading| -> BTreeMap<String, String> {
        let rows = reading.rows.iter().filter_map(|row| rows::open(schema, row).ok());
        let of = |values: &[Value], column: &str| {
            let place = catalog::column(schema, column);
            place.and_then(|place| values.get(place)).map(ToString::to_string).unwrap_or_default()
        };
        let verdicts = rows.filter(|values| of(values, "step") == "verdict");
        verdicts.map(|values| (text(&of(&values, "target")), text(&of(&values, "found")))).collect()
    };
    let (before, after) = (found(before), found(after));
    let targets: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let said = |side: &BTreeMap<String, String>, target: &String| {
        side.get(target).cloned().unwrap_or_else(|| "not tested".to_owned())
    };
    let values: Vec<ValueDifference> = targets
        .into_iter()
        .map(|target| (target, said(&before, target), said(&after, target)))
        .filter(|(_target, before, after)| before != after)
        .map(|(target, before, after)| ValueDifference { key: target.clone(), column: "verdict".into(), before, after })
        .collect();
    let (table, family) = (schema.name.clone(), schema.family);
    (!values.is_empty()).then_some(TableDifference { table, family, values, more: 0 })
}

fn differences(
    schema: &TableSchema,
    before: &Reading,
    after: &Reading,
    partial: bool,
) -> Result<Option<TableDifference>> {
    let mut values: Vec<ValueDifference> = Vec::new();
    for change in changes::between(schema, &before.rows, &after.rows)? {
        let column = schema.columns.iter().find(|column| column.name == change.column);
        if change.column.is_empty() {
            if !partial {
                let side = |value: &Value| if *value == Value::Null { String::new() } else { "present".into() };
                values.push(ValueDifference {
                    key: text(&change.key),
                    column: String::new(),
                    before: side(&change.old),
                    after: side(&change.new),
                });
            }
        } else if let Some(column) = column.filter(|column| may_tell(column)) {
            let told = |value: &Value| {
                if *value == Value::Null {
                    "not known".to_owned()
                } else {
                    text(&show::human(column, value, before.at_ms))
                }
            };
            values.push(ValueDifference {
                key: text(&change.key),
                column: change.column.clone(),
                before: told(&change.old),
                after: told(&change.new),
            });
        }
    }
    if values.is_empty() {
        return Ok(None);
    }
    let more = values.len().saturating_sub(VALUES_MAX) as u64;
    values.truncate(VALUES_MAX);
    Ok(Some(TableDifference { table: schema.name.clone(), family: schema.family, values, more }))
}

fn text(text: &str) -> String {
    let text = show::printable(text);
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _char)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
