//! Each rule on rows that it must find, and on rows like them that it must leave alone. One file a topic, one line a file in [`samples`].
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use deskside_proto::v1::Finding;
use deskside_server::diagnose::rules::{self, check_rule};
use serde_json::{Value, json};

mod board;
mod capture;
mod devices;
mod links;
mod logs;
mod machine;
mod network;
mod network_setup;
mod print_devices;
mod printing;
mod probes;
mod reach;
mod service_probes;
mod software;
mod storage;
mod system;
mod wifi;

/// Rule, rows that it must find once, what the title must hold, and rows that it must leave alone.
struct Sample {
    rule: &'static str,
    finds: Value,
    title: &'static str,
    passes: Vec<Value>,
}

fn sample(rule: &'static str, finds: Value, title: &'static str, passes: Vec<Value>) -> Sample {
    Sample { rule, finds, title, passes }
}

#[expect(clippy::needless_pass_by_value, reason = "a made-up row reads best where it is used")]
fn row(table: &str, row: Value) -> Value {
    json!({ table: [row] })
}

fn samples() -> Vec<Sample> {
    let topics = [
        board::samples(),
        capture::samples(),
        devices::samples(),
        links::samples(),
        logs::samples(),
        machine::samples(),
        network_setup::samples(),
        print_devices::samples(),
        probes::samples(),
        reach::samples(),
        service_probes::samples(),
        software::samples(),
        storage::samples(),
        system::samples(),
        wifi::samples(),
    ];
    topics.into_iter().flatten().collect()
}

fn ask(rule: &str, tables: &Value) -> Vec<Finding> {
    check_rule(rule, tables).unwrap()
}

/// The rule finds this, once, with this in the title.
fn finds(rule: &str, tables: &Value, title: &str) {
    let found = ask(rule, tables);
    assert_eq!(found.len(), 1, "{rule} on {tables}: {found:#?}");
    let told = &found[0];
    assert!(told.title.contains(title), "{rule}: {:?} lacks {title:?}", told.title);
    for text in [&told.title, &told.cause, &told.next_step] {
        assert!(!text.contains('{') && !text.is_empty(), "{rule}: {text}");
    }
}

fn passes(rule: &str, tables: &Value) {
    assert_eq!(ask(rule, tables), [], "{rule} on {tables}");
}

#[test]
fn each_rule_finds_what_it_is_for() {
    for Sample { rule, finds: tables, title, .. } in samples() {
        finds(rule, &tables, title);
    }
}

#[test]
fn each_rule_leaves_alone_what_only_looks_like_it() {
    for Sample { rule, passes: look_alikes, .. } in samples() {
        assert!(!look_alikes.is_empty(), "{rule} has nothing that it must leave alone");
        for tables in look_alikes {
            passes(rule, &tables);
        }
    }
}

#[test]
fn no_rule_is_untried() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules");
    let files = fs::read_dir(folder).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let tried: String = files.collect();
    let untried = rules::all().iter().filter(|rule| !tried.contains(&format!("\"{}\"", rule.id)));
    assert_eq!(untried.map(|rule| rule.id.as_str()).collect::<Vec<_>>(), Vec::<&str>::new());
}
