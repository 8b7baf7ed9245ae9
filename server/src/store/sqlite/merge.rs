//! One table of one device in the order of time, from either end: loose readings and those of blocks, blocks opened as their time comes.
//!
//! Why a merge: a clock that was set back makes blocks lie across each other, and a page must begin exactly where the one before ended,
//! whatever was folded in between. So a reading's place is its time and number, which folding does not change.

use std::collections::{BTreeMap, VecDeque};

use anyhow::Result;
use deskside_proto::v1::{Numbered, Reading};
use rusqlite::{Connection, params};

use super::content;
use crate::store::{Cursor, Order};

/// Loose readings fetched at first. Why few: who asks for one reads no more; each page has twice as many as the one before.
const LOOSE_MIN: usize = 4;

const LOOSE_MAX: usize = 64;

/// Bytes of loose readings fetched at a time, beyond the first.
const LOOSE_BYTES_MAX: usize = 256 * 1024;

/// A place, so turned that it ascends in the order asked for.
type Place = (i64, i64, i64);

/// What comes next.
pub(super) struct Merge<'a> {
    connection: &'a Connection,
    device: i64,
    table: i64,
    span: (i64, i64),
    order: Order,
    /// Readings up to here were given out.
    after: Option<Place>,
    /// Blocks that are not open yet: the place in time that each begins at, and its number.
    closed: VecDeque<(i64, i64)>,
    /// Readings of blocks that are.
    opened: BTreeMap<Place, Reading>,
    loose: VecDeque<(Place, Reading)>,
    /// Up to where loose readings were fetched, and whether that was all.
    fetched: Option<Place>,
    ended: bool,
    /// Loose readings to fetch next.
    limit: usize,
}

impl<'a> Merge<'a> {
    /// Begins within a span, both ends included, after a place. The connection is to be in a transaction.
    pub(super) fn begin(
        connection: &'a Connection,
        (device, table): (i64, i64),
        span: (i64, i64),
        order: Order,
        after: Option<Cursor>,
    ) -> Result<Self> {
        let after = after.map(|cursor| turned(order, (cursor.at_ms, cursor.epoch, cursor.seq)));
        let span = match (order, after) {
            (_, None) => span,
            (Order::OldestFirst, Some((at_ms, ..))) => (span.0.max(at_ms), span.1),
            (Order::NewestFirst, Some((at_ms, ..))) => (span.0, span.1.min(!at_ms)),
        };
        let mut listed = connection.prepare_cached(
            "SELECT at_ms, last_ms, no FROM block WHERE device = ?1 AND table_no = ?2 AND last_ms >= ?3 AND at_ms <= ?4",
        )?;
        let mut closed = Vec::new();
        let mut rows = listed.query(params![device, table, span.0, span.1])?;
        while let Some(row) = rows.next()? {
            let begin = if order == Order::OldestFirst { row.get(0)? } else { !row.get::<_, i64>(1)? };
            closed.push((begin, row.get(2)?));
        }
        closed.sort_unstable();
        let (closed, opened, loose) = (closed.into(), BTreeMap::new(), VecDeque::new());
        Ok(Self {
            connection,
            device,
            table,
            span,
            order,
            after,
            closed,
            opened,
            loose,
            fetched: after,
            ended: false,
            limit: LOOSE_MIN,
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<(Cursor, Reading)>> {
        if self.loose.is_empty() && !self.ended {
            self.fetch()?;
        }
        while let Some((begin, no)) = self.closed.front().copied()
            && self.first().is_none_or(|first| begin <= first.0)
        {
            self.closed.pop_front();
            self.open(no)?;
        }
        let from_block = match (self.opened.first_key_value(), self.loose.front()) {
            (Some((block, _reading)), Some((loose, _))) => block < loose,
            (block, _) => block.is_some(),
        };
        let found = if from_block { self.opened.pop_first() } else { self.loose.pop_front() };
        Ok(found.map(|(place, reading)| {
            let (at_ms, epoch, seq) = turned(self.order, place);
            (Cursor { device: self.device, at_ms, epoch, seq }, reading)
        }))
    }

    /// The first of what is at hand.
    fn first(&self) -> Option<Place> {
        let (block, loose) = (self.opened.first_key_value(), self.loose.front());
        block.map(|(place, _reading)| *place).into_iter().chain(loose.map(|(place, _reading)| *place)).min()
    }

    fn open(&mut self, no: i64) -> Result<()> {
        let mut content = self.connection.prepare_cached("SELECT content FROM block WHERE no = ?1")?;
        let batch = content.query_row([no], |row| Ok(content::open_block(row.get_ref(0)?.as_blob()?)))??;
        for Numbered { seq, reading } in batch.readings {
            let Some(reading) = reading.filter(|reading| (self.span.0..=self.span.1).contains(&reading.at_ms)) else {
                continue;
            };
            let place = turned(self.order, (reading.at_ms, batch.epoch.cast_signed(), seq.cast_signed()));
            if self.after.is_none_or(|after| place > after) {
                self.opened.insert(place, reading);
            }
        }
        Ok(())
    }

    fn fetch(&mut self) -> Result<()> {
        let sql = match self.order {
            Order::OldestFirst => {
                "SELECT at_ms, epoch, seq, form, content FROM loose WHERE device = ?1 AND table_no = ?2 \
                 AND at_ms BETWEEN ?3 AND ?4 AND (?5 IS NULL OR (at_ms, epoch, seq) > (?5, ?6, ?7)) \
                 ORDER BY at_ms, epoch, seq LIMIT ?8"
            }
            Order::NewestFirst => {
                "SELECT at_ms, epoch, seq, form, content FROM loose WHERE device = ?1 AND table_no = ?2 \
                 AND at_ms BETWEEN ?3 AND ?4 AND (?5 IS NULL OR (at_ms, epoch, seq) < (?5, ?6, ?7)) \
                 ORDER BY at_ms DESC, epoch DESC, seq DESC LIMIT ?8"
            }
        };
        let mut page = self.connection.prepare_cached(sql)?;
        let (from_ms, to_ms) = match (self.order, self.fetched) {
            (_, None) => self.span,
            (Order::OldestFirst, Some((at_ms, ..))) => (at_ms, self.span.1),
            (Order::NewestFirst, Some((at_ms, ..))) => (self.span.0, !at_ms),
        };
        let (at_ms, epoch, seq) = match self.fetched.map(|place| turned(self.order, place)) {
            Some((at_ms, epoch, seq)) => (Some(at_ms), Some(epoch), Some(seq)),
            None => (None, None, None),
        };
        let values = params![self.device, self.table, from_ms, to_ms, at_ms, epoch, seq, self.limit as i64];
        let (mut rows, mut bytes) = (page.query(values)?, 0);
        while bytes < LOOSE_BYTES_MAX {
            let Some(row) = rows.next()? else { break };
            let place = turned(self.order, (row.get(0)?, row.get(1)?, row.get(2)?));
            let content: Vec<u8> = row.get(4)?;
            bytes += content.len();
            self.loose.push_back((place, content::open(row.get(3)?, content)?));
        }
        self.ended = self.loose.len() < self.limit && bytes < LOOSE_BYTES_MAX;
        self.fetched = self.loose.back().map(|(place, _reading)| *place);
        self.limit = (self.limit * 2).min(LOOSE_MAX);
        Ok(())
    }
}

/// A place turned so that it ascends in an order, and back.
fn turned(order: Order, (at_ms, epoch, seq): Place) -> Place {
    match order {
        Order::OldestFirst => (at_ms, epoch, seq),
        Order::NewestFirst => (!at_ms, !epoch, !seq),
    }
}
