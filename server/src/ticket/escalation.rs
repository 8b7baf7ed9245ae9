//! From a ticket that is escalated there to a case here, and from what comes of the case to notes there.

use anyhow::{Context, Result};
use uuid::Uuid;

use super::desks::{HelpDesks, Open};
use super::summary::{self, Bundle, Subject};
use super::which::{self, Meant};
use super::{Attachments, Foreign};
use crate::case::{Asked, event, now_ms, recipes};
use crate::config::Attach;
use crate::diagnose::Diagnosis;
use crate::store::{
    Collection, Device, EvidenceItem, ForeignTicket, NewTicket, OutboxItem, OutboxKind, OutboxState, Ticket,
    TicketChange, TicketStatus,
};

/// How long evidence of a device that is on may take before the ticket is told that it is under way.
const SOON_MS: i64 = 60_000;

/// How far back collections that ended are still reported. Why: a help desk that is put into the configuration again is not told of old times.
const REPORTED_MS: i64 = 30 * 24 * 3_600 * 1_000;

/// Titles of tickets here.
const UNTITLED: &str = "(no title)";

/// Devices of all that are looked through on one page of their sessions.
const SESSIONS_PAGE: u32 = 500;

impl HelpDesks {
    /// Reads a ticket there, and acts where it has come to be escalated since it was last read.
    pub(super) async fn take(&self, desk: &str, id: &str) -> Result<()> {
        let one = self.shared.desks.get(desk).with_context(|| format!("no help desk {desk:?} is configured"))?;
        let _turn = one.taking.lock().await;
        let foreign = one.desk.read(id).await?;
        self.act_on(one, &foreign).await
    }

    /// The same of a ticket that its help desk told, and cannot be asked for.
    pub(super) async fn take_told(&self, desk: &str, foreign: &Foreign) -> Result<()> {
        let one = self.shared.desks.get(desk).with_context(|| format!("no help desk {desk:?} is configured"))?;
        let _turn = one.taking.lock().await;
        self.act_on(one, foreign).await
    }

    async fn act_on(&self, one: &Open, foreign: &Foreign) -> Result<()> {
        let desk = one.config.name.as_str();
        let known = self.shared.store.foreign(desk, &foreign.id).await?;
        match (foreign.escalated, known) {
            (false, Some(known)) if known.escalated => {
                self.shared.store.save_foreign(&ForeignTicket { escalated: false, ..known }).await
            }
            (true, known) if known.as_ref().is_none_or(|known| !known.escalated) => self.escalate(one, foreign).await,
            _ => Ok(()),
        }
    }

    /// The ticket here that stands for one there: looked up, or opened where that is wanted.
    pub async fn resolve(&self, name: &str, opens: bool) -> Result<Option<Ticket>> {
        let Some((desk, id)) = name.split_once(':') else { return Ok(None) };
        let Some(one) = self.shared.desks.get(desk) else { return Ok(None) };
        if let Some(known) = self.shared.store.foreign(desk, id).await? {
            return self.shared.store.ticket(known.ticket).await;
        }
        if !opens {
            return Ok(None);
        }
        let _turn = one.taking.lock().await;
        let found = one.desk.find(id).await?;
        let foreign = found.into_iter().find(|foreign| foreign.id == id || foreign.number == id);
        let foreign = foreign.with_context(|| format!("{desk} has no ticket {id}"))?;
        let foreign = one.desk.read(&foreign.id).await?;
        let ticket = self.opened(one, &foreign).await?;
        if let (Meant::One { device, why }, true) = (self.meant(one, &foreign).await?, ticket.devices.is_empty()) {
            self.link(one, &ticket, device, why).await?;
        }
        self.shared.store.ticket(ticket.number).await
    }

    async fn opened(&self, one: &Open, foreign: &Foreign) -> Result<Ticket> {
        let (desk, now_ms) = (one.config.name.clone(), now_ms());
        let title = if foreign.title.is_empty() { UNTITLED.to_owned() } else { foreign.title.clone() };
        let number = if foreign.number.is_empty() { foreign.id.clone() } else { foreign.number.clone() };
        let from = format!("from {desk}:{number} {}", foreign.url);
        let events = vec![event(now_ms, &desk, "opened", title.clone()), event(now_ms, &desk, "note", from)];
        let new = NewTicket { title, description: foreign.text.clone(), opened_by: desk.clone(), devices: Vec::new() };
        let linked = ForeignTicket {
            desk,
            id: foreign.id.clone(),
            number,
            url: foreign.url.clone(),
            requester: requester(foreign),
            linked_ms: now_ms,
            ..ForeignTicket::default()
        };
        self.shared.store.open_foreign(new, events, linked, now_ms).await
    }

    async fn link(&self, one: &Open, ticket: &Ticket, device: Uuid, why: &str) -> Result<Ticket> {
        let name = self.shared.store.device(device).await?.map_or_else(|| device.to_string(), |device| device.name);
        let linked = event(now_ms(), &one.config.name, "linked", format!("{name}: {why}"));
        let change = TicketChange { link: Some(device), events: vec![linked], ..TicketChange::default() };
        let changed = self.shared.cases.change(ticket.number, &one.config.name, change, Vec::new()).await?;
        changed.with_context(|| format!("no ticket {}", ticket.number))
    }

