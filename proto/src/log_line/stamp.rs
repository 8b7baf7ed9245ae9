//! When a line of a log was written: the date and time that it begins with, in the forms that programs write.
//!
//! Why by hand rather than by format strings: every line of every log passes here, and a date is a dozen digits at known places.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{Timestamp, Zoned};

/// What a time is read against.
#[derive(Clone, Copy, Debug)]
pub struct Clock<'a> {
    /// Gives the year where a line leaves it out.
    pub now: &'a Zoned,
    /// The zone of times that name none.
    pub zone: &'a TimeZone,
    /// When the machine started, for times that count from then.
    pub booted_ms: Option<i64>,
    /// The time of the line before, which tells the first from the second of two hours that are called the same.
    pub last_ms: Option<i64>,
}

impl<'a> Clock<'a> {
    /// By a moment and its own zone, nothing else being known.
    pub fn at(now: &'a Zoned) -> Self {
        Self { now, zone: now.time_zone(), booted_ms: None, last_ms: None }
    }
}

/// A time, and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp<'a> {
    pub(super) at_ms: i64,
    pub(super) rest: &'a str,
    /// A syslog's form, which a host's name follows.
    pub(super) of_syslog: bool,
}

/// Fastest counting of a time since the start that is one: a machine that has been up for three years.
const UPTIME_S_MAX: i64 = 100_000_000;
/// Seconds that are a time since 1970, rather than any number: from 2001 to 2065.
const EPOCH_S: std::ops::Range<i64> = 1_000_000_000..3_000_000_000;
/// A date without a year that lies further ahead than this is last year's.
const AHEAD_S: i64 = 86_400;
/// Lines may be this much out of order.
const DISORDER_MS: i64 = 60_000;

const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

const DAYS: [&[u8]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];

/// Names of zones that mean one offset nearly everywhere, in minutes east.
#[rustfmt::skip]
const ZONES: [(&str, i32); 26] = [
    ("UTC", 0), ("GMT", 0), ("UT", 0), ("WET", 0), ("WEST", 60), ("BST", 60), ("CET", 60),
    ("CEST", 120), ("EET", 120), ("EEST", 180), ("MSK", 180), ("EST", -300), ("EDT", -240), ("CST", -360),
    ("CDT", -300), ("MST", -420), ("MDT", -360), ("PST", -480), ("PDT", -420), ("AKST", -540), ("AKDT", -480),
    ("HST", -600), ("JST", 540), ("AEST", 600), ("AEDT", 660), ("NZDT", 780),
];

/// The time that a line begins with.
pub(super) fn read<'a>(line: &'a str, clock: &Clock) -> Option<Stamp<'a>> {
    let first = *line.as_bytes().first()?;
    match first {
        b'[' => bracketed(line, clock),
        b'0'..=b'9' => numeric(line, clock),
        b'A'..=b'Z' => named(line, clock),
        _ => None,
    }
}

/// `22/Nov/2026:01:10:57 +0100` in brackets anywhere in the line, as in the common log format.
pub(super) fn common_log(text: &str, clock: &Clock) -> Option<i64> {
    let mut at = Cursor::new(text);
    let stamp = day_first(&mut at, clock)?;
    (at.byte() == Some(b']')).then_some(stamp)
}

/// `1122 01:10:57.123456` of klog, or with the year as glog may write it.
pub(super) fn klog<'a>(text: &'a str, clock: &Clock) -> Option<(i64, &'a str)> {
    let mut at = Cursor::new(text);
    let digits = at.digits();
    let number = at.number(4, 8)?;
    let (year, number) = match digits {
        4 => (None, number),
        8 => (Some(number / 10_000), number % 10_000),
        _ => return None,
    };
    at.skip(b' ')?;
    let date = (year, number / 100, number % 100);
    let at_ms = at.moment(date, clock)?;
    Some((at_ms, at.rest()))
}

