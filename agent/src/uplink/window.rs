//! What is sent and not yet kept: bounded, so that a server that is slow to keep costs the agent no memory.

use std::collections::VecDeque;

/// Bytes of readings that are sent and not yet kept.
pub const WINDOW_BYTES: usize = 256 * 1024;

/// Batches that are sent and not yet kept.
pub const WINDOW_BATCHES: usize = 32;

/// From a batch to some progress in what is kept. Why so long: a server with a slow disk is to be waited for, not trampled.
pub(super) const KEPT_MS: u64 = 60_000;

/// What is sent and not yet kept, oldest first.
#[derive(Debug, Default)]
pub(super) struct Window {
    batches: VecDeque<(u64, usize)>,
    bytes: usize,
    /// When something last moved: a batch was kept, or one was sent into an empty window.
    moved_ms: u64,
}

impl Window {
    /// Something was sent.
    pub(super) fn sent(&mut self, now_ms: u64, seq: u64, bytes: usize) {
        if self.batches.is_empty() {
            self.moved_ms = now_ms;
        }
        self.batches.push_back((seq, bytes));
        self.bytes += bytes;
    }

    /// Everything up to a number is kept.
    pub(super) fn kept(&mut self, now_ms: u64, seq: u64) {
        while let Some((_, bytes)) = self.batches.pop_front_if(|(last, _bytes)| *last <= seq) {
            self.bytes -= bytes;
            self.moved_ms = now_ms;
        }
    }

    /// Bytes that may still be sent.
    pub(super) fn room(&self) -> usize {
        if self.batches.len() >= WINDOW_BATCHES { 0 } else { WINDOW_BYTES.saturating_sub(self.bytes) }
    }

    /// Nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// When it is given up; absent where nothing is under way.
    pub(super) fn until_ms(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.moved_ms + KEPT_MS)
    }

    /// Bytes under way.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
