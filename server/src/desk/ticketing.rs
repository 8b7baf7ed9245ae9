//! Tickets: opened, changed, listed, and the whole case.

use anyhow::Result;
use deskside_proto::v1::{self, Case, NewTicketRequest, UpdateTicketRequest};
use tonic::Status;

use super::caller::{Caller, Deed};
use super::refusal::{self, Lines, internal, text};
use super::{Desk, words};
use crate::case::{Asked, event, now_ms, recipes};
use crate::store::{NewTicket, Role, Ticket, TicketChange, TicketStatus};

/// Longest title.
const TITLE_CHARS_MAX: usize = 200;

/// Longest description or note.
const WORDS_CHARS_MAX: usize = 20_000;

/// Devices of one ticket.
const DEVICES_MAX: usize = 50;

/// Tickets of one list.
const TICKETS_MAX: u32 = 1_000;

/// Lines of a story that are shown.
const EVENTS_MAX: u32 = 1_000;

impl Desk {
    /// The ticket with this number.
    pub(super) async fn ticket_by_number(&self, number: u64) -> Result<Ticket, Status> {
        let ticket = self.store.ticket(number).await.map_err(internal)?;
        ticket.ok_or_else(|| Status::not_found(format!("no ticket {number}; `deskside tickets --all` lists them")))
    }

    /// The same, if it can still be worked on.
    pub(super) async fn open_ticket_by_number(&self, number: u64) -> Result<Ticket, Status> {
        let ticket = self.ticket_by_number(number).await?;
        if ticket.status == TicketStatus::Closed {
            return Err(Status::failed_precondition(format!("ticket {number} is closed; open a new one")));
        }
        Ok(ticket)
    }

    pub(super) async fn list_of_tickets(&self, all: bool) -> Result<Vec<v1::Ticket>> {
        let mut tickets = Vec::new();
        for ticket in self.store.tickets(all, TICKETS_MAX).await? {
            tickets.push(self.ticket_shown(&ticket).await?);
        }
        Ok(tickets)
    }

    pub(super) async fn open_ticket(&self, caller: &Caller, request: NewTicketRequest) -> Result<v1::Ticket, Status> {
        let title = text("the title", &request.title, TITLE_CHARS_MAX, Lines::One)?;
        if title.is_empty() {
            return Err(Status::invalid_argument("a ticket needs a title"));
        }
        let description = text("the description", &request.description, WORDS_CHARS_MAX, Lines::Many)?;
        if request.devices.len() > DEVICES_MAX {
            return Err(Status::invalid_argument(format!("{DEVICES_MAX} devices at most")));
        }
        let mut devices = Vec::new();
        for name in &request.devices {
            let device = self.device(name).await?;
            if !devices.contains(&device.id) {
                devices.push(device.id);
            }
        }
        let new = NewTicket { title, description, opened_by: caller.name.clone(), devices };
        let ticket = self.cases.open(new).await.map_err(internal)?;
        let deed = Deed { what: "ticket", ticket: ticket.number, text: "opened".into(), ..Deed::default() };
        self.audit(caller, deed).await?;
        self.ticket_shown(&ticket).await.map_err(internal)
    }

    pub(super) async fn change(&self, caller: &Caller, request: UpdateTicketRequest) -> Result<v1::Ticket, Status> {
        let of_level_1 = request.assign.is_none() && request.link.is_none() && !request.close;
        if !of_level_1 {
            self.must_be(caller, Role::Technician, "assigning, linking and closing").await?;
        }
        if request.escalate && request.close {
            return Err(Status::invalid_argument("a ticket is escalated or closed, not both at once"));
        }
        let only_note = of_level_1 && !request.escalate;
        let mut ticket = if only_note {
            self.ticket_by_number(request.number).await?
        } else {
            self.open_ticket_by_number(request.number).await?
        };
        let (mut change, mut asked) = (TicketChange::default(), Vec::new());
        if let Some(name) = &request.link {
            let device = self.device(name).await?;
            if ticket.devices.len() >= DEVICES_MAX {
                return Err(Status::invalid_argument(format!("{DEVICES_MAX} devices at most")));
            }
            if !ticket.devices.contains(&device.id) {
                ticket.devices.push(device.id);
                change.link = Some(device.id);
                change.events.push(event(now_ms(), &caller.name, "linked", device.name));
            }
        }
        if request.escalate {
            let escalated = self.escalated(caller, &ticket, &request.recipe).await?;
            change.status = escalated.0.status;
            change.level = escalated.0.level;
            change.events.extend(escalated.0.events);
            asked = escalated.1;
        }
        self.said(caller, &request, &mut change).await?;
        let deed = Deed { what: "ticket", ticket: ticket.number, text: summary(&request)?, ..Deed::default() };
        self.audit(caller, deed).await?;
        let changed = self.cases.change(ticket.number, &caller.name, change, asked).await.map_err(internal)?;
        let changed = changed.ok_or_else(|| Status::not_found(format!("no ticket {}", request.number)))?;
        self.help_desks.wake();
        self.ticket_shown(&changed).await.map_err(internal)
    }

