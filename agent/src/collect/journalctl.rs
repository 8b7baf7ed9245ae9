//! Asks journalctl(1) for entries of the journal.

use std::io::{self, ErrorKind};

use anyhow::Context;
use serde_json::{Map, Value};

use crate::host::{Host, Ran};

/// One entry with the fields that were asked for.
#[derive(Debug, Default)]
pub(in crate::collect) struct Entry {
    /// When it was written.
    pub(in crate::collect) at_ms: i64,
    fields: Map<String, Value>,
}

impl Entry {
    /// A field's text; empty where the entry lacks it. What is not UTF-8 is marked with U+FFFD.
    pub(in crate::collect) fn field(&self, name: &str) -> String {
        match self.fields.get(name) {
            Some(Value::String(text)) => text.clone(),
            // What is no printable text is a list of its bytes; a field that was sent twice is a list of texts.
            Some(Value::Array(values)) => {
                let texts = values.first().and_then(Value::as_str).map(str::to_owned);
                let bytes = values.iter().filter_map(|byte| u8::try_from(byte.as_u64()?).ok());
                texts.unwrap_or_else(|| String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned())
            }
            _ => String::new(),
        }
    }

    /// Identity of its boot, without dashes.
    pub(in crate::collect) fn boot_id(&self) -> String {
        self.field("_BOOT_ID")
    }
}

/// The entries that it prints for `--output=json`, in its order. Absent where there is no journalctl or no journal. An error with the kind
/// `PermissionDenied` says which group is needed.
pub(in crate::collect) fn entries(host: &dyn Host, arguments: &[&str]) -> anyhow::Result<Option<Vec<Entry>>> {
    Ok(ask(host, arguments)?.map(|ran| read(&ran.stdout)))
}

/// What `--output=json` prints, an entry a line.
pub(in crate::collect) fn read(lines: &[u8]) -> Vec<Entry> {
    lines.split(|byte| *byte == b'\n').filter_map(entry).collect()
}

/// Runs it; absent where there is no journalctl or no journal.
pub(in crate::collect) fn ask(host: &dyn Host, arguments: &[&str]) -> anyhow::Result<Option<Ran>> {
    let ran = match host.run("journalctl", arguments) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        ran => ran.context("running journalctl")?,
    };
    let complaint = String::from_utf8_lossy(&ran.stderr);
    // Who may not read the journal is told so, and then gets nothing.
    if complaint.contains("insufficient permissions") || complaint.contains("not seeing messages") {
        return Err(io::Error::from(ErrorKind::PermissionDenied))
            .context("reading the journal; the agent's user needs the group systemd-journal");
    }
    if complaint.contains("No journal files were found") {
        return Ok(None);
    }
    // Status 1 without a word is "nothing matches".
    let fine = ran.status == Some(0) || (ran.status == Some(1) && complaint.trim().is_empty());
    anyhow::ensure!(fine, "journalctl ended with status {:?}: {}", ran.status, complaint.trim());
    Ok(Some(ran))
}

/// One line: an object whose numbers are texts. Absent for a line that our own bound cut.
fn entry(line: &[u8]) -> Option<Entry> {
    let fields: Map<String, Value> = serde_json::from_slice(line).ok()?;
    let at_us: i64 = fields.get("__REALTIME_TIMESTAMP").and_then(Value::as_str)?.parse().ok()?;
    Some(Entry { at_ms: at_us / 1000, fields })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_texts_lists_of_bytes_or_lists_of_texts() {
        let line =
            br#"{"__REALTIME_TIMESTAMP":"1795000000000000","A":"a","B":[102,111,111,10,255],"C":["x","y"],"D":null}"#;
        let entry = entry(line).unwrap();
        assert_eq!(entry.at_ms, 1_795_000_000_000);
        let found = ["A", "B", "C", "D", "E"].map(|name| entry.field(name));
        assert_eq!(found, ["a", "foo\n\u{fffd}", "x", "", ""]);
    }

    #[test]
    fn a_line_cut_anywhere_is_no_entry() {
        let line = br#"{"__REALTIME_TIMESTAMP":"1795000000000000","A":"a"}"#;
        assert!((0..line.len()).all(|cut| entry(&line[..cut]).is_none()));
        assert!(entry(br#"{"__REALTIME_TIMESTAMP":7}"#).is_none());
    }
}
