//! Legal holds: placed, listed and released.

use std::io;

use deskside_proto::show;
use deskside_proto::v1::{AddHoldRequest, Hold, ListHoldsRequest, ReleaseHoldRequest};
use serde_json::{Value as Json, json};

use super::connect::Desk;
use super::screen::{Line, Screen};
use super::shape;

/// Legal holds: while one stands, nothing that it covers is deleted.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Holds {
    /// Place one on a ticket's evidence, that which is still to come too, or on one item.
    Add {
        /// The ticket's number.
        #[arg(long, required_unless_present = "evidence", conflicts_with = "evidence")]
        ticket: Option<u64>,
        /// The item's id, or a beginning of it.
        #[arg(long, value_name = "ID")]
        evidence: Option<String>,
        /// Why.
        #[arg(long)]
        why: String,
    },
    /// Those that stand, newest first.
    List {
        /// Those that were released too.
        #[arg(long)]
        all: bool,
    },
    /// End one.
    Release {
        /// Its number.
        number: u64,
        /// Why.
        #[arg(long)]
        why: String,
    },
}

impl Holds {
    pub(super) async fn run(self, mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
        let holds = match self {
            Self::Add { ticket, evidence, why } => {
                let (ticket, evidence) = (ticket.unwrap_or_default(), evidence.unwrap_or_default());
                vec![desk.add_hold(AddHoldRequest { ticket, evidence, why }).await?.into_inner()]
            }
            Self::Release { number, why } => {
                vec![desk.release_hold(ReleaseHoldRequest { number, why }).await?.into_inner()]
            }
            Self::List { all } => {
                let holds = desk.list_holds(ListHoldsRequest { all }).await?.into_inner().holds;
                if screen.json {
                    return Ok(screen.value(&shape::list(&holds, shape_of))?);
                }
                if holds.is_empty() {
                    return Ok(screen.line(Line::default().plain("nothing is on hold"))?);
                }
                return Ok(holds.iter().try_for_each(|hold| show(screen, hold))?);
            }
        };
        for hold in &holds {
            if screen.json {
                screen.value(&shape_of(hold))?;
            } else {
                show(screen, hold)?;
            }
        }
        Ok(())
    }
}

/// `number, ticket, evidence_id, who, why, at_ms, released_ms, released`
fn shape_of(hold: &Hold) -> Json {
    json!({
        "number": hold.number, "ticket": (hold.ticket != 0).then_some(hold.ticket),
        "evidence_id": (!hold.evidence_id.is_empty()).then_some(&hold.evidence_id), "who": hold.who, "why": hold.why,
        "at_ms": hold.at_ms, "released_ms": (hold.released_ms != 0).then_some(hold.released_ms),
        "released": (!hold.released.is_empty()).then_some(&hold.released),
    })
}

/// "hold 2  ticket 7  since 3 min ago, by anna", then why.
fn show(screen: Screen, hold: &Hold) -> io::Result<()> {
    let id: String = hold.evidence_id.chars().take(8).collect();
    let what = if hold.ticket == 0 { format!("evidence {id}") } else { format!("ticket {}", hold.ticket) };
    let line = Line::default().bold(format!("hold {}", hold.number)).plain(format!("  {what}  "));
    let since = format!("since {}, by {}", show::age(hold.at_ms, screen.now_ms), hold.who);
    screen.line(line.dim(since))?;
    screen.beside("", 2, &hold.why)?;
    if hold.released_ms != 0 {
        let when = show::age(hold.released_ms, screen.now_ms);
        screen.beside("", 2, &format!("released {when} by {}", hold.released))?;
    }
    Ok(())
}
