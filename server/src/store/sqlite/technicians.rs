//! Technicians in SQLite.

use anyhow::Result;
use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, params};

use super::Db;
use crate::store::{NewTechnician, Technician, Technicians};

#[async_trait]
impl Technicians for Db {
    async fn add_technician(&self, technician: NewTechnician, now_ms: i64) -> Result<()> {
        self.write(move |tx| {
            tx.execute(
                "INSERT INTO technician (name, role, secret_sha256, added_ms) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (name) DO UPDATE SET role = excluded.role, secret_sha256 = excluded.secret_sha256, \
                 added_ms = excluded.added_ms, revoked = 0",
                params![technician.name, technician.role.to_string(), technician.secret_sha256, now_ms],
            )?;
            Ok(())
        })
        .await
    }

    async fn technicians(&self) -> Result<Vec<Technician>> {
        self.read(|connection| {
            let mut statement =
                connection.prepare("SELECT name, role, added_ms, revoked FROM technician ORDER BY name")?;
            let rows = statement.query_map([], read)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn revoke_technician(&self, name: &str) -> Result<bool> {
        let name = name.to_owned();
        self.write(move |tx| {
            Ok(tx.execute("UPDATE technician SET revoked = 1 WHERE name = ?1 AND revoked = 0", [name])? > 0)
        })
        .await
    }

    async fn technician_by_secret(&self, secret_sha256: [u8; 32]) -> Result<Option<Technician>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT name, role, added_ms, revoked FROM technician WHERE secret_sha256 = ?1 AND revoked = 0",
            )?;
            Ok(statement.query_row([secret_sha256], read).optional()?)
        })
        .await
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Technician> {
    let role: String = row.get(1)?;
    let role = role.parse().map_err(|error: anyhow::Error| {
        rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, error.into())
    })?;
    Ok(Technician { name: row.get(0)?, role, added_ms: row.get(2)?, revoked: row.get(3)? })
}
