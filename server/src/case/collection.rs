//! How one collection runs its course: a plain state machine, from asked to ended, through lost sessions, refusals, restarts and time.

use std::collections::BTreeSet;

use deskside_proto::v1::{Outcome, PartOutcome};
use deskside_proto::{catalog, show};
use uuid::Uuid;

use crate::store::{Collection, CollectionState};

/// How long a device may take to pack, and then to upload, before it is told to pack again.
pub const PACK_MS: i64 = 10 * 60 * 1_000;

/// How much longer where a person must agree first, and then something is taken for a while.
pub const CONSENT_MS: i64 = 16 * 60 * 1_000;

/// Wait before the first retry; each further one waits twice as long.
pub const RETRY_MIN_MS: i64 = 2_000;

/// Longest wait before a retry.
pub const RETRY_MAX_MS: i64 = 5 * 60 * 1_000;

/// Time that a device which comes back has to take up its upload by itself.
pub const RESUME_MS: i64 = 3_000;

/// Refusals by the device itself, not counting lost sessions, after which a collection has failed.
pub const REFUSALS_MAX: u32 = 5;

/// What happens to a collection.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It was just asked for, or found in the store after a restart.
    Begun {
        /// The device has a session.
        connected: bool,
    },
    /// The device opened a session.
    Connected,
    /// Its session ended.
    Disconnected,
    /// The device says what it is doing.
    Progress(String),
    /// The device has packed; the upload is under way or done.
    Packed,
    /// The device could not, or did not answer.
    Refused(String),
    /// The upload is durable.
    Stored {
        /// The item.
        evidence: Uuid,
        /// What came and what did not, as the device says.
        parts: Vec<PartOutcome>,
    },
    /// Somebody calls it off.
    Cancel {
        /// Who.
        who: String,
    },
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Tell the device to pack, and to give up after this.
    Pack {
        /// Milliseconds.
        deadline_ms: u32,
    },
    /// Tell the device to stop.
    Stop,
    /// Write down where it stands, with a line for the ticket where there is something to tell.
    Save {
        /// The line.
        tell: Option<String>,
    },
    /// Show where it stands to those who watch; it need not be durable.
    Show,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Doing {
    /// Nothing before this time.
    Idle { not_before_ms: i64 },
    /// The device was told to pack; given up at this time.
    Packing { until_ms: i64 },
}

/// One collection on its way.
#[derive(Clone, Debug)]
pub struct Course {
    collection: Collection,
    /// Every table there is, for when all were asked for and none came.
    all_tables: Vec<String>,
    connected: bool,
    /// When the device was last heard of; 0 for never.
    seen_ms: i64,
    refusals: u32,
    retry_ms: i64,
    doing: Doing,
}

impl Course {
    /// Takes up a collection, new or found in the store.
    pub fn new(collection: Collection, all_tables: Vec<String>, seen_ms: i64) -> Self {
        let doing = Doing::Idle { not_before_ms: 0 };
        Self { collection, all_tables, connected: false, seen_ms, refusals: 0, retry_ms: RETRY_MIN_MS, doing }
    }

    /// Where it stands.
    pub fn collection(&self) -> &Collection {
        &self.collection
    }

    /// When it wants to be told that time has passed; `None` once it has ended.
    pub fn wake_at_ms(&self) -> Option<i64> {
        if self.collection.state.ended() {
            return None;
        }
        let next = match self.doing {
            Doing::Packing { until_ms } => until_ms,
            Doing::Idle { not_before_ms } if self.connected => not_before_ms.max(self.collection.to_ms),
            Doing::Idle { .. } => i64::MAX,
        };
        Some(next.min(self.collection.expires_ms))
    }

    /// One step.
    pub fn step(&mut self, now_ms: i64, event: Event) -> Vec<Act> {
        if self.collection.state.ended() {
            return Vec::new();
        }
        match event {
            Event::Stored { evidence, parts } => return self.settle(now_ms, evidence, parts),
            Event::Cancel { who } => return self.cancel(now_ms, &who),
            _ if now_ms >= self.collection.expires_ms => return self.expire(now_ms),
            Event::Begun { connected: true } => self.connected = true,
            Event::Begun { connected: false } | Event::Tick => {}
            Event::Connected => self.back(now_ms),
            Event::Disconnected => self.gone(now_ms),
            Event::Progress(text) => return self.progress(&text),
            Event::Packed => return self.progress("packed; the upload is under way"),
            Event::Refused(error) => {
                if self.busy() {
                    return self.refused(now_ms, &error);
                }
            }
        }
        self.go_on(now_ms)
    }

