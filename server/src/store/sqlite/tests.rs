//! Tests of the store on a real file.

mod keeping;
mod killed;
mod windows;

use std::time::Duration;

use deskside_proto::v1::{Outcome, Reading};
use uuid::Uuid;

use super::*;
use crate::store::{
    Arrival, Attachment, CustodyEntry, Devices, EvidenceItem, EvidenceItems, Greeting, NewCredential, NewDevice,
    NewTechnician, NewTicket, NewToken, Readings, Retention, Role, Technicians, Tickets, TokenRefusal, Tokens,
};

fn open(folder: &tempfile::TempDir) -> Db {
    Db::open(&folder.path().join("store.db")).unwrap()
}

async fn enrolled(db: &Db, name: &str) -> Uuid {
    let secret = [name.len() as u8; 32];
    let token = NewToken { id: name.into(), secret_sha256: secret, uses: 1, expires_ms: 100 };
    db.add_token(token, 0).await.unwrap();
    let device = NewDevice { name: name.into(), machine: name.into(), agent_version: "0".into() };
    db.enrol(secret, device, 1).await.unwrap().unwrap().id
}

fn reading(table: &str, at_ms: i64, row: &str) -> Reading {
    let rows = vec![row.as_bytes().to_vec().into()];
    Reading { table: table.into(), at_ms, outcome: Outcome::Ok.into(), rows, ..Reading::default() }
}

fn arrival(seq: u64, at_ms: i64, row: &str) -> Arrival {
    Arrival { seq, reading: Some(reading("boot", at_ms, row)), lost: 0 }
}

#[tokio::test]
async fn a_reading_that_arrives_twice_is_kept_once() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let device = enrolled(&db, "a").await;
    assert_eq!(db.append(device, 9, vec![arrival(1, 10, "x"), arrival(4, 20, "y")], 1).await.unwrap(), 4);
    assert_eq!(db.append(device, 9, vec![arrival(4, 20, "y"), arrival(5, 30, "z")], 2).await.unwrap(), 5);
    assert_eq!(db.append(device, 9, vec![arrival(2, 15, "late")], 3).await.unwrap(), 5);
    let rows: Vec<i64> =
        db.history(device, "boot", 0, 100, 10).await.unwrap().into_iter().map(|reading| reading.at_ms).collect();
    assert_eq!(rows, [10, 20, 30]);
}

#[tokio::test]
async fn each_record_and_each_device_counts_for_itself() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let (one, two) = (enrolled(&db, "one").await, enrolled(&db, "second").await);
    db.append(one, u64::MAX, vec![arrival(7, 10, "x")], 1).await.unwrap();
    let greet = |epoch| Greeting { epoch, ..Greeting::default() };
    assert_eq!(db.greet(one, greet(u64::MAX), 1).await.unwrap(), 7);
    assert_eq!(db.greet(one, greet(1), 1).await.unwrap(), 0);
    assert_eq!(db.greet(two, greet(u64::MAX), 1).await.unwrap(), 0);
}

#[tokio::test]
async fn the_past_is_what_was_read_last_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let device = enrolled(&db, "a").await;
    db.append(device, 1, vec![arrival(1, 10, "x"), arrival(2, 20, "y")], 1).await.unwrap();
    assert_eq!(db.at(device, "boot", 9).await.unwrap(), None);
    assert_eq!(db.at(device, "boot", 19).await.unwrap(), Some(reading("boot", 10, "x")));
    assert_eq!(db.at(device, "boot", 20).await.unwrap(), Some(reading("boot", 20, "y")));
    assert_eq!(db.at(device, "other", 20).await.unwrap(), None);
    let newest = db.history(device, "boot", 0, 100, 1).await.unwrap();
    assert_eq!(newest, [reading("boot", 20, "y")]);
}

#[tokio::test]
async fn the_latest_is_what_came_last_and_says_when_it_was_checked() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let device = enrolled(&db, "a").await;
    db.append(device, 1, vec![arrival(1, 500, "x"), arrival(2, 20, "clock was set back")], 1).await.unwrap();
    let latest = db.latest_of(device, "boot").await.unwrap().unwrap();
    assert_eq!((latest.reading.at_ms, latest.checked_ms), (20, 20));
    db.unchanged(device, vec![("boot".into(), 90), ("none".into(), 1)], 77).await.unwrap();
    assert_eq!(db.latest(device).await.unwrap()[0].checked_ms, 90);
    assert_eq!(db.device(device).await.unwrap().unwrap().seen_ms, 77);
}

