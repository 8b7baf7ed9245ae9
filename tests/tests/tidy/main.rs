//! The house is tidy: rooms know only rooms before them, lists are whole, files and functions are short, and words are those of the design.

mod bad;
mod readme;
mod rules;
mod scan;

use std::fs;
use std::path::{Path, PathBuf};

use deskside_agent::{collect, probe};
use deskside_proto::catalog;

use rules::Source;

/// Folders that hold no text of ours: what is built, and what other machines said.
const NOT_OURS: &[&str] = &["target", ".git", "tests/hosts", "agent/tests", "Cargo.lock"];

/// This folder names what it forbids.
const ITSELF: &str = "tests/tests/tidy/";

/// Tables that no collector reads, and why.
const WITHOUT_COLLECTOR: &[(&str, &str)] = &[
    ("losses", "the record itself writes down what it had to drop"),
    ("consents", "written down as it is asked and decided"),
    ("disclosures", "written down as each question, look and collection is asked"),
    ("questions", "written down as each question in SQL ends"),
    ("devices", "the server tells it; no machine knows the others"),
];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a member of the workspace").to_owned()
}

fn sources() -> Vec<Source> {
    let top = top();
    let (mut folders, mut sources) = (vec![top.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of ours").map(|entry| entry.expect("an entry of it")) {
            let path = rules::from_top(&top, &entry.path());
            if NOT_OURS.contains(&path.as_str()) {
                continue;
            }
            if entry.file_type().expect("a type").is_dir() {
                folders.push(entry.path());
            } else if let Ok(text) = fs::read_to_string(entry.path()) {
                sources.push(Source { path, text });
            }
        }
    }
    assert!(sources.len() > 50, "the sources were not found under {}", top.display());
    sources
}

fn check(rule: impl Fn(&Source) -> Vec<String>, applies: impl Fn(&Source) -> bool) {
    let wrong: Vec<String> = sources().iter().filter(|source| applies(source)).flat_map(rule).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn rooms_know_only_rooms_before_them() {
    check(rules::corridor, Source::is_rust);
}

#[test]
fn files_and_functions_are_short() {
    check(rules::lengths, Source::is_rust);
}

#[test]
fn every_file_says_what_it_is_for() {
    check(rules::opening, Source::is_rust);
}

#[test]
fn systems_differ_behind_the_door_alone() {
    check(rules::door, Source::is_rust);
}

#[test]
fn collectors_reach_the_machine_through_the_door_alone() {
    check(rules::looks, Source::is_rust);
}

#[test]
fn names_say_what_things_are() {
    check(rules::names, Source::is_rust);
}

#[test]
fn nothing_unfinished_and_no_machine_is_named() {
    let read = |source: &Source| source.is_rust() || source.is("md");
    check(rules::words, |source| read(source) && !source.path.starts_with(ITSELF));
    check(rules::machines, |source| !source.path.starts_with(ITSELF));
}

#[test]
fn the_top_level_is_the_fixed_list() {
    let names = fs::read_dir(top()).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let wrong = rules::top(&names.collect::<Vec<_>>());
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn every_collector_is_on_the_list() {
    let list = fs::read_to_string(top().join("agent/src/collect/mod.rs")).unwrap();
    check(|source| rules::unlisted(source, &list), Source::is_rust);
}

#[test]
fn every_table_has_a_collector_a_probe_or_a_reason() {
    let tables: Vec<&str> = catalog::tables().iter().map(|table| table.name.as_str()).collect();
    let read: Vec<&str> = collect::ALL.iter().map(|collector| collector.table).collect();
    let read = [read, probe::ALL.iter().map(|probe| probe.table).collect()].concat();
    let wrong = rules::unread(&tables, &read, WITHOUT_COLLECTOR);
    assert!(wrong.is_empty(), "{wrong:?}");
}
