//! Evidence and custody in SQLite.

use anyhow::Result;
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use uuid::Uuid;

use super::{Db, audit, tickets, uuid};
use crate::store::{Attachment, AuditLine, CustodyEntry, EvidenceItem, EvidenceItems};

/// Shortest beginning of an id that is looked for.
const PREFIX_CHARS_MIN: usize = 4;

/// Why the deletion is read from the custody: an item is never changed, not even then.
const SELECT: &str = "SELECT id, ticket, device, collection, name, size, sha256, stored_ms, location, \
     (SELECT coalesce(max(at_ms), 0) FROM custody WHERE custody.evidence = evidence.id AND what = 'deleted') AS deleted_ms \
     FROM evidence";

#[async_trait]
impl EvidenceItems for Db {
    async fn evidence(&self, ticket: Option<u64>) -> Result<Vec<EvidenceItem>> {
        self.read(move |connection| {
            let mut statement =
                connection.prepare_cached(&format!("{SELECT} WHERE ?1 IS NULL OR ticket = ?1 ORDER BY no DESC"))?;
            let rows = statement.query_map([ticket.map(u64::cast_signed)], read)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn find_evidence(&self, id: &str) -> Result<Vec<EvidenceItem>> {
        let id = id.trim().to_lowercase();
        if id.len() < PREFIX_CHARS_MIN || id.contains(['%', '_']) {
            return Ok(Vec::new());
        }
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE id LIKE ?1 || '%' ORDER BY no"))?;
            let rows = statement.query_map([id], read)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn attach(&self, attachment: Attachment) -> Result<Option<EvidenceItem>> {
        self.write(move |tx| attach(tx, attachment)).await
    }

    async fn custody(&self, id: Uuid) -> Result<Vec<CustodyEntry>> {
        self.read(move |connection| {
            let mut statement = connection
                .prepare_cached("SELECT at_ms, who, what, words FROM custody WHERE evidence = ?1 ORDER BY no")?;
            let rows = statement.query_map([id.to_string()], |row| {
                Ok(CustodyEntry { at_ms: row.get(0)?, who: row.get(1)?, what: row.get(2)?, text: row.get(3)? })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn add_custody(&self, id: Uuid, entry: CustodyEntry) -> Result<()> {
        self.write(move |tx| insert_custody(tx, id, &entry)).await
    }

    async fn add_custody_of(&self, id: Uuid, line: AuditLine) -> Result<()> {
        self.write(move |tx| {
            let (who, what, text) = (line.who.clone(), line.what.clone(), line.text.clone());
            insert_line(tx, id, &CustodyEntry { at_ms: line.at_ms, who, what, text })?;
            log(tx, id, line)
        })
        .await
    }

    async fn evidence_of_probes(&self, probes: &[&str], before_ms: i64) -> Result<Vec<EvidenceItem>> {
        // A probe stands first on a line of its own, its arguments behind a blank.
        let asked = "instr(char(10) || replace(probes, char(10), ' ' || char(10)) || ' ', char(10) || ?1 || ' ') > 0";
        let sql = format!(
            "{SELECT} WHERE collection IN (SELECT id FROM collection WHERE {asked}) \
             AND stored_ms < ?2 AND deleted_ms = 0 ORDER BY no"
        );
        let probes: Vec<String> = probes.iter().map(|probe| (*probe).to_owned()).collect();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let mut items = Vec::new();
            for probe in probes {
                let rows = statement.query_map(params![probe, before_ms], read)?;
                items.extend(rows.collect::<rusqlite::Result<Vec<_>>>()?);
            }
            Ok(items)
        })
        .await
    }
}

/// Attaches an item with its custody and its story, unless the ticket has one of the same content, which is answered.
pub(super) fn attach(tx: &Transaction<'_>, attachment: Attachment) -> Result<Option<EvidenceItem>> {
    let Attachment { item, custody, events } = attachment;
    if let Some(same) = same(tx, &item)? {
        return Ok(Some(same));
    }
    insert(tx, &item)?;
    for entry in &custody {
        insert_custody(tx, item.id, entry)?;
    }
    if let Some(device) = item.device {
        tickets::link(tx, item.ticket, device)?;
    }
    for event in &events {
        tickets::insert_event(tx, item.ticket, event)?;
    }
    Ok(None)
}

/// One item.
pub(super) fn one(connection: &Connection, id: &str) -> Result<Option<EvidenceItem>> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
    Ok(statement.query_row([id], read).optional()?)
}

/// Writes an item. Why here and not in the trait: an item comes into being in one transaction with the end of its collection.
pub(super) fn insert(tx: &Transaction<'_>, item: &EvidenceItem) -> Result<()> {
    tx.execute(
        "INSERT INTO evidence (id, ticket, device, collection, name, size, sha256, stored_ms, location) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            item.id.to_string(),
            item.ticket.cast_signed(),
            item.device.map(|id| id.to_string()),
            item.collection.map(|id| id.to_string()),
            item.name,
            item.size.cast_signed(),
            item.sha256,
            item.stored_ms,
            item.location
        ],
    )?;
    Ok(())
}

/// The item of the same ticket with the same content that is there.
fn same(tx: &Transaction<'_>, item: &EvidenceItem) -> Result<Option<EvidenceItem>> {
    let mut statement = tx.prepare_cached(&format!(
        "{SELECT} WHERE ticket = ?1 AND sha256 = ?2 AND deleted_ms = 0 ORDER BY no LIMIT 1"
    ))?;
    Ok(statement.query_row(params![item.ticket.cast_signed(), item.sha256], read).optional()?)
}

/// Writes a line of custody, and the entry of the custody log that vouches for it.
pub(super) fn insert_custody(tx: &Transaction<'_>, id: Uuid, entry: &CustodyEntry) -> Result<()> {
    insert_line(tx, id, entry)?;
    let (at_ms, who, what, text) = (entry.at_ms, entry.who.clone(), entry.what.clone(), entry.text.clone());
    log(tx, id, AuditLine { at_ms, who, what, text, ..AuditLine::default() })
}

/// Writes an entry of the custody log about an item, with what is known of it.
fn log(tx: &Transaction<'_>, id: Uuid, line: AuditLine) -> Result<()> {
    let mut statement = tx.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
    let item = statement.query_row([id.to_string()], read)?;
    let device = item.device.map(|id| id.to_string()).unwrap_or_default();
    let (ticket, evidence, sha256) = (item.ticket, id.to_string(), item.sha256);
    audit::insert(tx, AuditLine { device, ticket, evidence, sha256, ..line })
}

/// Writes a line of custody alone: what it tells of is in the custody log already.
pub(super) fn insert_line(tx: &Transaction<'_>, id: Uuid, entry: &CustodyEntry) -> Result<()> {
    tx.execute(
        "INSERT INTO custody (evidence, at_ms, who, what, words) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![id.to_string(), entry.at_ms, entry.who, entry.what, entry.text],
    )?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<EvidenceItem> {
    Ok(EvidenceItem {
        id: uuid(&row.get::<_, String>(0)?)?,
        ticket: row.get::<_, i64>(1)?.cast_unsigned(),
        device: optional(row, 2)?,
        collection: optional(row, 3)?,
        name: row.get(4)?,
        size: row.get::<_, i64>(5)?.cast_unsigned(),
        sha256: row.get(6)?,
        stored_ms: row.get(7)?,
        location: row.get(8)?,
        deleted_ms: row.get(9)?,
    })
}

fn optional(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Uuid>> {
    row.get::<_, Option<String>>(column)?.as_deref().map(uuid).transpose()
}
