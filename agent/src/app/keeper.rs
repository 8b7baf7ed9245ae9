//! The record on a thread of its own, so that a slow disk holds up nobody who does not wait for it; and what waits in memory: samples until
//! there are some minutes of them, so that the disk is seldom woken, and everything while the disk is full.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::{Loss, Outcome, Reading};
use prost::Message;
use tokio::sync::{mpsc, oneshot, watch};

use crate::collect::Registry;
use crate::collect::vitals::VITALS;
use crate::record::{Bounds, Entry, Reader, Record, RecordError, Stats};
use crate::uplink::Standing;

/// Calls that wait for the record.
const CALLS_MAX: usize = 32;

/// Bytes of readings that wait in memory while the disk is full; the oldest are dropped first, and counted.
const WAITING_BYTES_MAX: usize = 512 * 1024;

/// How long samples that nobody asked for wait for others to be written with, unless policy says otherwise. Why: each writing costs the disk
/// some thirty KiB and a flush, whatever is written. Why samples alone: what a crash takes away is then at most this much of what the machine
/// was like from minute to minute, and never an event or a change.
pub(super) const GATHER: Duration = Duration::from_mins(10);

/// Longest that policy may let them wait.
pub(super) const GATHER_MAX: Duration = Duration::from_hours(1);

/// Bytes of samples that wait; with more they are written down.
const GATHERED_BYTES_MAX: usize = 192 * 1024;

/// Between two counts of what the record holds.
const STATS_EVERY: Duration = Duration::from_secs(30);

/// The thread's stack.
const STACK_BYTES: usize = 512 * 1024;

type Call = Box<dyn FnOnce(&mut Shelf) + Send>;

/// The record, and what waits for room in it.
pub(super) struct Shelf {
    /// The record.
    pub(super) record: Record,
    waiting: VecDeque<Entry>,
    waiting_bytes: usize,
    /// Since when the oldest of them waits for company.
    gathering: Option<Instant>,
    /// How long it may.
    longest: Duration,
    /// What waits was to be written, and could not be.
    full: bool,
    /// How the latest look at each sample table ended, since the start.
    outcomes: BTreeMap<String, i32>,
    /// The clock, when it was last told.
    now_ms: i64,
    lost: Lost,
    standing: watch::Sender<Standing>,
    counted: Option<Instant>,
}

/// What was dropped for want of room, by table, until the record can say so itself.
#[derive(Default)]
struct Lost {
    tables: BTreeMap<String, Loss>,
}

/// The record, from anywhere. When the last of these is dropped, the thread ends.
#[derive(Clone)]
pub(super) struct Keeper {
    calls: mpsc::Sender<Call>,
    standing: watch::Receiver<Standing>,
}

impl Keeper {
    /// Opens the record in a folder and starts its thread.
    pub(super) fn start(
        folder: &Path,
        bounds: Bounds,
        registry: Arc<Registry>,
        now_ms: i64,
    ) -> anyhow::Result<(Self, std::thread::JoinHandle<()>)> {
        let record = Record::open(folder, bounds, registry, now_ms)
            .with_context(|| format!("opening the record in {}", folder.display()))?;
        let (standing, seen) = watch::channel(standing(&record));
        let (calls, mut called) = mpsc::channel::<Call>(CALLS_MAX);
        let mut shelf = Shelf {
            record,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            gathering: None,
            longest: GATHER,
            full: false,
            outcomes: BTreeMap::new(),
            now_ms,
            lost: Lost::default(),
            standing,
            counted: None,
        };
        shelf.count();
        let thread = std::thread::Builder::new().name("record".into()).stack_size(STACK_BYTES).spawn(move || {
            while let Some(call) = called.blocking_recv() {
                call(&mut shelf);
                shelf.publish();
            }
            shelf.flush();
        })?;
        Ok((Self { calls, standing: seen }, thread))
    }

    /// The record's numbers, as they change.
    pub(super) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Does something with the record, and waits for the answer.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Shelf) -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        let (reply, answer) = oneshot::channel();
        let call: Call = Box::new(move |shelf| {
            // The one who asked may have gone.
            reply.send(call(shelf)).ok();
        });
        self.calls.send(call).await.ok().context("the record is closed")?;
        answer.await.context("the record is closed")
    }

    /// Remembers readings; on return they are durable, or wait for room.
    pub(super) async fn append(&self, now_ms: i64, entries: Vec<Entry>) -> anyhow::Result<()> {
        self.with(move |shelf| shelf.append(now_ms, entries)).await
    }

    /// Remembers readings that nobody waits for. Samples among them may wait in memory for `longest`; all else is durable on return, or waits
    /// for room, and the samples with it.
    pub(super) async fn gather(&self, now_ms: i64, entries: Vec<Entry>, longest: Duration) -> anyhow::Result<()> {
        self.with(move |shelf| shelf.gather(now_ms, entries, longest)).await
    }

    /// The read side of the record, with everything in it that was remembered before.
    pub(super) async fn reader(&self) -> anyhow::Result<Reader> {
        let reader = self.with(|shelf| {
            shelf.flush();
            shelf.record.reader()
        });
        Ok(reader.await??)
    }
}