#[tokio::test]
async fn what_was_answered_is_there_after_the_file_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let device = enrolled(&db, "a").await;
    db.append(device, 1, vec![arrival(1, 10, "x")], 1).await.unwrap();
    drop(db);
    let db = open(&folder);
    assert_eq!(db.latest(device).await.unwrap().len(), 1);
    assert_eq!(db.check().await.unwrap(), None);
}

#[tokio::test]
async fn a_job_that_fails_leaves_nothing_and_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let device = enrolled(&db, "a").await;
    let many = (0..40_u64).map(|n| {
        let db = db.clone();
        tokio::spawn(async move {
            if n % 2 == 0 {
                let failed = db.write(|tx| -> Result<()> {
                    tx.execute("DELETE FROM stream", [])?;
                    tx.execute("DELETE FROM loose", [])?;
                    anyhow::bail!("no")
                });
                assert!(failed.await.is_err());
            } else {
                db.append(device, n, vec![arrival(1, n as i64, "x")], 1).await.unwrap();
            }
        })
    });
    for task in many.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(db.history(device, "boot", 0, 100, 100).await.unwrap().len(), 20);
}

#[tokio::test]
async fn a_token_lets_in_as_many_as_it_says_and_no_longer_than_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    db.add_token(NewToken { id: "t".into(), secret_sha256: [1; 32], uses: 2, expires_ms: 100 }, 0).await.unwrap();
    let enrol =
        |secret: u8, now_ms| db.enrol([secret; 32], NewDevice { machine: "m".into(), ..NewDevice::default() }, now_ms);
    let first = enrol(1, 1).await.unwrap().unwrap();
    assert_eq!(first.before, None);
    assert_eq!(enrol(1, 100).await.unwrap(), Err(TokenRefusal::Expired));
    let second = enrol(1, 2).await.unwrap().unwrap();
    assert_eq!(second.before, Some(first.id));
    assert_eq!(enrol(1, 3).await.unwrap(), Err(TokenRefusal::UsedUp));
    assert_eq!(enrol(2, 3).await.unwrap(), Err(TokenRefusal::Unknown));
    assert!(db.revoke_token("t").await.unwrap());
    assert_eq!(enrol(1, 3).await.unwrap(), Err(TokenRefusal::Revoked));
    assert_eq!(db.devices().await.unwrap().len(), 2);
}

#[tokio::test]
async fn revocations_are_told_once_to_one_who_remembers_the_mark() {
    let folder = tempfile::tempdir().unwrap();
    let (db, other) = (open(&folder), open(&folder));
    let device = enrolled(&db, "a").await;
    let (ids, mark) = db.revocations(0).await.unwrap();
    assert!(ids.is_empty());
    assert!(other.revoke_device(device, 5).await.unwrap(), "another process writes to the same file");
    assert!(!other.revoke_device(device, 6).await.unwrap());
    let (ids, mark) = db.revocations(mark).await.unwrap();
    assert_eq!(ids, [device]);
    assert!(db.revocations(mark).await.unwrap().0.is_empty());
}

#[tokio::test]
async fn a_device_is_found_by_id_beginning_and_name() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let device = enrolled(&db, "Front-Desk").await;
    let id = device.to_string();
    for text in [id.as_str(), &id[..8], "front-desk", "FRONT-DESK "] {
        let found = db.find_devices(text).await.unwrap();
        assert_eq!(found.iter().map(|found| found.id).collect::<Vec<_>>(), [device], "{text}");
    }
    for text in ["", "%", "____", &id[..3], "front"] {
        assert!(db.find_devices(text).await.unwrap().is_empty(), "{text}");
    }
}

#[tokio::test]
async fn old_readings_go_and_the_latest_of_each_table_stays() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let device = enrolled(&db, "a").await;
    for seq in 1..=10 {
        db.append(device, 1, vec![arrival(seq, seq as i64, "x")], seq as i64 * 100).await.unwrap();
    }
    let held = db.history(device, "boot", 0, 100, 100).await.unwrap();
    assert_eq!(held.into_iter().map(|reading| reading.at_ms).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    let nothing = Retention { age_max_ms: i64::MAX, bytes_max: 0, device_bytes_max: u64::MAX, ..Retention::default() };
    while db.retain(&nothing, 2_000).await.unwrap() {}
    assert!(db.history(device, "boot", 0, 100, 100).await.unwrap().is_empty());
    assert_eq!(db.latest(device).await.unwrap().len(), 1);
    assert_eq!(db.greet(device, Greeting { epoch: 1, ..Greeting::default() }, 1).await.unwrap(), 10);
}

