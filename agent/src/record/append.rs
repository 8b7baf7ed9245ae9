//! Remembering: one transaction for all that is new, and nothing written for what is as it was.

use std::collections::BTreeMap;

use deskside_proto::changes;
use deskside_proto::v1::{Kind, Reading};
use ring::digest::{Context, SHA256};
use rusqlite::{Transaction, params};

use super::content::Sealer;
use super::file::Latest;
use super::{Appended, Entry, Position, Record, RecordError};

/// How long it may be forgotten, by a crash, that a table was looked at and found as it was.
const CHECKED_WRITE_MS: i64 = 10 * 60_000;

/// What memory holds of the file, as it will be once the transaction is durable.
struct Draft {
    last_seq: u64,
    tables: BTreeMap<String, Latest>,
    positions: BTreeMap<String, String>,
}

impl Record {
    /// Whether a look at a state table found what the look before found; that it was made is then remembered, and written down within minutes.
    pub fn is_unchanged(&mut self, now_ms: i64, entry: &Entry) -> bool {
        let state = entry.position.is_none() && self.kind(&entry.reading.table) == Kind::State;
        if self.damage.is_some() || !state || (now_ms - self.checked_written_ms).abs() >= CHECKED_WRITE_MS {
            return false;
        }
        let digest = self.digest(&entry.reading);
        let (table, at_ms) = (&entry.reading.table, entry.reading.at_ms);
        let Some(latest) = self.file.tables.get_mut(table) else { return false };
        let same = latest.digest == digest && (latest.stream || !entry.stream);
        if same {
            latest.checked_ms = at_ms;
            self.checked.insert(table.clone());
        }
        same
    }

    /// Whether a table's readings are samples.
    pub fn is_sample(&self, table: &str) -> bool {
        self.kind(table) == Kind::Sample
    }

    pub(super) fn try_append(&mut self, now_ms: i64, entries: &[Entry]) -> Result<Appended, RecordError> {
        let mut draft = Draft {
            last_seq: self.file.last_seq,
            tables: self.file.tables.clone(),
            positions: self.file.positions.clone(),
        };
        let mut fresh = Vec::new();
        for entry in entries {
            if let Some(digest) = self.digest_if_new(&draft, &entry.reading, entry.stream) {
                draft.last_seq += 1;
                draft.note(entry, digest);
                fresh.push((draft.last_seq, entry));
            } else {
                draft.check(&entry.reading);
                self.checked.insert(entry.reading.table.clone());
            }
            draft
                .positions
                .extend(entry.position.iter().map(|position| (position.source.clone(), position.at.clone())));
        }
        let due = (now_ms - self.checked_written_ms).abs() >= CHECKED_WRITE_MS;
        if !fresh.is_empty() || due && !self.checked.is_empty() || draft.positions != self.file.positions {
            self.write(&mut draft, &fresh, due)?;
            if due {
                self.checked_written_ms = now_ms;
                self.checked.clear();
            }
        }
        let stored = fresh.len() as u64;
        self.file.readings += stored;
        self.file.last_seq = draft.last_seq;
        self.file.tables = draft.tables;
        self.file.positions = draft.positions;
        Ok(Appended { stored, unchanged: entries.len() as u64 - stored, last_seq: self.file.last_seq })
    }

    /// Positions that outlived their file.
    pub(super) fn restore_positions(&mut self, positions: &BTreeMap<String, String>) -> Result<(), RecordError> {
        let begun = self.file.db.unchecked_transaction()?;
        write_positions(&begun, positions)?;
        begun.commit()?;
        self.file.positions.clone_from(positions);
        Ok(())
    }

    /// Remembers how far sources are read, without a reading; one whose place is empty is forgotten.
    pub fn place(&mut self, positions: &[Position]) -> Result<(), RecordError> {
        self.mending(|record| {
            let begun = record.file.db.unchecked_transaction()?;
            write_positions(&begun, positions.iter().map(|position| (&position.source, &position.at)))?;
            begun.execute("DELETE FROM positions WHERE at = ''", [])?;
            Ok(begun.commit()?)
        })?;
        for Position { source, at } in positions {
            if at.is_empty() {
                self.file.positions.remove(source);
            } else {
                self.file.positions.insert(source.clone(), at.clone());
            }
        }
        Ok(())
    }

    /// The kind of a table; things of a table that nobody knows are kept as they come.
    pub(super) fn kind(&self, table: &str) -> Kind {
        self.registry.schema(table).map_or(Kind::Event, deskside_proto::v1::TableSchema::kind)
    }

