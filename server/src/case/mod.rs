//! A case: a ticket with its collections, from the moment evidence is asked for until it is attached, or until it is said why not.

pub mod collection;
pub mod recipes;
mod runner;
#[cfg(test)]
mod tests;
mod uploads;
pub mod words;

use std::sync::Arc;

use anyhow::{Context, Result};
use deskside_proto::show;
use tokio::sync::watch;
use uuid::Uuid;

use crate::gateway::Switchboard;
use crate::store::{Collection, CollectionState, NewTicket, Store, Ticket, TicketChange, TicketEvent, TicketStatus};
use collection::Event;
use recipes::Recipe;
use runner::Runner;

/// How long a collection waits for its device before it is given up, where nobody says otherwise. Why: a laptop comes back from a holiday.
pub const EXPIRES_S: u64 = 14 * 24 * 3_600;

/// Longest time that a collection may wait.
pub const EXPIRES_S_MAX: u64 = 90 * 24 * 3_600;

/// Furthest back that a window may reach, and furthest ahead.
pub const WINDOW_S_MAX: u64 = 31 * 24 * 3_600;

/// Milliseconds since 1970-01-01 UTC.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// What is asked of one device for a ticket.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The device.
    pub device: Uuid,
    /// Recipe's name; empty where it was put together by hand.
    pub recipe: String,
    /// Tables; empty for all.
    pub tables: Vec<String>,
    /// Probes: name and arguments, separated by blanks.
    pub probes: Vec<String>,
    /// Around this time, server's clock; none where it is now.
    pub around_ms: Option<i64>,
    /// How far back from then, in seconds.
    pub before_s: u64,
    /// How far ahead, in seconds.
    pub after_s: u64,
    /// Given up after this, in seconds, beyond the window.
    pub expires_s: u64,
    /// Who asks.
    pub asked_by: String,
    /// Not before this time, server's clock, around which the window lies then; none where it is asked for at once.
    pub planned_ms: Option<i64>,
    /// What for, in one line.
    pub why: String,
}

impl Asked {
    /// By a recipe, as it stands.
    pub fn by_recipe(recipe: &Recipe, device: Uuid, asked_by: &str) -> Self {
        Self {
            device,
            recipe: recipe.name.clone(),
            tables: recipe.tables.clone(),
            probes: recipe.probes.clone(),
            around_ms: None,
            before_s: recipe.before_s,
            after_s: recipe.after_s,
            expires_s: EXPIRES_S,
            asked_by: asked_by.to_owned(),
            planned_ms: None,
            why: String::new(),
        }
    }

    fn collection(&self, ticket: u64, now_ms: i64) -> Collection {
        let ms = |seconds: u64, most: u64| seconds.min(most).cast_signed() * 1_000;
        let around_ms = self.planned_ms.or(self.around_ms).unwrap_or(now_ms);
        let to_ms = around_ms + ms(self.after_s, WINDOW_S_MAX);
        Collection {
            id: Uuid::new_v4(),
            ticket,
            device: self.device,
            state: CollectionState::Waiting,
            note: "asked for".into(),
            recipe: self.recipe.clone(),
            tables: self.tables.clone(),
            probes: self.probes.clone(),
            from_ms: around_ms - ms(self.before_s, WINDOW_S_MAX),
            to_ms,
            asked_ms: now_ms,
            expires_ms: to_ms.max(now_ms) + ms(self.expires_s, EXPIRES_S_MAX),
            ended_ms: 0,
            asked_by: self.asked_by.clone(),
            attempts: 0,
            parts: Vec::new(),
            evidence: None,
            planned_ms: self.planned_ms.unwrap_or_default(),
            why: self.why.clone(),
        }
    }
}

/// The cases; cheap to clone.
#[derive(Clone)]
pub struct Cases {
    store: Arc<dyn Store>,
    runner: Runner,
}

impl Cases {
    /// Takes up every collection that has not ended. Needs the runtime.
    pub async fn start(store: Arc<dyn Store>, switchboard: Switchboard) -> Result<Self> {
        let runner = Runner::start(Arc::clone(&store), switchboard).await.context("taking up the collections")?;
        Ok(Self { store, runner })
    }

    /// Lets go of the collections; each stays in the store as it is.
    pub fn stop(&self) {
        self.runner.stop();
    }

