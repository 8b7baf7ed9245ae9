//! The machine's time zone, for logs that write local time without saying which.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::host::Host;

/// The zone as /etc/localtime has it (tzfile(5)). Where the file is missing or broken it is UTC, as localtime(5) says.
pub(super) fn of(host: &dyn Host) -> TimeZone {
    let file = host.read("/etc/localtime").ok();
    file.and_then(|file| TimeZone::tzif("local", &file).ok()).unwrap_or(TimeZone::UTC)
}

/// "2026-03-01 14:05:09", however many blanks are between day and time, in milliseconds since 1970-01-01 UTC.
pub(super) fn ms(text: &str, zone: &TimeZone) -> Option<i64> {
    let (day, time) = text.trim().split_once(' ')?;
    let at: DateTime = format!("{day}T{}", time.trim_start()).parse().ok()?;
    Some(zone.to_timestamp(at).ok()?.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_time_is_told_in_utc() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(ms("2026-01-15 13:00:00", &berlin), Some(1_768_478_400_000));
        assert_eq!(ms("2026-07-15  14:00:00", &berlin), ms("2026-07-15 12:00:00", &TimeZone::UTC));
        assert_eq!(ms("2026-13-15 13:00:00", &berlin), None);
        assert_eq!(ms("yesterday", &berlin), None);
    }
}
