//! Runs the collections that have not ended: one task each, fed by the device's comings and goings, its answers, its upload and the clock.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use deskside_proto::catalog;
use deskside_proto::v1::{Answer, Command, Pack, Probe, command};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::collection::{Act, Course, Event};
use super::now_ms;
use crate::gateway::{Answers, CONNECTION_LOST, NotReached, Switchboard};
use crate::store::{AuditLine, Collection, CustodyEntry, Store, TicketEvent};

/// Events that wait for one collection; more wait with their sender.
const INBOX_MAX: usize = 16;

/// Bytes of evidence in one bundle, before compression; what does not fit is cut and named.
const PACK_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Tries to write down where a collection stands, one a second, before it is left as it was written last.
const SAVES_MAX: u32 = 60;

/// Steps of consent that are kept for the custody.
const CONSENTS_MAX: usize = 64;

/// Longest sleep between two looks at the clock. Why: the clock may be set while it waits.
const SLEEP_MAX: Duration = Duration::from_mins(1);

/// The collections under way; cheap to clone.
#[derive(Clone)]
pub(super) struct Runner {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn Store>,
    switchboard: Switchboard,
    running: Mutex<HashMap<Uuid, Running>>,
    news: Mutex<Option<JoinHandle<()>>>,
    ended: watch::Sender<u64>,
}

struct Running {
    device: Uuid,
    inbox: mpsc::Sender<Event>,
    state: watch::Receiver<Collection>,
}

impl Runner {
    /// Takes up every collection that has not ended.
    pub(super) async fn start(store: Arc<dyn Store>, switchboard: Switchboard) -> anyhow::Result<Self> {
        let (arrivals, departures) = (switchboard.arrivals(), switchboard.departures());
        let shared = Shared {
            store,
            switchboard,
            running: Mutex::default(),
            news: Mutex::default(),
            ended: watch::Sender::new(0),
        };
        let runner = Self { shared: Arc::new(shared) };
        let open = runner.shared.store.open_collections().await?;
        info!(collections = open.len(), "collections taken up");
        for collection in open {
            runner.begin(collection).await?;
        }
        let news = tokio::spawn(runner.clone().follow(arrivals, departures));
        *runner.shared.news.lock().unwrap_or_else(PoisonError::into_inner) = Some(news);
        Ok(runner)
    }

    /// Runs a collection that the store has.
    pub(super) async fn begin(&self, collection: Collection) -> anyhow::Result<()> {
        let device = self.shared.store.device(collection.device).await?;
        let seen_ms = device.map_or(0, |device| device.seen_ms);
        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        let (show, state) = watch::channel(collection.clone());
        let running = Running { device: collection.device, inbox: sender, state };
        let (id, device) = (collection.id, collection.device);
        self.running().insert(id, running);
        let stored = collection.evidence.map(|evidence| Event::Stored { evidence, parts: collection.parts.clone() });
        let connected = self.shared.switchboard.connected(device);
        let first = stored.unwrap_or(Event::Begun { connected });
        let course = course(collection, seen_ms);
        let task = Task { runner: self.clone(), course, show, answers: None, consents: Vec::new() };
        tokio::spawn(async move {
            task.run(first, inbox).await;
        });
        Ok(())
    }

    /// Hands an event to a collection. Answers false where it does not run.
    pub(super) async fn tell(&self, id: Uuid, event: Event) -> bool {
        let inbox = self.running().get(&id).map(|running| running.inbox.clone());
        match inbox {
            Some(inbox) => inbox.send(event).await.is_ok(),
            None => false,
        }
    }

    /// Where a collection stands, each time it changes; `None` where it does not run.
    pub(super) fn watch(&self, id: Uuid) -> Option<watch::Receiver<Collection>> {
        self.running().get(&id).map(|running| running.state.clone())
    }

    /// How many have ended since the start, each time one does.
    pub(super) fn ended(&self) -> watch::Receiver<u64> {
        self.shared.ended.subscribe()
    }

    /// Lets go of all of them; each stays in the store as it is.
    pub(super) fn stop(&self) {
        if let Some(news) = self.shared.news.lock().unwrap_or_else(PoisonError::into_inner).take() {
            news.abort();
        }
        self.running().clear();
    }