#[tokio::test]
async fn a_technicians_new_token_voids_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let token = |id: &str| NewCredential { id: id.into(), hash: "$argon2id$".into(), expires_ms: 90 };
    let ann = |id| NewTechnician { name: "ann".into(), role: Role::Technician, credential: token(id) };
    db.add_technician(ann("one"), 1).await.unwrap();
    db.add_technician(ann("two"), 2).await.unwrap();
    assert_eq!(db.credential("one").await.unwrap(), None);
    db.used("two", 7).await.unwrap();
    let two = db.credential("two").await.unwrap().unwrap();
    assert_eq!((two.role, two.expires_ms, two.used_ms), (Role::Technician, 90, 7));
    assert!(db.renew_token("ann", token("three"), 3).await.unwrap());
    assert_eq!(db.credential("two").await.unwrap(), None);
    assert!(db.revoke_technician("ann").await.unwrap());
    assert_eq!(db.credential("three").await.unwrap(), None);
    assert!(!db.renew_token("ann", token("four"), 3).await.unwrap(), "one who was revoked is renewed by nobody");
    assert_eq!(db.credential("four").await.unwrap(), None);
}

#[tokio::test]
async fn a_token_of_a_store_from_before_lets_in_for_ninety_days_more() {
    let folder = tempfile::tempdir().unwrap();
    let mut old = Connection::open(folder.path().join("store.db")).unwrap();
    migrate::migrate_to(&mut old, 10).unwrap();
    old.execute_batch(
        "INSERT INTO technician VALUES ('ann', 'admin', x'0102030405060708090a', 5, 0), ('ben', 'viewer', x'ff', 6, 1)",
    )
    .unwrap();
    drop(old);
    let db = open(&folder);
    let ann = db.credential("0102030405060708").await.unwrap().unwrap();
    assert_eq!(
        (ann.technician.as_str(), ann.role, ann.hash.as_str()),
        ("ann", Role::Admin, "sha256:0102030405060708090a")
    );
    let now_ms = jiff::Timestamp::now().as_millisecond();
    assert!(ann.expires_ms > now_ms + 89 * 86_400_000 && ann.expires_ms < now_ms + 91 * 86_400_000);
    let all = db.technicians().await.unwrap();
    assert_eq!(
        all.iter().map(|one| (one.name.as_str(), one.revoked)).collect::<Vec<_>>(),
        [("ann", false), ("ben", true)]
    );
}

#[tokio::test]
async fn evidence_and_custody_cannot_be_changed_even_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let item = EvidenceItem {
        id: Uuid::new_v4(),
        ticket: 7,
        device: Some(Uuid::new_v4()),
        collection: Some(Uuid::new_v4()),
        name: "a.zip".into(),
        size: 3,
        sha256: "00".into(),
        stored_ms: 1,
        location: "7/a.zip".into(),
        deleted_ms: 0,
    };
    let written = item.clone();
    db.write(move |tx| evidence::insert(tx, &written)).await.unwrap();
    let entry = CustodyEntry { at_ms: 1, who: "ann".into(), what: "viewed".into(), text: String::new() };
    db.add_custody(item.id, entry.clone()).await.unwrap();
    for sql in
        ["UPDATE evidence SET size = 4", "DELETE FROM evidence", "UPDATE custody SET who = ''", "DELETE FROM custody"]
    {
        assert!(db.write(move |tx| Ok(tx.execute(sql, [])?)).await.is_err(), "{sql}");
    }
    assert_eq!(db.custody(item.id).await.unwrap(), [entry]);
    assert_eq!(db.evidence(Some(8)).await.unwrap(), []);
    assert_eq!(db.evidence(Some(7)).await.unwrap(), [item]);
}

#[tokio::test]
async fn a_file_is_attached_once_to_a_ticket_and_links_its_device() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let device = enrolled(&db, "a").await;
    let ticket = db.open_ticket(NewTicket { title: "t".into(), ..NewTicket::default() }, Vec::new(), 1).await.unwrap();
    let attachment = |ticket: u64, device| Attachment {
        item: EvidenceItem {
            id: Uuid::new_v4(),
            ticket,
            device,
            collection: None,
            name: "a.evtx".into(),
            size: 3,
            sha256: "00".into(),
            stored_ms: 1,
            location: "7/00".into(),
            deleted_ms: 0,
        },
        custody: vec![CustodyEntry { at_ms: 1, who: "ann".into(), what: "attached".into(), text: String::new() }],
        events: Vec::new(),
    };
    let first = attachment(ticket.number, Some(device));
    assert_eq!(db.attach(first.clone()).await.unwrap(), None);
    assert_eq!(db.attach(attachment(ticket.number, None)).await.unwrap().as_ref(), Some(&first.item));
    assert_eq!(db.custody(first.item.id).await.unwrap(), first.custody);
    let ticket = db.ticket(ticket.number).await.unwrap().unwrap();
    assert_eq!((ticket.evidence, ticket.devices), (1, vec![device]));
    let other = db.open_ticket(NewTicket::default(), Vec::new(), 1).await.unwrap();
    assert_eq!(db.attach(attachment(other.number, None)).await.unwrap(), None, "another ticket may have it too");
}

