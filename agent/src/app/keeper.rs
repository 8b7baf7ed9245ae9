//! The record on a thread of its own, so that a slow disk holds up nobody who does not wait for it; and what waits in memory while the
//! disk is full.

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
use crate::record::{Bounds, Entry, Record, Stats};
use crate::uplink::Standing;

/// Calls that wait for the record.
const CALLS_MAX: usize = 32;

/// Bytes of readings that wait in memory while the disk is full; the oldest are dropped first, and counted.
const WAITING_BYTES_MAX: usize = 512 * 1024;

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
            shelf.flush(now_ms);
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
}

impl Shelf {
    /// Readings that wait in memory for room on the disk.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
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
        for entry in entries {
            self.waiting_bytes += entry.reading.encoded_len();
            self.waiting.push_back(entry);
        }
        self.flush(now_ms);
        while self.waiting_bytes > WAITING_BYTES_MAX {
            let Some(entry) = self.waiting.pop_front() else { break };
            self.waiting_bytes -= entry.reading.encoded_len();
            self.lost.note(&entry.reading);
        }
        if self.counted.is_none_or(|at| at.elapsed() >= STATS_EVERY) {
            self.count();
        }
    }

    fn flush(&mut self, now_ms: i64) {
        if self.waiting.is_empty() {
            return;
        }
        match self.record.append(now_ms, self.waiting.make_contiguous()) {
            Ok(appended) => tracing::debug!(stored = appended.stored, unchanged = appended.unchanged, "recorded"),
            Err(error) => {
                tracing::warn!(%error, waiting = self.waiting.len(), "not recorded");
                return;
            }
        }
        self.waiting = VecDeque::new();
        self.waiting_bytes = 0;
        if let Some(lost) = self.lost.reading(now_ms) {
            match self.record.append(now_ms, &[lost]) {
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