    async fn follow(self, mut arrivals: broadcast::Receiver<Uuid>, mut departures: broadcast::Receiver<Uuid>) {
        loop {
            let (device, came) = tokio::select! {
                device = arrivals.recv() => (device, true),
                device = departures.recv() => (device, false),
            };
            match device {
                Ok(device) => self.tell_all(Some(device), came).await,
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    warn!(missed, "comings and goings of devices were missed; all are looked at again");
                    self.tell_all(None, came).await;
                }
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    /// Tells the collections of one device, or all, whether their device is there.
    async fn tell_all(&self, device: Option<Uuid>, came: bool) {
        let concerned: Vec<(Uuid, mpsc::Sender<Event>)> = {
            let running = self.running();
            let ours = running.values().filter(|running| device.is_none_or(|device| device == running.device));
            ours.map(|running| (running.device, running.inbox.clone())).collect()
        };
        for (device, inbox) in concerned {
            let here = if came { true } else { self.shared.switchboard.connected(device) };
            let event = if here { Event::Connected } else { Event::Disconnected };
            // Why: one that has just ended needs no news.
            inbox.send(event).await.ok();
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Uuid, Running>> {
        self.shared.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One collection under way.
struct Task {
    runner: Runner,
    course: Course,
    show: watch::Sender<Collection>,
    answers: Option<Answers>,
    /// Who agreed to what, for the custody of what comes of it.
    consents: Vec<CustodyEntry>,
}

impl Task {
    async fn run(mut self, first: Event, mut inbox: mpsc::Receiver<Event>) {
        let mut next = Some(first);
        while let Some(event) = next {
            self.take(event).await;
            let Some(wake_at_ms) = self.course.wake_at_ms() else { break };
            let sleep = u64::try_from(wake_at_ms.saturating_sub(now_ms())).unwrap_or_default();
            let sleep = Duration::from_millis(sleep).min(SLEEP_MAX);
            next = tokio::select! {
                event = inbox.recv() => event,
                answer = answered(&mut self.answers) => {
                    self.consented(answer.as_ref()).await;
                    Some(self.heard(answer))
                }
                () = tokio::time::sleep(sleep) => Some(Event::Tick),
            };
        }
        let collection = self.course.collection();
        if let Some(evidence) = collection.evidence {
            for entry in std::mem::take(&mut self.consents) {
                if let Err(error) = self.runner.shared.store.add_custody(evidence, entry).await {
                    error!(%evidence, error = format!("{error:#}"), "consent is not in the custody");
                }
            }
        }
        if collection.state.ended() {
            self.runner.running().remove(&collection.id);
            self.runner.shared.ended.send_modify(|ended| *ended += 1);
            info!(collection = %collection.id, state = collection.state.name(), "collection ended");
        }
    }

    async fn take(&mut self, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            for act in self.course.step(now_ms(), event) {
                match act {
                    Act::Pack { deadline_ms } => next = self.pack(deadline_ms).await,
                    Act::Stop => self.answers = None,
                    Act::Save { tell } => next = self.save(tell).await.or(next),
                    Act::Show => {}
                }
            }
            self.show.send_replace(self.course.collection().clone());
        }
    }

    /// Sends the command. Answers what happened at once, if it could not be sent.
    async fn pack(&mut self, deadline_ms: u32) -> Option<Event> {
        let collection = self.course.collection();
        let offset_ms = match self.runner.shared.store.device(collection.device).await {
            Ok(device) => device.map_or(0, |device| device.clock_offset_ms),
            Err(error) => return Some(Event::Refused(format!("{error:#}"))),
        };
        let pack = Pack {
            collection_id: collection.id.to_string(),
            ticket: collection.ticket,
            tables: collection.tables.clone(),
            from_ms: collection.from_ms - offset_ms,
            to_ms: collection.to_ms - offset_ms,
            bytes_max: PACK_BYTES_MAX,
            requested_by: collection.asked_by.clone(),
            clock_offset_ms: offset_ms,
            probes: collection.probes.iter().map(|words| probe(words)).collect(),
            recipe: collection.recipe.clone(),
        };
        let command = Command { deadline_ms, kind: Some(command::Kind::Pack(pack)), ..Command::default() };
        match self.runner.shared.switchboard.command(collection.device, command) {
            Ok(answers) => {
                self.answers = Some(answers);
                None
            }
            Err(NotReached::NotConnected) => Some(Event::Disconnected),
            Err(busy @ NotReached::Busy) => Some(Event::Refused(busy.to_string())),
        }
    }

    /// Writes down who agreed to what, or did not: in the audit log, and later in the custody of what came of it.
    async fn consented(&mut self, answer: Option<&Answer>) {
        let Some(consent) = answer.and_then(|answer| answer.consent.as_ref()) else { return };
        let collection = self.course.collection();
        let who = if consent.by.is_empty() { "device" } else { &consent.by };
        let mut words = format!("{}: capture of {}, asked for by {}", consent.step, consent.what, collection.asked_by);
        if !consent.account.is_empty() {
            words = format!("{words}; account {}", consent.account);
        }
        if !consent.found.is_empty() {
            words = format!("{words}; {}", consent.found);
        }
        let line = AuditLine {
            at_ms: now_ms(),
            who: who.to_owned(),
            what: "consent".into(),
            device: collection.device.to_string(),
            ticket: collection.ticket,
            text: words.clone(),
            ..AuditLine::default()
        };
        let entry = CustodyEntry { at_ms: line.at_ms, who: line.who.clone(), what: line.what.clone(), text: words };
        if let Err(error) = self.runner.shared.store.add_audit(line).await {
            error!(collection = %collection.id, error = format!("{error:#}"), "consent not written down");
        }
        if self.consents.len() < CONSENTS_MAX {
            self.consents.push(entry);
        }
    }

    /// What an answer means. A session that ended is no refusal, however often it happens.
    fn heard(&mut self, answer: Option<Answer>) -> Event {
        let Some(answer) = answer else {
            self.answers = None;
            return Event::Refused("its answers broke off".into());
        };
        if !answer.last {
            let consented =
                answer.consent.as_ref().map(|consent| format!("consent {}: {}", consent.step, consent.what));
            return Event::Progress(consented.unwrap_or(answer.progress));
        }
        self.answers = None;
        match answer.error.as_str() {
            "" => Event::Packed,
            CONNECTION_LOST if self.runner.shared.switchboard.connected(self.course.collection().device) => {
                Event::Connected
            }
            CONNECTION_LOST => Event::Disconnected,
            error => Event::Refused(error.to_owned()),
        }
    }

    /// Writes down where it stands. If its evidence came in the same moment in which it was given up, the evidence counts.
    async fn save(&mut self, tell: Option<String>) -> Option<Event> {
        let collection = self.course.collection().clone();
        let line = |text| TicketEvent { at_ms: now_ms(), who: "server".into(), what: "collection".into(), text };
        let event = tell.map(line);
        for _attempt in 0..SAVES_MAX {
            let Err(error) = self.runner.shared.store.save_collection(&collection, event.clone()).await else {
                return None;
            };
            let stored = self.runner.shared.store.collection(collection.id).await.ok().flatten();
            if let Some((stored, evidence)) = stored.and_then(|stored| Some((stored.clone(), stored.evidence?)))
                && collection.evidence.is_none()
            {
                let parts = stored.parts.clone();
                self.course = course(stored, 0);
                return Some(Event::Stored { evidence, parts });
            }
            error!(collection = %collection.id, error = format!("{error:#}"), "collection not saved");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        None
    }
}

/// A probe from its name and arguments; what stands in double quotes is one.
fn probe(words: &str) -> Probe {
    let (mut split, mut quoted) = (vec![String::new()], false);
    for letter in words.chars() {
        match letter {
            '"' => quoted = !quoted,
            blank if blank.is_whitespace() && !quoted => split.push(String::new()),
            letter => split.last_mut().into_iter().for_each(|word| word.push(letter)),
        }
    }
    let mut words = split.into_iter().filter(|word| !word.is_empty());
    Probe { name: words.next().unwrap_or_default(), arguments: words.collect() }
}

fn course(collection: Collection, seen_ms: i64) -> Course {
    let tables = catalog::tables().iter().map(|table| table.name.clone()).collect();
    Course::new(collection, tables, seen_ms)
}

/// What the device says next; never, while it is asked nothing.
async fn answered(answers: &mut Option<Answers>) -> Option<Answer> {
    match answers {
        Some(receiver) => receiver.recv().await,
        None => std::future::pending().await,
    }
}
