//! Rules against made-up and against sealed tables.

use deskside_proto::catalog;
use deskside_proto::rows::Row;
use deskside_proto::v1::{Filesystem, Outcome, Printer, Reading};
use serde_json::json;

use super::rules::{self, CHECKED_AT_MS, check_rule};
use super::*;

fn known<R: Row>(outcome: Outcome, reason: &str, rows: &[R]) -> Known {
    let rows = rows.iter().map(|row| row.encode_to_vec().into()).collect();
    let reading = Reading {
        table: R::TABLE.into(),
        at_ms: CHECKED_AT_MS - 60_000,
        outcome: outcome.into(),
        reason: reason.into(),
        rows,
        took_ms: 1,
    };
    Known { schema: catalog::table(R::TABLE).unwrap().clone(), readings: vec![reading], checked_ms: CHECKED_AT_MS }
}

fn about() -> About {
    About { now_ms: CHECKED_AT_MS, connected: true, ..About::default() }
}

fn stopped() -> Printer {
    Printer {
        name: "front".into(),
        state: "stopped".into(),
        state_message: "The printer is not responding.".into(),
        paused_by: "error".into(),
        queued_jobs: 3,
        ..Printer::default()
    }
}

#[test]
fn a_stopped_queue_is_the_first_thing_said() {
    let full =
        Filesystem { mount_point: "/".into(), used_percent: 99.9, total_bytes: 1 << 40, ..Filesystem::default() };
    let tables = [known(Outcome::Ok, "", &[full]), known(Outcome::Ok, "", &[stopped()])];
    let found = findings(&tables, &about()).unwrap();
    assert_eq!(found[0].rule, "print-queue-stopped");
    assert_eq!(found[0].title, "Printer front is stopped, jobs waiting: 3. It says: The printer is not responding.");
    assert_eq!(found[0].severity, "critical");
    assert_eq!(found[0].table, "printers");
}

#[test]
fn what_could_not_be_read_is_said_and_not_taken_for_healthy() {
    let tables = [known::<Printer>(Outcome::Denied, "cups refused: add deskside to lpadmin", &[])];
    let found = findings(&tables, &about()).unwrap();
    let unseen = found.iter().find(|finding| finding.rule == "not-seen").unwrap();
    assert_eq!(unseen.title, "printers could not be read (denied): cups refused: add deskside to lpadmin");
    assert_eq!(unseen.severity, "unknown");
}

#[test]
fn what_a_machine_does_not_have_is_one_quiet_line() {
    let tables = [
        known::<Printer>(Outcome::Unsupported, "no print server runs here", &[]),
        known::<Filesystem>(Outcome::Unsupported, "no /proc", &[]),
    ];
    let found = findings(&tables, &about()).unwrap();
    assert_eq!(found.iter().filter(|finding| finding.rule == "not-on-this-machine").count(), 1);
    assert!(found.iter().all(|finding| finding.severity == "unknown"), "{found:#?}");
}

#[test]
fn every_rule_can_be_asked_of_empty_tables_and_finds_nothing() {
    for rule in rules::all() {
        assert_eq!(check_rule(&rule.id, &json!({})).unwrap(), [], "{}", rule.id);
    }
}

#[test]
fn rule_names_are_unique() {
    let mut names: Vec<&str> = rules::all().iter().map(|rule| rule.id.as_str()).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}

#[test]
fn words_of_the_machine_are_not_templates() {
    let row =
        json!({"name": "front", "state": "stopped", "paused_by": "error", "state_message": "{device_uri} \u{1b}[31m{"});
    let found = check_rule("print-queue-stopped", &json!({"printers": [row]})).unwrap();
    assert!(found[0].title.ends_with("It says: {device_uri}  [31m{"), "{}", found[0].title);
}

#[test]
fn a_rule_cannot_write_nor_run_for_ever() {
    let mut view = view::View::of(&[known(Outcome::Ok, "", &[stopped()])], &about()).unwrap();
    let mut rule = rules::all()[0].clone();
    for sql in ["DELETE FROM printers", "ATTACH '/tmp/x' AS x", "PRAGMA query_only = 0", "CREATE TABLE t (a)"] {
        rule.sql = sql.into();
        assert!(view.ask(&rule).is_err(), "{sql}");
    }
    rule.sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n".into();
    let error = view.ask(&rule).unwrap_err();
    assert!(format!("{error:#}").contains("interrupted"), "{error:#}");
    view.seal().unwrap();
}