/// `[2026-11-22 01:10:57]`, `[Sun Nov 22 01:10:57.123456 2026]`, `[22/Nov/2026:01:10:57 +0100]`, `[    12.345678]`.
fn bracketed<'a>(line: &'a str, clock: &Clock) -> Option<Stamp<'a>> {
    let inner = line.get(1..)?;
    let trimmed = inner.trim_start_matches(' ');
    if trimmed.len() < inner.len() || trimmed.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        if let Some(stamp) = since_start(trimmed, clock) {
            return Some(stamp);
        }
        if trimmed.len() < inner.len() {
            return None;
        }
    }
    let mut cursor = Cursor::new(inner);
    let at_ms = if let Some(at_ms) = day_first(&mut cursor, clock) {
        at_ms
    } else {
        let stamp = read_inner(inner, clock)?;
        cursor = Cursor::new(stamp.rest);
        stamp.at_ms
    };
    // What else stands within the brackets belongs to the time: a zone that nobody knows, a tick.
    let rest = cursor.rest();
    let end = rest.find(']').filter(|end| *end <= 8)?;
    let rest = rest.get(end + 1..)?;
    Some(Stamp { at_ms, rest: rest.strip_prefix(':').unwrap_or(rest).trim_start_matches(' '), of_syslog: false })
}

fn read_inner<'a>(text: &'a str, clock: &Clock) -> Option<Stamp<'a>> {
    match text.as_bytes().first()? {
        b'0'..=b'9' => numeric(text, clock),
        b'A'..=b'Z' => named(text, clock),
        _ => None,
    }
}

/// `12.345] (EE) …`: seconds since the start, as the kernel and Xorg count.
fn since_start<'a>(text: &'a str, clock: &Clock) -> Option<Stamp<'a>> {
    let mut at = Cursor::new(text);
    let seconds = at.number(1, 9)?;
    (at.byte() == Some(b'.')).then_some(())?;
    at.at += 1;
    let ms = at.fraction_ms()?;
    (at.byte() == Some(b']')).then_some(())?;
    at.at += 1;
    let seconds = i64::from(seconds);
    let booted_ms = clock.booted_ms.filter(|_booted| seconds < UPTIME_S_MAX)?;
    Some(Stamp { at_ms: booted_ms + seconds * 1000 + ms, rest: at.rest().trim_start_matches(' '), of_syslog: false })
}

fn numeric<'a>(line: &'a str, clock: &Clock) -> Option<Stamp<'a>> {
    let mut at = Cursor::new(line);
    let stamp = |at_ms, at: &Cursor<'a>, of_syslog| {
        Some(Stamp { at_ms, rest: at.rest().trim_start_matches([' ', ',', '\t']), of_syslog })
    };
    match at.digits() {
        4 => {
            let (at_ms, of_syslog) = year_first(&mut at, clock)?;
            stamp(at_ms, &at, of_syslog)
        }
        1 | 2 => {
            let second = line.as_bytes().get(at.digits())?;
            let at_ms = match second {
                b'/' if line.as_bytes().get(at.digits() + 1)?.is_ascii_digit() => month_first(&mut at, clock)?,
                b'/' | b'-' | b' ' => day_first(&mut at, clock)?,
                _ => return None,
            };
            stamp(at_ms, &at, false)
        }
        10 | 13 => {
            let at_ms = since_1970(&mut at)?;
            stamp(at_ms, &at, false)
        }
        _ => None,
    }
}

/// `1795306257`, `1795306257.123`, `1795306257123`, with a blank or the end behind.
fn since_1970(at: &mut Cursor) -> Option<i64> {
    let milliseconds = at.digits() == 13;
    let digits = at.take(at.digits())?;
    let number: i64 = digits.parse().ok()?;
    let seconds = if milliseconds { number / 1000 } else { number };
    if !EPOCH_S.contains(&seconds) {
        return None;
    }
    let mut at_ms = if milliseconds { number } else { number * 1000 };
    if !milliseconds && at.byte() == Some(b'.') {
        at.at += 1;
        at_ms += at.fraction_ms()?;
    }
    matches!(at.byte(), None | Some(b' ' | b'\t' | b',' | b':' | b']')).then_some(at_ms)
}

