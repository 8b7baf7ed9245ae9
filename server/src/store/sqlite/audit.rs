//! The audit log in SQLite: each line carries the hash of the one before.

use anyhow::Result;
use async_trait::async_trait;
use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::Db;
use crate::store::{Audit, AuditLine};

/// What the first line follows.
const BEGINNING: &str = "";

const SELECT: &str = "SELECT number, at_ms, who, what, device, ticket, words, hash FROM audit";

#[async_trait]
impl Audit for Db {
    async fn add_audit(&self, line: AuditLine) -> Result<()> {
        self.write(move |tx| insert(tx, line)).await
    }

    async fn audit(&self, limit: u32) -> Result<Vec<AuditLine>> {
        self.read(move |connection| {
            let sql = format!("SELECT * FROM ({SELECT} ORDER BY number DESC LIMIT ?1) ORDER BY number");
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map([limit], read)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn audit_broken_at(&self) -> Result<Option<u64>> {
        self.read(|connection| {
            let mut statement = connection.prepare(&format!("{SELECT} ORDER BY number"))?;
            let (mut hash, mut expected) = (BEGINNING.to_owned(), 1);
            for line in statement.query_map([], read)? {
                let line = line?;
                if line.number != expected || chained(&hash, &line) != line.hash {
                    return Ok(Some(line.number));
                }
                (hash, expected) = (line.hash, expected + 1);
            }
            Ok(None)
        })
        .await
    }
}

/// Adds a line. Why here too: some lines belong into one transaction with what they tell of.
pub(super) fn insert(tx: &Transaction<'_>, line: AuditLine) -> Result<()> {
    let before = last(tx)?;
    let (number, hash) = before.map_or((0, BEGINNING.to_owned()), |line| (line.number, line.hash));
    let line = AuditLine { number: number + 1, ..line };
    tx.execute(
        "INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            line.number.cast_signed(),
            line.at_ms,
            line.who,
            line.what,
            line.device,
            line.ticket.cast_signed(),
            line.text,
            chained(&hash, &line)
        ],
    )?;
    Ok(())
}

fn last(connection: &Connection) -> Result<Option<AuditLine>> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} ORDER BY number DESC LIMIT 1"))?;
    Ok(statement.query_row([], read).optional()?)
}

/// Each field goes in with its length, so that nothing can be moved from one field to the next.
fn chained(before: &str, line: &AuditLine) -> String {
    let (number, at_ms, ticket) = (line.number.to_string(), line.at_ms.to_string(), line.ticket.to_string());
    let fields = [before, &number, &at_ms, &line.who, &line.what, &line.device, &ticket, &line.text];
    let mut hash = Context::new(&SHA256);
    for field in fields {
        hash.update(&(field.len() as u64).to_be_bytes());
        hash.update(field.as_bytes());
    }
    HEXLOWER.encode(hash.finish().as_ref())
}

fn read(row: &Row<'_>) -> rusqlite::Result<AuditLine> {
    Ok(AuditLine {
        number: row.get::<_, i64>(0)?.cast_unsigned(),
        at_ms: row.get(1)?,
        who: row.get(2)?,
        what: row.get(3)?,
        device: row.get(4)?,
        ticket: row.get::<_, i64>(5)?.cast_unsigned(),
        text: row.get(6)?,
        hash: row.get(7)?,
    })
}
