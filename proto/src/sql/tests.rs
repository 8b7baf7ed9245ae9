//! Questions over readings made by hand.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Bounds, Brake, Held, Owner, Scan, Scanning, Source, SqlError, When, answer};
use crate::catalog;
use crate::rows::Row;
use crate::v1::cell::Value as Kind;
use crate::v1::{LogEvent, Outcome, Printer, Query, QueryPart, Reading, Sight, TableSchema};

const NOW: i64 = 1_800_000_000_000;
const HOUR: i64 = 3_600_000;

/// Readings by table, oldest first.
#[derive(Default)]
struct Shelf {
    held: Vec<Held>,
    many: bool,
}

impl Source for Shelf {
    fn now_ms(&self) -> i64 {
        NOW
    }

    fn tables(&self) -> Vec<Arc<TableSchema>> {
        catalog::tables().iter().cloned().map(Arc::new).collect()
    }

    fn has_many_devices(&self) -> bool {
        self.many
    }

    fn scan(&self, scan: Scan) -> Result<Box<dyn Scanning>, SqlError> {
        let mine = |held: &&Held| {
            let named = |name: &String| held.owner.as_ref().is_some_and(|owner| owner.name == *name);
            held.reading.table == scan.table && scan.device.as_ref().is_none_or(named)
        };
        let of_table: Vec<&Held> = self.held.iter().filter(mine).collect();
        let at = |ms: i64| of_table.iter().rev().find(|held| held.reading.at_ms <= ms).copied().cloned();
        let found: Vec<Held> = match scan.when {
            When::Now if self.many => of_table.into_iter().cloned().collect(),
            When::Now => of_table.last().copied().cloned().into_iter().collect(),
            When::At(ms) => at(ms).into_iter().collect(),
            When::Within { from_ms, to_ms } => {
                let mut found: Vec<Held> = Vec::new();
                for (place, held) in of_table.iter().enumerate() {
                    let next = of_table.get(place + 1).filter(|next| next.owner == held.owner);
                    let until_ms = next.map(|next| next.reading.at_ms);
                    if held.reading.at_ms <= to_ms && (held.reading.at_ms >= from_ms || scan.table == "printers") {
                        found.push(Held { until_ms, ..(*held).clone() });
                    }
                }
                found
            }
        };
        Ok(Box::new(Found(found.into_iter())))
    }
}

struct Found(std::vec::IntoIter<Held>);

impl Scanning for Found {
    fn next(&mut self) -> Result<Option<Held>, SqlError> {
        Ok(self.0.next())
    }
}

fn held<R: Row>(at_ms: i64, outcome: Outcome, rows: &[R]) -> Held {
    let rows = rows.iter().map(|row| row.encode_to_vec().into()).collect();
    let reason = if outcome == Outcome::Ok { "" } else { "no permission" };
    let reading =
        Reading { table: R::TABLE.into(), at_ms, outcome: outcome.into(), rows, reason: reason.into(), took_ms: 1 };
    Held { owner: None, reading, checked_ms: at_ms, until_ms: None }
}

fn printer(name: &str, state: &str, reasons: &[&str]) -> Printer {
    Printer {
        name: name.into(),
        state: state.into(),
        state_reasons: reasons.iter().map(ToString::to_string).collect(),
        ..Printer::default()
    }
}

fn shelf() -> Shelf {
    let line = |at_ms: i64, priority, message: &str| LogEvent {
        at_ms,
        priority: Some(priority),
        message: message.into(),
        ..LogEvent::default()
    };
    Shelf {
        held: vec![
            held(NOW - 48 * HOUR, Outcome::Ok, &[printer("hall", "idle", &[])]),
            held(NOW - 20 * HOUR, Outcome::Denied, &[] as &[Printer]),
            held(
                NOW - 10 * HOUR,
                Outcome::Ok,
                &[printer("hall", "stopped", &["media-jam", "door-open"]), printer("attic", "idle", &[])],
            ),
            held(
                NOW - 2 * HOUR,
                Outcome::Ok,
                &[line(NOW - 2 * HOUR, 3, "disk on fire"), line(NOW - 2 * HOUR, 6, "all well")],
            ),
            held(NOW - HOUR, Outcome::Ok, &[line(NOW - HOUR, 4, "Disk smells")]),
        ],
        many: false,
    }
}

