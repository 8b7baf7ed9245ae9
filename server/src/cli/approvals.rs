//! Four eyes: what waits for a second person, and what they say.

use std::io;

use deskside_proto::show;
use deskside_proto::v1::{Approval, DecideApprovalRequest, ListApprovalsRequest};
use serde_json::{Value as Json, json};

use super::connect::Desk;
use super::screen::{Line, Screen};
use super::shape;

/// What waits for a second person: captures and content, where the server wants that.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Approvals {
    /// What waits, oldest first.
    List,
    /// Agree to what another asks.
    Approve {
        /// The request's number.
        number: u64,
    },
    /// Refuse it.
    Refuse {
        /// The request's number.
        number: u64,
    },
}

impl Approvals {
    pub(super) async fn run(self, mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
        let (number, approved) = match self {
            Self::Approve { number } => (number, true),
            Self::Refuse { number } => (number, false),
            Self::List => {
                let all = desk.list_approvals(ListApprovalsRequest {}).await?.into_inner().approvals;
                if screen.json {
                    return Ok(screen.value(&shape::list(&all, shape_of))?);
                }
                if all.is_empty() {
                    return Ok(screen.line(Line::default().plain("nothing waits for a second person"))?);
                }
                return Ok(all.iter().try_for_each(|approval| show(screen, approval))?);
            }
        };
        let decided = desk.decide_approval(DecideApprovalRequest { number, approved }).await?.into_inner();
        if screen.json {
            return Ok(screen.value(&shape_of(&decided))?);
        }
        let word = if approved { "approved; it counts for ten minutes, once" } else { "refused" };
        Ok(screen.line(Line::default().good("✓ ").plain(format!("request {number} {word}")))?)
    }
}

/// `number, asked_by, kind, what, ticket, asked_ms, until_ms, approved_by`
fn shape_of(approval: &Approval) -> Json {
    json!({
        "number": approval.number, "asked_by": approval.asked_by, "kind": approval.kind, "what": approval.what,
        "ticket": (approval.ticket != 0).then_some(approval.ticket), "asked_ms": approval.asked_ms,
        "until_ms": approval.until_ms,
        "approved_by": (!approval.approved_by.is_empty()).then_some(&approval.approved_by),
    })
}

/// "request 3  capture  ticket 7, asked by anna 3 min ago", then what.
fn show(screen: Screen, approval: &Approval) -> io::Result<()> {
    let ticket = if approval.ticket == 0 { String::new() } else { format!("ticket {}, ", approval.ticket) };
    let asked = format!("  {ticket}asked by {} {}", approval.asked_by, show::age(approval.asked_ms, screen.now_ms));
    let line = Line::default().bold(format!("request {}", approval.number)).plain(format!("  {}", approval.kind));
    let line = line.plain(asked);
    let line = if approval.approved_by.is_empty() {
        line
    } else {
        line.good(format!("  approved by {}", approval.approved_by))
    };
    screen.line(line)?;
    screen.beside("", 2, &approval.what)
}
