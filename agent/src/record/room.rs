//! Keeping the bounds of size and age: what goes, and that what goes before the server kept it is counted and told.

use std::collections::{BTreeMap, BTreeSet};

use deskside_proto::v1::{Kind, Loss};
use rusqlite::params;

use super::append::write_meta;
use super::shares::{Day, Held};
use super::tidy::delete;
use super::{Entry, Record, RecordError, loss};

const DAY_MS: i64 = 24 * 3_600_000;

/// Runs looked at in one step of dropping.
const STEP_RUNS: i64 = 256;

/// Once over the bound, this share of it is made free, so that dropping is rare.
const SPARE: u64 = 10;

/// What a run takes in the file besides its content, about.
const RUN_BYTES: u64 = 64;

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

    /// Drops until there is some room again: see [`super::shares`] for what goes.
    pub(super) fn bound(&mut self, now_ms: i64) -> Result<(), RecordError> {
        let target = self.bounds.bytes_max - self.bounds.bytes_max / SPARE;
        let protected = self.in_force();
        let days = self.days()?;
        let mut losses = Losses::new();
        loop {
            let over = self.used()?.saturating_sub(target);
            let mut held = self.weigh(&days, &protected)?;
            let (share, mut gone) = (held.share(over), 0);
            while gone < over
                && let Some(choice) = held.choose(share)
            {
                let wanted = choice.bytes.min(over - gone);
                let freed = self.drop_from(choice.from, wanted, &days, &protected, &mut losses)?;
                held.take(choice.from, freed);
                gone += freed;
            }
            if gone == 0 {
                break;
            }
        }
        self.tell_losses(now_ms, losses, "the record was full")
    }

    /// Where each day of the record's life begins: the last number before it, and the day. To the hour, since time is marked so often.
    fn days(&self) -> Result<Vec<(u64, i64)>, RecordError> {
        let mut marks =
            self.file.db.prepare("SELECT min(seq), lived_ms / ?1 FROM ages GROUP BY lived_ms / ?1 ORDER BY 1")?;
        let rows = marks.query_map(params![DAY_MS], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What may go, by table and day.
    fn weigh(&self, days: &[(u64, i64)], protected: &BTreeSet<u64>) -> Result<Held, RecordError> {
        let mut runs = self.file.db.prepare("SELECT seq, last_seq, table_id, stream, length(content) FROM runs")?;
        let (mut rows, mut held) = (runs.query([])?, Held::default());
        while let Some(row) = rows.next()? {
            let seq = row.get::<_, i64>(0)?.cast_unsigned();
            if !protected.contains(&seq) {
                let kept = !row.get::<_, bool>(3)? || row.get::<_, i64>(1)?.cast_unsigned() <= self.file.kept_seq;
                let day = Day { table_id: row.get(2)?, nth: day_of(days, seq), kept };
                held.add(day, row.get::<_, i64>(4)?.cast_unsigned() + RUN_BYTES);
            }
        }
        Ok(held)
    }

    /// Drops the oldest runs of a table's day; answers how many bytes they had.
    fn drop_from(
        &mut self,
        from: Day,
        bytes: u64,
        days: &[(u64, i64)],
        protected: &BTreeSet<u64>,
        losses: &mut Losses,
    ) -> Result<u64, RecordError> {
        let (mut after, to) = span(days, from.nth);
        let mut freed = 0;
        while freed < bytes {
            let (mut doomed, next) = self.oldest(after, to, Some(from.table_id), from.kept)?;
            let Some(next) = next else { break };
            after = next;
            doomed.retain(|run| !protected.contains(&run.seq));
            let enough = doomed.iter().take_while(|run| {
                let wanted = freed < bytes;
                freed += if wanted { run.bytes + RUN_BYTES } else { 0 };
                wanted
            });
            let enough = enough.count();
            doomed.truncate(enough);
            self.forget(&doomed, losses)?;
        }
        Ok(freed)
    }

    fn used(&self) -> Result<u64, RecordError> {
        Ok(self.pages("page_count")?.saturating_sub(self.pages("freelist_count")?))
    }

    /// Drops what is older than the bound, but of a state table what was in force then.
    pub(super) fn drop_aged(&mut self, now_ms: i64) -> Result<(), RecordError> {
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
            while let (mut doomed, Some(next)) = self.oldest(from, floor.cast_unsigned(), None, kept)? {
                doomed.retain(|run| run.last_seq <= floor.cast_unsigned() && !protected.contains(&run.seq));
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

    /// Some of the oldest runs after a number and up to another, of one table or of all, kept (or never meant for the server) or not; and
    /// where to go on.
    fn oldest(
        &self,
        from: u64,
        to: u64,
        table: Option<i64>,
        kept: bool,
    ) -> Result<(Vec<Doomed>, Option<u64>), RecordError> {
        let mut oldest = self.file.db.prepare_cached(
            "SELECT seq, last_seq, table_id, at_ms, last_ms, readings, stream, length(content) FROM runs
             WHERE seq > ?1 AND seq <= ?2 AND (NOT stream OR last_seq <= ?3) = ?4 AND (?6 IS NULL OR table_id = ?6)
             ORDER BY seq LIMIT ?5",
        )?;
        let to = i64::try_from(to).unwrap_or(i64::MAX);
        let rows = oldest.query_map(
            params![from.cast_signed(), to, self.file.kept_seq.cast_signed(), kept, STEP_RUNS, table],
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
}

/// The day in which a number was given. Why the latest of all at hand: numbers from before the first mark are of its day.
fn day_of(days: &[(u64, i64)], seq: u64) -> i64 {
    let before = days.partition_point(|(last_before, _day)| *last_before < seq);
    days.get(before.saturating_sub(1)).map_or(0, |(_last_before, day)| *day)
}

/// The numbers of a day: after the first and up to the second.
fn span(days: &[(u64, i64)], day: i64) -> (u64, u64) {
    let place = days.iter().position(|(_last_before, found)| *found == day).unwrap_or_default();
    let begin = days.get(place).filter(|_day| place > 0).map_or(0, |(last_before, _day)| *last_before);
    let end = days.get(place + 1).map_or(u64::MAX, |(last_before, _day)| *last_before);
    (begin, end)
}