    async fn escalate(&self, one: &Open, foreign: &Foreign) -> Result<()> {
        let mut ticket = self.opened(one, foreign).await?;
        let meant = if ticket.devices.is_empty() { self.meant(one, foreign).await? } else { Meant::None };
        if let Meant::One { device, why } = meant {
            ticket = self.link(one, &ticket, device, why).await?;
        }
        let recipe = recipes::for_ticket(&foreign.title, &foreign.category, &foreign.text);
        let recipe = recipe.context("there is no default recipe")?;
        let (change, asked) = self.shared.cases.escalation(&ticket, &one.config.name, recipe).await?;
        self.shared.cases.change(ticket.number, &one.config.name, change, asked).await?;
        let linked = self.shared.store.foreign(&one.config.name, &foreign.id).await?;
        let linked = linked.context("the ticket just opened is linked")?;
        let asked = ticket.devices.is_empty();
        if asked {
            let mut several = Vec::new();
            if let Meant::Several(devices) = meant {
                for (device, why) in devices {
                    several.extend(self.shared.store.device(device).await?.map(|device| (device.name, why)));
                }
            }
            let body = summary::which(&one.config, ticket.number, &several);
            self.post(vec![entry(&linked, OutboxKind::Note, format!("which {}", now_ms() / 60_000), body)]).await?;
        }
        let linked = ForeignTicket { escalated: true, asked, requester: requester(foreign), ..linked };
        self.shared.store.save_foreign(&linked).await?;
        self.wake();
        Ok(())
    }

    async fn meant(&self, one: &Open, foreign: &Foreign) -> Result<Meant> {
        let devices = self.shared.store.devices().await?;
        let asker = requester(foreign);
        let mut used = self.shared.store.devices_of_requester(&one.config.name, &asker).await?;
        used.extend(self.logged_on(foreign).await?);
        Ok(which::meant(foreign, &one.config.device_fields, &devices, &used))
    }

