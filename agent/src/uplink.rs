//! The agent's side of the stream: when to connect, what to send, what to believe, when to give up.
//!
//! A plain state machine: [`Uplink::step`] takes an event and the time on a clock that only goes forward, and says what to do.
//! Sockets are in [`mod@line`]. Why the window: what is sent and not yet kept is bounded here, so that a server that is slow to keep
//! costs the agent no memory, and what waits, waits in the record.

use deskside_proto::v1::from_agent::Kind as Up;
use deskside_proto::v1::to_agent::Kind as Down;
use deskside_proto::v1::{Answer, Batch, Command, Kept, Numbered, SignedPolicy, Unchanged, Welcome};
use prost::Message;

use crate::schedule::spread;

mod asked;
pub mod enroll;
pub mod identity;
pub mod line;
pub mod policy;
pub mod trust;
pub mod upload;
mod window;

use asked::{Asked, refusal};
use window::Window;

pub use asked::COMMANDS_MAX;
pub use window::{WINDOW_BATCHES, WINDOW_BYTES};

/// Bytes of one batch; a reading that is larger goes alone. Why: both sides keep message-sized buffers.
pub const BATCH_BYTES: usize = 16 * 1024;

/// First ceiling of the wait before the next attempt; it doubles up to [`BACK_OFF_MS_MAX`], and the wait is drawn below it.
const BACK_OFF_MS: u64 = 1_000;

/// Last ceiling of the wait before the next attempt.
const BACK_OFF_MS_MAX: u64 = 300_000;

/// A session that lasted this long was a good one: the ceiling begins anew.
const STABLE_MS: u64 = 30_000;

/// Wait after the server said who we are and that it does not want us; drawn between this and twice this.
const REFUSED_MS: u64 = 300_000;

/// From the first packet to an open stream.
const CONNECT_MS: u64 = 30_000;

/// From Hello to Welcome.
const WELCOME_MS: u64 = 20_000;

/// Between two words about tables that did not change; they double as a sign of life.
const BEAT_MS: u64 = 60_000;

/// The record's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Which record it is.
    pub epoch: u64,
    /// Lowest number held.
    pub first_seq: u64,
    /// Highest number held.
    pub last_seq: u64,
    /// Highest number that the server is known to have kept.
    pub kept_seq: u64,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The line broke or never came to be.
    Lost(String),
    /// The server knows us and does not want us.
    Refused(String),
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time went by.
    Tick,
    /// Readings were recorded, or the record was begun anew.
    Recorded(Standing),
    /// The stream of this session is open.
    Opened(u64),
    /// The session ended, or could not begin.
    Closed(u64, Ending),
    /// The server said something in this session.
    Heard(u64, Down),
    /// What the record answered to [`Act::Read`]; empty where there is nothing more.
    Read {
        /// The number of the question.
        read: u64,
        /// The record that answered. Why: it may have been begun anew since it was asked.
        epoch: u64,
        /// Readings in ascending order.
        readings: Vec<Numbered>,
    },
    /// The record could not be read.
    Unreadable {
        /// The number of the question.
        read: u64,
    },
    /// Part of the answer to a command.
    Answer(Answer),
    /// What [`Act::Beat`] asked for.
    Unchanged(Unchanged),
    /// The identity is another: try now.
    Hasten,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Open a session.
    Connect(u64),
    /// Close it, for this reason.
    Disconnect(String),
    /// Say Hello with these numbers.
    Greet(Standing),
    /// Send this.
    Send(Up),
    /// Say which tables did not change.
    Beat,
    /// Ask the record for streamed readings.
    Read {
        /// The number of the question.
        read: u64,
        /// Only readings with a higher number.
        after: u64,
        /// Bytes at most, but one reading at least.
        bytes_max: usize,
    },
    /// Tell the record that everything up to here is kept.
    Keep {
        /// The record that is meant.
        epoch: u64,
        /// The highest number.
        seq: u64,
    },
    /// The server keeps numbers that this record has not reached (it was restored from a copy): begin a new epoch.
    BeginEpoch,
    /// Work on a command.
    Start(Command),
    /// Stop working on a command.
    Stop(String),
    /// Apply a policy, if it is signed as it should be.
    Apply(SignedPolicy),
    /// Send the descriptions of these tables.
    Describe(Vec<String>),
}

