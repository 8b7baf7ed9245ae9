//! The help desks at work: tickets that are escalated there become cases here, and what comes of them is put into the outbox.

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex as Plain, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use reqwest::header::HeaderMap;
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::task::JoinSet;
use tracing::{error, warn};
use uuid::Uuid;

use super::outbox::Event;
use super::{HelpDesk, Refused, Trouble, open, post};
use crate::blobs::Blobs;
use crate::case::{Cases, now_ms};
use crate::config::HelpDeskConfig;
use crate::gateway::Switchboard;
use crate::store::{OutboxItem, Store};

/// Events that wait for the outbox; more wait with their sender.
const INBOX_MAX: usize = 256;

/// Tickets that wait to be read again; a hook that finds no room is taken at the next look.
const TAKES_MAX: usize = 1_024;

/// Tickets that are read at a time.
const TAKING_MAX: usize = 8;

/// Longest time between two looks for what is to be reported.
const REPORT_EVERY: Duration = Duration::from_secs(15);

/// How far back the first look for escalated tickets reaches, and how far each further one overlaps the one before.
const FIRST_LOOK_MS: i64 = 24 * 3_600 * 1_000;
const OVERLAP_MS: i64 = 5 * 60 * 1_000;

/// Waits between tries to read a ticket.
const TAKE_REST_MIN: Duration = Duration::from_secs(2);
const TAKE_REST_MAX: Duration = Duration::from_mins(5);

/// One help desk.
pub(super) struct Open {
    pub(super) config: HelpDeskConfig,
    pub(super) desk: Arc<dyn HelpDesk>,
    /// Held while a ticket of it becomes a case, so that a hook and a look do not do it twice.
    pub(super) taking: Mutex<()>,
}

/// A ticket to be read again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Take {
    desk: String,
    id: String,
}

pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) blobs: Blobs,
    pub(super) cases: Cases,
    pub(super) switchboard: Switchboard,
    pub(super) desks: BTreeMap<String, Open>,
    pub(super) wake: Notify,
    /// Collections of which it was said that they are under way.
    pub(super) begun: Plain<HashSet<Uuid>>,
    outbox: mpsc::Sender<Event>,
    takes: mpsc::Sender<Take>,
    inboxes: Plain<Option<(mpsc::Receiver<Event>, mpsc::Receiver<Take>)>>,
}

/// The help desks; cheap to clone.
#[derive(Clone)]
pub struct HelpDesks {
    pub(super) shared: Arc<Shared>,
}

