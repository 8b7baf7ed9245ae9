//! What changed in a device's state tables, look by look, in the words of the catalogue.

use std::collections::BTreeMap;

use deskside_proto::changes::{Change, Walk, saw};
use deskside_proto::rows::Value;
use deskside_proto::v1::{ColumnSchema, Kind, Moment, MomentKind, Outcome, Sensitivity, TableSchema, Unit};
use deskside_proto::{catalog, show};

use super::gathered::{Gathered, Looks};

/// Changes of one table that are told one by one; of more, how often it changed.
const MOMENTS_OF_TABLE_MAX: usize = 12;

/// Rows of one change that its line names.
const NAMED_MAX: usize = 3;

/// Rows of one change that are told at all; the rest are counted.
const ROWS_MAX: usize = 20;

/// Columns of one row that are told.
const COLUMNS_MAX: usize = 4;

/// Longest text of one value, in characters.
const VALUE_CHARS_MAX: usize = 60;

/// The changes of all state tables but those whose rows have times of their own.
pub(super) fn moments(gathered: &Gathered) -> Vec<Moment> {
    let told = gathered.tables.values().filter(|looks| looks.schema.kind() == Kind::State);
    let told = told.filter(|looks| !super::happened::has_times(&looks.schema));
    let told = told.filter(|looks| !is_told_better(&looks.schema.name, gathered));
    told.flat_map(|looks| of_table(gathered, looks)).collect()
}

/// Tables whose changes another table tells with their own time: packages come with their day's log, starts with the list of them.
fn is_told_better(table: &str, gathered: &Gathered) -> bool {
    let seen = |other: &str| {
        gathered
            .tables
            .get(other)
            .is_some_and(|looks| looks.readings.iter().any(|look| saw(look.outcome()) && !look.rows.is_empty()))
    };
    match table {
        "packages" => seen("software_changes"),
        "boot" => seen("boots"),
        _ => false,
    }
}

fn of_table(gathered: &Gathered, looks: &Looks) -> Vec<Moment> {
    let schema = &looks.schema;
    let (mut walk, mut moments) = (Walk::default(), Vec::new());
    for look in &looks.readings {
        let at_ms = look.at_ms;
        // A row that cannot be opened was said to be so when it came in.
        let Ok(changes) = walk.step(schema, look.clone()) else { continue };
        let changes = rows(schema, changes);
        if changes.is_empty() || at_ms < gathered.window.from_ms || at_ms > gathered.window.to_ms {
            continue;
        }
        moments.push(moment(gathered, schema, at_ms, &changes));
    }
    if moments.len() > MOMENTS_OF_TABLE_MAX {
        return vec![often(gathered, schema, &moments)];
    }
    moments
}

/// What became of one row.
enum Fate {
    Came,
    Went,
    /// Column, before, after.
    Changed(Vec<(String, String, String)>),
    /// The table itself: how looks at it went, before and after.
    Outcome(String, String),
}

/// By row, in the order of the keys. A row of which nothing can be told has not changed.
fn rows(schema: &TableSchema, changes: Vec<Change>) -> Vec<(String, Fate)> {
    let mut rows: BTreeMap<String, Fate> = BTreeMap::new();
    for change in changes {
        let Change { key, column, old, new } = change;
        if column.is_empty() {
            let fate = if old == Value::Null { Fate::Came } else { Fate::Went };
            rows.insert(key, fate);
        } else if key.is_empty() && column == "outcome" {
            // What the machine turns out not to have, or to have again, is no change of it.
            let (old, new) = (old.to_string(), new.to_string());
            let absent = show::outcome(Outcome::Unsupported);
            if old != absent && new != absent {
                rows.insert(key, Fate::Outcome(old, new));
            }
        } else if old != Value::Null
            // What has become known may have been so all the time.
            && let Some(column) = schema.columns.iter().find(|known| known.name == column && may_tell(known))
        {
            let told = (column.name.clone(), value(column, &old), value(column, &new));
            if let Fate::Changed(columns) = rows.entry(key).or_insert_with(|| Fate::Changed(Vec::new()))
                && columns.len() < COLUMNS_MAX
            {
                columns.push(told);
            }
        }
    }
    rows.into_iter().map(|(key, fate)| (show::printable(&cut(&key)), fate)).collect()
}

