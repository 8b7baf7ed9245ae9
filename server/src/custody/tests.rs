//! A log that was cut, edited or written anew is found out, at the start and on request.

use deskside_proto::seal::Break;

use super::*;
use crate::store::Db;

struct House {
    folder: tempfile::TempDir,
    store: Arc<Db>,
    custody: Custody,
}

impl House {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Db::open(&folder.path().join("store.db")).unwrap());
        let authority = Arc::new(Authority::open(folder.path()).unwrap());
        let custody = Custody::new(store.clone(), authority, folder.path());
        let house = Self { folder, store, custody };
        for number in 0..12 {
            house.did(number % 3, &format!("deed {number}")).await;
        }
        house.custody.keep_head().await.unwrap();
        house
    }

    async fn did(&self, ticket: u64, text: &str) {
        let (who, what) = ("anna".to_owned(), "view".to_owned());
        let line = AuditLine { at_ms: 1, who, what, ticket, text: text.into(), ..AuditLine::default() };
        self.store.add_audit(line).await.unwrap();
    }

    /// As one would who can write to the store's file.
    async fn tampered(&self, sql: &'static str) {
        let free = "DROP TRIGGER custody_log_is_immutable; DROP TRIGGER custody_log_stays;";
        self.store.write(move |tx| Ok(tx.execute_batch(&format!("{free} {sql}"))?)).await.unwrap();
    }

    async fn wrong(&self) -> String {
        self.custody.look().await.unwrap().wrong.join("; ")
    }
}

#[tokio::test]
async fn a_log_that_nobody_touched_is_whole_and_goes_on() {
    let house = House::open().await;
    house.did(7, "after the head").await;
    let look = house.custody.look().await.unwrap();
    assert_eq!((look.entries, look.vouched, look.wrong.len()), (13, Some(12), 0), "{look:?}");
    let (head, _envelope) = house.custody.head(Some(1)).await.unwrap();
    assert_eq!((head.number, head.ticket.unwrap().entries), (13, 4));
}

#[tokio::test]
async fn what_was_done_to_the_store_is_found_out() {
    for (sql, word) in [
        ("UPDATE custody_log SET who = 'eve' WHERE number = 5", "entry 5 was edited"),
        ("DELETE FROM custody_log WHERE number = 5", "entry 6 does not follow"),
        ("DELETE FROM custody_log WHERE number > 8", "goes on to 12"),
        ("DELETE FROM custody_log", "goes on to 12"),
        (
            "UPDATE custody_log SET number = -5 WHERE number = 5; UPDATE custody_log SET number = 5 WHERE number = 6; UPDATE custody_log SET number = 6 WHERE number = -5",
            "entry 5 was edited",
        ),
    ] {
        let house = House::open().await;
        house.tampered(sql).await;
        let wrong = house.wrong().await;
        assert!(wrong.contains(word) || wrong.contains("it went on to 12"), "{sql}: {wrong}");
    }
}

#[tokio::test]
async fn a_log_that_was_written_anew_is_not_the_one_that_the_head_names() {
    let house = House::open().await;
    house.tampered("DELETE FROM custody_log").await;
    for number in 0..12 {
        house.did(0, &format!("other {number}")).await;
    }
    assert_eq!(house.store.audit_broken_at().await.unwrap(), None, "by itself it looks whole");
    assert!(house.wrong().await.contains(&Break::Replaced(12).to_string()));
}

#[tokio::test]
async fn what_the_start_found_stays_known_after_the_next_head() {
    let house = House::open().await;
    house.tampered("DELETE FROM custody_log WHERE number > 8").await;
    for _start in 0..2 {
        let look = house.custody.look().await.unwrap();
        house.custody.told(&look).await;
        house.custody.keep_head().await.unwrap();
    }
    let look = house.custody.look().await.unwrap();
    assert_eq!((look.entries, look.wrong.len()), (9, 1), "{look:?}");
    assert!(look.wrong[0].contains("found at the start") && look.wrong[0].contains("its end was cut off"), "{look:?}");
}

#[tokio::test]
async fn a_head_that_somebody_else_signed_is_none() {
    let (house, other) = (House::open().await, House::open().await);
    let path = |house: &House| house.folder.path().join(CUSTODY_HEAD);
    fs::copy(path(&other), path(&house)).unwrap();
    assert!(house.wrong().await.contains("another CA"));
}
