//! Tests of a session on a real store.

use deskside_proto::{
    rows::Row,
    v1::{Batch, Boot, Catalogue, Hello, Kept, Loss, Numbered, Outcome, Reading},
};
use prost::Message;

use super::*;
use crate::store::{Db, NewDevice, NewToken};

struct World {
    _folder: tempfile::TempDir,
    store: Arc<dyn Store>,
    ingest: Ingest,
    device: Uuid,
}

async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Db::open(&folder.path().join("store.db")).unwrap());
    let token = NewToken { id: "t".into(), secret_sha256: [1; 32], uses: 1, expires_ms: i64::MAX };
    store.add_token(token, 0).await.unwrap();
    let device = store.enrol([1; 32], NewDevice::default(), 1).await.unwrap().unwrap().id;
    let ingest = Ingest::open(Arc::clone(&store), 1).await.unwrap();
    World { _folder: folder, store, ingest, device }
}

fn hello(tables: &[(&str, u64)]) -> Hello {
    let schemas = tables.iter().map(|(table, hash)| ((*table).to_owned(), *hash)).collect();
    Hello { epoch: 5, last_seq: 1000, schemas, ..Hello::default() }
}

fn batch(readings: Vec<(u64, Reading)>) -> Batch {
    let readings = readings.into_iter().map(|(seq, reading)| Numbered { seq, reading: Some(reading) }).collect();
    Batch { epoch: 5, readings }
}

fn boot(at_ms: i64) -> Reading {
    let rows = vec![Boot::default().encode_to_vec().into()];
    Reading { table: Boot::TABLE.into(), at_ms, outcome: Outcome::Ok.into(), rows, ..Reading::default() }
}

#[tokio::test]
async fn what_is_acknowledged_is_in_the_store() {
    let world = world().await;
    let mut session = world.ingest.hello(world.device, hello(&[]), 1).await.unwrap().session;
    session.batch(batch(vec![(3, boot(30)), (7, boot(70))]), 1).await.unwrap().unwrap();
    session.batch(batch(vec![(8, boot(80))]), 1).await.unwrap().unwrap();
    let mut kept = 0;
    while kept < 8 {
        let Kept { epoch, seq } = session.durable(|| 1).await.unwrap();
        assert_eq!(epoch, 5);
        kept = seq;
        let held = world.store.history(world.device, Boot::TABLE, 0, 100, 100).await.unwrap();
        assert!(
            held.last().unwrap().at_ms >= i64::try_from(seq).unwrap() * 10,
            "{seq} was acknowledged before it was kept"
        );
    }
    assert!(!session.is_waiting());
    assert_eq!(world.ingest.hello(world.device, hello(&[]), 2).await.unwrap().kept_seq, 8);
}

#[tokio::test]
async fn a_poisoned_reading_blocks_nothing() {
    let world = world().await;
    let mut session = world.ingest.hello(world.device, hello(&[]), 1).await.unwrap().session;
    let garbage = Reading { rows: vec![vec![0xff; 9].into()], ..boot(10) };
    let nameless = Reading { table: "../etc".into(), ..boot(20) };
    session
        .batch(
            batch(vec![(1, garbage), (2, nameless), (3, boot(30)), (4, Reading { table: String::new(), ..boot(1) })]),
            1,
        )
        .await
        .unwrap()
        .unwrap();
    assert_eq!(session.durable(|| 1).await.unwrap().seq, 4);
    let held = world.store.history(world.device, Boot::TABLE, 0, 100, 100).await.unwrap();
    let outcomes: Vec<Outcome> = held.iter().map(Reading::outcome).collect();
    assert_eq!(outcomes, [Outcome::Failed, Outcome::Ok]);
    assert_eq!(world.store.device(world.device).await.unwrap().unwrap().lost, 2);
}

