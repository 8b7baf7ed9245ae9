//! Times and spans as people write them.

use jiff::{Span, SpanRelativeTo, Unit, Zoned};

/// A moment, as [`deskside_proto::moment`] reads it, in this machine's zone.
pub(super) fn moment(text: &str) -> Result<i64, String> {
    deskside_proto::moment::parse(text, &Zoned::now())
}

/// A moment that lies ahead, which may be written "tomorrow 9:00" too.
pub(super) fn ahead(text: &str) -> Result<i64, String> {
    let now = Zoned::now();
    let at_ms = match text.trim().strip_prefix("tomorrow") {
        Some(hour) => {
            let tomorrow = now.tomorrow().map_err(|error| error.to_string())?;
            let hour = if hour.trim().is_empty() { "9:00" } else { hour.trim() };
            deskside_proto::moment::parse(&format!("{} {hour:0>5}", tomorrow.date()), &now)?
        }
        None => deskside_proto::moment::parse(text, &now)?,
    };
    if at_ms <= now.timestamp().as_millisecond() {
        return Err("this time is past; a collection is planned for one that lies ahead".into());
    }
    Ok(at_ms)
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
pub(super) use deskside_proto::show::priority_name;

#[cfg(test)]
mod tests {
    use super::*;

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
