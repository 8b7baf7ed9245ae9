//! Folding, letting go, and giving room back: what is kept stays what it was, and nobody who appends is held up by it.

use super::*;
use crate::store::{Cursor, Order, TableRetention, Window};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const T0: i64 = 1_780_000_000_000;

/// Everything stays.
fn all() -> Retention {
    Retention { age_max_ms: 1000 * DAY, bytes_max: u64::MAX, device_bytes_max: u64::MAX, ..Retention::default() }
}

async fn kept_tidy(db: &Db, retention: &Retention, now_ms: i64) {
    while db.retain(retention, now_ms).await.unwrap() {}
}

/// Text that does not compress.
fn noise(seed: u64) -> String {
    let digest = |n: u64| ring::digest::digest(&ring::digest::SHA256, &(seed * 1000 + n).to_le_bytes());
    (0..16).map(|n| data_encoding::HEXLOWER.encode(digest(n).as_ref())).collect()
}

fn of(table: &str, seq: u64, at_ms: i64) -> Arrival {
    Arrival { seq, reading: Some(reading(table, at_ms, &noise(seq))), lost: 0 }
}

/// So many hours of a table, a reading an hour, as they come.
async fn hours(db: &Db, device: Uuid, table: &str, (from, to): (u64, u64)) {
    for hour in from..to {
        let at_ms = T0 + hour as i64 * HOUR;
        // Why by the table's length: numbers of one record must not repeat.
        let epoch = table.len() as u64;
        db.append(device, epoch, vec![of(table, hour + 1, at_ms)], at_ms).await.unwrap();
    }
}

async fn count(db: &Db, sql: &'static str) -> i64 {
    db.read(move |connection| Ok(connection.query_row(sql, [], |row| row.get(0))?)).await.unwrap()
}

async fn times(db: &Db, device: Uuid, table: &str) -> Vec<i64> {
    let held = db.history(device, table, i64::MIN, i64::MAX, u32::MAX).await.unwrap();
    held.into_iter().map(|reading| (reading.at_ms - T0) / HOUR).collect()
}

#[tokio::test]
async fn what_was_folded_answers_as_it_did_before() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let device = enrolled(&db, "a").await;
    hours(&db, device, "load", (0, 100)).await;
    db.append(device, 4, vec![of("load", 101, T0 + 50 * HOUR + 1)], T0 + 101 * HOUR).await.unwrap();
    let before = db.history(device, "load", i64::MIN, i64::MAX, 1000).await.unwrap();
    let whole = count(&db, "SELECT sum(bytes) FROM holding").await;
    kept_tidy(&db, &all(), T0 + 200 * HOUR).await;
    assert_eq!(count(&db, "SELECT count(*) FROM loose").await, 0);
    let blocks = count(&db, "SELECT count(*) FROM block").await;
    assert_eq!(blocks, 4, "a day and an hour in each");
    assert_eq!(db.history(device, "load", i64::MIN, i64::MAX, 1000).await.unwrap(), before);
    assert_eq!(count(&db, "SELECT sum(bytes) FROM holding").await, count(&db, "SELECT sum(size) FROM block").await);
    assert!(count(&db, "SELECT sum(bytes) FROM holding").await < whole);
    hours(&db, device, "load", (101, 105)).await;
    assert_eq!(db.at(device, "load", T0 + 50 * HOUR + 5).await.unwrap(), Some(before[51].clone()));
    assert_eq!(db.at(device, "load", T0 + 103 * HOUR).await.unwrap().unwrap().at_ms, T0 + 103 * HOUR);
    assert_eq!(times(&db, device, "load").await.len(), 105);
    kept_tidy(&db, &all(), T0 + 300 * HOUR).await;
    hours(&db, device, "load", (105, 110)).await;
    kept_tidy(&db, &all(), T0 + 300 * HOUR).await;
    assert_eq!(count(&db, "SELECT count(*) FROM block").await, blocks + 1, "they joined the block that was open");
    assert_eq!(times(&db, device, "load").await.len(), 110);
    assert_eq!(db.check().await.unwrap(), None);
}

