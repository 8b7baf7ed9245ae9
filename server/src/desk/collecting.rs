//! Collections: asked for, called off, followed.

use std::pin::Pin;

use anyhow::Result;
use deskside_proto::v1::{self, CollectRequest};
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::watch;
use tonic::Status;
use uuid::Uuid;

use super::caller::{Caller, Deed};
use super::refusal::{self, Lines, internal, text};
use super::{Desk, words};
use crate::case::{Asked, EXPIRES_S, EXPIRES_S_MAX, WINDOW_S_MAX, event, now_ms, recipes};
use crate::store::{Collection, TicketChange};

/// Collections of one ticket that may be under way at a time.
const OPEN_MAX: usize = 64;

/// Furthest ahead that a collection may be planned.
const PLANNED_MS_MAX: i64 = 90 * 24 * 3_600 * 1_000;

/// Longest line that says what a collection is for.
const WHY_CHARS_MAX: usize = 200;

/// Shortest beginning of an id that is looked for.
const PREFIX_CHARS_MIN: usize = 4;

/// A stream of states, as tonic takes it.
pub(super) type CollectionStream = Pin<Box<dyn Stream<Item = Result<v1::Collection, Status>> + Send>>;

impl Desk {
    pub(super) async fn collect_for(&self, caller: &Caller, request: CollectRequest) -> Result<v1::Collection, Status> {
        let request = self.repeated(request).await?;
        for probe in &request.probes {
            self.needs_nobody(probe).await?;
        }
        self.begin_for(caller, request).await
    }

    /// A collection that ends when the one who asks hangs up.
    pub(super) async fn attend_to(&self, caller: &Caller, request: CollectRequest) -> Result<CollectionStream, Status> {
        self.captures_take_two(caller, &request).await?;
        let begun = self.begin_for(caller, request).await?;
        let id = Uuid::try_parse(&begun.id).map_err(|error| internal(error.into()))?;
        let attended = Attended { desk: self.clone(), id, who: caller.name.clone(), open: true };
        let states = self.watch(&begun.id).await?;
        Ok(Box::pin(stream::unfold((states, attended), |(mut states, mut attended)| async move {
            let state = states.next().await;
            // Why: its end has been seen, or cannot be any more.
            attended.open = state.as_ref().is_some_and(|state| state.as_ref().is_ok_and(|state| state.ended_ms == 0));
            state.map(|state| (state, (states, attended)))
        })))
    }

    async fn begin_for(&self, caller: &Caller, request: CollectRequest) -> Result<v1::Collection, Status> {
        let ticket = self.open_ticket_by_number(request.ticket).await?;
        let device = self.device(&request.device).await?;
        if device.revoked {
            return Err(Status::failed_precondition(format!("{} was revoked and will never answer", device.name)));
        }
        let asked = self.asked(caller, device.id, &request).await?;
        let under_way = self.store.collections_of(ticket.number).await.map_err(internal)?;
        if under_way.iter().filter(|other| !other.state.ended()).count() >= OPEN_MAX {
            return Err(Status::resource_exhausted(format!(
                "ticket {} has {OPEN_MAX} collections under way; cancel some (`deskside collection cancel ID`)",
                ticket.number
            )));
        }
        let by_hand = || [asked.tables.as_slice(), asked.probes.as_slice()].concat().join(" ");
        let words = if asked.recipe.is_empty() { by_hand() } else { asked.recipe.clone() };
        let deed = Deed { what: "collect", device: Some(device.id), ticket: ticket.number, text: words };
        self.audit(caller, deed).await?;
        if !ticket.devices.contains(&device.id) {
            let linked = event(now_ms(), &caller.name, "linked", device.name.clone());
            let change = TicketChange { link: Some(device.id), events: vec![linked], ..TicketChange::default() };
            self.cases.change(ticket.number, &caller.name, change, Vec::new()).await.map_err(internal)?;
        }
        let begun = self.cases.collect(ticket.number, asked).await.map_err(internal)?;
        let begun = begun.ok_or_else(|| Status::not_found(format!("no ticket {}", ticket.number)))?;
        Ok(words::collection(&begun, Some(self.shown(&device))))
    }

