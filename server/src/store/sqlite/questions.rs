//! Kept questions in SQLite.

use anyhow::Result;
use async_trait::async_trait;
use deskside_proto::v1::Query;
use prost::Message;
use rusqlite::{Connection, Row, ToSql, params};
use uuid::Uuid;

use super::{Db, evidence, tickets, uuid};
use crate::store::{Attachment, KeptQuestion, KeptQuestions, QuestionState, TicketEvent};

const SELECT: &str =
    "SELECT id, ticket, device, query, state, note, asked_ms, expires_ms, ended_ms, evidence FROM question";

/// Shortest beginning of an id that is looked for.
const PREFIX_CHARS_MIN: usize = 4;

#[async_trait]
impl KeptQuestions for Db {
    async fn keep_question(&self, question: KeptQuestion, event: TicketEvent) -> Result<()> {
        self.write(move |tx| {
            tx.execute(
                "INSERT INTO question (id, ticket, device, query, state, note, asked_ms, expires_ms, ended_ms) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0)",
                params![
                    question.id.to_string(),
                    question.ticket.cast_signed(),
                    question.device.to_string(),
                    question.query.encode_to_vec(),
                    question.state.name(),
                    question.note,
                    question.asked_ms,
                    question.expires_ms,
                ],
            )?;
            tickets::insert_event(tx, question.ticket, &event)
        })
        .await
    }

    async fn kept_questions(&self, ticket: Option<u64>, all: bool, limit: u32) -> Result<Vec<KeptQuestion>> {
        let sql = "WHERE (?1 IS NULL OR ticket = ?1) AND (?2 OR state = 'waiting') ORDER BY no DESC LIMIT ?3";
        self.read(move |connection| found(connection, sql, params![ticket.map(u64::cast_signed), all, limit])).await
    }

    async fn find_questions(&self, id: &str) -> Result<Vec<KeptQuestion>> {
        let id = id.trim().to_lowercase();
        if id.len() < PREFIX_CHARS_MIN || id.contains(['%', '_']) {
            return Ok(Vec::new());
        }
        self.read(move |connection| found(connection, "WHERE id LIKE ?1 || '%' ORDER BY no", params![id])).await
    }

    async fn waiting_questions(&self, device: Option<Uuid>) -> Result<Vec<KeptQuestion>> {
        let sql = "WHERE state = 'waiting' AND (?1 IS NULL OR device = ?1) ORDER BY no";
        self.read(move |connection| found(connection, sql, params![device.map(|id| id.to_string())])).await
    }

    async fn end_question(
        &self,
        question: KeptQuestion,
        event: TicketEvent,
        attachment: Option<Attachment>,
    ) -> Result<bool> {
        self.write(move |tx| {
            let changed = tx.execute(
                "UPDATE question SET state = ?2, note = ?3, ended_ms = ?4, evidence = ?5 \
                 WHERE id = ?1 AND state = 'waiting'",
                params![
                    question.id.to_string(),
                    question.state.name(),
                    question.note,
                    question.ended_ms,
                    question.evidence.map(|id| id.to_string())
                ],
            )?;
            if changed == 0 {
                return Ok(false);
            }
            if let Some(Attachment { item, custody, events }) = attachment {
                evidence::insert(tx, &item)?;
                for entry in &custody {
                    evidence::insert_custody(tx, item.id, entry)?;
                }
                for event in &events {
                    tickets::insert_event(tx, item.ticket, event)?;
                }
            }
            tickets::insert_event(tx, question.ticket, &event)?;
            Ok(true)
        })
        .await
    }
}

fn found(connection: &Connection, sql: &str, values: &[&dyn ToSql]) -> Result<Vec<KeptQuestion>> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} {sql}"))?;
    let rows = statement.query_map(values, read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<KeptQuestion> {
    let (state, evidence): (String, Option<String>) = (row.get(4)?, row.get(9)?);
    Ok(KeptQuestion {
        id: uuid(row.get_ref(0)?.as_str()?)?,
        ticket: row.get::<_, i64>(1)?.cast_unsigned(),
        device: uuid(row.get_ref(2)?.as_str()?)?,
        query: Query::decode(row.get_ref(3)?.as_blob()?).map_err(|_error| rusqlite::Error::InvalidQuery)?,
        state: QuestionState::from_name(&state).ok_or(rusqlite::Error::InvalidQuery)?,
        note: row.get(5)?,
        asked_ms: row.get(6)?,
        expires_ms: row.get(7)?,
        ended_ms: row.get(8)?,
        evidence: evidence.as_deref().map(uuid).transpose()?,
    })
}