#[tokio::test]
async fn evidence_of_a_store_from_before_attachments_is_kept_with_its_custody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut old = Connection::open(&path).unwrap();
    migrate::migrate_to(&mut old, 7).unwrap();
    old.execute_batch(
        "INSERT INTO evidence (id, ticket, device, collection, name, size, sha256, stored_ms, location)
         VALUES ('6e1d2a0c-0f0e-4d0b-8a51-0a4d52a2c001', 1, '6e1d2a0c-0f0e-4d0b-8a51-0a4d52a2c002',
                 '6e1d2a0c-0f0e-4d0b-8a51-0a4d52a2c003', 'a.zip', 3, '00', 1, '1/a.zip');
         INSERT INTO custody (evidence, at_ms, who, what, words)
         VALUES ('6e1d2a0c-0f0e-4d0b-8a51-0a4d52a2c001', 1, 'ann', 'asked', '');",
    )
    .unwrap();
    drop(old);
    let db = open(&folder);
    let item = db.evidence(None).await.unwrap().remove(0);
    assert!(item.device.is_some() && item.collection.is_some());
    assert_eq!(db.custody(item.id).await.unwrap().len(), 1);
    assert!(db.write(|tx| Ok(tx.execute("UPDATE evidence SET size = 4", [])?)).await.is_err());
}

#[tokio::test]
async fn a_store_of_a_newer_release_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    db.write(|tx| Ok(tx.execute("INSERT INTO migration VALUES (9999)", [])?)).await.unwrap();
    drop(db);
    let error = format!("{:#}", Db::open(&folder.path().join("store.db")).err().unwrap());
    assert!(error.contains("newer deskside-server"), "{error}");
}

#[tokio::test]
async fn a_file_of_random_bytes_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    std::fs::write(&path, [0x5a; 8192]).unwrap();
    let error = format!("{:#}", Db::open(&path).err().unwrap());
    assert!(error.contains("store.db"), "{error}");
}

#[tokio::test]
async fn a_write_waits_for_another_process_and_then_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let other = Connection::open(folder.path().join("store.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let write = tokio::spawn(async move { enrolled(&db, "a").await });
    assert!(
        tokio::time::timeout(Duration::from_millis(50), async {
            while !write.is_finished() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .is_err()
    );
    other.execute_batch("COMMIT").unwrap();
    write.await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_to_each_and_writing_goes_on_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let device = enrolled(&db, "a").await;
    // Why not a small disk here: this is SQLite's own bound, which it reports and rolls back just as it does a full disk.
    let pages: i64 = db.write(|tx| Ok(tx.query_row("PRAGMA page_count", [], |row| row.get(0))?)).await.unwrap();
    db.write(move |tx| Ok(tx.query_row(&format!("PRAGMA max_page_count = {}", pages + 2), [], |_row| Ok(()))?))
        .await
        .unwrap();
    let noise: String =
        (0..60_000_u32).map(|n| char::from(b'a' + (n.wrapping_mul(2_654_435_761) >> 27) as u8 % 26)).collect();
    let mut kept = 0;
    let full = loop {
        match db.append(device, 1, vec![arrival(kept + 1, 1, &format!("{kept}{noise}"))], 1).await {
            Ok(upto) => kept = upto,
            Err(error) => break format!("{error:#}"),
        }
    };
    assert!(full.contains("full"), "{full}");
    assert_eq!(db.history(device, "boot", 0, 10, 100).await.unwrap().len() as u64, kept, "no half of it is there");
    db.write(|tx| Ok(tx.query_row("PRAGMA max_page_count = 1000000", [], |_row| Ok(()))?)).await.unwrap();
    assert_eq!(db.append(device, 1, vec![arrival(kept + 1, 1, &noise)], 1).await.unwrap(), kept + 1);
}