    /// What is asked, checked: by recipe or by hand.
    async fn asked(&self, caller: &Caller, device: Uuid, request: &CollectRequest) -> Result<Asked, Status> {
        let by_hand = !request.tables.is_empty() || !request.probes.is_empty();
        if !request.recipe.is_empty() && by_hand {
            return Err(Status::invalid_argument("by recipe or by tables and probes, not both"));
        }
        let bounds = [
            ("before", request.before_s, WINDOW_S_MAX),
            ("after", request.after_s, WINDOW_S_MAX),
            ("expires", request.expires_s, EXPIRES_S_MAX),
        ];
        if let Some((what, _given, most)) = bounds.iter().find(|(_what, given, most)| given > most) {
            return Err(Status::invalid_argument(format!("{what} is {} days at most", most / 86_400)));
        }
        let recipe = recipes::named(&request.recipe)
            .ok_or_else(|| refusal::unknown("recipe", &request.recipe, "`deskside recipes` lists them"))?;
        let mut asked = Asked::by_recipe(recipe, device, &caller.name);
        if by_hand {
            asked.probes = self.probes_named(&request.probes).await?;
            asked.tables = self.tables_named(&request.tables).await?;
            // Why: no tables would mean all of them, and a probe was asked for.
            let own = asked.probes.iter().filter_map(|probe| probe.split_whitespace().next()).map(str::to_owned);
            if asked.tables.is_empty() {
                asked.tables = own.collect();
            }
            asked.recipe = String::new();
        }
        let or = |given: u64, otherwise: u64| if given == 0 { otherwise } else { given };
        asked.before_s = or(request.before_s, asked.before_s);
        asked.after_s = or(request.after_s, asked.after_s);
        asked.expires_s = or(request.expires_s, EXPIRES_S);
        asked.around_ms = Self::around(request)?;
        asked.planned_ms = Self::planned(request)?;
        asked.why = text("what it is for", &request.why, WHY_CHARS_MAX, Lines::One)?;
        Ok(asked)
    }

    /// What is asked for, where it is the same again as an earlier collection of the ticket.
    async fn repeated(&self, request: CollectRequest) -> Result<CollectRequest, Status> {
        if request.again.is_empty() {
            return Ok(request);
        }
        if !request.recipe.is_empty() || !request.tables.is_empty() || !request.probes.is_empty() {
            return Err(Status::invalid_argument("the same again, or by recipe, tables and probes; not both"));
        }
        let wanted = request.again.to_lowercase();
        let all = self.store.collections_of(request.ticket).await.map_err(internal)?;
        let mut found: Vec<Collection> =
            all.into_iter().filter(|earlier| earlier.id.to_string().starts_with(&wanted)).collect();
        let absent = || refusal::unknown("collection of this ticket", &request.again, "`deskside case N` lists them");
        if wanted.len() < PREFIX_CHARS_MIN {
            return Err(absent());
        }
        if found.len() > 1 {
            let choices: Vec<String> = found.iter().take(10).map(|earlier| earlier.id.to_string()).collect();
            return Err(refusal::ambiguous(&request.again, &choices));
        }
        let earlier = found.pop().ok_or_else(absent)?;
        let span_s = u64::try_from((earlier.to_ms - earlier.from_ms) / 1_000).unwrap_or_default();
        let by_hand = earlier.recipe.is_empty();
        Ok(CollectRequest {
            device: if request.device.is_empty() { earlier.device.to_string() } else { request.device },
            recipe: earlier.recipe.clone(),
            tables: if by_hand { earlier.tables } else { Vec::new() },
            probes: if by_hand { earlier.probes } else { Vec::new() },
            before_s: if request.before_s == 0 { span_s.min(WINDOW_S_MAX) } else { request.before_s },
            again: String::new(),
            ..request
        })
    }

    /// When it is planned for, where it is.
    fn planned(request: &CollectRequest) -> Result<Option<i64>, Status> {
        let (planned_ms, now_ms) = (request.planned_ms, now_ms());
        if planned_ms == 0 {
            return Ok(None);
        }
        if request.around_ms != 0 {
            return Err(Status::invalid_argument("planned for a time ahead, or around one that is past; not both"));
        }
        if planned_ms <= now_ms {
            return Err(Status::invalid_argument(
                "the time it is planned for is past; leave it out to collect at once",
            ));
        }
        if planned_ms - now_ms > PLANNED_MS_MAX {
            let days = PLANNED_MS_MAX / 86_400_000;
            return Err(Status::invalid_argument(format!("it can be planned {days} days ahead at most")));
        }
        Ok(Some(planned_ms))
    }

