//! Events on their way to the record: bounded in number, bytes and, over time, in rate.

use deskside_proto::v1::LogEvent;
use prost::Message;
use prost::bytes::BytesMut;

use super::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX, Sealed};

/// How many events a log may give. Time is an argument.
#[derive(Debug)]
pub(super) struct Rate {
    per_s: f64,
    at_once: f64,
    room: f64,
    filled_ms: u64,
    left_out: u64,
    left_out_from_ms: u64,
    told_ms: u64,
}

/// What was left out for want of room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) events: u64,
    /// How long ago that began.
    pub(super) for_ms: u64,
}

/// What was written while the agent was away may be this many times more than what may come at once.
const CATCH_UP: f64 = 10.0;

/// A storm is told of this often while it lasts.
const TELL_MS: u64 = 10_000;

impl Rate {
    pub(super) fn new(per_s: u32, at_once: u32, now_ms: u64) -> Self {
        let (per_s, at_once) = (f64::from(per_s.max(1)), f64::from(at_once.max(1)));
        Self {
            per_s,
            at_once,
            room: at_once * CATCH_UP,
            filled_ms: now_ms,
            left_out: 0,
            left_out_from_ms: 0,
            told_ms: 0,
        }
    }

    /// Makes room for what time has passed.
    pub(super) fn refill(&mut self, now_ms: u64) {
        let passed_s = now_ms.saturating_sub(self.filled_ms) as f64 / 1e3;
        self.room = self.room.max((self.room + passed_s * self.per_s).min(self.at_once));
        self.filled_ms = now_ms;
    }

    /// Whether there is room for one more; if not, it is counted.
    fn admit(&mut self) -> bool {
        if self.room < 1.0 {
            if self.left_out == 0 {
                self.left_out_from_ms = self.filled_ms;
            }
            self.left_out += 1;
            return false;
        }
        self.room -= 1.0;
        true
    }

    /// What was left out since last told, when it is time to tell.
    pub(super) fn tell(&mut self, now_ms: u64) -> Option<LeftOut> {
        if self.left_out == 0 || now_ms.saturating_sub(self.told_ms) < TELL_MS {
            return None;
        }
        self.told_ms = now_ms;
        let for_ms = now_ms.saturating_sub(self.left_out_from_ms);
        Some(LeftOut { events: std::mem::take(&mut self.left_out), for_ms })
    }

    /// When to ask again whether something is to be told.
    pub(super) fn tell_in_ms(&self, now_ms: u64) -> Option<u64> {
        (self.left_out > 0).then(|| (self.told_ms + TELL_MS).saturating_sub(now_ms))
    }
}

/// One batch of one log. Why its events are sealed one behind the other: thousands of them a second cost one allocation a batch.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    rows: BytesMut,
    /// Where each row ends, and its priority.
    ends: Vec<(usize, Option<u32>)>,
    bytes: usize,
    own_pid: u32,
    rate: &'a mut Rate,
}

impl<'a> Batch<'a> {
    pub(super) fn new(rate: &'a mut Rate, own_pid: u32) -> Self {
        Self { rows: BytesMut::new(), ends: Vec::new(), bytes: 0, own_pid, rate }
    }

    /// It takes no more; the largest event still fits into a reading on top of it.
    pub(super) fn full(&self) -> bool {
        self.ends.len() >= BATCH_EVENTS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// Whether the log may give one more event now. What is refused is counted.
    pub(super) fn admit(&mut self) -> bool {
        self.rate.admit()
    }

    /// Adds an event, unless it is the agent's own chatter.
    pub(super) fn push(&mut self, event: &LogEvent) {
        if super::journal::is_own_chatter(event, self.own_pid) {
            return;
        }
        self.bytes += event.message.len() + event.position.len() + event.source.len();
        // A buffer that grows has room for every event.
        event.encode(&mut self.rows).ok();
        self.ends.push((self.rows.len(), event.priority));
    }

    pub(super) fn into_events(self) -> Vec<Sealed> {
        let rows = self.rows.freeze();
        let mut begin = 0;
        let sealed = |(end, priority)| {
            let row = rows.slice(begin..end);
            begin = end;
            Sealed { priority, row }
        };
        self.ends.into_iter().map(sealed).collect()
    }
}
