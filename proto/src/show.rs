//! How a value is shown: to a person with units, to a program as JSON, to a spreadsheet as CSV.

use std::fmt;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::catalog;
use crate::rows::Value;
use crate::v1::{ColumnSchema, Outcome, TableSchema, Unit};

impl fmt::Display for Value {
    /// Plainly, without units; lists are separated by commas, the unknown is empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Bool(value) => f.write_str(if *value { "yes" } else { "no" }),
            Self::Int(value) => value.fmt(f),
            Self::Uint(value) => value.fmt(f),
            Self::Double(value) => value.fmt(f),
            Self::Text(value) => f.write_str(value),
            Self::Blob(value) => f.write_str(&HEXLOWER.encode(value)),
            Self::List(values) => {
                let texts: Vec<String> = values.iter().map(Self::to_string).collect();
                f.write_str(&texts.join(", "))
            }
        }
    }
}

/// For a person: sizes and durations in human units, times local with their age, the unknown as "-".
/// Text is stripped of control characters, since what a machine says may be hostile to a terminal.
pub fn human(column: &ColumnSchema, value: &Value, now_ms: i64) -> String {
    let number = match value {
        Value::Null => return "-".into(),
        Value::Int(number) => *number as f64,
        Value::Uint(number) => *number as f64,
        Value::Double(number) => *number,
        other => return printable(&other.to_string()),
    };
    match catalog::options(column).unit() {
        Unit::Bytes => bytes(number),
        Unit::BytesPerSecond => format!("{}/s", bytes(number)),
        Unit::Percent => format!("{number:.1} %"),
        Unit::Seconds => duration(number),
        Unit::Milliseconds => duration(number / 1e3),
        Unit::UnixMs => time(number as i64, now_ms),
        Unit::Hertz => scaled(number, "Hz"),
        Unit::BitsPerSecond => scaled(number, "bit/s"),
        Unit::Celsius => format!("{number:.0} °C"),
        Unit::MicrowattHours => format!("{:.1} Wh", number / 1e6),
        Unit::Microvolts => format!("{:.2} V", number / 1e6),
        Unit::Microwatts => format!("{:.1} W", number / 1e6),
        Unit::Microamperes => format!("{:.2} A", number / 1e6),
        Unit::DecibelMilliwatts => format!("{number:.0} dBm"),
        Unit::Unspecified => match value {
            Value::Double(number) => format!("{number:.2}"),
            other => other.to_string(),
        },
    }
}

/// A row as a JSON object. The unknown is `null`; numbers keep their units as the catalogue says.
pub fn json(schema: &TableSchema, values: &[Value]) -> serde_json::Map<String, serde_json::Value> {
    let pairs = schema.columns.iter().zip(values);
    pairs.map(|(column, value)| (column.name.clone(), json_value(value))).collect()
}

/// A row as a line of CSV (RFC 4180), with its line end.
pub fn csv<'a>(fields: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = fields
        .into_iter()
        .map(|field| {
            let plain = !field.contains([',', '"', '\n', '\r']);
            if plain { field.to_owned() } else { format!("\"{}\"", field.replace('"', "\"\"")) }
        })
        .collect();
    format!("{}\r\n", quoted.join(","))
}

/// How a look went, in a word or two.
pub fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Unspecified => "not said",
        Outcome::Ok => "ok",
        Outcome::Empty => "empty",
        Outcome::Partial => "partial",
        Outcome::TimedOut => "timed out",
        Outcome::Denied => "denied",
        Outcome::Unsupported => "unsupported",
        Outcome::Failed => "failed",
    }
}

/// 1536 is "1.5 KiB".
pub fn bytes(number: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut rest, mut place) = (number, 0);
    while rest.abs() >= 1024.0 && place + 1 < units.len() {
        rest /= 1024.0;
        place += 1;
    }
    let unit = units.get(place).copied().unwrap_or_default();
    if place == 0 { format!("{rest:.0} {unit}") } else { format!("{rest:.1} {unit}") }
}

