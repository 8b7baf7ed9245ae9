//! GLPI's first REST API as its apirest.md describes it: sessions, items and sub-items, documents as multipart forms. Refusals are
//! arrays of a code and words.

use serde_json::{Value as Json, json};

use super::TOKEN;
use super::asked::{Asked, number, object, text};
use super::kept::{File, Kept, Ticket};
use super::serve::{Answer, Said, System};

/// The session's token that a login gives.
const SESSION: &str = "83af7e620c83a50a18d3eac2f6ed05a3";

/// The application's token.
pub const APP_TOKEN: &str = "app-token-of-deskside";

/// The group that stands for level 2.
pub const GROUP: u64 = 22;

/// The system.
#[derive(Debug)]
pub struct Glpi;

fn no(status: u16, code: &str, why: &str) -> Answer {
    Answer::new(status, json!([code, why]))
}

fn bad(why: &str) -> Answer {
    no(400, "ERROR_BAD_ARRAY", why)
}

fn missing() -> Answer {
    no(404, "ERROR_ITEM_NOT_FOUND", "Item not found")
}

/// A group's number from its name.
fn group(ticket: &Ticket) -> u64 {
    if ticket.group == "2nd Level" { GROUP } else { 11 }
}

/// The input of a request that writes.
fn input(asked: &Asked) -> Result<Json, Answer> {
    let body = asked.json().map_err(|why| no(400, "ERROR_JSON_PAYLOAD_INVALID", &why))?;
    object(&body, &["input"], &[]).map_err(|why| bad(&why))?;
    Ok(body["input"].clone())
}

impl Glpi {
    fn read(kept: &Kept, path: &[&str]) -> Said {
        let rows = |rows: Json| Ok(Answer::new(200, rows));
        match path {
            ["Ticket", number] => {
                let (number, ticket) = kept.at(number).ok_or_else(missing)?;
                let text = ticket.text.replace('<', "&lt;");
                let mut shown = json!({
                    "id": number, "name": ticket.title, "content": format!("&lt;p&gt;{text}&lt;/p&gt;"), "status": 2,
                    "date_mod": "2026-11-22 09:30:00", "users_id_recipient": 5, "entities_id": 0, "itilcategories_id": 0,
                });
                for (name, value) in &ticket.fields {
                    shown[name] = value.clone();
                }
                rows(shown)
            }
            ["Ticket", number, "ITILFollowup"] => {
                let (number, ticket) = kept.at(number).ok_or_else(missing)?;
                let row = |note: &super::Note| {
                    json!({
                        "id": note.id, "itemtype": "Ticket", "items_id": number, "is_private": u8::from(!note.seen_by_customer),
                        "content": note.text, "date": "2026-11-22 09:31:00",
                    })
                };
                rows(ticket.notes.iter().map(row).collect())
            }
            ["Ticket", number, "Ticket_User"] => {
                let (number, _ticket) = kept.at(number).ok_or_else(missing)?;
                rows(json!([
                    { "id": 1, "tickets_id": number, "users_id": 9, "type": 2 },
                    { "id": 2, "tickets_id": number, "users_id": 5, "type": 1 },
                ]))
            }
            ["Ticket", number, "Group_Ticket"] => {
                let (number, ticket) = kept.at(number).ok_or_else(missing)?;
                rows(json!([{ "id": 1, "tickets_id": number, "groups_id": group(ticket), "type": 2 }]))
            }
            ["Ticket", number, "Item_Ticket"] => {
                let (number, _ticket) = kept.at(number).ok_or_else(missing)?;
                rows(json!([{ "id": 1, "tickets_id": number, "itemtype": "Computer", "items_id": 42 }]))
            }
            path => Self::beside(kept, path),
        }
    }

