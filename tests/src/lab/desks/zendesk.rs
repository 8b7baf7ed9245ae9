//! Zendesk as <https://developer.zendesk.com/api-reference/ticketing/> describes it: tickets, comments that are public or not, uploads.

use serde_json::{Value as Json, json};

use super::asked::{Asked, object};
use super::kept::{File, Kept, Ticket};
use super::serve::{Answer, Said, System};
use super::{ACCOUNT, CHANGED, TOKEN};

/// The group that stands for level 2.
pub const GROUP: u64 = 22;

/// The system; its attachments are private where the account is set so.
#[derive(Debug)]
pub struct Zendesk {
    /// "Require authentication to download attachments", and private ones besides.
    pub private_attachments: bool,
}

fn no(status: u16, error: &str, why: &str) -> Answer {
    Answer::new(status, json!({ "error": error, "description": why }))
}

fn bad(why: &str) -> Answer {
    no(422, "RecordInvalid", why)
}

fn missing() -> Answer {
    no(404, "RecordNotFound", "Not found")
}

fn group(ticket: &Ticket) -> u64 {
    if ticket.group == "2nd Level" { GROUP } else { 11 }
}

fn of(name: &str) -> &str {
    name.strip_suffix(".json").unwrap_or_default()
}

fn shown(number: u64, ticket: &Ticket) -> Json {
    let mut custom = vec![json!({ "id": 900, "value": ticket.asset })];
    let plain = |name: &String| name.parse::<u64>().is_err();
    custom.extend(
        ticket
            .fields
            .iter()
            .filter(|(name, _value)| !plain(name))
            .map(|(name, value)| json!({ "id": name.parse::<u64>().unwrap_or_default(), "value": value })),
    );
    json!({
        "id": number, "subject": ticket.title, "description": ticket.text, "status": "open", "group_id": group(ticket),
        "requester_id": 5, "custom_fields": custom, "updated_at": CHANGED, "type": "incident",
    })
}

impl Zendesk {
    fn change(&self, kept: &mut Kept, name: &str, asked: &Asked) -> Said {
        let body = asked.json().map_err(|why| bad(&why))?;
        let map = object(&body, &["ticket"], &[]).map_err(|why| bad(&why))?;
        let known = &["comment", "status", "group_id", "priority", "custom_fields", "safe_update", "updated_stamp"];
        let map = object(&map["ticket"], &[], known).map_err(|why| bad(&why))?.clone();
        let number: u64 = of(name).parse().map_err(|_error| missing())?;
        kept.at(of(name)).ok_or_else(missing)?;
        for (key, value) in map {
            match key.as_str() {
                "comment" => self.comment(kept, number, &value)?,
                "custom_fields" => {
                    for field in value.as_array().into_iter().flatten() {
                        let map = object(field, &["id", "value"], &[]).map_err(|why| bad(&why))?;
                        let id = map["id"].as_u64().filter(|id| [900, 901].contains(id));
                        let id = id.ok_or_else(|| bad("no such custom field"))?;
                        kept.at_mut(of(name)).ok_or_else(missing)?.fields.insert(id.to_string(), map["value"].clone());
                    }
                }
                _ => drop(kept.at_mut(of(name)).ok_or_else(missing)?.fields.insert(key, value)),
            }
        }
        let (number, ticket) = kept.at(of(name)).ok_or_else(missing)?;
        let audit =
            json!({ "id": 1, "events": [{ "id": ticket.notes.last().map_or(0, |note| note.id), "type": "Comment" }] });
        Ok(Answer::new(200, json!({ "ticket": shown(number, ticket), "audit": audit })))
    }