#[tokio::test]
async fn what_the_device_says_it_lost_is_counted_once() {
    let world = world().await;
    let rows = vec![Loss { readings: 41, ..Loss::default() }.encode_to_vec().into()];
    let loss = Reading { table: Loss::TABLE.into(), rows, ..boot(10) };
    for _ in 0..2 {
        let mut session = world.ingest.hello(world.device, hello(&[]), 1).await.unwrap().session;
        session.batch(batch(vec![(1, loss.clone())]), 1).await.unwrap().unwrap();
        if session.is_waiting() {
            session.durable(|| 1).await.unwrap();
        }
    }
    assert_eq!(world.store.device(world.device).await.unwrap().unwrap().lost, 41);
}

#[tokio::test]
async fn a_batch_of_another_record_or_out_of_order_is_refused() {
    let world = world().await;
    let mut session = world.ingest.hello(world.device, hello(&[]), 1).await.unwrap().session;
    let other = Batch { epoch: 6, ..batch(vec![(1, boot(1))]) };
    let absent = Batch { epoch: 5, readings: vec![Numbered { seq: 1, reading: None }] };
    for wrong in [other, absent, batch(vec![(2, boot(1)), (1, boot(1))])] {
        assert!(session.batch(wrong, 1).await.unwrap().is_err());
    }
    assert!(!session.is_waiting());
}

#[tokio::test]
async fn a_table_the_server_does_not_know_is_asked_for_kept_and_described() {
    let world = world().await;
    let own = catalog::table(Boot::TABLE).unwrap();
    let mut schema = own.clone();
    schema.name = "toasters".into();
    let said = [("toasters", catalog::hash(&schema)), (Boot::TABLE, catalog::hash(own))];
    let begun = world.ingest.hello(world.device, hello(&said), 1).await.unwrap();
    assert_eq!(begun.want, Some(WantSchemas { tables: vec!["toasters".into()] }));
    let mut session = begun.session;
    let toast = Reading { table: "toasters".into(), ..boot(10) };
    session.batch(batch(vec![(1, toast.clone())]), 1).await.unwrap().unwrap();
    session.durable(|| 1).await.unwrap();
    assert_eq!(world.store.latest_of(world.device, "toasters").await.unwrap().unwrap().reading, toast);
    let mut bad = schema.clone();
    bad.name = "Bad Name".into();
    session.schemas(Catalogue { tables: vec![bad, schema.clone()] }, 2).await.unwrap();
    assert_eq!(world.store.schema(Some(world.device), "toasters").await.unwrap(), Some(schema));
    assert_eq!(world.store.schema(None, "Bad Name").await.unwrap(), None);
    assert_eq!(world.ingest.hello(world.device, hello(&said), 3).await.unwrap().want, None);
    let garbage = Reading { rows: vec![vec![0xff; 9].into()], ..toast };
    session.batch(batch(vec![(2, garbage)]), 1).await.unwrap().unwrap();
    session.durable(|| 1).await.unwrap();
    let latest = world.store.latest_of(world.device, "toasters").await.unwrap().unwrap();
    assert_eq!(latest.reading.outcome(), Outcome::Failed, "rows are checked as soon as their table is known");
}

#[tokio::test]
async fn an_older_session_that_writes_late_loses_and_doubles_nothing() {
    let world = world().await;
    let mut older = world.ingest.hello(world.device, hello(&[]), 1).await.unwrap().session;
    let mut newer = world.ingest.hello(world.device, hello(&[]), 1).await.unwrap().session;
    newer.batch(batch(vec![(1, boot(1)), (2, boot(2))]), 1).await.unwrap().unwrap();
    newer.durable(|| 1).await.unwrap();
    older.batch(batch(vec![(1, boot(1)), (2, boot(2)), (3, boot(3))]), 1).await.unwrap().unwrap();
    older.durable(|| 1).await.unwrap();
    newer.batch(batch(vec![(3, boot(3)), (4, boot(4))]), 1).await.unwrap().unwrap();
    newer.durable(|| 1).await.unwrap();
    let held = world.store.history(world.device, Boot::TABLE, 0, 100, 100).await.unwrap();
    assert_eq!(held.iter().map(|reading| reading.at_ms).collect::<Vec<_>>(), [1, 2, 3, 4]);
}
