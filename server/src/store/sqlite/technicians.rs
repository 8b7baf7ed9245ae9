//! Technicians in SQLite.

use anyhow::Result;
use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::Db;
use crate::store::{
    Credential, NewCredential, NewSession, NewTechnician, Role, SessionRefusal, Technician, Technicians,
};

const SELECT: &str = "SELECT name, role, subject, added_ms, revoked, \
     (SELECT coalesce(max(used_ms), 0) FROM credential WHERE technician = name), \
     (SELECT coalesce(max(expires_ms), 0) FROM credential WHERE technician = name AND kind = 'token'), \
     (SELECT count(*) FROM credential WHERE technician = name AND kind = 'session') FROM technician";

/// Sessions of one technician; the oldest goes where there would be more.
const SESSIONS_MAX: u32 = 16;

#[async_trait]
impl Technicians for Db {
    async fn add_technician(&self, technician: NewTechnician, now_ms: i64) -> Result<()> {
        self.write(move |tx| {
            let NewTechnician { name, role, credential } = technician;
            tx.execute(
                "INSERT INTO technician (name, role, added_ms) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE SET \
                 role = excluded.role, added_ms = excluded.added_ms, subject = '', revoked = 0",
                params![name, role.to_string(), now_ms],
            )?;
            tx.execute("DELETE FROM credential WHERE technician = ?1", [&name])?;
            insert(tx, &name, "token", &credential, now_ms)
        })
        .await
    }

    async fn renew_token(&self, name: &str, credential: NewCredential, now_ms: i64) -> Result<bool> {
        let name = name.to_owned();
        self.write(move |tx| {
            let known = "SELECT 1 FROM technician WHERE name = ?1 AND revoked = 0";
            if tx.query_row(known, [&name], |_row| Ok(())).optional()?.is_none() {
                return Ok(false);
            }
            tx.execute("DELETE FROM credential WHERE technician = ?1 AND kind = 'token'", [&name])?;
            insert(tx, &name, "token", &credential, now_ms)?;
            Ok(true)
        })
        .await
    }

    async fn technicians(&self) -> Result<Vec<Technician>> {
        self.read(|connection| {
            let mut statement = connection.prepare(&format!("{SELECT} ORDER BY name"))?;
            let rows = statement.query_map([], read)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn revoke_technician(&self, name: &str) -> Result<bool> {
        let name = name.to_owned();
        self.write(move |tx| {
            tx.execute("DELETE FROM credential WHERE technician = ?1", [&name])?;
            Ok(tx.execute("UPDATE technician SET revoked = 1 WHERE name = ?1 AND revoked = 0", [name])? > 0)
        })
        .await
    }

    async fn credential(&self, id: &str) -> Result<Option<Credential>> {
        let id = id.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, technician, role, kind, hash, expires_ms, used_ms, renewal FROM credential \
                 JOIN technician ON name = technician WHERE id = ?1 AND revoked = 0",
            )?;
            let read = |row: &Row<'_>| {
                Ok(Credential {
                    id: row.get(0)?,
                    technician: row.get(1)?,
                    role: role(row, 2)?,
                    is_session: row.get::<_, String>(3)? == "session",
                    hash: row.get(4)?,
                    expires_ms: row.get(5)?,
                    used_ms: row.get(6)?,
                    renewal: row.get(7)?,
                })
            };
            Ok(statement.query_row([id], read).optional()?)
        })
        .await
    }

    async fn rehash(&self, id: &str, hash: &str) -> Result<()> {
        let (id, hash) = (id.to_owned(), hash.to_owned());
        self.write(move |tx| {
            tx.execute("UPDATE credential SET hash = ?2 WHERE id = ?1", [id, hash])?;
            Ok(())
        })
        .await
    }

    async fn used(&self, id: &str, now_ms: i64) -> Result<()> {
        let id = id.to_owned();
        self.write(move |tx| {
            tx.execute("UPDATE credential SET used_ms = ?2 WHERE id = ?1", params![id, now_ms])?;
            Ok(())
        })
        .await
    }

    async fn open_session(&self, session: NewSession, now_ms: i64) -> Result<Result<(), SessionRefusal>> {
        self.write(move |tx| {
            let NewSession { name, subject, role, credential, renewal } = session;
            let known = "SELECT name, revoked FROM technician WHERE subject = ?1";
            let known: Option<(String, bool)> =
                tx.query_row(known, [&subject], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            let name = match known {
                Some((_name, true)) => return Ok(Err(SessionRefusal::Revoked)),
                Some((name, false)) => name,
                None => {
                    let taken = "SELECT 1 FROM technician WHERE name = ?1";
                    if tx.query_row(taken, [&name], |_row| Ok(())).optional()?.is_some() {
                        return Ok(Err(SessionRefusal::NameTaken));
                    }
                    tx.execute(
                        "INSERT INTO technician (name, role, subject, added_ms) VALUES (?1, ?2, ?3, ?4)",
                        params![name, role.to_string(), subject, now_ms],
                    )?;
                    name
                }
            };
            tx.execute("UPDATE technician SET role = ?2 WHERE name = ?1", [&name, &role.to_string()])?;
            insert(tx, &name, "session", &credential, now_ms)?;
            tx.execute("UPDATE credential SET renewal = ?2 WHERE id = ?1", params![credential.id, renewal])?;
            tx.execute(
                "DELETE FROM credential WHERE id IN (SELECT id FROM credential WHERE technician = ?1 AND kind = 'session' \
                 ORDER BY made_ms DESC LIMIT -1 OFFSET ?2)",
                params![name, SESSIONS_MAX],
            )?;
            Ok(Ok(()))
        })
        .await
    }

    async fn renew_session(&self, id: &str, role: Role, renewal: Vec<u8>, expires_ms: i64) -> Result<()> {
        let id = id.to_owned();
        self.write(move |tx| {
            tx.execute(
                "UPDATE credential SET renewal = ?2, expires_ms = ?3 WHERE id = ?1",
                params![id, renewal, expires_ms],
            )?;
            tx.execute(
                "UPDATE technician SET role = ?2 WHERE name = (SELECT technician FROM credential WHERE id = ?1)",
                [id, role.to_string()],
            )?;
            Ok(())
        })
        .await
    }

    async fn end_credential(&self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.write(move |tx| {
            tx.execute("DELETE FROM credential WHERE id = ?1", [id])?;
            Ok(())
        })
        .await
    }
}

fn insert(tx: &Transaction<'_>, name: &str, kind: &str, credential: &NewCredential, now_ms: i64) -> Result<()> {
    tx.execute(
        "INSERT INTO credential (id, technician, kind, hash, made_ms, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![credential.id, name, kind, credential.hash, now_ms, credential.expires_ms],
    )?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Technician> {
    Ok(Technician {
        name: row.get(0)?,
        role: role(row, 1)?,
        subject: row.get(2)?,
        added_ms: row.get(3)?,
        revoked: row.get(4)?,
        used_ms: row.get(5)?,
        expires_ms: row.get(6)?,
        sessions: row.get(7)?,
    })
}

fn role(row: &Row<'_>, column: usize) -> rusqlite::Result<Role> {
    let role: String = row.get(column)?;
    role.parse().map_err(|error: anyhow::Error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
    })
}
