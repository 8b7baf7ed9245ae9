//! What differs between two devices: the rows of their state tables by key; what tells any device from another is left out.

use std::collections::{BTreeMap, BTreeSet};

use deskside_proto::changes::{self, Change, saw};
use deskside_proto::rows::Value;
use deskside_proto::v1::{
    AskRequest, Family, GetDeviceRequest, Kind, Reading, Sensitivity, ShowRequest, TableSchema, Unit,
};
use deskside_proto::{catalog, show};
use serde_json::{Value as Json, json};

use crate::cli::connect::Desk;
use crate::cli::screen::{self, Line, Screen};
use crate::cli::{shape, sheet, tables};

/// Differences of one table that are told one by one, unless it is asked for by name.
const DIFFERENCES_MAX: usize = 20;

/// How long a fresh look may take.
const DEADLINE_MS: u32 = 30_000;

/// The two.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) one: String,
    pub(super) other: String,
}

/// What is found.
#[derive(Debug, Default)]
struct Found {
    /// By table; those that are alike are not here.
    differ: Vec<(TableSchema, Vec<Change>)>,
    alike: usize,
    /// Tables left out since their rows are told apart by what belongs to one device.
    left_out: Vec<String>,
    /// Table and why it can not be compared.
    unseen: Vec<(String, String)>,
}

pub(super) async fn run(
    desk: &mut Desk,
    screen: Screen,
    pair: Pair,
    table: Option<&str>,
    all: bool,
    live: bool,
) -> anyhow::Result<()> {
    let schemas = tables::schemas(desk).await?;
    let is_wanted = |schema: &TableSchema| match table {
        Some(name) => schema.name == name,
        None => schema.kind() == Kind::State,
    };
    let wanted: BTreeMap<String, TableSchema> =
        schemas.into_iter().filter(|(_name, schema)| is_wanted(schema)).collect();
    if wanted.is_empty() {
        let what = format!("no table \"{}\"", table.unwrap_or_default());
        return Err(crate::cli::trouble::Trouble::new(what, "`deskside tables` lists them").into());
    }
    let bar = screen::spinner("reading both devices");
    let one = readings(desk, &pair.one, &wanted, live).await?;
    let other = readings(desk, &pair.other, &wanted, live).await?;
    bar.finish_and_clear();
    let found = compare(&wanted, &one, &other, all || table.is_some(), all)?;
    if screen.json {
        return Ok(screen.value(&shape_of(&pair, &found))?);
    }
    lines(&pair, &found, table.is_some()).into_iter().try_for_each(|line| screen.line(line))?;
    Ok(())
}

async fn readings(
    desk: &mut Desk,
    device: &str,
    wanted: &BTreeMap<String, TableSchema>,
    live: bool,
) -> anyhow::Result<BTreeMap<String, Reading>> {
    let mut found = BTreeMap::new();
    if live {
        let tables: Vec<String> = wanted.keys().filter(|name| catalog::table(name).is_some()).cloned().collect();
        let request = AskRequest { device: device.to_owned(), tables, deadline_ms: DEADLINE_MS };
        let mut answers = desk.ask(request).await?.into_inner();
        while let Some(answer) = tables::next(&mut answers).await? {
            found.extend(answer.readings.into_iter().map(|reading| (reading.table.clone(), reading)));
        }
        return Ok(found);
    }
    let known = desk.get_device(GetDeviceRequest { device: device.to_owned() }).await?.into_inner();
    for table in known.tables.into_iter().filter(|state| wanted.contains_key(&state.table)) {
        let request = ShowRequest { device: device.to_owned(), table: table.table, at_ms: 0 };
        let reading = desk.show(request).await?.into_inner().reading;
        found.extend(reading.map(|reading| (reading.table.clone(), reading)));
    }
    Ok(found)
}

