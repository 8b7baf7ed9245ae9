//! GLPI's second REST API as its own `OpenAPI` page (`api.php/doc`) describes it: `OAuth2` by password, tickets and their timeline. Files
//! go through the first API, which is there besides.

use serde_json::{Value as Json, json};

use super::asked::{Asked, object, text};
use super::glpi::Glpi;
use super::kept::{Kept, Ticket};
use super::serve::{Answer, Said, System};
use super::{ACCOUNT, TOKEN};

/// The token that a login gives.
const ACCESS: &str = "access-token-of-deskside";

/// The client of the `OAuth2` login.
pub const CLIENT: (&str, &str) = ("deskside-client", "client-secret-of-deskside");

/// The system.
#[derive(Debug)]
pub struct GlpiV2;

fn no(status: u16, code: &str, why: &str) -> Answer {
    Answer::new(status, json!({ "status": code, "title": why, "detail": null }))
}

fn missing() -> Answer {
    no(404, "ERROR_ITEM_NOT_FOUND", "Item not found")
}

fn shown(number: u64, ticket: &Ticket) -> Json {
    let mut shown = json!({
        "id": number, "name": ticket.title, "content": format!("<p>{}</p>", ticket.text), "status": { "id": 2, "name": "Processing (assigned)" },
        "date_mod": "2026-11-22T09:30:00+00:00", "category": null, "external_id": null,
        "user_recipient": { "id": 5, "name": "emuster" },
        "team": [
            { "id": 5, "type": "User", "role": "requester", "name": "emuster" },
            { "id": 22, "type": "Group", "role": "assigned", "name": ticket.group },
        ],
    });
    for (name, value) in &ticket.fields {
        shown[name] = value.clone();
    }
    shown
}

impl GlpiV2 {
    fn login(asked: &Asked) -> Said {
        if asked.kind() != "application/x-www-form-urlencoded" {
            return Err(no(400, "ERROR_INVALID_PARAMETER", "the login is a form"));
        }
        let said = |name: &str| asked.part(name).map(super::asked::Part::text).unwrap_or_default();
        let right = said("grant_type") == "password"
            && said("scope") == "api"
            && (said("client_id").as_str(), said("client_secret").as_str()) == CLIENT
            && said("username") == ACCOUNT
            && said("password") == TOKEN;
        if !right {
            return Err(Answer::new(
                401,
                json!({ "error": "invalid_client", "error_description": "Client authentication failed" }),
            ));
        }
        Ok(Answer::new(
            200,
            json!({ "token_type": "Bearer", "expires_in": 3600, "access_token": ACCESS, "refresh_token": "r" }),
        ))
    }

    fn followup(kept: &mut Kept, number: &str, asked: &Asked) -> Said {
        let bad = |why: String| no(400, "ERROR_INVALID_PARAMETER", &why);
        let body = asked.json().map_err(bad)?;
        let map = object(&body, &["content", "is_private"], &[]).map_err(bad)?;
        let private = map["is_private"].as_bool().ok_or_else(|| bad("is_private is no boolean".into()))?;
        let ticket = number.parse().map_err(|_error| missing())?;
        let id = kept.note(ticket, text(map, "content").map_err(bad)?, !private).ok_or_else(missing)?;
        Ok(Answer::new(201, json!({ "id": id, "href": format!("/Assistance/Ticket/{ticket}/Timeline/Followup/{id}") })))
    }

    fn tickets(kept: &Kept, asked: &Asked) -> Said {
        let Some(filter) = asked.asks("filter") else {
            return Err(no(400, "ERROR_INVALID_PARAMETER", "a filter is wanted"));
        };
        let words = filter.split("name=ilike=").nth(1).map(|rest| rest.trim_matches(['"', '*']).to_owned());
        let id = filter.strip_prefix("id==");
        let found = kept.tickets.iter().filter(|(number, ticket)| match (&words, id) {
            (Some(words), _) => ticket.title.contains(words.as_str()),
            (None, Some(id)) => number.to_string() == id,
            (None, None) => filter.starts_with("date_mod=ge="),
        });
        Ok(Answer::new(200, found.map(|(number, ticket)| shown(*number, ticket)).collect()))
    }
}

impl System for GlpiV2 {
    fn answer(&self, kept: &mut Kept, asked: &Asked) -> Said {
        let (method, path) = asked.route();
        if path.first() == Some(&"apirest.php") {
            return Glpi.answer(kept, asked);
        }
        let ["api.php", path @ ..] = path.as_slice() else { return Err(missing()) };
        if (method, path) == ("POST", &["token"]) {
            return Self::login(asked);
        }
        if asked.header("authorization") != format!("Bearer {ACCESS}") {
            return Err(no(401, "ERROR_UNAUTHENTICATED", "You are not authenticated"));
        }
        let bad = |why: String| no(400, "ERROR_INVALID_PARAMETER", &why);
        match (method, path) {
            ("GET", ["v2", "Assistance", "Ticket"]) => Self::tickets(kept, asked),
            ("GET", ["v2", "Assistance", "Ticket", number]) => {
                let (number, ticket) = kept.at(number).ok_or_else(missing)?;
                Ok(Answer::new(200, shown(number, ticket)))
            }
            ("GET", ["v2", "Assistance", "Ticket", number, "Timeline", "Followup"]) => {
                let (_number, ticket) = kept.at(number).ok_or_else(missing)?;
                let row = |note: &super::Note| json!({ "id": note.id, "content": note.text, "is_private": !note.seen_by_customer });
                Ok(Answer::new(200, ticket.notes.iter().map(row).collect()))
            }
            ("GET", ["v2", "Administration", "User", "5"]) => {
                let ticket = kept.tickets.values().next().ok_or_else(missing)?;
                let (first, last) = ticket.name.split_once(' ').unwrap_or((&ticket.name, ""));
                let emails = json!([{ "id": 1, "email": ticket.mail, "is_default": true }]);
                let person =
                    json!({ "id": 5, "username": "emuster", "firstname": first, "realname": last, "emails": emails });
                Ok(Answer::new(200, person))
            }
            ("POST", ["v2", "Assistance", "Ticket", number, "Timeline", "Followup"]) => {
                Self::followup(kept, number, asked)
            }
            ("PATCH", ["v2", "Assistance", "Ticket", number]) => {
                let body = asked.json().map_err(bad)?;
                let map = object(&body, &[], &["status", "external_id", "priority"]).map_err(bad)?.clone();
                let ticket = kept.at_mut(number).ok_or_else(missing)?;
                ticket.fields.extend(map);
                let shown = shown(number.parse().unwrap_or_default(), ticket);
                Ok(Answer::new(200, shown))
            }
            _ => Err(no(404, "ERROR_RESOURCE_NOT_FOUND", "Resource not found")),
        }
    }

    fn writes(&self, asked: &Asked) -> bool {
        asked.method != "GET" && asked.path.last().is_none_or(|last| last != "token")
    }

    fn failure(&self, status: u16) -> Json {
        json!({ "status": "ERROR", "title": format!("failing with {status} as the test wants it"), "detail": null })
    }
}