    /// Opens a ticket.
    pub async fn open(&self, ticket: NewTicket) -> Result<Ticket> {
        let now_ms = now_ms();
        let mut events = vec![event(now_ms, &ticket.opened_by, "opened", ticket.title.clone())];
        for device in &ticket.devices {
            events.push(event(now_ms, &ticket.opened_by, "linked", self.name(*device).await?));
        }
        self.store.open_ticket(ticket, events, now_ms).await
    }

    /// Changes a ticket and begins collections with it, in one transaction. `None` where there is no such ticket.
    pub async fn change(
        &self,
        number: u64,
        who: &str,
        mut change: TicketChange,
        asked: Vec<Asked>,
    ) -> Result<Option<Ticket>> {
        let now_ms = now_ms();
        for asked in &asked {
            let words = format!("evidence asked of {}{}", self.name(asked.device).await?, named(&asked.recipe));
            change.events.push(event(now_ms, who, "collection", words));
            change.collections.push(asked.collection(number, now_ms));
        }
        let begun = change.collections.clone();
        let Some(ticket) = self.store.change_ticket(number, change, now_ms).await? else { return Ok(None) };
        for collection in begun {
            self.runner.begin(collection).await?;
        }
        Ok(Some(ticket))
    }

    /// The change that hands a ticket to level 2, and the collections that begin with it: one for each linked device that has none under way.
    pub async fn escalation(&self, ticket: &Ticket, who: &str, recipe: &Recipe) -> Result<(TicketChange, Vec<Asked>)> {
        let open = self.store.collections_of(ticket.number).await?;
        let busy = |device: &Uuid| open.iter().any(|other| other.device == *device && !other.state.ended());
        let devices = ticket.devices.iter().filter(|device| !busy(device));
        let asked = devices.map(|device| Asked::by_recipe(recipe, *device, who)).collect();
        let change = TicketChange {
            status: Some(TicketStatus::Escalated),
            level: Some(2),
            events: vec![event(now_ms(), who, "escalated", "to level 2".into())],
            ..TicketChange::default()
        };
        Ok((change, asked))
    }

    /// One collection for a ticket. `None` where there is no such ticket.
    pub async fn collect(&self, number: u64, asked: Asked) -> Result<Option<Collection>> {
        let now_ms = now_ms();
        let collection = asked.collection(number, now_ms);
        let mut words = format!("evidence asked of {}{}", self.name(asked.device).await?, named(&asked.recipe));
        if let Some(planned_ms) = asked.planned_ms {
            words = format!("{words}, for {}", show::clock(planned_ms));
        }
        if !asked.why.is_empty() {
            words = format!("{words}, {}", asked.why);
        }
        let change = TicketChange {
            collections: vec![collection.clone()],
            events: vec![event(now_ms, &asked.asked_by, "collection", words)],
            ..TicketChange::default()
        };
        if self.store.change_ticket(number, change, now_ms).await?.is_none() {
            return Ok(None);
        }
        self.runner.begin(collection.clone()).await?;
        Ok(Some(collection))
    }

    /// Calls a collection off, and waits until that is written down. One that has ended stays as it ended.
    pub async fn cancel(&self, id: Uuid, who: &str) -> Result<Option<Collection>> {
        let mut state = self.runner.watch(id);
        if self.runner.tell(id, Event::Cancel { who: who.to_owned() }).await
            && let Some(state) = &mut state
        {
            // Why: when the task is gone it has ended, and the store says how.
            state.wait_for(|collection| collection.state.ended()).await.ok();
        }
        self.store.collection(id).await
    }

    /// Where a collection stands, each time it changes; `None` where it does not run, and then the store has its end.
    pub fn watch(&self, id: Uuid) -> Option<watch::Receiver<Collection>> {
        self.runner.watch(id)
    }

    /// How many collections have ended since the start, each time one does. What has ended is in the store.
    pub fn ended(&self) -> watch::Receiver<u64> {
        self.runner.ended()
    }

    async fn name(&self, device: Uuid) -> Result<String> {
        Ok(self.store.device(device).await?.map_or_else(|| device.to_string(), |device| device.name))
    }
}

/// One line of a ticket's story.
pub fn event(at_ms: i64, who: &str, what: &str, text: String) -> TicketEvent {
    TicketEvent { at_ms, who: who.to_owned(), what: what.to_owned(), text }
}

fn named(recipe: &str) -> String {
    if recipe.is_empty() { String::new() } else { format!(" (recipe {recipe})") }
}