    /// What is no ticket: documents, computers, persons.
    fn beside(kept: &Kept, path: &[&str]) -> Said {
        let rows = |rows: Json| Ok(Answer::new(200, rows));
        match path {
            ["ITILFollowup", note, "Document_Item"] => {
                let note: u64 = note.parse().map_err(|_error| missing())?;
                let on = kept
                    .tickets
                    .values()
                    .find(|ticket| ticket.notes.iter().any(|kept| kept.id == note))
                    .ok_or_else(missing)?;
                let row = |place: usize| json!({ "id": place, "documents_id": place, "itemtype": "ITILFollowup", "items_id": note });
                rows((0..on.files.len()).map(row).collect())
            }
            ["Document", place] => {
                let mut files = kept.tickets.values().flat_map(|ticket| &ticket.files);
                let file = place.parse().ok().and_then(|place| files.nth(place)).ok_or_else(missing)?;
                rows(json!({ "id": 1, "name": file.name, "filename": file.name }))
            }
            ["Computer", "42"] => {
                let ticket = kept.tickets.values().next().ok_or_else(missing)?;
                rows(json!({ "id": 42, "name": ticket.asset, "serial": "5CG0042" }))
            }
            ["User", "5"] => {
                let ticket = kept.tickets.values().next().ok_or_else(missing)?;
                let (first, last) = ticket.name.split_once(' ').unwrap_or((&ticket.name, ""));
                rows(json!({ "id": 5, "name": "emuster", "firstname": first, "realname": last }))
            }
            ["User", "5", "UserEmail"] => {
                let ticket = kept.tickets.values().next().ok_or_else(missing)?;
                rows(json!([{ "id": 1, "users_id": 5, "is_default": 1, "email": ticket.mail }]))
            }
            _ => Err(no(
                400,
                "ERROR_RESOURCE_NOT_FOUND_NOR_COMMONDBTM",
                "resource not found or not an instance of CommonDBTM",
            )),
        }
    }

    fn search(kept: &Kept, asked: &Asked) -> Said {
        let criterion = |place: usize, key: &str| asked.asks(&format!("criteria[{place}][{key}]"));
        if asked.asks("forcedisplay[0]") != Some("2") {
            return Err(bad("the tests want the id: forcedisplay[0]=2"));
        }
        let found =
            kept.tickets.iter().filter(|(number, ticket)| match (criterion(0, "field"), criterion(0, "value")) {
                (Some("1"), Some(words)) => ticket.title.contains(words),
                (Some("2"), Some(id)) => number.to_string() == id,
                (Some("8"), Some(id)) => group(ticket).to_string() == id,
                _ => false,
            });
        let rows: Vec<Json> = found.map(|(number, ticket)| json!({ "2": number, "1": ticket.title })).collect();
        Ok(Answer::new(200, json!({ "totalcount": rows.len(), "count": rows.len(), "data": rows })))
    }

    fn followup(kept: &mut Kept, number: &str, asked: &Asked) -> Said {
        let input = input(asked)?;
        let map = object(&input, &["itemtype", "items_id", "content", "is_private"], &[]).map_err(|why| bad(&why))?;
        let ticket: u64 = number.parse().map_err(|_error| missing())?;
        if text(map, "itemtype").as_deref() != Ok("Ticket") || self::number(map, "items_id") != Ok(ticket) {
            return Err(bad("itemtype and items_id must be the ticket's"));
        }
        let private = self::number(map, "is_private").map_err(|why| bad(&why))? == 1;
        let id = kept.note(ticket, text(map, "content").map_err(|why| bad(&why))?, !private).ok_or_else(missing)?;
        Ok(Answer::new(201, json!({ "id": id, "message": "" })))
    }

    fn document(kept: &mut Kept, asked: &Asked) -> Said {
        if asked.kind() != "multipart/form-data" {
            return Err(bad("a document is a multipart form"));
        }
        let wrong = |why: String| bad(&why);
        let manifest = asked.part("uploadManifest").map_err(wrong)?;
        if manifest.kind.as_deref() != Some("application/json") {
            return Err(bad("the part uploadManifest must be application/json"));
        }
        let json: Json = serde_json::from_slice(&manifest.bytes).map_err(|error| bad(&error.to_string()))?;
        let map = object(&json, &["input"], &[]).map_err(wrong)?;
        let map = object(&map["input"], &["name", "_filename"], &["entities_id"]).map_err(wrong)?;
        let file = asked.part("filename[0]").map_err(wrong)?;
        let name = file.file.clone().ok_or_else(|| bad("filename[0] is no file"))?;
        if map["_filename"] != json!([name]) || asked.parts.len() != 2 {
            return Err(bad("_filename must name the file of the form, and nothing else be in it"));
        }
        if file.bytes.len() > kept.file_bytes_max {
            return Err(no(400, "ERROR_UPLOAD_FILE_TOO_BIG_POST_MAX_SIZE", "The file seems too big"));
        }
        let id = kept.number();
        let kept_file = File { name: name.clone(), bytes: file.bytes.to_vec(), seen_by_customer: true };
        kept.uploads.insert(id.to_string(), kept_file);
        Ok(Answer::new(
            201,
            json!({ "id": id, "message": "Item successfully added", "upload_result": { "filename": [{ "name": name }] } }),
        ))
    }

