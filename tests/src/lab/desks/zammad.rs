//! Zammad as <https://docs.zammad.org/en/latest/api/intro.html> describes it: tickets, articles, users.

use serde_json::{Value as Json, json};

use super::asked::{Asked, bytes, number, object, text};
use super::kept::{File, Kept, Ticket};
use super::serve::{Answer, Said, System};
use super::{CHANGED, TOKEN};

/// The system.
#[derive(Debug)]
pub struct Zammad;

/// What may be set on a ticket: what every Zammad has, and what the tests' administrator added.
const SETTABLE: &[&str] = &["group", "state", "owner", "deskside_case", "computer"];

fn no(status: u16, why: &str) -> Answer {
    Answer::new(status, json!({ "error": why, "error_human": why }))
}

fn shown(number: u64, ticket: &Ticket) -> Json {
    let mut shown = json!({
        "id": number, "number": format!("{}", 60_000 + number), "title": ticket.title, "group": ticket.group, "group_id": 1,
        "state": "open", "state_id": 2, "priority": "2 normal", "customer": ticket.mail, "customer_id": 5, "owner": "-",
        "created_at": CHANGED, "updated_at": CHANGED, "computer": ticket.asset,
    });
    for (name, value) in &ticket.fields {
        shown[name] = value.clone();
    }
    shown
}

fn articles(number: u64, ticket: &Ticket) -> Json {
    let first = json!({
        "id": 1, "ticket_id": number, "type": "web", "sender": "Customer", "internal": false, "content_type": "text/html",
        "body": format!("<p>{}</p>", ticket.text), "from": ticket.name, "subject": ticket.title, "attachments": [],
    });
    let notes = ticket.notes.iter().map(|note| {
        json!({
            "id": note.id, "ticket_id": number, "type": "note", "sender": "Agent", "internal": !note.seen_by_customer,
            "content_type": "text/plain", "body": note.text, "from": "Deskside", "subject": "",
            "attachments": ticket.files.iter().map(|file| json!({ "id": 1, "filename": file.name })).collect::<Vec<_>>(),
        })
    });
    std::iter::once(first).chain(notes).collect()
}

impl Zammad {
    fn article(kept: &mut Kept, asked: &Asked) -> Said {
        let wrong = |why: String| no(422, &why);
        let body = asked.json().map_err(wrong)?;
        let optional = &["subject", "internal", "sender", "attachments", "to", "cc", "time_unit"];
        let map = object(&body, &["ticket_id", "type", "content_type", "body"], optional).map_err(wrong)?;
        let ticket = number(map, "ticket_id").map_err(wrong)?;
        let kind = text(map, "type").map_err(wrong)?;
        if !["text/plain", "text/html"].contains(&text(map, "content_type").map_err(wrong)?.as_str()) {
            return Err(no(422, "content_type must be text/plain or text/html"));
        }
        let internal = map.get("internal").and_then(Json::as_bool).unwrap_or(false);
        // Why: an article of the type email is sent, internal or not.
        let seen = !internal || kind == "email";
        let mut files = Vec::new();
        for file in map.get("attachments").and_then(Json::as_array).into_iter().flatten() {
            let map = object(file, &["filename", "data", "mime-type"], &[]).map_err(wrong)?;
            let (name, bytes) = (text(map, "filename").map_err(wrong)?, bytes(map, "data").map_err(wrong)?);
            if bytes.len() > kept.file_bytes_max {
                return Err(no(413, "Request Entity Too Large"));
            }
            files.push(File { name, bytes, seen_by_customer: seen });
        }
        let Some(id) = kept.note(ticket, text(map, "body").map_err(wrong)?, seen) else {
            return Err(no(404, "No such object"));
        };
        kept.at_mut(&ticket.to_string()).into_iter().for_each(|ticket| ticket.files.append(&mut files));
        Ok(Answer::new(
            201,
            json!({ "id": id, "ticket_id": ticket, "type": kind, "internal": internal, "attachments": [] }),
        ))
    }

    fn set(kept: &mut Kept, number: &str, asked: &Asked) -> Said {
        let body = asked.json().map_err(|why| no(422, &why))?;
        let map = object(&body, &[], SETTABLE).map_err(|why| no(422, &why))?.clone();
        let Some(ticket) = kept.at_mut(number) else { return Err(no(404, "No such object")) };
        ticket.fields.extend(map);
        let shown = shown(number.parse().unwrap_or_default(), ticket);
        Ok(Answer::new(200, shown))
    }
}

impl System for Zammad {
    fn answer(&self, kept: &mut Kept, asked: &Asked) -> Said {
        if asked.header("authorization") != format!("Token token={TOKEN}") {
            return Err(no(401, "Invalid token"));
        }
        let missing = || no(404, "No such object");
        match asked.route() {
            ("GET", path) if path == ["api", "v1", "users", "me"] => Ok(Answer::new(200, json!({ "id": 3 }))),
            ("GET", path) if path == ["api", "v1", "users", "5"] => {
                let ticket = kept.tickets.values().next().ok_or_else(missing)?;
                let (first, last) = ticket.name.split_once(' ').unwrap_or((&ticket.name, ""));
                let person = json!({ "id": 5, "login": ticket.mail, "email": ticket.mail, "firstname": first, "lastname": last });
                Ok(Answer::new(200, person))
            }
            ("GET", path) if path == ["api", "v1", "tickets", "search"] => {
                let (Some(words), Some("true")) = (asked.asks("query"), asked.asks("expand")) else {
                    return Err(no(422, "query and expand are wanted"));
                };
                let group = words.split("group.name:\"").nth(1).and_then(|rest| rest.split('"').next());
                let found = kept.tickets.iter().filter(|(_number, ticket)| match group {
                    Some(group) => ticket.group == group,
                    None => ticket.title.contains(words.trim_matches('"')),
                });
                Ok(Answer::new(200, found.map(|(number, ticket)| shown(*number, ticket)).collect()))
            }
            ("GET", path) if path.starts_with(&["api", "v1", "tickets"]) && path.len() == 4 => {
                if asked.asks("expand") != Some("true") {
                    return Err(no(422, "the tests want names: expand=true"));
                }
                let (number, ticket) = kept.at(path[3]).ok_or_else(missing)?;
                Ok(Answer::new(200, shown(number, ticket)))
            }
            ("GET", path) if path.starts_with(&["api", "v1", "ticket_articles", "by_ticket"]) && path.len() == 5 => {
                let (number, ticket) = kept.at(path[4]).ok_or_else(missing)?;
                Ok(Answer::new(200, articles(number, ticket)))
            }
            ("POST", path) if path == ["api", "v1", "ticket_articles"] => Self::article(kept, asked),
            ("PUT", path) if path.starts_with(&["api", "v1", "tickets"]) && path.len() == 4 => {
                Self::set(kept, path[3], asked)
            }
            _ => Err(no(404, "No route matches")),
        }
    }
}
