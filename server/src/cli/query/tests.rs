//! Each query finds the row that it is for, and nothing on a machine of which nothing is told.

mod hardware;
mod network;
mod printing;
mod system;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deskside_proto::sql::{self, Bounds, Brake, Owner, Shelf, Source};
use deskside_proto::v1::cell::Value as Kind;
use deskside_proto::v1::{Outcome, Query as Question, QueryPart, Reading, Sight, TableSchema};
use deskside_proto::{catalog, json_row};
use serde_json::Value as Json;

use super::files::FILES;
use super::library::Named;

/// The time at which is asked: 2026-01-15 12:00 UTC.
pub(super) const NOW: i64 = 1_768_478_400_000;

pub(super) const HOUR: i64 = 3_600_000;

/// A query, a word of the row that it finds, and tables of rows. A row's `_ago_h` is how many hours ago it was read; rows of one time are one
/// reading.
pub(super) type Sample = (&'static str, &'static str, Json);

fn named(name: &str) -> Named {
    let (name, text) = FILES.iter().find(|(known, _text)| *known == name).unwrap_or_else(|| panic!("no query {name}"));
    Named::read(name, text).unwrap()
}

/// Every table of the catalogue was looked at; those that are not told are empty.
fn readings(tables: &Json) -> Vec<Reading> {
    let mut all = Vec::new();
    for schema in catalog::tables() {
        let mut by_time: BTreeMap<i64, Vec<_>> = BTreeMap::from([(NOW, Vec::new())]);
        for row in tables[&schema.name].as_array().into_iter().flatten() {
            let row = row.as_object().unwrap();
            let unknown = row.keys().find(|name| !name.starts_with('_') && catalog::column(schema, name).is_none());
            assert!(unknown.is_none(), "{} has no column {unknown:?}", schema.name);
            let ago_h = row.get("_ago_h").and_then(Json::as_i64).unwrap_or_default();
            by_time.entry(NOW - ago_h * HOUR).or_default().push(json_row::seal(schema, row).unwrap().into());
        }
        if by_time.len() > 1 && by_time.get(&NOW).is_some_and(Vec::is_empty) {
            by_time.remove(&NOW);
        }
        all.extend(by_time.into_iter().map(|(at_ms, rows)| Reading {
            table: schema.name.clone(),
            at_ms,
            outcome: Outcome::Ok.into(),
            rows,
            ..Reading::default()
        }));
    }
    all
}

fn asked(name: &str, tables: &Json, many: bool) -> Vec<String> {
    let named = named(name);
    let known: Vec<Arc<TableSchema>> = catalog::tables().iter().cloned().map(Arc::new).collect();
    let readings = readings(tables);
    let load = move |schema: &TableSchema| {
        let owner = |name: &str| {
            many.then(|| Arc::new(Owner { id: format!("{name}-id"), name: name.into(), ..Owner::default() }))
        };
        let mine = readings.iter().filter(|reading| reading.table == schema.name);
        let of = |name: &'static str| mine.clone().map(move |reading| (owner(name), reading.clone()));
        Ok(of("anna").chain(many.then(|| of("ben")).into_iter().flatten()).collect())
    };
    let source: Arc<dyn Source> = Arc::new(Shelf::new(NOW, known, many, Box::new(load)));
    let question = Question {
        sql: named.sql_for(many),
        parameters: named.params.into_iter().collect(),
        sight: Some(Sight { personal: true, content: true }),
        ..Question::default()
    };
    let brake = Arc::new(Brake::new(Instant::now() + Duration::from_mins(2)));
    let mut parts: Vec<QueryPart> = Vec::new();
    let ended = sql::answer(&source, &question, Bounds::default(), &brake, &mut |part| {
        parts.push(part);
        true
    });
    assert!(ended.is_ok(), "{name}: {ended:?}");
    let cell = |cell: &deskside_proto::v1::Cell| match &cell.value {
        None => "-".to_owned(),
        Some(Kind::Integer(number)) => number.to_string(),
        Some(Kind::Real(number)) => number.to_string(),
        Some(Kind::Text(text)) => text.clone(),
        Some(Kind::Blob(bytes)) => format!("{bytes:?}"),
    };
    let rows = parts.iter().flat_map(|part| &part.rows);
    rows.map(|row| row.cells.iter().map(cell).collect::<Vec<_>>().join("|")).collect()
}

/// Each finds its row, of one device and of many, and only that row.
pub(super) fn find(samples: Vec<Sample>) {
    for (name, word, tables) in samples {
        if !named(name).of_fleet {
            let one = asked(name, &tables, false);
            assert!(one.len() == 1 && one[0].contains(word), "{name}: {one:#?}");
        }
        let many = asked(name, &tables, true);
        assert!(many.iter().any(|row| row.contains(word)), "{name} of many: {many:#?}");
    }
}

#[test]
fn every_query_has_a_sample_and_finds_nothing_on_an_empty_machine() {
    let samples = [printing::samples(), hardware::samples(), network::samples(), system::samples()].concat();
    for (name, _text) in FILES {
        assert!(samples.iter().any(|(sample, ..)| sample == name), "{name} has no sample");
        let rows = asked(name, &Json::Null, named(name).of_fleet);
        assert!(rows.is_empty(), "{name}: {rows:?}");
    }
}