/// 5000 seconds is "1 h 23 min".
pub fn duration(seconds: f64) -> String {
    let whole = seconds.abs() as u64;
    match whole {
        0 if seconds.abs() < 1.0 => format!("{:.0} ms", seconds.abs() * 1e3),
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{} min", whole / 60),
        3_600..86_400 => format!("{} h {} min", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

/// "2026-03-01 14:05:09 (3 min ago)", local.
pub fn time(at_ms: i64, now_ms: i64) -> String {
    format!("{} ({})", clock(at_ms), age(at_ms, now_ms))
}

/// "2026-03-01 14:05:09", local.
pub fn clock(at_ms: i64) -> String {
    match Timestamp::from_millisecond(at_ms) {
        Ok(at) => at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_out_of_range) => format!("{at_ms} ms"),
    }
}

/// "3 min ago", "in 2 h 0 min", "now".
pub fn age(at_ms: i64, now_ms: i64) -> String {
    let seconds = (now_ms.saturating_sub(at_ms)) as f64 / 1e3;
    match seconds {
        s if s.abs() < 1.0 => "now".into(),
        s if s < 0.0 => format!("in {}", duration(s)),
        s => format!("{} ago", duration(s)),
    }
}

/// The usual name of a syslog priority.
pub fn priority_name(priority: u64) -> &'static str {
    const NAMES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
    let place = usize::try_from(priority).unwrap_or(usize::MAX);
    NAMES.get(place).copied().unwrap_or("?")
}

/// Text without control characters, so that it can do nothing but be read.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn scaled(number: f64, unit: &str) -> String {
    match number {
        n if n >= 1e9 => format!("{:.1} G{unit}", n / 1e9),
        n if n >= 1e6 => format!("{:.0} M{unit}", n / 1e6),
        n if n >= 1e3 => format!("{:.0} k{unit}", n / 1e3),
        n => format!("{n:.0} {unit}"),
    }
}

/// A value as JSON: bytes as hex, a list as an array.
pub fn json_value(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Uint(value) => (*value).into(),
        Value::Double(value) => (*value).into(),
        Value::Text(value) => value.as_str().into(),
        Value::Blob(value) => HEXLOWER.encode(value).into(),
        Value::List(values) => values.iter().map(json_value).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::ColumnOptions;

    fn column(unit: Unit) -> ColumnSchema {
        let options = ColumnOptions { unit: unit.into(), ..ColumnOptions::default() };
        ColumnSchema { options: Some(options), ..ColumnSchema::default() }
    }

    #[test]
    fn a_person_reads_units_and_not_digits() {
        let shown = |unit, number| human(&column(unit), &Value::Uint(number), 0);
        assert_eq!(shown(Unit::Bytes, 1536), "1.5 KiB");
        assert_eq!(shown(Unit::Bytes, 512 * 1024 * 1024 * 1024), "512.0 GiB");
        assert_eq!(shown(Unit::Seconds, 5000), "1 h 23 min");
        assert_eq!(shown(Unit::BitsPerSecond, 1_000_000_000), "1.0 Gbit/s");
        assert_eq!(human(&column(Unit::Percent), &Value::Null, 0), "-");
    }

    #[test]
    fn a_time_says_how_long_ago_it_was() {
        assert_eq!(age(0, 180_000), "3 min ago");
        assert_eq!(age(7_200_000, 0), "in 2 h 0 min");
        assert_eq!(age(i64::MIN, i64::MAX), age(0, i64::MAX));
    }

    #[test]
    fn what_a_machine_says_cannot_drive_the_terminal() {
        let text = Value::Text("\u{1b}[2Jgone\r\n".into());
        assert!(!human(&column(Unit::Unspecified), &text, 0).contains('\u{1b}'));
    }

    #[test]
    fn csv_quotes_what_would_break_a_line() {
        assert_eq!(csv(["a", "b,c", "d\"e", "f\ng"]), "a,\"b,c\",\"d\"\"e\",\"f\ng\"\r\n");
    }
}
