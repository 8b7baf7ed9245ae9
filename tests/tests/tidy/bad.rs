//! Each rule of the house, broken on purpose: a rule that cannot fail is a wish.

use crate::rules::{self, Source};

fn source(path: &str, text: &str) -> Source {
    Source { path: path.into(), text: text.into() }
}

#[test]
fn a_room_that_names_a_later_one_is_caught() {
    let back = source("agent/src/collect/system/boot.rs", "use crate::{host, record::Record};");
    assert_eq!(rules::corridor(&back).len(), 1);
    assert!(rules::corridor(&source("agent/src/record/mod.rs", "use crate::collect::Registry;")).is_empty());
    assert_eq!(rules::corridor(&source("server/src/store/mod.rs", "fn x() { crate::case::open() }")).len(), 1);
}

#[test]
fn a_room_that_nobody_planned_is_caught() {
    assert_eq!(rules::corridor(&source("agent/src/misc.rs", "")).len(), 1);
}

#[test]
fn the_command_line_knows_nothing_of_the_server() {
    assert_eq!(rules::corridor(&source("server/src/cli/mod.rs", "use crate::store::Db;")).len(), 1);
    assert!(rules::corridor(&source("server/src/cli/mod.rs", "use crate::cli::screen;")).is_empty());
}

#[test]
fn long_files_and_functions_are_caught() {
    assert_eq!(rules::lengths(&source("a.rs", &"\n".repeat(501))).len(), 1);
    let long = format!("fn long() {{\n{}}}\n", "    step();\n".repeat(71));
    assert_eq!(rules::lengths(&source("a.rs", &long)).len(), 1);
    let fits = format!("fn fits() {{\n{}}}\n", "    step();\n\n    // why\n".repeat(70));
    assert!(rules::lengths(&source("a.rs", &fits)).is_empty());
}

#[test]
fn a_file_without_its_sentence_is_caught() {
    assert_eq!(rules::opening(&source("a.rs", "use std::io;\n")).len(), 1);
    assert!(rules::opening(&source("a.rs", "//! What this is.\n")).is_empty());
}

#[test]
fn a_second_door_is_caught() {
    let text = "#[cfg(target_os = \"linux\")] fn a() { unsafe { b() } }";
    assert_eq!(rules::door(&source("agent/src/record/mod.rs", text)).len(), 2);
    assert!(rules::door(&source("agent/src/host/live/mod.rs", text)).is_empty());
    assert!(
        rules::door(&source("agent/src/record/mod.rs", "// unsafe is not needed\nlet a = \"unsafe \";")).is_empty()
    );
}

#[test]
fn a_collector_that_looks_past_the_door_is_caught() {
    let past = "fn look() { std::fs::read_to_string(\"/proc/stat\"); }";
    assert_eq!(rules::looks(&source("agent/src/collect/system/load.rs", past)).len(), 1);
    assert_eq!(rules::looks(&source("agent/src/collect/logs/look.rs", past)).len(), 1);
    assert!(rules::looks(&source("agent/src/host/live/mod.rs", past)).is_empty());
    let tested = format!("fn look() {{}}\n#[cfg(test)]\nmod tests {{ {past} }}");
    assert!(rules::looks(&source("agent/src/collect/system/load.rs", &tested)).is_empty());
}

#[test]
fn empty_names_are_caught() {
    assert_eq!(rules::names(&source("agent/src/utils.rs", "")).len(), 1);
    assert_eq!(rules::names(&source("a.rs", "struct TicketManager; enum DiskInfo {}")).len(), 2);
    assert!(rules::names(&source("a.rs", "struct Metadata; struct Information;")).is_empty());
}

#[test]
fn unfinished_work_and_machine_paths_are_caught() {
    assert_eq!(rules::words(&source("a.rs", "// TODO: more\nlet a = 1; // good enough for now\n")).len(), 2);
    assert_eq!(rules::machines(&source("a.md", &format!("see /{}/notes\n", "root"))).len(), 1);
    assert!(rules::words(&source("a.rs", "todos hackathon --placeholder-like\n")).is_empty());
}

#[test]
fn a_stray_file_on_top_is_caught() {
    let names = [".ci", "agent", "notes.txt"].map(str::to_owned);
    assert_eq!(rules::top(&names).len(), 1);
}

#[test]
fn a_collector_that_is_not_on_the_list_is_caught() {
    let list = "pub const ALL: &[Collector] = &[system::boot::BOOT, system::os::OS];";
    let text = "pub(in crate::collect) const LOAD: Collector = Collector { look };";
    assert_eq!(rules::unlisted(&source("agent/src/collect/system/load.rs", text), list).len(), 1);
    let text = "pub(in crate::collect) const OS: Collector =\n    Collector { look };";
    assert!(rules::unlisted(&source("agent/src/collect/system/os.rs", text), list).is_empty());
}

#[test]
fn a_table_that_nobody_reads_is_caught_and_so_is_a_reason_that_nobody_needs() {
    assert_eq!(rules::unread(&["boot", "load"], &["boot"], &[]).len(), 1);
    assert!(rules::unread(&["boot", "load"], &["boot"], &[("load", "why")]).is_empty());
    assert_eq!(rules::unread(&["boot"], &["boot"], &[("boot", "why")]).len(), 1);
}
