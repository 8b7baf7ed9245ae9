//! Readings in SQLite: what the store answers, out of the rooms beside this one.

use std::collections::BTreeMap;

use anyhow::Result;
use async_trait::async_trait;
use deskside_proto::{
    catalog,
    v1::{Reading, TableSchema},
};
use prost::{Message, bytes::Bytes};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{Db, arriving, device_no, retain, windows};
use crate::store::{Arrival, Cursor, Latest, Page, Readings, Retention, Window};

#[async_trait]
impl Readings for Db {
    async fn append(&self, device: Uuid, epoch: u64, readings: Vec<Arrival>, now_ms: i64) -> Result<u64> {
        let sealed = arriving::seal(readings)?;
        self.write(move |tx| arriving::append(tx, device, epoch, &sealed, now_ms)).await
    }

    async fn unchanged(&self, device: Uuid, tables: Vec<(String, i64)>, now_ms: i64) -> Result<()> {
        self.write(move |tx| {
            let no = device_no(tx, device)?;
            tx.execute("UPDATE device SET seen_ms = max(seen_ms, ?2) WHERE no = ?1", [no, now_ms])?;
            let mut statement = tx.prepare_cached(
                "UPDATE latest SET checked_ms = max(checked_ms, ?3) WHERE device = ?1 \
                 AND table_no = (SELECT no FROM table_name WHERE name = ?2)",
            )?;
            for (table, at_ms) in tables {
                statement.execute(params![no, table, at_ms])?;
            }
            Ok(())
        })
        .await
    }

    async fn latest(&self, device: Uuid) -> Result<Vec<Latest>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT reading, checked_ms FROM latest JOIN table_name ON table_name.no = table_no \
                 WHERE device = ?1 ORDER BY name",
            )?;
            let rows = statement.query_map([device_no(connection, device)?], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.map(|row| opened(row?)).collect()
        })
        .await
    }

    async fn latest_of(&self, device: Uuid, table: &str) -> Result<Option<Latest>> {
        let table = table.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT reading, checked_ms FROM latest WHERE device = ?1 \
                 AND table_no = (SELECT no FROM table_name WHERE name = ?2)",
            )?;
            let row = statement
                .query_row(params![device_no(connection, device)?, table], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            row.map(opened).transpose()
        })
        .await
    }

    async fn at(&self, device: Uuid, table: &str, at_ms: i64) -> Result<Option<Reading>> {
        let found = self.history(device, table, i64::MIN, at_ms, 1).await?;
        Ok(found.into_iter().next())
    }

    async fn history(&self, device: Uuid, table: &str, from_ms: i64, to_ms: i64, limit: u32) -> Result<Vec<Reading>> {
        let table = table.to_owned();
        self.read(move |connection| windows::history(connection, device, &table, (from_ms, to_ms), limit)).await
    }

    async fn window(&self, window: Window, after: Option<Cursor>, limit: u32) -> Result<Page<Reading>> {
        self.read(move |connection| windows::window(connection, &window, after, limit)).await
    }

    async fn latest_all(&self, table: &str, after: Option<Cursor>, limit: u32) -> Result<Page<Latest>> {
        let table = table.to_owned();
        self.read(move |connection| windows::latest_all(connection, &table, after, limit)).await
    }

    async fn held_since(&self, device: Uuid, table: &str) -> Result<Option<i64>> {
        let table = table.to_owned();
        self.read(move |connection| windows::held_since(connection, device, &table)).await
    }

    async fn add_schemas(&self, schemas: Vec<TableSchema>, now_ms: i64) -> Result<()> {
        self.write(move |tx| {
            let mut statement = tx.prepare_cached(
                "INSERT INTO table_schema (name, hash, added_ms, description) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (name, hash) DO NOTHING",
            )?;
            for schema in schemas {
                let hash = catalog::hash(&schema).cast_signed();
                statement.execute(params![schema.name, hash, now_ms, schema.encode_to_vec()])?;
            }
            Ok(())
        })
        .await
    }

    async fn schema(&self, device: Option<Uuid>, table: &str) -> Result<Option<TableSchema>> {
        let table = table.to_owned();
        self.read(move |connection| {
            let said = device.map(|device| schema_hash(connection, device, &table)).transpose()?.flatten();
            let mut statement = connection.prepare_cached(
                "SELECT description FROM table_schema WHERE name = ?1 ORDER BY hash IS ?2 DESC, no DESC LIMIT 1",
            )?;
            let bytes: Option<Vec<u8>> =
                statement.query_row(params![table, said.map(u64::cast_signed)], |row| row.get(0)).optional()?;
            Ok(bytes.map(|bytes| TableSchema::decode(bytes.as_slice())).transpose()?)
        })
        .await
    }

    async fn schemas(&self) -> Result<Vec<TableSchema>> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT description, max(no) FROM table_schema GROUP BY name ORDER BY name")?;
            let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
            rows.map(|bytes| Ok(TableSchema::decode(bytes?.as_slice())?)).collect()
        })
        .await
    }

    async fn schemas_missing(&self, schemas: Vec<(String, u64)>) -> Result<Vec<String>> {
        self.read(move |connection| {
            let mut statement =
                connection.prepare_cached("SELECT 1 FROM table_schema WHERE name = ?1 AND hash = ?2")?;
            let mut missing = Vec::new();
            for (name, hash) in schemas {
                if !statement.exists(params![name, hash.cast_signed()])? {
                    missing.push(name);
                }
            }
            Ok(missing)
        })
        .await
    }

    async fn retain(&self, retention: &Retention, now_ms: i64) -> Result<bool> {
        retain::step(self, retention, now_ms).await
    }
}

pub(super) fn opened((bytes, checked_ms): (Vec<u8>, i64)) -> Result<Latest> {
    Ok(Latest { reading: Reading::decode(Bytes::from(bytes))?, checked_ms })
}

fn schema_hash(connection: &Connection, device: Uuid, table: &str) -> Result<Option<u64>> {
    let mut statement = connection.prepare_cached("SELECT schemas FROM device WHERE id = ?1")?;
    let text: Option<String> = statement.query_row([device.to_string()], |row| row.get(0)).optional()?;
    let hashes: BTreeMap<String, u64> = text.map(|text| serde_json::from_str(&text)).transpose()?.unwrap_or_default();
    Ok(hashes.get(table).copied())
}