/// `2026-11-22T01:10:57.123+01:00`, `2026-11-22 01:10:57,123`, `2026/11/22 01:10:57`.
fn year_first(at: &mut Cursor, clock: &Clock) -> Option<(i64, bool)> {
    let year = at.number(4, 4)?;
    let between = at.byte().filter(|byte| matches!(byte, b'-' | b'/' | b'.'))?;
    at.at += 1;
    let month = at.number(1, 2)?;
    at.skip(between)?;
    let day = at.number(1, 2)?;
    let separator = at.byte().filter(|byte| matches!(byte, b'T' | b' ' | b't' | b'_' | b':'))?;
    at.at += 1;
    let at_ms = at.moment((Some(year), month, day), clock)?;
    Some((at_ms, separator == b'T'))
}

/// `11/22/2026 01:10:57 PM`; where the first number is no month, the day comes first.
fn month_first(at: &mut Cursor, clock: &Clock) -> Option<i64> {
    let first = at.number(1, 2)?;
    at.skip(b'/')?;
    let second = at.number(1, 2)?;
    at.skip(b'/')?;
    let digits = at.digits();
    let year = at.number(2, 4)?;
    let year = if digits == 2 { 2000 + year } else { year };
    let (month, day) = if first > 12 { (second, first) } else { (first, second) };
    if at.byte() == Some(b',') {
        at.at += 1;
    }
    at.skip(b' ').or_else(|| at.skip(b'-'))?;
    at.moment((Some(year), month, day), clock)
}

/// `22/Nov/2026:01:10:57 +0100`, `22-Nov-2026 01:10:57.123`, `22 Nov 2026 01:10:57`.
fn day_first(at: &mut Cursor, clock: &Clock) -> Option<i64> {
    let day = at.number(1, 2)?;
    let between = at.byte().filter(|byte| matches!(byte, b'/' | b'-' | b' '))?;
    at.at += 1;
    let month = at.month()?;
    at.skip(between)?;
    let year = at.number(4, 4)?;
    at.skip(b':').or_else(|| at.skip(b' '))?;
    at.moment((Some(year), month, day), clock)
}

/// `Nov 22 01:10:57`, `Nov 22 2026 01:10:57`, `Nov 22, 2026 1:10:57 AM`, `Sun Nov 22 01:10:57 2026`.
fn named<'a>(line: &'a str, clock: &Clock) -> Option<Stamp<'a>> {
    let mut at = Cursor::new(line);
    let with_day = DAYS.iter().any(|day| line.as_bytes().starts_with(day));
    if with_day {
        at.at += 3;
        if at.byte() == Some(b',') {
            at.at += 1;
        }
        at.skip(b' ')?;
    }
    let month = at.month()?;
    at.skip(b' ')?;
    if at.byte() == Some(b' ') {
        at.at += 1;
    }
    let day = at.number(1, 2)?;
    let comma = at.byte() == Some(b',');
    if comma {
        at.at += 1;
    }
    at.skip(b' ')?;
    let year = if at.digits() == 4 {
        let year = at.number(4, 4)?;
        at.skip(b' ')?;
        Some(year)
    } else {
        None
    };
    let at_ms = if year.is_none() && with_day {
        at.moment_before_year(month, day, clock)?
    } else {
        at.moment((year, month, day), clock)?
    };
    let rest = at.rest();
    // syslog has one blank behind the time, and no comma within.
    Some(Stamp { at_ms, rest: rest.strip_prefix(' ').unwrap_or(rest), of_syslog: !comma && !with_day })
}

