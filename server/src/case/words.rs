//! What the store keeps, in the contract's words.

use deskside_proto::v1;

use super::recipes::Recipe;
use crate::store::{Collection, CustodyEntry, Device, EvidenceItem, ForeignTicket, Ticket, TicketEvent};

/// A device; whether it is connected and what is wrong with it is known elsewhere.
pub fn device(device: &Device, connected: bool, findings: u32) -> v1::Device {
    v1::Device {
        id: device.id.to_string(),
        name: device.name.clone(),
        connected,
        seen_ms: device.seen_ms,
        enrolled_ms: device.enrolled_ms,
        agent_version: device.agent_version.clone(),
        os: device.os.clone(),
        revoked: device.revoked,
        clock_offset_ms: device.clock_offset_ms,
        findings,
        lost: device.lost,
    }
}

/// A ticket with its devices.
pub fn ticket(ticket: &Ticket, devices: Vec<v1::Device>) -> v1::Ticket {
    v1::Ticket {
        number: ticket.number,
        title: ticket.title.clone(),
        description: ticket.description.clone(),
        status: ticket.status.name().into(),
        level: ticket.level,
        assignee: ticket.assignee.clone(),
        opened_by: ticket.opened_by.clone(),
        opened_ms: ticket.opened_ms,
        changed_ms: ticket.changed_ms,
        devices,
        evidence: ticket.evidence,
        foreign: Vec::new(),
    }
}

/// The tickets of other help desks for which one here stands.
pub fn foreign(linked: Vec<ForeignTicket>) -> Vec<v1::ForeignTicket> {
    let shown = linked.into_iter().map(|foreign| v1::ForeignTicket {
        desk: foreign.desk,
        id: foreign.id,
        number: foreign.number,
        url: foreign.url,
        escalated: foreign.escalated,
    });
    shown.collect()
}

/// A line of a ticket's story.
pub fn event(event: TicketEvent) -> v1::TicketEvent {
    v1::TicketEvent { at_ms: event.at_ms, who: event.who, what: event.what, text: event.text }
}

/// A collection of a device.
pub fn collection(collection: &Collection, device: Option<v1::Device>) -> v1::Collection {
    v1::Collection {
        id: collection.id.to_string(),
        ticket: collection.ticket,
        device,
        state: collection.state.name().into(),
        note: collection.note.clone(),
        recipe: collection.recipe.clone(),
        tables: collection.tables.clone(),
        probes: collection.probes.clone(),
        from_ms: collection.from_ms,
        to_ms: collection.to_ms,
        asked_ms: collection.asked_ms,
        expires_ms: collection.expires_ms,
        ended_ms: collection.ended_ms,
        asked_by: collection.asked_by.clone(),
        parts: collection.parts.clone(),
        evidence_id: collection.evidence.map(|id| id.to_string()).unwrap_or_default(),
        planned_ms: collection.planned_ms,
        why: collection.why.clone(),
    }
}

/// An item of evidence with its custody.
pub fn evidence(item: &EvidenceItem, device: Option<v1::Device>, custody: Vec<CustodyEntry>) -> v1::Evidence {
    let line = |entry: CustodyEntry| v1::TicketEvent {
        at_ms: entry.at_ms,
        who: entry.who,
        what: entry.what,
        text: entry.text,
    };
    v1::Evidence {
        id: item.id.to_string(),
        ticket: item.ticket,
        device,
        collection_id: item.collection.map(|id| id.to_string()).unwrap_or_default(),
        name: item.name.clone(),
        size: item.size,
        sha256: item.sha256.clone(),
        stored_ms: item.stored_ms,
        location: item.location.clone(),
        custody: custody.into_iter().map(line).collect(),
        deleted_ms: item.deleted_ms,
        ..v1::Evidence::default()
    }
}

/// A recipe.
pub fn recipe(recipe: &Recipe) -> v1::Recipe {
    v1::Recipe {
        name: recipe.name.clone(),
        doc: recipe.doc.clone(),
        tables: recipe.tables.clone(),
        probes: recipe.probes.clone(),
        before_s: recipe.before_s,
        after_s: recipe.after_s,
    }
}
