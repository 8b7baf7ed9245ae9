//! Holds, deletions and copies in SQLite.

use anyhow::{Context, Result};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use uuid::Uuid;

use super::{Db, audit, evidence, tickets, uuid};
use crate::store::{
    Attachment, AuditLine, CustodyEntry, Deletion, Derived, EvidenceBounds, EvidenceItem, Expired, Hold, Keeping, Kept,
    TicketEvent,
};

const HOLD: &str = "SELECT number, ticket, evidence, who, why, at_ms, released_ms, released FROM hold";

/// The holds on an item that stand, of an `evidence` beside it.
const HOLDS: &str = "released_ms = 0 AND (hold.evidence = evidence.id OR hold.ticket = evidence.ticket)";

#[async_trait]
impl Keeping for Db {
    async fn add_hold(&self, hold: Hold) -> Result<Option<Hold>> {
        self.write(move |tx| {
            if let Some(id) = hold.evidence {
                let going = "SELECT 1 FROM deletion WHERE evidence = ?1";
                if tx.query_row(going, [id.to_string()], |_row| Ok(())).optional()?.is_some() {
                    return Ok(None);
                }
            }
            tx.execute(
                "INSERT INTO hold (ticket, evidence, who, why, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    hold.ticket.cast_signed(),
                    hold.evidence.map(|id| id.to_string()),
                    hold.who,
                    hold.why,
                    hold.at_ms
                ],
            )?;
            let hold = Hold { number: tx.last_insert_rowid().cast_unsigned(), ..hold };
            told(tx, &hold, "held", &hold.who, hold.at_ms, &format!("hold {}: {}", hold.number, hold.why))?;
            Ok(Some(hold))
        })
        .await
    }

    async fn holds(&self, all: bool) -> Result<Vec<Hold>> {
        self.read(move |connection| {
            let mut statement =
                connection.prepare_cached(&format!("{HOLD} WHERE ?1 OR released_ms = 0 ORDER BY number DESC"))?;
            let rows = statement.query_map([all], read)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn release_hold(&self, number: u64, who: &str, why: &str, at_ms: i64) -> Result<Option<Hold>> {
        let (who, why) = (who.to_owned(), why.to_owned());
        self.write(move |tx| {
            let changed = tx.execute(
                "UPDATE hold SET released_ms = ?2, released = ?3 WHERE number = ?1 AND released_ms = 0",
                params![number.cast_signed(), at_ms, format!("{who}: {why}")],
            )?;
            if changed == 0 {
                return Ok(None);
            }
            let hold = tx.query_row(&format!("{HOLD} WHERE number = ?1"), [number.cast_signed()], read)?;
            told(tx, &hold, "released", &who, at_ms, &format!("hold {number}: {why}"))?;
            Ok(Some(hold))
        })
        .await
    }

    async fn begin_deletion(&self, deletion: Deletion, at_ms: i64) -> Result<Result<(), Kept>> {
        self.write(move |tx| {
            let id = deletion.item.id.to_string();
            let sql = format!("{HOLD} JOIN (SELECT id, ticket AS item_ticket FROM evidence WHERE id = ?1) AS item \
                 WHERE released_ms = 0 AND (hold.evidence = item.id OR hold.ticket = item_ticket) ORDER BY number LIMIT 1");
            if let Some(hold) = tx.query_row(&sql, [&id], read).optional()? {
                return Ok(Err(Kept::Held(Box::new(hold))));
            }
            let gone = "SELECT 1 FROM custody WHERE evidence = ?1 AND what = 'deleted'";
            if tx.query_row(gone, [&id], |_row| Ok(())).optional()?.is_some() {
                return Ok(Err(Kept::Gone));
            }
            tx.execute(
                "INSERT INTO deletion (evidence, who, why, begun_ms) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                params![id, deletion.who, deletion.why, at_ms],
            )?;
            Ok(Ok(()))
        })
        .await
    }

    async fn deletions(&self) -> Result<Vec<Deletion>> {
        self.read(|connection| {
            let mut statement = connection.prepare("SELECT evidence, who, why FROM deletion ORDER BY begun_ms")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            let rows: Vec<(String, String, String)> = rows.collect::<rusqlite::Result<_>>()?;
            rows.into_iter()
                .map(|(id, who, why)| {
                    let item = evidence::one(connection, &id)?.context("a deletion of what never was")?;
                    Ok(Deletion { item, who, why })
                })
                .collect()
        })
        .await
    }

    async fn end_deletion(&self, deletion: &Deletion, at_ms: i64) -> Result<()> {
        let Deletion { item, who, why } = deletion.clone();
        self.write(move |tx| {
            if tx.execute("DELETE FROM deletion WHERE evidence = ?1", [item.id.to_string()])? == 0 {
                return Ok(());
            }
            let text = format!("{} ({} bytes, SHA-256 {}) was deleted: {why}", item.name, item.size, item.sha256);
            let what = "deleted".to_owned();
            let entry = CustodyEntry { at_ms, who: who.clone(), what: what.clone(), text: text.clone() };
            evidence::insert_custody(tx, item.id, &entry)?;
            let event = TicketEvent { at_ms, who: who.clone(), what: what.clone(), text: text.clone() };
            tickets::insert_event(tx, item.ticket, &event)
        })
        .await
    }

    async fn expired(&self, bounds: EvidenceBounds) -> Result<Vec<Expired>> {
        self.read(move |connection| {
            // A bundle is what a device packed, and what was derived from that.
            let sql = format!(
                "WITH lying AS (
                     SELECT evidence.no, evidence.id, evidence.device, evidence.ticket,
                            collection IS NOT NULL OR EXISTS (SELECT 1 FROM derived WHERE derived.evidence = evidence.id)
                                AS is_bundle,
                            EXISTS (SELECT 1 FROM hold WHERE {HOLDS}) AS is_held,
                            CASE ticket.status WHEN 'closed' THEN (SELECT max(at_ms) FROM ticket_event
                                WHERE ticket_event.ticket = evidence.ticket AND what = 'closed') END AS closed_ms
                     FROM evidence JOIN ticket ON ticket.number = evidence.ticket
                     WHERE NOT EXISTS (SELECT 1 FROM custody WHERE custody.evidence = evidence.id AND what = 'deleted')
                 ), counted AS (
                     SELECT *, row_number() OVER (PARTITION BY device, is_bundle ORDER BY no DESC) AS place FROM lying
                 )
                 SELECT id, NOT coalesce(CASE is_bundle WHEN 1 THEN closed_ms < ?1 ELSE closed_ms < ?3 END, 0) AS surplus
                 FROM counted
                 WHERE closed_ms IS NOT NULL AND NOT is_held
                   AND CASE is_bundle WHEN 1 THEN closed_ms < ?1 OR (place > ?2 AND device IS NOT NULL)
                                      ELSE closed_ms < ?3 END
                 ORDER BY no"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let EvidenceBounds { bundles_closed_before_ms, bundles_per_device_max, attached_closed_before_ms } = bounds;
            let bounds = params![bundles_closed_before_ms, bundles_per_device_max, attached_closed_before_ms];
            let rows = statement.query_map(bounds, |row| Ok((row.get(0)?, row.get(1)?)))?;
            let rows: Vec<(String, bool)> = rows.collect::<rusqlite::Result<_>>()?;
            rows.into_iter()
                .map(|(id, is_surplus)| {
                    let item = evidence::one(connection, &id)?.context("evidence that never was")?;
                    Ok(Expired { item, is_surplus })
                })
                .collect()
        })
        .await
    }

    async fn attach_derived(&self, copy: Attachment, derived: Derived) -> Result<Option<EvidenceItem>> {
        self.write(move |tx| {
            let id = copy.item.id.to_string();
            let same = evidence::attach(tx, copy)?;
            if same.is_none() {
                tx.execute(
                    "INSERT INTO derived (evidence, source, recipe) VALUES (?1, ?2, ?3)",
                    params![id, derived.source.to_string(), derived.recipe],
                )?;
            }
            Ok(same)
        })
        .await
    }

    async fn derived(&self, id: Uuid) -> Result<Option<Derived>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached("SELECT source, recipe FROM derived WHERE evidence = ?1")?;
            let read = |row: &Row<'_>| Ok(Derived { source: uuid(&row.get::<_, String>(0)?)?, recipe: row.get(1)? });
            Ok(statement.query_row([id.to_string()], read).optional()?)
        })
        .await
    }
}

