//! Moments as people write them: "-2h", "-1 day", "14:00", "yesterday 10:00", "2026-03-01 14:00", RFC 3339.

use jiff::civil::{DateTime, Time};
use jiff::{Span, Timestamp, ToSpan, Zoned};

/// A moment in milliseconds since 1970-01-01 UTC: RFC 3339, "2026-03-01 14:00", "14:00" (today), "yesterday 10:00", "now", "-2h", "-1 day",
/// "2h ago". Where no zone is given, that of `now` is meant.
pub fn parse(text: &str, now: &Zoned) -> Result<i64, String> {
    let text = text.trim();
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.as_millisecond());
    }
    if let Some(at) = local(text, now) {
        return Ok(at.timestamp().as_millisecond());
    }
    if let Ok(span) = text.parse::<Span>() {
        if span.is_positive() {
            return Err(format!("\"{text}\" lies ahead; write \"-{text}\" for that long ago"));
        }
        let at = now.checked_add(span).map_err(|error| error.to_string())?;
        return Ok(at.timestamp().as_millisecond());
    }
    Err("not a time; write \"-2h\", \"14:00\", \"yesterday 10:00\", \"2026-03-01 14:00\" or RFC 3339".into())
}

/// Times without a zone.
fn local(text: &str, now: &Zoned) -> Option<Zoned> {
    if text == "now" {
        return Some(now.clone());
    }
    let (day, rest) = match text.split_once(' ') {
        Some(("yesterday", rest)) => (now.date().checked_sub(1.day()).ok()?, rest),
        Some(("today", rest)) => (now.date(), rest),
        None if text == "yesterday" => return now.checked_sub(1.day()).ok(),
        _ => (now.date(), text),
    };
    // A date with a time also reads as a time, so the date comes first.
    let at: DateTime = match text.parse() {
        Ok(at) => at,
        Err(_no_date) => day.to_datetime(rest.trim().parse::<Time>().ok()?),
    };
    at.to_zoned(now.time_zone().clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Result<String, String> {
        let now: Zoned = "2026-03-02T12:00:00+01:00[Europe/Berlin]".parse().unwrap();
        parse(text, &now).map(|ms| Timestamp::from_millisecond(ms).unwrap().to_string())
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, expected) in [
            ("2026-03-01T14:00:00Z", "2026-03-01T14:00:00Z"),
            ("2026-03-01T14:00:00+02:00", "2026-03-01T12:00:00Z"),
            ("2026-03-01 14:00", "2026-03-01T13:00:00Z"),
            ("2026-03-01", "2026-02-28T23:00:00Z"),
            ("10:30", "2026-03-02T09:30:00Z"),
            ("yesterday 10:00", "2026-03-01T09:00:00Z"),
            ("yesterday", "2026-03-01T11:00:00Z"),
            ("-2h", "2026-03-02T09:00:00Z"),
            ("90 minutes ago", "2026-03-02T09:30:00Z"),
            ("-1 day", "2026-03-01T11:00:00Z"),
            ("now", "2026-03-02T11:00:00Z"),
        ] {
            assert_eq!(at(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_or_lies_ahead_is_refused_with_advice() {
        assert!(at("soon").unwrap_err().contains("-2h"));
        assert!(at("2h").unwrap_err().contains("-2h"));
    }
}