/// `keyed` keeps tables whose rows are told apart by what belongs to one device; `all` keeps columns that do.
fn compare(
    wanted: &BTreeMap<String, TableSchema>,
    one: &BTreeMap<String, Reading>,
    other: &BTreeMap<String, Reading>,
    keyed: bool,
    all: bool,
) -> anyhow::Result<Found> {
    let mut found = Found::default();
    for schema in wanted.values() {
        let (one, other) = match (one.get(&schema.name), other.get(&schema.name)) {
            (None, None) => continue,
            (Some(one), Some(other)) if saw(one.outcome()) && saw(other.outcome()) => (one, other),
            (one, other) => {
                let why = [one, other].map(|reading| reading.map_or("not known".into(), said)).join("; ");
                found.unseen.push((schema.name.clone(), why));
                continue;
            }
        };
        if !keyed && schema.columns.iter().any(|column| catalog::options(column).key && is_of_one(column)) {
            found.left_out.push(schema.name.clone());
            continue;
        }
        let schema = if all { schema.clone() } else { without_identity(schema) };
        let differ = changes::between(&schema, &one.rows, &other.rows)?;
        if differ.is_empty() {
            found.alike += 1;
        } else {
            found.differ.push((schema, differ));
        }
    }
    found.differ.sort_by_key(|(schema, _differ)| (schema.family() as i32, schema.name.clone()));
    Ok(found)
}

fn said(reading: &Reading) -> String {
    if saw(reading.outcome()) { "seen".into() } else { sheet::words(reading.outcome(), &reading.reason) }
}

/// Whether a column tells one device from another whatever their state: serials, addresses, names, persons, times.
fn is_of_one(column: &deskside_proto::v1::ColumnSchema) -> bool {
    let options = catalog::options(column);
    !matches!(options.sensitivity(), Sensitivity::Public) || options.unit() == Unit::UnixMs
}

/// The table with such columns marked as noise, which no comparison heeds.
fn without_identity(schema: &TableSchema) -> TableSchema {
    let mut schema = schema.clone();
    for column in &mut schema.columns {
        if is_of_one(column) && !catalog::options(column).key {
            column.options.get_or_insert_default().noise = true;
        }
    }
    schema
}

fn lines(pair: &Pair, found: &Found, named: bool) -> Vec<Line> {
    let mut lines = vec![Line::default().bold(format!("{} | {}", pair.one, pair.other))];
    let mut family = Family::Unspecified;
    for (schema, differ) in &found.differ {
        if schema.family() != family {
            family = schema.family();
            lines.push(Line::default().bold(shape::family(family)));
        }
        lines.push(Line::default().plain("  ").bold(&schema.name));
        if differ.len() > DIFFERENCES_MAX && !named {
            lines.push(Line::default().plain("    ").plain(counted(pair, differ)));
            let advice = format!("    `deskside diff {} {} --table {}` shows them", pair.one, pair.other, schema.name);
            lines.push(Line::default().dim(advice));
            continue;
        }
        lines.extend(differ.iter().map(|change| line(pair, change)));
    }
    let tables: BTreeSet<&str> = found.differ.iter().map(|(schema, _differ)| schema.name.as_str()).collect();
    lines.push(Line::default().dim(format!("{} tables differ, {} are alike", tables.len(), found.alike)));
    if !found.left_out.is_empty() {
        let words = format!("left out, since each device has its own: {}; --all shows them", found.left_out.join(", "));
        lines.push(Line::default().dim(words));
    }
    let unseen = found.unseen.iter();
    lines.extend(
        unseen.map(|(table, why)| Line::default().warn(format!("not compared: {table}")).plain(format!(": {why}"))),
    );
    lines
}

fn line(pair: &Pair, change: &Change) -> Line {
    let line = Line::default().plain("    ");
    match (change.column.as_str(), &change.old, &change.new) {
        ("", Value::Null, _) => line.plain(&change.key).dim(format!("  only on {}", pair.other)),
        ("", ..) => line.plain(&change.key).dim(format!("  only on {}", pair.one)),
        (column, old, new) => {
            let value = |value: &Value| match show::printable(&value.to_string()) {
                text if text.is_empty() => "-".to_owned(),
                text => text,
            };
            line.plain(&change.key).dim(format!(" {column}: ")).plain(format!("{} | {}", value(old), value(new)))
        }
    }
}

