//! Readings that a question has read and may read again: for each row of the other side of a join, say. It then sees one machine, and finds
//! rows by a column's value without opening all of them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::types::Value;

use super::row::{Places, Row};
use super::source::{Held, When};
use crate::v1::{ColumnSchema, ColumnType, TableSchema};

/// Bytes of rows that one question holds in all.
const HELD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Different readings of one table that are held; the oldest goes first.
const SCOPES_MAX: usize = 16;

/// Rows that are found by a column's value.
const INDEXED_ROWS_MAX: usize = 200_000;

/// Bytes of a row beyond its own that holding it takes.
const ROW_OVERHEAD: usize = 64;

/// Which readings of a table.
pub(super) type Scope = (When, Option<String>);

/// Bytes that a question holds. Shared by its tables.
#[derive(Debug, Default)]
pub(super) struct Room {
    taken: AtomicUsize,
}

impl Room {
    /// Takes some; false where there is not as much.
    fn take(&self, bytes: usize) -> bool {
        let fits = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= HELD_BYTES_MAX);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What one table's readers share.
#[derive(Debug, Default)]
pub(super) struct Piles {
    scopes: Mutex<Vec<(Scope, Option<Arc<Pile>>)>>,
}

/// What is known of a scope.
pub(super) enum Known {
    /// It was read before.
    Pile(Arc<Pile>),
    /// It is read again and again.
    Again,
    /// It is read for the first time.
    New,
}

impl Piles {
    pub(super) fn find(&self, scope: &Scope) -> Known {
        let mut scopes = self.scopes();
        match scopes.iter().find(|(known, _pile)| known == scope) {
            Some((_scope, Some(pile))) => Known::Pile(Arc::clone(pile)),
            Some((_scope, None)) => Known::Again,
            None => {
                if scopes.len() >= SCOPES_MAX {
                    scopes.remove(0);
                }
                scopes.push((scope.clone(), None));
                Known::New
            }
        }
    }

    /// Holds what was read.
    pub(super) fn keep(&self, keeping: Keeping) -> Arc<Pile> {
        let mut scopes = self.scopes();
        let (scope, pile) = (keeping.scope, Arc::new(keeping.pile));
        if let Some(known) = scopes.iter_mut().find(|(known, _pile)| *known == scope) {
            known.1 = Some(Arc::clone(&pile));
        }
        pile
    }

    fn scopes(&self) -> MutexGuard<'_, Vec<(Scope, Option<Arc<Pile>>)>> {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Readings on their way to be held.
#[derive(Debug)]
pub(super) struct Keeping {
    scope: Scope,
    pile: Pile,
}

impl Keeping {
    pub(super) fn begin(scope: Scope, room: &Arc<Room>) -> Self {
        let pile =
            Pile { held: Vec::new(), bytes: AtomicUsize::new(0), room: Arc::clone(room), indexes: Mutex::default() };
        Self { scope, pile }
    }

    /// One more; false where there is no room for it.
    pub(super) fn add(&mut self, held: &Arc<Held>) -> bool {
        let size = held.reading.rows.iter().map(|row| row.len() + ROW_OVERHEAD).sum::<usize>() + size_of::<Held>();
        if !self.pile.room.take(size) {
            return false;
        }
        self.pile.bytes.fetch_add(size, Ordering::Relaxed);
        self.pile.held.push(Arc::clone(held));
        true
    }
}

/// Readings that are held.
#[derive(Debug)]
pub(super) struct Pile {
    pub(super) held: Vec<Arc<Held>>,
    bytes: AtomicUsize,
    room: Arc<Room>,
    indexes: Mutex<Vec<(usize, Arc<Index>)>>,
}

impl Drop for Pile {
    fn drop(&mut self) {
        self.room.give_back(self.bytes.load(Ordering::Relaxed));
    }
}

impl Pile {
    /// Where rows with a column's value may lie; none where that can only be found by looking at all.
    pub(super) fn places(&self, schema: &TableSchema, place: usize, value: &Value) -> Option<Picked> {
        let column = schema.columns.get(place)?;
        let wanted = match (column.r#type(), value) {
            (_, Value::Null) => return Some(Picked::default()),
            (ColumnType::Text, Value::Text(text)) => hash(text.as_bytes()),
            (ColumnType::Int | ColumnType::Uint | ColumnType::Sint, Value::Integer(number)) => hash(number),
            _ => return None,
        };
        let index = self.index(schema, place, column)?;
        let begin = index.rows.partition_point(|(hash, ..)| *hash < wanted);
        let end = index.rows.partition_point(|(hash, ..)| *hash <= wanted);
        Some(Picked { index, left: begin..end })
    }

    fn index(&self, schema: &TableSchema, place: usize, column: &ColumnSchema) -> Option<Arc<Index>> {
        let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_place, index)) = indexes.iter().find(|(known, _index)| *known == place) {
            return Some(Arc::clone(index));
        }
        let count = self.held.iter().map(|held| held.reading.rows.len()).sum::<usize>();
        let size = count * size_of::<(u64, u32, u32)>();
        if count > INDEXED_ROWS_MAX || !self.room.take(size) {
            return None;
        }
        self.bytes.fetch_add(size, Ordering::Relaxed);
        let places = Places::new(schema, |other| other == place);
        let (mut row, mut rows) = (Row::default(), Vec::new());
        for (held, reading) in self.held.iter().zip(0_u32..) {
            for (bytes, number) in held.reading.rows.iter().zip(0_u32..) {
                row.take(bytes, &places, schema.columns.len());
                let hashed = match column.r#type() {
                    ColumnType::Text => row.text(bytes, place, column).map(hash),
                    _ => row.integer(place, column).map(|number| hash(&number)),
                };
                rows.extend(hashed.map(|hash| (hash, reading, number)));
            }
        }
        rows.sort_unstable();
        let index = Arc::new(Index { rows });
        indexes.push((place, Arc::clone(&index)));
        Some(index)
    }
}

/// Where rows lie, by the hash of a column's value: reading and row.
#[derive(Debug, Default)]
struct Index {
    rows: Vec<(u64, u32, u32)>,
}

/// Rows that may have a value, in the order in which they lie.
#[derive(Debug, Default)]
pub(super) struct Picked {
    index: Arc<Index>,
    left: Range<usize>,
}

impl Picked {
    /// The next one's reading and row.
    pub(super) fn next(&mut self) -> Option<(usize, usize)> {
        let (_hash, reading, row) = self.index.rows.get(self.left.next()?)?;
        Some((*reading as usize, *row as usize))
    }
}

fn hash<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