fn ask_of(shelf: Shelf, query: &Query) -> Result<(Vec<String>, Vec<QueryPart>), SqlError> {
    let source: Arc<dyn Source> = Arc::new(shelf);
    let bounds = super::bounds(query, Bounds { time_max: Duration::from_secs(20), ..Bounds::default() });
    let brake = Arc::new(Brake::new(Instant::now() + bounds.time_max));
    let mut parts = Vec::new();
    answer(&source, query, bounds, &brake, &mut |part| {
        parts.push(part);
        true
    })?;
    let cells = |cell: &crate::v1::Cell| match &cell.value {
        None => "NULL".to_owned(),
        Some(Kind::Integer(number)) => number.to_string(),
        Some(Kind::Real(number)) => number.to_string(),
        Some(Kind::Text(text)) => text.clone(),
        Some(Kind::Blob(bytes)) => format!("{bytes:?}"),
    };
    let rows = parts.iter().flat_map(|part| &part.rows);
    let lines = rows.map(|row| row.cells.iter().map(cells).collect::<Vec<_>>().join("|")).collect();
    Ok((lines, parts))
}

fn ask(sql: &str) -> Vec<String> {
    ask_of(shelf(), &Query { sql: sql.into(), ..Query::default() }).map(|(lines, _parts)| lines).unwrap()
}

fn refused(sql: &str) -> String {
    ask_of(shelf(), &Query { sql: sql.into(), ..Query::default() })
        .map(|(lines, _parts)| lines)
        .unwrap_err()
        .to_string()
}

#[test]
fn a_table_is_now_and_was_then() {
    assert_eq!(ask("SELECT name, state FROM printers ORDER BY name"), ["attic|idle", "hall|stopped"]);
    assert_eq!(ask("SELECT name, state FROM printers('-1 day')"), ["hall|idle"]);
    assert_eq!(ask("SELECT name, state FROM printers WHERE as_of = '-30h'"), ["hall|idle"]);
    assert_eq!(ask(&format!("SELECT state FROM printers({})", NOW - 47 * HOUR)), ["idle"]);
    assert_eq!(
        ask("SELECT now.state, was.state FROM printers now JOIN printers('-1 day') was USING (name)"),
        ["stopped|idle"]
    );
}

#[test]
fn a_history_says_how_long_each_reading_was_in_force() {
    let sql = "SELECT name, (valid_from - ms('now')) / 3600000, (valid_to - ms('now')) / 3600000 FROM printers_history";
    assert_eq!(ask(&format!("{sql} WHERE name = 'hall'")), ["hall|-48|-20", "hall|-10|NULL"]);
    assert_eq!(ask(&format!("{sql} WHERE valid_to > ms('-21h')")), ["hall|-48|-20"]);
    assert_eq!(ask(&format!("{sql} WHERE valid_to >= ms('-20h')")), ["hall|-48|-20"]);
    assert_eq!(ask("SELECT count(*) FROM printers_history('-11h')"), ["2"]);
}

#[test]
fn a_look_that_saw_nothing_is_said_and_never_taken_for_an_empty_machine() {
    let query = Query { sql: "SELECT name FROM printers('-15h')".into(), ..Query::default() };
    let (lines, parts) = ask_of(shelf(), &query).unwrap();
    assert!(lines.is_empty());
    let notes = &parts.last().unwrap().notes;
    assert_eq!(
        (notes[0].table.as_str(), notes[0].outcome(), notes[0].words.as_str()),
        ("printers", Outcome::Denied, "no permission")
    );
}

#[test]
fn changes_are_rows() {
    let sql = "SELECT (at - ms('now')) / 3600000, table_name, row_key, column_name, old, new FROM changes";
    assert_eq!(
        ask(&format!("{sql} WHERE table_name = 'printers'")),
        [
            "-20|printers||outcome|ok|denied",
            "-10|printers||outcome|denied|ok",
            "-10|printers|attic||NULL|present",
            "-10|printers|hall|state|idle|stopped",
            "-10|printers|hall|state_reasons|[]|[\"media-jam\",\"door-open\"]",
        ]
    );
    assert_eq!(ask("SELECT count(*) FROM changes('-15h')"), ["4"]);
    assert_eq!(ask("SELECT count(*) FROM changes WHERE at < ms('-15h')"), ["1"]);
}

