//! Log events from the follower to the record, and to those who follow live. Urgent ones are for the server too.

use std::sync::Arc;
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::{LogEvent, Outcome, Policy, Reading};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, timeout};

use super::keeper::Keeper;
use super::looks::Eye;
use super::signing::Signing;
use crate::collect::logs::{Lines, Sealed};
use crate::host::give_back_memory;
use crate::record::{Entry, Position};

/// Batches of lines that wait; more hold the follower back.
pub(super) const LINES_MAX: usize = 1;

/// Batches that are recorded together. Why so few: while the log storms, this is what the agent holds of it. Why not fewer: each writing ends
/// with a wait for the disk.
const BATCHES_MAX: usize = 8;

/// Batches that a live follower may be behind.
pub(super) const LIVE_MAX: usize = 32;

/// Lines that come close together are recorded together, so that the disk is woken once.
const TOGETHER: Duration = Duration::from_millis(300);

/// So many times lines were taken, and more are coming: a storm, or much to catch up with.
const STORM: usize = 32;

/// How often memory is given back in a storm, and after how long without a line once it is over.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(5);

/// Least urgent priority that is streamed: warning.
const STREAMED_PRIORITY_MAX: u32 = 4;

/// Takes lines until the follower ends.
pub(super) struct Taker {
    /// Redacts.
    pub(super) eye: Arc<Eye>,
    /// Remembers.
    pub(super) keeper: Keeper,
    /// Shows live.
    pub(super) live: broadcast::Sender<Arc<Reading>>,
    /// Groups the errors among them.
    pub(super) signing: Signing,
    /// The policy in force.
    pub(super) policy: watch::Receiver<Policy>,
}

/// Gives back what much reading has taken. Why: what it ran of the program would stay mapped, and the heap as large as its largest batch.
#[derive(Default)]
struct Storm {
    taken: usize,
    given_back: Option<Instant>,
}

impl Storm {
    /// The next lines; none once the follower has ended.
    async fn next(&mut self, lines: &mut mpsc::Receiver<Lines>) -> Option<Lines> {
        if self.taken >= STORM {
            let since = self.given_back.get_or_insert_with(Instant::now);
            let next = timeout(GIVE_BACK_EVERY, lines.recv()).await;
            if next.is_err() || since.elapsed() >= GIVE_BACK_EVERY {
                give_back_memory();
                self.given_back = Some(Instant::now());
            }
            if let Ok(next) = next {
                return next;
            }
            *self = Self::default();
        }
        self.taken += 1;
        lines.recv().await
    }
}

impl Taker {
    pub(super) async fn run(self, mut lines: mpsc::Receiver<Lines>) {
        self.begin().await;
        let mut storm = Storm::default();
        while let Some(first) = storm.next(&mut lines).await {
            let mut places = Vec::new();
            let mut entries = self.entries(first, &mut places);
            let until = tokio::time::sleep(TOGETHER);
            tokio::pin!(until);
            for _ in 1..BATCHES_MAX {
                tokio::select! {
                    more = lines.recv() => match more {
                        Some(more) => entries.extend(self.entries(more, &mut places)),
                        None => break,
                    },
                    () = &mut until => break,
                }
            }
            let now_ms = self.eye.host.now_ms();
            let tally = self.signing.tally(&entries, now_ms);
            match self.keeper.append(now_ms, entries).await {
                Ok(()) => self.signing.add(tally),
                Err(error) => tracing::error!(%error, "log lines are not recorded"),
            }
            self.place(places).await;
        }
    }

    /// Remembers how far logs are read of which nothing new is to be recorded.
    async fn place(&self, places: Vec<Position>) {
        if places.is_empty() {
            return;
        }
        let placed = self.keeper.with(move |shelf| shelf.record.place(&places)).await;
        if let Err(error) = placed.and_then(|placed| Ok(placed?)) {
            tracing::warn!(%error, "how far logs are read is not recorded");
        }
    }

    /// Says how well the log can be seen when following begins. Why: a log with nothing urgent in it must not look like one that
    /// nobody reads, and one that may be read only in part must say so.
    async fn begin(&self) {
        let (off, local) = self.policy();
        let eye = Arc::clone(&self.eye);
        let look = move || eye.registry.collector(LogEvent::TABLE).map(|collector| eye.look(collector));
        let Ok(Some(mut reading)) = tokio::task::spawn_blocking(look).await else { return };
        reading.rows.clear();
        match reading.outcome() {
            Outcome::Ok => reading.set_outcome(Outcome::Empty),
            Outcome::Unsupported => {
                reading.set_outcome(Outcome::Partial);
                reading.reason.push_str("; only the log files that the configuration names are followed");
            }
            _ => {}
        }
        let entry = Entry { reading, stream: !local, position: None };
        if !off && let Err(error) = self.keeper.append(self.eye.host.now_ms(), vec![entry]).await {
            tracing::error!(%error, "how well the log can be seen is not recorded");
        }
    }

    /// Whether the log is not to be kept at all, and whether it stays on the device.
    fn policy(&self) -> (bool, bool) {
        let policy = self.policy.borrow();
        let line = policy.tables.iter().find(|line| line.table == LogEvent::TABLE);
        line.map_or((false, false), |line| (line.off, line.local))
    }

    /// What is to be remembered of a batch. Its position goes with its last entry: it is all there, or none of it. Positions that nothing
    /// new goes with are left in `places`.
    fn entries(&self, lines: Lines, places: &mut Vec<Position>) -> Vec<Entry> {
        let (off, local) = self.policy();
        if off {
            return Vec::new();
        }
        let mut positions =
            lines.positions.into_iter().map(|position| Position { source: position.source, at: position.at });
        if lines.events.is_empty() {
            places.extend(positions);
            return Vec::new();
        }
        let position = positions.next();
        // An earlier place of the same log must not be remembered after this one.
        places.retain(|earlier| position.as_ref().is_none_or(|position| position.source != earlier.source));
        let at_ms = self.eye.host.now_ms();
        let streamed = |event: &Sealed| !local && event.priority.is_some_and(|least| least <= STREAMED_PRIORITY_MAX);
        let mut entries = Vec::new();
        for stream in [false, true] {
            let events = lines.events.iter().filter(|event| streamed(event) == stream);
            let rows: Vec<_> = events.map(|event| event.row.clone()).collect();
            if rows.is_empty() {
                continue;
            }
            let table = LogEvent::TABLE.into();
            let reading = Reading { table, at_ms, outcome: Outcome::Ok.into(), rows, ..Reading::default() };
            let reading = self.eye.clean(reading);
            if self.live.receiver_count() > 0 {
                // Those who follow may have gone in this moment.
                self.live.send(Arc::new(reading.clone())).ok();
            }
            entries.push(Entry { reading, stream, position: None });
        }
        if let Some(last) = entries.last_mut() {
            last.position = position;
        }
        entries
    }
}
