//! Software and its upkeep as the collectors read them from real programs: apt and dpkg, chrony, the machine's own trust store.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fs;

use deskside_agent::collect::{Registry, look};
use deskside_agent::host::{Live, LiveOptions};
use deskside_proto::v1::{Certificate, Outcome, Reading, SoftwareChange, Updates};
use deskside_server::diagnose::rules::check_rule;
use deskside_tests::lab::chrony::Timed;
use deskside_tests::lab::packages::{PACKAGE, Packages};
use deskside_tests::lab::process::program;
use prost::Message;
use serde_json::{Value, json};

fn seen(host: &Live, table: &str) -> Reading {
    look(Registry::standard().collector(table).unwrap(), host)
}

fn rows<R: Message + Default>(reading: &Reading) -> Vec<R> {
    reading.rows.iter().map(|row| R::decode(row.clone()).unwrap()).collect()
}

#[test]
fn what_apt_and_dpkg_did_is_told_with_who_asked_for_it() {
    let packages = Packages::new().unwrap();
    // The user ids 1 and 2 are those of every Debian: daemon and bin.
    assert!(packages.install("1.2", None, "1").unwrap());
    assert!(packages.install("1.10", None, "1").unwrap());
    assert!(packages.install("1.9", None, "2").unwrap());
    assert!(packages.purge("2").unwrap());
    assert!(!packages.install("2.0", Some("#!/bin/sh\nexit 1\n"), "2").unwrap());
    let host = Live::new(LiveOptions { root: Some(packages.root()), ..LiveOptions::default() });

    let reading = seen(&host, "software_changes");
    assert_eq!(reading.outcome(), Outcome::Ok, "{}", reading.reason);
    let changes: Vec<SoftwareChange> = rows(&reading);
    let told = |action: &str| changes.iter().filter(|change| change.action == action).collect::<Vec<_>>();
    let versions = |change: &SoftwareChange| (change.from_version.clone(), change.to_version.clone());
    assert!(changes.iter().all(|change| change.package == PACKAGE && change.architecture == "all"));
    let installed: BTreeSet<String> = told("install").iter().map(|change| versions(change).1).collect();
    assert_eq!(installed, ["1.2", "2.0"].map(str::to_owned).into());
    assert_eq!(versions(told("upgrade")[0]), ("1.2".into(), "1.10".into()));
    assert_eq!(versions(told("downgrade")[0]), ("1.10".into(), "1.9".into()));
    // What has no settings of its own is purged by being removed.
    assert_eq!(told("remove").len(), 1, "{changes:#?}");
    let (upgrade, downgrade) = (told("upgrade")[0], told("downgrade")[0]);
    // Runs within the same second cannot be told apart; those who asked are known all the same.
    assert!(["daemon", "bin"].contains(&upgrade.user.as_str()) && !downgrade.user.is_empty(), "{changes:#?}");
    assert!(upgrade.command.starts_with("apt-get --quiet --yes"), "{}", upgrade.command);
    let failed = changes.iter().find(|change| change.to_version == "2.0").unwrap();
    assert_eq!(failed.error, "Sub-process /usr/bin/dpkg returned an error code (1)");

    // As dpkg leaves it where the power goes; nothing runs in that machine.
    fs::write(packages.root().join("var/lib/dpkg/updates/0001"), "").unwrap();
    fs::create_dir(packages.root().join("proc")).unwrap();
    let updates: Vec<Updates> = rows(&seen(&host, "updates"));
    let apt = updates.iter().find(|row| row.manager == "apt").unwrap();
    assert_eq!(apt.last_failure, failed.error);
    assert!(apt.last_failure_ms >= apt.last_success_ms && apt.last_success_ms.is_some(), "{apt:?}");
    assert_eq!(apt.interrupted, Some(true));
}

