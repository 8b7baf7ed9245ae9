//! Drives the uplink: its acts on the line, the record and the commands, and what comes of them back to it as events.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deskside_proto::catalog;
use deskside_proto::v1::from_agent::Kind as Up;
use deskside_proto::v1::{Answer, Catalogue, FromAgent, Hello, SignedPolicy, Unchanged};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::commands::Means;
use super::facts::Facts;
use super::keeper::Shelf;
use crate::collect::vitals::VITALS;
use crate::uplink::identity::Identity;
use crate::uplink::line::Session;
use crate::uplink::{Act, Ending, Event, Phase, Standing, Uplink};

/// Events that wait for the uplink.
const EVENTS_MAX: usize = 64;

/// Answers that wait for the line.
const ANSWERS_MAX: usize = 8;

/// Messages that answers leave free on the line, for batches.
const ROOM_FOR_BATCHES: usize = 40;

/// For what is on its way to go out when the agent stops.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// How the link is, for the one who asks at the machine.
#[derive(Clone, Debug, Default)]
pub(super) struct LinkStatus {
    /// Who this device is.
    pub(super) identity: Option<(String, Vec<String>)>,
    /// In session since.
    pub(super) connected_since_ms: Option<i64>,
    /// Why there is none.
    pub(super) why: Option<String>,
}

/// What the link is told from outside.
#[derive(Debug)]
pub(super) enum Nudge {
    /// The identity is another.
    Reconnect,
    /// End the session, and then.
    Stop,
}

/// The driver.
pub(super) struct Link {
    state: PathBuf,
    means: Arc<Means>,
    facts: Arc<Facts>,
    uplink: Uplink,
    begun: Instant,
    session: Option<Session>,
    events: (mpsc::Sender<Event>, mpsc::Receiver<Event>),
    answers: (mpsc::Sender<Answer>, mpsc::Receiver<Answer>),
    commands: BTreeMap<String, AbortHandle>,
    status: Arc<Mutex<LinkStatus>>,
}

impl Link {
    /// Ready to connect.
    pub(super) fn new(
        state: PathBuf,
        means: Arc<Means>,
        facts: Arc<Facts>,
        seed: u64,
        status: Arc<Mutex<LinkStatus>>,
    ) -> Self {
        let standing = *means.keeper.standing().borrow();
        Self {
            state,
            facts,
            uplink: Uplink::new(seed, standing, 0),
            means,
            begun: Instant::now(),
            session: None,
            events: mpsc::channel(EVENTS_MAX),
            answers: mpsc::channel(ANSWERS_MAX),
            commands: BTreeMap::new(),
            status,
        }
    }

    /// Holds the session until it is told to stop.
    pub(super) async fn run(mut self, mut nudges: mpsc::Receiver<Nudge>) {
        let mut standing = self.means.keeper.standing();
        loop {
            let next = self.begun + Duration::from_millis(self.uplink.next_ms());
            let room = self.session.as_ref().is_none_or(|session| session.room() > ROOM_FOR_BATCHES);
            let event = tokio::select! {
                nudge = nudges.recv() => match nudge {
                    Some(Nudge::Reconnect) => Event::Hasten,
                    Some(Nudge::Stop) | None => break,
                },
                Some(event) = self.events.1.recv() => event,
                Ok(()) = standing.changed() => Event::Recorded(*standing.borrow_and_update()),
                Some(answer) = self.answers.1.recv(), if room => Event::Answer(answer),
                () = sleep_until(next) => Event::Tick,
            };
            let now_ms = self.begun.elapsed().as_millis() as u64;
            for act in self.uplink.step(now_ms, event) {
                self.act(act);
            }
            self.tell();
        }
        for (_id, command) in std::mem::take(&mut self.commands) {
            command.abort();
        }
        if let Some(session) = self.session.take() {
            session.close(CLOSE_TIME).await;
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Connect(number) => self.connect(number),
            Act::Disconnect(why) => {
                tracing::info!(why, "session given up");
                self.session = None;
            }
            Act::Greet(standing) => self.greet(standing),
            Act::Send(message) => self.send(message),
            Act::Beat => self.beat(),
            Act::Read { read, after, bytes_max } => self.read(read, after, bytes_max),
            Act::Keep { epoch, seq } => self.keep(epoch, seq),
            Act::BeginEpoch => self.begin_epoch(),
            Act::Start(command) => {
                let id = command.id.clone();
                let work = Arc::clone(&self.means).work(command, self.answers.0.clone());
                self.commands.retain(|_id, running| !running.is_finished());
                self.commands.insert(id, tokio::spawn(work).abort_handle());
            }
            Act::Stop(id) => {
                if let Some(running) = self.commands.remove(&id) {
                    running.abort();
                }
            }
            Act::Apply(policy) => self.apply(policy),
            Act::Describe(tables) => {
                let tables = tables.iter().filter_map(|table| self.means.eye.registry.schema(table)).cloned().collect();
                self.send(Up::Schemas(Catalogue { tables }));
            }
        }
    }