impl Shelf {
    /// Readings that wait in memory for room on the disk.
    pub(super) fn waiting(&self) -> usize {
        if self.full { self.waiting.len() } else { 0 }
    }

    /// Writes down what has waited long enough, and does what is to be done every few minutes.
    pub(super) fn tidy(&mut self, now_ms: i64) -> Result<(), RecordError> {
        self.now_ms = now_ms;
        if self.gathered() {
            self.flush();
        }
        self.record.tidy(now_ms)
    }

    /// Counts what the record holds.
    pub(super) fn count(&mut self) -> Stats {
        let stats = self.record.stats();
        self.counted = Some(Instant::now());
        VITALS.serving.store(true, Relaxed);
        VITALS.record_bytes.store(stats.bytes, Relaxed);
        VITALS.record_readings.store(stats.readings, Relaxed);
        VITALS.queued.store(stats.queued, Relaxed);
        VITALS.dropped.store(stats.dropped, Relaxed);
        VITALS.set_aside.store(stats.set_aside, Relaxed);
        stats
    }

    fn append(&mut self, now_ms: i64, entries: Vec<Entry>) {
        self.now_ms = now_ms;
        for entry in entries {
            self.wait(entry);
        }
        self.flush();
        self.end();
    }

    fn gather(&mut self, now_ms: i64, entries: Vec<Entry>, longest: Duration) {
        (self.now_ms, self.longest) = (now_ms, longest);
        // What waits for room is written in order, or not at all.
        let mut pressing = self.full;
        for entry in entries {
            if !pressing && self.record.is_unchanged(now_ms, &entry) {
                continue;
            }
            pressing |= !self.may_wait(&entry.reading);
            self.wait(entry);
        }
        if pressing || self.gathered() {
            self.flush();
        }
        self.end();
    }

    /// Whether a reading is one more of a row of samples, as good as the one before.
    fn may_wait(&mut self, reading: &Reading) -> bool {
        let before = self.outcomes.insert(reading.table.clone(), reading.outcome);
        self.record.is_sample(&reading.table) && before == Some(reading.outcome)
    }

    fn gathered(&self) -> bool {
        self.waiting_bytes > GATHERED_BYTES_MAX || self.gathering.is_some_and(|since| since.elapsed() >= self.longest)
    }

    fn wait(&mut self, entry: Entry) {
        self.waiting_bytes += entry.reading.encoded_len();
        self.waiting.push_back(entry);
        self.gathering.get_or_insert_with(Instant::now);
    }

    /// Holds to the bound of what waits, and counts now and then.
    fn end(&mut self) {
        while self.waiting_bytes > WAITING_BYTES_MAX {
            let Some(entry) = self.waiting.pop_front() else { break };
            self.waiting_bytes -= entry.reading.encoded_len();
            self.lost.note(&entry.reading);
        }
        if self.counted.is_none_or(|at| at.elapsed() >= STATS_EVERY) {
            self.count();
        }
    }

    /// Writes down what waits; where there is no room for it, it goes on waiting.
    fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        match self.record.append(self.now_ms, self.waiting.make_contiguous()) {
            Ok(appended) => tracing::debug!(stored = appended.stored, unchanged = appended.unchanged, "recorded"),
            Err(error) => {
                tracing::warn!(%error, waiting = self.waiting.len(), "not recorded");
                self.full = true;
                return;
            }
        }
        self.full = false;
        self.waiting = VecDeque::new();
        self.waiting_bytes = 0;
        self.gathering = None;
        if let Some(lost) = self.lost.reading(self.now_ms) {
            match self.record.append(self.now_ms, &[lost]) {
                Ok(_appended) => self.lost = Lost::default(),
                Err(error) => tracing::warn!(%error, "what was lost is not recorded yet"),
            }
        }
    }

    fn publish(&self) {
        let now = standing(&self.record);
        self.standing.send_if_modified(|then| std::mem::replace(then, now) != now);
    }
}

impl Lost {
    fn note(&mut self, reading: &Reading) {
        let table = reading.table.clone();
        let loss = self.tables.entry(table.clone()).or_insert_with(|| Loss {
            table,
            from_ms: Some(reading.at_ms),
            reason: "the disk was full, and so was the room in memory".into(),
            ..Loss::default()
        });
        loss.readings += 1;
        loss.to_ms = Some(reading.at_ms);
    }

    fn reading(&self, now_ms: i64) -> Option<Entry> {
        let rows: Vec<_> = self.tables.values().map(|loss| loss.encode_to_vec().into()).collect();
        let reading = Reading {
            table: Loss::TABLE.into(),
            at_ms: now_ms,
            outcome: Outcome::Ok.into(),
            rows,
            ..Reading::default()
        };
        (!self.tables.is_empty()).then_some(Entry { reading, stream: true, position: None })
    }
}

fn standing(record: &Record) -> Standing {
    Standing {
        epoch: record.epoch(),
        first_seq: record.first_seq(),
        last_seq: record.last_seq(),
        kept_seq: record.kept_seq(),
    }
}

#[cfg(test)]
mod tests;
