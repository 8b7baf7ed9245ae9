//! Tickets and their story in SQLite.

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use uuid::Uuid;

use super::{Db, collections, uuid};
use crate::store::{NewTicket, Ticket, TicketChange, TicketEvent, TicketStatus, Tickets};

const SELECT: &str = "SELECT number, title, description, status, level, assignee, opened_by, opened_ms, changed_ms, \
     (SELECT count(*) FROM evidence WHERE evidence.ticket = number) FROM ticket";

#[async_trait]
impl Tickets for Db {
    async fn open_ticket(&self, ticket: NewTicket, events: Vec<TicketEvent>, now_ms: i64) -> Result<Ticket> {
        self.write(move |tx| {
            let number = insert(tx, &ticket, &events, now_ms)?;
            one(tx, number)?.context("the ticket just opened is there")
        })
        .await
    }

    async fn ticket(&self, number: u64) -> Result<Option<Ticket>> {
        self.read(move |connection| one(connection, number)).await
    }

    async fn tickets(&self, all: bool, limit: u32) -> Result<Vec<Ticket>> {
        self.read(move |connection| {
            let filter = if all { "" } else { "WHERE status <> 'closed'" };
            let sql = format!("{SELECT} {filter} ORDER BY number DESC LIMIT ?1");
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map([limit], read)?;
            with_devices(connection, rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn tickets_of(&self, device: Uuid, limit: u32) -> Result<Vec<Ticket>> {
        self.read(move |connection| {
            let sql = format!(
                "{SELECT} WHERE status <> 'closed' AND number IN (SELECT ticket FROM ticket_device WHERE device = ?1) \
                 ORDER BY number DESC LIMIT ?2"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params![device.to_string(), limit], read)?;
            with_devices(connection, rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn change_ticket(&self, number: u64, change: TicketChange, now_ms: i64) -> Result<Option<Ticket>> {
        self.write(move |tx| {
            let changed = tx.execute(
                "UPDATE ticket SET status = coalesce(?2, status), level = coalesce(?3, level), \
                 assignee = coalesce(?4, assignee), changed_ms = max(changed_ms, ?5) WHERE number = ?1",
                params![
                    number.cast_signed(),
                    change.status.map(TicketStatus::name),
                    change.level,
                    change.assignee,
                    now_ms
                ],
            )?;
            if changed == 0 {
                return Ok(None);
            }
            if let Some(device) = change.link {
                link(tx, number, device)?;
            }
            for collection in &change.collections {
                ensure!(collection.ticket == number, "a collection begins with its own ticket");
                collections::insert(tx, collection)?;
            }
            for event in &change.events {
                insert_event(tx, number, event)?;
            }
            one(tx, number)
        })
        .await
    }

    async fn ticket_events(&self, number: u64, limit: u32) -> Result<Vec<TicketEvent>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT at_ms, who, what, words FROM \
                 (SELECT * FROM ticket_event WHERE ticket = ?1 ORDER BY no DESC LIMIT ?2) ORDER BY no",
            )?;
            let rows = statement.query_map(params![number.cast_signed(), limit], |row| {
                Ok(TicketEvent { at_ms: row.get(0)?, who: row.get(1)?, what: row.get(2)?, text: row.get(3)? })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

/// Writes a new ticket; its number.
pub(super) fn insert(tx: &Transaction<'_>, ticket: &NewTicket, events: &[TicketEvent], now_ms: i64) -> Result<u64> {
    tx.execute(
        "INSERT INTO ticket (title, description, status, level, opened_by, opened_ms, changed_ms) \
         VALUES (?1, ?2, ?3, 1, ?4, ?5, ?5)",
        params![ticket.title, ticket.description, TicketStatus::Open.name(), ticket.opened_by, now_ms],
    )?;
    let number = tx.last_insert_rowid().cast_unsigned();
    for device in &ticket.devices {
        link(tx, number, *device)?;
    }
    for event in events {
        insert_event(tx, number, event)?;
    }
    Ok(number)
}

/// Writes a line of a ticket's story.
pub(super) fn insert_event(tx: &Transaction<'_>, number: u64, event: &TicketEvent) -> Result<()> {
    tx.execute(
        "INSERT INTO ticket_event (ticket, at_ms, who, what, words) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![number.cast_signed(), event.at_ms, event.who, event.what, event.text],
    )?;
    tx.execute(
        "UPDATE ticket SET changed_ms = max(changed_ms, ?2) WHERE number = ?1",
        params![number.cast_signed(), event.at_ms],
    )?;
    Ok(())
}

/// Links a device; one that is linked already stays so.
pub(super) fn link(tx: &Transaction<'_>, number: u64, device: Uuid) -> Result<()> {
    tx.execute(
        "INSERT INTO ticket_device (ticket, device) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        params![number.cast_signed(), device.to_string()],
    )?;
    Ok(())
}

/// One ticket.
pub(super) fn one(connection: &Connection, number: u64) -> Result<Option<Ticket>> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE number = ?1"))?;
    let ticket = statement.query_row([number.cast_signed()], read).optional()?;
    Ok(with_devices(connection, ticket.into_iter().collect())?.pop())
}

fn with_devices(connection: &Connection, mut tickets: Vec<Ticket>) -> Result<Vec<Ticket>> {
    let mut statement = connection.prepare_cached("SELECT device FROM ticket_device WHERE ticket = ?1 ORDER BY no")?;
    for ticket in &mut tickets {
        let devices = statement.query_map([ticket.number.cast_signed()], |row| uuid(&row.get::<_, String>(0)?))?;
        ticket.devices = devices.collect::<rusqlite::Result<_>>()?;
    }
    Ok(tickets)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Ticket> {
    let status: String = row.get(3)?;
    Ok(Ticket {
        number: row.get::<_, i64>(0)?.cast_unsigned(),
        title: row.get(1)?,
        description: row.get(2)?,
        status: TicketStatus::from_name(&status).ok_or(rusqlite::Error::InvalidQuery)?,
        level: row.get(4)?,
        assignee: row.get(5)?,
        opened_by: row.get(6)?,
        opened_ms: row.get(7)?,
        changed_ms: row.get(8)?,
        devices: Vec::new(),
        evidence: row.get(9)?,
    })
}
