//! Keeping the bounds: samples fold into blocks, and the oldest goes first, what the server has kept before what it has not.

use std::collections::{BTreeMap, BTreeSet};

use deskside_proto::v1::{Kind, Loss, Numbered};
use rusqlite::{Transaction, params};

use super::append::write_meta;
use super::{Entry, Record, RecordError, content, loss};

/// Longest time that one block spans.
pub(super) const BLOCK_SPAN_MS: i64 = 3_600_000;

const BLOCK_READINGS_MAX: usize = 60;

/// Largest block before compression, beyond its first reading.
const BLOCK_BYTES_MAX: usize = 64 * 1024;

/// A sample that the server has not kept yet stays loose for this long, so that it is sent without opening a block.
const SETTLED_MS: i64 = 10 * 60_000;

/// Runs looked at in one step of dropping.
const STEP_RUNS: i64 = 256;

/// Once over the bound, this share of it is made free, so that dropping is rare.
const SPARE: u64 = 10;

/// How often the passing of time is written down.
const MARK_MS: i64 = 3_600_000;

/// How often the whole file is looked through.
const EXAMINE_MS: i64 = 24 * 3_600_000;

/// Most time that may pass between two looks at the clock. Why: the age of readings is counted in time lived through, not in dates, so that a
/// clock that jumps by years ages the record by a week at most. A machine that was off for longer keeps its past a little longer.
const STEP_MS_MAX: i64 = 7 * 24 * 3_600_000;

/// A run that is to go.
struct Doomed {
    seq: u64,
    last_seq: u64,
    table_id: i64,
    at_ms: i64,
    last_ms: i64,
    readings: u64,
    stream: bool,
    bytes: u64,
}

