//! Error signatures from the followed lines to the record: counted once their lines are remembered, written down once a minute at most.
//!
//! Why after the lines and not with them: a signature that is written down counts only lines that are in the record, so nothing is counted
//! twice after a crash; what a crash takes away are the counts of the last minute.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::keeper::Keeper;
use crate::collect::logs::error_signatures::{Held, held_by};
use crate::record::Entry;
use crate::signature::{Known, Signatures, Tally};

/// Between two writings.
const EVERY: Duration = Duration::from_mins(1);

/// The signatures, and who is told when something is to be written down.
#[derive(Clone)]
pub(super) struct Signing {
    signatures: Arc<Signatures>,
    some: Arc<Notify>,
}

impl Signing {
    /// As they were written down; the collector reports them from here on.
    pub(super) async fn restore(keeper: &Keeper) -> anyhow::Result<Self> {
        let notes = keeper.with(|shelf| shelf.record.notes()).await?.unwrap_or_else(|error| {
            tracing::warn!(%error, "error signatures begin anew");
            Vec::new()
        });
        let signatures = Arc::new(Signatures::restored(notes));
        let held = Arc::clone(&signatures);
        held_by(move |now_ms| {
            let Known { rows, began_ms, let_go } = held.known(now_ms);
            Held { rows, began_ms, let_go }
        });
        Ok(Self { signatures, some: Arc::default() })
    }

    /// What entries hold.
    pub(super) fn tally(&self, entries: &[Entry], now_ms: i64) -> Tally {
        self.signatures.tally(entries.iter().flat_map(|entry| &entry.reading.rows).map(AsRef::as_ref), now_ms)
    }

    /// Counts it, now that its entries are remembered.
    pub(super) fn add(&self, tally: Tally) {
        if self.signatures.add(tally) {
            self.some.notify_one();
        }
    }

    /// Writes down what changed, until it is ended.
    pub(super) fn start(&self, keeper: Keeper) -> JoinHandle<()> {
        let signing = self.clone();
        tokio::spawn(async move {
            let mut record = None;
            loop {
                signing.some.notified().await;
                // A record that was damaged and begun anew has lost what was written.
                let epoch = keeper.with(|shelf| shelf.record.epoch()).await.ok();
                if record.is_some() && record != epoch {
                    signing.signatures.forget_written();
                }
                record = epoch;
                signing.write(&keeper).await;
                tokio::time::sleep(EVERY).await;
            }
        })
    }

    /// Writes down what changed.
    pub(super) async fn write(&self, keeper: &Keeper) {
        let notes = self.signatures.notes();
        if notes.is_empty() {
            return;
        }
        let written = keeper.with(move |shelf| shelf.record.note(&notes)).await;
        if let Err(error) = written.and_then(|written| Ok(written?)) {
            tracing::warn!(%error, "error signatures were not written down");
            self.signatures.forget_written();
        }
    }
}