#[tokio::test]
async fn pages_go_on_where_they_ended_though_readings_are_folded_between_them() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let device = enrolled(&db, "a").await;
    hours(&db, device, "load", (0, 60)).await;
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let window = Window { device: None, table: "load".into(), from_ms: T0 + 5 * HOUR, to_ms: i64::MAX, order };
        let (mut seen, mut after): (Vec<i64>, Option<Cursor>) = (Vec::new(), None);
        loop {
            let page = db.window(window.clone(), after, 7).await.unwrap();
            seen.extend(page.found.iter().map(|(_device, reading)| (reading.at_ms - T0) / HOUR));
            kept_tidy(&db, &all(), T0 + 100 * HOUR).await;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if order == Order::NewestFirst {
            seen.reverse();
        }
        assert_eq!(seen, (5..60).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn each_table_goes_by_its_own_age_and_a_state_leaves_what_was_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let device = enrolled(&db, "a").await;
    for table in ["load", "log_events", "filesystems"] {
        hours(&db, device, table, (0, 10 * 24)).await;
    }
    let week = TableRetention { age_max_ms: Some(2 * DAY), device_bytes_max: None };
    let tables = [("log_events".to_owned(), week)].into();
    let retention = Retention { age_max_ms: 5 * DAY, tables, ..all() };
    let now_ms = T0 + 10 * DAY;
    kept_tidy(&db, &retention, now_ms).await;
    for (table, days) in [("load", 5), ("log_events", 2)] {
        let first = times(&db, device, table).await[0];
        assert!(((9 - days) * 24..=(10 - days) * 24).contains(&first), "{table} begins at hour {first}");
        assert_eq!(db.held_since(device, table).await.unwrap(), Some(T0 + first * HOUR));
    }
    let state = times(&db, device, "filesystems").await;
    assert!(state[0] <= 4 * 24, "what was in force five days ago is there: {}", state[0]);
    let dropped = count(&db, "SELECT sum(dropped) FROM holding").await;
    let left = count(&db, "SELECT sum(readings) FROM block").await;
    assert_eq!(dropped + left, 3 * 240);
    kept_tidy(&db, &retention, now_ms + 100 * DAY).await;
    assert!(times(&db, device, "load").await.is_empty(), "none is left but the latest");
    assert_eq!(db.held_since(device, "load").await.unwrap(), None);
    assert_eq!(db.latest(device).await.unwrap().len(), 3);
    assert!(!times(&db, device, "filesystems").await.is_empty());
}

#[tokio::test]
async fn a_chatty_device_and_a_chatty_table_lose_their_own_oldest() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let (quiet, chatty) = (enrolled(&db, "quiet").await, enrolled(&db, "chatterbox").await);
    hours(&db, quiet, "load", (0, 50)).await;
    hours(&db, chatty, "load", (0, 50)).await;
    for hour in 0..50_u64 {
        let at_ms = T0 + hour as i64 * HOUR;
        let lines = (0..40).map(|n| of("log_events", hour * 40 + n + 1, at_ms + n as i64)).collect();
        db.append(chatty, 99, lines, at_ms).await.unwrap();
    }
    let retention = Retention { device_bytes_max: 300_000, ..all() };
    kept_tidy(&db, &retention, T0 + 60 * HOUR).await;
    let held = count(&db, "SELECT max(bytes) FROM (SELECT sum(bytes) AS bytes FROM holding GROUP BY device)").await;
    assert!(held <= 300_000, "{held}");
    for device in [quiet, chatty] {
        assert_eq!(times(&db, device, "load").await.len(), 50);
    }
    let lines = times(&db, chatty, "log_events").await;
    assert!(lines[0] > 25 && lines.contains(&49), "the oldest lines went, from hour {}", lines[0]);
    let tables =
        [("log_events".to_owned(), TableRetention { age_max_ms: None, device_bytes_max: Some(100_000) })].into();
    kept_tidy(&db, &Retention { tables, ..retention }, T0 + 60 * HOUR).await;
    let lines = count(&db, "SELECT max(bytes) FROM holding").await;
    assert!(lines <= 100_000, "{lines}");
    kept_tidy(&db, &Retention { bytes_max: 100_000, ..all() }, T0 + 60 * HOUR).await;
    assert!(count(&db, "SELECT sum(bytes) FROM holding").await <= 100_000);
    assert_eq!(times(&db, quiet, "load").await.len(), 50, "within its share, a device loses nothing");
    assert_eq!(db.check().await.unwrap(), None);
}

