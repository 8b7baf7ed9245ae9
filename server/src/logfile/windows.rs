//! Windows event logs (.evtx).
//!
//! Why an entry's message is its fields: the sentence belongs to the provider and stands in its DLL, not in the log;
//! only where it was written along ("with display information", and forwarded events) is it there.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use anyhow::anyhow;
use deskside_proto::v1::LogEvent;
use evtx::{EvtxParser, EvtxRecord, ParserSettings};
use jiff::Timestamp;
use serde_json::Value as Json;

use super::{MESSAGE_BYTES_MAX, Refused, Sink, Unread, bounded};

#[cfg(test)]
mod made;
#[cfg(test)]
mod tests;

/// A file is a header and chunks of one size ([MS-EVEN6], and libevtx's description of the format).
const HEADER_BYTES: u64 = 4096;
const CHUNK_BYTES: u64 = 64 * 1024;
const CHUNK_COUNT_AT: u64 = 42;

/// Keyword of the security log: what was audited was refused.
const AUDIT_FAILURE: u64 = 0x0010_0000_0000_0000;

pub(super) fn read(file: File, source: &str, sink: Sink<'_>) -> anyhow::Result<Unread> {
    let is_cut = is_cut(&file)?;
    let damaged = |error: String| {
        Refused::new(format!("{source} is damaged: {error}"), "copy it again, or export it again with `wevtutil epl`")
    };
    let parser = EvtxParser::from_read_seek(file).map_err(|error| damaged(error.to_string()))?;
    let mut parser = parser.with_configuration(ParserSettings::default().indent(false));
    let mut unread = Unread { is_cut, ..Unread::default() };
    let from = source.to_owned();
    // Why each record becomes an entry at once: a record's text may be megabytes, and a chunk holds thousands of records.
    for event in parser.serialized_records(move |record| Ok(record.map(|record| event(record, &from)))) {
        match event.and_then(|event| event) {
            Ok(Ok(event)) => sink(event)?,
            Ok(Err(error)) => unread.add(|| format!("{error:#}")),
            Err(error) => unread.add(|| error.to_string()),
        }
    }
    Ok(unread)
}

/// Whether a file ends within a chunk, or before as many as its header counts.
fn is_cut(mut file: &File) -> io::Result<bool> {
    let chunks = file.metadata()?.len().saturating_sub(HEADER_BYTES);
    let mut counted = [0; 2];
    file.seek(SeekFrom::Start(CHUNK_COUNT_AT))?;
    let is_whole = file.read_exact(&mut counted).is_ok();
    file.rewind()?;
    let counted = u64::from(u16::from_le_bytes(counted));
    Ok(!is_whole || chunks % CHUNK_BYTES != 0 || chunks / CHUNK_BYTES < counted)
}

fn event(record: EvtxRecord<'_>, source: &str) -> anyhow::Result<LogEvent> {
    let (number, written) = (record.event_record_id, record.timestamp);
    let rendered = record.into_json_bytes()?;
    let whole: Json = serde_json::from_slice(&rendered.data)?;
    let event = whole.get("Event").ok_or_else(|| anyhow!("record {number} has no event"))?;
    let system = &event["System"];
    let at = attribute(&system["TimeCreated"], "SystemTime").as_str().and_then(|at| at.parse::<Timestamp>().ok());
    let (message, cut_from_bytes) = bounded(message(event, system));
    Ok(LogEvent {
        at_ms: at.unwrap_or(written).as_millisecond(),
        source: source.to_owned(),
        position: number.to_string(),
        priority: number_of(&system["Level"]).and_then(priority),
        pid: number_of(attribute(&system["Execution"], "ProcessID")).and_then(|pid| pid.try_into().ok()),
        message,
        cut_from_bytes,
        provider: attribute(&system["Provider"], "Name").as_str().unwrap_or_default().to_owned(),
        event_id: number_of(&system["EventID"]).and_then(|id| id.try_into().ok()),
        subsystem: text_of(&system["Channel"]).unwrap_or_default(),
        category: text_of(&system["Task"]).filter(|task| task != "0").unwrap_or_default(),
        ..LogEvent::default()
    })
}

/// Levels of winmeta.xml as syslog counts. Level 0 is "always": the security log and old programs use it for information.
fn priority(level: u64) -> Option<u32> {
    match level {
        1 => Some(2),
        2 => Some(3),
        3 => Some(4),
        0 | 4 => Some(6),
        5 => Some(7),
        _ => None,
    }
}

fn attribute<'a>(element: &'a Json, name: &str) -> &'a Json {
    element.get("#attributes").and_then(|attributes| attributes.get(name)).unwrap_or(&Json::Null)
}

/// An element's text, which stands beside its attributes where it has some.
fn content(element: &Json) -> &Json {
    element.get("#text").unwrap_or(element)
}

fn text_of(element: &Json) -> Option<String> {
    match content(element) {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// A number, which stands as text, in hexadecimal too, where it was written so.
fn number_of(element: &Json) -> Option<u64> {
    match content(element) {
        Json::Number(number) => number.as_u64(),
        Json::String(text) => match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        },
        _ => None,
    }
}

fn message(event: &Json, system: &Json) -> String {
    let refused = number_of(&system["Keywords"]).is_some_and(|keywords| keywords & AUDIT_FAILURE != 0);
    let mut message = if refused { "audit failure: ".to_owned() } else { String::new() };
    if let Some(sentence) =
        event.pointer("/RenderingInfo/Message").and_then(text_of).filter(|sentence| !sentence.is_empty())
    {
        message.push_str(&sentence);
        return message;
    }
    let mut fields = Vec::new();
    let mut room = MESSAGE_BYTES_MAX;
    for part in ["EventData", "UserData", "ProcessingErrorData", "BinaryEventData", "DebugData"] {
        gather("", &event[part], &mut fields, &mut room);
    }
    message + &fields.join(", ")
}

/// "name=value" of all that has a value. `Data` and `#text` are how Windows calls what has no name.
fn gather(name: &str, element: &Json, fields: &mut Vec<String>, room: &mut usize) {
    let value = match element {
        Json::Null => return,
        Json::Object(members) => {
            for (inner, element) in members {
                match inner.as_str() {
                    "#attributes" => {}
                    "#text" | "Data" => gather(name, element, fields, room),
                    inner => gather(inner, element, fields, room),
                }
            }
            return;
        }
        Json::Array(elements) => return elements.iter().for_each(|element| gather(name, element, fields, room)),
        Json::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    };
    if value.is_empty() || *room == 0 {
        return;
    }
    let field = if name.is_empty() { value } else { format!("{name}={value}") };
    *room = room.saturating_sub(field.len());
    fields.push(field);
}
