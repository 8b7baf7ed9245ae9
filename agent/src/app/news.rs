//! Changes of the network from the machine's news to the record and the server, and to the looker, which then looks at what they changed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::{NetworkChange, Outcome, Policy, Reading};
use prost::Message;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::keeper::Keeper;
use super::looks::{Eye, Wish};
use crate::collect::network::network_changes::{self, REST, WOKEN, Watch};
use crate::collect::outcome_of;
use crate::host::{News, awaited};
use crate::record::Entry;

/// Changes that come close together are recorded together, so that the disk is woken once.
const TOGETHER: Duration = Duration::from_millis(250);

/// When listening fails, another try is made this much later.
const AGAIN: Duration = Duration::from_mins(1);

/// Pieces of news that are heard before others have their turn.
const PIECES_MAX: usize = 64;

/// Listens until it is told to stop.
pub(super) struct Listener {
    /// Sees and redacts.
    pub(super) eye: Arc<Eye>,
    /// Remembers.
    pub(super) keeper: Keeper,
    /// Looks.
    pub(super) wishes: mpsc::Sender<Wish>,
    /// The policy in force.
    pub(super) policy: watch::Receiver<Policy>,
}

impl Listener {
    /// Ends when the other end of `stop` is dropped; what was heard until then is recorded.
    pub(super) async fn run(self, mut stop: oneshot::Receiver<()>) {
        let mut said = String::new();
        while let Err(error) = self.listen(&mut stop).await {
            let reason = format!("{error:#}");
            if reason != said {
                tracing::warn!(error = reason, "changes of the network are not heard");
                let (table, at_ms) = (NetworkChange::TABLE.into(), self.eye.host.now_ms());
                let outcome = outcome_of(&error).into();
                self.record(Reading { table, at_ms, outcome, reason: reason.clone(), ..Reading::default() }).await;
                said = reason;
            }
            tokio::select! {
                _ = &mut stop => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    async fn listen(&self, stop: &mut oneshot::Receiver<()>) -> anyhow::Result<()> {
        let host = Arc::clone(&self.eye.host);
        let begin = move || {
            let news = host.news().context("listening to the kernel's news of the network")?;
            let watch = Watch::begin(host.as_ref())?;
            network_changes::note(host.as_ref(), &[]);
            anyhow::Ok((news, watch))
        };
        let (news, mut watch) = tokio::task::spawn_blocking(begin).await??;
        let some = awaited(news.as_ref()).context("waiting for the kernel's news")?;
        // Why: a network in which nothing changed must not look like one that nobody watches.
        self.record(reading(self.eye.host.now_ms(), &[])).await;
        let mut told_at = Instant::now();
        loop {
            let now_ms = self.eye.host.now_ms();
            let left = |due_ms: i64| Duration::from_millis(due_ms.saturating_sub(now_ms).max(0).cast_unsigned());
            let rest = watch.due_ms().map_or(REST, left).min(REST);
            tokio::select! {
                ready = some.readable() => {
                    let mut ready = ready.context("waiting for the kernel's news")?;
                    if self.hear(news.as_ref(), &mut watch)? {
                        ready.clear_ready();
                    }
                    tokio::task::yield_now().await;
                }
                () = tokio::time::sleep_until((Instant::now() + rest).max(told_at + TOGETHER)) => {
                    watch = self.settle(watch).await?;
                    self.tell(&mut watch).await;
                    told_at = Instant::now();
                }
                _ = &mut *stop => {
                    watch = self.settle(watch).await?;
                    self.tell(&mut watch).await;
                    return Ok(());
                }
            }
        }
    }

    /// Whether all was heard that waits.
    fn hear(&self, news: &dyn News, watch: &mut Watch) -> anyhow::Result<bool> {
        for _piece in 0..PIECES_MAX {
            let Some(heard) = news.hear().context("hearing the kernel's news")? else { return Ok(true) };
            watch.hear(self.eye.host.now_ms(), &heard);
        }
        Ok(false)
    }

    /// Looks up what is in doubt.
    async fn settle(&self, mut watch: Watch) -> anyhow::Result<Watch> {
        if !watch.doubts(self.eye.host.now_ms()) {
            return Ok(watch);
        }
        let host = Arc::clone(&self.eye.host);
        let settled = tokio::task::spawn_blocking(move || {
            let settled = watch.settle(host.as_ref());
            (watch, settled)
        });
        let (watch, settled) = settled.await?;
        settled.context("looking up what changed")?;
        Ok(watch)
    }

    async fn tell(&self, watch: &mut Watch) {
        let now_ms = self.eye.host.now_ms();
        let changes = watch.take(now_ms);
        if changes.is_empty() {
            return;
        }
        network_changes::note(self.eye.host.as_ref(), &changes);
        self.record(reading(now_ms, &changes)).await;
        // The looker ends before this does only when the agent stops.
        self.wishes.send(Wish::Changed(WOKEN.to_vec())).await.ok();
    }

    async fn record(&self, reading: Reading) {
        let (off, local) = self.rule();
        let entry = Entry { reading: self.eye.clean(reading), stream: !local, position: None };
        if !off && let Err(error) = self.keeper.append(self.eye.host.now_ms(), vec![entry]).await {
            tracing::error!(%error, "changes of the network are not recorded");
        }
    }

    /// Whether changes are not to be kept at all, and whether they stay on the device.
    fn rule(&self) -> (bool, bool) {
        let policy = self.policy.borrow();
        let line = policy.tables.iter().find(|line| line.table == NetworkChange::TABLE);
        line.map_or((false, false), |line| (line.off, line.local))
    }
}

fn reading(at_ms: i64, changes: &[NetworkChange]) -> Reading {
    let outcome = if changes.is_empty() { Outcome::Empty } else { Outcome::Ok };
    let rows = changes.iter().map(|change| change.encode_to_vec().into()).collect();
    Reading { table: NetworkChange::TABLE.into(), at_ms, outcome: outcome.into(), rows, ..Reading::default() }
}
