//! What happened on a machine: rows that have times of their own, events that the kernel told, new errors in logs, and probes' verdicts.
//!
//! Which tables these are follows from their columns: a row with `at_ms`, `first_ms` or `last_ms` tells of something that happened then.

use std::collections::BTreeMap;

use deskside_proto::changes;
use deskside_proto::rows::{self, Value};
use deskside_proto::v1::{ColumnType, Kind, Moment, MomentKind, TableSchema};
use deskside_proto::{catalog, show};

use super::changed::{cut, may_tell};
use super::gathered::{Gathered, Looks};

/// Alike things that happened within this time are one line.
const TOGETHER_MS: i64 = 10 * 60 * 1_000;

/// Values of one row that its line tells.
const VALUES_MAX: usize = 6;

/// Lines of one group that are told; the rest are counted.
const DETAILS_MAX: usize = 12;

/// Packages of one change that are named.
const PACKAGES_MAX: usize = 40;

/// Columns that tell when a row's thing happened, the first time and the last.
const FIRST: [&str; 2] = ["at_ms", "first_ms"];
const LAST: &str = "last_ms";

/// Columns that say how often.
const TIMES: [&str; 2] = ["count", "times"];

/// Whether a table's rows tell of things that happened, each with its own time.
pub(super) fn has_times(schema: &TableSchema) -> bool {
    FIRST.iter().chain([&LAST]).any(|column| catalog::column(schema, column).is_some())
}

/// One row, and when it happened.
struct Row<'a> {
    schema: &'a TableSchema,
    values: Vec<Value>,
    first_ms: i64,
    last_ms: i64,
}

/// All of it, for one device.
pub(super) fn moments(gathered: &Gathered) -> Vec<Moment> {
    let mut moments = Vec::new();
    for looks in gathered.tables.values() {
        if looks.schema.probe.is_some() {
            moments.extend(verdicts(gathered, looks));
        } else if has_times(&looks.schema) {
            moments.extend(of_table(gathered, looks));
        }
    }
    moments
}

fn of_table(gathered: &Gathered, looks: &Looks) -> Vec<Moment> {
    let mut latest: BTreeMap<String, Row> = BTreeMap::new();
    for row in looks.readings.iter().flat_map(|look| look.rows.iter()) {
        // A row that cannot be opened was said to be so when it came in.
        let Ok(values) = rows::open(&looks.schema, row) else { continue };
        let key = changes::key(&looks.schema, &values);
        if let Some(row) = Row::of(&looks.schema, values, gathered.offset_ms) {
            latest.insert(key, row);
        }
    }
    let within = |at_ms: i64| at_ms >= gathered.window.from_ms && at_ms <= gathered.window.to_ms;
    let is_new = looks.schema.name == "error_signatures";
    // What was said long ago for the first time is no new error, however often it is said.
    let told = latest.into_values().filter(|row| within(row.first_ms) || (!is_new && within(row.last_ms)));
    let mut told: Vec<Row> = told.collect();
    told.iter_mut().filter(|row| !within(row.first_ms)).for_each(|row| row.first_ms = row.last_ms);
    told.sort_by_key(|row| row.first_ms);
    match looks.schema.name.as_str() {
        "boots" => told.iter().flat_map(|row| starts(gathered, row)).collect(),
        _ => group(gathered, &looks.schema, &told),
    }
}

impl<'a> Row<'a> {
    fn of(schema: &'a TableSchema, values: Vec<Value>, offset_ms: i64) -> Option<Self> {
        let mut row = Self { schema, values, first_ms: 0, last_ms: 0 };
        let last = row.number(LAST).filter(|at_ms| *at_ms != 0);
        let first = FIRST.iter().find_map(|column| row.number(column)).filter(|at_ms| *at_ms != 0);
        row.first_ms = first.or(last)? + offset_ms;
        row.last_ms = last.map_or(row.first_ms, |last_ms| last_ms + offset_ms);
        Some(row)
    }

    fn value(&self, column: &str) -> Option<&Value> {
        self.values.get(catalog::column(self.schema, column)?)
    }

