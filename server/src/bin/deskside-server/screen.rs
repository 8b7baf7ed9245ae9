//! What this program prints.

use std::io::{self, Write};

use anyhow::Result;
use comfy_table::{Table, presets};
use jiff::Timestamp;
use serde::Serialize;

/// A line. Why a failure is passed over: one who has closed the pipe has read enough, and a server runs on without a reader.
pub(crate) fn say(text: &str) {
    writeln!(io::stdout().lock(), "{text}").ok();
}

/// A remark that is not the answer.
pub(crate) fn remark(text: &str) {
    writeln!(io::stderr().lock(), "{text}").ok();
}

/// What went wrong, from the outermost to the innermost.
pub(crate) fn complain(error: &anyhow::Error) {
    remark(&format!("deskside-server: {error:#}"));
}

/// As JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<()> {
    say(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// As a table; or in words where there is nothing.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>, nothing: &str) {
    if rows.is_empty() {
        say(nothing);
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row.into_iter().map(plain));
    }
    say(&table.to_string());
}

/// A time as a person reads it.
pub(crate) fn time(at_ms: i64) -> String {
    if at_ms == 0 {
        return "never".into();
    }
    let zone = jiff::tz::TimeZone::system();
    Timestamp::from_millisecond(at_ms)
        .map_or_else(|_error| at_ms.to_string(), |at| at.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// Without what could steer a terminal.
fn plain(text: String) -> String {
    if text.contains(char::is_control) { text.replace(char::is_control, "?") } else { text }
}
