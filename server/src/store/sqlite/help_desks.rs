//! Foreign tickets, the outbox and the hooks in SQLite.

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use uuid::Uuid;

use super::{Db, collections, tickets, uuid};
use crate::store::{
    Collection, ForeignTicket, HelpDesks, NewTicket, OutboxItem, OutboxKind, OutboxState, Ticket, TicketEvent,
};

const FOREIGN: &str =
    "SELECT desk, id, ticket, number, url, escalated, requester, asked, linked_ms FROM foreign_ticket";

const OUTBOX: &str = "SELECT id, no, desk, foreign_id, ticket, kind, about, body, evidence, state, attempts, next_ms, \
     why, made_ms, ended_ms FROM outbox";

/// How long deliveries of hooks are known again. Why a week: none that is older is taken anyway.
const DELIVERY_MS: i64 = 7 * 24 * 3_600 * 1_000;

#[async_trait]
impl HelpDesks for Db {
    async fn foreign(&self, desk: &str, id: &str) -> Result<Option<ForeignTicket>> {
        let (desk, id) = (desk.to_owned(), id.to_owned());
        self.read(move |connection| foreign(connection, &desk, &id)).await
    }

    async fn foreign_of(&self, ticket: u64) -> Result<Vec<ForeignTicket>> {
        self.read(move |connection| {
            let mut statement =
                connection.prepare_cached(&format!("{FOREIGN} WHERE ticket = ?1 ORDER BY linked_ms, desk, id"))?;
            let rows = statement.query_map([ticket.cast_signed()], read_foreign)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn foreign_asked(&self) -> Result<Vec<ForeignTicket>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&format!("{FOREIGN} WHERE asked = 1 ORDER BY linked_ms"))?;
            let rows = statement.query_map([], read_foreign)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn open_foreign(
        &self,
        ticket: NewTicket,
        events: Vec<TicketEvent>,
        linked: ForeignTicket,
        now_ms: i64,
    ) -> Result<Ticket> {
        self.write(move |tx| {
            if let Some(known) = foreign(tx, &linked.desk, &linked.id)? {
                return tickets::one(tx, known.ticket)?.context("a linked ticket is there");
            }
            let number = tickets::insert(tx, &ticket, &events, now_ms)?;
            put(tx, &ForeignTicket { ticket: number, ..linked })?;
            tickets::one(tx, number)?.context("the ticket just opened is there")
        })
        .await
    }

    async fn save_foreign(&self, foreign: &ForeignTicket) -> Result<()> {
        let foreign = foreign.clone();
        self.write(move |tx| put(tx, &foreign)).await
    }

    async fn devices_of_requester(&self, desk: &str, requester: &str) -> Result<Vec<Uuid>> {
        let (desk, requester) = (desk.to_owned(), requester.to_owned());
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT device, max(ticket_device.no) AS last FROM foreign_ticket \
                 JOIN ticket_device ON ticket_device.ticket = foreign_ticket.ticket \
                 WHERE desk = ?1 AND requester = ?2 AND requester <> '' GROUP BY device ORDER BY last DESC LIMIT 20",
            )?;
            let rows = statement.query_map([desk, requester], |row| uuid(&row.get::<_, String>(0)?))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn add_outbox(&self, items: Vec<OutboxItem>) -> Result<Vec<OutboxItem>> {
        self.write(move |tx| {
            let mut added = Vec::new();
            for mut item in items {
                if insert(tx, &item)? {
                    item.order = tx.last_insert_rowid();
                    added.push(item);
                }
            }
            Ok(added)
        })
        .await
    }

    async fn outbox(&self, all: bool, limit: u32) -> Result<Vec<OutboxItem>> {
        self.read(move |connection| {
            let filter = if all { "" } else { "WHERE state = 'waiting'" };
            let sql = format!("SELECT * FROM ({OUTBOX} {filter} ORDER BY no DESC LIMIT ?1) ORDER BY no");
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map([limit], read_item)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn save_outbox(&self, item: &OutboxItem, event: Option<TicketEvent>) -> Result<()> {
        let item = item.clone();
        self.write(move |tx| {
            let changed = tx.execute(
                "UPDATE outbox SET state = ?2, attempts = ?3, next_ms = ?4, why = ?5, ended_ms = ?6 WHERE id = ?1",
                params![item.id.to_string(), item.state.name(), item.attempts, item.next_ms, item.why, item.ended_ms],
            )?;
            ensure!(changed == 1, "no entry {} in the outbox", item.id);
            if let Some(event) = event {
                tickets::insert_event(tx, item.ticket, &event)?;
            }
            Ok(())
        })
        .await
    }

    async fn unreported(&self, ended_after_ms: i64) -> Result<Vec<(ForeignTicket, Collection)>> {
        self.read(move |connection| {
            let mut found = Vec::new();
            let mut statement = connection.prepare_cached(
                "SELECT foreign_ticket.desk, foreign_ticket.id, collection.id FROM foreign_ticket \
                 JOIN collection ON collection.ticket = foreign_ticket.ticket \
                 WHERE collection.asked_ms >= foreign_ticket.linked_ms \
                 AND (collection.ended_ms = 0 OR collection.ended_ms > ?1) AND NOT EXISTS \
                 (SELECT 1 FROM outbox WHERE outbox.desk = foreign_ticket.desk \
                 AND outbox.foreign_id = foreign_ticket.id AND outbox.about = 'evidence ' || collection.id) \
                 ORDER BY collection.no",
            )?;
            let rows = statement.query_map([ended_after_ms], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, uuid(&row.get::<_, String>(2)?)?))
            })?;
            for row in rows {
                let (desk, id, collection) = row?;
                let pair = (foreign(connection, &desk, &id)?, collections::one(connection, collection)?);
                if let (Some(foreign), Some(collection)) = pair {
                    found.push((foreign, collection));
                }
            }
            Ok(found)
        })
        .await
    }

    async fn hook_arrived(&self, desk: &str, delivery: &str, id: &str, now_ms: i64) -> Result<bool> {
        let (desk, delivery, id) = (desk.to_owned(), delivery.to_owned(), id.to_owned());
        self.write(move |tx| {
            tx.execute("DELETE FROM hook_delivery WHERE at_ms < ?1", [now_ms - DELIVERY_MS])?;
            let added = tx.execute(
                "INSERT INTO hook_delivery (desk, delivery, foreign_id, at_ms, done) VALUES (?1, ?2, ?3, ?4, 0) \
                 ON CONFLICT DO NOTHING",
                params![desk, delivery, id, now_ms],
            )?;
            if added == 1 {
                return Ok(true);
            }
            let mut statement =
                tx.prepare_cached("SELECT done = 0 FROM hook_delivery WHERE desk = ?1 AND delivery = ?2")?;
            Ok(statement.query_row([desk, delivery], |row| row.get(0))?)
        })
        .await
    }

    async fn hooks_open(&self) -> Result<Vec<(String, String)>> {
        self.read(move |connection| {
            let mut statement = connection
                .prepare_cached("SELECT DISTINCT desk, foreign_id FROM hook_delivery WHERE done = 0 ORDER BY at_ms")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn hooks_done(&self, desk: &str, id: &str, until_ms: i64) -> Result<()> {
        let (desk, id) = (desk.to_owned(), id.to_owned());
        self.write(move |tx| {
            tx.execute(
                "UPDATE hook_delivery SET done = 1 WHERE desk = ?1 AND foreign_id = ?2 AND at_ms <= ?3",
                params![desk, id, until_ms],
            )?;
            Ok(())
        })
        .await
    }
}

fn foreign(connection: &Connection, desk: &str, id: &str) -> Result<Option<ForeignTicket>> {
    let mut statement = connection.prepare_cached(&format!("{FOREIGN} WHERE desk = ?1 AND id = ?2"))?;
    Ok(statement.query_row([desk, id], read_foreign).optional()?)
}

fn put(tx: &Transaction<'_>, foreign: &ForeignTicket) -> Result<()> {
    tx.execute(
        "INSERT INTO foreign_ticket (desk, id, ticket, number, url, escalated, requester, asked, linked_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (desk, id) DO UPDATE SET \
         number = ?4, url = ?5, escalated = ?6, requester = ?7, asked = ?8",
        params![
            foreign.desk,
            foreign.id,
            foreign.ticket.cast_signed(),
            foreign.number,
            foreign.url,
            foreign.escalated,
            foreign.requester,
            foreign.asked,
            foreign.linked_ms
        ],
    )?;
    Ok(())
}

fn insert(tx: &Transaction<'_>, item: &OutboxItem) -> Result<bool> {
    let added = tx.execute(
        "INSERT INTO outbox (id, desk, foreign_id, ticket, kind, about, body, evidence, state, attempts, next_ms, \
         why, made_ms, ended_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) \
         ON CONFLICT (desk, foreign_id, about) DO NOTHING",
        params![
            item.id.to_string(),
            item.desk,
            item.foreign,
            item.ticket.cast_signed(),
            item.kind.name(),
            item.about,
            item.body,
            item.evidence.map(|id| id.to_string()),
            item.state.name(),
            item.attempts,
            item.next_ms,
            item.why,
            item.made_ms,
            item.ended_ms
        ],
    )?;
    Ok(added == 1)
}

fn read_foreign(row: &Row<'_>) -> rusqlite::Result<ForeignTicket> {
    Ok(ForeignTicket {
        desk: row.get(0)?,
        id: row.get(1)?,
        ticket: row.get::<_, i64>(2)?.cast_unsigned(),
        number: row.get(3)?,
        url: row.get(4)?,
        escalated: row.get(5)?,
        requester: row.get(6)?,
        asked: row.get(7)?,
        linked_ms: row.get(8)?,
    })
}

fn read_item(row: &Row<'_>) -> rusqlite::Result<OutboxItem> {
    let (kind, state): (String, String) = (row.get(5)?, row.get(9)?);
    Ok(OutboxItem {
        id: uuid(&row.get::<_, String>(0)?)?,
        order: row.get(1)?,
        desk: row.get(2)?,
        foreign: row.get(3)?,
        ticket: row.get::<_, i64>(4)?.cast_unsigned(),
        kind: OutboxKind::from_name(&kind).ok_or(rusqlite::Error::InvalidQuery)?,
        about: row.get(6)?,
        body: row.get(7)?,
        evidence: row.get::<_, Option<String>>(8)?.as_deref().map(uuid).transpose()?,
        state: OutboxState::from_name(&state).ok_or(rusqlite::Error::InvalidQuery)?,
        attempts: row.get(10)?,
        next_ms: row.get(11)?,
        why: row.get(12)?,
        made_ms: row.get(13)?,
        ended_ms: row.get(14)?,
    })
}
