//! What `journalctl --list-boots` prints: JSON since systemd 251, lines of text before that, and there in two forms.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;

/// A boot and the entries that the journal still has of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) boot_id: String,
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
}

#[derive(Deserialize)]
struct Listed {
    boot_id: String,
    /// Microseconds.
    first_entry: i64,
    last_entry: i64,
}

/// Oldest first, as it is printed. Lines that are no boot are passed over.
pub(super) fn parse(text: &str) -> Vec<Span> {
    match serde_json::from_str::<Vec<Listed>>(text) {
        Ok(boots) => boots.into_iter().map(span).collect(),
        Err(_text) => text.lines().filter_map(line).collect(),
    }
}

fn span(listed: Listed) -> Span {
    Span { boot_id: listed.boot_id, first_ms: listed.first_entry / 1000, last_ms: listed.last_entry / 1000 }
}

/// " -1 9f1c… Wed 2026-11-18 11:06:40 UTC—Wed 2026-11-18 12:06:42 UTC", later with a blank instead of the dash.
fn line(line: &str) -> Option<Span> {
    let plain = line.replace('—', " ");
    let words: Vec<&str> = plain.split_whitespace().collect();
    let [index, boot_id, _day, date, time, "UTC", _last_day, last_date, last_time, "UTC"] = *words.as_slice() else {
        return None;
    };
    index.parse::<i32>().ok()?;
    let known = boot_id.len() == 32 && boot_id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let span = Span { boot_id: boot_id.to_owned(), first_ms: utc(date, time)?, last_ms: utc(last_date, last_time)? };
    known.then_some(span)
}

fn utc(date: &str, time: &str) -> Option<i64> {
    let at: DateTime = format!("{date}T{time}").parse().ok()?;
    Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "IDX BOOT ID                          FIRST ENTRY                 LAST ENTRY\n -1 \
        a0000000000000000000000000000000 Wed 2026-11-18 11:06:40 UTC Wed 2026-11-18 12:06:42 UTC\n";

    #[test]
    fn all_three_forms_say_the_same() {
        let dashed = "-1 a0000000000000000000000000000000 Wed 2026-11-18 11:06:40 UTC—Wed 2026-11-18 12:06:42 UTC\n";
        let json = r#"[{"index":-1,"boot_id":"a0000000000000000000000000000000","first_entry":1795000000000000,"last_entry":1795003602000000}]"#;
        let spans = parse(TABLE);
        assert_eq!((spans.len(), spans[0].first_ms), (1, 1_795_000_000_000));
        assert_eq!([parse(dashed), parse(json)], [spans.clone(), spans]);
    }

    #[test]
    fn a_list_cut_anywhere_names_no_other_boot() {
        for cut in (0..TABLE.len()).filter(|cut| TABLE.is_char_boundary(*cut)) {
            assert!(parse(&TABLE[..cut]).iter().all(|span| span.boot_id == "a0000000000000000000000000000000"));
        }
        assert_eq!(parse("[{\"boot_id\":7}]"), []);
    }
}
