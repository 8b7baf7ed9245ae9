//! Does what the outbox says: writes down, looks, sends; and is the one who hears from the clock.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use super::desks::{Open, Shared};
use super::outbox::{Act, Event, Outbox};
use super::{Attachments, Fields, File, Note, Posted, Trouble, marker_line, summary};
use crate::case::{event, now_ms};
use crate::store::{OutboxItem, OutboxKind, OutboxState};

/// Longest sleep between two looks at the clock. Why: the clock may be set while it waits.
const SLEEP_MAX: Duration = Duration::from_mins(1);

/// Rest before it is tried again to write something down.
const SAVE_REST: Duration = Duration::from_secs(1);

/// Entries of the outbox that are taken up at the start.
const TAKEN_UP_MAX: u32 = 100_000;

/// Never returns.
pub(super) async fn run(shared: Arc<Shared>, mut inbox: mpsc::Receiver<Event>) -> std::convert::Infallible {
    let mut outbox = Outbox::default();
    let mut under_way: JoinSet<Event> = JoinSet::new();
    let mut events = loop {
        match shared.store.outbox(false, TAKEN_UP_MAX).await {
            Ok(items) => break items.into_iter().map(Event::Added).collect::<Vec<_>>(),
            Err(error) => error!(error = format!("{error:#}"), "the outbox cannot be read; it is tried again"),
        }
        tokio::time::sleep(SAVE_REST).await;
    };
    info!(entries = events.len(), "outbox taken up");
    loop {
        for event in events.drain(..) {
            for act in outbox.step(now_ms(), event) {
                match act {
                    Act::Save { item, tell } => save(&shared, &item, tell).await,
                    Act::Look(item) => drop(under_way.spawn(look(Arc::clone(&shared), item))),
                    Act::Send(item) => drop(under_way.spawn(send(Arc::clone(&shared), item))),
                }
            }
        }
        let wake_ms = outbox.wake_at_ms().unwrap_or(i64::MAX).saturating_sub(now_ms());
        let sleep = Duration::from_millis(u64::try_from(wake_ms).unwrap_or_default()).min(SLEEP_MAX);
        let next = tokio::select! {
            event = inbox.recv() => event,
            Some(ended) = under_way.join_next() => match ended {
                Ok(event) => Some(event),
                Err(error) => {
                    error!(%error, "an entry of the outbox broke off; it is taken up again at the next start");
                    None
                }
            },
            () = tokio::time::sleep(sleep) => Some(Event::Tick),
        };
        events.extend(next);
    }
}

/// Writes it down, however long that takes: nothing is sent of which that is not written.
async fn save(shared: &Shared, item: &OutboxItem, tell: Option<String>) {
    let (desk, ticket, tries) = (&item.desk, item.ticket, item.attempts);
    if item.state == OutboxState::Failed {
        warn!(desk, ticket, tries, why = item.why, "outbox entry failed");
    } else {
        info!(desk, ticket, tries, state = item.state.name(), "outbox entry");
    }
    let line = tell.map(|text| event(now_ms(), &item.desk, "note", text));
    while let Err(error) = shared.store.save_outbox(item, line.clone()).await {
        error!(entry = %item.id, error = format!("{error:#}"), "outbox entry not saved; it is tried again");
        tokio::time::sleep(SAVE_REST).await;
    }
}

async fn look(shared: Arc<Shared>, item: OutboxItem) -> Event {
    let found = match shared.desks.get(&item.desk) {
        Some(open) => find(&shared, open, &item).await,
        None => Err(not_configured(&item)),
    };
    Event::Looked { id: item.id, found }
}

async fn send(shared: Arc<Shared>, item: OutboxItem) -> Event {
    let answer = match shared.desks.get(&item.desk) {
        Some(open) => post(&shared, open, &item).await,
        None => Err(not_configured(&item)),
    };
    Event::Answered { id: item.id, answer }
}

fn not_configured(item: &OutboxItem) -> Trouble {
    Trouble::never(format!("no help desk {:?} is configured any more", item.desk))
}

async fn find(shared: &Shared, open: &Open, item: &OutboxItem) -> Result<Option<Posted>, Trouble> {
    match item.kind {
        OutboxKind::Note => open.desk.noted(&item.foreign, &marker_line(item.id)).await,
        OutboxKind::File => {
            let Some(file) = file(shared, item).await? else { return Ok(Some(Posted::default())) };
            let posted = open.desk.noted(&item.foreign, &note_of(item)?).await?;
            Ok(posted.filter(|posted| posted.files.contains(&file.name)))
        }
        // Why: fields that are set again are as they were.
        OutboxKind::Fields => Ok(None),
    }
}

async fn post(shared: &Shared, open: &Open, item: &OutboxItem) -> Result<Posted, Trouble> {
    match item.kind {
        OutboxKind::Note => {
            let (abilities, marker) = (open.desk.abilities(), marker_line(item.id));
            let with_note = matches!(abilities.attachments, Attachments::Private { with_note: true, .. });
            let file = if with_note { file(shared, item).await? } else { None };
            let text = summary::bounded(&item.body, &marker, abilities.note_bytes_max);
            let wanted = file.as_ref().map(|file| file.name.clone());
            let posted = open.desk.note(&item.foreign, &Note { marker, text, html: None, file }).await?;
            if let Some(name) = wanted.filter(|name| !posted.files.contains(name)) {
                warn!(desk = item.desk, file = name, "the help desk took the note and dropped its file");
            }
            Ok(posted)
        }
        OutboxKind::File => {
            let Some(file) = file(shared, item).await? else { return Ok(Posted::default()) };
            let posted = open.desk.noted(&item.foreign, &note_of(item)?).await?;
            let posted = posted.ok_or_else(|| Trouble::never("the note that it belongs to is not there"))?;
            open.desk.attach(&item.foreign, &file, &posted).await?;
            Ok(posted)
        }
        OutboxKind::Fields => {
            let fields: Fields = serde_json::from_str(&item.body).map_err(|error| Trouble::never(error.to_string()))?;
            open.desk.set(&item.foreign, &fields).await?;
            Ok(Posted::default())
        }
    }
}

/// The marker of the note that a file belongs to.
fn note_of(item: &OutboxItem) -> Result<String, Trouble> {
    let note = uuid::Uuid::try_parse(&item.body).map_err(|error| Trouble::never(error.to_string()))?;
    Ok(marker_line(note))
}

/// The bundle that goes with an entry; none where there is none any more.
async fn file(shared: &Shared, item: &OutboxItem) -> Result<Option<File>, Trouble> {
    let Some(id) = item.evidence else { return Ok(None) };
    let found = shared.store.find_evidence(&id.to_string()).await.context("reading the evidence");
    let found = found.map_err(|error| Trouble::later(format!("{error:#}")))?;
    let there = found.into_iter().find(|evidence| evidence.deleted_ms == 0);
    Ok(there.map(|evidence| {
        File::bundle(evidence.name, evidence.size, evidence.sha256, shared.blobs.clone(), evidence.location)
    }))
}
