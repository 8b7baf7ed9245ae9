//! Readings in SQLite: blocks of them, compressed as they came, and where each lies.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use async_trait::async_trait;
use deskside_proto::{
    catalog,
    v1::{Batch, Numbered, Reading, TableSchema},
};
use prost::{Message, bytes::Bytes};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use uuid::Uuid;

use super::{Db, device_no, devices, windows};
use crate::store::{Arrival, Cursor, Latest, Page, Readings, Retention, Window};

/// zstd's level: the quickest. Why: the gain of the next ones is small on what is small.
const ZSTD_LEVEL: i32 = 1;

/// Largest block that is opened; far above what a message may bring.
const BLOCK_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Blocks that one call of `retain` lets go of at most. Why: writers wait meanwhile.
const RETAIN_BLOCKS_MAX: u32 = 500;

#[async_trait]
impl Readings for Db {
    async fn append(&self, device: Uuid, epoch: u64, readings: Vec<Arrival>, now_ms: i64) -> Result<u64> {
        let lost: Vec<u64> = readings.iter().map(|arrival| arrival.lost).collect();
        let numbered =
            readings.into_iter().map(|arrival| Numbered { seq: arrival.seq, reading: arrival.reading }).collect();
        let batch = Batch { epoch, readings: numbered };
        let block = zstd::bulk::compress(&batch.encode_to_vec(), ZSTD_LEVEL).context("compressing readings")?;
        self.write(move |tx| append(tx, device, &batch, &lost, &block, now_ms)).await
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
        self.read(move |connection| history(connection, device, &table, (from_ms, to_ms), limit)).await
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

    async fn retain(&self, retention: Retention) -> Result<bool> {
        let held: i64 = self
            .read(|connection| {
                Ok(connection.query_row("SELECT coalesce(sum(size), 0) FROM block", [], |row| row.get(0))?)
            })
            .await?;
        let excess = held.cast_unsigned().saturating_sub(retention.bytes_max);
        self.write(move |tx| retain(tx, retention.before_ms, excess)).await
    }
}

fn append(tx: &Transaction<'_>, device: Uuid, batch: &Batch, lost: &[u64], block: &[u8], now_ms: i64) -> Result<u64> {
    let no = device_no(tx, device)?;
    let kept = devices::kept(tx, no, batch.epoch)?;
    let fresh: Vec<(usize, &Numbered)> =
        batch.readings.iter().enumerate().filter(|(_nth, numbered)| numbered.seq > kept).collect();
    let Some((_nth, last)) = fresh.last() else { return Ok(kept) };
    tx.prepare_cached("INSERT INTO block (device, stored_ms, size, content) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![no, now_ms, block.len() as i64, block])?;
    let block_no = tx.last_insert_rowid();
    let mut lately: BTreeMap<&str, &Reading> = BTreeMap::new();
    let mut lost_sum = 0_u64;
    for (nth, numbered) in &fresh {
        lost_sum = lost_sum.saturating_add(lost.get(*nth).copied().unwrap_or_default());
        let Some(reading) = &numbered.reading else { continue };
        tx.prepare_cached("INSERT INTO reading (device, table_no, at_ms, block, nth) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![no, table_no(tx, &reading.table)?, reading.at_ms, block_no, *nth as i64])?;
        lately.insert(&reading.table, reading);
    }
    for (table, reading) in lately {
        tx.prepare_cached(
            "INSERT INTO latest (device, table_no, checked_ms, reading) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (device, table_no) DO UPDATE SET checked_ms = excluded.checked_ms, reading = excluded.reading",
        )?
        .execute(params![no, table_no(tx, table)?, reading.at_ms, reading.encode_to_vec()])?;
    }
    tx.prepare_cached(
        "INSERT INTO stream (device, epoch, kept) VALUES (?1, ?2, ?3) \
         ON CONFLICT (device, epoch) DO UPDATE SET kept = excluded.kept",
    )?
    .execute(params![no, batch.epoch.cast_signed(), last.seq.cast_signed()])?;
    tx.prepare_cached("UPDATE device SET seen_ms = max(seen_ms, ?2), lost = lost + ?3 WHERE no = ?1")?
        .execute(params![no, now_ms, i64::try_from(lost_sum).unwrap_or(i64::MAX >> 1)])?;
    Ok(last.seq)
}

fn table_no(tx: &Transaction<'_>, table: &str) -> Result<i64> {
    let mut statement = tx.prepare_cached("SELECT no FROM table_name WHERE name = ?1")?;
    if let Some(no) = statement.query_row([table], |row| row.get(0)).optional()? {
        return Ok(no);
    }
    tx.execute("INSERT INTO table_name (name) VALUES (?1)", [table])?;
    Ok(tx.last_insert_rowid())
}

fn history(
    connection: &Connection,
    device: Uuid,
    table: &str,
    (from_ms, to_ms): (i64, i64),
    limit: u32,
) -> Result<Vec<Reading>> {
    let mut statement = connection.prepare_cached(
        "SELECT block, nth FROM reading WHERE device = ?1 AND table_no = (SELECT no FROM table_name WHERE name = ?2) \
         AND at_ms BETWEEN ?3 AND ?4 ORDER BY at_ms DESC, block DESC, nth DESC LIMIT ?5",
    )?;
    let places = statement
        .query_map(params![device_no(connection, device)?, table, from_ms, to_ms, limit], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut readings = Vec::with_capacity(places.len());
    let mut open: Option<(i64, Batch)> = None;
    for (block, nth) in places {
        let batch = match open.take() {
            Some((no, batch)) if no == block => batch,
            _ => unpacked(connection, block)?,
        };
        let numbered =
            batch.readings.get(usize::try_from(nth)?).context("a block of the store is shorter than its index")?;
        readings.extend(numbered.reading.clone());
        open = Some((block, batch));
    }
    readings.reverse();
    Ok(readings)
}

pub(super) fn unpacked(connection: &Connection, block: i64) -> Result<Batch> {
    let mut statement = connection.prepare_cached("SELECT content FROM block WHERE no = ?1")?;
    let content: Vec<u8> = statement.query_row([block], |row| row.get(0))?;
    let bytes = zstd::bulk::decompress(&content, BLOCK_BYTES_MAX).context("opening a block of the store")?;
    Ok(Batch::decode(Bytes::from(bytes))?)
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

fn retain(tx: &Transaction<'_>, before_ms: i64, excess: u64) -> Result<bool> {
    let oldest = tx
        .prepare_cached("SELECT no, stored_ms, size FROM block ORDER BY no LIMIT ?1")?
        .query_map([RETAIN_BLOCKS_MAX], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let (mut gone, mut freed) = (0, 0_u64);
    for (no, stored_ms, size) in oldest {
        if stored_ms >= before_ms && freed >= excess {
            return Ok(false);
        }
        tx.prepare_cached("DELETE FROM reading WHERE block = ?1")?.execute([no])?;
        tx.prepare_cached("DELETE FROM block WHERE no = ?1")?.execute([no])?;
        freed = freed.saturating_add(size.cast_unsigned());
        gone += 1;
    }
    Ok(gone == RETAIN_BLOCKS_MAX)
}
