//! Reading what help desks answer: words, rows and times out of JSON, with nothing in the place of what is not there.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::Trouble;

/// Rows that are read of any list.
const ROWS_MAX: usize = 1_000;

/// How far the clock of a help desk that tells no time zone may be from UTC, milliseconds.
const ZONE_MS_MAX: i64 = 14 * 3_600 * 1_000;

/// A text or a number at a place; none where there is nothing, or nothing in it.
pub(super) fn word(value: &Value, pointer: &str) -> Option<String> {
    let found = match value.pointer(pointer)? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Some(found).filter(|text| !text.is_empty())
}

/// The same, empty where there is nothing.
pub(super) fn text(value: &Value, pointer: &str) -> String {
    word(value, pointer).unwrap_or_default()
}

/// The rows of a list at a place, no more than the bound.
pub(super) fn rows<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    let rows = value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    rows.get(..ROWS_MAX.min(rows.len())).unwrap_or_default()
}

/// The identity of what was written. Without one it is not known whether anything was.
pub(super) fn written(value: &Value, pointer: &str) -> Result<String, Trouble> {
    word(value, pointer)
        .ok_or_else(|| Trouble::unknown(format!("its answer does not say what it wrote (no {pointer})")))
}

/// A time, 0 where it cannot be read: RFC 3339, ISO 8601 with an offset as Jira writes it, or date and time alone, taken for UTC.
pub(super) fn time_ms(text: &str) -> i64 {
    let read = || {
        let known = text.parse::<Timestamp>().ok();
        let offset = || jiff::fmt::strtime::parse("%Y-%m-%dT%H:%M:%S%.f%z", text).ok()?.to_timestamp().ok();
        let alone = || Some(text.replace(' ', "T").parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp());
        known.or_else(offset).or_else(alone)
    };
    read().map_or(0, Timestamp::as_millisecond)
}

/// A time as RFC 3339, to the second.
pub(super) fn rfc3339(at_ms: i64) -> String {
    let at = Timestamp::from_millisecond(at_ms - at_ms.rem_euclid(1_000)).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_string()
}

/// A time for a help desk that tells no time zone: date and time, earlier by as much as its clock may be away from UTC. Why: better a
/// ticket twice than one that is not seen.
pub(super) fn surely_before(at_ms: i64) -> String {
    let at = Timestamp::from_millisecond(at_ms.saturating_sub(ZONE_MS_MAX).max(0)).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Whether one of these places, by name or id, is where the configuration says that level 2 has it.
pub(super) fn escalated(configured: &[String], places: &[&str]) -> bool {
    let same = |place: &&str| configured.iter().any(|name| !place.is_empty() && name.eq_ignore_ascii_case(place));
    places.iter().any(|place| same(&place.trim()))
}

/// Words without what would end a quoted string in a query language.
pub(super) fn quotable(words: &str) -> String {
    let odd = |c: char| c.is_control() || matches!(c, '"' | '\'' | '\\' | '^' | '*' | '%' | '`' | ';');
    words.chars().map(|c| if odd(c) { ' ' } else { c }).take(200).collect::<String>().trim().to_owned()
}

/// A field's value as the configuration says it: JSON where it is a list, an object or a number, else text.
pub(super) fn value(said: &str) -> Value {
    let json = said.starts_with(['[', '{']) || said.parse::<i64>().is_ok();
    let read = json.then(|| serde_json::from_str(said).ok()).flatten();
    read.unwrap_or_else(|| Value::String(said.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_help_desks_write_them() {
        let at = 1_795_339_800_000;
        for text in
            ["2026-11-22T09:30:00Z", "2026-11-22T10:30:00.000+0100", "2026-11-22 09:30:00", "2026-11-22T09:30:00+00:00"]
        {
            assert_eq!(time_ms(text), at, "{text}");
        }
        assert_eq!((time_ms("soon"), time_ms("")), (0, 0));
        assert_eq!(rfc3339(at + 7), "2026-11-22T09:30:00Z");
        assert_eq!(surely_before(at), "2026-11-21 19:30:00");
    }

    #[test]
    fn a_place_is_known_by_name_or_id_and_no_place_is_none() {
        let configured = ["2nd Level".to_owned(), "22".to_owned(), String::new()];
        assert!(escalated(&configured, &["2ND level"]) && escalated(&configured, &["x", "22"]));
        assert!(!escalated(&configured, &["2", ""]) && !escalated(&[], &["2nd Level"]));
    }

    #[test]
    fn words_cannot_leave_their_quotes() {
        assert_eq!(quotable("a' OR 1=1; -- \"x\\"), "a  OR 1=1  --  x");
    }
}
