//! The server's side of the world: the real acceptance of numbers, and a model of a store that flushes late and dies in between.

use std::collections::{BTreeMap, VecDeque};

use deskside_proto::v1::to_agent::Kind as Down;
use deskside_proto::v1::{Batch, Hello, Kept, Welcome};
use deskside_server::ingest::sequence::Sequence;

use crate::world::Mutant;

/// A batch that is handed to the store and not yet durable.
#[derive(Debug)]
struct Pending {
    connection: u64,
    epoch: u64,
    readings: Vec<(u64, i64)>,
}

/// The server, with what outlives its process and what does not.
#[derive(Debug, Default)]
pub(crate) struct Server {
    pub(crate) up: bool,
    mutant: Option<Mutant>,
    /// By epoch and number: what is durable.
    store: BTreeMap<(u64, u64), i64>,
    /// What a person would see, in the order in which it came: epoch, number, identity.
    pub(crate) shown: Vec<(u64, u64, i64)>,
    sessions: BTreeMap<u64, Sequence>,
    pending: VecDeque<Pending>,
}

impl Server {
    pub(crate) fn new(mutant: Option<Mutant>) -> Self {
        Self { up: true, mutant, ..Self::default() }
    }

    pub(crate) fn crash(&mut self) {
        self.up = false;
        self.sessions.clear();
        self.pending.clear();
    }

    pub(crate) fn forget(&mut self, connection: u64) {
        self.sessions.remove(&connection);
    }

    /// Sessions of the device other than this one.
    pub(crate) fn older(&self, connection: u64) -> Vec<u64> {
        self.sessions.keys().copied().filter(|other| *other != connection).collect()
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    fn key(&self, epoch: u64) -> u64 {
        if self.mutant == Some(Mutant::ForgetTheEpoch) { 0 } else { epoch }
    }

    pub(crate) fn hello(&mut self, connection: u64, hello: &Hello) -> Down {
        let key = self.key(hello.epoch);
        let newest = self.store.range((key, 0)..=(key, u64::MAX)).next_back();
        let kept = newest.map_or(0, |((_, seq), _)| *seq);
        self.sessions.insert(connection, Sequence::hello(hello.epoch, kept));
        let skipped = u64::from(self.mutant == Some(Mutant::SkipOneOnResume) && kept > 0 && kept < hello.last_seq);
        Down::Welcome(Welcome { kept_seq: kept + skipped, ..Welcome::default() })
    }

    /// What to say to a batch at once, or why the session ends.
    pub(crate) fn batch(&mut self, connection: u64, batch: &Batch) -> Result<Option<Down>, String> {
        let key = self.key(batch.epoch);
        let Some(sequence) = self.sessions.get_mut(&connection) else { return Ok(None) };
        let numbers = batch.readings.iter().map(|numbered| numbered.seq);
        let repeats = sequence.batch(batch.epoch, numbers).map_err(|refusal| refusal.to_string())?;
        let fresh = batch.readings.iter().skip(repeats);
        let readings: Vec<(u64, i64)> = fresh
            .map(|numbered| (numbered.seq, numbered.reading.as_ref().map_or(0, |reading| reading.at_ms)))
            .collect();
        let Some(upto) = readings.last().map(|(seq, _)| *seq) else { return Ok(None) };
        self.pending.push_back(Pending { connection, epoch: key, readings });
        let early = (self.mutant == Some(Mutant::AcknowledgeBeforeDurable)).then(|| sequence.durable(upto)).flatten();
        Ok(early.map(|seq| Down::Kept(Kept { epoch: batch.epoch, seq })))
    }

    /// Makes some batches durable together. Answers who is to hear what.
    pub(crate) fn flush(&mut self, count: usize) -> Vec<(u64, Down)> {
        let mut said = Vec::new();
        for pending in self.pending.drain(..count.min(self.pending.len())) {
            let Some(upto) = pending.readings.last().map(|(seq, _)| *seq) else { continue };
            for (seq, id) in pending.readings {
                let news = !self.store.contains_key(&(pending.epoch, seq));
                if news || self.mutant == Some(Mutant::TakeRepeatsForNews) {
                    self.store.insert((pending.epoch, seq), id);
                    self.shown.push((pending.epoch, seq, id));
                }
            }
            if let Some(sequence) = self.sessions.get_mut(&pending.connection)
                && let Some(seq) = sequence.durable(upto)
            {
                said.push((pending.connection, Down::Kept(Kept { epoch: sequence.epoch(), seq })));
            }
        }
        said
    }
}
