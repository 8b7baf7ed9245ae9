//! How much of the past is kept.

use std::collections::BTreeMap;

/// How much of the past is kept; the latest reading of each table stays whatever becomes of its past.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Readings that arrived longer ago than this go, milliseconds by the server's clock.
    pub age_max_ms: i64,
    /// Bytes at most, compressed, of all devices.
    pub bytes_max: u64,
    /// Bytes at most of one device.
    pub device_bytes_max: u64,
    /// Tables that have bounds of their own, by name.
    pub tables: BTreeMap<String, TableRetention>,
}

/// One table's bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableRetention {
    /// As of all tables, and in the place of it.
    pub age_max_ms: Option<i64>,
    /// Bytes at most of this table of one device.
    pub device_bytes_max: Option<u64>,
}

impl Retention {
    /// The age at which readings of a table go.
    pub fn age_of(&self, table: &str) -> i64 {
        self.tables.get(table).and_then(|bounds| bounds.age_max_ms).unwrap_or(self.age_max_ms)
    }
}
