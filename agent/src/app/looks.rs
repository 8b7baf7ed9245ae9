//! Looks as the schedule says: on the blocking pool, redacted, recorded, and shown to those who asked for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deskside_proto::show;
use deskside_proto::v1::{Outcome, Policy, Reading};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::keeper::{GATHER, GATHER_MAX, Keeper};
use crate::collect::vitals::VITALS;
use crate::collect::{Cadence, Collector, Os, Registry, look};
use crate::host::{Host, give_back_memory};
use crate::local::TableStatus;
use crate::record::Entry;
use crate::redact::Redactor;
use crate::schedule::{self, Act, Event, Schedule};

/// Wishes that wait.
const WISHES_MAX: usize = 16;

/// Readings of looks that end close together are recorded together, so that the disk is woken once.
const TOGETHER: Duration = Duration::from_millis(250);

/// What looks ran of the program is given back this long after the first of them was recorded. Why not after the last: where many tables are
/// due together, the first are to be gone before the last have run.
const GIVE_BACK_AFTER: Duration = Duration::from_secs(1);

/// How far ahead a sleep without an end goes.
const FAR: Duration = Duration::from_hours(1);

/// What others want of the looker.
#[derive(Debug)]
pub(super) enum Wish {
    /// Fresh readings of these tables, each sent as it comes. The channel has room for all of them.
    Fresh(Vec<String>, mpsc::Sender<Reading>),
    /// This policy is in force.
    Policy(Policy),
    /// What these tables show may have changed.
    Changed(Vec<&'static str>),
    /// What was seen is to be recorded at once; told when it is.
    Record(oneshot::Sender<()>),
    /// Told at once, by one who wants to know whether the looker lives.
    Answer(oneshot::Sender<()>),
}

/// What the latest look at each table said, for the one who asks at the machine.
pub(super) type Seen = Arc<Mutex<BTreeMap<String, TableStatus>>>;

/// What every look needs.
pub(super) struct Eye {
    /// The door to the machine.
    pub(super) host: Arc<dyn Host>,
    /// Collectors and the descriptions of their tables.
    pub(super) registry: Arc<Registry>,
    /// Takes out what must not be kept.
    pub(super) redactor: Arc<Redactor>,
}

impl Eye {
    /// One look, redacted. Blocks.
    pub(super) fn look(&self, collector: &Collector) -> Reading {
        self.clean(look(collector, self.host.as_ref()))
    }

    /// Learns whom this machine knows, and what the policy takes out of readings.
    pub(super) fn learn(&self, policy: Option<&Policy>) {
        self.redactor.learn(self.host.as_ref(), policy.and_then(|policy| policy.redaction.as_ref()));
    }

