//! What the tables of one question share: where to read, who asks, when it ends, and what to say with the answer.

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use rusqlite::types::Value;

use super::SqlError;
use super::notes::Notes;
use super::pile::Room;
use super::source::{Brake, Source};
use crate::moment;
use crate::v1::TableSchema;

/// A question on its way.
pub(super) struct Asked {
    pub(super) source: Arc<dyn Source>,
    pub(super) notes: Notes,
    pub(super) brake: Arc<Brake>,
    pub(super) zone: TimeZone,
    /// For readings that are read more than once.
    pub(super) room: Arc<Room>,
    /// One moment is "now" for the whole question.
    pub(super) now_ms: i64,
}

impl Asked {
    /// A time as a question says it: milliseconds since 1970-01-01 UTC, or words. NULL is no time.
    pub(super) fn moment(&self, value: &Value) -> Result<Option<i64>, SqlError> {
        match value {
            Value::Null => Ok(None),
            Value::Integer(ms) => Ok(Some(*ms)),
            Value::Real(ms) => Ok(Some(*ms as i64)),
            Value::Text(words) => match moment::parse(words, &self.now()) {
                Ok(ms) => Ok(Some(ms)),
                Err(error) => Err(SqlError::Wrong(format!("{words:?}: {error}"))),
            },
            Value::Blob(_) => Err(SqlError::Wrong("bytes are no time".into())),
        }
    }

    fn now(&self) -> Zoned {
        let now = Timestamp::from_millisecond(self.now_ms).unwrap_or_default();
        now.to_zoned(self.zone.clone())
    }

    /// A column was asked for that the asker may not see.
    pub(super) fn withhold(&self, schema: &TableSchema, place: usize) {
        let Some(column) = schema.columns.get(place) else { return };
        self.notes.say(&schema.name, format!("{} is not shown: it needs another role, or consent", column.name));
    }
}

/// The asker's zone; UTC where it is not known here.
pub(super) fn zone(name: &str) -> TimeZone {
    if name.is_empty() {
        return TimeZone::UTC;
    }
    TimeZone::get(name).or_else(|_unknown| TimeZone::posix(name)).unwrap_or(TimeZone::UTC)
}