    fn connect(&mut self, number: u64) {
        // Why from disk each time: a renewed or new identity is used without anybody being told.
        let closed = match Identity::load(&self.state) {
            Ok(Some(identity)) => {
                self.lock(|status| status.identity = Some((identity.device_id.clone(), identity.addresses.clone())));
                self.facts.set_device_id(&identity.device_id);
                self.session = Some(Session::open(number, Arc::new(identity), self.events.0.clone()));
                return;
            }
            Ok(None) => Ending::Refused("this machine is not enrolled; run: deskside-agent enroll TOKEN".into()),
            Err(error) => Ending::Refused(format!("{error:#}")),
        };
        self.session = None;
        let events = self.events.0.clone();
        tokio::spawn(async move { events.send(Event::Closed(number, closed)).await.ok() });
    }

    fn greet(&mut self, standing: Standing) {
        let schemas = self.means.eye.registry.schemas();
        let facts = &self.facts;
        self.send(Up::Hello(Hello {
            device_id: facts.device_id(),
            epoch: standing.epoch,
            last_seq: standing.last_seq,
            first_seq: standing.first_seq,
            agent_version: facts.agent_version.into(),
            hostname: facts.hostname.clone(),
            clock_ms: self.means.eye.host.now_ms(),
            boot_id: facts.boot_id.clone(),
            schemas: schemas.map(|schema| (schema.name.clone(), catalog::hash(schema))).collect(),
            os: facts.os.clone(),
        }));
    }

    fn send(&mut self, message: Up) {
        let Some(session) = &self.session else { return };
        if !session.send(FromAgent { kind: Some(message) }) {
            tracing::warn!("the line is full; the session ends");
            self.session = None;
            let (events, number) = (self.events.0.clone(), self.uplink.sessions());
            let ending = Ending::Lost("the line did not take what the window allows".into());
            tokio::spawn(async move { events.send(Event::Closed(number, ending)).await.ok() });
        }
    }

    fn beat(&mut self) {
        let (means, events) = (Arc::clone(&self.means), self.events.0.clone());
        tokio::spawn(async move {
            let tables = means.keeper.with(|shelf| shelf.record.unchanged()).await.unwrap_or_default();
            events.send(Event::Unchanged(Unchanged { tables })).await.ok();
        });
    }

    fn read(&mut self, read: u64, after: u64, bytes_max: usize) {
        let (means, events) = (Arc::clone(&self.means), self.events.0.clone());
        tokio::spawn(async move {
            let asked = move |shelf: &mut Shelf| {
                let readings = shelf.record.after(after, bytes_max);
                (shelf.record.epoch(), readings)
            };
            let event = match means.keeper.with(asked).await {
                Ok((epoch, Ok(readings))) => Event::Read { read, epoch, readings },
                Ok((_, Err(error))) => {
                    tracing::error!(%error, "the record cannot be read");
                    Event::Unreadable { read }
                }
                Err(_closed) => Event::Unreadable { read },
            };
            events.send(event).await.ok();
        });
    }

    fn keep(&mut self, epoch: u64, seq: u64) {
        let means = Arc::clone(&self.means);
        tokio::spawn(async move {
            let note = move |shelf: &mut Shelf| {
                if shelf.record.epoch() == epoch {
                    shelf.record.kept(seq);
                }
            };
            // A record that is closed hears it again in the next Welcome.
            means.keeper.with(note).await.ok();
        });
    }

    fn begin_epoch(&mut self) {
        let means = Arc::clone(&self.means);
        tokio::spawn(async move {
            if let Ok(Err(error)) = means.keeper.with(|shelf| shelf.record.begin_epoch()).await {
                tracing::error!(%error, "no new epoch was begun");
            }
        });
    }

    fn apply(&mut self, policy: SignedPolicy) {
        let (means, state) = (Arc::clone(&self.means), self.state.clone());
        tokio::spawn(async move { means.apply(&state, policy).await });
    }

    fn tell(&mut self) {
        let connected = matches!(self.uplink.phase(), Phase::Open { .. });
        let was = VITALS.connected.swap(connected, Relaxed);
        let why = self.uplink.why().map(|(Ending::Lost(why) | Ending::Refused(why))| why.clone());
        let known = self.status.lock().unwrap_or_else(PoisonError::into_inner).why == why;
        if connected && !was {
            let now_ms = self.means.eye.host.now_ms();
            self.lock(|status| status.connected_since_ms = Some(now_ms));
            tracing::info!("connected");
            self.means.outbox.hasten();
        } else if was && !connected {
            self.lock(|status| status.connected_since_ms = None);
            VITALS.reconnects.fetch_add(1, Relaxed);
        }
        // Why only what is new: an unreachable server is tried for days.
        if !connected && (was || !known) {
            tracing::info!(why = why.as_deref().unwrap_or_default(), "not connected");
        }
        self.lock(|status| status.why = why);
    }

    fn lock(&self, change: impl FnOnce(&mut LinkStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