fn counted(pair: &Pair, differ: &[Change]) -> String {
    let whole = differ.iter().filter(|change| change.column.is_empty());
    let (other, one): (Vec<&Change>, Vec<&Change>) = whole.partition(|change| change.old == Value::Null);
    let columns = differ.len() - one.len() - other.len();
    let (mine, theirs) = (one.len(), other.len());
    format!("{mine} rows only on {}, {theirs} only on {}, {columns} values differ", pair.one, pair.other)
}

/// `one, other, tables, alike, left_out, unseen`; a table has `table, family, only_one, only_other, differ`.
fn shape_of(pair: &Pair, found: &Found) -> Json {
    let table = |(schema, differ): &(TableSchema, Vec<Change>)| {
        let keys = |other: bool| {
            let whole = differ.iter().filter(|change| change.column.is_empty());
            whole
                .filter(|change| (change.old == Value::Null) == other)
                .map(|change| change.key.clone())
                .collect::<Vec<_>>()
        };
        let values = differ.iter().filter(|change| !change.column.is_empty()).map(|change| {
            let (one, other) = (show::json_value(&change.old), show::json_value(&change.new));
            json!({ "key": change.key, "column": change.column, "one": one, "other": other })
        });
        json!({
            "table": schema.name, "family": shape::family(schema.family()), "only_one": keys(false),
            "only_other": keys(true), "differ": values.collect::<Vec<_>>(),
        })
    };
    let unseen = found.unseen.iter().map(|(table, why)| json!({ "table": table, "why": why }));
    json!({
        "one": pair.one, "other": pair.other, "tables": found.differ.iter().map(table).collect::<Vec<_>>(),
        "alike": found.alike, "left_out": found.left_out, "unseen": unseen.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use deskside_proto::rows::Row;
    use deskside_proto::v1::{Address, Disk, Outcome, Package};

    use super::*;

    fn reading<R: Row>(outcome: Outcome, rows: &[R]) -> (String, Reading) {
        let rows = rows.iter().map(|row| row.encode_to_vec().into()).collect();
        (R::TABLE.into(), Reading { table: R::TABLE.into(), outcome: outcome.into(), rows, ..Reading::default() })
    }

    fn machine(serial: &str, cups: &str, seen: Outcome) -> BTreeMap<String, Reading> {
        let disk = Disk { name: "sda".into(), serial: serial.into(), firmware: cups.into(), ..Disk::default() };
        let package =
            Package { name: "cups".into(), version: cups.into(), installed_ms: Some(7), ..Package::default() };
        let address = Address { interface: "eth0".into(), address: serial.into(), ..Address::default() };
        [reading(Outcome::Ok, &[disk]), reading(seen, &[package]), reading(Outcome::Ok, &[address])].into()
    }

    fn compared(all: bool, seen: Outcome) -> Found {
        let wanted =
            ["disks", "packages", "addresses"].map(|name| (name.to_owned(), catalog::table(name).unwrap().clone()));
        compare(&wanted.into(), &machine("A1", "2.4", Outcome::Ok), &machine("B2", "2.5", seen), all, all).unwrap()
    }

    fn said(found: &Found) -> String {
        let pair = Pair { one: "anna".into(), other: "ben".into() };
        let lines: Vec<String> = lines(&pair, found, false).iter().map(ToString::to_string).collect();
        anstream::adapter::strip_str(&lines.join("\n")).to_string()
    }

    #[test]
    fn serials_and_addresses_are_left_out_unless_all_is_asked_for() {
        let text = said(&compared(false, Outcome::Ok));
        assert!(text.contains("sda firmware: 2.4 | 2.5") && text.contains("cups version: 2.4 | 2.5"), "{text}");
        assert!(!text.contains("A1") && text.contains("left out, since each device has its own: addresses"), "{text}");
        let text = said(&compared(true, Outcome::Ok));
        assert!(text.contains("sda serial: A1 | B2") && text.contains("eth0 A1  only on anna"), "{text}");
    }

    #[test]
    fn what_was_not_seen_is_not_alike() {
        let text = said(&compared(false, Outcome::Denied));
        assert!(text.contains("not compared: packages: seen; not seen (denied)"), "{text}");
    }
}
