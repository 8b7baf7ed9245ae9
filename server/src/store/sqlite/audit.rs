//! The custody log in SQLite: each entry carries the hash of the one before, and of the one before of its ticket.

use std::collections::BTreeMap;

use anyhow::Result;
use async_trait::async_trait;
use deskside_proto::seal::{Break, Head, Links, TicketHead};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::Db;
use crate::store::{Audit, AuditCheck, AuditFilter, AuditLine};

const SELECT: &str = "SELECT number, at_ms, who, role, peer, what, device, ticket, evidence, sha256, words, before, \
     ticket_before, hash FROM custody_log";

const WANTED: &str = "(?1 = '' OR who = ?1) AND (?2 = '' OR what = ?2) AND (?3 = 0 OR ticket = ?3) AND at_ms >= ?4 \
     AND number > ?5";

#[async_trait]
impl Audit for Db {
    async fn add_audit(&self, line: AuditLine) -> Result<()> {
        self.write(move |tx| insert(tx, line)).await
    }

    async fn audit(&self, limit: u32) -> Result<Vec<AuditLine>> {
        self.audit_of(AuditFilter::default(), limit, true).await
    }

    async fn audit_of(&self, wanted: AuditFilter, limit: u32, newest: bool) -> Result<Vec<AuditLine>> {
        self.read(move |connection| {
            let order = if newest && wanted.after == 0 { "DESC" } else { "ASC" };
            let sql =
                format!("SELECT * FROM ({SELECT} WHERE {WANTED} ORDER BY number {order} LIMIT ?6) ORDER BY number");
            let mut statement = connection.prepare_cached(&sql)?;
            let (ticket, after) = (wanted.ticket.cast_signed(), wanted.after.cast_signed());
            let asked = params![wanted.who, wanted.what, ticket, wanted.since_ms, after, limit];
            let rows = statement.query_map(asked, read)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn audit_end(&self, ticket: Option<u64>) -> Result<Head> {
        self.read(move |connection| {
            // Why one statement after the other in a transaction: both ends are of the same moment.
            let tx = connection.unchecked_transaction()?;
            let (number, hash) = last(&tx)?;
            let of_ticket = ticket.map(|ticket| {
                let count = "SELECT count(*) FROM custody_log WHERE ticket = ?1 AND ticket <> 0";
                let entries: i64 = tx.prepare_cached(count)?.query_row([ticket.cast_signed()], |row| row.get(0))?;
                let hash = last_of(&tx, ticket)?;
                anyhow::Ok(TicketHead { ticket, entries: entries.cast_unsigned(), hash })
            });
            Ok(Head { at_ms: 0, number, hash, ticket: of_ticket.transpose()? })
        })
        .await
    }

    async fn audit_check(&self, head: Option<Head>) -> Result<AuditCheck> {
        self.read(move |connection| check(connection, head.as_ref())).await
    }
}

/// Memory stays flat but for one hash a ticket.
fn check(connection: &Connection, head: Option<&Head>) -> Result<AuditCheck> {
    let mut statement = connection.prepare(&format!("{SELECT} ORDER BY number"))?;
    let (mut links, mut tickets) = (Links::of_log(), BTreeMap::<u64, String>::new());
    let mut broken = None;
    for line in statement.query_map([], read)? {
        let line = line?;
        let followed = links.follow(&line).and_then(|()| {
            if line.ticket == 0 {
                return Ok(());
            }
            let before = tickets.insert(line.ticket, line.hash.clone()).unwrap_or_default();
            if before == line.ticket_before { Ok(()) } else { Err(Break::Unlinked(line.number)) }
        });
        let named = head.filter(|head| head.number == line.number && head.hash != line.hash);
        broken = followed.err().or(named.map(|head| Break::Replaced(head.number)));
        if broken.is_some() {
            break;
        }
    }
    let entries = links.number();
    let cut = head.filter(|head| head.number > entries).map(|head| Break::Cut(entries, head.number));
    Ok(AuditCheck { entries, broken: broken.or(cut) })
}

/// Adds an entry. Why here too: most entries belong into one transaction with what they tell of.
pub(super) fn insert(tx: &Transaction<'_>, line: AuditLine) -> Result<()> {
    let (number, before) = last(tx)?;
    let ticket_before = if line.ticket == 0 { String::new() } else { last_of(tx, line.ticket)? };
    let mut line = AuditLine { number: number + 1, before, ticket_before, ..line };
    line.hash = line.hashed();
    let mut statement = tx.prepare_cached(
        "INSERT INTO custody_log VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    statement.execute(params![
        line.number.cast_signed(),
        line.at_ms,
        line.who,
        line.role,
        line.peer,
        line.what,
        line.device,
        line.ticket.cast_signed(),
        line.evidence,
        line.sha256,
        line.text,
        line.before,
        line.ticket_before,
        line.hash
    ])?;
    Ok(())
}

/// Moves the audit log of before over, and says what it was: its entries get new hashes, and the last of the old ones stays known.
pub(super) fn move_log(tx: &Transaction<'_>) -> Result<()> {
    let mut old_hash = String::new();
    let mut moved = 0_u64;
    {
        let mut statement =
            tx.prepare("SELECT at_ms, who, what, device, ticket, words, hash FROM audit ORDER BY number")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let line = AuditLine {
                at_ms: row.get(0)?,
                who: row.get(1)?,
                what: row.get(2)?,
                device: row.get(3)?,
                ticket: row.get::<_, i64>(4)?.cast_unsigned(),
                text: row.get(5)?,
                ..AuditLine::default()
            };
            old_hash = row.get(6)?;
            moved += 1;
            insert(tx, line)?;
        }
    }
    if moved > 0 {
        let text =
            format!("{moved} lines of the audit log became the beginning of this log; their last hash was {old_hash}");
        let at_ms = tx.query_row("SELECT max(at_ms) FROM custody_log", [], |row| row.get(0))?;
        let (who, what) = ("server".into(), "operate".into());
        insert(tx, AuditLine { at_ms, who, what, text, ..AuditLine::default() })?;
    }
    tx.execute_batch("DROP TABLE audit")?;
    Ok(())
}

/// Number and hash of the last entry; 0 and nothing where there is none.
fn last(connection: &Connection) -> Result<(u64, String)> {
    let mut statement =
        connection.prepare_cached("SELECT number, hash FROM custody_log ORDER BY number DESC LIMIT 1")?;
    let found = statement.query_row([], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?))).optional()?;
    Ok(found.unwrap_or_default())
}

fn last_of(connection: &Connection, ticket: u64) -> Result<String> {
    let sql = "SELECT hash FROM custody_log WHERE ticket = ?1 AND ticket <> 0 ORDER BY number DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([ticket.cast_signed()], |row| row.get(0)).optional()?.unwrap_or_default())
}

fn read(row: &Row<'_>) -> rusqlite::Result<AuditLine> {
    Ok(AuditLine {
        number: row.get::<_, i64>(0)?.cast_unsigned(),
        at_ms: row.get(1)?,
        who: row.get(2)?,
        role: row.get(3)?,
        peer: row.get(4)?,
        what: row.get(5)?,
        device: row.get(6)?,
        ticket: row.get::<_, i64>(7)?.cast_unsigned(),
        evidence: row.get(8)?,
        sha256: row.get(9)?,
        text: row.get(10)?,
        before: row.get(11)?,
        ticket_before: row.get(12)?,
        hash: row.get(13)?,
    })
}