/// What the uplink is doing, for the one who asks at the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for its next attempt.
    Waiting {
        /// When that will be.
        until_ms: u64,
    },
    /// Opening a session.
    Connecting {
        /// Since when.
        since_ms: u64,
    },
    /// Hello is said, Welcome not yet heard.
    Greeting {
        /// Since when.
        since_ms: u64,
    },
    /// In session.
    Open {
        /// Since when.
        since_ms: u64,
    },
}

/// The machine.
#[derive(Debug)]
pub struct Uplink {
    seed: u64,
    record: Standing,
    phase: Phase,
    session: u64,
    attempts: u32,
    why: Option<Ending>,
    /// Highest number sent or known kept in this session.
    sent: u64,
    window: Window,
    reads: u64,
    /// The question that the record has not answered yet, and the highest number it held when it was asked.
    reading: Option<(u64, u64)>,
    beat_ms: u64,
    asked: Asked,
}

impl Uplink {
    /// A machine that connects at once. The seed spreads its attempts.
    pub fn new(seed: u64, record: Standing, now_ms: u64) -> Self {
        Self {
            seed,
            record,
            phase: Phase::Waiting { until_ms: now_ms },
            session: 0,
            attempts: 0,
            why: None,
            sent: 0,
            window: Window::default(),
            reads: 0,
            reading: None,
            beat_ms: now_ms,
            asked: Asked::default(),
        }
    }

    /// What it is doing.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// How the latest session ended.
    pub fn why(&self) -> Option<&Ending> {
        self.why.as_ref()
    }

    /// Everything that the record held is sent and kept.
    pub fn idle(&self) -> bool {
        matches!(self.phase, Phase::Open { .. }) && self.window.is_empty() && self.reading.is_none()
    }

    /// Sessions begun so far.
    pub fn sessions(&self) -> u64 {
        self.session
    }

    /// The next moment at which [`Event::Tick`] has something to do.
    pub fn next_ms(&self) -> u64 {
        let phase_ms = match self.phase {
            Phase::Waiting { until_ms } => until_ms,
            Phase::Connecting { since_ms } => since_ms + CONNECT_MS,
            Phase::Greeting { since_ms } => since_ms + WELCOME_MS,
            Phase::Open { .. } => self.window.until_ms().into_iter().fold(self.beat_ms, u64::min),
        };
        self.asked.until_ms().into_iter().fold(phase_ms, u64::min)
    }

    /// Decides. `now_ms` is on a clock that never goes back; how far it jumps ahead does not matter.
    pub fn step(&mut self, now_ms: u64, event: Event) -> Vec<Act> {
        let mut acts = Vec::new();
        match event {
            Event::Tick => {}
            Event::Recorded(standing) => self.recorded(now_ms, standing, &mut acts),
            Event::Opened(session) => {
                if session == self.session && matches!(self.phase, Phase::Connecting { .. }) {
                    self.phase = Phase::Greeting { since_ms: now_ms };
                    acts.push(Act::Greet(self.record));
                }
            }
            Event::Closed(session, ending) => {
                if session == self.session {
                    self.end(now_ms, ending, &mut acts);
                }
            }
            // Why the check: words of a session that was given up may still lie in a channel.
            Event::Heard(session, message) => {
                if session == self.session {
                    self.heard(now_ms, message, &mut acts);
                }
            }
            Event::Read { read, epoch, readings } => self.read(now_ms, (read, epoch), readings, &mut acts),
            Event::Unreadable { read } => {
                if self.reading.is_some_and(|(asked, _)| asked == read) {
                    self.hang_up(now_ms, "the record cannot be read", &mut acts);
                }
            }
            Event::Answer(answer) => self.answer(answer, &mut acts),
            Event::Unchanged(unchanged) => {
                if matches!(self.phase, Phase::Open { .. }) {
                    acts.push(Act::Send(Up::Unchanged(unchanged)));
                }
            }
            Event::Hasten => self.hasten(now_ms, &mut acts),
        }
        self.tick(now_ms, &mut acts);
        self.pump(&mut acts);
        acts
    }

