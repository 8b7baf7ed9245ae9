//! What waits in memory, what does not, and that nothing of it is lost on the way out.

use deskside_proto::v1::{Load, Os};

use super::*;

const T0: i64 = 1_780_000_000_000;
const LONG: Duration = Duration::from_hours(1);

fn reading<R: Row>(at_ms: i64, outcome: Outcome, row: &R) -> Entry {
    let rows = vec![row.encode_to_vec().into()];
    let reading = Reading { table: R::TABLE.into(), at_ms, outcome: outcome.into(), rows, ..Reading::default() };
    Entry { reading, stream: true, position: None }
}

fn load(at_ms: i64) -> Entry {
    reading(at_ms, Outcome::Ok, &Load { load_1: at_ms as f64, ..Load::default() })
}

fn os(at_ms: i64, kernel: &str) -> Entry {
    reading(at_ms, Outcome::Ok, &Os { kernel: kernel.into(), ..Os::default() })
}

struct House {
    folder: tempfile::TempDir,
    keeper: Keeper,
    thread: std::thread::JoinHandle<()>,
}

impl House {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = Arc::new(Registry::standard());
        let (keeper, thread) = Keeper::start(folder.path(), Bounds::default(), registry, T0).unwrap();
        Self { folder, keeper, thread }
    }

    /// Gathers, and the highest number that is on the disk then.
    async fn gather(&self, entry: Entry, longest: Duration) -> u64 {
        self.keeper.gather(entry.reading.at_ms, vec![entry], longest).await.unwrap();
        self.written().await
    }

    async fn written(&self) -> u64 {
        self.keeper.with(|shelf| shelf.record.last_seq()).await.unwrap()
    }

    /// The agent stops; how many readings the record holds.
    fn close(self) -> u64 {
        drop(self.keeper);
        self.thread.join().unwrap();
        let registry = Arc::new(Registry::standard());
        Record::open(self.folder.path(), Bounds::default(), registry, T0).unwrap().stats().readings
    }
}

#[tokio::test]
async fn samples_wait_for_a_change_and_are_written_with_it() {
    let house = House::open();
    assert_eq!(house.gather(load(T0), LONG).await, 1, "the first since the start is written at once");
    assert_eq!(house.gather(load(T0 + 1), LONG).await, 1);
    assert_eq!(house.gather(load(T0 + 2), LONG).await, 1);
    assert_eq!(house.gather(os(T0 + 3, "6.1"), LONG).await, 4, "a state is written at once, and what waits with it");
    assert_eq!(house.gather(load(T0 + 4), LONG).await, 4);
    assert_eq!(house.gather(os(T0 + 5, "6.1"), LONG).await, 4, "a state that is as it was is no change");
    let unchanged = house.keeper.with(|shelf| shelf.record.unchanged()).await.unwrap();
    assert_eq!(unchanged.into_iter().collect::<Vec<_>>(), [("os".to_owned(), T0 + 5)], "the server hears of it");
    assert_eq!(house.gather(os(T0 + 6, "6.12"), LONG).await, 6);
    assert_eq!(house.close(), 6);
}

#[tokio::test]
async fn a_look_that_ends_otherwise_than_the_one_before_does_not_wait() {
    let house = House::open();
    house.gather(load(T0), LONG).await;
    let failed = |at_ms| reading(at_ms, Outcome::Failed, &Load::default());
    assert_eq!(house.gather(failed(T0 + 1), LONG).await, 2);
    assert_eq!(house.gather(failed(T0 + 2), LONG).await, 2);
    assert_eq!(house.gather(load(T0 + 3), LONG).await, 4);
    drop(house);
}

#[tokio::test]
async fn samples_do_not_wait_longer_than_they_may() {
    let house = House::open();
    house.gather(load(T0), LONG).await;
    assert_eq!(house.gather(load(T0 + 1), LONG).await, 1);
    assert_eq!(house.gather(load(T0 + 2), Duration::ZERO).await, 3, "policy does not let them wait any more");
    assert_eq!(house.gather(load(T0 + 3), LONG).await, 3);
    house.keeper.with(|shelf| shelf.longest = Duration::ZERO).await.unwrap();
    house.keeper.with(|shelf| shelf.tidy(T0 + 4)).await.unwrap().unwrap();
    assert_eq!(house.written().await, 4, "where no other look comes, tidying writes them");
}

#[tokio::test]
async fn more_samples_than_may_wait_are_written() {
    let house = House::open();
    let row = Load { load_1: 1.0, ..Load::default() };
    let large = |at_ms| {
        let mut entry = reading(at_ms, Outcome::Ok, &row);
        entry.reading.rows = vec![vec![0; GATHERED_BYTES_MAX / 2].into()];
        entry
    };
    house.gather(load(T0), LONG).await;
    assert_eq!(house.gather(large(T0 + 1), LONG).await, 1);
    assert_eq!(house.gather(large(T0 + 2), LONG).await, 3);
}

#[tokio::test]
async fn who_reads_the_record_finds_what_waits_and_a_stop_loses_nothing() {
    let house = House::open();
    house.gather(load(T0), LONG).await;
    house.gather(load(T0 + 1), LONG).await;
    let mut found = 0;
    let reader = house.keeper.reader().await.unwrap();
    reader.history("load", T0, T0 + 9, &mut |_reading| found += 1).unwrap();
    assert_eq!(found, 2);
    house.gather(load(T0 + 2), LONG).await;
    assert_eq!(house.written().await, 2);
    drop(reader);
    assert_eq!(house.close(), 3);
}