/// Writes what became of a hold into the custody of what it covers, its ticket and the audit log.
fn told(tx: &Transaction<'_>, hold: &Hold, what: &str, who: &str, at_ms: i64, text: &str) -> Result<()> {
    let (who, what, text) = (who.to_owned(), what.to_owned(), text.to_owned());
    let ticket = covered(tx, hold)?.into_iter().try_fold(hold.ticket, |_ticket, (id, ticket)| {
        let entry = CustodyEntry { at_ms, who: who.clone(), what: what.clone(), text: text.clone() };
        evidence::insert_custody(tx, id, &entry)?;
        anyhow::Ok(ticket)
    })?;
    let event = TicketEvent { at_ms, who: who.clone(), what: what.clone(), text: text.clone() };
    tickets::insert_event(tx, ticket, &event)?;
    audit::insert(tx, AuditLine { at_ms, who, what, ticket, text, ..AuditLine::default() })
}

/// The items that a hold covers now, with their tickets.
fn covered(connection: &Connection, hold: &Hold) -> Result<Vec<(Uuid, u64)>> {
    let mut statement = connection.prepare_cached("SELECT id, ticket FROM evidence WHERE id = ?1 OR ticket = ?2")?;
    let rows = statement
        .query_map(params![hold.evidence.map(|id| id.to_string()), hold.ticket.cast_signed()], |row| {
            Ok((uuid(&row.get::<_, String>(0)?)?, row.get::<_, i64>(1)?.cast_unsigned()))
        })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Hold> {
    Ok(Hold {
        number: row.get::<_, i64>(0)?.cast_unsigned(),
        ticket: row.get::<_, i64>(1)?.cast_unsigned(),
        evidence: row.get::<_, Option<String>>(2)?.as_deref().map(uuid).transpose()?,
        who: row.get(3)?,
        why: row.get(4)?,
        at_ms: row.get(5)?,
        released_ms: row.get(6)?,
        released: row.get(7)?,
    })
}