/// A place in a line.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, bytes: usize) -> Option<&'a str> {
        let taken = self.text.get(self.at..self.at + bytes)?;
        self.at += bytes;
        Some(taken)
    }

    fn skip(&mut self, byte: u8) -> Option<()> {
        (self.byte() == Some(byte)).then(|| self.at += 1)
    }

    /// How many digits stand here.
    fn digits(&self) -> usize {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        rest.iter().take(20).take_while(|byte| byte.is_ascii_digit()).count()
    }

    /// A number of so many digits.
    fn number(&mut self, least: usize, most: usize) -> Option<u32> {
        let digits = self.digits();
        if !(least..=most).contains(&digits) {
            return None;
        }
        let taken = self.take(digits)?;
        Some(taken.bytes().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
    }

    fn month(&mut self) -> Option<u32> {
        let name = self.text.as_bytes().get(self.at..self.at + 3)?;
        let place = MONTHS.iter().position(|month| name.eq_ignore_ascii_case(month))?;
        self.at += 3;
        Some(place as u32 + 1)
    }

    /// Digits behind the point, in milliseconds.
    fn fraction_ms(&mut self) -> Option<i64> {
        let digits = self.digits();
        let taken = self.take(digits).filter(|_taken| digits > 0)?;
        let ms = taken.bytes().chain(std::iter::repeat(b'0')).take(3);
        Some(ms.fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
    }

    /// Hours, minutes, seconds and what may follow: a fraction, AM or PM, a zone.
    fn clock(&mut self) -> Option<(u32, u32, u32, i64)> {
        let hour = self.number(1, 2)?;
        self.skip(b':')?;
        let minute = self.number(2, 2)?;
        self.skip(b':')?;
        let second = self.number(2, 2)?;
        let mut ms = 0;
        if matches!(self.byte(), Some(b'.' | b','))
            && self.text.as_bytes().get(self.at + 1).is_some_and(u8::is_ascii_digit)
        {
            self.at += 1;
            ms = self.fraction_ms()?;
        }
        let hour = self.half(hour)?;
        Some((hour, minute, second, ms))
    }

    /// AM or PM, behind a blank that may be a narrow one.
    fn half(&mut self, hour: u32) -> Option<u32> {
        let rest = self.rest();
        let word = rest.strip_prefix([' ', '\u{202f}']).unwrap_or(rest);
        let late = match word.get(..2) {
            Some(letters) if letters.eq_ignore_ascii_case("am") => false,
            Some(letters) if letters.eq_ignore_ascii_case("pm") => true,
            _ => return Some(hour),
        };
        if word.as_bytes().get(2).is_some_and(u8::is_ascii_alphanumeric) {
            return Some(hour);
        }
        self.at += rest.len() - word.len() + 2;
        (1..=12).contains(&hour).then_some(hour % 12 + if late { 12 } else { 0 })
    }

    /// The time of a day, and its zone.
    fn moment(&mut self, date: (Option<u32>, u32, u32), clock: &Clock) -> Option<i64> {
        let time = self.clock()?;
        let zone = self.zone();
        settle(date, time, zone, clock)
    }

    /// `01:10:57.123456 2026`.
    fn moment_before_year(&mut self, month: u32, day: u32, clock: &Clock) -> Option<i64> {
        let time = self.clock()?;
        let mut zone = Zone::Local;
        if self.byte() == Some(b' ') && self.text.as_bytes().get(self.at + 1).is_some_and(u8::is_ascii_alphabetic) {
            zone = self.zone();
        }
        self.skip(b' ')?;
        let year = self.number(4, 4)?;
        settle((Some(year), month, day), time, zone, clock)
    }

    /// `Z`, `+01:00`, `+0100`, `+01`, ` UTC`, ` CET`; nothing where none of these stands here.
    fn zone(&mut self) -> Zone<'a> {
        let rest = self.rest();
        let blank = usize::from(rest.starts_with(' '));
        let text = rest.get(blank..).unwrap_or_default();
        let first = text.as_bytes().first().copied();
        match first {
            Some(b'Z' | b'z') if blank == 0 => {
                self.at += 1;
                Zone::Fixed(0)
            }
            Some(sign @ (b'+' | b'-')) => {
                let mut cursor = Cursor { text, at: 1 };
                let Some(seconds) = cursor.offset() else { return Zone::Local };
                self.at += blank + cursor.at;
                Zone::Fixed(if sign == b'-' { -seconds } else { seconds })
            }
            Some(b'A'..=b'Z') if blank == 1 => {
                let letters = text.bytes().take_while(u8::is_ascii_uppercase).count();
                let name = text.get(..letters).unwrap_or_default();
                let ends = matches!(text.as_bytes().get(letters), None | Some(b' ' | b']' | b':' | b','));
                if !ends || ZONES.iter().all(|(zone, _minutes)| *zone != name) {
                    return Zone::Local;
                }
                self.at += blank + letters;
                Zone::Named(name)
            }
            _ => Zone::Local,
        }
    }

    /// Seconds of an offset from UTC.
    fn offset(&mut self) -> Option<i32> {
        let (hours, minutes) = match self.digits() {
            4 => {
                let both = self.number(4, 4)?;
                (both / 100, both % 100)
            }
            2 => {
                let hours = self.number(2, 2)?;
                let minutes = if self.skip(b':').is_some() { self.number(2, 2)? } else { 0 };
                (hours, minutes)
            }
            _ => return None,
        };
        (hours <= 18 && minutes < 60).then_some((hours * 3600 + minutes * 60).cast_signed())
    }
}

