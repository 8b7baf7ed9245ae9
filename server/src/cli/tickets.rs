//! Tickets: the list, the case, and what can be done with one.

use std::io;

use deskside_proto::show;
use deskside_proto::v1::{
    self, Case, GetCaseRequest, GetDeviceReply, ListTicketsRequest, NewTicketRequest, PartOutcome, TicketEvent,
    UpdateTicketRequest,
};
use serde_json::json;

use super::connect::Desk;
use super::outbox::TicketName;
use super::screen::{Line, Screen};
use super::{collect, devices, evidence, shape};

/// Events that the story tells; that someone looked is in the audit log.
const UNTOLD: &[&str] = &["viewed"];

/// Open tickets.
#[derive(Debug, clap::Args)]
pub(super) struct Tickets {
    /// Closed ones too.
    #[arg(long)]
    all: bool,
}

impl Tickets {
    pub(super) async fn run(self, mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
        let tickets = desk.list_tickets(ListTicketsRequest { all: self.all }).await?.into_inner().tickets;
        if screen.json {
            return Ok(screen.value(&shape::list(&tickets, shape::ticket))?);
        }
        if tickets.is_empty() {
            let none = if self.all { "no tickets yet" } else { "no open tickets" };
            screen.line(Line::default().plain(none))?;
            return Ok(
                screen.line(Line::default().dim("`deskside ticket new \"what is wrong\" --device NAME` opens one"))?
            );
        }
        table(screen, &tickets)?;
        Ok(())
    }
}

/// Tickets as a table.
pub(super) fn table(screen: Screen, tickets: &[v1::Ticket]) -> io::Result<()> {
    let row = |ticket: &v1::Ticket| {
        let devices: Vec<&str> = ticket.devices.iter().map(|device| device.name.as_str()).collect();
        let evidence = if ticket.evidence == 0 { String::new() } else { ticket.evidence.to_string() };
        let named = ticket.foreign.iter().map(|foreign| format!("{}:{}", foreign.desk, foreign.number));
        let number: Vec<String> = [ticket.number.to_string()].into_iter().chain(named).collect();
        let changed = show::age(ticket.changed_ms, screen.now_ms);
        let level = format!("L{}", ticket.level);
        let who = ticket.assignee.clone();
        vec![
            number.join(" "),
            ticket.status.clone(),
            level,
            ticket.title.clone(),
            devices.join(", "),
            who,
            evidence,
            changed,
        ]
    };
    let rows: Vec<Vec<String>> = tickets.iter().map(row).collect();
    screen.table(&["ticket", "status", "level", "title", "devices", "assignee", "evidence", "changed"], &rows)
}

/// One ticket: open it, show it, hand it on.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Ticket {
    /// Open a ticket.
    New {
        /// One line.
        title: String,
        /// Device that it is about; may be given several times.
        #[arg(long = "device", value_name = "DEVICE")]
        devices: Vec<String>,
        /// What the user reported.
        #[arg(long, default_value = "")]
        description: String,
    },
    /// The whole case: what is broken first, then what is known, what was collected, and the story.
    Show {
        /// The ticket's number, or a help desk's name and the number there, as in rt:42.
        #[arg(value_name = "NUMBER")]
        name: TicketName,
    },
    /// Hand it to level 2; evidence is asked of each linked device.
    Escalate {
        /// The ticket's number.
        number: u64,
        /// What to collect; `deskside recipes` lists them.
        #[arg(long, default_value = "")]
        recipe: String,
        /// Wait until the evidence has come, or cannot come.
        #[arg(long)]
        wait: bool,
    },
    /// Add a note.
    Note {
        /// The ticket's number.
        number: u64,
        /// The words.
        text: String,
    },
    /// Give it to a technician.
    Assign {
        /// The ticket's number.
        number: u64,
        /// The technician's name.
        who: String,
    },
    /// Link a device to it.
    Link {
        /// The ticket's number.
        number: u64,
        /// Id, beginning of it, or host name.
        device: String,
    },
    /// Close it.
    Close {
        /// The ticket's number.
        number: u64,
    },
}

impl Ticket {
    pub(super) async fn run(self, mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
        let change = |number| UpdateTicketRequest { number, ..UpdateTicketRequest::default() };
        let update = match self {
            Self::New { title, devices, description } => {
                let ticket = desk.new_ticket(NewTicketRequest { title, description, devices }).await?.into_inner();
                return said(screen, &ticket, "opened");
            }
            Self::Show { name } => {
                let number = name.number(&mut desk, false).await?;
                let case = desk.get_case(GetCaseRequest { number }).await?.into_inner();
                return show_case(&mut desk, screen, &case).await;
            }
            Self::Escalate { number, recipe, wait } => return escalate(desk, screen, number, recipe, wait).await,
            Self::Note { number, text } => (UpdateTicketRequest { note: Some(text), ..change(number) }, "noted"),
            Self::Assign { number, who } => (UpdateTicketRequest { assign: Some(who), ..change(number) }, "assigned"),
            Self::Link { number, device } => (UpdateTicketRequest { link: Some(device), ..change(number) }, "linked"),
            Self::Close { number } => (UpdateTicketRequest { close: true, ..change(number) }, "closed"),
        };
        let (request, done) = update;
        let ticket = desk.update_ticket(request).await?.into_inner();
        said(screen, &ticket, done)
    }
}

