//! Every collector on every recorded host, against what was seen and accepted before. New collectors and new hosts join by themselves;
//! after reading the difference, accept it with `INSTA_UPDATE=always`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use deskside_agent::collect::{Collector, Registry, look};
use deskside_agent::host::Recorded;
use deskside_proto::rows;
use deskside_proto::show;
use deskside_proto::v1::{Outcome, Reading, TableSchema};

/// Rows of one table that a golden holds; how many more there were is said.
const ROWS_MAX: usize = 60;

fn hosts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/hosts");
    let mut hosts: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    hosts.retain(|host| host.join("host.json").is_file());
    hosts.sort();
    hosts
}

/// Outcome and reason, then a paragraph a row with the columns that are known.
fn text(schema: &TableSchema, reading: &Reading) -> String {
    let mut text = show::outcome(reading.outcome()).to_owned();
    if !reading.reason.is_empty() {
        write!(text, ": {}", reading.reason).unwrap();
    }
    text.push('\n');
    for row in reading.rows.iter().take(ROWS_MAX) {
        text.push('\n');
        for (column, value) in schema.columns.iter().zip(rows::open(schema, row).unwrap()) {
            let mut plain = value.to_string();
            if schema.name == "agent" && column.name == "version" {
                plain = "this one".into();
            }
            if !plain.is_empty() {
                writeln!(text, "{}: {}", column.name, show::printable(&plain)).unwrap();
            }
        }
    }
    if reading.rows.len() > ROWS_MAX {
        writeln!(text, "\n{} rows in all", reading.rows.len()).unwrap();
    }
    text
}

fn see(host: &Recorded, collector: &Collector, registry: &Registry) -> (Reading, String) {
    let reading = look(collector, host);
    let text = text(registry.schema(collector.table).unwrap(), &reading);
    (reading, text)
}

#[test]
fn every_collector_says_of_every_recorded_host_what_it_said_before() {
    let registry = Registry::standard();
    let hosts = hosts();
    assert!(hosts.len() >= 4, "recorded hosts are missing: {hosts:?}");
    let mut differing = Vec::new();
    for folder in &hosts {
        let host = Recorded::open(folder).unwrap();
        for collector in registry.collectors() {
            let (_reading, text) = see(&host, collector, &registry);
            let mut settings = insta::Settings::clone_current();
            settings.set_snapshot_path(fs::canonicalize(folder).unwrap().join("golden"));
            settings.set_prepend_module_to_snapshot(false);
            settings.set_omit_expression(true);
            let compared = catch_unwind(AssertUnwindSafe(|| {
                settings.bind(|| insta::assert_snapshot!(collector.table, text));
            }));
            if compared.is_err() {
                differing.push(format!("{}/golden/{}.snap", folder.display(), collector.table));
            }
        }
    }
    assert!(differing.is_empty(), "not as before:\n{}", differing.join("\n"));
}

#[test]
fn a_look_that_is_not_ok_says_why_and_a_look_never_invents_rows() {
    let registry = Registry::standard();
    for folder in &hosts() {
        let host = Recorded::open(folder).unwrap();
        for collector in registry.collectors() {
            let reading = look(collector, &host);
            let fine = matches!(reading.outcome(), Outcome::Ok | Outcome::Empty);
            let place = format!("{} on {}", collector.table, folder.display());
            assert_eq!(reading.reason.is_empty(), fine, "{place}: {:?} {:?}", reading.outcome(), reading.reason);
            assert_eq!(reading.outcome() == Outcome::Ok, fine && !reading.rows.is_empty(), "{place}");
        }
    }
}

#[test]
fn the_same_host_says_the_same_twice() {
    let registry = Registry::standard();
    for folder in &hosts() {
        let host = Recorded::open(folder).unwrap();
        for collector in registry.collectors() {
            assert_eq!(look(collector, &host), look(collector, &host), "{} on {}", collector.table, folder.display());
        }
    }
}
