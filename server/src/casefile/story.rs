//! What people did: the report, the notes, the ticket's way, and the collections with what became of them.

use deskside_proto::show;
use deskside_proto::v1::{Collection, Moment, MomentKind};

use crate::store::{Ticket, TicketEvent};

/// Lines of a report or a note that are told with it; the rest are counted.
const LINES_MAX: usize = 12;

/// Longest line of a report or a note, in characters.
const LINE_CHARS_MAX: usize = 400;

/// Events of the ticket that say what a collection's own moments say better, or that nobody reads twice.
const UNTOLD: &[&str] = &["opened", "collection", "viewed"];

/// All of it, in no order.
pub(super) fn moments(ticket: &Ticket, events: Vec<TicketEvent>, collections: &[Collection]) -> Vec<Moment> {
    let mut moments = vec![reported(ticket)];
    moments.extend(events.into_iter().filter_map(|event| told(event, collections)));
    for (place, collection) in collections.iter().enumerate() {
        moments.extend(of_collection(place + 1, collection));
    }
    moments
}

fn reported(ticket: &Ticket) -> Moment {
    let (text, details) = lines(&ticket.description);
    Moment {
        at_ms: ticket.opened_ms,
        kind: MomentKind::Reported.into(),
        who: ticket.opened_by.clone(),
        text: if text.is_empty() { cut(&ticket.title) } else { text },
        details,
        times: 1,
        ..Moment::default()
    }
}

fn told(event: TicketEvent, collections: &[Collection]) -> Option<Moment> {
    let by_device =
        collections.iter().any(|collection| collection.device.as_ref().is_some_and(|device| device.name == event.who));
    let kind = match event.what.as_str() {
        "note" => MomentKind::Note,
        // What a device sent is told with its collection.
        "evidence" if by_device => return None,
        "evidence" => MomentKind::Attached,
        what if UNTOLD.contains(&what) => return None,
        _ => MomentKind::Ticket,
    };
    let (text, details) = lines(&event.text);
    let text = if kind == MomentKind::Ticket { format!("{} {text}", event.what).trim().to_owned() } else { text };
    Some(Moment { at_ms: event.at_ms, kind: kind.into(), who: event.who, text, details, times: 1, ..Moment::default() })
}

fn of_collection(number: usize, collection: &Collection) -> Vec<Moment> {
    let device = collection.device.as_ref().map(|device| device.name.clone()).unwrap_or_default();
    let what = asked_for(collection);
    let why = if collection.why.is_empty() { String::new() } else { format!(", {}", collection.why) };
    let moment = |at_ms, kind: MomentKind, who: &str, text: String| Moment {
        at_ms,
        kind: kind.into(),
        device: device.clone(),
        who: who.to_owned(),
        text,
        times: 1,
        ..Moment::default()
    };
    let mut moments = vec![moment(
        collection.asked_ms,
        MomentKind::Asked,
        &collection.asked_by,
        match collection.planned_ms {
            0 => format!("collection {number} ({what}){why}"),
            planned_ms => format!("collection {number} ({what}) planned for {}{why}", show::clock(planned_ms)),
        },
    )];
    if collection.ended_ms == 0 && collection.planned_ms > 0 {
        moments.push(moment(
            collection.planned_ms,
            MomentKind::Planned,
            "",
            format!("collection {number} ({what}){why}"),
        ));
    }
    if collection.ended_ms != 0 {
        let mut ended = moment(
            collection.ended_ms,
            MomentKind::Collected,
            "",
            format!("collection {number} {}: {}", collection.state, collection.note),
        );
        let found = collection.parts.iter().filter(|part| !part.found.is_empty());
        ended.details = found.take(LINES_MAX).map(|part| format!("{}: {}", part.name, cut(&part.found))).collect();
        if !matches!(collection.state.as_str(), "done" | "partial") {
            ended.severity = "warning".into();
        }
        moments.push(ended);
    }
    moments
}

/// The recipe's name, or what was asked for by hand.
pub(super) fn asked_for(collection: &Collection) -> String {
    if !collection.recipe.is_empty() {
        return collection.recipe.clone();
    }
    let by_hand = [collection.tables.as_slice(), collection.probes.as_slice()].concat();
    match by_hand.len() {
        0 => "all tables".into(),
        1..=4 => by_hand.join(", "),
        more => format!("{} and {} more", by_hand.iter().take(3).cloned().collect::<Vec<_>>().join(", "), more - 3),
    }
}

/// The first line, and the others within their bound.
fn lines(text: &str) -> (String, Vec<String>) {
    let mut lines = text.lines().map(str::trim_end).filter(|line| !line.trim().is_empty()).map(cut);
    let first = lines.next().unwrap_or_default();
    let mut details: Vec<String> = lines.by_ref().take(LINES_MAX).collect();
    let more = lines.count();
    if more > 0 {
        details.push(format!("and {more} more lines"));
    }
    (first, details)
}

/// A line that can do nothing but be read, within its bound.
fn cut(line: &str) -> String {
    let line = show::printable(line);
    match line.char_indices().nth(LINE_CHARS_MAX) {
        Some((end, _char)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}