    fn comment(&self, kept: &mut Kept, number: u64, comment: &Json) -> Result<(), Answer> {
        let map =
            object(comment, &[], &["body", "html_body", "public", "uploads", "author_id"]).map_err(|why| bad(&why))?;
        let said = [map.get("body"), map.get("html_body")];
        let [text] = said.into_iter().flatten().collect::<Vec<_>>()[..] else {
            return Err(bad("body or html_body, and not both"));
        };
        // Why: a comment is public unless it is said otherwise.
        let public = map.get("public").and_then(Json::as_bool).unwrap_or(true);
        let seen = public || !self.private_attachments;
        for token in map.get("uploads").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str) {
            let mut file = kept.uploads.remove(token).ok_or_else(|| bad("the upload's token is not known"))?;
            file.seen_by_customer = seen;
            kept.at_mut(&number.to_string()).ok_or_else(missing)?.files.push(file);
        }
        kept.note(number, text.as_str().unwrap_or_default().to_owned(), public).map(drop).ok_or_else(missing)
    }

    fn upload(kept: &mut Kept, asked: &Asked) -> Said {
        let name = asked.asks("filename").ok_or_else(|| bad("filename is missing"))?;
        if asked.kind().is_empty() || asked.kind().starts_with("multipart") {
            return Err(bad("the file is the body, with its own content type"));
        }
        if asked.body.len() > kept.file_bytes_max {
            return Err(no(413, "RequestEntityTooLarge", "The file is too large"));
        }
        let token = format!("up{}", kept.number());
        kept.uploads
            .insert(token.clone(), File { name: name.to_owned(), bytes: asked.body.to_vec(), seen_by_customer: true });
        Ok(Answer::new(201, json!({ "upload": { "token": token, "attachment": { "file_name": name } } })))
    }

    fn search(kept: &Kept, asked: &Asked) -> Said {
        let query = asked
            .asks("query")
            .filter(|query| query.starts_with("type:ticket"))
            .ok_or_else(|| bad("type:ticket is wanted"))?;
        let group = |ticket: &Ticket| query.contains(&format!("group:{}", self::group(ticket)));
        let words = query.split('"').nth(1);
        let found = kept.tickets.iter().filter(|(_number, ticket)| match words {
            Some(words) => ticket.title.contains(words),
            None => group(ticket),
        });
        let rows: Vec<Json> = found.map(|(number, ticket)| shown(*number, ticket)).collect();
        Ok(Answer::new(200, json!({ "count": rows.len(), "results": rows, "next_page": null })))
    }
}

impl System for Zendesk {
    fn answer(&self, kept: &mut Kept, asked: &Asked) -> Said {
        if asked.basic() != Some((format!("{ACCOUNT}/token"), TOKEN.into())) {
            return Err(Answer::new(401, json!({ "error": "Couldn't authenticate you" })));
        }
        let (method, path) = asked.route();
        let ["api", "v2", path @ ..] = path.as_slice() else { return Err(missing()) };
        match (method, path) {
            ("GET", ["users", "5.json"]) => {
                let ticket = kept.tickets.values().next().ok_or_else(missing)?;
                Ok(Answer::new(200, json!({ "user": { "id": 5, "name": ticket.name, "email": ticket.mail } })))
            }
            ("GET", ["search.json"]) => Self::search(kept, asked),
            ("GET", ["tickets", name]) => {
                let (number, ticket) = kept.at(of(name)).ok_or_else(missing)?;
                Ok(Answer::new(200, json!({ "ticket": shown(number, ticket) })))
            }
            ("GET", ["tickets", number, "comments.json"]) => {
                let (_number, ticket) = kept.at(number).ok_or_else(missing)?;
                let row = |note: &super::Note| {
                    json!({ "id": note.id, "type": "Comment", "html_body": note.text, "plain_body": note.text, "body": note.text,
                        "public": note.seen_by_customer, "attachments": [] })
                };
                Ok(Answer::new(
                    200,
                    json!({ "comments": ticket.notes.iter().map(row).collect::<Json>(), "next_page": null }),
                ))
            }
            ("POST", ["uploads.json"]) => Self::upload(kept, asked),
            ("PUT", ["tickets", name]) => self.change(kept, name, asked),
            _ => Err(no(404, "InvalidEndpoint", "Not found")),
        }
    }

    fn failure(&self, status: u16) -> Json {
        json!({ "error": "Failure", "description": format!("failing with {status} as the test wants it") })
    }
}
