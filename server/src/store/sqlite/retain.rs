//! Letting go of what is past its time or its room, a bounded piece at a time, and giving the room back to the disk.
//!
//! Why blocks as a whole: one goes once the reading in it that arrived last is past its time, so nothing goes early. Of a state table the last
//! block past its time stays: it says what was in force when what is held begins. Where there is too much, the one who has too much loses
//! its own oldest: a device beyond its bound, and within it a table beyond its share, which is the bound divided by the tables that the device
//! has; where all devices together are beyond theirs, a device beyond its share.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use deskside_proto::{
    catalog,
    v1::{Kind, TableSchema},
};
use prost::Message;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::{Db, fold};
use crate::store::Retention;

/// How long a reading lies loose.
const LOOSE_MS: i64 = 3_600_000;

/// Blocks let go of in one transaction, and their bytes. Why: those who append wait meanwhile.
const BLOCKS_MAX: usize = 128;
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Devices whose room is looked at in one step.
const DEVICES_MAX: i64 = 16;

/// Pages given back in one transaction.
const PAGES_MAX: i64 = 256;

/// Free pages that stay for what comes: one in so many of all, and so many.
const SPARE_SHARE: i64 = 10;
const SPARE_PAGES: i64 = 256;

/// A block that may go.
#[derive(Clone, Copy)]
struct Old {
    no: i64,
    device: i64,
    table: i64,
    bytes: u64,
    readings: i64,
}

/// What one step lets go of.
#[derive(Default)]
struct Doom {
    blocks: Vec<Old>,
    bytes: u64,
    /// Tables of devices that were looked at for their age.
    looked: BTreeSet<(i64, i64)>,
}

impl Doom {
    fn is_full(&self) -> bool {
        self.blocks.len() >= BLOCKS_MAX || self.looked.len() >= BLOCKS_MAX || self.bytes >= BYTES_MAX
    }

    fn add(&mut self, old: Old) {
        self.bytes += old.bytes;
        self.looked.insert((old.device, old.table));
        self.blocks.push(old);
    }
}

/// One piece of work; answers whether there may be more. Why it goes on to letting go after a piece of folding that was not full: where many
/// devices stream, something is always due to be folded.
pub(super) async fn step(db: &Db, retention: &Retention, now_ms: i64) -> Result<bool> {
    if folded(db, now_ms - LOOSE_MS).await? == Folded::Full {
        return Ok(true);
    }
    let bounds = retention.clone();
    let (doom, over) = db.read(move |connection| doomed(connection, &bounds, now_ms)).await?;
    if !doom.looked.is_empty() {
        db.write(move |tx| let_go(tx, &doom)).await?;
        return Ok(true);
    }
    // What lies loose cannot go; in blocks it can.
    if over && folded(db, i64::MAX).await? != Folded::Nothing {
        return Ok(true);
    }
    give_back(db).await
}

/// What a piece of folding came to.
#[derive(PartialEq, Eq)]
enum Folded {
    Nothing,
    Some,
    Full,
}

async fn folded(db: &Db, before_ms: i64) -> Result<Folded> {
    let folds = db.read(move |connection| fold::due(connection, before_ms)).await?;
    if folds.is_empty() {
        return Ok(Folded::Nothing);
    }
    let full = fold::is_full(&folds);
    db.write(move |tx| fold::write(tx, &folds)).await?;
    Ok(if full { Folded::Full } else { Folded::Some })
}

/// What is to go next, and whether all together are beyond their room.
fn doomed(connection: &Connection, retention: &Retention, now_ms: i64) -> Result<(Doom, bool)> {
    let moment = connection.unchecked_transaction()?;
    let mut doom = Doom::default();
    let tables = tables(&moment)?;
    for (no, name) in &tables {
        aged(&moment, (*no, name), now_ms.saturating_sub(retention.age_of(name)), &mut doom)?;
    }
    for (no, name) in &tables {
        if let Some(bytes_max) = retention.tables.get(name).and_then(|bounds| bounds.device_bytes_max) {
            large_tables(&moment, *no, bytes_max, &mut doom)?;
        }
    }
    if doom.looked.is_empty() {
        large_devices(&moment, retention.device_bytes_max, &mut doom)?;
    }
    let mut over = false;
    if doom.looked.is_empty() {
        over = beyond_all(&moment, retention.bytes_max, &mut doom)?;
    }
    Ok((doom, over))
}