    /// Why an attempt under way is given up: it may have begun with the identity that was replaced, and end refused.
    fn hasten(&mut self, now_ms: u64, acts: &mut Vec<Act>) {
        match self.phase {
            Phase::Open { .. } => return,
            Phase::Waiting { .. } => {}
            Phase::Connecting { .. } | Phase::Greeting { .. } => self.hang_up(now_ms, "there is a new identity", acts),
        }
        self.phase = Phase::Waiting { until_ms: now_ms };
    }

    fn recorded(&mut self, now_ms: u64, standing: Standing, acts: &mut Vec<Act>) {
        let anew = standing.epoch != self.record.epoch;
        self.record = standing;
        if anew && !matches!(self.phase, Phase::Waiting { .. }) {
            self.hang_up(now_ms, "the record was begun anew", acts);
        }
    }

    fn heard(&mut self, now_ms: u64, message: Down, acts: &mut Vec<Act>) {
        match (message, &self.phase) {
            (Down::Welcome(welcome), Phase::Greeting { .. }) => self.welcome(now_ms, welcome, acts),
            (Down::Kept(kept), Phase::Open { .. }) => self.kept(now_ms, kept, acts),
            (Down::Command(command), Phase::Open { .. }) => acts.extend(self.asked.begin(now_ms, command)),
            (Down::Cancel(cancel), _) => {
                if self.asked.cancel(&cancel.id) {
                    acts.push(Act::Stop(cancel.id));
                }
            }
            (Down::SignedPolicy(policy), Phase::Open { .. }) => acts.push(Act::Apply(policy)),
            (Down::WantSchemas(want), Phase::Open { .. }) => acts.push(Act::Describe(want.tables)),
            (_, Phase::Waiting { .. } | Phase::Connecting { .. }) => {}
            _ => self.hang_up(now_ms, "the server spoke out of turn", acts),
        }
    }

    fn welcome(&mut self, now_ms: u64, welcome: Welcome, acts: &mut Vec<Act>) {
        if welcome.kept_seq > self.record.last_seq {
            acts.push(Act::BeginEpoch);
            self.hang_up(now_ms, "the server has readings that this record no longer holds", acts);
            return;
        }
        self.phase = Phase::Open { since_ms: now_ms };
        self.beat_ms = now_ms + BEAT_MS;
        self.window = Window::default();
        self.sent = welcome.kept_seq;
        if welcome.kept_seq > self.record.kept_seq {
            self.record.kept_seq = welcome.kept_seq;
            acts.push(Act::Keep { epoch: self.record.epoch, seq: welcome.kept_seq });
        }
        if let Some(policy) = welcome.signed_policy {
            acts.push(Act::Apply(policy));
        }
    }

    fn kept(&mut self, now_ms: u64, kept: Kept, acts: &mut Vec<Act>) {
        if kept.epoch != self.record.epoch || kept.seq > self.record.last_seq {
            return;
        }
        self.window.kept(now_ms, kept.seq);
        self.sent = self.sent.max(kept.seq);
        if kept.seq > self.record.kept_seq {
            self.record.kept_seq = kept.seq;
            acts.push(Act::Keep { epoch: kept.epoch, seq: kept.seq });
        }
    }

    fn answer(&mut self, answer: Answer, acts: &mut Vec<Act>) {
        let wanted = self.asked.answered(&answer);
        if wanted && matches!(self.phase, Phase::Open { .. }) {
            acts.push(Act::Send(Up::Answer(answer)));
        }
    }