    /// Packs if it can be done now; else says what it waits for.
    fn go_on(&mut self, now_ms: i64) -> Vec<Act> {
        match self.doing {
            Doing::Packing { until_ms } if now_ms >= until_ms => {
                let mut acts = vec![Act::Stop];
                let late = format!("nothing was stored within {}", show::duration(PACK_MS as f64 / 1e3));
                acts.extend(self.refused(now_ms, &late));
                acts
            }
            Doing::Packing { .. } => Vec::new(),
            Doing::Idle { not_before_ms } => {
                if self.connected && now_ms >= self.collection.to_ms && now_ms >= not_before_ms {
                    return self.pack(now_ms);
                }
                let note = self.waits_for(now_ms);
                self.note(CollectionState::Waiting, note)
            }
        }
    }

    fn pack(&mut self, now_ms: i64) -> Vec<Act> {
        let deadline_ms = self.pack_ms().min(self.collection.expires_ms - now_ms);
        self.doing = Doing::Packing { until_ms: now_ms + deadline_ms };
        self.collection.attempts += 1;
        self.collection.state = CollectionState::Running;
        self.collection.note = "the device packs".into();
        let deadline_ms = u32::try_from(deadline_ms).unwrap_or(u32::MAX);
        vec![Act::Save { tell: None }, Act::Pack { deadline_ms }]
    }

    fn back(&mut self, now_ms: i64) {
        self.connected = true;
        self.seen_ms = now_ms;
        if let Doing::Packing { .. } = self.doing {
            self.retry(now_ms);
        }
        if let (Doing::Idle { not_before_ms }, true) = (self.doing, self.collection.attempts > 0) {
            self.doing = Doing::Idle { not_before_ms: not_before_ms.max(now_ms + RESUME_MS) };
        }
    }

    fn gone(&mut self, now_ms: i64) {
        self.connected = false;
        self.seen_ms = now_ms;
        if self.busy() {
            self.retry(now_ms);
        }
    }

    fn retry(&mut self, now_ms: i64) {
        self.doing = Doing::Idle { not_before_ms: now_ms.saturating_add(self.retry_ms) };
        self.retry_ms = (self.retry_ms * 2).min(RETRY_MAX_MS);
    }

    fn refused(&mut self, now_ms: i64, error: &str) -> Vec<Act> {
        self.refusals += 1;
        self.retry(now_ms);
        if self.refusals >= REFUSALS_MAX {
            let why = format!("the device could not, {REFUSALS_MAX} times; last: {error}");
            return self.end(now_ms, CollectionState::Failed, Outcome::Failed, &why);
        }
        let Doing::Idle { not_before_ms } = self.doing else { return Vec::new() };
        let wait = show::duration((not_before_ms - now_ms) as f64 / 1e3);
        self.note(CollectionState::Waiting, format!("the device could not: {error}; asked again in {wait}"))
    }

    fn progress(&mut self, text: &str) -> Vec<Act> {
        if !self.busy() || self.collection.note == text {
            return Vec::new();
        }
        text.clone_into(&mut self.collection.note);
        vec![Act::Show]
    }

    fn cancel(&mut self, now_ms: i64, who: &str) -> Vec<Act> {
        let mut acts = if self.busy() { vec![Act::Stop] } else { Vec::new() };
        acts.extend(self.end(now_ms, CollectionState::Cancelled, Outcome::Failed, &format!("cancelled by {who}")));
        acts
    }

    fn expire(&mut self, now_ms: i64) -> Vec<Act> {
        let mut acts = if self.busy() { vec![Act::Stop] } else { Vec::new() };
        let why = match (self.collection.attempts, self.connected) {
            (0, false) if self.seen_ms == 0 => "the device never connected".to_owned(),
            (0, false) => format!("the device was off since {}", show::clock(self.seen_ms)),
            (0, true) => "its time ran out before its window had passed".to_owned(),
            (tries, _) => format!("not done in time, after {tries} tries; last: {}", self.collection.note),
        };
        acts.extend(self.end(now_ms, CollectionState::Expired, Outcome::TimedOut, &why));
        acts
    }

    /// Ends without evidence: each part that was asked for is named with why it did not come.
    fn end(&mut self, now_ms: i64, state: CollectionState, outcome: Outcome, why: &str) -> Vec<Act> {
        self.collection.parts = self.asked().into_iter().map(|name| missing(name, outcome, why)).collect();
        self.finish(now_ms, state, why)
    }

