//! What an answer does not hold, or holds with a reserve: gathered while the question is worked on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::v1::QueryNote;

/// Most notes of one answer; more are counted.
pub const NOTES_MAX: usize = 1_000;

/// The notes of one answer. Copies share them.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    notes: BTreeMap<(String, String, String), QueryNote>,
    left_out: u32,
}

impl Notes {
    /// Adds a note; the same words of the same device and table are said once, with the latest time.
    pub fn add(&self, note: QueryNote) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (note.device.clone(), note.table.clone(), note.words.clone());
        if let Some(known) = taken.notes.get_mut(&place) {
            known.at_ms = known.at_ms.max(note.at_ms);
        } else if taken.notes.len() < NOTES_MAX {
            taken.notes.insert(place, note);
        } else {
            taken.left_out += 1;
        }
    }

    /// Adds words about a table.
    pub fn say(&self, table: &str, words: impl Into<String>) {
        self.add(QueryNote { table: table.into(), words: words.into(), ..QueryNote::default() });
    }

    /// All of them by device and table, and how many were left out.
    pub fn take(&self) -> (Vec<QueryNote>, u32) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = std::mem::take(&mut taken.left_out);
        (std::mem::take(&mut taken.notes).into_values().collect(), left_out)
    }
}