#[test]
fn events_are_found_by_time_priority_and_text() {
    assert_eq!(
        ask("SELECT message FROM log_events WHERE priority <= 4 AND message LIKE '%DISK%'"),
        ["disk on fire", "Disk smells"]
    );
    assert_eq!(ask("SELECT message FROM log_events('-90 minutes')"), ["Disk smells"]);
    assert_eq!(ask("SELECT message FROM log_events WHERE at_ms > ms('-90 minutes')"), ["Disk smells"]);
    assert_eq!(ask("SELECT message FROM log_events WHERE message = 'DISK SMELLS' COLLATE NOCASE"), ["Disk smells"]);
}

#[test]
fn lists_are_json() {
    assert_eq!(
        ask("SELECT reason.value FROM printers, json_each(state_reasons) reason ORDER BY 1"),
        ["door-open", "media-jam"]
    );
}

#[test]
fn hidden_columns_tell_when_and_how() {
    assert_eq!(ask("SELECT _age_s, _outcome, _at - ms('-10h') FROM printers LIMIT 1"), ["36000|ok|0"]);
}

#[test]
fn what_can_be_asked_is_a_table_too() {
    assert_eq!(ask("SELECT kind, family FROM tables WHERE name = 'printers'"), ["state|printing"]);
    assert_eq!(
        ask("SELECT type FROM columns WHERE table_name = 'printers' AND name = 'state_reasons'"),
        ["list (JSON)"]
    );
}

#[test]
fn columns_come_with_their_units_and_parameters_are_bound() {
    let sql = "SELECT at_ms, message AS said, count(*) OVER () AS n_ms FROM log_events WHERE priority = :priority";
    let query = Query { sql: sql.into(), parameters: [("priority".into(), "3".into())].into(), ..Query::default() };
    let (lines, parts) = ask_of(shelf(), &query).unwrap();
    assert_eq!(lines.len(), 1);
    let columns = &parts[0].columns;
    assert_eq!((columns[0].table.as_str(), columns[0].unit().as_str_name()), ("log_events", "UNIX_MS"));
    assert_eq!((columns[1].name.as_str(), columns[1].column.as_str()), ("said", "message"));
    assert_eq!(columns[2].unit().as_str_name(), "MILLISECONDS");
    assert!(refused("SELECT :missing").contains(":missing has no value"));
}

#[test]
fn of_many_devices_each_row_says_whose_it_is() {
    let owner = |name: &str| Some(Arc::new(Owner { id: format!("{name}-id"), name: name.into(), ..Owner::default() }));
    let of = |name: &str, held: Held| Held { owner: owner(name), ..held };
    let shelf = Shelf {
        held: vec![
            of("anna", held(NOW - HOUR, Outcome::Ok, &[printer("hall", "idle", &[])])),
            of("ben", held(NOW - 2 * HOUR, Outcome::Denied, &[] as &[Printer])),
            of("cleo", held(NOW - 3 * HOUR, Outcome::Ok, &[printer("attic", "stopped", &[])])),
        ],
        many: true,
    };
    let query = Query { sql: "SELECT *, _age_s FROM printers WHERE device <> 'x'".into(), ..Query::default() };
    let (lines, parts) = ask_of(shelf, &query).unwrap();
    assert!(lines[0].starts_with("anna|hall|") && lines[1].starts_with("cleo|attic|"), "{lines:?}");
    assert!(lines[1].ends_with("|10800"), "{lines:?}");
    let notes = &parts.last().unwrap().notes;
    assert_eq!((notes[0].device.as_str(), notes[0].words.as_str()), ("ben", "no permission"));
}

#[test]
fn who_may_not_see_persons_reads_null_and_is_told() {
    let (column, table) = catalog::tables()
        .iter()
        .flat_map(|table| table.columns.iter().map(move |column| (column, table)))
        .find(|(column, table)| table.name == "print_jobs" && catalog::options(column).sensitivity() as i32 == 2)
        .unwrap();
    let ask = |sight| {
        let job = crate::v1::PrintJob { user: "u-7".into(), ..Default::default() };
        let shelf = Shelf { held: vec![held(NOW - HOUR, Outcome::Ok, &[job])], many: false };
        let sql = format!("SELECT {} IS NULL FROM {}", column.name, table.name);
        ask_of(shelf, &Query { sql, sight: Some(sight), ..Query::default() }).unwrap()
    };
    let (lines, parts) = ask(Sight::default());
    assert_eq!(lines, ["1"]);
    assert!(parts.last().unwrap().notes[0].words.contains("is not shown"));
    assert_eq!(ask(Sight { personal: true, content: false }).0, ["0"]);
}

