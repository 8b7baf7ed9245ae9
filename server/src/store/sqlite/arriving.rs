//! Readings as they arrive: each once, loose, and the latest of each table ready.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use deskside_proto::v1::{Batch, Reading};
use prost::Message;
use rusqlite::{OptionalExtension, Transaction, params};
use uuid::Uuid;

use super::{content, device_no, devices};
use crate::store::Arrival;

/// A reading, ready to be laid down. Why apart from that: the one thread that writes should not encode and compress too.
pub(super) struct Sealed {
    seq: u64,
    lost: u64,
    content: Option<(i64, Vec<u8>, Reading)>,
}

/// Where readings are laid down.
struct Place {
    device: i64,
    epoch: u64,
    now_ms: i64,
}

pub(super) fn seal(readings: Vec<Arrival>) -> Result<Vec<Sealed>> {
    let sealed = readings.into_iter().map(|Arrival { seq, reading, lost }| {
        let content = reading.map(|reading| content::seal(&reading).map(|(form, bytes)| (form, bytes, reading)));
        Ok(Sealed { seq, lost, content: content.transpose()? })
    });
    sealed.collect()
}

pub(super) fn append(tx: &Transaction<'_>, device: Uuid, epoch: u64, sealed: &[Sealed], now_ms: i64) -> Result<u64> {
    let no = device_no(tx, device)?;
    let kept = devices::kept(tx, no, epoch)?;
    let fresh: Vec<&Sealed> = sealed.iter().filter(|sealed| sealed.seq > kept).collect();
    let Some(last) = fresh.last() else { return Ok(kept) };
    let latest = lay(tx, &Place { device: no, epoch, now_ms }, &fresh)?;
    let mut upsert = tx.prepare_cached(
        "INSERT INTO latest (device, table_no, checked_ms, reading) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (device, table_no) DO UPDATE SET checked_ms = excluded.checked_ms, reading = excluded.reading",
    )?;
    for (table, reading) in latest {
        upsert.execute(params![no, table, reading.at_ms, reading.encode_to_vec()])?;
    }
    tx.prepare_cached(
        "INSERT INTO stream (device, epoch, kept) VALUES (?1, ?2, ?3) \
         ON CONFLICT (device, epoch) DO UPDATE SET kept = excluded.kept",
    )?
    .execute(params![no, epoch.cast_signed(), last.seq.cast_signed()])?;
    let lost = fresh.iter().fold(0_u64, |sum, sealed| sum.saturating_add(sealed.lost));
    tx.prepare_cached("UPDATE device SET seen_ms = max(seen_ms, ?2), lost = lost + ?3 WHERE no = ?1")?
        .execute(params![no, now_ms, i64::try_from(lost).unwrap_or(i64::MAX >> 1)])?;
    Ok(last.seq)
}

/// Lays readings down loose. Answers the last of each table.
fn lay<'a>(tx: &Transaction<'_>, place: &Place, fresh: &[&'a Sealed]) -> Result<BTreeMap<i64, &'a Reading>> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO loose (device, table_no, at_ms, epoch, seq, stored_ms, form, content) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let (mut latest, mut grown): (BTreeMap<i64, &Reading>, BTreeMap<i64, i64>) = (BTreeMap::new(), BTreeMap::new());
    for sealed in fresh {
        let Some((form, bytes, reading)) = &sealed.content else { continue };
        let (table, epoch, seq) = (table_no(tx, &reading.table)?, place.epoch.cast_signed(), sealed.seq.cast_signed());
        insert.execute(params![place.device, table, reading.at_ms, epoch, seq, place.now_ms, form, bytes])?;
        latest.insert(table, reading);
        *grown.entry(table).or_default() += bytes.len() as i64;
    }
    let mut holding = tx.prepare_cached(
        "INSERT INTO holding (device, table_no, bytes, dropped, loose_ms) VALUES (?1, ?2, ?3, 0, ?4) \
         ON CONFLICT (device, table_no) DO UPDATE SET bytes = bytes + excluded.bytes, \
         loose_ms = coalesce(loose_ms, excluded.loose_ms)",
    )?;
    for (table, bytes) in grown {
        holding.execute(params![place.device, table, bytes, place.now_ms])?;
    }
    Ok(latest)
}

fn table_no(tx: &Transaction<'_>, table: &str) -> Result<i64> {
    let mut statement = tx.prepare_cached("SELECT no FROM table_name WHERE name = ?1")?;
    if let Some(no) = statement.query_row([table], |row| row.get(0)).optional()? {
        return Ok(no);
    }
    tx.execute("INSERT INTO table_name (name) VALUES (?1)", [table])?;
    Ok(tx.last_insert_rowid())
}

/// Moves the readings of a store of before over: there, they lay in batches as they came.
pub(super) fn move_batches(tx: &Transaction<'_>) -> Result<()> {
    let mut batches = tx.prepare("SELECT no, device, stored_ms, content FROM batch ORDER BY no")?;
    let mut listed = tx.prepare("SELECT nth FROM reading WHERE block = ?1 ORDER BY nth")?;
    let mut rows = batches.query([])?;
    while let Some(row) = rows.next()? {
        let content: Vec<u8> = row.get(3)?;
        let Batch { epoch, readings } = content::open_block(&content)?;
        let places = listed.query_map([row.get::<_, i64>(0)?], |row| row.get::<_, i64>(0))?;
        let places = places.collect::<rusqlite::Result<Vec<_>>>()?;
        let moved = places.into_iter().map(|nth| {
            let numbered = readings.get(usize::try_from(nth)?).context("a batch is shorter than its index")?;
            Ok(Arrival { seq: numbered.seq, reading: numbered.reading.clone(), lost: 0 })
        });
        let sealed = seal(moved.collect::<Result<_>>()?)?;
        let place = Place { device: row.get(1)?, epoch, now_ms: row.get(2)? };
        lay(tx, &place, &sealed.iter().collect::<Vec<_>>())?;
    }
    drop(rows);
    drop((batches, listed));
    tx.execute_batch("DROP TABLE reading; DROP TABLE batch;")?;
    Ok(())
}
