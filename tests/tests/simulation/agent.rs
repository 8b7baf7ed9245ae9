//! The agent's side of the world: the real uplink, and a model of the record that survives it.

use std::collections::VecDeque;

use deskside_agent::uplink::{Standing, Uplink};
use deskside_proto::v1::{Numbered, Reading};

/// A reading of the model's record; its identity is what `at_ms` carries.
#[derive(Clone, Debug)]
struct Held {
    seq: u64,
    id: i64,
    stream: bool,
}

/// A record as the real one behaves: durable on append, what is kept written down with the next append.
#[derive(Debug)]
pub(crate) struct Record {
    epoch: u64,
    held: VecDeque<Held>,
    last_seq: u64,
    kept_seq: u64,
    kept_on_disk: u64,
    ids: i64,
}

impl Record {
    pub(crate) fn new() -> Self {
        Self { epoch: 1000, held: VecDeque::new(), last_seq: 0, kept_seq: 0, kept_on_disk: 0, ids: 0 }
    }

    pub(crate) fn standing(&self) -> Standing {
        Standing {
            epoch: self.epoch,
            first_seq: self.held.front().map_or(self.last_seq + 1, |held| held.seq),
            last_seq: self.last_seq,
            kept_seq: self.kept_seq,
        }
    }

    /// One more reading; its identity where it is streamed.
    pub(crate) fn append(&mut self, stream: bool) -> Option<i64> {
        self.ids += 1;
        self.last_seq += 1;
        self.kept_on_disk = self.kept_seq;
        self.held.push_back(Held { seq: self.last_seq, id: self.ids, stream });
        stream.then_some(self.ids)
    }

    pub(crate) fn keep(&mut self, epoch: u64, seq: u64) {
        if epoch == self.epoch {
            self.kept_seq = self.kept_seq.max(seq.min(self.last_seq));
        }
    }

    /// The bound: what is kept on the server need not be held here.
    pub(crate) fn drop_kept(&mut self) {
        while self.held.front().is_some_and(|held| held.seq <= self.kept_seq) {
            self.held.pop_front();
        }
    }

    /// The file was damaged: another epoch, and nothing in it.
    pub(crate) fn begin_anew(&mut self) {
        self.epoch += 1;
        self.held.clear();
        (self.last_seq, self.kept_seq, self.kept_on_disk) = (0, 0, 0);
    }

    /// The process died.
    pub(crate) fn reopen(&mut self) {
        self.kept_seq = self.kept_on_disk;
    }

    pub(crate) fn after(&self, seq: u64, count: usize) -> Vec<Numbered> {
        let streamed = self.held.iter().filter(|held| held.stream && held.seq > seq).take(count);
        let numbered =
            |held: &Held| Numbered { seq: held.seq, reading: Some(Reading { at_ms: held.id, ..Reading::default() }) };
        streamed.map(numbered).collect()
    }
}

/// One life of the agent's process.
pub(crate) struct Life {
    pub(crate) uplink: Uplink,
    /// The connection of the session that it believes to be in.
    pub(crate) connection: Option<u64>,
    /// When it is woken next.
    pub(crate) wake_ms: Option<u64>,
}

impl Life {
    pub(crate) fn new(seed: u64, record: &Record, now_ms: u64) -> Self {
        Self { uplink: Uplink::new(seed, record.standing(), now_ms), connection: None, wake_ms: None }
    }
}
