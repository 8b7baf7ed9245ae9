//! What `--json` prints. These shapes are a promise to scripts: keys are added, never renamed or taken away.
//!
//! Times are `…_ms`, milliseconds since 1970-01-01 UTC; an absent time is `null`. Rows are objects by column name, in the catalogue's units.

use deskside_proto::rows;
use deskside_proto::show;
use deskside_proto::v1::{
    ArgumentOptions, Case, CaseDevice, CaseFamily, CaseFile, Collection, ColumnType, Device, Evidence, Fact, Family,
    Finding, ForeignTicket, GetDeviceReply, Kind, Moment, Outcome, PartOutcome, Reading, Recipe, TableSchema,
    TableState, Ticket, TicketEvent, Told, Unit,
};
use serde_json::{Value as Json, json};

/// `null` for the zero that means "never".
fn moment(at_ms: i64) -> Json {
    if at_ms == 0 { Json::Null } else { at_ms.into() }
}

fn lower(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// Each of them, as a list.
pub(super) fn list<T>(items: &[T], shape: impl Fn(&T) -> Json) -> Json {
    items.iter().map(shape).collect()
}

/// The name of a family, as `tables` and `device` print it.
pub(super) fn family(family: Family) -> String {
    lower(family.as_str_name())
}

/// `ok`, `empty`, `partial`, `timed_out`, `denied`, `unsupported`, `failed`.
pub(super) fn outcome(outcome: Outcome) -> String {
    lower(outcome.as_str_name())
}

/// `id, name, connected, seen_ms, enrolled_ms, agent_version, os, revoked, clock_offset_ms, findings, lost`
pub(super) fn device(device: &Device) -> Json {
    json!({
        "id": device.id, "name": device.name, "connected": device.connected, "seen_ms": moment(device.seen_ms),
        "enrolled_ms": moment(device.enrolled_ms), "agent_version": device.agent_version, "os": device.os,
        "revoked": device.revoked, "clock_offset_ms": device.clock_offset_ms, "findings": device.findings,
        "lost": device.lost,
    })
}

/// `device, findings, tables, tickets`
pub(super) fn known(known: &GetDeviceReply) -> Json {
    json!({
        "device": known.device.as_ref().map(device), "findings": list(&known.findings, finding),
        "tables": list(&known.tables, state), "tickets": list(&known.tickets, ticket),
    })
}

/// `rule, severity, title, family, table, proof, cause, next_step, at_ms`; the proof is a list of `name, value`.
pub(super) fn finding(finding: &Finding) -> Json {
    let fact = |fact: &Fact| json!({ "name": fact.name, "value": fact.value });
    json!({
        "rule": finding.rule, "severity": finding.severity, "title": finding.title, "family": family(finding.family()),
        "table": finding.table, "proof": list(&finding.proof, fact), "cause": finding.cause,
        "next_step": finding.next_step, "at_ms": moment(finding.at_ms),
    })
}

/// `table, family, outcome, reason, at_ms, checked_ms, rows`
pub(super) fn state(state: &TableState) -> Json {
    json!({
        "table": state.table, "family": family(state.family()), "outcome": outcome(state.outcome()),
        "reason": state.reason, "at_ms": moment(state.at_ms), "checked_ms": moment(state.checked_ms), "rows": state.rows,
    })
}

/// `number, title, description, status, level, assignee, opened_by, opened_ms, changed_ms, devices, evidence`
pub(super) fn ticket(ticket: &Ticket) -> Json {
    json!({
        "number": ticket.number, "title": ticket.title, "description": ticket.description, "status": ticket.status,
        "level": ticket.level, "assignee": ticket.assignee, "opened_by": ticket.opened_by,
        "opened_ms": moment(ticket.opened_ms), "changed_ms": moment(ticket.changed_ms),
        "devices": list(&ticket.devices, device), "evidence": ticket.evidence,
        "foreign": list(&ticket.foreign, foreign),
    })
}

/// `desk, id, number, url, escalated`
fn foreign(foreign: &ForeignTicket) -> Json {
    json!({
        "desk": foreign.desk, "id": foreign.id, "number": foreign.number, "url": foreign.url,
        "escalated": foreign.escalated,
    })
}

/// `ticket, devices, collections, evidence, events`
pub(super) fn case(case: &Case) -> Json {
    json!({
        "ticket": case.ticket.as_ref().map(ticket), "devices": list(&case.devices, known),
        "collections": list(&case.collections, collection), "evidence": list(&case.evidence, evidence),
        "events": list(&case.events, event),
    })
}

/// `ticket, made_ms, devices, before_from_ms, before, timeline, collections, evidence, missing, left_out`; a device has `device, families`, and
/// a family `family, state, verdict, findings, told, whole, tables, as_of_ms, unseen`.
pub(super) fn case_file(file: &CaseFile) -> Json {
    let told = |told: &Told| json!({ "table": told.table, "lines": told.lines });
    let of_family = |of: &CaseFamily| {
        json!({
            "family": family(of.family()), "state": of.state, "verdict": of.verdict,
            "findings": list(&of.findings, finding), "told": list(&of.told, told), "whole": of.whole,
            "tables": of.tables, "as_of_ms": moment(of.as_of_ms), "unseen": of.unseen,
        })
    };
    let of_device = |of: &CaseDevice| json!({ "device": of.device.as_ref().map(device), "families": list(&of.families, of_family) });
    json!({
        "ticket": file.ticket.as_ref().map(ticket), "made_ms": file.made_ms, "devices": list(&file.devices, of_device),
        "before_from_ms": file.before_from_ms, "before": list(&file.before, happened),
        "timeline": list(&file.timeline, happened), "collections": list(&file.collections, collection),
        "evidence": list(&file.evidence, evidence), "missing": file.missing, "left_out": file.left_out,
    })
}

/// `at_ms, until_ms, kind, device, who, family, severity, text, details, times, table`
fn happened(of: &Moment) -> Json {
    json!({
        "at_ms": of.at_ms, "until_ms": moment(of.until_ms), "kind": lower(of.kind().as_str_name()), "device": of.device,
        "who": of.who, "family": family(of.family()), "severity": of.severity, "text": of.text, "details": of.details,
        "times": of.times, "table": of.table,
    })
}

/// `at_ms, who, what, text`
fn event(event: &TicketEvent) -> Json {
    json!({ "at_ms": moment(event.at_ms), "who": event.who, "what": event.what, "text": event.text })
}

/// `id, ticket, device, state, note, recipe, tables, from_ms, to_ms, asked_ms, expires_ms, ended_ms, asked_by, parts, evidence_id, probes, planned_ms, why`
pub(super) fn collection(collection: &Collection) -> Json {
    json!({
        "id": collection.id, "ticket": collection.ticket, "device": collection.device.as_ref().map(device),
        "state": collection.state, "note": collection.note, "recipe": collection.recipe, "tables": collection.tables,
        "from_ms": moment(collection.from_ms), "to_ms": moment(collection.to_ms), "asked_ms": moment(collection.asked_ms),
        "expires_ms": moment(collection.expires_ms), "ended_ms": moment(collection.ended_ms),
        "asked_by": collection.asked_by, "parts": list(&collection.parts, part), "evidence_id": collection.evidence_id,
        "probes": collection.probes,
        "planned_ms": moment(collection.planned_ms), "why": collection.why,
    })
}

/// `name, outcome, reason, rows, bytes, found`
fn part(part: &PartOutcome) -> Json {
    let outcome = outcome(part.outcome());
    json!({
        "name": part.name, "outcome": outcome, "reason": part.reason, "rows": part.rows, "bytes": part.bytes,
        "found": part.found,
    })
}

/// `id, ticket, device, collection_id, name, size, sha256, stored_ms, deleted_ms, location, custody`
pub(super) fn evidence(evidence: &Evidence) -> Json {
    json!({
        "id": evidence.id, "ticket": evidence.ticket, "device": evidence.device.as_ref().map(device),
        "collection_id": evidence.collection_id, "name": evidence.name, "size": evidence.size,
        "sha256": evidence.sha256, "stored_ms": moment(evidence.stored_ms),
        "deleted_ms": moment(evidence.deleted_ms), "source_id": evidence.source_id, "recipe": evidence.recipe, "location": evidence.location, "custody": list(&evidence.custody, event),
    })
}

/// `name, doc, tables, before_s, after_s, probes`
pub(super) fn recipe(recipe: &Recipe) -> Json {
    json!({
        "name": recipe.name, "doc": recipe.doc, "tables": recipe.tables, "before_s": recipe.before_s,
        "after_s": recipe.after_s, "probes": recipe.probes,
    })
}

/// `table, at_ms, took_ms, outcome, reason, rows`; a row that cannot be read is left out and counted in `unreadable_rows`.
pub(super) fn reading(schema: &TableSchema, reading: &Reading) -> Json {
    let opened: Vec<Json> = reading
        .rows
        .iter()
        .filter_map(|row| rows::open(schema, row).ok())
        .map(|values| show::json(schema, &values).into())
        .collect();
    let unreadable = reading.rows.len() - opened.len();
    json!({
        "table": reading.table, "at_ms": moment(reading.at_ms), "took_ms": reading.took_ms,
        "outcome": outcome(reading.outcome()), "reason": reading.reason, "rows": opened, "unreadable_rows": unreadable,
    })
}

/// `name, family, doc, arguments`; an argument is `name, doc, optional`.
pub(super) fn probe(schema: &TableSchema) -> Json {
    let arguments = schema.probe.as_ref().map(|probe| probe.argument.as_slice()).unwrap_or_default();
    let argument = |argument: &ArgumentOptions| json!({ "name": argument.name, "doc": argument.doc, "optional": argument.optional });
    json!({
        "name": schema.name, "family": family(schema.family()), "doc": schema.doc, "arguments": list(arguments, argument),
    })
}

/// `name, kind, family, doc, columns`; a column is `name, type, repeated, optional, key, unit, doc`.
pub(super) fn table(schema: &TableSchema) -> Json {
    let columns = list(&schema.columns, |column| {
        let options = deskside_proto::catalog::options(column);
        json!({
            "name": column.name, "type": column_type(column.r#type()), "repeated": column.repeated,
            "optional": column.optional, "key": options.key,
            "unit": unit(options.unit()), "doc": column.doc,
        })
    });
    json!({
        "name": schema.name, "kind": kind(schema.kind()), "family": family(schema.family()), "doc": schema.doc,
        "columns": columns,
    })
}

/// `state`, `sample`, `event`.
pub(super) fn kind(kind: Kind) -> String {
    lower(kind.as_str_name())
}

/// `bool`, `int`, `uint`, `sint`, `double`, `text`, `blob`.
pub(super) fn column_type(kind: ColumnType) -> String {
    lower(kind.as_str_name())
}

/// `bytes`, `percent`, `unix_ms` …; nothing for a plain number or text.
pub(super) fn unit(unit: Unit) -> Option<String> {
    (unit != Unit::Unspecified).then(|| lower(unit.as_str_name()))
}