    fn settle(&mut self, now_ms: i64, evidence: Uuid, mut parts: Vec<PartOutcome>) -> Vec<Act> {
        let named = if self.collection.tables.is_empty() { self.probes().collect() } else { self.asked() };
        let absent = named.into_iter().filter(|name| !parts.iter().any(|part| part.name == *name));
        let absent: Vec<PartOutcome> =
            absent.map(|name| missing(name, Outcome::Failed, "asked for, and not in what the device sent")).collect();
        parts.extend(absent);
        let came = |part: &&PartOutcome| matches!(part.outcome(), Outcome::Ok | Outcome::Empty | Outcome::Unsupported);
        let whole = parts.iter().filter(came).count();
        let names = |outcome: fn(&PartOutcome) -> bool| -> Vec<&str> {
            parts.iter().filter(|part| outcome(part)).map(|part| part.name.as_str()).collect()
        };
        let absent = names(|part| part.outcome() == Outcome::Unsupported);
        let short: Vec<&str> = parts.iter().filter(|part| !came(part)).map(|part| part.name.as_str()).collect();
        let (state, note) = if parts.is_empty() {
            (CollectionState::Partial, "the device sent no parts".to_owned())
        } else if short.is_empty() && absent.is_empty() {
            (CollectionState::Done, format!("every part came ({whole})"))
        } else if short.is_empty() {
            (CollectionState::Done, format!("every part came ({whole}); not on this machine: {}", absent.join(", ")))
        } else {
            (
                CollectionState::Partial,
                format!("{whole} of {} parts came whole; not: {}", parts.len(), short.join(", ")),
            )
        };
        self.collection.parts = parts;
        self.collection.evidence = Some(evidence);
        self.finish(now_ms, state, &note)
    }

    fn finish(&mut self, now_ms: i64, state: CollectionState, note: &str) -> Vec<Act> {
        self.doing = Doing::Idle { not_before_ms: i64::MAX };
        self.collection.state = state;
        self.collection.ended_ms = now_ms;
        note.clone_into(&mut self.collection.note);
        vec![Act::Save { tell: Some(format!("collection {}: {note}", state.name())) }]
    }

    /// The names of the parts that were asked for, each once.
    fn asked(&self) -> Vec<&str> {
        let asked = if self.collection.tables.is_empty() { &self.all_tables } else { &self.collection.tables };
        let mut seen = BTreeSet::new();
        asked.iter().map(String::as_str).chain(self.probes()).filter(|name| seen.insert(*name)).collect()
    }

    /// How long the device may take: longer where a person must agree first.
    fn pack_ms(&self) -> i64 {
        let takes = |name: &str| {
            let options = catalog::table(name).and_then(|table| table.probe.as_ref());
            options.is_some_and(|options| options.evidence)
        };
        PACK_MS + if self.probes().any(takes) { CONSENT_MS } else { 0 }
    }

    fn probes(&self) -> impl Iterator<Item = &str> {
        self.collection.probes.iter().filter_map(|probe| probe.split_whitespace().next())
    }

    fn busy(&self) -> bool {
        matches!(self.doing, Doing::Packing { .. })
    }

    fn waits_for(&self, now_ms: i64) -> String {
        let to_ms = self.collection.to_ms;
        match (self.connected, now_ms < to_ms) {
            (_, true) if self.collection.planned_ms > now_ms => {
                format!("planned for {}", show::clock(self.collection.planned_ms))
            }
            (_, true) => format!("waits for its window to pass at {}", show::clock(to_ms)),
            (false, _) if self.seen_ms == 0 => "waits for the device, which has never connected".to_owned(),
            (false, _) => format!("waits for the device, which is off since {}", show::clock(self.seen_ms)),
            (true, _) => "the session was lost; the device is asked again shortly".to_owned(),
        }
    }

    fn note(&mut self, state: CollectionState, note: String) -> Vec<Act> {
        if self.collection.state == state && self.collection.note == note {
            return Vec::new();
        }
        self.collection.state = state;
        self.collection.note = note;
        vec![Act::Save { tell: None }]
    }
}

fn missing(name: &str, outcome: Outcome, why: &str) -> PartOutcome {
    PartOutcome { name: name.to_owned(), outcome: outcome.into(), reason: why.to_owned(), ..PartOutcome::default() }
}