#[tokio::test]
async fn appending_goes_on_while_much_is_let_go_of_and_the_file_shrinks() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let (old, new) = (enrolled(&db, "old").await, enrolled(&db, "another").await);
    for hour in 0..200_u64 {
        let at_ms = T0 + hour as i64 * HOUR;
        let lines = (0..50).map(|n| of("log_events", hour * 50 + n + 1, at_ms + n as i64)).collect();
        db.append(old, 1, lines, at_ms).await.unwrap();
    }
    kept_tidy(&db, &all(), T0 + 300 * HOUR).await;
    let pages = count(&db, "SELECT page_count FROM pragma_page_count").await;
    let letting_go = tokio::spawn({
        let db = db.clone();
        async move {
            let mut steps = 0;
            while db.retain(&Retention { age_max_ms: DAY, ..all() }, T0 + 300 * HOUR).await.unwrap() {
                steps += 1;
            }
            steps
        }
    });
    let mut appended = 0;
    while !letting_go.is_finished() || appended == 0 {
        appended += 1;
        db.append(new, 1, vec![of("load", appended, T0 + 300 * HOUR)], T0 + 300 * HOUR).await.unwrap();
    }
    let steps = letting_go.await.unwrap();
    assert!(steps > 3 && appended > 2, "{appended} were appended between {steps} steps");
    assert_eq!(times(&db, new, "load").await.len() as u64, appended);
    assert!(times(&db, old, "log_events").await.is_empty());
    let left = count(&db, "SELECT page_count FROM pragma_page_count").await;
    assert!(left < pages / 2, "{left} pages of {pages}");
    assert_eq!(db.check().await.unwrap(), None);
}

#[tokio::test]
async fn old_readings_go_though_there_is_always_something_to_fold() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let (old, new) = (enrolled(&db, "old").await, enrolled(&db, "another").await);
    hours(&db, old, "load", (0, 100)).await;
    let now_ms = T0 + 300 * HOUR;
    for seq in 1..20 {
        db.append(new, 1, vec![of("load", seq, now_ms)], now_ms - 2 * HOUR).await.unwrap();
        db.retain(&Retention { age_max_ms: DAY, ..all() }, now_ms).await.unwrap();
    }
    assert!(times(&db, old, "load").await.is_empty());
    assert_eq!(times(&db, new, "load").await.len(), 19);
}

#[tokio::test]
async fn a_store_of_before_is_brought_over_with_all_its_readings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut connection = Connection::open(&path).unwrap();
    migrate::migrate_to(&mut connection, 7).unwrap();
    let numbered = |seq: u64| deskside_proto::v1::Numbered { seq, reading: of("boot", seq, T0 + seq as i64).reading };
    let batch = deskside_proto::v1::Batch { epoch: u64::MAX, readings: (1..4).map(numbered).collect() };
    connection
        .execute_batch(
            "INSERT INTO device (no, id, name, machine, agent_version, enrolled_ms) \
             VALUES (1, '00000000-0000-0000-0000-000000000001', 'a', 'a', '0', 1); \
             INSERT INTO table_name VALUES (1, 'boot'); INSERT INTO stream VALUES (1, -1, 3);",
        )
        .unwrap();
    let content = content::seal_block(&batch).unwrap();
    connection.execute("INSERT INTO block VALUES (1, 1, 77, 9, ?1)", [content]).unwrap();
    for (seq, nth) in [(2, 1), (3, 2)] {
        connection.execute("INSERT INTO reading VALUES (1, 1, ?1, 1, ?2)", [T0 + seq, nth]).unwrap();
    }
    drop(connection);
    let db = open(&folder);
    let device = db.devices().await.unwrap()[0].id;
    let held = db.history(device, "boot", 0, i64::MAX, 9).await.unwrap();
    assert_eq!(held, [of("boot", 2, T0 + 2).reading.unwrap(), of("boot", 3, T0 + 3).reading.unwrap()]);
    kept_tidy(&db, &all(), T0 + DAY).await;
    assert_eq!(db.history(device, "boot", 0, i64::MAX, 9).await.unwrap(), held);
}