#[test]
fn this_machine_s_apt_tells_what_waits() {
    let reading = seen(&Live::default(), "updates");
    let updates: Vec<Updates> = rows(&reading);
    let apt = updates.iter().find(|row| row.manager == "apt").expect("Debian has apt");
    assert!(apt.pending.is_some() && apt.pending_security <= apt.pending, "{}: {apt:?}", reading.reason);
    assert_eq!(apt.pending_names.len(), (apt.pending.unwrap() as usize).min(50));
    assert!(apt.refreshes_itself.is_some(), "{}", reading.reason);
}

/// The clock's row as the agent prints it at the workstation.
fn clock(timed: &Timed) -> Value {
    let state = tempfile::tempdir().unwrap();
    let mut command = timed.wired().command(&program("deskside-agent").unwrap());
    command.arg("--state").arg(state.path()).args(["collect", "time_sync", "--json"]);
    let ran = command.output().unwrap();
    let told: Value = serde_json::from_slice(&ran.stdout).unwrap();
    told[0]["rows"][0].clone()
}

fn found(rule: &str, row: &Value) -> usize {
    check_rule(rule, &json!({ "time_sync": [row] })).unwrap().len()
}

#[test]
fn a_clock_is_told_by_the_service_that_keeps_it() {
    let mut timed = Timed::start(0).unwrap();
    timed.wait_for("tracking", "Normal").unwrap();
    let row = clock(&timed);
    assert_eq!((&row["service"], &row["source"], &row["stratum"]), (&json!("chrony"), &json!("127.0.0.2"), &json!(4)));
    assert_eq!((&row["synchronized"], &row["offset_s"], &row["sources"]), (&json!(true), &json!(0), &json!(2)));
    assert_eq!(row["sources_reachable"], json!(1));
    assert!(row["offset_ms"].as_f64().unwrap().abs() < 1_000.0 && row["root_delay_ms"].is_number(), "{row}");
    for rule in ["clock-off-source", "clock-far-from-source", "clock-sources-silent"] {
        assert_eq!(found(rule, &row), 0, "{rule} on {row}");
    }

    // A source that is gone: chrony itself goes on to say that it is synchronized.
    timed.silence().unwrap();
    timed.wait_for("sources", ",127.0.0.2,3,0,0,").unwrap();
    let row = clock(&timed);
    assert_eq!((&row["synchronized"], &row["sources_reachable"]), (&json!(true), &json!(0)), "{row}");

    timed.stop().unwrap();
    let row = clock(&timed);
    assert_eq!((&row["service"], &row["synchronized"]), (&json!(""), &Value::Null), "{row}");
}

#[test]
fn a_clock_that_is_minutes_off_is_critical() {
    let mut timed = Timed::start(400).unwrap();
    timed.wait_for("tracking", ",400.").unwrap();
    let row = clock(&timed);
    assert_eq!(row["offset_s"], json!(400), "{row}");
    assert_eq!((found("clock-far-from-source", &row), found("clock-off-source", &row)), (1, 0));
}

#[test]
fn a_clock_without_an_answer_is_not_synchronized() {
    let mut timed = Timed::without_server().unwrap();
    timed.wait_for("tracking", "Not synchronised").unwrap();
    let row = clock(&timed);
    assert_eq!((&row["service"], &row["synchronized"]), (&json!("chrony"), &json!(false)), "{row}");
    assert_eq!((&row["offset_ms"], &row["stratum"]), (&Value::Null, &Value::Null), "{row}");
    let booted = json!([{"booted_ms": 0}]);
    assert_eq!(check_rule("clock-not-synchronized", &json!({"time_sync": [row], "boot": booted})).unwrap().len(), 1);
}

#[test]
fn the_roots_of_this_machine_are_read_without_its_keys() {
    let reading = seen(&Live::default(), "certificates");
    assert!(matches!(reading.outcome(), Outcome::Ok | Outcome::Empty | Outcome::Partial), "{}", reading.reason);
    for certificate in rows::<Certificate>(&reading) {
        assert!(
            certificate.not_before_ms < certificate.not_after_ms && certificate.sha256.len() == 64,
            "{certificate:?}"
        );
        assert!(!certificate.subject.is_empty() || !certificate.names.is_empty(), "{certificate:?}");
    }
}