/// A time of the row's own says no more than the moment does, and what tells of persons stays out of a case file.
pub(super) fn may_tell(column: &ColumnSchema) -> bool {
    let options = catalog::options(column);
    let closed = matches!(options.sensitivity(), Sensitivity::Personal | Sensitivity::Secret | Sensitivity::Content);
    !closed && options.unit() != Unit::UnixMs
}

fn value(column: &ColumnSchema, value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Text(text) => cut(&show::printable(text)),
        other => cut(&show::human(column, other, 0)),
    }
}

/// Text within its bound.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _char)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn moment(gathered: &Gathered, schema: &TableSchema, at_ms: i64, rows: &[(String, Fate)]) -> Moment {
    let mut lines: Vec<String> = rows.iter().take(ROWS_MAX).map(|(key, fate)| line(key, fate)).collect();
    let more = rows.len().saturating_sub(ROWS_MAX);
    if more > 0 {
        lines.push(format!("and {more} more rows"));
    }
    let (text, details) = match lines.as_slice() {
        [one] => (one.clone(), Vec::new()),
        _ => (summary(rows), lines),
    };
    Moment {
        at_ms,
        kind: MomentKind::Change.into(),
        device: gathered.name.clone(),
        family: schema.family,
        text,
        details,
        times: rows.len() as u64,
        table: schema.name.clone(),
        ..Moment::default()
    }
}

fn line(key: &str, fate: &Fate) -> String {
    let named = |text: String| if key.is_empty() { text } else { format!("{key}: {text}") };
    match fate {
        Fate::Came => format!("{} is new", if key.is_empty() { "a row" } else { key }),
        Fate::Went => format!("{} is gone", if key.is_empty() { "a row" } else { key }),
        Fate::Outcome(before, after) => format!("looks at it went from {before} to {after}"),
        Fate::Changed(columns) => {
            let told = columns.iter().map(|(column, before, after)| match (before.as_str(), after.as_str()) {
                ("", after) => format!("{column} {after}"),
                (before, "") => format!("{column} {before} → nothing"),
                (before, after) => format!("{column} {before} → {after}"),
            });
            named(told.collect::<Vec<_>>().join(", "))
        }
    }
}

/// "3 changed (version): cups 2.4.2 → 2.4.10, …; 1 new: lp2; 2 gone: a, b".
fn summary(rows: &[(String, Fate)]) -> String {
    let listed = |names: Vec<String>| {
        let (count, more) = (names.len(), names.len().saturating_sub(NAMED_MAX));
        let shown: Vec<String> = names.into_iter().take(NAMED_MAX).collect();
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        (count, format!("{}{rest}", shown.join(", ")))
    };
    let of = |wanted: fn(&Fate) -> bool| rows.iter().filter(move |(_key, fate)| wanted(fate));
    let keys = |wanted: fn(&Fate) -> bool| of(wanted).map(|(key, _fate)| key.clone()).collect::<Vec<_>>();
    let mut parts = Vec::new();
    let changed: Vec<String> =
        of(|fate| matches!(fate, Fate::Changed(_) | Fate::Outcome(..))).map(|(key, fate)| line(key, fate)).collect();
    for (names, word) in [
        (changed, "changed"),
        (keys(|fate| matches!(fate, Fate::Came)), "new"),
        (keys(|fate| matches!(fate, Fate::Went)), "gone"),
    ] {
        if !names.is_empty() {
            let (count, names) = listed(names);
            parts.push(format!("{count} {word}: {names}"));
        }
    }
    parts.join("; ")
}

/// One line for a table that changes all the time.
fn often(gathered: &Gathered, schema: &TableSchema, moments: &[Moment]) -> Moment {
    let at = |moment: Option<&Moment>| moment.map_or(0, |moment| moment.at_ms);
    let last = moments.last();
    Moment {
        at_ms: at(moments.first()),
        until_ms: at(last),
        kind: MomentKind::Change.into(),
        device: gathered.name.clone(),
        family: schema.family,
        text: format!(
            "changed {} times; last: {}",
            moments.len(),
            last.map(|last| last.text.as_str()).unwrap_or_default()
        ),
        times: moments.len() as u64,
        table: schema.name.clone(),
        ..Moment::default()
    }
}