    fn number(&self, column: &str) -> Option<i64> {
        match self.value(column)? {
            Value::Int(number) => Some(*number),
            Value::Uint(number) => i64::try_from(*number).ok(),
            _ => None,
        }
    }

    fn text(&self, column: &str) -> String {
        self.value(column).map(|value| cut(&show::printable(&value.to_string()))).unwrap_or_default()
    }

    fn times(&self) -> u64 {
        let times = TIMES.iter().find_map(|column| self.number(column));
        times.and_then(|times| u64::try_from(times).ok()).unwrap_or(1).max(1)
    }

    /// What alike things have in common: of packages what was done with them, of the network what changed, of others all that is told.
    fn theme(&self) -> String {
        ["action", "change"].iter().map(|column| self.text(column)).find(|theme| !theme.is_empty()).unwrap_or_default()
    }

    /// The row in a line: its own sentence where it has one, else its words.
    fn line(&self) -> String {
        if self.schema.name == "software_changes" {
            return software(self);
        }
        let says = |column: &str| matches!(column, "message" | "template" | "found");
        let own = ["template", "message"].iter().map(|column| self.text(column)).find(|text| !text.is_empty());
        let words = self.schema.columns.iter().zip(&self.values).filter(|(column, value)| {
            let is_words = column.r#type() == ColumnType::Text && !value.to_string().is_empty();
            is_words && may_tell(column) && !says(&column.name) && !is_identity(&column.name)
        });
        let words: Vec<String> = words.map(|(column, _value)| self.text(&column.name)).take(VALUES_MAX).collect();
        let all: Vec<String> = match own {
            Some(own) => words.into_iter().take(2).chain([own]).collect(),
            None => words,
        };
        let mut told: Vec<String> = Vec::new();
        for words in all {
            if !told.contains(&words) {
                told.push(words);
            }
        }
        told.join(" · ")
    }
}

/// Columns that tell machines and boots apart, and say nothing to a person.
fn is_identity(column: &str) -> bool {
    column == "id"
        || column.ends_with("_id")
        || matches!(column, "signature" | "example" | "known_from" | "source_file")
}

/// "cups 2.4.2 → 2.4.10".
fn software(row: &Row) -> String {
    let versions = [row.text("from_version"), row.text("to_version")];
    let versions: Vec<&str> = versions.iter().map(String::as_str).filter(|version| !version.is_empty()).collect();
    format!("{} {}", row.text("package"), versions.join(" → ")).trim().to_owned()
}

/// What was done to packages, as one says it.
fn done(action: &str) -> String {
    let word = match action {
        "install" => "installed",
        "upgrade" => "upgraded",
        "downgrade" => "downgraded",
        "reinstall" => "installed again",
        "remove" => "removed",
        "purge" => "purged",
        other => other,
    };
    word.to_owned()
}

/// Alike rows that happened close together are one moment.
fn group(gathered: &Gathered, schema: &TableSchema, rows: &[Row]) -> Vec<Moment> {
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        let fits = |group: &&mut Vec<&Row>| {
            let last = group.last().filter(|last| row.first_ms - last.first_ms <= TOGETHER_MS);
            last.is_some_and(|last| !row.theme().is_empty() && last.theme() == row.theme())
        };
        match groups.iter_mut().rev().find(fits) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups.iter().filter_map(|group| told(gathered, schema, group)).collect()
}