impl HelpDesks {
    /// Opens those that are configured. Nothing is sent until `run`.
    pub fn new(
        configs: &[HelpDeskConfig],
        store: Arc<dyn Store>,
        blobs: Blobs,
        cases: Cases,
        switchboard: Switchboard,
    ) -> Result<Self> {
        let mut desks = BTreeMap::new();
        for config in configs {
            let one = Open { config: config.clone(), desk: open(config)?, taking: Mutex::new(()) };
            desks.insert(config.name.clone(), one);
        }
        let ((outbox, events), (takes, taken)) = (mpsc::channel(INBOX_MAX), mpsc::channel(TAKES_MAX));
        let shared = Shared {
            store,
            blobs,
            cases,
            switchboard,
            desks,
            wake: Notify::new(),
            begun: Plain::default(),
            outbox,
            takes,
            inboxes: Plain::new(Some((events, taken))),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Works until it is dropped.
    pub async fn run(&self) -> Infallible {
        let inboxes = self.shared.inboxes.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((events, taken)) = inboxes else { return std::future::pending().await };
        if self.shared.desks.is_empty() {
            return std::future::pending().await;
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(post::run(Arc::clone(&self.shared), events));
        let (taking, reporting) = (self.clone(), self.clone());
        tasks.spawn(async move { taking.keep_taking(taken).await });
        tasks.spawn(async move { reporting.keep_reporting().await });
        for (name, one) in &self.shared.desks {
            if one.config.poll_s > 0 && one.desk.abilities().polls {
                let (looking, name) = (self.clone(), name.clone());
                tasks.spawn(async move { looking.keep_looking(&name).await });
            }
        }
        self.take_up_hooks().await;
        match tasks.join_next().await {
            Some(Ok(never)) => match never {},
            Some(Err(error)) => error!(%error, "a task of the help desks broke; they rest until the next start"),
            None => {}
        }
        std::future::pending().await
    }

    /// Names of those that are configured.
    pub fn names(&self) -> Vec<&str> {
        self.shared.desks.keys().map(String::as_str).collect()
    }

    /// Something of a ticket here has changed: what follows from it is looked at now.
    pub fn wake(&self) {
        self.shared.wake.notify_one();
    }

    /// Takes a hook: checks it, writes it down once, and has the ticket read again. Answers false where it came before.
    pub async fn hook(&self, desk: &str, headers: &HeaderMap, raw: &[u8]) -> Result<Result<bool, Refused>> {
        let Some(one) = self.shared.desks.get(desk) else {
            return Ok(Err(Refused::Forged(format!("no help desk {desk:?} is configured"))));
        };
        let hint = match one.desk.hook(headers, raw, now_ms()) {
            Ok(hint) => hint,
            Err(refused) => return Ok(Err(refused)),
        };
        if !self.shared.store.hook_arrived(desk, &hint.delivery, &hint.ticket, now_ms()).await? {
            return Ok(Ok(false));
        }
        match hint.told {
            // Why at once: what cannot be asked for again is acted upon before the hook is answered, or it comes again.
            Some(told) => {
                self.take_told(desk, &told).await?;
                self.shared.store.hooks_done(desk, &hint.ticket, now_ms()).await?;
            }
            None => self.take_soon(desk, &hint.ticket),
        }
        Ok(Ok(true))
    }

    fn take_soon(&self, desk: &str, id: &str) {
        let take = Take { desk: desk.to_owned(), id: id.to_owned() };
        if self.shared.takes.try_send(take).is_err() {
            warn!(desk, "too many tickets wait to be read; this one is read after the next start or look");
        }
    }

    /// Hooks that came before the last stop and were not acted upon.
    async fn take_up_hooks(&self) {
        match self.shared.store.hooks_open().await {
            Ok(open) => open.iter().for_each(|(desk, id)| self.take_soon(desk, id)),
            Err(error) => error!(error = format!("{error:#}"), "hooks cannot be taken up"),
        }
    }

    async fn keep_taking(&self, mut taken: mpsc::Receiver<Take>) -> Infallible {
        let mut taking: JoinSet<()> = JoinSet::new();
        loop {
            while taking.len() >= TAKING_MAX {
                taking.join_next().await;
            }
            tokio::select! {
                take = taken.recv() => {
                    let Some(take) = take else { return std::future::pending().await };
                    let desks = self.clone();
                    taking.spawn(async move { desks.take_at_last(take).await });
                }
                Some(_ended) = taking.join_next() => {}
            }
        }
    }

    /// Reads a ticket, however often that takes, unless it is refused for good.
    async fn take_at_last(&self, take: Take) {
        let (begun_ms, mut rest) = (now_ms(), TAKE_REST_MIN);
        loop {
            let error = match self.take(&take.desk, &take.id).await {
                Ok(()) => break,
                Err(error) => error,
            };
            let asked = match error.downcast_ref::<Trouble>() {
                Some(Trouble::Never { why }) => {
                    warn!(desk = take.desk, id = take.id, why, "a ticket cannot be read");
                    break;
                }
                Some(Trouble::Later { after, .. }) => after.unwrap_or_default(),
                _ => Duration::ZERO,
            };
            warn!(desk = take.desk, id = take.id, error = format!("{error:#}"), "a ticket is read again later");
            tokio::time::sleep(rest.max(asked)).await;
            rest = (rest * 2).min(TAKE_REST_MAX);
        }
        if let Err(error) = self.shared.store.hooks_done(&take.desk, &take.id, begun_ms).await {
            error!(error = format!("{error:#}"), "a hook that was acted upon is not written down as such");
        }
    }

    /// Asks one help desk for escalated tickets from time to time.
    async fn keep_looking(&self, name: &str) -> Infallible {
        let mut since_ms = now_ms() - FIRST_LOOK_MS;
        loop {
            let Some(one) = self.shared.desks.get(name) else { return std::future::pending().await };
            let at_ms = now_ms();
            match one.desk.escalated(since_ms).await {
                Ok(found) => {
                    for foreign in found.iter().filter(|foreign| foreign.escalated) {
                        let known = self.shared.store.foreign(name, &foreign.id).await.ok().flatten();
                        if known.is_none_or(|known| !known.escalated) {
                            self.take_soon(name, &foreign.id);
                        }
                    }
                    since_ms = at_ms - OVERLAP_MS;
                }
                Err(trouble) => warn!(desk = name, why = trouble.why(), "escalated tickets cannot be asked for"),
            }
            tokio::time::sleep(Duration::from_secs(one.config.poll_s.into())).await;
        }
    }

    async fn keep_reporting(&self) -> Infallible {
        let mut ended = self.shared.cases.ended();
        loop {
            if let Err(error) = self.report(now_ms()).await {
                error!(error = format!("{error:#}"), "what is to be told to help desks cannot be written down");
            }
            tokio::select! {
                changed = ended.changed() => if changed.is_err() { return std::future::pending().await },
                () = self.shared.wake.notified() => {}
                () = tokio::time::sleep(REPORT_EVERY) => {}
            }
        }
    }

    /// Puts entries into the outbox; each once.
    pub(super) async fn post(&self, items: Vec<OutboxItem>) -> Result<()> {
        for item in self.shared.store.add_outbox(items).await? {
            self.tell(Event::Added(item)).await?;
        }
        Ok(())
    }

    /// Tries an entry again, at once.
    pub async fn retry(&self, item: OutboxItem) -> Result<()> {
        self.tell(Event::Retry(item)).await
    }

    /// Drops an entry.
    pub async fn drop_entry(&self, item: OutboxItem, who: &str) -> Result<()> {
        self.tell(Event::Drop { item, who: who.to_owned() }).await
    }

    async fn tell(&self, event: Event) -> Result<()> {
        self.shared.outbox.send(event).await.map_err(|_closed| anyhow!("the outbox is closed")).context("telling it")
    }
}
