//! Readings of the past and the latest of all devices, a bounded page at a time.

use std::ops::ControlFlow;

use anyhow::Result;
use deskside_proto::v1::Reading;
use prost::Message;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::merge::Merge;
use super::{device_no, readings, uuid};
use crate::store::{Cursor, Latest, Order, Page, Window};

/// Bytes of one page, beyond its first reading.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A page as it fills.
struct Filling<T> {
    page: Page<T>,
    limit: usize,
    bytes: usize,
}

impl<T> Filling<T> {
    fn new(limit: u32) -> Self {
        Self { page: Page { found: Vec::new(), next: None }, limit: limit.max(1) as usize, bytes: 0 }
    }

    /// Takes one in; breaks where the page is full.
    fn push(&mut self, device: Uuid, place: Cursor, bytes: usize, found: T) -> ControlFlow<()> {
        self.page.found.push((device, found));
        self.bytes += bytes;
        if self.page.found.len() < self.limit && self.bytes < PAGE_BYTES_MAX {
            return ControlFlow::Continue(());
        }
        self.page.next = Some(place);
        ControlFlow::Break(())
    }
}

pub(super) fn window(
    connection: &Connection,
    window: &Window,
    after: Option<Cursor>,
    limit: u32,
) -> Result<Page<Reading>> {
    // Why one transaction: readings may be folded between two looks at the file.
    let moment = connection.unchecked_transaction()?;
    let mut filling = Filling::new(limit);
    let Some(table) = table_no(&moment, &window.table)? else { return Ok(filling.page) };
    for (no, id) in devices(&moment, window.device, after)? {
        let after = after.filter(|cursor| cursor.device == no);
        let mut merge = Merge::begin(&moment, (no, table), (window.from_ms, window.to_ms), window.order, after)?;
        while let Some((place, reading)) = merge.next()? {
            if filling.push(id, place, reading.encoded_len(), reading).is_break() {
                return Ok(filling.page);
            }
        }
    }
    Ok(filling.page)
}

/// Of more than `limit`, the newest; oldest first.
pub(super) fn history(
    connection: &Connection,
    device: Uuid,
    table: &str,
    span: (i64, i64),
    limit: u32,
) -> Result<Vec<Reading>> {
    let moment = connection.unchecked_transaction()?;
    let no = device_no(&moment, device)?;
    let Some(table) = table_no(&moment, table)? else { return Ok(Vec::new()) };
    let mut merge = Merge::begin(&moment, (no, table), span, Order::NewestFirst, None)?;
    let mut readings = Vec::new();
    while readings.len() < limit as usize
        && let Some((_place, reading)) = merge.next()?
    {
        readings.push(reading);
    }
    readings.reverse();
    Ok(readings)
}

pub(super) fn latest_all(
    connection: &Connection,
    table: &str,
    after: Option<Cursor>,
    limit: u32,
) -> Result<Page<Latest>> {
    let mut filling = Filling::new(limit);
    let mut statement = connection.prepare_cached(
        "SELECT device, id, reading, checked_ms FROM latest JOIN device ON device.no = latest.device \
         WHERE table_no = (SELECT no FROM table_name WHERE name = ?1) AND device > ?2 ORDER BY device",
    )?;
    let mut rows = statement.query(params![table, after.map_or(-1, |cursor| cursor.device)])?;
    while let Some(row) = rows.next()? {
        let bytes: Vec<u8> = row.get(2)?;
        let (size, place) = (bytes.len(), Cursor { device: row.get(0)?, at_ms: 0, epoch: 0, seq: 0 });
        let latest = readings::opened((bytes, row.get(3)?))?;
        if filling.push(uuid(row.get_ref(1)?.as_str()?)?, place, size, latest).is_break() {
            break;
        }
    }
    Ok(filling.page)
}

pub(super) fn held_since(connection: &Connection, device: Uuid, table: &str) -> Result<Option<i64>> {
    let Some(table) = table_no(connection, table)? else { return Ok(None) };
    let mut statement = connection.prepare_cached(
        "SELECT min(at_ms) FROM (SELECT min(at_ms) AS at_ms FROM loose WHERE device = ?1 AND table_no = ?2 \
         UNION ALL SELECT min(at_ms) FROM block WHERE device = ?1 AND table_no = ?2)",
    )?;
    Ok(statement.query_row(params![device_no(connection, device)?, table], |row| row.get(0))?)
}

fn table_no(connection: &Connection, table: &str) -> Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT no FROM table_name WHERE name = ?1")?;
    Ok(statement.query_row([table], |row| row.get(0)).optional()?)
}

/// The devices that a window is about, from where the last page ended.
fn devices(connection: &Connection, one: Option<Uuid>, after: Option<Cursor>) -> Result<Vec<(i64, Uuid)>> {
    if let Some(id) = one {
        return Ok(vec![(device_no(connection, id)?, id)]);
    }
    let mut statement = connection.prepare_cached("SELECT no, id FROM device WHERE no >= ?1 ORDER BY no")?;
    let rows = statement.query_map([after.map_or(0, |cursor| cursor.device)], |row| {
        Ok((row.get(0)?, uuid(row.get_ref(1)?.as_str()?)?))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
