//! What the server has yet to keep: streamed readings in ascending order, also out of blocks.

use std::collections::VecDeque;

use deskside_proto::v1::Numbered;
use prost::Message;
use rusqlite::{Connection, OptionalExtension, params};

use super::content;
use super::{Record, RecordError};

impl Record {
    pub(super) fn try_after(&mut self, seq: u64, bytes_max: usize) -> Result<Vec<Numbered>, RecordError> {
        let mut found = Vec::new();
        if seq >= self.file.last_seq {
            return Ok(found);
        }
        let db = &self.file.db;
        let mut lanes = Vec::new();
        for latest in self.file.tables.values() {
            lanes.extend(Lane::begin(db, latest.id, seq)?);
        }
        let (mut bytes, mut before) = (0, seq);
        while let Some(place) = (0..lanes.len()).min_by_key(|place| lanes.get(*place).map(|lane: &Lane| lane.next_seq))
        {
            let Some(lane) = lanes.get_mut(place) else { break };
            let reading = lane.take(db)?;
            if lane.ended {
                lanes.swap_remove(place);
            }
            // A hurt number must not send the reader round in a circle.
            if reading.seq <= before || reading.seq > self.file.last_seq {
                return Err(RecordError::Damaged(format!("number {} after {before}", reading.seq)));
            }
            before = reading.seq;
            bytes += reading.encoded_len();
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push(reading);
        }
        Ok(found)
    }

    /// Streamed readings that the server has not kept.
    pub(super) fn queued(&self) -> Result<u64, RecordError> {
        let mut runs = self.file.db.prepare_cached(
            "SELECT min(seq), min(last_seq), sum(readings), sum(readings) FILTER (WHERE seq <= ?2) FROM runs
             WHERE table_id = ?1 AND stream AND last_seq > ?2",
        )?;
        let mut queued = 0;
        for latest in self.file.tables.values() {
            let found = runs.query_row(params![latest.id, self.file.kept_seq.cast_signed()], |row| {
                let number = |place| row.get::<_, Option<i64>>(place).map(|n| n.unwrap_or_default().cast_unsigned());
                Ok((number(0)?, number(1)?, number(2)?, number(3)?))
            });
            let (seq, last_seq, readings, in_first) = found?;
            queued += readings;
            if in_first > 0 {
                queued = queued - in_first + self.unkept(seq, last_seq, in_first)?;
            }
        }
        Ok(queued)
    }

    /// How many of a run's readings the server has not kept. Only a block that it has kept in part is opened.
    pub(super) fn unkept(&self, seq: u64, last_seq: u64, readings: u64) -> Result<u64, RecordError> {
        let kept_seq = self.file.kept_seq;
        if seq > kept_seq || last_seq <= kept_seq {
            return Ok(if seq > kept_seq { readings } else { 0 });
        }
        let opened = open_run(&self.file.db, seq)?;
        Ok(opened.iter().filter(|reading| reading.seq > kept_seq).count() as u64)
    }
}

fn open_run(db: &Connection, seq: u64) -> Result<Vec<Numbered>, RecordError> {
    let mut content = db.prepare_cached("SELECT form, content FROM runs WHERE seq = ?1")?;
    let (form, bytes): (i64, Vec<u8>) =
        content.query_row(params![seq.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    content::open(seq, form, &bytes, &mut content::unfolder()?)
}

/// One table's streamed readings after a number. Why lanes: blocks of different tables overlap in number, those of one table do not, so the
/// smallest of the lanes' next numbers is the next of all, and no more than one run a table is open at once.
struct Lane {
    table_id: i64,
    next_seq: u64,
    /// Readings of the run that was opened last.
    opened: VecDeque<Numbered>,
    /// The last number of the run that was opened or stands next.
    last_seq: u64,
    ended: bool,
}

impl Lane {
    fn begin(db: &Connection, table_id: i64, after: u64) -> Result<Option<Self>, RecordError> {
        let mut lane = Self { table_id, next_seq: 0, opened: VecDeque::new(), last_seq: after, ended: false };
        lane.step(db)?;
        if !lane.ended && lane.next_seq <= after {
            lane.open(db)?;
            while lane.opened.front().is_some_and(|reading| reading.seq <= after) {
                lane.opened.pop_front();
            }
            let front = lane.opened.front();
            lane.next_seq = front.ok_or_else(|| RecordError::Damaged("a block ends before its number".into()))?.seq;
        }
        Ok((!lane.ended).then_some(lane))
    }

    /// The reading that stands next; the lane moves on.
    fn take(&mut self, db: &Connection) -> Result<Numbered, RecordError> {
        if self.opened.is_empty() {
            self.open(db)?;
        }
        let reading = self.opened.pop_front().ok_or_else(|| RecordError::Damaged("an empty block".into()))?;
        match self.opened.front() {
            Some(next) => self.next_seq = next.seq,
            None => self.step(db)?,
        }
        Ok(reading)
    }

    /// On to the next run, without opening it.
    fn step(&mut self, db: &Connection) -> Result<(), RecordError> {
        let mut next = db.prepare_cached(
            "SELECT seq, last_seq FROM runs WHERE table_id = ?1 AND stream AND last_seq > ?2 ORDER BY last_seq LIMIT 1",
        )?;
        let found = next.query_row(params![self.table_id, self.last_seq.cast_signed()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        });
        match found.optional()? {
            Some((seq, last_seq)) => (self.next_seq, self.last_seq) = (seq.cast_unsigned(), last_seq.cast_unsigned()),
            None => self.ended = true,
        }
        Ok(())
    }

    fn open(&mut self, db: &Connection) -> Result<(), RecordError> {
        self.opened = open_run(db, self.next_seq)?.into();
        Ok(())
    }
}
