//! What other rooms write down beside the readings, by name. A note is replaced and never grows old.

use rusqlite::params;

use super::{Record, RecordError};

/// Most notes that are read back; more were not written by this agent.
const NOTES_MAX: i64 = 4096;

/// Why made where it is needed: a record of an earlier release lacks it, and its form is otherwise the same.
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID";

impl Record {
    /// Writes notes down in one transaction; one without a value is forgotten.
    pub fn note(&mut self, notes: &[(String, Option<Vec<u8>>)]) -> Result<(), RecordError> {
        self.mending(|record| {
            let begun = record.file.db.unchecked_transaction()?;
            begun.execute_batch(SCHEMA)?;
            for (name, value) in notes {
                match value {
                    Some(value) => begun
                        .prepare_cached("INSERT OR REPLACE INTO notes VALUES (?1, ?2)")?
                        .execute(params![name, value])?,
                    None => begun.prepare_cached("DELETE FROM notes WHERE name = ?1")?.execute(params![name])?,
                };
            }
            begun.commit()?;
            Ok(())
        })
    }

    /// All notes, by name.
    pub fn notes(&mut self) -> Result<Vec<(String, Vec<u8>)>, RecordError> {
        self.mending(|record| {
            record.file.db.execute_batch(SCHEMA)?;
            let mut all = record.file.db.prepare("SELECT name, value FROM notes ORDER BY name LIMIT ?1")?;
            let rows = all.query_map(params![NOTES_MAX], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<_, _>>().map_err(RecordError::from)
        })
    }
}