fn told(gathered: &Gathered, schema: &TableSchema, group: &[&Row]) -> Option<Moment> {
    let (first, last) = (group.first()?, group.last()?);
    let until_ms = group.iter().map(|row| row.last_ms).max().unwrap_or_default().min(gathered.window.to_ms);
    let lines: Vec<String> = group.iter().map(|row| row.line()).collect();
    let is_software = schema.name == "software_changes";
    let mut details: Vec<String> = lines.iter().take(DETAILS_MAX).cloned().collect();
    let text = match (lines.as_slice(), is_software) {
        ([one], false) => {
            details.clear();
            one.clone()
        }
        (_, true) => {
            let count =
                if lines.len() == 1 { "a package was".into() } else { format!("{} packages were", lines.len()) };
            let shown = lines.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
            let rest = if lines.len() > 3 { format!(" and {} more", lines.len() - 3) } else { String::new() };
            format!("{count} {}: {shown}{rest}", done(&first.theme()))
        }
        (_, false) => format!("{}, {} times; last: {}", first.theme(), lines.len(), last.line()),
    };
    if is_software {
        // The line names the first three; the others stand together, since nobody reads fifty lines of packages.
        details = lines.chunks(PACKAGES_MAX).take(1).filter(|all| all.len() > 3).map(|all| all.join(", ")).collect();
    }
    let told = if is_software { PACKAGES_MAX } else { DETAILS_MAX };
    if lines.len() > told {
        details.push(format!("and {} more", lines.len() - told));
    }
    let kind = match schema.name.as_str() {
        "error_signatures" => MomentKind::NewError,
        "software_changes" => MomentKind::Change,
        _ => MomentKind::Happened,
    };
    Some(Moment {
        at_ms: first.first_ms,
        until_ms: if until_ms > first.first_ms { until_ms } else { 0 },
        kind: kind.into(),
        device: gathered.name.clone(),
        family: schema.family,
        text,
        details,
        times: if is_software { lines.len() as u64 } else { group.iter().map(|row| row.times()).sum() },
        table: schema.name.clone(),
        ..Moment::default()
    })
}

/// A start of the machine, and how it ended.
fn starts(gathered: &Gathered, row: &Row) -> Vec<Moment> {
    let moment = |at_ms, severity: &str, text: String| Moment {
        at_ms,
        kind: MomentKind::Happened.into(),
        device: gathered.name.clone(),
        family: row.schema.family,
        severity: severity.into(),
        text,
        times: 1,
        table: row.schema.name.clone(),
        ..Moment::default()
    };
    let kernel = row.text("kernel");
    let kernel = if kernel.is_empty() { kernel } else { format!(", kernel {kernel}") };
    let began = row.number("wtmp_ms").or(row.number("first_ms")).map(|at_ms| at_ms + gathered.offset_ms);
    let mut moments = vec![moment(began.unwrap_or(row.first_ms), "", format!("the machine was started{kernel}"))];
    let ended = row.text("ended");
    if row.last_ms > row.first_ms && !matches!(ended.as_str(), "" | "running") {
        let badly = ended.starts_with("cut_off") || ended == "crashed";
        let why = [row.text("how"), row.text("reason"), row.text("last_message")];
        let why: Vec<&str> = why.iter().map(String::as_str).filter(|words| !words.is_empty()).collect();
        let why = if why.is_empty() { String::new() } else { format!(": {}", why.join(" · ")) };
        let ended = ended.replace('_', " ");
        moments.push(moment(
            row.last_ms,
            if badly { "critical" } else { "" },
            format!("the machine's run ended, {ended}{why}"),
        ));
    }
    moments.retain(|moment| moment.at_ms >= gathered.window.from_ms && moment.at_ms <= gathered.window.to_ms);
    moments
}

/// The sentences that probes ended with.
fn verdicts(gathered: &Gathered, looks: &Looks) -> Vec<Moment> {
    let schema = &looks.schema;
    if schema.kind() != Kind::Event {
        return Vec::new();
    }
    let mut moments = Vec::new();
    for look in looks.readings.iter().filter(|look| look.at_ms >= gathered.window.from_ms) {
        for row in &look.rows {
            let Ok(values) = rows::open(schema, row) else { continue };
            let row = Row { schema, values, first_ms: look.at_ms, last_ms: look.at_ms };
            let outcome = row.text("outcome");
            if row.text("step") != "verdict" {
                continue;
            }
            let found = row.value("found").map(|found| show::printable(&found.to_string())).unwrap_or_default();
            let target = row.text("target");
            let target = if target.is_empty() { target } else { format!("{target} ") };
            moments.push(Moment {
                at_ms: look.at_ms,
                kind: MomentKind::Probed.into(),
                device: gathered.name.clone(),
                family: schema.family,
                severity: if outcome == "failed" { "warning".into() } else { String::new() },
                text: format!("{target}{outcome}: {found}"),
                times: 1,
                table: schema.name.clone(),
                ..Moment::default()
            });
        }
    }
    moments
}
