//! Folding: what lay loose for an hour goes into the open block of its device and table, until that one is full or spans a day.
//!
//! Why prepared apart from writing: opening and compressing would hold up those who append. Only one task folds and lets go, so that what was
//! read is still so when it is written; were it not, the write is taken back as a whole.

use anyhow::{Result, ensure};
use deskside_proto::v1::{Batch, Numbered};
use prost::Message;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{content, retain};

/// Longest time that one block spans, by the device's clock.
const SPAN_MS: i64 = 24 * 3_600_000;

/// Largest block before compression, beyond its first reading. Why: this much is opened to read one of them.
const BLOCK_BYTES_MAX: usize = 64 * 1024;

/// Most readings of a block.
const BLOCK_READINGS_MAX: usize = 2_000;

/// Tables of devices folded in one transaction. Why: those who append wait meanwhile.
const FOLDS_MAX: i64 = 64;

/// Readings folded in one transaction, about.
const READINGS_MAX: usize = 1_000;

/// One table of one device, ready to be written.
pub(super) struct Fold {
    device: i64,
    table: i64,
    /// Loose readings that are in the blocks now: time, epoch, number.
    gone: Vec<(i64, i64, i64)>,
    /// What they and the block that was open took.
    bytes: i64,
    blocks: Vec<Block>,
}

/// A block as it is to be.
struct Block {
    /// Its number, where it is the one that was open.
    no: Option<i64>,
    at_ms: i64,
    last_ms: i64,
    stored_ms: i64,
    batch: Batch,
    /// Before compression.
    bytes: usize,
    content: Vec<u8>,
}

/// A loose reading.
struct Loose {
    at_ms: i64,
    epoch: u64,
    stored_ms: i64,
    numbered: Numbered,
}

impl Block {
    fn takes(&self, loose: &Loose, bytes: usize) -> bool {
        let span = self.last_ms.max(loose.at_ms).saturating_sub(self.at_ms.min(loose.at_ms));
        self.batch.epoch == loose.epoch
            && span <= SPAN_MS
            && self.bytes + bytes <= BLOCK_BYTES_MAX
            && self.batch.readings.len() < BLOCK_READINGS_MAX
    }

    fn take(&mut self, loose: Loose, bytes: usize) {
        self.at_ms = self.at_ms.min(loose.at_ms);
        self.last_ms = self.last_ms.max(loose.at_ms);
        self.stored_ms = self.stored_ms.max(loose.stored_ms);
        self.batch.readings.push(loose.numbered);
        self.bytes += bytes;
    }

    fn begin(loose: Loose, bytes: usize) -> Self {
        let batch = Batch { epoch: loose.epoch, readings: vec![loose.numbered] };
        let (at_ms, stored_ms) = (loose.at_ms, loose.stored_ms);
        Self { no: None, at_ms, last_ms: at_ms, stored_ms, batch, bytes, content: Vec::new() }
    }
}

/// Some of what lay loose since before a time, oldest first.
pub(super) fn due(connection: &Connection, before_ms: i64) -> Result<Vec<Fold>> {
    let moment = connection.unchecked_transaction()?;
    let mut listed = moment
        .prepare_cached("SELECT device, table_no, open FROM holding WHERE loose_ms <= ?1 ORDER BY loose_ms LIMIT ?2")?;
    let mut rows = listed.query([before_ms, FOLDS_MAX])?;
    let (mut folds, mut readings) = (Vec::new(), 0);
    while readings < READINGS_MAX {
        let Some(row) = rows.next()? else { break };
        let fold = gather(&moment, row.get(0)?, row.get(1)?, row.get(2)?)?;
        readings += fold.gone.len();
        folds.push(fold);
    }
    Ok(folds)
}

/// Whether these are as many as one transaction takes, so that there are likely more.
pub(super) fn is_full(folds: &[Fold]) -> bool {
    folds.len() as i64 >= FOLDS_MAX || folds.iter().map(|fold| fold.gone.len()).sum::<usize>() >= READINGS_MAX
}

