//! What is done every few minutes: samples fold into blocks, old ones are thinned, time is marked, pages are given back, and the file is
//! looked through now and then.

use deskside_proto::v1::{Kind, Numbered};
use rusqlite::{Transaction, params};

use super::append::write_meta;
use super::{Record, RecordError, content};

/// Longest time that one block spans.
pub(super) const BLOCK_SPAN_MS: i64 = 3_600_000;

const BLOCK_READINGS_MAX: usize = 60;

/// Largest block before compression, beyond its first reading.
const BLOCK_BYTES_MAX: usize = 64 * 1024;

/// A sample that the server has not kept yet stays loose for this long, so that it is sent without opening a block.
const SETTLED_MS: i64 = 10 * 60_000;

/// How often the passing of time is written down.
const MARK_MS: i64 = 3_600_000;

/// How often the whole file is looked through.
const EXAMINE_MS: i64 = 24 * 3_600_000;

/// Most time that may pass between two looks at the clock. Why: the age of readings is counted in time lived through, not in dates, so that a
/// clock that jumps by years ages the record by a week at most. A machine that was off for longer keeps its past a little longer.
const STEP_MS_MAX: i64 = 7 * 24 * 3_600_000;

impl Record {
    /// Time passes.
    pub(super) fn live(&mut self, now_ms: i64) {
        let passed = now_ms.saturating_sub(self.file.seen_ms).clamp(0, STEP_MS_MAX);
        self.file.lived_ms = self.file.lived_ms.saturating_add(passed);
        self.file.seen_ms = now_ms;
    }

    pub(super) fn try_tidy(&mut self, now_ms: i64) -> Result<(), RecordError> {
        let tables = self.file.tables.iter().filter(|(name, _latest)| self.kind(name) == Kind::Sample);
        let samples: Vec<(i64, u64)> = tables.map(|(_name, latest)| (latest.id, latest.seq)).collect();
        for (table_id, latest_seq) in samples {
            while self.fold(table_id, latest_seq, now_ms)? {}
        }
        if self.mark()? {
            self.drop_aged(now_ms)?;
        }
        self.thin()?;
        if self.is_over()? {
            self.bound(now_ms)?;
        }
        self.shrink()?;
        self.examine()
    }

    /// Now and then the whole file is looked through, so that damage to what nobody reads is found before it is needed.
    fn examine(&mut self) -> Result<(), RecordError> {
        if self.file.lived_ms - self.file.examined_ms < EXAMINE_MS {
            return Ok(());
        }
        let verdict: String = self.file.db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(RecordError::Damaged(verdict));
        }
        self.file.examined_ms = self.file.lived_ms;
        Ok(())
    }

    /// Writes down, now and then, how much time had been lived through at which number.
    fn mark(&mut self) -> Result<bool, RecordError> {
        if self.file.marked_ms.is_some_and(|marked| self.file.lived_ms - marked < MARK_MS) {
            return Ok(false);
        }
        let begun = self.file.db.unchecked_transaction()?;
        let mark = params![self.file.last_seq.cast_signed(), self.file.lived_ms];
        begun.execute("INSERT OR IGNORE INTO ages VALUES (?1, ?2)", mark)?;
        write_meta(&begun, "lived", self.file.lived_ms.cast_unsigned())?;
        write_meta(&begun, "seen", self.file.seen_ms.cast_unsigned())?;
        begun.commit()?;
        self.file.marked_ms = Some(self.file.lived_ms);
        Ok(true)
    }

    /// Gives pages back where the file is larger than its bound, as after the bound was lowered.
    fn shrink(&self) -> Result<(), RecordError> {
        let over = self.pages("page_count")?.saturating_sub(self.bounds.bytes_max);
        if over > 0 && self.pages("freelist_count")? > 0 {
            let mut vacuum = self.file.db.prepare("PRAGMA incremental_vacuum")?;
            let mut pages = vacuum.query([])?;
            while pages.next()?.is_some() {}
            self.file.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_row| Ok(()))?;
        }
        Ok(())
    }

    /// Folds the oldest loose samples of a table into one block, if they are ripe.
    fn fold(&mut self, table_id: i64, latest_seq: u64, now_ms: i64) -> Result<bool, RecordError> {
        let (block, stream, closed) = self.ripe(table_id, latest_seq, now_ms)?;
        let (Some(first), Some(last)) = (block.first(), block.last()) else { return Ok(false) };
        let (seq, last_seq, at_ms, last_ms) = (first.seq, last.seq, at(first), at(last));
        if !closed && (now_ms - at_ms).abs() < BLOCK_SPAN_MS {
            return Ok(false);
        }
        let readings = block.len() as i64;
        let begun = self.file.db.unchecked_transaction()?;
        for reading in &block {
            delete(&begun, reading.seq)?;
        }
        let content = content::seal_block(block)?;
        let mut insert = begun.prepare_cached("INSERT INTO runs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9)")?;
        let form = content::BLOCK;
        let (seq, last_seq) = (seq.cast_signed(), last_seq.cast_signed());
        insert.execute(params![seq, last_seq, table_id, at_ms, last_ms, readings, stream, form, content])?;
        drop(insert);
        begun.commit()?;
        Ok(true)
    }

    /// Loose samples that go into one block: settled, all streamed or none, in ascending time, within the block's bounds. The latest stays
    /// loose. `closed` says that no more can join them.
    fn ripe(&self, table_id: i64, latest_seq: u64, now_ms: i64) -> Result<(Vec<Numbered>, bool, bool), RecordError> {
        let mut loose = self.file.db.prepare_cached(
            "SELECT seq, at_ms, stream, form, content FROM runs WHERE table_id = ?1 AND loose AND seq < ?2 ORDER BY seq",
        )?;
        let mut rows = loose.query(params![table_id, latest_seq.cast_signed()])?;
        let mut unfolder = content::unfolder()?;
        let (mut block, mut streamed, mut bytes): (Vec<Numbered>, bool, usize) = (Vec::new(), false, 0);
        while let Some(row) = rows.next()? {
            let (seq, at_ms, stream): (i64, i64, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let seq = seq.cast_unsigned();
            if stream && seq > self.file.kept_seq && (now_ms - at_ms).abs() < SETTLED_MS {
                return Ok((block, streamed, false));
            }
            let opened = content::open(seq, row.get(3)?, &row.get::<_, Vec<u8>>(4)?, &mut unfolder)?;
            bytes += opened.iter().map(prost::Message::encoded_len).sum::<usize>();
            if let (Some(first), Some(last)) = (block.first(), block.last()) {
                let joins = stream == streamed && at_ms >= at(last) && at_ms - at(first) <= BLOCK_SPAN_MS;
                if !joins || bytes > BLOCK_BYTES_MAX || block.len() >= BLOCK_READINGS_MAX {
                    return Ok((block, streamed, true));
                }
            }
            streamed = stream;
            block.extend(opened);
        }
        Ok((block, streamed, false))
    }
}

/// Takes a run out. One that is not there was never found but through a damaged index.
pub(super) fn delete(begun: &Transaction<'_>, seq: u64) -> Result<(), RecordError> {
    match begun.prepare_cached("DELETE FROM runs WHERE seq = ?1")?.execute(params![seq.cast_signed()])? {
        1 => Ok(()),
        _ => Err(RecordError::Damaged(format!("number {seq} is listed but not there"))),
    }
}

fn at(numbered: &Numbered) -> i64 {
    numbered.reading.as_ref().map_or(0, |reading| reading.at_ms)
}
