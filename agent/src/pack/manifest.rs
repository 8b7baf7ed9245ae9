//! `manifest.json`: what is in the bundle, from where, how it went, and the hash of every file.

use deskside_proto::catalog;
use deskside_proto::show;
use deskside_proto::v1::{Family, Kind, Pack, TableSchema};
use serde::Serialize;

use super::Facts;
use super::archive::{Filed, iso};
use super::part::{Part, Window};

/// Rises when a reader of manifests would have to change.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Manifest<'a> {
    format: &'static str,
    version: u32,
    ticket: u64,
    collection: &'a str,
    requested_by: &'a str,
    collected: Moment,
    /// The server's clock minus the device's.
    clock_offset_ms: i64,
    window: Span,
    device: Device<'a>,
    agent_version: &'a str,
    parts: Vec<PartEntry<'a>>,
    changes: u64,
    files: &'a [Filed],
}

#[derive(Serialize)]
struct Device<'a> {
    id: &'a str,
    hostname: &'a str,
    os: &'a str,
    boot_id: &'a str,
}

#[derive(Serialize)]
struct Moment {
    at: String,
    ms: i64,
}

#[derive(Serialize)]
struct Span {
    from: Moment,
    to: Moment,
}

#[derive(Serialize)]
struct PartEntry<'a> {
    name: &'a str,
    family: &'static str,
    kind: &'static str,
    /// Changes when the table's description does.
    schema: u64,
    sources: &'a [&'static str],
    window: Span,
    /// Given where the record does not reach back to the window's begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_since: Option<Moment>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    readings: u64,
    rows: u64,
    bytes: u64,
    files: &'a [Filed],
}

/// The manifest's text. `files` are all files of the bundle but the manifest itself.
pub(super) fn write(
    request: &Pack,
    facts: &Facts,
    window: Window,
    parts: &[Part],
    changes: u64,
    files: &[Filed],
) -> anyhow::Result<String> {
    let manifest = Manifest {
        format: "deskside-evidence",
        version: VERSION,
        ticket: request.ticket,
        collection: &request.collection_id,
        requested_by: &request.requested_by,
        collected: moment(facts.now_ms),
        clock_offset_ms: request.clock_offset_ms,
        window: span(window),
        device: Device { id: &facts.device_id, hostname: &facts.hostname, os: &facts.os, boot_id: &facts.boot_id },
        agent_version: &facts.agent_version,
        parts: parts.iter().map(|part| entry(part, window)).collect(),
        changes,
        files,
    };
    Ok(serde_json::to_string_pretty(&manifest)? + "\n")
}

fn entry(part: &Part, window: Window) -> PartEntry<'_> {
    PartEntry {
        name: &part.said.name,
        family: family(part.schema.as_ref().map_or(Family::Unspecified, TableSchema::family)),
        kind: match part.schema.as_ref().map_or(Kind::Unspecified, TableSchema::kind) {
            Kind::Unspecified => "unknown",
            Kind::State => "state",
            Kind::Sample => "sample",
            Kind::Event => "event",
        },
        schema: part.schema.as_ref().map_or(0, catalog::hash),
        sources: &part.sources,
        window: span(window),
        held_since: part.begins_late(window).map(moment),
        outcome: show::outcome(part.said.outcome()),
        reason: &part.said.reason,
        readings: part.readings,
        rows: part.said.rows,
        bytes: part.said.bytes,
        files: &part.files,
    }
}

/// A family's name as a heading.
pub(super) fn family(family: Family) -> &'static str {
    match family {
        Family::Unspecified => "other",
        Family::Hardware => "hardware",
        Family::System => "system",
        Family::Printing => "printing",
        Family::Network => "network",
        Family::Logs => "logs",
        Family::Deskside => "deskside",
    }
}

fn span(window: Window) -> Span {
    Span { from: moment(window.from_ms), to: moment(window.to_ms) }
}

fn moment(ms: i64) -> Moment {
    Moment { at: iso(ms), ms }
}
