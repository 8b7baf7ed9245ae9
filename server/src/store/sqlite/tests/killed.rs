//! A process that appends, folds and lets go is killed again and again: what it said is kept is there, once.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use super::*;

/// Where the process that is to be killed finds its store.
const STORE: &str = "DESKSIDE_TEST_STORE_TO_BE_KILLED";

const HOUR: i64 = 3_600_000;

/// A reading an hour; every reading that is said to be kept is a line of output. Never ends.
async fn live(folder: &std::path::Path) {
    let db = Db::open(&folder.join("store.db")).unwrap();
    let device = db.devices().await.unwrap()[0].id;
    let mut seq = db.greet(device, Greeting { epoch: 1, ..Greeting::default() }, 0).await.unwrap();
    // Little enough that blocks go all the time, and more than the readings that are asked for at the end.
    let retention =
        Retention { age_max_ms: 400 * HOUR, bytes_max: u64::MAX, device_bytes_max: u64::MAX, ..Retention::default() };
    loop {
        seq += 1;
        let at_ms = seq as i64 * HOUR;
        let load = Arrival { seq, reading: Some(reading("load", at_ms, &format!("{seq}"))), lost: 0 };
        db.append(device, 1, vec![load], at_ms).await.unwrap();
        println!("kept {seq}");
        if seq % 5 == 0 {
            while db.retain(&retention, at_ms).await.unwrap() {}
        }
    }
}

#[tokio::test]
async fn killing_the_server_while_it_folds_and_lets_go_loses_nothing_and_doubles_nothing() {
    if let Some(folder) = std::env::var_os(STORE) {
        return live(folder.as_ref()).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let device = enrolled(&open(&folder), "a").await;
    let mut kept = 0;
    for night in 0..8_u64 {
        let own = "store::sqlite::tests::killed::killing_the_server_while_it_folds_and_lets_go_loses_nothing_and_doubles_nothing";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", own, "--nocapture"])
            .env(STORE, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let said = lines.filter_map(|line| line.strip_prefix("kept ").and_then(|seq| seq.parse::<u64>().ok()));
        // Different numbers, so that death meets different moments.
        kept = said.take(90 + 7 * night as usize).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let db = open(&folder);
        let held = db.history(device, "load", i64::MIN, i64::MAX, u32::MAX).await.unwrap();
        let hours: Vec<i64> = held.iter().map(|reading| reading.at_ms / HOUR).collect();
        let first = hours[0];
        assert!(first <= (kept as i64 - 399).max(1), "night {night}: from {first} of {kept}");
        let last = hours[hours.len() - 1];
        assert!(last as u64 >= kept, "night {night}: up to {last} of {kept}");
        assert_eq!(hours, (first..=last).collect::<Vec<_>>(), "night {night}: each once");
        assert_eq!(db.check().await.unwrap(), None);
        let listed = db.read(|connection| {
            let sql = "SELECT sum(bytes) - coalesce((SELECT sum(size) FROM block), 0) - \
                       coalesce((SELECT sum(length(content)) FROM loose), 0) FROM holding";
            Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0))?)
        });
        assert_eq!(listed.await.unwrap(), 0, "what is held is counted");
    }
    assert!(kept > 700, "{kept}");
}