    /// The time around which evidence is asked for, where it is not now.
    fn around(request: &CollectRequest) -> Result<Option<i64>, Status> {
        let (around_ms, now_ms) = (request.around_ms, now_ms());
        if around_ms == 0 {
            return Ok(None);
        }
        if around_ms > now_ms {
            return Err(Status::invalid_argument("the time lies ahead; --after waits for what is to come"));
        }
        if around_ms < 0 || now_ms - around_ms > WINDOW_S_MAX.cast_signed() * 1_000 {
            let days = WINDOW_S_MAX / 86_400;
            return Err(Status::invalid_argument(format!("the time is over {days} days ago; name a later one")));
        }
        Ok(Some(around_ms))
    }

    pub(super) async fn call_off(&self, caller: &Caller, id: &str) -> Result<v1::Collection, Status> {
        let collection = self.collection_by_id(id).await?;
        let deed = Deed {
            what: "cancel",
            device: Some(collection.device),
            ticket: collection.ticket,
            text: collection.id.to_string(),
        };
        self.audit(caller, deed).await?;
        let ended = self.cases.cancel(collection.id, &caller.name).await.map_err(internal)?;
        self.collection_shown(&ended.unwrap_or(collection)).await.map_err(internal)
    }

    /// A collection's state now, and each time it changes, until it has ended.
    pub(super) async fn watch(&self, id: &str) -> Result<CollectionStream, Status> {
        let collection = self.collection_by_id(id).await?;
        let Some(mut state) = self.cases.watch(collection.id) else {
            let ended = self.collection_by_id(&collection.id.to_string()).await?;
            let shown = self.collection_shown(&ended).await.map_err(internal)?;
            return Ok(Box::pin(stream::iter([Ok(shown)])));
        };
        state.mark_changed();
        let states = stream::unfold(Some((self.clone(), state)), |watched| async move {
            let (desk, mut state) = watched?;
            Some(match next(&desk, &mut state).await {
                Ok((shown, false)) => (Ok(shown), Some((desk, state))),
                Ok((shown, true)) => (Ok(shown), None),
                Err(status) => (Err(status), None),
            })
        });
        Ok(Box::pin(states))
    }

    async fn collection_by_id(&self, id: &str) -> Result<Collection, Status> {
        let absent = || refusal::unknown("collection", id, "`deskside ticket show N` lists a ticket's");
        if let Ok(id) = Uuid::try_parse(id) {
            return self.store.collection(id).await.map_err(internal)?.ok_or_else(absent);
        }
        if id.len() < PREFIX_CHARS_MIN {
            return Err(absent());
        }
        let open = self.store.open_collections().await.map_err(internal)?;
        let prefix = id.to_lowercase();
        let mut found: Vec<Collection> =
            open.into_iter().filter(|open| open.id.to_string().starts_with(&prefix)).collect();
        if found.len() > 1 {
            let choices: Vec<String> = found.iter().take(10).map(|open| open.id.to_string()).collect();
            return Err(refusal::ambiguous(id, &choices));
        }
        found.pop().ok_or_else(absent)
    }

    pub(super) async fn collections_shown(&self, ticket: u64) -> Result<Vec<v1::Collection>> {
        let mut shown = Vec::new();
        for collection in self.store.collections_of(ticket).await? {
            shown.push(self.collection_shown(&collection).await?);
        }
        Ok(shown)
    }

    async fn collection_shown(&self, collection: &Collection) -> Result<v1::Collection> {
        Ok(words::collection(collection, self.shown_by_id(collection.device).await?))
    }
}

/// Somebody follows a collection; it is called off when they have gone before its end.
struct Attended {
    desk: Desk,
    id: Uuid,
    who: String,
    open: bool,
}

impl Drop for Attended {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let (cases, id, who) = (self.desk.cases.clone(), self.id, format!("{} (hung up)", self.who));
        tokio::spawn(async move {
            if let Err(error) = cases.cancel(id, &who).await {
                tracing::error!(collection = %id, error = format!("{error:#}"), "not called off");
            }
        });
    }
}

/// The next state, and whether it is the last.
async fn next(desk: &Desk, state: &mut watch::Receiver<Collection>) -> Result<(v1::Collection, bool), Status> {
    if state.changed().await.is_err() {
        return Err(Status::unavailable("the server stops; the collection goes on when it is back"));
    }
    let collection = state.borrow_and_update().clone();
    let shown = desk.collection_shown(&collection).await.map_err(internal)?;
    Ok((shown, collection.state.ended()))
}
