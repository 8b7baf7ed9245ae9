//! The read side: what was, and when.

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use deskside_proto::v1::{Kind, Reading};
use rusqlite::{Connection, OptionalExtension, Row, params};
use zstd::bulk::Decompressor;

use super::tidy::BLOCK_SPAN_MS;
use super::{RecordError, content, file};
use crate::collect::Registry;

/// The read side of a record.
pub struct Reader {
    pub(super) db: Connection,
    registry: Arc<Registry>,
    unfolder: RefCell<Decompressor<'static>>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Reader").field("db", &self.db).finish_non_exhaustive()
    }
}

impl Reader {
    /// Of the record in a folder, whether an agent writes to it or not.
    pub fn open(dir: &Path, registry: Arc<Registry>) -> Result<Self, RecordError> {
        Ok(Self { db: file::read_only(dir)?, registry, unfolder: RefCell::new(content::unfolder()?) })
    }

    /// The collectors and descriptions that the record was opened with.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The latest reading of a table.
    pub fn latest(&self, table: &str) -> Result<Option<Reading>, RecordError> {
        let mut latest = self.db.prepare_cached(
            "SELECT runs.seq, form, content FROM tables JOIN runs ON runs.seq = tables.seq WHERE name = ?1",
        )?;
        let found = latest.query_row(params![table], run).optional()?;
        found.map_or(Ok(None), |run| Ok(self.opened(&run)?.pop()))
    }

    /// The reading of a table in force at a time.
    pub fn at(&self, table: &str, at_ms: i64) -> Result<Option<Reading>, RecordError> {
        let Some(id) = self.table_id(table)? else { return Ok(None) };
        let mut before = self.db.prepare_cached(
            "SELECT seq, form, content FROM runs WHERE table_id = ?1 AND at_ms <= ?2 ORDER BY at_ms DESC, seq DESC LIMIT 1",
        )?;
        let found = before.query_row(params![id, at_ms], run).optional()?;
        let Some(run) = found else { return Ok(None) };
        Ok(self.opened(&run)?.into_iter().rev().find(|reading| reading.at_ms <= at_ms))
    }

    /// Readings of a table within a window, both ends included, in order; of a state table beginning with the one in force at its begin.
    pub fn history(
        &self,
        table: &str,
        from_ms: i64,
        to_ms: i64,
        each: &mut dyn FnMut(Reading),
    ) -> Result<(), RecordError> {
        let Some(id) = self.table_id(table)? else { return Ok(()) };
        let mut from_ms = from_ms;
        if self.registry.schema(table).is_some_and(|schema| schema.kind() == Kind::State)
            && let Some(in_force) = self.at(table, from_ms)?
        {
            each(in_force);
            from_ms = from_ms.saturating_add(1);
        }
        let mut window = self.db.prepare_cached(
            "SELECT seq, form, content FROM runs WHERE table_id = ?1 AND at_ms BETWEEN ?2 AND ?3 ORDER BY at_ms, seq",
        )?;
        let mut runs = window.query(params![id, from_ms.saturating_sub(BLOCK_SPAN_MS), to_ms])?;
        while let Some(row) = runs.next()? {
            self.opened(&run(row)?)?
                .into_iter()
                .filter(|reading| (from_ms..=to_ms).contains(&reading.at_ms))
                .for_each(&mut *each);
        }
        Ok(())
    }

    /// When a table was last looked at, as far as that is written down; absent where nothing of it is held.
    pub fn checked_ms(&self, table: &str) -> Result<Option<i64>, RecordError> {
        let mut checked = self.db.prepare_cached("SELECT checked_ms FROM tables WHERE name = ?1")?;
        Ok(checked.query_row(params![table], |row| row.get(0)).optional()?)
    }

    /// Since when a table is held; absent where nothing of it is.
    pub fn held_since(&self, table: &str) -> Result<Option<i64>, RecordError> {
        let Some(id) = self.table_id(table)? else { return Ok(None) };
        let mut since = self.db.prepare_cached("SELECT min(at_ms) FROM runs WHERE table_id = ?1")?;
        Ok(since.query_row(params![id], |row| row.get(0))?)
    }

    pub(super) fn table_id(&self, table: &str) -> Result<Option<i64>, RecordError> {
        let mut id = self.db.prepare_cached("SELECT id FROM tables WHERE name = ?1")?;
        Ok(id.query_row(params![table], |row| row.get(0)).optional()?)
    }

    /// From here on every read sees one and the same state of the file.
    pub(super) fn hold(&self) -> Result<(), RecordError> {
        if self.db.is_autocommit() {
            self.db.execute_batch("BEGIN; SELECT 1 FROM meta LIMIT 1;")?;
        }
        Ok(())
    }

    /// What opens content; kept from one run to the next.
    pub(super) fn unfolder(&self) -> RefMut<'_, Decompressor<'static>> {
        self.unfolder.borrow_mut()
    }

    fn opened(&self, (seq, form, bytes): &(i64, i64, Vec<u8>)) -> Result<Vec<Reading>, RecordError> {
        let readings = content::open(seq.cast_unsigned(), *form, bytes, &mut self.unfolder())?;
        Ok(readings.into_iter().filter_map(|numbered| numbered.reading).collect())
    }
}

fn run(row: &Row<'_>) -> rusqlite::Result<(i64, i64, Vec<u8>)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}
