//! Questions over a real record, with looks made by hand.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use deskside_proto::rows::Row;
use deskside_proto::sql::{Bounds, Brake, Source, SqlError, answer};
use deskside_proto::v1::cell::Value;
use deskside_proto::v1::{Load, LogEvent, Outcome, Printer, Query, QueryPart, Reading};

use super::{Looks, Machine};
use crate::collect::Registry;
use crate::record::{Bounds as RecordBounds, Entry, Record};

const NOW: i64 = 1_800_000_000_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// What looks find, by table, and what was looked at.
#[derive(Clone, Default)]
struct Found {
    readings: Vec<Reading>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Looks for Found {
    fn look(&self, table: &str, _brake: &Brake) -> Result<Option<Reading>, SqlError> {
        self.asked.lock().unwrap().push(table.into());
        Ok(self.readings.iter().find(|reading| reading.table == table).cloned())
    }
}

fn reading<R: Row>(at_ms: i64, outcome: Outcome, rows: &[R]) -> Reading {
    let rows = rows.iter().map(|row| row.encode_to_vec().into()).collect();
    let reason = if outcome == Outcome::Denied { "CUPS says forbidden" } else { "" };
    Reading { table: R::TABLE.into(), at_ms, outcome: outcome.into(), rows, reason: reason.into(), took_ms: 1 }
}

fn printer(state: &str) -> Printer {
    Printer { name: "hall".into(), state: state.into(), ..Printer::default() }
}

/// A machine with a past: a printer that stopped and could not be seen for a while, two days of load, a few lines of log.
fn past(folder: &Path) -> Record {
    let mut record =
        Record::open(folder, RecordBounds::default(), Arc::new(Registry::standard()), NOW - 48 * HOUR).unwrap();
    let line = |at_ms, message: &str| LogEvent { at_ms, message: message.into(), ..LogEvent::default() };
    let mut all = vec![
        reading(NOW - 40 * HOUR, Outcome::Ok, &[printer("idle")]),
        reading(NOW - 30 * HOUR, Outcome::Denied, &[] as &[Printer]),
        reading(NOW - 20 * HOUR, Outcome::Ok, &[printer("stopped")]),
        reading(NOW - 10 * HOUR, Outcome::Ok, &[printer("processing")]),
        reading(NOW - 5 * HOUR, Outcome::Ok, &[line(NOW - 5 * HOUR, "one")]),
        reading(NOW - HOUR, Outcome::Ok, &[line(NOW - HOUR, "two")]),
    ];
    let load = |minute: i64| Load { load_1: minute as f64, ..Load::default() };
    all.extend((0..2_000).map(|minute| reading(NOW - 47 * HOUR + minute * MINUTE, Outcome::Ok, &[load(minute)])));
    all.sort_by_key(|reading| reading.at_ms);
    let entry = |reading: &Reading| Entry { reading: reading.clone(), stream: false, position: None };
    for some in all.chunks(500) {
        record.append(NOW - HOUR, &some.iter().map(entry).collect::<Vec<_>>()).unwrap();
    }
    record.tidy(NOW).unwrap();
    record
}

fn ask_with(record: Option<&Record>, found: Found, sql: &str) -> Result<(Vec<String>, Vec<String>), SqlError> {
    let reader = record.map(|record| record.reader().unwrap());
    let machine = Machine::new(reader, &Registry::standard(), Box::new(found), NOW);
    let source: Arc<dyn Source> = Arc::new(machine);
    let brake = Arc::new(Brake::new(Instant::now() + Duration::from_mins(1)));
    let mut parts: Vec<QueryPart> = Vec::new();
    let query = Query { sql: sql.into(), ..Query::default() };
    answer(&source, &query, Bounds::default(), &brake, &mut |part| {
        parts.push(part);
        true
    })?;
    let text = |value: &Option<Value>| match value {
        None => "NULL".into(),
        Some(Value::Integer(number)) => number.to_string(),
        Some(Value::Real(number)) => number.to_string(),
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Blob(bytes)) => format!("{bytes:?}"),
    };
    let rows = parts.iter().flat_map(|part| &part.rows);
    let rows = rows.map(|row| row.cells.iter().map(|cell| text(&cell.value)).collect::<Vec<_>>().join("|"));
    let notes = parts.iter().flat_map(|part| &part.notes).map(|note| note.words.clone());
    Ok((rows.collect(), notes.collect()))
}

