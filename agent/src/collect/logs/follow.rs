//! The thread that follows.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use crate::collect::logs::{Config, Lines};

/// Wakes the thread.
#[derive(Debug)]
pub(super) struct Waker {
    wake: std::sync::mpsc::SyncSender<()>,
}

impl Waker {
    pub(super) fn stop(&self) {
        if self.wake.try_send(()).is_err() {}
    }
}

pub(super) fn start(
    _config: Config,
    _positions: BTreeMap<String, String>,
    _sink: mpsc::Sender<Lines>,
) -> anyhow::Result<Waker> {
    let (wake, _woken) = std::sync::mpsc::sync_channel(1);
    Ok(Waker { wake })
}
