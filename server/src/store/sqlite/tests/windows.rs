//! The past and the whole fleet, page by page.

use super::*;
use crate::store::{Cursor, Latest, Order, Page, Window};

/// Every page of a window, each of two readings at most: whose each reading is, and when its look began.
async fn paged(db: &Db, window: Window) -> Vec<(Uuid, i64)> {
    let (mut all, mut after): (_, Option<Cursor>) = (Vec::new(), None);
    loop {
        let page = db.window(window.clone(), after, 2).await.unwrap();
        assert!(page.found.len() <= 2);
        all.extend(page.found.into_iter().map(|(device, reading)| (device, reading.at_ms)));
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

fn boot(device: Option<Uuid>, from_ms: i64, to_ms: i64, order: Order) -> Window {
    Window { device, table: "boot".into(), from_ms, to_ms, order }
}

#[tokio::test]
async fn a_window_is_read_from_either_end_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let (one, two) = (enrolled(&db, "one").await, enrolled(&db, "second").await);
    for device in [one, two] {
        let batch = |from: u64| (from..from + 4).map(|seq| arrival(seq, seq as i64 * 10, "x")).collect();
        db.append(device, 1, batch(1), 1).await.unwrap();
        db.append(device, 1, batch(5), 1).await.unwrap();
        db.append(device, 1, vec![arrival(9, 45, "its clock was set back")], 1).await.unwrap();
    }
    let times = |found: Vec<(Uuid, i64)>| found.into_iter().map(|(_device, at_ms)| at_ms).collect::<Vec<_>>();
    let found = paged(&db, boot(Some(one), 20, 70, Order::OldestFirst)).await;
    assert_eq!(times(found), [20, 30, 40, 45, 50, 60, 70]);
    let found = paged(&db, boot(Some(two), 20, 70, Order::NewestFirst)).await;
    assert_eq!(times(found), [70, 60, 50, 45, 40, 30, 20]);
    let fleet = paged(&db, boot(None, 70, i64::MAX, Order::OldestFirst)).await;
    assert_eq!(fleet, [(one, 70), (one, 80), (two, 70), (two, 80)]);
    assert!(paged(&db, boot(None, 81, i64::MAX, Order::NewestFirst)).await.is_empty());
    assert!(
        paged(&db, Window { table: "none".into(), ..boot(None, 0, i64::MAX, Order::OldestFirst) }).await.is_empty()
    );
    assert_eq!(
        (db.held_since(one, "boot").await.unwrap(), db.held_since(one, "none").await.unwrap()),
        (Some(10), None)
    );
}

#[tokio::test]
async fn the_latest_of_the_whole_fleet_comes_device_by_device() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let mut devices = Vec::new();
    for (name, at_ms) in [("a", 10), ("bb", 20), ("ccc", 30)] {
        let device = enrolled(&db, name).await;
        db.append(device, 1, vec![arrival(1, at_ms, name)], 1).await.unwrap();
        db.append(device, 1, vec![Arrival { seq: 2, reading: Some(reading("load", 1, "y")), lost: 0 }], 1)
            .await
            .unwrap();
        devices.push((device, at_ms));
    }
    enrolled(&db, "silent").await;
    let first: Page<Latest> = db.latest_all("boot", None, 2).await.unwrap();
    let second = db.latest_all("boot", first.next, 2).await.unwrap();
    let found = first.found.into_iter().chain(second.found).map(|(device, latest)| (device, latest.checked_ms));
    assert_eq!((found.collect::<Vec<_>>(), second.next), (devices, None));
}