    /// Devices on which the requester is logged on, where names are not pseudonyms.
    async fn logged_on(&self, foreign: &Foreign) -> Result<Vec<Uuid>> {
        let mail_name = foreign.requester.mail.split('@').next().unwrap_or_default();
        let login = foreign.requester.login.split('@').next().unwrap_or_default();
        let names: Vec<&str> = [login, mail_name].into_iter().filter(|name| name.len() >= 2).collect();
        let Some(schema) = deskside_proto::catalog::table("users").filter(|_schema| !names.is_empty()) else {
            return Ok(Vec::new());
        };
        let column = schema.columns.iter().position(|column| column.name == "user");
        let (mut used, mut after) = (Vec::new(), None);
        loop {
            let page = self.shared.store.latest_all("users", after, SESSIONS_PAGE).await?;
            for (device, latest) in page.found {
                let rows = latest.reading.rows.iter().filter_map(|row| deskside_proto::rows::open(schema, row).ok());
                let users = rows.filter_map(|row| row.get(column?).map(ToString::to_string));
                if users.into_iter().any(|user| names.iter().any(|name| user.eq_ignore_ascii_case(name))) {
                    used.push(device);
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(used);
            }
        }
    }

    /// Puts into the outbox what has come of collections for tickets of help desks, and begins those for which a device was waited for.
    pub(super) async fn report(&self, now_ms: i64) -> Result<()> {
        for foreign in self.shared.store.foreign_asked().await? {
            self.told_which(foreign).await?;
        }
        for (foreign, collection) in self.shared.store.unreported(now_ms - REPORTED_MS).await? {
            let Some(one) = self.shared.desks.get(&foreign.desk) else { continue };
            let Some(device) = self.shared.store.device(collection.device).await? else { continue };
            let connected = self.shared.switchboard.connected(device.id);
            if collection.state.ended() {
                self.post(self.ended(one, &foreign, &collection, &device, now_ms).await?).await?;
            } else if (!connected || is_late(&collection, now_ms)) && self.not_yet_begun(collection.id) {
                let diagnosis = Diagnosis::of(self.shared.store.as_ref(), &device, connected, now_ms).await?;
                let subject = subject(one, &collection, &device, &diagnosis, now_ms);
                let about = format!("begun {}", collection.id);
                self.post(vec![entry(&foreign, OutboxKind::Note, about, subject.begun(connected))]).await?;
            }
        }
        Ok(())
    }

    fn not_yet_begun(&self, collection: Uuid) -> bool {
        self.shared.begun.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(collection)
    }

    /// Somebody may have said which device it is about.
    async fn told_which(&self, foreign: ForeignTicket) -> Result<()> {
        let Some(ticket) = self.shared.store.ticket(foreign.ticket).await? else { return Ok(()) };
        if ticket.status == TicketStatus::Closed {
            return self.shared.store.save_foreign(&ForeignTicket { asked: false, ..foreign }).await;
        }
        if ticket.devices.is_empty() {
            return Ok(());
        }
        let begun = self.shared.store.collections_of(ticket.number).await?;
        for device in ticket.devices.iter().filter(|device| begun.iter().all(|other| other.device != **device)) {
            if let Some(recipe) = recipes::for_ticket(&ticket.title, "", &ticket.description) {
                let asked = Asked::by_recipe(recipe, *device, &foreign.desk);
                self.shared.cases.collect(ticket.number, asked).await?;
            }
        }
        self.shared.store.save_foreign(&ForeignTicket { asked: false, ..foreign }).await
    }

    /// What is said of a collection that has ended: a note, the bundle where it may be attached, and the fields.
    async fn ended(
        &self,
        one: &Open,
        foreign: &ForeignTicket,
        collection: &Collection,
        device: &Device,
        now_ms: i64,
    ) -> Result<Vec<OutboxItem>> {
        let connected = self.shared.switchboard.connected(device.id);
        let diagnosis = Diagnosis::of(self.shared.store.as_ref(), device, connected, now_ms).await?;
        let items = self.shared.store.evidence(Some(collection.ticket)).await?;
        let item = items.iter().find(|item| Some(item.id) == collection.evidence);
        let (bundle, with_note) = bundle(one, item);
        let body = subject(one, collection, device, &diagnosis, now_ms).ended(item, &bundle);
        let mut note = entry(foreign, OutboxKind::Note, format!("evidence {}", collection.id), body);
        let mut entries = Vec::new();
        if let (Bundle::Attached, Some(item)) = (&bundle, item) {
            if with_note {
                note.evidence = Some(item.id);
            } else {
                let about = format!("bundle {}", collection.id);
                let file = entry(foreign, OutboxKind::File, about, note.id.to_string());
                entries.push(OutboxItem { evidence: Some(item.id), ..file });
            }
        }
        entries.insert(0, note);
        if !one.config.fields.is_empty() && item.is_some() {
            let said = |value: &String| {
                let link = one.config.link.replace("{case}", &collection.ticket.to_string());
                value
                    .replace("{case}", &collection.ticket.to_string())
                    .replace("{device}", &device.name)
                    .replace("{link}", &link)
            };
            let fields: super::Fields =
                one.config.fields.iter().map(|(name, value)| (name.clone(), said(value))).collect();
            let about = format!("fields {}", collection.id);
            entries.push(entry(foreign, OutboxKind::Fields, about, serde_json::to_string(&fields)?));
        }
        Ok(entries)
    }
}

/// Whether evidence of a device that is on takes so long, or will, that the ticket is told that it is under way.
fn is_late(collection: &Collection, now_ms: i64) -> bool {
    now_ms > collection.asked_ms + SOON_MS || collection.to_ms > now_ms + SOON_MS
}

/// Whether the bundle is attached, or why not; and whether it goes with its note.
fn bundle(one: &Open, item: Option<&EvidenceItem>) -> (Bundle, bool) {
    let kept = |why: String| (Bundle::Kept(why), false);
    let Some(item) = item else { return kept("there is none".into()) };
    if one.config.attach == Attach::Never {
        return kept("it stays on the Deskside server".into());
    }
    match one.desk.abilities().attachments {
        Attachments::Private { bytes_max, with_note } => {
            let bytes_max = one.config.attach_bytes_max.unwrap_or(bytes_max).min(bytes_max);
            if item.size > bytes_max {
                return kept(format!("it has {} bytes, and {bytes_max} are the most that is attached here", item.size));
            }
            (Bundle::Attached, with_note)
        }
        Attachments::Public { .. } => kept("whoever sees this ticket would see it".into()),
        Attachments::None => kept("this help desk takes no files".into()),
    }
}

fn subject<'a>(
    one: &'a Open,
    collection: &'a Collection,
    device: &'a Device,
    diagnosis: &'a Diagnosis,
    now_ms: i64,
) -> Subject<'a> {
    let known_ms = diagnosis.now_ms + device.clock_offset_ms;
    Subject { config: &one.config, collection, device, findings: &diagnosis.findings, known_ms, now_ms }
}

fn requester(foreign: &Foreign) -> String {
    let person = &foreign.requester;
    let said = [&person.mail, &person.login, &person.name].into_iter().find(|said| !said.is_empty());
    said.map(|said| said.to_lowercase()).unwrap_or_default()
}

fn entry(foreign: &ForeignTicket, kind: OutboxKind, about: String, body: String) -> OutboxItem {
    OutboxItem {
        id: Uuid::new_v4(),
        order: 0,
        desk: foreign.desk.clone(),
        foreign: foreign.id.clone(),
        ticket: foreign.ticket,
        kind,
        about,
        body,
        evidence: None,
        state: OutboxState::Waiting,
        attempts: 0,
        next_ms: 0,
        why: String::new(),
        made_ms: now_ms(),
        ended_ms: 0,
    }
}