    fn link(kept: &mut Kept, asked: &Asked) -> Said {
        let input = input(asked)?;
        let map = object(&input, &["documents_id", "itemtype", "items_id"], &[]).map_err(|why| bad(&why))?;
        let (document, item) = (number(map, "documents_id"), number(map, "items_id"));
        let (Ok(document), Ok(item)) = (document, item) else { return Err(bad("ids must be numbers")) };
        let mut file = kept.uploads.remove(&document.to_string()).ok_or_else(missing)?;
        let found = kept.tickets.iter_mut().find_map(|(number, ticket)| match map["itemtype"].as_str() {
            Some("Ticket") if *number == item => Some((true, ticket)),
            Some("ITILFollowup") => {
                let seen = ticket.notes.iter().find(|note| note.id == item)?.seen_by_customer;
                Some((seen, ticket))
            }
            _ => None,
        });
        let (seen, ticket) = found.ok_or_else(missing)?;
        file.seen_by_customer = seen;
        ticket.files.push(file);
        Ok(Answer::new(201, json!({ "id": kept.number(), "message": "" })))
    }

    fn session(asked: &Asked) -> Said {
        if asked.header("authorization") != format!("user_token {TOKEN}") {
            return Err(no(401, "ERROR_GLPI_LOGIN_USER_TOKEN", "parameter user_token seems invalid"));
        }
        Ok(Answer::new(200, json!({ "session_token": SESSION })))
    }
}

impl System for Glpi {
    fn answer(&self, kept: &mut Kept, asked: &Asked) -> Said {
        if asked.header("app-token") != APP_TOKEN {
            return Err(no(400, "ERROR_WRONG_APP_TOKEN_PARAMETER", "parameter app_token seems wrong"));
        }
        if asked.method == "GET" && !asked.body.is_empty() {
            return Err(no(
                400,
                "ERROR_JSON_PAYLOAD_FORBIDDEN",
                "GET Request should not have json payload (http body)",
            ));
        }
        let (method, path) = asked.route();
        let ["apirest.php", path @ ..] = path.as_slice() else { return Err(missing()) };
        if *path == ["initSession"] {
            return Self::session(asked);
        }
        match asked.header("session-token") {
            SESSION => {}
            "" => return Err(no(400, "ERROR_SESSION_TOKEN_MISSING", "parameter session_token is missing or empty")),
            _ => return Err(no(401, "ERROR_SESSION_TOKEN_INVALID", "session_token seems invalid")),
        }
        match (method, path) {
            ("GET", ["killSession"]) => Ok(Answer::new(200, Json::Null)),
            ("GET", ["search", "Ticket"]) => Self::search(kept, asked),
            ("GET", path) => Self::read(kept, path),
            ("POST", ["Ticket", number, "ITILFollowup"]) => Self::followup(kept, number, asked),
            ("POST", ["Document"]) => Self::document(kept, asked),
            ("POST", ["Document_Item"]) => Self::link(kept, asked),
            ("PUT", ["Ticket", number]) => {
                let input = input(asked)?;
                let known = &["status", "externalid", "itilcategories_id", "priority"];
                let map = object(&input, &[], known).map_err(|why| bad(&why))?.clone();
                kept.at_mut(number).ok_or_else(missing)?.fields.extend(map);
                Ok(Answer::new(200, json!([{ (*number): true, "message": "" }])))
            }
            _ => Err(no(405, "ERROR_METHOD_NOT_ALLOWED", "method not allowed")),
        }
    }

    fn failure(&self, status: u16) -> Json {
        json!(["ERROR", format!("failing with {status} as the test wants it")])
    }
}