/// What went before the server kept it, by table.
type Losses = BTreeMap<i64, Loss>;

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

    pub(super) fn is_over(&self) -> Result<bool, RecordError> {
        Ok(self.used()? > self.bounds.bytes_max)
    }

    /// Bytes that a count of pages makes.
    pub(super) fn pages(&self, count: &str) -> Result<u64, RecordError> {
        let number = |name: &str| {
            let mut asked = self.file.db.prepare_cached(&format!("PRAGMA {name}"))?;
            asked.query_row([], |row| row.get::<_, i64>(0))
        };
        Ok((number(count)? * number("page_size")?).cast_unsigned())
    }

    /// Drops the oldest until there is some room again.
    pub(super) fn bound(&mut self, now_ms: i64) -> Result<(), RecordError> {
        let target = self.bounds.bytes_max - self.bounds.bytes_max / SPARE;
        let protected = self.in_force();
        let mut losses = Losses::new();
        for kept in [true, false] {
            let mut from = 0;
            loop {
                let over = self.used()?.saturating_sub(target);
                let (mut doomed, next) = self.oldest(from, u64::MAX, kept)?;
                let Some(next) = next.filter(|_next| over > 0) else { break };
                doomed.retain(|run| !protected.contains(&run.seq));
                let mut bytes = 0;
                let enough = doomed.iter().take_while(|run| {
                    let wanted = bytes < over;
                    bytes += run.bytes;
                    wanted
                });
                let enough = enough.count();
                from = if enough < doomed.len() { doomed.get(enough).map_or(next, |run| run.seq - 1) } else { next };
                doomed.truncate(enough);
                self.forget(&doomed, &mut losses)?;
            }
        }
        self.tell_losses(now_ms, losses, "the record was full")
    }

    fn used(&self) -> Result<u64, RecordError> {
        Ok(self.pages("page_count")?.saturating_sub(self.pages("freelist_count")?))
    }

    /// Drops what is older than the bound, but of a state table what was in force then.
    fn drop_aged(&mut self, now_ms: i64) -> Result<(), RecordError> {
        let floor = "SELECT max(seq) FROM ages WHERE lived_ms <= ?1";
        let born_ms = self.file.lived_ms.saturating_sub(self.bounds.age_max_ms);
        let floor: Option<i64> = self.file.db.query_row(floor, params![born_ms], |row| row.get(0))?;
        let Some(floor) = floor else { return Ok(()) };
        let mut protected = self.in_force();
        let mut newest = self.file.db.prepare("SELECT max(seq) FROM runs WHERE table_id = ?1 AND seq <= ?2")?;
        for (name, latest) in self.file.tables.iter().filter(|(name, _latest)| self.kind(name) == Kind::State) {
            let seq: Option<i64> = newest.query_row(params![latest.id, floor], |row| row.get(0))?;
            tracing::trace!(table = name, seq, "in force at the bound of age");
            protected.extend(seq.map(i64::cast_unsigned));
        }
        drop(newest);
        let mut losses = Losses::new();
        for kept in [true, false] {
            let mut from = 0;
            while let (mut doomed, Some(next)) = self.oldest(from, floor.cast_unsigned(), kept)? {
                doomed.retain(|run| !protected.contains(&run.seq));
                self.forget(&doomed, &mut losses)?;
                from = next;
            }
        }
        self.file.db.execute("DELETE FROM ages WHERE seq < ?1", params![floor])?;
        self.tell_losses(now_ms, losses, "the record's bound of age was reached")
    }

    /// The latest readings of state tables: they say how the machine is, however long ago they were stored.
    fn in_force(&self) -> BTreeSet<u64> {
        let tables = self.file.tables.iter().filter(|(name, _latest)| self.kind(name) == Kind::State);
        tables.map(|(_name, latest)| latest.seq).collect()
    }

    /// Some of the oldest runs after a number and up to another, kept (or never meant for the server) or not; and where to go on.
    fn oldest(&self, from: u64, to: u64, kept: bool) -> Result<(Vec<Doomed>, Option<u64>), RecordError> {
        let mut oldest = self.file.db.prepare_cached(
            "SELECT seq, last_seq, table_id, at_ms, last_ms, readings, stream, length(content) FROM runs
             WHERE seq > ?1 AND last_seq <= ?2 AND seq <= ?2 AND (NOT stream OR last_seq <= ?3) = ?4 ORDER BY seq LIMIT ?5",
        )?;
        let to = i64::try_from(to).unwrap_or(i64::MAX);
        let rows = oldest.query_map(
            params![from.cast_signed(), to, self.file.kept_seq.cast_signed(), kept, STEP_RUNS],
            |row| {
                Ok(Doomed {
                    seq: row.get::<_, i64>(0)?.cast_unsigned(),
                    last_seq: row.get::<_, i64>(1)?.cast_unsigned(),
                    table_id: row.get(2)?,
                    at_ms: row.get(3)?,
                    last_ms: row.get(4)?,
                    readings: row.get::<_, i64>(5)?.cast_unsigned(),
                    stream: row.get(6)?,
                    bytes: row.get::<_, i64>(7)?.cast_unsigned(),
                })
            },
        )?;
        let found: Vec<Doomed> = rows.collect::<Result<_, _>>()?;
        match found.last().map(|run| run.seq) {
            Some(next) if next <= from => Err(RecordError::Damaged(format!("number {next} after {from}"))),
            next => Ok((found, next)),
        }
    }

    fn forget(&mut self, doomed: &[Doomed], losses: &mut Losses) -> Result<(), RecordError> {
        if doomed.is_empty() {
            return Ok(());
        }
        let (mut readings, mut lost) = (0, 0);
        let begun = self.file.db.unchecked_transaction()?;
        for run in doomed {
            let unkept = if run.stream { self.unkept(run.seq, run.last_seq, run.readings)? } else { 0 };
            delete(&begun, run.seq)?;
            readings += run.readings;
            if unkept > 0 {
                lost += unkept;
                let told = losses.entry(run.table_id).or_default();
                told.readings += unkept;
                told.from_ms = Some(told.from_ms.unwrap_or(run.at_ms).min(run.at_ms));
                told.to_ms = Some(told.to_ms.unwrap_or(run.last_ms).max(run.last_ms));
            }
        }
        write_meta(&begun, "last", self.file.last_seq)?;
        write_meta(&begun, "dropped", self.file.dropped + lost)?;
        begun.commit()?;
        self.file.readings = self.file.readings.saturating_sub(readings);
        self.file.dropped += lost;
        Ok(())
    }

    fn tell_losses(&mut self, now_ms: i64, losses: Losses, reason: &str) -> Result<(), RecordError> {
        if losses.is_empty() {
            return Ok(());
        }
        let name =
            |id| self.file.tables.iter().find(|(_name, latest)| latest.id == id).map(|(name, _latest)| name.clone());
        let entries = losses.into_iter().map(|(id, lost)| {
            let (table, reason) = (name(id).unwrap_or_default(), reason.to_owned());
            tracing::warn!(table, readings = lost.readings, reason, "readings dropped before the server kept them");
            loss(now_ms, &Loss { table, reason, ..lost })
        });
        let entries: Vec<Entry> = entries.collect();
        self.try_append(now_ms, &entries).map(|_appended| ())
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
fn delete(begun: &Transaction<'_>, seq: u64) -> Result<(), RecordError> {
    match begun.prepare_cached("DELETE FROM runs WHERE seq = ?1")?.execute(params![seq.cast_signed()])? {
        1 => Ok(()),
        _ => Err(RecordError::Damaged(format!("number {seq} is listed but not there"))),
    }
}

fn at(numbered: &Numbered) -> i64 {
    numbered.reading.as_ref().map_or(0, |reading| reading.at_ms)
}