/// Which zone a time is in.
#[derive(Clone, Copy, Debug)]
enum Zone<'a> {
    Local,
    /// Seconds east.
    Fixed(i32),
    Named(&'a str),
}

fn settle(
    (year, month, day): (Option<u32>, u32, u32),
    (hour, minute, second, ms): (u32, u32, u32, i64),
    zone: Zone,
    clock: &Clock,
) -> Option<i64> {
    // A leap second is told as the one before.
    let small = |number: u32| i8::try_from(number).ok();
    let civil = |year: i16| {
        DateTime::new(year, small(month)?, small(day)?, small(hour)?, small(minute)?, small(second.min(59))?, 0).ok()
    };
    let at = |year: i16| Some(place(civil(year)?, zone, clock)?.as_millisecond() + ms);
    if let Some(year) = year {
        return at(i16::try_from(year).ok()?);
    }
    let latest_ms = clock.now.timestamp().as_millisecond() + AHEAD_S * 1000;
    at(clock.now.year()).filter(|at_ms| *at_ms <= latest_ms).or_else(|| at(clock.now.year() - 1))
}

/// The moment that a date and time mean in a zone. Of an hour that comes twice, the second where the line before is past the first;
/// an hour that the clock left out counts as if it had not been.
fn place(civil: DateTime, zone: Zone, clock: &Clock) -> Option<Timestamp> {
    let fixed = |seconds: i32| Offset::from_seconds(seconds).ok()?.to_timestamp(civil).ok();
    let ambiguous = || clock.zone.to_ambiguous_timestamp(civil).offset();
    match zone {
        Zone::Fixed(seconds) => fixed(seconds),
        Zone::Local => match ambiguous() {
            AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Gap { before: offset, .. } => {
                offset.to_timestamp(civil).ok()
            }
            AmbiguousOffset::Fold { before, after } => {
                let first = before.to_timestamp(civil).ok()?;
                let past = clock.last_ms.is_some_and(|last| first.as_millisecond() < last - DISORDER_MS);
                if past { after.to_timestamp(civil).ok() } else { Some(first) }
            }
        },
        Zone::Named(name) => {
            let offsets = match ambiguous() {
                AmbiguousOffset::Unambiguous { offset } => [offset, offset],
                AmbiguousOffset::Gap { before, after } | AmbiguousOffset::Fold { before, after } => [before, after],
            };
            let local = offsets.into_iter().find_map(|offset| {
                let at = offset.to_timestamp(civil).ok()?;
                let told = clock.zone.to_offset_info(at);
                (told.abbreviation() == name && told.offset() == offset).then_some(at)
            });
            let minutes = ZONES.iter().find(|(zone, _minutes)| *zone == name).map(|(_zone, minutes)| *minutes)?;
            local.or_else(|| fixed(minutes * 60))
        }
    }
}