#[test]
fn a_question_can_only_read() {
    for sql in [
        "CREATE TABLE a(b)",
        "ATTACH 'x.db' AS x",
        "DELETE FROM printers",
        "INSERT INTO printers(name) VALUES ('x')",
        "PRAGMA temp_store = 1",
        "PRAGMA hard_heap_limit = 0",
        "SELECT load_extension('x')",
        "VACUUM INTO 'x.db'",
        "CREATE VIRTUAL TABLE a USING dbstat",
        "BEGIN",
    ] {
        let said = refused(sql);
        assert!(!said.is_empty(), "{sql}");
    }
    assert_eq!(refused("SELECT 1; SELECT 2"), "one question at a time: there is more after the first \";\"");
    assert_eq!(refused("SELECT nme FROM printers"), "no such column: nme (at \"nme FROM printers\")");
    assert_eq!(refused("SELECT * FROM printers('soon')").split(':').next(), Some("\"soon\""));
}

#[test]
fn hostile_questions_end_with_a_reason_and_give_their_memory_back() {
    let before = super::vtab::memory_used();
    let ends = |sql: &str| {
        let query = Query { sql: sql.into(), time_max_ms: 1_500, ..Query::default() };
        let ended = ask_of(shelf(), &query);
        ended.map(|(lines, parts)| format!("{} rows, {}", lines.len(), parts.last().unwrap().end.clone().unwrap().cut))
    };
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)";
    assert_eq!(ends(&format!("{endless} SELECT count(*) FROM n")), Err(SqlError::TooLong));
    assert_eq!(
        ends(&format!("{endless} SELECT x FROM n")).unwrap(),
        "100000 rows, the first 100000 rows; there are more"
    );
    assert_eq!(ends(&format!("{endless} SELECT x, randomblob(1000) FROM n ORDER BY 2")), Err(SqlError::TooLarge));
    assert_eq!(ends("SELECT count(*) FROM columns a, columns b, columns c, columns d"), Err(SqlError::TooLong));
    assert!(ends("SELECT zeroblob(1e9)").unwrap_err().to_string().contains("too big"));
    assert!(ends(&format!("SELECT '{}'", "x".repeat(1_000_000))).unwrap_err().to_string().contains("65536"));
    assert!(ends(&format!("SELECT {}1", "(".repeat(5_000))).is_err());
    assert!(
        ends("SELECT replace(hex(zeroblob(100000)), '00', '0000000000')").unwrap_err().to_string().contains("too big")
    );
    assert!(super::vtab::memory_used().saturating_sub(before) < 64 << 20);
}

/// A machine that cannot be looked at, beside a question that holds much.
struct Beside(std::sync::Mutex<rusqlite::Connection>);

impl Source for Beside {
    fn now_ms(&self) -> i64 {
        NOW
    }

    fn tables(&self) -> Vec<Arc<TableSchema>> {
        shelf().tables()
    }

    fn has_many_devices(&self) -> bool {
        false
    }

    fn scan(&self, _scan: Scan) -> Result<Box<dyn Scanning>, SqlError> {
        let held = self.0.lock().unwrap().execute_batch("CREATE TABLE held AS SELECT zeroblob(48000000)");
        held.unwrap();
        Err(SqlError::Source("the disk is gone".into()))
    }
}

#[test]
fn memory_that_another_question_holds_is_not_blamed_for_this_ones_own_error() {
    let source: Arc<dyn Source> = Arc::new(Beside(rusqlite::Connection::open_in_memory().unwrap().into()));
    let brake = Arc::new(Brake::new(Instant::now() + Duration::from_mins(1)));
    let query = Query { sql: "SELECT name FROM printers".into(), ..Query::default() };
    let ended = answer(&source, &query, Bounds::default(), &brake, &mut |_part| true);
    assert!(ended.as_ref().is_err_and(|error| error.to_string().contains("the disk is gone")), "{ended:?}");
    assert!(super::vtab::memory_used() > Bounds::default().memory_max);
}

#[test]
fn a_question_that_nobody_waits_for_is_stopped() {
    let source: Arc<dyn Source> = Arc::new(shelf());
    let brake = Arc::new(Brake::new(Instant::now() + Duration::from_mins(1)));
    brake.pull();
    let query = Query { sql: "SELECT count(*) FROM columns a, columns b, columns c".into(), ..Query::default() };
    assert_eq!(answer(&source, &query, Bounds::default(), &brake, &mut |_part| true), Err(SqlError::Stopped));
}
