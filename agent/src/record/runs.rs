//! A table's readings within a window, pulled run by run from either end: nothing outside the window is opened, and no more is in memory than
//! what was pulled last and a page of what comes next, still compressed.

use std::collections::VecDeque;

use deskside_proto::v1::Reading;
use rusqlite::params;

use super::reader::Reader;
use super::tidy::BLOCK_SPAN_MS;
use super::{RecordError, content};

/// Runs fetched at first. Why few: who asks for the newest alone reads no more; each page has twice as many as the one before.
const PAGE_RUNS_MIN: usize = 4;

const PAGE_RUNS_MAX: usize = 64;

/// Bytes of a page, as they lie in the file, beyond its first run.
const PAGE_BYTES_MAX: usize = 256 * 1024;

/// Which end of a window comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// In the order of time.
    OldestFirst,
    /// Against it.
    NewestFirst,
}

/// A place in a table's runs. It belongs to the [`Reader`] that made it, and holds nothing of it.
#[derive(Debug)]
pub struct Runs {
    table_id: Option<i64>,
    from_ms: i64,
    to_ms: i64,
    order: Order,
    /// Runs of the next page.
    limit: usize,
    /// Begin and number of the run that was fetched last.
    after: (i64, i64),
    fetched: VecDeque<Run>,
    ended: bool,
}

/// A run as it lies in the file.
#[derive(Debug)]
struct Run {
    seq: i64,
    form: i64,
    content: Vec<u8>,
}

impl Reader {
    /// Readings of a table whose look began within a window, both ends included. From here on, and until it is dropped, this reader sees the
    /// record as it is now: a run that is folded or dropped meanwhile is neither missed nor seen twice. Do not keep it for longer than a
    /// question takes, since the file's log cannot be cut back meanwhile.
    pub fn runs(&self, table: &str, from_ms: i64, to_ms: i64, order: Order) -> Result<Runs, RecordError> {
        self.hold()?;
        let after = match order {
            Order::OldestFirst => (i64::MIN, i64::MIN),
            Order::NewestFirst => (i64::MAX, i64::MAX),
        };
        let table_id = self.table_id(table)?;
        let ended = table_id.is_none() || from_ms > to_ms;
        let limit = PAGE_RUNS_MIN;
        Ok(Runs { table_id, from_ms, to_ms, order, limit, after, fetched: VecDeque::new(), ended })
    }
}

impl Runs {
    /// The readings of the next run that has any within the window, in the order asked for; nothing after the last. Runs come in the order
    /// of their first reading's time; only where the device's clock was set back do readings of two runs lie across each other.
    /// Rows are slices of the run's bytes, not copies.
    pub fn next(&mut self, reader: &Reader) -> Result<Option<Vec<Reading>>, RecordError> {
        loop {
            if self.fetched.is_empty() && !self.ended {
                self.fetch(reader)?;
            }
            let Some(run) = self.fetched.pop_front() else { return Ok(None) };
            let opened = content::open(run.seq.cast_unsigned(), run.form, &run.content, &mut reader.unfolder())?;
            let readings = opened.into_iter().filter_map(|numbered| numbered.reading);
            let mut readings: Vec<Reading> =
                readings.filter(|reading| (self.from_ms..=self.to_ms).contains(&reading.at_ms)).collect();
            if self.order == Order::NewestFirst {
                readings.reverse();
            }
            if !readings.is_empty() {
                return Ok(Some(readings));
            }
        }
    }

    fn fetch(&mut self, reader: &Reader) -> Result<(), RecordError> {
        let sql = match self.order {
            Order::OldestFirst => {
                "SELECT seq, at_ms, form, content FROM runs WHERE table_id = ?1 AND at_ms BETWEEN max(?2, ?5) AND ?3
                 AND last_ms >= ?4 AND (at_ms, seq) > (?5, ?6) ORDER BY at_ms, seq LIMIT ?7"
            }
            Order::NewestFirst => {
                "SELECT seq, at_ms, form, content FROM runs WHERE table_id = ?1 AND at_ms BETWEEN ?2 AND min(?3, ?5)
                 AND last_ms >= ?4 AND (at_ms, seq) < (?5, ?6) ORDER BY at_ms DESC, seq DESC LIMIT ?7"
            }
        };
        let mut page = reader.db.prepare_cached(sql)?;
        // A block is found by its first reading, which may lie before the window.
        let begin_ms = self.from_ms.saturating_sub(BLOCK_SPAN_MS);
        let limit = self.limit as i64;
        let (after_ms, after_seq) = self.after;
        let mut rows =
            page.query(params![self.table_id, begin_ms, self.to_ms, self.from_ms, after_ms, after_seq, limit])?;
        let mut bytes = 0;
        while bytes < PAGE_BYTES_MAX {
            let Some(row) = rows.next()? else { break };
            let run = Run { seq: row.get(0)?, form: row.get(2)?, content: row.get(3)? };
            self.after = (row.get(1)?, run.seq);
            bytes += run.content.len();
            self.fetched.push_back(run);
        }
        self.ended = bytes < PAGE_BYTES_MAX && self.fetched.len() < self.limit;
        self.limit = (self.limit * 2).min(PAGE_RUNS_MAX);
        Ok(())
    }
}