    async fn escalated(
        &self,
        caller: &Caller,
        ticket: &Ticket,
        recipe: &str,
    ) -> Result<(TicketChange, Vec<Asked>), Status> {
        let recipe = recipes::named(recipe)
            .ok_or_else(|| refusal::unknown("recipe", recipe, "`deskside recipes` lists them"))?;
        self.cases.escalation(ticket, &caller.name, recipe).await.map_err(internal)
    }

    /// Assigning, noting and closing.
    async fn said(
        &self,
        caller: &Caller,
        request: &UpdateTicketRequest,
        change: &mut TicketChange,
    ) -> Result<(), Status> {
        if let Some(who) = &request.assign {
            let who = self.assignee(who).await?;
            let words = if who.is_empty() { "to nobody".into() } else { format!("to {who}") };
            change.events.push(event(now_ms(), &caller.name, "assigned", words));
            change.assignee = Some(who);
        }
        if let Some(note) = &request.note {
            let note = text("the note", note, WORDS_CHARS_MAX, Lines::Many)?;
            if note.is_empty() {
                return Err(Status::invalid_argument("the note is empty"));
            }
            change.events.push(event(now_ms(), &caller.name, "note", note));
        }
        if request.close {
            change.status = Some(TicketStatus::Closed);
            change.events.push(event(now_ms(), &caller.name, "closed", String::new()));
        }
        Ok(())
    }

    /// A technician by name; empty for nobody.
    async fn assignee(&self, who: &str) -> Result<String, Status> {
        let who = text("the technician's name", who, TITLE_CHARS_MAX, Lines::One)?;
        let all = self.store.technicians().await.map_err(internal)?;
        let names: Vec<&str> =
            all.iter().filter(|technician| !technician.revoked).map(|technician| technician.name.as_str()).collect();
        if who.is_empty() || names.contains(&who.as_str()) {
            return Ok(who);
        }
        Err(refusal::unknown("technician", &who, &format!("there are {}", names.join(", "))))
    }

    /// A ticket with all that belongs to it; what is known of its devices is there at once, whatever is still being collected.
    pub(super) async fn case(&self, caller: &Caller, number: u64) -> Result<Case, Status> {
        let ticket = self.ticket_by_number(number).await?;
        self.audit(caller, Deed { what: "view", ticket: number, text: "case".into(), ..Deed::default() }).await?;
        let mut devices = Vec::new();
        for id in &ticket.devices {
            if let Some(device) = self.store.device(*id).await.map_err(internal)? {
                devices.push(self.view(&device).await.map_err(internal)?);
            }
        }
        let events = self.store.ticket_events(number, EVENTS_MAX).await.map_err(internal)?;
        Ok(Case {
            events: events.into_iter().map(words::event).collect(),
            collections: self.collections_shown(number).await.map_err(internal)?,
            evidence: self.evidence_shown(Some(number)).await.map_err(internal)?.into_iter().rev().collect(),
            ticket: Some(self.ticket_shown(&ticket).await.map_err(internal)?),
            devices,
        })
    }

    pub(super) async fn ticket_shown(&self, ticket: &Ticket) -> Result<v1::Ticket> {
        let mut devices = Vec::new();
        for id in &ticket.devices {
            devices.extend(self.shown_by_id(*id).await?);
        }
        let foreign = words::foreign(self.store.foreign_of(ticket.number).await?);
        Ok(v1::Ticket { foreign, ..words::ticket(ticket, devices) })
    }
}

/// What a change is, for the audit log: what was done, not what was written.
fn summary(request: &UpdateTicketRequest) -> Result<String, Status> {
    let deeds = [
        (request.assign.is_some(), "assigned"),
        (request.escalate, "escalated"),
        (request.note.is_some(), "note"),
        (request.link.is_some(), "linked"),
        (request.close, "closed"),
    ];
    let done: Vec<&str> = deeds.into_iter().filter_map(|(done, word)| done.then_some(word)).collect();
    if done.is_empty() {
        return Err(Status::invalid_argument("nothing to change: assign, escalate, note, link or close"));
    }
    Ok(done.join(", "))
}
