//! Freshservice as <https://api.freshservice.com/> (API v2) describes it: tickets, private notes, files in multipart forms.

use serde_json::{Value as Json, json};

use super::asked::{Asked, object, text};
use super::kept::{File, Kept, Ticket};
use super::serve::{Answer, Said, System};
use super::{CHANGED, TOKEN};

/// The group that stands for level 2.
pub const GROUP: u64 = 22;

/// The system.
#[derive(Debug)]
pub struct Freshservice;

fn no(status: u16, code: &str, why: &str) -> Answer {
    Answer::new(status, json!({ "code": code, "message": why }))
}

fn invalid(field: &str, why: &str) -> Answer {
    let errors = json!([{ "field": field, "message": why, "code": "invalid_value" }]);
    Answer::new(400, json!({ "description": "Validation failed", "errors": errors }))
}

fn missing() -> Answer {
    Answer::new(404, Json::Null)
}

fn group(ticket: &Ticket) -> u64 {
    if ticket.group == "2nd Level" { GROUP } else { 11 }
}

fn shown(number: u64, ticket: &Ticket) -> Json {
    let fields: serde_json::Map<String, Json> = ticket.fields.clone().into_iter().collect();
    json!({
        "id": number, "subject": ticket.title, "description_text": ticket.text, "description": format!("<div>{}</div>", ticket.text),
        "status": 2, "priority": 1, "group_id": group(ticket), "requester_id": 5, "category": "Hardware", "updated_at": CHANGED,
        "requester": { "id": 5, "name": ticket.name, "email": ticket.mail }, "custom_fields": fields,
        "assets": [{ "id": 77, "display_id": 42, "name": ticket.asset }],
    })
}

impl Freshservice {
    fn note(kept: &mut Kept, number: &str, asked: &Asked) -> Said {
        let ticket: u64 = number.parse().map_err(|_error| missing())?;
        let (body, private, files) = match asked.kind() {
            "application/json" => {
                let body = asked.json().map_err(|why| invalid("", &why))?;
                let map = object(&body, &["body"], &["private", "notify_emails", "user_id", "incoming"])
                    .map_err(|why| invalid("", &why))?;
                let private = map.get("private").and_then(Json::as_bool).unwrap_or(true);
                (text(map, "body").map_err(|why| invalid("body", &why))?, private, Vec::new())
            }
            "multipart/form-data" => {
                let body = asked.part("body").map_err(|why| invalid("body", &why))?.text();
                let private = asked.part("private").map_or(true, |part| part.text() == "true");
                let file = |part: &super::asked::Part| {
                    let name = part.file.clone().ok_or_else(|| invalid("attachments", "It should be a file"))?;
                    Ok(File { name, bytes: part.bytes.to_vec(), seen_by_customer: !private })
                };
                let odd =
                    asked.parts.iter().find(|part| !["body", "private", "attachments[]"].contains(&part.name.as_str()));
                if let Some(odd) = odd {
                    return Err(invalid(&odd.name, "Unexpected/invalid field in request"));
                }
                let files = asked.parts.iter().filter(|part| part.name == "attachments[]").map(file);
                (body, private, files.collect::<Result<Vec<_>, Answer>>()?)
            }
            _ => {
                return Err(no(
                    415,
                    "invalid_content_type",
                    "Content-Type must be application/json or multipart/form-data",
                ));
            }
        };
        let held: usize = kept
            .at(number)
            .map(|(_number, ticket)| ticket.files.iter().map(|file| file.bytes.len()).sum())
            .unwrap_or_default();
        if held + files.iter().map(|file| file.bytes.len()).sum::<usize>() > kept.file_bytes_max {
            return Err(invalid("attachments", "The total size of attachments is larger than allowed"));
        }
        let id = kept.note(ticket, body, !private).ok_or_else(missing)?;
        kept.at_mut(number).ok_or_else(missing)?.files.extend(files);
        Ok(Answer::new(201, json!({ "conversation": { "id": id, "private": private, "ticket_id": ticket } })))
    }

    fn filter(kept: &Kept, asked: &Asked) -> Said {
        let query = asked.asks("query").unwrap_or_default();
        if !(query.starts_with('"') && query.ends_with('"') && query.len() > 2) {
            return Err(invalid("query", "the query stands between double quotes"));
        }
        let group = |ticket: &Ticket| query.contains(&format!("group_id:{}", self::group(ticket)));
        let words = query.split("subject:'").nth(1).and_then(|rest| rest.split('\'').next());
        let found = kept.tickets.iter().filter(|(_number, ticket)| match words {
            Some(words) => ticket.title == words,
            None => group(ticket),
        });
        let tickets: Json = found.map(|(number, ticket)| shown(*number, ticket)).collect();
        Ok(Answer::new(200, json!({ "tickets": tickets })))
    }
}

impl System for Freshservice {
    fn answer(&self, kept: &mut Kept, asked: &Asked) -> Said {
        if asked.basic() != Some((TOKEN.into(), "X".into())) {
            return Err(no(401, "invalid_credentials", "You have to be logged in to perform this action."));
        }
        let (method, path) = asked.route();
        let ["api", "v2", path @ ..] = path.as_slice() else { return Err(missing()) };
        match (method, path) {
            ("GET", ["tickets", "filter"]) => Self::filter(kept, asked),
            ("GET", ["tickets", number]) => {
                let (number, ticket) = kept.at(number).ok_or_else(missing)?;
                let mut shown = shown(number, ticket);
                for (key, named) in [("requester", "requester"), ("assets", "assets")] {
                    if !asked.asks("include").unwrap_or_default().split(',').any(|included| included == named) {
                        shown.as_object_mut().map(|map| map.remove(key));
                    }
                }
                Ok(Answer::new(200, json!({ "ticket": shown })))
            }
            ("GET", ["tickets", number, "conversations"]) => {
                let (_number, ticket) = kept.at(number).ok_or_else(missing)?;
                let row = |note: &super::Note| json!({ "id": note.id, "body": note.text, "body_text": note.text, "private": !note.seen_by_customer, "attachments": [] });
                Ok(Answer::new(200, json!({ "conversations": ticket.notes.iter().map(row).collect::<Json>() })))
            }
            ("POST", ["tickets", number, "notes"]) => Self::note(kept, number, asked),
            ("PUT", ["tickets", number]) => {
                let body = asked.json().map_err(|why| invalid("", &why))?;
                let map = object(&body, &[], &["custom_fields", "status", "group_id", "priority"])
                    .map_err(|why| invalid("", &why))?;
                let mut set = map.clone();
                let custom = set.remove("custom_fields").unwrap_or_else(|| json!({}));
                let known = &["deskside_case", "computer"];
                set.extend(object(&custom, &[], known).map_err(|why| invalid("custom_fields", &why))?.clone());
                let ticket = kept.at_mut(number).ok_or_else(missing)?;
                ticket.fields.extend(set);
                let shown = shown(number.parse().unwrap_or_default(), ticket);
                Ok(Answer::new(200, json!({ "ticket": shown })))
            }
            _ => Err(missing()),
        }
    }

    fn failure(&self, status: u16) -> Json {
        json!({ "code": "failure", "message": format!("failing with {status} as the test wants it") })
    }
}