fn gather(connection: &Connection, device: i64, table: i64, open: Option<i64>) -> Result<Fold> {
    let mut fold = Fold { device, table, gone: Vec::new(), bytes: 0, blocks: Vec::new() };
    if let Some(no) = open {
        fold.blocks.extend(opened(connection, no)?.inspect(|block| fold.bytes += block.content.len() as i64));
    }
    let mut listed = connection.prepare_cached(
        "SELECT at_ms, epoch, seq, stored_ms, form, content FROM loose WHERE device = ?1 AND table_no = ?2 \
         ORDER BY at_ms, epoch, seq LIMIT ?3",
    )?;
    let mut rows = listed.query(params![device, table, READINGS_MAX as i64])?;
    while let Some(row) = rows.next()? {
        let (at_ms, epoch, seq): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let content: Vec<u8> = row.get(5)?;
        fold.gone.push((at_ms, epoch, seq));
        fold.bytes += content.len() as i64;
        let reading = Some(content::open(row.get(4)?, content)?);
        let numbered = Numbered { seq: seq.cast_unsigned(), reading };
        let bytes = numbered.encoded_len();
        let loose = Loose { at_ms, epoch: epoch.cast_unsigned(), stored_ms: row.get(3)?, numbered };
        match fold.blocks.last_mut().filter(|block| block.takes(&loose, bytes)) {
            Some(block) => block.take(loose, bytes),
            None => fold.blocks.push(Block::begin(loose, bytes)),
        }
    }
    for block in &mut fold.blocks {
        block.content = content::seal_block(&block.batch)?;
    }
    Ok(fold)
}

/// The block that further readings may join.
fn opened(connection: &Connection, no: i64) -> Result<Option<Block>> {
    let mut listed = connection.prepare_cached("SELECT at_ms, last_ms, stored_ms, content FROM block WHERE no = ?1")?;
    let found = listed.query_row([no], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, Vec<u8>>(3)?))
    });
    let Some((at_ms, last_ms, stored_ms, content)) = found.optional()? else { return Ok(None) };
    let batch = content::open_block(&content)?;
    let bytes = batch.encoded_len();
    Ok(Some(Block { no: Some(no), at_ms, last_ms, stored_ms, batch, bytes, content }))
}

/// Writes what was prepared.
pub(super) fn write(tx: &Transaction<'_>, folds: &[Fold]) -> Result<()> {
    let mut delete = tx.prepare_cached(
        "DELETE FROM loose WHERE device = ?1 AND table_no = ?2 AND at_ms = ?3 AND epoch = ?4 AND seq = ?5",
    )?;
    let mut holding = tx.prepare_cached(
        "UPDATE holding SET bytes = bytes + ?3, open = ?4, \
         loose_ms = (SELECT min(stored_ms) FROM loose WHERE loose.device = ?1 AND loose.table_no = ?2) \
         WHERE device = ?1 AND table_no = ?2",
    )?;
    for fold in folds {
        for (at_ms, epoch, seq) in &fold.gone {
            let gone = delete.execute(params![fold.device, fold.table, at_ms, epoch, seq])?;
            ensure!(gone == 1, "a loose reading was gone before it was folded");
        }
        let (mut bytes, mut open) = (-fold.bytes, None);
        for block in &fold.blocks {
            open = Some(write_block(tx, fold, block)?);
            bytes += block.content.len() as i64;
        }
        holding.execute(params![fold.device, fold.table, bytes, open])?;
        retain::mark_oldest(tx, fold.device, fold.table, true)?;
    }
    Ok(())
}

fn write_block(tx: &Transaction<'_>, fold: &Fold, block: &Block) -> Result<i64> {
    let (readings, size) = (block.batch.readings.len() as i64, block.content.len() as i64);
    if let Some(no) = block.no {
        let grown = tx
            .prepare_cached(
                "UPDATE block SET at_ms = ?2, last_ms = ?3, stored_ms = ?4, readings = ?5, size = ?6, content = ?7 \
                 WHERE no = ?1",
            )?
            .execute(params![no, block.at_ms, block.last_ms, block.stored_ms, readings, size, block.content])?;
        ensure!(grown == 1, "a block was gone before it was folded into");
        return Ok(no);
    }
    tx.prepare_cached(
        "INSERT INTO block (device, table_no, at_ms, last_ms, stored_ms, readings, size, content) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        fold.device,
        fold.table,
        block.at_ms,
        block.last_ms,
        block.stored_ms,
        readings,
        size,
        block.content
    ])?;
    Ok(tx.last_insert_rowid())
}