fn tables(connection: &Connection) -> Result<Vec<(i64, String)>> {
    let mut listed = connection.prepare_cached("SELECT no, name FROM table_name ORDER BY no")?;
    let rows = listed.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn is_state(connection: &Connection, table: i64) -> Result<bool> {
    let mut named = connection.prepare_cached("SELECT name FROM table_name WHERE no = ?1")?;
    let name: String = named.query_row([table], |row| row.get(0))?;
    if let Some(schema) = catalog::table(&name) {
        return Ok(schema.kind() == Kind::State);
    }
    let mut brought =
        connection.prepare_cached("SELECT description FROM table_schema WHERE name = ?1 ORDER BY no DESC LIMIT 1")?;
    let bytes: Option<Vec<u8>> = brought.query_row([name], |row| row.get(0)).optional()?;
    let schema = bytes.map(|bytes| TableSchema::decode(bytes.as_slice())).transpose()?;
    Ok(schema.is_some_and(|schema| schema.kind() == Kind::State))
}

/// What of a table is past its time.
fn aged(connection: &Connection, (table, _name): (i64, &str), before_ms: i64, doom: &mut Doom) -> Result<()> {
    let mut due =
        connection.prepare_cached("SELECT device FROM holding WHERE table_no = ?1 AND oldest_ms < ?2 LIMIT ?3")?;
    let mut blocks = connection.prepare_cached(
        "SELECT no, device, table_no, size, readings FROM block \
         WHERE device = ?1 AND table_no = ?2 AND stored_ms < ?3 ORDER BY stored_ms, no LIMIT ?4",
    )?;
    let mut rows = due.query(params![table, before_ms, BLOCKS_MAX as i64])?;
    while let Some(row) = rows.next()?
        && !doom.is_full()
    {
        let device: i64 = row.get(0)?;
        // Why one more than there is room for: the last one found may have to stay.
        let found = blocks.query_map(params![device, table, before_ms, BLOCKS_MAX as i64 + 1], old)?;
        let mut found = found.collect::<rusqlite::Result<Vec<_>>>()?;
        if is_state(connection, table)? || found.len() > BLOCKS_MAX {
            found.pop();
        }
        doom.looked.insert((device, table));
        for old in found {
            doom.add(old);
        }
    }
    Ok(())
}

/// Devices that have more of one table than they may.
fn large_tables(connection: &Connection, table: i64, bytes_max: u64, doom: &mut Doom) -> Result<()> {
    let mut large = connection.prepare_cached(
        "SELECT device, bytes FROM holding WHERE table_no = ?1 AND bytes > ?2 ORDER BY bytes DESC LIMIT ?3",
    )?;
    let mut rows = large.query(params![table, sql(bytes_max), DEVICES_MAX])?;
    while let Some(row) = rows.next()?
        && !doom.is_full()
    {
        let (device, bytes): (i64, i64) = (row.get(0)?, row.get(1)?);
        let rooms = BTreeMap::from([(table, bytes.cast_unsigned().saturating_sub(bytes_max))]);
        oldest(connection, device, rooms, u64::MAX, doom)?;
    }
    Ok(())
}

/// Devices that have more than they may, each of its tables that are beyond their share.
fn large_devices(connection: &Connection, bytes_max: u64, doom: &mut Doom) -> Result<()> {
    let mut large = connection.prepare_cached(
        "SELECT device, sum(bytes), count(*) FROM holding GROUP BY device HAVING sum(bytes) > ?1 ORDER BY 2 DESC LIMIT ?2",
    )?;
    let mut listed =
        connection.prepare_cached("SELECT table_no, bytes FROM holding WHERE device = ?1 AND bytes > ?2")?;
    let mut rows = large.query(params![sql(bytes_max), DEVICES_MAX])?;
    while let Some(row) = rows.next()?
        && !doom.is_full()
    {
        let (device, bytes, tables): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let share = sql(bytes_max) / tables.max(1);
        let beyond = listed.query_map([device, share], |row| {
            Ok((row.get::<_, i64>(0)?, (row.get::<_, i64>(1)? - share).cast_unsigned()))
        })?;
        let rooms = beyond.collect::<rusqlite::Result<BTreeMap<_, _>>>()?;
        oldest(connection, device, rooms, bytes.cast_unsigned().saturating_sub(bytes_max), doom)?;
    }
    Ok(())
}

/// The oldest blocks of some tables of a device, so many bytes of each table and of all.
fn oldest(
    connection: &Connection,
    device: i64,
    mut rooms: BTreeMap<i64, u64>,
    mut over: u64,
    doom: &mut Doom,
) -> Result<()> {
    let mut listed = connection.prepare_cached(
        "SELECT no, device, table_no, size, readings, stored_ms FROM block WHERE device = ?1 AND table_no = ?2 \
         ORDER BY stored_ms, no LIMIT ?3",
    )?;
    let mut blocks = Vec::new();
    for table in rooms.keys() {
        let found = listed
            .query_map(params![device, table, BLOCKS_MAX as i64], |row| Ok((row.get::<_, i64>(5)?, old(row)?)))?;
        for found in found {
            blocks.push(found?);
        }
    }
    blocks.sort_by_key(|(stored_ms, old)| (*stored_ms, old.no));
    for (_stored_ms, old) in blocks {
        let Some(room) = rooms.get_mut(&old.table).filter(|room| **room > 0) else { continue };
        if over == 0 || doom.is_full() {
            break;
        }
        *room = room.saturating_sub(old.bytes);
        over = over.saturating_sub(old.bytes);
        doom.add(old);
    }
    Ok(())
}

/// The oldest blocks of devices beyond their share, where all together are beyond theirs.
fn beyond_all(connection: &Connection, bytes_max: u64, doom: &mut Doom) -> Result<bool> {
    let mut all = connection.prepare_cached("SELECT coalesce(sum(bytes), 0), count(DISTINCT device) FROM holding")?;
    let (bytes, devices): (i64, i64) = all.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut over = bytes.cast_unsigned().saturating_sub(bytes_max);
    if over == 0 {
        return Ok(false);
    }
    let mut listed = connection.prepare_cached(
        "SELECT no, device, table_no, size, readings FROM block WHERE device IN \
         (SELECT device FROM holding GROUP BY device HAVING sum(bytes) > ?1) ORDER BY no LIMIT ?2",
    )?;
    let share = sql(bytes_max) / devices.max(1);
    for found in listed.query_map(params![share, BLOCKS_MAX as i64], old)? {
        if over == 0 || doom.is_full() {
            break;
        }
        let old = found?;
        over = over.saturating_sub(old.bytes);
        doom.add(old);
    }
    Ok(true)
}

fn let_go(tx: &Transaction<'_>, doom: &Doom) -> Result<()> {
    let mut delete = tx.prepare_cached("DELETE FROM block WHERE no = ?1")?;
    let mut holding = tx.prepare_cached(
        "UPDATE holding SET bytes = bytes - ?3, dropped = dropped + ?4, open = nullif(open, ?5) \
         WHERE device = ?1 AND table_no = ?2",
    )?;
    for old in &doom.blocks {
        let gone = delete.execute([old.no])?;
        ensure!(gone == 1, "a block was gone before it was let go of");
        holding.execute(params![old.device, old.table, sql(old.bytes), old.readings, old.no])?;
    }
    for (device, table) in &doom.looked {
        mark_oldest(tx, *device, *table, false)?;
    }
    Ok(())
}

/// Writes down when the oldest block that may go by age was stored; where it is to be done only if nothing is written yet, no more.
pub(super) fn mark_oldest(tx: &Transaction<'_>, device: i64, table: i64, only_if_absent: bool) -> Result<()> {
    let mut marked = tx.prepare_cached("SELECT oldest_ms FROM holding WHERE device = ?1 AND table_no = ?2")?;
    let before: Option<i64> = marked.query_row([device, table], |row| row.get(0))?;
    if only_if_absent && before.is_some() {
        return Ok(());
    }
    tx.prepare_cached(
        "UPDATE holding SET oldest_ms = (SELECT stored_ms FROM block WHERE block.device = ?1 AND block.table_no = ?2 \
         ORDER BY stored_ms, no LIMIT 1 OFFSET ?3) WHERE device = ?1 AND table_no = ?2",
    )?
    .execute(params![device, table, i64::from(is_state(tx, table)?)])?;
    Ok(())
}

/// Gives free pages back to the disk, where there are many.
async fn give_back(db: &Db) -> Result<bool> {
    let many = db.read(|connection| {
        let pages = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let spare = (pages("page_count")? / SPARE_SHARE).max(SPARE_PAGES);
        // Why 2: only a file that was begun so can give pages back; another keeps them for what comes.
        Ok(pages("auto_vacuum")? == 2 && pages("freelist_count")? > spare)
    });
    if !many.await? {
        return Ok(false);
    }
    db.write(|tx| {
        let mut vacuum = tx.prepare(&format!("PRAGMA incremental_vacuum({PAGES_MAX})"))?;
        let mut pages = vacuum.query([])?;
        while pages.next()?.is_some() {}
        Ok(())
    })
    .await?;
    Ok(true)
}

fn old(row: &Row<'_>) -> rusqlite::Result<Old> {
    Ok(Old {
        no: row.get(0)?,
        device: row.get(1)?,
        table: row.get(2)?,
        bytes: row.get::<_, i64>(3)?.cast_unsigned(),
        readings: row.get(4)?,
    })
}

/// A number of bytes as SQLite holds it.
fn sql(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
