//! Collections in SQLite.

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use deskside_proto::v1::{PartOutcome, UploadBegin};
use prost::Message;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use uuid::Uuid;

use super::{Db, audit, evidence, tickets, uuid};
use crate::store::{
    AuditLine, Collection, CollectionState, Collections, CustodyEntry, EvidenceItem, SealSeen, TicketEvent,
};

const SELECT: &str = "SELECT id, ticket, device, state, note, recipe, tables, from_ms, to_ms, asked_ms, expires_ms, \
     ended_ms, asked_by, attempts, parts, evidence, probes, planned_ms, why FROM collection";

#[async_trait]
impl Collections for Db {
    async fn collection(&self, id: Uuid) -> Result<Option<Collection>> {
        self.read(move |connection| one(connection, id)).await
    }

    async fn collections_of(&self, ticket: u64) -> Result<Vec<Collection>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE ticket = ?1 ORDER BY no"))?;
            let rows = statement.query_map([ticket.cast_signed()], read)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn open_collections(&self) -> Result<Vec<Collection>> {
        self.read(move |connection| {
            let sql = format!("{SELECT} WHERE state IN ('waiting', 'running') ORDER BY no");
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map([], read)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn save_collection(&self, collection: &Collection, event: Option<TicketEvent>) -> Result<()> {
        let now = collection.clone();
        self.write(move |tx| {
            let parts = (!now.parts.is_empty()).then(|| encoded(now.parts));
            let changed = tx.execute(
                "UPDATE collection SET state = ?2, note = ?3, ended_ms = ?4, attempts = ?5, \
                 parts = coalesce(?6, parts), evidence = coalesce(?7, evidence) \
                 WHERE id = ?1 AND state IN ('waiting', 'running') \
                 AND (evidence IS NULL OR ?7 IS NOT NULL OR ?4 = 0)",
                params![
                    now.id.to_string(),
                    now.state.name(),
                    now.note,
                    now.ended_ms,
                    now.attempts,
                    parts,
                    now.evidence.map(|id| id.to_string())
                ],
            )?;
            ensure!(changed == 1, "collection {} has ended, has its evidence already, or is unknown", now.id);
            if let Some(event) = event {
                tickets::insert_event(tx, now.ticket, &event)?;
            }
            Ok(())
        })
        .await
    }

    async fn evidence_stored(
        &self,
        item: &EvidenceItem,
        parts: Vec<PartOutcome>,
        device_name: &str,
        seal: &SealSeen,
    ) -> Result<bool> {
        let (item, device_name, seal) = (item.clone(), device_name.to_owned(), seal.clone());
        self.write(move |tx| {
            let collection = item.collection.context("an item that was stored answers a collection")?;
            let Some(asked) = one(tx, collection)? else { return Ok(false) };
            if asked.state.ended() || asked.evidence.is_some() || Some(asked.device) != item.device {
                return Ok(false);
            }
            evidence::insert(tx, &item)?;
            let (first, then) = custody(&asked, &item, &device_name, &seal);
            evidence::insert_line(tx, item.id, &first)?;
            for entry in then {
                evidence::insert_custody(tx, item.id, &entry)?;
            }
            tx.execute(
                "UPDATE collection SET parts = ?2, evidence = ?3 WHERE id = ?1",
                params![asked.id.to_string(), encoded(parts), item.id.to_string()],
            )?;
            let text = format!("{} ({} bytes, SHA-256 {})", item.name, item.size, item.sha256);
            let event = TicketEvent { at_ms: item.stored_ms, who: device_name, what: "evidence".into(), text };
            tickets::insert_event(tx, item.ticket, &event)?;
            if let SealSeen::Bad(why) = &seal {
                let text = format!("{} is kept, but not proven to be what the device packed: {why}", item.name);
                let (who, what) = ("server".into(), "unverified".into());
                tickets::insert_event(tx, item.ticket, &TicketEvent { at_ms: item.stored_ms, who, what, text })?;
            }
            Ok(true)
        })
        .await
    }
}

/// Writes a new collection. Why here and not in the trait: it comes into being with a change of its ticket, in one transaction.
pub(super) fn insert(tx: &Transaction<'_>, new: &Collection) -> Result<()> {
    tx.execute(
        "INSERT INTO collection (id, ticket, device, state, note, recipe, tables, from_ms, to_ms, asked_ms, \
         expires_ms, ended_ms, asked_by, attempts, parts, evidence, probes, planned_ms, why) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        params![
            new.id.to_string(),
            new.ticket.cast_signed(),
            new.device.to_string(),
            new.state.name(),
            new.note,
            new.recipe,
            new.tables.join(" "),
            new.from_ms,
            new.to_ms,
            new.asked_ms,
            new.expires_ms,
            new.ended_ms,
            new.asked_by,
            new.attempts,
            encoded(new.parts.clone()),
            new.evidence.map(|id| id.to_string()),
            new.probes.join("\n"),
            new.planned_ms,
            new.why,
        ],
    )?;
    let by_hand = || [new.tables.as_slice(), new.probes.as_slice()].concat().join(" ");
    let words = if new.recipe.is_empty() { by_hand() } else { format!("recipe {}", new.recipe) };
    audit::insert(
        tx,
        AuditLine {
            at_ms: new.asked_ms,
            who: new.asked_by.clone(),
            what: "asked".into(),
            device: new.device.to_string(),
            ticket: new.ticket,
            text: format!("collection {}: {words}", new.id),
            ..AuditLine::default()
        },
    )
}

/// How an item came to be, in the words of its custody. Why the first apart: the custody log has it since it was asked.
fn custody(
    asked: &Collection,
    item: &EvidenceItem,
    device_name: &str,
    seal: &SealSeen,
) -> (CustodyEntry, [CustodyEntry; 3]) {
    let entry =
        |at_ms, who: &str, what: &str, text: String| CustodyEntry { at_ms, who: who.into(), what: what.into(), text };
    let (seen, words) = match seal {
        SealSeen::Good { statement_sha256 } => {
            ("verified", format!("the device's seal holds; SHA-256 of its statement {statement_sha256}"))
        }
        SealSeen::Bad(why) => ("unverified", format!("the device's seal does not hold: {why}")),
    };
    let first = entry(asked.asked_ms, &asked.asked_by, "asked", format!("for ticket {}", asked.ticket));
    let then = [
        entry(item.stored_ms, device_name, "collected", format!("by device {}", asked.device)),
        entry(item.stored_ms, "server", "stored", format!("at {}, SHA-256 {}", item.location, item.sha256)),
        entry(item.stored_ms, "server", seen, words),
    ];
    (first, then)
}

fn encoded(parts: Vec<PartOutcome>) -> Vec<u8> {
    UploadBegin { parts, ..UploadBegin::default() }.encode_to_vec()
}

pub(super) fn one(connection: &Connection, id: Uuid) -> Result<Option<Collection>> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
    Ok(statement.query_row([id.to_string()], read).optional()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Collection> {
    let state: String = row.get(3)?;
    let tables: String = row.get(6)?;
    let parts = UploadBegin::decode(row.get_ref(14)?.as_blob()?).map_err(|_error| rusqlite::Error::InvalidQuery)?;
    let evidence: Option<String> = row.get(15)?;
    let probes: String = row.get(16)?;
    Ok(Collection {
        id: uuid(&row.get::<_, String>(0)?)?,
        ticket: row.get::<_, i64>(1)?.cast_unsigned(),
        device: uuid(&row.get::<_, String>(2)?)?,
        state: CollectionState::from_name(&state).ok_or(rusqlite::Error::InvalidQuery)?,
        note: row.get(4)?,
        recipe: row.get(5)?,
        tables: tables.split_whitespace().map(str::to_owned).collect(),
        probes: probes.lines().map(str::to_owned).collect(),
        from_ms: row.get(7)?,
        to_ms: row.get(8)?,
        asked_ms: row.get(9)?,
        expires_ms: row.get(10)?,
        ended_ms: row.get(11)?,
        asked_by: row.get(12)?,
        attempts: row.get(13)?,
        parts: parts.parts,
        evidence: evidence.as_deref().map(uuid).transpose()?,
        planned_ms: row.get(17)?,
        why: row.get(18)?,
    })
}
