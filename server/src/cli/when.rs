//! Times and spans as people write them.

use jiff::civil::{DateTime, Time};
use jiff::{Span, SpanRelativeTo, Timestamp, ToSpan, Unit, Zoned};

/// A moment: RFC 3339, "2026-03-01 14:00", "14:00" (today), "yesterday 10:00", "-2h", "2h ago".
pub(super) fn moment(text: &str) -> Result<i64, String> {
    moment_at(text, &Zoned::now())
}

fn moment_at(text: &str, now: &Zoned) -> Result<i64, String> {
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

/// Times without a zone are this machine's.
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

/// A length of time in whole seconds: "24h", "10m", "3d", "1h30m".
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let wrong = "not a length of time; write \"24h\", \"10m\" or \"3d\"";
    let span: Span = text.trim().parse().map_err(|_error| wrong.to_owned())?;
    let whole = span.total((Unit::Second, SpanRelativeTo::days_are_24_hours())).map_err(|_error| wrong.to_owned())?;
    if whole < 1.0 {
        return Err("a length of time is at least a second".into());
    }
    Ok(whole as u64)
}

/// A syslog priority: 0 to 7, or its name.
pub(super) fn priority(text: &str) -> Result<u32, String> {
    if let Ok(number @ 0..=7) = text.parse() {
        return Ok(number);
    }
    let place = PRIORITIES.iter().position(|names| names.contains(&text));
    let place = place.and_then(|place| u32::try_from(place).ok());
    place.ok_or_else(|| "not a priority; 0 to 7, or emerg, alert, crit, err, warning, notice, info, debug".into())
}

/// syslog(3), each with the names that people use for it.
const PRIORITIES: [&[&str]; 8] = [
    &["emerg", "panic"],
    &["alert"],
    &["crit", "critical"],
    &["err", "error"],
    &["warning", "warn"],
    &["notice"],
    &["info"],
    &["debug"],
];

/// The usual name of a priority.
pub(super) fn priority_name(priority: u64) -> &'static str {
    let place = usize::try_from(priority).unwrap_or(usize::MAX);
    PRIORITIES.get(place).and_then(|names| names.first()).copied().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Result<String, String> {
        let now: Zoned = "2026-03-02T12:00:00+01:00[Europe/Berlin]".parse().unwrap();
        moment_at(text, &now).map(|ms| Timestamp::from_millisecond(ms).unwrap().to_string())
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

    #[test]
    fn lengths_of_time_are_whole_seconds() {
        assert_eq!(seconds("24h"), Ok(86_400));
        assert_eq!(seconds("3d"), Ok(259_200));
        assert_eq!(seconds("1h30m"), Ok(5_400));
        assert!(seconds("-1h").is_err() && seconds("0s").is_err() && seconds("long").is_err());
    }

    #[test]
    fn priorities_have_numbers_and_names() {
        assert_eq!(priority("3"), Ok(3));
        assert_eq!(priority("warning"), Ok(4));
        assert!(priority("8").is_err());
        assert_eq!(priority_name(7), "debug");
    }
}
