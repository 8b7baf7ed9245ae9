//! Devices in SQLite.

use std::collections::BTreeMap;

use anyhow::Result;
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{Db, device_no, tokens, uuid};
use crate::store::{Device, Devices, Enrolment, Greeting, NewDevice, TokenRefusal};

/// Shortest beginning of an id that is looked for.
const PREFIX_CHARS_MIN: usize = 4;

const SELECT: &str = "SELECT id, name, machine, os, agent_version, boot_id, enrolled_ms, seen_ms, revoked_ms IS NOT NULL, \
     clock_offset_ms, lost FROM device";

#[async_trait]
impl Devices for Db {
    async fn enrol(
        &self,
        secret_sha256: [u8; 32],
        device: NewDevice,
        now_ms: i64,
    ) -> Result<Result<Enrolment, TokenRefusal>> {
        self.write(move |tx| {
            if let Some(refusal) = tokens::refusal(tx, secret_sha256, now_ms)? {
                return Ok(Err(refusal));
            }
            tx.execute("UPDATE token SET used = used + 1 WHERE secret_sha256 = ?1", [secret_sha256])?;
            let before: Option<String> = tx
                .query_row(
                    "SELECT id FROM device WHERE machine = ?1 AND machine <> '' ORDER BY no DESC LIMIT 1",
                    [&device.machine],
                    |row| row.get(0),
                )
                .optional()?;
            let id = Uuid::new_v4();
            tx.execute(
                "INSERT INTO device (id, name, machine, agent_version, enrolled_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![id.to_string(), device.name, device.machine, device.agent_version, now_ms],
            )?;
            Ok(Ok(Enrolment { id, before: before.map(|text| uuid(&text)).transpose()? }))
        })
        .await
    }

    async fn device(&self, id: Uuid) -> Result<Option<Device>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
            Ok(statement.query_row([id.to_string()], read).optional()?)
        })
        .await
    }

    async fn devices(&self) -> Result<Vec<Device>> {
        self.read(|connection| select(connection, "ORDER BY name COLLATE NOCASE, no", "")).await
    }

    async fn find_devices(&self, text: &str) -> Result<Vec<Device>> {
        let text = text.trim().to_lowercase();
        self.read(move |connection| {
            let mut found = select(connection, "WHERE id = ?1 OR name = ?1 COLLATE NOCASE ORDER BY no", &text)?;
            if found.iter().any(|device| !device.revoked) {
                found.retain(|device| !device.revoked);
            }
            let is_prefix = text.len() >= PREFIX_CHARS_MIN && !text.contains(['%', '_']);
            if found.is_empty() && is_prefix {
                found = select(connection, "WHERE id LIKE ?1 || '%' ORDER BY no", &text)?;
            }
            Ok(found)
        })
        .await
    }

    async fn greet(&self, id: Uuid, greeting: Greeting, now_ms: i64) -> Result<u64> {
        self.write(move |tx| {
            let no = device_no(tx, id)?;
            let schemas: BTreeMap<String, u64> = greeting.schemas.into_iter().collect();
            tx.execute(
                "UPDATE device SET name = ?2, os = ?3, agent_version = ?4, boot_id = ?5, clock_offset_ms = ?6, \
                 schemas = ?7, seen_ms = max(seen_ms, ?8) WHERE no = ?1",
                params![
                    no,
                    greeting.name,
                    greeting.os,
                    greeting.agent_version,
                    greeting.boot_id,
                    greeting.clock_offset_ms,
                    serde_json::to_string(&schemas)?,
                    now_ms
                ],
            )?;
            kept(tx, no, greeting.epoch)
        })
        .await
    }

    async fn seen(&self, id: Uuid, now_ms: i64) -> Result<()> {
        self.write(move |tx| {
            tx.execute("UPDATE device SET seen_ms = max(seen_ms, ?2) WHERE id = ?1", params![id.to_string(), now_ms])?;
            Ok(())
        })
        .await
    }

    async fn revoke_device(&self, id: Uuid, now_ms: i64) -> Result<bool> {
        self.write(move |tx| {
            let changed = tx.execute(
                "UPDATE device SET revoked_ms = ?2, revoked_no = (SELECT coalesce(max(revoked_no), 0) + 1 FROM device) \
                 WHERE id = ?1 AND revoked_ms IS NULL",
                params![id.to_string(), now_ms],
            )?;
            Ok(changed > 0)
        })
        .await
    }

    async fn revocations(&self, after: i64) -> Result<(Vec<Uuid>, i64)> {
        self.read(move |connection| {
            let mut statement = connection
                .prepare_cached("SELECT id, revoked_no FROM device WHERE revoked_no > ?1 ORDER BY revoked_no")?;
            let mut rows = statement.query([after])?;
            let (mut ids, mut mark) = (Vec::new(), after);
            while let Some(row) = rows.next()? {
                ids.push(uuid(&row.get::<_, String>(0)?)?);
                mark = row.get(1)?;
            }
            Ok((ids, mark))
        })
        .await
    }
}

/// The highest number that is kept of an epoch; 0 for none.
pub(super) fn kept(connection: &Connection, device_no: i64, epoch: u64) -> Result<u64> {
    let mut statement = connection.prepare_cached("SELECT kept FROM stream WHERE device = ?1 AND epoch = ?2")?;
    let kept: Option<i64> =
        statement.query_row(params![device_no, epoch.cast_signed()], |row| row.get(0)).optional()?;
    Ok(kept.unwrap_or_default().cast_unsigned())
}

fn select(connection: &Connection, rest: &str, text: &str) -> Result<Vec<Device>> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} {rest}"))?;
    let rows = if rest.contains("?1") { statement.query_map([text], read)? } else { statement.query_map([], read)? };
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Device> {
    Ok(Device {
        id: uuid(&row.get::<_, String>(0)?)?,
        name: row.get(1)?,
        machine: row.get(2)?,
        os: row.get(3)?,
        agent_version: row.get(4)?,
        boot_id: row.get(5)?,
        enrolled_ms: row.get(6)?,
        seen_ms: row.get(7)?,
        revoked: row.get(8)?,
        clock_offset_ms: row.get(9)?,
        lost: row.get::<_, i64>(10)?.cast_unsigned(),
    })
}
