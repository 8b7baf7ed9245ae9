//! Questions that are kept until their device is back: listed, and called off.

use std::io;

use deskside_proto::show;
use deskside_proto::v1::{CancelQuestionRequest, ListQuestionsRequest, Question};
use serde_json::{Value as Json, json};

use super::connect::Desk;
use super::screen::{Line, Screen};
use super::shape;

/// Questions that are kept until their device is back.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Questions {
    /// What is kept, newest first.
    List {
        /// Of this ticket only.
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        ticket: u64,
        /// Those that have ended too.
        #[arg(long)]
        all: bool,
    },
    /// Call one off.
    Cancel {
        /// Its id, or the beginning of it.
        id: String,
    },
}

impl Questions {
    pub(super) async fn run(self, mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
        match self {
            Self::List { ticket, all } => {
                let kept = desk.list_questions(ListQuestionsRequest { ticket, all }).await?.into_inner().questions;
                if screen.json {
                    return Ok(screen.value(&shape::list(&kept, shape_of))?);
                }
                if kept.is_empty() {
                    return Ok(screen.line(Line::default().plain("no question is kept"))?);
                }
                Ok(kept.iter().try_for_each(|question| show(screen, question))?)
            }
            Self::Cancel { id } => {
                let question = desk.cancel_question(CancelQuestionRequest { id }).await?.into_inner();
                if screen.json {
                    return Ok(screen.value(&shape_of(&question))?);
                }
                Ok(show(screen, &question)?)
            }
        }
    }
}

/// `id, device, ticket, sql, state, note, asked_by, asked_ms, expires_ms, ended_ms, evidence_id`
fn shape_of(question: &Question) -> Json {
    let query = question.query.clone().unwrap_or_default();
    let moment = |ms: i64| (ms != 0).then_some(ms);
    json!({
        "id": question.id, "device": question.device.as_ref().map(shape::device), "ticket": query.ticket,
        "sql": query.sql, "state": question.state, "note": question.note, "asked_by": query.asked_by,
        "asked_ms": moment(question.asked_ms), "expires_ms": moment(question.expires_ms),
        "ended_ms": moment(question.ended_ms), "evidence_id": question.evidence_id,
    })
}

/// "waiting  desk-17  ticket 3, asked by anna 3 min ago  id 1a2b3c4d", then the SQL and what became of it.
fn show(screen: Screen, question: &Question) -> io::Result<()> {
    let query = question.query.clone().unwrap_or_default();
    let device = question.device.clone().unwrap_or_default();
    let line = match question.state.as_str() {
        "answered" => Line::default().good(&question.state),
        "waiting" => Line::default().bold(&question.state),
        _ => Line::default().warn(&question.state),
    };
    let asked = show::age(question.asked_ms, screen.now_ms);
    let id: String = question.id.chars().take(8).collect();
    let line = line.plain("  ").bold(device.name);
    let line = line.plain(format!("  ticket {}, asked by {} {asked}", query.ticket, query.asked_by));
    screen.line(line.dim(format!("  id {id}")))?;
    screen.beside("", 2, &query.sql)?;
    if !question.note.is_empty() {
        screen.beside("", 2, &question.note)?;
    }
    if question.state == "waiting" {
        screen.beside("", 2, &format!("given up {}", show::age(question.expires_ms, screen.now_ms)))?;
    }
    Ok(())
}