/// What was done, and what comes next.
fn said(screen: Screen, ticket: &v1::Ticket, done: &str) -> anyhow::Result<()> {
    if screen.json {
        return Ok(screen.value(&shape::ticket(ticket))?);
    }
    let number = ticket.number;
    screen.line(
        Line::default().good("✓ ").bold(format!("ticket {number}")).plain(format!(" {done}: {}", ticket.title)),
    )?;
    let next = match done {
        "opened" if ticket.devices.is_empty() => {
            format!("`deskside ticket link {number} DEVICE` says which machine it is about")
        }
        "opened" => format!("`deskside ticket escalate {number} --wait` hands it to level 2 with evidence"),
        _ => format!("`deskside ticket show {number}` shows the case"),
    };
    Ok(screen.line(Line::default().dim(next))?)
}

async fn escalate(mut desk: Desk, screen: Screen, number: u64, recipe: String, wait: bool) -> anyhow::Result<()> {
    let before = desk.get_case(GetCaseRequest { number }).await?.into_inner().collections;
    let request = UpdateTicketRequest { number, escalate: true, recipe, ..UpdateTicketRequest::default() };
    let ticket = desk.update_ticket(request).await?.into_inner();
    let after = desk.get_case(GetCaseRequest { number }).await?.into_inner().collections;
    let mut started: Vec<v1::Collection> =
        after.into_iter().filter(|collection| before.iter().all(|old| old.id != collection.id)).collect();
    if wait {
        for collection in &mut started {
            *collection = collect::wait(&mut desk, collection.clone()).await?;
        }
    }
    if screen.json {
        let collections = shape::list(&started, shape::collection);
        return Ok(screen.value(&json!({ "ticket": shape::ticket(&ticket), "collections": collections }))?);
    }
    said(screen, &ticket, "escalated to level 2")?;
    if started.is_empty() {
        screen.line(Line::default().warn("no device is linked, so no evidence was asked for"))?;
    }
    started.iter().try_for_each(|collection| collect::show(screen, collection))?;
    Ok(())
}

/// The case: what is broken first, with proof.
async fn show_case(desk: &mut Desk, screen: Screen, case: &Case) -> anyhow::Result<()> {
    if screen.json {
        return Ok(screen.value(&shape::case(case))?);
    }
    heading(screen, case)?;
    for known in &case.devices {
        screen.gap()?;
        devices::overview(desk, screen, known, latest_parts(case, known)).await?;
    }
    if case.devices.is_empty() {
        screen.line(Line::default().warn("no device is linked to this ticket"))?;
    }
    if !case.collections.is_empty() {
        screen.gap()?;
        screen.line(Line::default().bold("collections"))?;
        case.collections.iter().try_for_each(|collection| collect::show(screen, collection))?;
    }
    if !case.evidence.is_empty() {
        screen.gap()?;
        screen.line(Line::default().bold("evidence"))?;
        case.evidence.iter().try_for_each(|item| evidence::show(screen, item))?;
    }
    screen.gap()?;
    story(screen, case)?;
    Ok(())
}

/// Parts of the device's latest evidence.
fn latest_parts<'a>(case: &'a Case, known: &GetDeviceReply) -> &'a [PartOutcome] {
    let id = |device: &Option<v1::Device>| device.as_ref().map(|device| device.id.clone());
    let of_device = |collection: &&v1::Collection| id(&collection.device) == id(&known.device);
    let with_evidence =
        case.collections.iter().filter(of_device).rfind(|collection| !collection.evidence_id.is_empty());
    with_evidence.map(|collection| collection.parts.as_slice()).unwrap_or_default()
}

fn heading(screen: Screen, case: &Case) -> io::Result<()> {
    let ticket = case.ticket.clone().unwrap_or_default();
    let line = Line::default().bold(format!("Ticket {}  {}", ticket.number, ticket.title)).plain("  ");
    let status = match ticket.status.as_str() {
        "escalated" => line.warn(format!("escalated to level {}", ticket.level)),
        other => line.good(other),
    };
    let who =
        if ticket.assignee.is_empty() { "nobody has it yet".into() } else { format!("{} has it", ticket.assignee) };
    let opened = show::age(ticket.opened_ms, screen.now_ms);
    screen.line(status.dim(format!("  opened by {} {opened}, {who}", ticket.opened_by)))?;
    for foreign in &ticket.foreign {
        screen.line(
            Line::default().plain(format!("{}:{}", foreign.desk, foreign.number)).dim(format!("  {}", foreign.url)),
        )?;
    }
    if ticket.description.is_empty() {
        return Ok(());
    }
    screen.beside("", 2, &format!("\"{}\"", ticket.description))
}

fn story(screen: Screen, case: &Case) -> io::Result<()> {
    screen.line(Line::default().bold("story"))?;
    let told: Vec<_> = case.events.iter().filter(|event| !UNTOLD.contains(&event.what.as_str())).collect();
    let width = |of: fn(&TicketEvent) -> &String| told.iter().map(|event| of(event).chars().count()).max().unwrap_or(0);
    let (who, what) = (width(|event| &event.who), width(|event| &event.what));
    for event in &told {
        let label = format!("  {}  {:who$}  {:what$}  ", show::clock(event.at_ms), event.who, event.what);
        screen.beside(&label, label.chars().count(), &event.text)?;
    }
    Ok(())
}