    /// A reading without what must not be kept; without its rows where nobody can say what they hold.
    pub(super) fn clean(&self, reading: Reading) -> Reading {
        match self.registry.schema(&reading.table) {
            Some(schema) => self.redactor.redact(schema, reading),
            None => Reading { rows: Vec::new(), ..reading },
        }
    }
}

/// Drives the schedule.
pub(super) struct Looker {
    eye: Arc<Eye>,
    keeper: Keeper,
    schedule: Schedule,
    begun: Instant,
    local: BTreeSet<String>,
    seen: Seen,
    waiting: BTreeMap<&'static str, Vec<mpsc::Sender<Reading>>>,
    /// Readings of a moment ago, for those who ask again.
    recent: BTreeMap<&'static str, (Instant, Reading)>,
    /// Readings that are to be recorded together, and since when they wait.
    taken: Vec<Entry>,
    taken_at: Option<Instant>,
    /// Somebody asked for one of them.
    asked: bool,
    /// How long samples that nobody asked for may wait in memory.
    gather: Duration,
    give_back_at: Option<Instant>,
    back: mpsc::Sender<(&'static str, Reading)>,
    returned: mpsc::Receiver<(&'static str, Reading)>,
}

impl Looker {
    /// Ready to look, under the policy in force.
    pub(super) fn new(eye: Arc<Eye>, keeper: Keeper, config: &schedule::Config, seed: u64, seen: Seen) -> Self {
        let entry = |collector: &Collector| schedule::Entry {
            table: collector.table,
            every_ms: match collector.cadence {
                Cadence::Every(every) | Cadence::EveryAndOn(every, _) | Cadence::Far(every) => {
                    Some(every.as_millis() as u64)
                }
                Cadence::Followed => None,
            },
            far: matches!(collector.cadence, Cadence::Far(_)),
        };
        let here = eye.registry.collectors().iter().filter(|collector| collector.systems.contains(&Os::Linux));
        let entries: Vec<_> = here.map(entry).collect();
        let (back, returned) = mpsc::channel(schedule::LANES + schedule::FAR_LANES + schedule::STUCK_MAX);
        let deadline_ms = u64::from(config.deadline_s.max(1)) * 1000;
        Self {
            schedule: Schedule::new(seed, deadline_ms, &entries, 0),
            eye,
            keeper,
            begun: Instant::now(),
            local: BTreeSet::new(),
            seen,
            waiting: BTreeMap::new(),
            recent: BTreeMap::new(),
            taken: Vec::new(),
            taken_at: None,
            asked: false,
            gather: GATHER,
            give_back_at: None,
            back,
            returned,
        }
    }

    /// A channel for wishes, and its other end for [`Self::run`].
    pub(super) fn wishes() -> (mpsc::Sender<Wish>, mpsc::Receiver<Wish>) {
        mpsc::channel(WISHES_MAX)
    }

    /// Looks until nobody can wish any more; what was seen is recorded before it returns.
    pub(super) async fn run(mut self, mut wishes: mpsc::Receiver<Wish>) {
        loop {
            let tick = self
                .schedule
                .next_ms()
                .map_or_else(|| Instant::now() + FAR, |at| self.begun + Duration::from_millis(at));
            let flush = self.taken_at.map(|at| at + TOGETHER);
            let wake = [flush, self.give_back_at].into_iter().flatten().fold(tick, Instant::min);
            tokio::select! {
                wish = wishes.recv() => match wish {
                    Some(Wish::Fresh(tables, reply)) => self.fresh(&tables, &reply),
                    Some(Wish::Policy(policy)) => self.policy(policy),
                    Some(Wish::Changed(tables)) => {
                        for table in tables {
                            self.step(Event::Changed(table), None);
                        }
                    }
                    Some(Wish::Record(recorded)) => {
                        self.record().await;
                        recorded.send(()).ok();
                    }
                    Some(Wish::Answer(reply)) => {
                        // The one who asked may have gone.
                        reply.send(()).ok();
                    }
                    None => break,
                },
                Some((table, reading)) = self.returned.recv() => self.back(table, reading),
                () = sleep_until(wake) => self.step(Event::Tick, None),
            }
            if self.taken_at.is_some_and(|at| at.elapsed() >= TOGETHER) {
                self.record().await;
            }
            if self.give_back_at.is_some_and(|at| at <= Instant::now()) {
                self.give_back_at = None;
                give_back_memory();
            }
        }
        self.record().await;
    }

    /// Puts the policy in force that was in force before.
    pub(super) fn begin(&mut self, policy: Option<Policy>) {
        if let Some(policy) = policy {
            self.policy(policy);
        }
    }

    fn policy(&mut self, policy: Policy) {
        let local = policy.tables.iter().filter(|line| line.local);
        self.local = local.map(|line| line.table.clone()).collect();
        self.gather = policy.gather_s.map_or(GATHER, |seconds| Duration::from_secs(seconds.into()).min(GATHER_MAX));
        self.step(Event::Policy(policy), None);
    }

    fn fresh(&mut self, tables: &[String], reply: &mpsc::Sender<Reading>) {
        for table in tables {
            if let Some(collector) = self.eye.registry.collector(table) {
                let table = collector.table;
                self.waiting.entry(table).or_default().push(reply.clone());
                self.step(Event::Ask(table), None);
            } else {
                let at_ms = self.eye.host.now_ms();
                let probed = self.eye.registry.schema(table).is_some_and(|schema| schema.probe.is_some());
                let update = "this agent does not know the table; update it".to_owned();
                let reason = if probed { format!("it is a probe's: `deskside probe DEVICE {table}`") } else { update };
                let (table, outcome) = (table.clone(), Outcome::Unsupported.into());
                // The channel has room, or the one who asked has gone.
                reply.try_send(Reading { table, at_ms, outcome, reason, ..Reading::default() }).ok();
            }
        }
    }

    fn back(&mut self, table: &'static str, reading: Reading) {
        self.step(Event::Returned { table }, Some(reading));
    }

    fn step(&mut self, event: Event, mut back: Option<Reading>) {
        let now_ms = self.begun.elapsed().as_millis() as u64;
        let shared = Duration::from_millis(schedule::SHARED_MS);
        self.recent.retain(|_table, (at, _reading)| at.elapsed() < shared);
        for act in self.schedule.step(now_ms, event) {
            match act {
                Act::Look(table) => self.look(table),
                Act::Take(table) => {
                    if let Some(reading) = back.take() {
                        self.take(table, reading);
                    }
                }
                Act::Share(table) => self.share(table),
                Act::Say { table, outcome, reason } => {
                    if outcome == Outcome::TimedOut {
                        VITALS.timed_out.fetch_add(1, Relaxed);
                        tracing::warn!(table, reason, "a look did not end");
                    }
                    let (at_ms, outcome) = (self.eye.host.now_ms(), outcome.into());
                    self.take(table, Reading { table: table.into(), at_ms, outcome, reason, ..Reading::default() });
                }
            }
        }
    }

    fn look(&mut self, table: &'static str) {
        let Some(collector) = self.eye.registry.collector(table).copied() else { return };
        let (eye, returned) = (Arc::clone(&self.eye), self.back.clone());
        tokio::task::spawn_blocking(move || {
            let reading = eye.look(&collector);
            // Nobody receives once the agent stops.
            returned.blocking_send((table, reading)).ok();
        });
    }

    fn take(&mut self, table: &'static str, reading: Reading) {
        let status = TableStatus {
            outcome: show::outcome(reading.outcome()).into(),
            reason: reading.reason.clone(),
            at_ms: reading.at_ms,
            took_ms: reading.took_ms,
            rows: reading.rows.len(),
        };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(table.into(), status);
        let replies = self.waiting.remove(table).unwrap_or_default();
        self.asked |= !replies.is_empty();
        for reply in replies {
            // The channel has room, or the one who asked has gone.
            reply.try_send(reading.clone()).ok();
        }
        self.recent.insert(table, (Instant::now(), reading.clone()));
        // A look at a followed log shows what the follower has already brought.
        let followed = self.eye.registry.collector(table).is_some_and(|found| found.cadence == Cadence::Followed);
        if !followed {
            let stream = !self.local.contains(table);
            self.taken.push(Entry { reading, stream, position: None });
            self.taken_at.get_or_insert_with(Instant::now);
        }
    }

    fn share(&mut self, table: &'static str) {
        let replies = self.waiting.remove(table).unwrap_or_default();
        if let Some((_, reading)) = self.recent.get(table) {
            for reply in replies {
                reply.try_send(reading.clone()).ok();
            }
        }
    }

    async fn record(&mut self) {
        self.taken_at = None;
        let entries = std::mem::take(&mut self.taken);
        if entries.is_empty() {
            return;
        }
        let now_ms = self.eye.host.now_ms();
        // Why what was asked for is written at once: who asked may look for it in the history.
        let recorded = if std::mem::take(&mut self.asked) {
            self.keeper.append(now_ms, entries).await
        } else {
            self.keeper.gather(now_ms, entries, self.gather).await
        };
        if let Err(error) = recorded {
            tracing::error!(%error, "not recorded");
        }
        self.give_back_at.get_or_insert(Instant::now() + GIVE_BACK_AFTER);
    }
}
