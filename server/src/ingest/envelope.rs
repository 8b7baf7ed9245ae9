//! Whether what a reading says of itself can be so. What cannot is kept as a reading that failed, so that nothing blocks the stream behind it
//! and the technician sees that something came and was no good.

use deskside_proto::{
    READING_BYTES_MAX,
    rows::{self, Value},
    v1::{Outcome, Reading, TableSchema},
};
use prost::Message;

/// Longest name of a table or column.
const NAME_CHARS_MAX: usize = 64;

/// Longest reason that is kept.
const REASON_BYTES_MAX: usize = 4096;

/// Most rows of a reading.
const ROWS_MAX: usize = 65_536;

/// Columns of a table that an agent describes.
const COLUMNS_MAX: usize = 256;

/// Bytes of a description that an agent brings.
const SCHEMA_BYTES_MAX: usize = 64 * 1024;

/// Latest time that a clock may show: 2200-01-01 UTC. Why no nearer bound: the device's clock is told as it is, and is wrong often enough.
const AT_MS_MAX: i64 = 7_258_118_400_000;

/// The table by which a device says what it lost.
const LOSSES: &str = "losses";

/// Whether a text is a name as tables and columns have it: `[a-z][a-z0-9_]*`.
pub(super) fn is_name(text: &str) -> bool {
    let is_plain = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    is_plain && text.len() <= NAME_CHARS_MAX && text.starts_with(|first: char| first.is_ascii_lowercase())
}

/// A reading as it is kept. Rows are checked only where their table's description is known.
pub(super) fn settle(mut reading: Reading, schema: Option<&TableSchema>, now_ms: i64) -> Reading {
    cut(&mut reading.reason, REASON_BYTES_MAX);
    let fault = fault(&reading, schema);
    if !(0..=AT_MS_MAX).contains(&reading.at_ms) {
        reading.at_ms = now_ms;
    }
    if let Some(fault) = fault {
        reading.rows.clear();
        reading.set_outcome(Outcome::Failed);
        reading.reason = fault;
    }
    let needs_reason = !matches!(reading.outcome(), Outcome::Ok | Outcome::Empty);
    if needs_reason && reading.reason.is_empty() {
        reading.reason = "no reason was given".into();
    }
    reading
}

fn fault(reading: &Reading, schema: Option<&TableSchema>) -> Option<String> {
    let outcome = Outcome::try_from(reading.outcome).unwrap_or(Outcome::Unspecified);
    if outcome == Outcome::Unspecified {
        return Some("the agent did not say how the look went".into());
    }
    if !(0..=AT_MS_MAX).contains(&reading.at_ms) {
        return Some("the agent gave a time that no clock shows".into());
    }
    if reading.rows.len() > ROWS_MAX || reading.encoded_len() > READING_BYTES_MAX {
        return Some(format!(
            "the reading was too large: {} rows, {} bytes",
            reading.rows.len(),
            reading.encoded_len()
        ));
    }
    let schema = schema?;
    let fault = reading.rows.iter().find_map(|row| rows::check(schema, row).err())?;
    Some(format!("rows were not readable: {fault}"))
}

/// How many readings a reading of `losses` says were lost.
pub(super) fn lost(reading: &Reading, schema: Option<&TableSchema>) -> u64 {
    let Some(schema) = schema.filter(|schema| schema.name == LOSSES) else { return 0 };
    let Some(place) = schema.columns.iter().position(|column| column.name == "readings") else { return 0 };
    let counts = reading.rows.iter().filter_map(|row| match rows::open(schema, row).ok()?.get(place)? {
        Value::Uint(count) => Some(*count),
        _ => None,
    });
    counts.fold(0, u64::saturating_add)
}

/// Whether a description that an agent brought can be kept and shown.
pub(super) fn is_schema(schema: &TableSchema) -> bool {
    let mut numbers: Vec<u32> = schema.columns.iter().map(|column| column.number).collect();
    let columns = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    let names_are_fine = is_name(&schema.name) && schema.columns.iter().all(|column| is_name(&column.name));
    names_are_fine && numbers.len() == columns && columns <= COLUMNS_MAX && schema.encoded_len() <= SCHEMA_BYTES_MAX
}

fn cut(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
    }
}

#[cfg(test)]
mod tests {
    use deskside_proto::{catalog, rows::Row, v1::Loss};

    use super::*;

    const NOW: i64 = 1_000_000;

    fn reading(rows: Vec<Vec<u8>>) -> Reading {
        let rows = rows.into_iter().map(Into::into).collect();
        Reading { table: "losses".into(), at_ms: 5, outcome: Outcome::Ok.into(), rows, ..Reading::default() }
    }

    #[test]
    fn a_good_reading_is_left_as_it_is() {
        let good = reading(vec![Loss { table: "boot".into(), readings: 3, ..Loss::default() }.encode_to_vec()]);
        let schema = catalog::table(Loss::TABLE);
        assert_eq!(settle(good.clone(), schema, NOW), good);
        assert_eq!(lost(&good, schema), 3);
        assert_eq!(lost(&good, None), 0);
    }

    #[test]
    fn rows_of_garbage_become_a_reading_that_failed() {
        let schema = catalog::table(Loss::TABLE);
        for garbage in [vec![0xff; 40], vec![0x0a, 0x02, 0xc3, 0x28], vec![0x0a, 0x7f], vec![0x08, 0x01]] {
            let settled = settle(reading(vec![garbage.clone()]), schema, NOW);
            assert_eq!(settled.outcome(), Outcome::Failed, "{garbage:?}");
            assert!(settled.rows.is_empty());
            assert!(settled.reason.starts_with("rows were not readable"), "{}", settled.reason);
        }
    }

    #[test]
    fn rows_of_a_table_that_is_not_known_stay_sealed() {
        let sealed = reading(vec![vec![0xff; 40]]);
        assert_eq!(settle(sealed.clone(), None, NOW), sealed);
    }

    #[test]
    fn what_cannot_be_so_becomes_a_reading_that_failed() {
        let unsaid = Reading { outcome: 0, ..reading(Vec::new()) };
        let unknown = Reading { outcome: 77, ..reading(Vec::new()) };
        let early = Reading { at_ms: -1, ..reading(Vec::new()) };
        let late = Reading { at_ms: i64::MAX, ..reading(Vec::new()) };
        let many = reading(vec![Vec::new(); ROWS_MAX + 1]);
        let large = reading(vec![vec![0; READING_BYTES_MAX]]);
        for wrong in [unsaid, unknown, early, late, many, large] {
            let settled = settle(wrong, None, NOW);
            assert_eq!(settled.outcome(), Outcome::Failed);
            assert!(!settled.reason.is_empty() && settled.rows.is_empty() && settled.at_ms <= NOW);
        }
    }

    #[test]
    fn a_look_that_did_not_go_well_always_has_a_reason() {
        let denied = Reading { outcome: Outcome::Denied.into(), ..reading(Vec::new()) };
        assert!(!settle(denied, None, NOW).reason.is_empty());
        let long = Reading { outcome: Outcome::Denied.into(), reason: "ä".repeat(9999), ..reading(Vec::new()) };
        assert!(settle(long, None, NOW).reason.len() <= REASON_BYTES_MAX);
    }

    #[test]
    fn names_are_what_sql_needs_no_quotes_for() {
        for good in ["boot", "print_jobs", "a1"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "1a", "_a", "Boot", "a b", "a;drop", "ü", "a\0", &"a".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn every_table_of_the_contract_could_be_brought_by_an_agent() {
        for schema in catalog::tables() {
            assert!(is_schema(schema), "{}", schema.name);
        }
    }
}