fn ask(sql: &str) -> (Vec<String>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    ask_with(Some(&past(folder.path())), Found::default(), sql).unwrap()
}

#[test]
fn now_is_a_look_and_the_past_is_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let record = past(folder.path());
    let found = Found { readings: vec![reading(NOW, Outcome::Ok, &[printer("on fire")])], ..Found::default() };
    let ask = |sql| ask_with(Some(&record), found.clone(), sql).unwrap().0;
    assert_eq!(ask("SELECT state, _age_s FROM printers"), ["on fire|0"]);
    assert_eq!(ask("SELECT state FROM printers('-9h')"), ["processing"]);
    assert_eq!(ask("SELECT state, _age_s FROM printers('-15h')"), [format!("stopped|{}", 20 * 3_600)]);
    assert_eq!(
        ask("SELECT now.state, before.state FROM printers now JOIN printers('-15h') before USING (name)"),
        ["on fire|stopped"]
    );
    assert_eq!(*found.asked.lock().unwrap(), ["printers", "printers"], "a past is not looked at");
}

#[test]
fn a_look_that_failed_has_no_rows_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let record = past(folder.path());
    let denied = reading(NOW, Outcome::Denied, &[] as &[Printer]);
    let found = Found { readings: vec![denied], ..Found::default() };
    let told = ask_with(Some(&record), found, "SELECT * FROM printers").unwrap();
    assert_eq!(told, (vec![], vec!["CUPS says forbidden".to_owned()]));
    assert_eq!(ask("SELECT state FROM printers('-25h')"), (vec![], vec!["CUPS says forbidden".to_owned()]));
}

#[test]
fn history_says_how_long_each_was_in_force() {
    let (rows, notes) = ask("SELECT state, (valid_from - ms('-40h')) / 3600000, (valid_to - ms('-40h')) / 3600000
         FROM printers_history ORDER BY valid_from");
    assert_eq!(rows, ["idle|0|10", "stopped|20|30", "processing|30|NULL"]);
    assert!(notes.iter().any(|words| words.starts_with("the record holds printers since 2027-")), "{notes:?}");
    let (rows, notes) = ask("SELECT state FROM printers_history('-15h', '-12h')");
    assert_eq!(rows, ["stopped"], "what was in force when the window begins belongs to it");
    assert!(notes.is_empty(), "{notes:?}");
    let (rows, notes) = ask("SELECT state FROM printers_history('-25h', '-12h')");
    assert_eq!((rows, notes), (vec!["stopped".to_owned()], vec!["CUPS says forbidden".to_owned()]));
}

#[test]
fn what_changed_is_told_across_looks_that_saw_nothing() {
    let (rows, _notes) = ask("SELECT (at - ms('-40h')) / 3600000, column_name, old, new FROM changes('-25h')");
    assert_eq!(rows, ["20|outcome|denied|ok", "20|state|idle|stopped", "30|state|stopped|processing"]);
}

#[test]
fn a_window_of_samples_is_read_out_of_blocks() {
    assert_eq!(ask("SELECT count(*), min(load_1), max(load_1) FROM load_history").0, ["2000|0|1999"]);
    assert_eq!(ask("SELECT count(*), min(load_1), max(load_1) FROM load('-47h', '-46h')").0, ["61|0|60"]);
    let (rows, notes) = ask("SELECT count(*) FROM log_events('-2h')");
    assert_eq!((rows, notes.len()), (vec!["1".to_owned()], 0));
    let (rows, notes) = ask("SELECT count(*) FROM log_events('-6h')");
    assert_eq!(rows, ["2"]);
    assert!(notes[0].starts_with("the record holds log_events since"), "{notes:?}");
}

#[test]
fn what_nobody_looked_at_is_said_to_be_missing() {
    let (rows, notes) = ask("SELECT count(*) FROM ping");
    assert_eq!(rows, ["0"]);
    assert_eq!(notes, ["no ping is recorded; `deskside probe DEVICE ping` makes one"]);
    let (_rows, notes) = ask("SELECT * FROM printers('-3 days')");
    assert!(notes[0].starts_with("the record holds printers since"), "{notes:?}");
    let found = Found::default();
    let (_rows, notes) = ask_with(None, found, "SELECT * FROM printers('-1h')").unwrap();
    assert_eq!(notes, ["there is no record here: no agent has run with this state folder"]);
}
