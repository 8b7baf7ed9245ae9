//! iTop as <https://www.itophub.io/wiki/page?id=latest:advancedtopics:rest_json> describes it: one address, a form whose field
//! `json_data` holds the operation, and always 200: whether it went well stands in `code`.

use serde_json::{Value as Json, json};

use super::asked::{Asked, Part, object, text};
use super::kept::{Kept, Ticket};
use super::serve::{Answer, Said, System};
use super::{ACCOUNT, TOKEN};

/// The system.
#[derive(Debug)]
pub struct Itop;

/// A refusal: 200, and a code that is not 0.
fn no(code: u16, why: &str) -> Answer {
    Answer::new(200, json!({ "code": code, "message": why, "objects": null }))
}

#[allow(clippy::needless_pass_by_value, reason = "it is what map_err hands on")]
fn bad(why: String) -> Answer {
    no(100, &format!("Error: {why}"))
}

fn found(class: &str, objects: Vec<(u64, Json)>) -> Answer {
    let message = format!("Found: {}", objects.len());
    let one = |(key, fields): (u64, Json)| {
        (
            format!("{class}::{key}"),
            json!({ "code": 0, "message": "", "class": class, "key": key.to_string(), "fields": fields }),
        )
    };
    let objects: serde_json::Map<String, Json> = objects.into_iter().map(one).collect();
    let objects = if objects.is_empty() { Json::Null } else { Json::Object(objects) };
    Answer::new(200, json!({ "code": 0, "message": message, "objects": objects }))
}

fn fields(number: u64, ticket: &Ticket, wanted: &str) -> Result<Json, Answer> {
    let entries: Json = ticket
        .notes
        .iter()
        .filter(|note| !note.seen_by_customer)
        .map(|note| json!({ "date": "2026-11-22 09:31:00", "user_login": "deskside", "user_id": "9", "message": note.text, "message_html": note.text }))
        .collect();
    let mut all = json!({
        "id": number.to_string(), "ref": format!("R-{number:06}"), "title": ticket.title, "description": format!("<p>{}</p>", ticket.text),
        "status": "assigned", "team_id_friendlyname": ticket.group, "caller_id": "5", "caller_id_friendlyname": ticket.name, "org_id": "3",
        "service_name": "Printing", "last_update": "2026-11-22 09:30:00", "private_log": { "entries": entries },
        "functionalcis_list": [{ "functionalci_id": "42", "functionalci_name": ticket.asset }],
    });
    for (name, value) in &ticket.fields {
        all[name] = value.clone();
    }
    let mut shown = serde_json::Map::new();
    for name in wanted.split(',').map(str::trim) {
        let value = all.get(name).ok_or_else(|| bad(format!("output_fields: Invalid attribute: {name}")))?;
        shown.insert(name.to_owned(), value.clone());
    }
    Ok(Json::Object(shown))
}

impl Itop {
    fn get(kept: &Kept, map: &serde_json::Map<String, Json>) -> Said {
        let (class, wanted) = (text(map, "class").map_err(bad)?, text(map, "output_fields").map_err(bad)?);
        let key = &map["key"];
        if class == "Person" {
            let ticket = kept.tickets.values().next().ok_or_else(|| no(0, "Found: 0"))?;
            return Ok(found("Person", vec![(5, json!({ "email": ticket.mail, "friendlyname": ticket.name }))]));
        }
        if class != "UserRequest" {
            return Err(bad(format!("class: Invalid class name {class}")));
        }
        let oql = key.as_str().unwrap_or_default();
        let quoted = |after: &str| oql.split(after).nth(1).and_then(|rest| rest.split('\'').nth(1)).map(str::to_owned);
        let (team, words, reference) = (quoted("team_id_friendlyname IN ("), quoted("title LIKE "), quoted("ref = "));
        let id = key.as_u64().or_else(|| oql.parse().ok());
        let matching = kept.tickets.iter().filter(|(number, ticket)| match id {
            Some(id) => **number == id,
            None => {
                team.as_ref().is_some_and(|team| *team == ticket.group)
                    || words.as_ref().is_some_and(|words| ticket.title.contains(words.trim_matches('%')))
                    || reference.as_ref().is_some_and(|reference| *reference == format!("R-{number:06}"))
            }
        });
        let shown = matching.map(|(number, ticket)| Ok((*number, fields(*number, ticket, &wanted)?)));
        Ok(found("UserRequest", shown.collect::<Result<_, Answer>>()?))
    }

    fn update(kept: &mut Kept, map: &serde_json::Map<String, Json>) -> Said {
        if map["class"] != "UserRequest" {
            return Err(bad("class: only a UserRequest is changed".into()));
        }
        let number = map["key"].as_u64().or_else(|| map["key"].as_str()?.parse().ok());
        let number =
            number.filter(|number| kept.tickets.contains_key(number)).ok_or_else(|| bad("No item found".into()))?;
        let known = &["private_log", "public_log", "external_ref", "urgency"];
        for (name, value) in object(&map["fields"], &[], known).map_err(bad)? {
            if let "private_log" | "public_log" = name.as_str() {
                let item = object(value, &["add_item"], &[]).map_err(bad)?;
                let item = object(&item["add_item"], &["message", "format"], &["date", "user_login"]).map_err(bad)?;
                if !["html", "text"].contains(&item["format"].as_str().unwrap_or_default()) {
                    return Err(bad("format is html or text".into()));
                }
                kept.note(number, text(item, "message").map_err(bad)?, name == "public_log");
            } else if let Some(ticket) = kept.tickets.get_mut(&number) {
                ticket.fields.insert(name.clone(), value.clone());
            }
        }
        Ok(found("UserRequest", vec![(number, json!({ "id": number.to_string() }))]))
    }

    fn operation(asked: &Asked) -> Option<Json> {
        serde_json::from_slice(&asked.part("json_data").ok()?.bytes).ok()
    }
}

impl System for Itop {
    fn answer(&self, kept: &mut Kept, asked: &Asked) -> Said {
        if asked.route() != ("POST", vec!["webservices", "rest.php"]) || asked.asks("version") != Some("1.3") {
            return Err(Answer::new(404, json!("POST /webservices/rest.php?version=1.3")));
        }
        let said = |name: &str| asked.part(name).map(Part::text).unwrap_or_default();
        if said("auth_user") != ACCOUNT || said("auth_pwd") != TOKEN {
            return Err(no(1, "Error: Invalid login"));
        }
        let json = Self::operation(asked).ok_or_else(|| no(2, "Error: Missing parameter 'json_data'"))?;
        let operation = json["operation"].as_str().unwrap_or_default().to_owned();
        match operation.as_str() {
            "core/get" => Self::get(
                kept,
                object(&json, &["operation", "class", "key", "output_fields"], &["limit", "page"]).map_err(bad)?,
            ),
            "core/update" => {
                let keys = &["operation", "class", "key", "fields", "comment", "output_fields"];
                Self::update(kept, object(&json, keys, &[]).map_err(bad)?)
            }
            other => Err(no(11, &format!("Error: Unknown verb '{other}'"))),
        }
    }

    fn writes(&self, asked: &Asked) -> bool {
        Self::operation(asked).is_some_and(|json| json["operation"] != "core/get")
    }

    fn failure(&self, status: u16) -> Json {
        json!({ "code": 100, "message": format!("Error: failing with {status} as the test wants it") })
    }
}