    /// What tells this reading from the table's next, where it is to be stored; nothing where it is as the one before.
    fn digest_if_new(&self, draft: &Draft, reading: &Reading, stream: bool) -> Option<Vec<u8>> {
        if self.kind(&reading.table) != Kind::State {
            return Some(Vec::new());
        }
        let digest = self.digest(reading);
        let before = draft.tables.get(&reading.table);
        // A table that begins to be streamed is told in full, since the server has nothing to compare with.
        let same = before.is_some_and(|latest| latest.digest == digest && (latest.stream || !stream));
        (!same).then_some(digest)
    }

    fn digest(&self, reading: &Reading) -> Vec<u8> {
        let mut essences: Vec<Vec<u8>> = match self.registry.schema(&reading.table) {
            Some(schema) => reading.rows.iter().map(|row| changes::essence(schema, row)).collect(),
            None => reading.rows.iter().map(|row| row.to_vec()).collect(),
        };
        essences.sort_unstable();
        let mut context = Context::new(&SHA256);
        context.update(&reading.outcome.to_le_bytes());
        context.update(&(reading.reason.len() as u64).to_le_bytes());
        context.update(reading.reason.as_bytes());
        for essence in essences {
            context.update(&(essence.len() as u64).to_le_bytes());
            context.update(&essence);
        }
        context.finish().as_ref().to_vec()
    }

    /// `checked` says that the times at which nothing new was found are written down as well.
    fn write(&self, draft: &mut Draft, fresh: &[(u64, &Entry)], checked: bool) -> Result<(), RecordError> {
        let begun = self.file.db.unchecked_transaction()?;
        for (name, latest) in &mut draft.tables {
            let stored = self.file.tables.get(name).is_some_and(|known| known.seq == latest.seq);
            if !stored || checked && self.checked.contains(name) {
                latest.id = write_latest(&begun, name, latest)?;
            }
        }
        let mut sealer = Sealer::default();
        for (seq, entry) in fresh {
            let table = draft.tables.get(&entry.reading.table);
            let id = table.ok_or_else(|| RecordError::Other("a table without an id".into()))?.id;
            let loose = self.kind(&entry.reading.table) == Kind::Sample;
            let content = sealer.seal(&entry.reading)?;
            write_reading(&begun, *seq, (id, loose), entry, content)?;
        }
        let known = &self.file.positions;
        let moved = draft.positions.iter().filter(|(source, at)| known.get(*source) != Some(at));
        write_positions(&begun, moved)?;
        write_meta(&begun, "kept", self.file.kept_seq)?;
        write_meta(&begun, "dropped", self.file.dropped)?;
        write_meta(&begun, "set_aside", self.file.set_aside)?;
        Ok(begun.commit()?)
    }
}

impl Draft {
    fn note(&mut self, entry: &Entry, digest: Vec<u8>) {
        let at_ms = entry.reading.at_ms;
        let latest = self.tables.entry(entry.reading.table.clone()).or_default();
        let id = latest.id;
        *latest = Latest { id, seq: self.last_seq, at_ms, stream: entry.stream, digest, checked_ms: at_ms };
    }

    fn check(&mut self, reading: &Reading) {
        if let Some(latest) = self.tables.get_mut(&reading.table) {
            latest.checked_ms = reading.at_ms;
        }
    }
}

fn write_reading(
    begun: &Transaction<'_>,
    seq: u64,
    (table_id, loose): (i64, bool),
    entry: &Entry,
    (form, content): (i64, Vec<u8>),
) -> Result<(), RecordError> {
    let mut insert = begun.prepare_cached("INSERT INTO runs VALUES (?1, ?1, ?2, ?3, ?3, 1, ?4, ?5, ?6, ?7)")?;
    insert.execute(params![seq.cast_signed(), table_id, entry.reading.at_ms, entry.stream, loose, form, content])?;
    Ok(())
}

fn write_latest(begun: &Transaction<'_>, name: &str, latest: &Latest) -> Result<i64, RecordError> {
    let mut upsert = begun.prepare_cached(
        "INSERT INTO tables (name, seq, at_ms, stream, digest, checked_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (name) DO UPDATE SET seq = ?2, at_ms = ?3, stream = ?4, digest = ?5, checked_ms = ?6 RETURNING id",
    )?;
    let values = params![name, latest.seq.cast_signed(), latest.at_ms, latest.stream, latest.digest, latest.checked_ms];
    Ok(upsert.query_row(values, |row| row.get(0))?)
}

fn write_positions<'a>(
    begun: &Transaction<'_>,
    positions: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Result<(), RecordError> {
    let mut upsert = begun.prepare_cached("INSERT OR REPLACE INTO positions VALUES (?1, ?2)")?;
    for (source, at) in positions {
        upsert.execute(params![source, at])?;
    }
    Ok(())
}

pub(super) fn write_meta(begun: &Transaction<'_>, name: &str, value: u64) -> Result<(), RecordError> {
    let mut upsert = begun.prepare_cached(
        "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2 WHERE value <> ?2",
    )?;
    upsert.execute(params![name, value.cast_signed()])?;
    Ok(())
}