    fn read(&mut self, now_ms: u64, (read, epoch): (u64, u64), readings: Vec<Numbered>, acts: &mut Vec<Act>) {
        let Some((_, last_seq)) = self.reading.take_if(|(asked, _)| *asked == read) else { return };
        if epoch != self.record.epoch {
            self.hang_up(now_ms, "the record was begun anew", acts);
            return;
        }
        if readings.is_empty() {
            // Why: numbers that are not streamed are passed over, so that the record is not asked for them again.
            self.sent = self.sent.max(last_seq);
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let sent = self.sent;
        for numbered in readings.into_iter().filter(|numbered| numbered.seq > sent) {
            let size = numbered.encoded_len();
            if bytes + size > BATCH_BYTES && !batch.is_empty() {
                self.send(now_ms, std::mem::take(&mut batch), std::mem::take(&mut bytes), acts);
            }
            bytes += size;
            batch.push(numbered);
        }
        if !batch.is_empty() {
            self.send(now_ms, batch, bytes, acts);
        }
    }

    fn send(&mut self, now_ms: u64, readings: Vec<Numbered>, bytes: usize, acts: &mut Vec<Act>) {
        let Some(last) = readings.last() else { return };
        self.sent = last.seq;
        self.window.sent(now_ms, last.seq, bytes);
        acts.push(Act::Send(Up::Batch(Batch { epoch: self.record.epoch, readings })));
    }

    /// Asks the record for more wherever there is more, and room for it.
    fn pump(&mut self, acts: &mut Vec<Act>) {
        let open = matches!(self.phase, Phase::Open { .. });
        let room = self.window.room();
        if !open || self.reading.is_some() || self.sent >= self.record.last_seq || room == 0 {
            return;
        }
        self.reads += 1;
        self.reading = Some((self.reads, self.record.last_seq));
        acts.push(Act::Read { read: self.reads, after: self.sent, bytes_max: room.min(BATCH_BYTES) });
    }

    fn tick(&mut self, now_ms: u64, acts: &mut Vec<Act>) {
        for id in self.asked.late(now_ms) {
            acts.push(Act::Stop(id.clone()));
            if matches!(self.phase, Phase::Open { .. }) {
                acts.push(Act::Send(Up::Answer(refusal(id, "the machine did not finish within the deadline"))));
            }
        }
        match self.phase {
            Phase::Waiting { until_ms } if now_ms >= until_ms => {
                self.session += 1;
                self.phase = Phase::Connecting { since_ms: now_ms };
                acts.push(Act::Connect(self.session));
            }
            Phase::Connecting { since_ms } if now_ms >= since_ms + CONNECT_MS => {
                self.hang_up(now_ms, "the server did not answer", acts);
            }
            Phase::Greeting { since_ms } if now_ms >= since_ms + WELCOME_MS => {
                self.hang_up(now_ms, "the server did not answer to hello", acts);
            }
            Phase::Open { .. } if self.window.until_ms().is_some_and(|until_ms| now_ms >= until_ms) => {
                self.hang_up(now_ms, "the server keeps nothing of what it is sent", acts);
            }
            Phase::Open { .. } if now_ms >= self.beat_ms => {
                self.beat_ms = now_ms + BEAT_MS;
                acts.push(Act::Beat);
            }
            _ => {}
        }
    }

    fn hang_up(&mut self, now_ms: u64, why: &str, acts: &mut Vec<Act>) {
        acts.push(Act::Disconnect(why.into()));
        self.end(now_ms, Ending::Lost(why.into()), acts);
    }

    fn end(&mut self, now_ms: u64, ending: Ending, acts: &mut Vec<Act>) {
        if let Phase::Open { since_ms } = self.phase
            && now_ms >= since_ms + STABLE_MS
        {
            self.attempts = 0;
        }
        let salt = self.session.wrapping_mul(2) + u64::from(self.attempts);
        let wait_ms = match ending {
            Ending::Lost(_) => {
                let ceiling = (BACK_OFF_MS << self.attempts.min(20)).min(BACK_OFF_MS_MAX);
                1 + spread(self.seed, salt, ceiling)
            }
            Ending::Refused(_) => REFUSED_MS + spread(self.seed, salt, REFUSED_MS + 1),
        };
        self.attempts += 1;
        self.phase = Phase::Waiting { until_ms: now_ms + wait_ms };
        self.why = Some(ending);
        self.window = Window::default();
        self.reading = None;
        acts.extend(self.asked.end().into_iter().map(Act::Stop));
    }
}

#[cfg(test)]
mod tests;
