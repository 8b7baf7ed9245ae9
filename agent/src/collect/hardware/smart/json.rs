//! Reading values out of JSON by their place, leniently: a part that is absent or of another form is not known, and the rest is.

use serde_json::Value;

/// Longest text that is kept of what a disk says.
const TEXT_MAX: usize = 200;

/// A whole number; one written as text counts too.
pub(super) fn number(json: &Value, place: &str) -> Option<u64> {
    let value = json.pointer(place)?;
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// A small whole number.
pub(super) fn small(json: &Value, place: &str) -> Option<u32> {
    u32::try_from(number(json, place)?).ok()
}

/// A number that may be below zero and fits a temperature.
pub(super) fn degrees(json: &Value, place: &str) -> Option<i32> {
    let value = json.pointer(place)?.as_i64()?;
    i32::try_from(value).ok()
}

/// Yes or no.
pub(super) fn flag(json: &Value, place: &str) -> Option<bool> {
    json.pointer(place)?.as_bool()
}

/// Text, cut at a bound; empty where there is none.
pub(super) fn text(json: &Value, place: &str) -> String {
    let text = json.pointer(place).and_then(Value::as_str).unwrap_or_default();
    text.chars().take(TEXT_MAX).collect()
}

/// The items of a list, at most so many.
pub(super) fn items<'a>(json: &'a Value, place: &str, most: usize) -> impl Iterator<Item = &'a Value> {
    let list = json.pointer(place).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().take(most)
}
