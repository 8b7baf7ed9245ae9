//! What is still to be said at help desks, and tickets by the names that they have there.

use std::io;
use std::str::FromStr;

use deskside_proto::show;
use deskside_proto::v1::{ChangeOutboxRequest, FindTicketRequest, ListOutboxRequest, OutboxEntry};
use serde_json::{Value as Json, json};

use super::connect::Desk;
use super::screen::{Line, Screen};
use super::shape;

/// A ticket: its number here, or a help desk's name and the number there ("rt:42").
#[derive(Clone, Debug)]
pub(super) enum TicketName {
    /// Here.
    Number(u64),
    /// There.
    Foreign(String),
}

impl FromStr for TicketName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        match text.split_once(':') {
            Some((desk, id)) if !desk.is_empty() && !id.is_empty() => Ok(Self::Foreign(text.to_owned())),
            _ => Err("write a ticket's number, or HELPDESK:NUMBER as in rt:42".into()),
        }
    }
}

impl TicketName {
    /// The number here. `opens` has a case opened for a ticket there that has none yet.
    pub(super) async fn number(self, desk: &mut Desk, opens: bool) -> anyhow::Result<u64> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Foreign(name) => {
                Ok(desk.find_ticket(FindTicketRequest { name, open: opens }).await?.into_inner().number)
            }
        }
    }
}

/// What is still to be said at help desks.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Outbox {
    /// What waits and what failed, in order.
    List {
        /// What is done and what was dropped too.
        #[arg(long)]
        all: bool,
    },
    /// Try one again, at once.
    Retry {
        /// Its id, or the beginning of it.
        id: String,
    },
    /// Give one up.
    Drop {
        /// Its id, or the beginning of it.
        id: String,
    },
}

impl Outbox {
    pub(super) async fn run(self, mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
        let request = match self {
            Self::List { all } => {
                let entries = desk.list_outbox(ListOutboxRequest { all }).await?.into_inner().entries;
                if screen.json {
                    return Ok(screen.value(&shape::list(&entries, shape_of))?);
                }
                if entries.is_empty() {
                    return Ok(screen.line(Line::default().good("nothing is left to be said"))?);
                }
                return Ok(entries.iter().try_for_each(|entry| told(screen, entry))?);
            }
            Self::Retry { id } => ChangeOutboxRequest { id, drop: false },
            Self::Drop { id } => ChangeOutboxRequest { id, drop: true },
        };
        let entry = desk.change_outbox(request).await?.into_inner();
        if screen.json {
            return Ok(screen.value(&shape_of(&entry))?);
        }
        Ok(told(screen, &entry)?)
    }
}

/// `id, desk, foreign, ticket, kind, state, attempts, next_ms, why, made_ms, ended_ms`
fn shape_of(entry: &OutboxEntry) -> Json {
    let moment = |ms: i64| (ms != 0).then_some(ms);
    json!({
        "id": entry.id, "desk": entry.desk, "foreign": entry.foreign, "ticket": entry.ticket, "kind": entry.kind,
        "state": entry.state, "attempts": entry.attempts, "next_ms": moment(entry.next_ms), "why": entry.why,
        "made_ms": moment(entry.made_ms), "ended_ms": moment(entry.ended_ms),
    })
}

/// "waiting  note for rt:42  ticket 7, made 3 min ago, 2 tries  id 1a2b3c4d", then what happened last.
fn told(screen: Screen, entry: &OutboxEntry) -> io::Result<()> {
    let line = match entry.state.as_str() {
        "done" => Line::default().good(&entry.state),
        "waiting" => Line::default().bold(&entry.state),
        _ => Line::default().warn(&entry.state),
    };
    let id: String = entry.id.chars().take(8).collect();
    let made = show::age(entry.made_ms, screen.now_ms);
    let line = line.plain(format!("  {} for ", entry.kind)).bold(format!("{}:{}", entry.desk, entry.foreign));
    let line = line.plain(format!("  ticket {}, made {made}, {} tries", entry.ticket, entry.attempts));
    screen.line(line.dim(format!("  id {id}")))?;
    if !entry.why.is_empty() && entry.state != "done" {
        screen.beside("", 2, &entry.why)?;
    }
    if entry.state == "waiting" && entry.next_ms > screen.now_ms {
        screen.beside("", 2, &format!("tried again {}", show::age(entry.next_ms, screen.now_ms)))?;
    }
    Ok(())
}
