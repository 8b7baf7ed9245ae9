//! Znuny with the sample web service `GenericTicketConnectorREST.yml` (7.2) of its repository imported: sessions, tickets, articles.
//! Refusals are 200 with an `Error`.

use serde_json::{Value as Json, json};

use super::asked::{Asked, bytes, object, text};
use super::kept::{File, Kept, Ticket};
use super::serve::{Answer, Said, System};
use super::{ACCOUNT, TOKEN};

/// The session that a login gives.
const SESSION: &str = "session-of-deskside";

/// The system.
#[derive(Debug)]
pub struct Znuny;

fn no(code: &str, why: &str) -> Answer {
    Answer::new(200, json!({ "Error": { "ErrorCode": code, "ErrorMessage": why } }))
}

#[allow(clippy::needless_pass_by_value, reason = "it is what map_err hands on")]
fn bad(why: String) -> Answer {
    no("TicketUpdate.InvalidParameter", &why)
}

fn missing() -> Answer {
    no("TicketGet.AccessDenied", "TicketGet: User does not have access to the ticket!")
}

fn shown(number: u64, ticket: &Ticket, articles: bool) -> Json {
    let fields = ticket.fields.iter().map(|(name, value)| json!({ "Name": name, "Value": value }));
    let fields: Vec<Json> = fields.chain([json!({ "Name": "Computer", "Value": ticket.asset })]).collect();
    let mut shown = json!({
        "TicketID": number.to_string(), "TicketNumber": format!("20261122{number:08}"), "Title": ticket.title, "Queue": ticket.group,
        "State": "open", "CustomerUserID": "emuster", "CustomerID": "acme", "Changed": "2026-11-22 09:30:00", "Type": "Incident",
        "DynamicField": fields,
    });
    if articles {
        let first = json!({
            "ArticleID": "1", "SenderType": "customer", "IsVisibleForCustomer": "1", "CommunicationChannel": "Email",
            "From": format!("\"{}\" <{}>", ticket.name, ticket.mail), "Subject": ticket.title, "Body": ticket.text,
        });
        let notes = ticket.notes.iter().map(|note| {
            json!({ "ArticleID": note.id.to_string(), "SenderType": "agent", "IsVisibleForCustomer": u8::from(note.seen_by_customer).to_string(),
                "CommunicationChannel": "Internal", "From": "Deskside", "Subject": "Deskside", "Body": note.text })
        });
        shown["Article"] = std::iter::once(first).chain(notes).collect();
    }
    shown
}

impl Znuny {
    fn update(kept: &mut Kept, number: &str, asked: &Asked) -> Said {
        let body = asked.json().map_err(bad)?;
        let known = &["Article", "Attachment", "Ticket", "DynamicField"];
        let map = object(&body, &["SessionID"], known).map_err(bad)?;
        let ticket: u64 = number.parse().map_err(|_error| missing())?;
        kept.at(number).ok_or_else(missing)?;
        let mut article_id = None;
        if let Some(article) = map.get("Article") {
            let required =
                &["CommunicationChannel", "IsVisibleForCustomer", "SenderType", "Subject", "Body", "ContentType"];
            let article = object(article, required, &["From", "To", "NoAgentNotify"]).map_err(bad)?;
            let seen = article["IsVisibleForCustomer"] != json!(0) || article["CommunicationChannel"] != "Internal";
            let mut files = Vec::new();
            for file in map.get("Attachment").and_then(Json::as_array).into_iter().flatten() {
                let file = object(file, &["Content", "ContentType", "Filename"], &["Disposition"]).map_err(bad)?;
                files.push(File {
                    name: text(file, "Filename").map_err(bad)?,
                    bytes: bytes(file, "Content").map_err(bad)?,
                    seen_by_customer: seen,
                });
            }
            if files.iter().any(|file| file.bytes.len() > kept.file_bytes_max) {
                return Err(Answer::new(413, json!("Request Entity Too Large")));
            }
            article_id = kept.note(ticket, text(article, "Body").map_err(bad)?, seen);
            kept.at_mut(number).ok_or_else(missing)?.files.extend(files);
        } else if map.contains_key("Attachment") {
            return Err(no(
                "TicketUpdate.MissingParameter",
                "TicketUpdate: To create an attachment an article is needed!",
            ));
        }
        for field in map.get("DynamicField").and_then(Json::as_array).into_iter().flatten() {
            let field = object(field, &["Name", "Value"], &[]).map_err(bad)?;
            let name = text(field, "Name").map_err(bad)?;
            if !["DesksideCase", "Computer"].contains(&name.as_str()) {
                return Err(bad("TicketUpdate: DynamicField->Name parameter is invalid!".into()));
            }
            kept.at_mut(number).ok_or_else(missing)?.fields.insert(name, field["Value"].clone());
        }
        if let Some(set) = map.get("Ticket") {
            let set = object(set, &[], &["Queue", "State", "Priority", "Owner"]).map_err(bad)?.clone();
            kept.at_mut(number).ok_or_else(missing)?.fields.extend(set);
        }
        let id = article_id.map_or(Json::Null, |id| json!(id.to_string()));
        Ok(Answer::new(200, json!({ "TicketID": number, "TicketNumber": "1", "ArticleID": id })))
    }

    fn search(kept: &Kept, asked: &Asked) -> Answer {
        let (queue, title, number) = (asked.asks("Queues"), asked.asks("Title"), asked.asks("TicketNumber"));
        let found = kept.tickets.iter().filter(|(id, ticket)| match (queue, title, number) {
            (Some(queue), ..) => ticket.group == queue,
            (None, Some(title), _) => ticket.title.contains(title.trim_matches('*')),
            (None, None, Some(number)) => format!("20261122{id:08}") == number,
            (None, None, None) => false,
        });
        let ids: Vec<String> = found.map(|(number, _ticket)| number.to_string()).collect();
        Answer::new(200, if ids.is_empty() { json!({}) } else { json!({ "TicketID": ids }) })
    }
}

impl System for Znuny {
    fn answer(&self, kept: &mut Kept, asked: &Asked) -> Said {
        let (method, path) = asked.route();
        let ["nph-genericinterface.pl", "Webservice", "GenericTicketConnectorREST", path @ ..] = path.as_slice() else {
            return Err(Answer::new(404, Json::Null));
        };
        if (method, path) == ("POST", &["Session"]) {
            let body = asked.json().map_err(bad)?;
            let map = object(&body, &["UserLogin", "Password"], &[]).map_err(bad)?;
            if map["UserLogin"] != ACCOUNT || map["Password"] != TOKEN {
                return Err(no("SessionCreate.AuthFail", "SessionCreate: Authorization failing!"));
            }
            return Ok(Answer::new(200, json!({ "SessionID": SESSION })));
        }
        let session = match method {
            "GET" => asked.asks("SessionID").map(str::to_owned),
            _ => asked.json().ok().and_then(|body| body["SessionID"].as_str().map(str::to_owned)),
        };
        if session.as_deref() != Some(SESSION) {
            return Err(no("TicketGet.AuthFail", "TicketGet: Authorization failing!"));
        }
        match (method, path) {
            ("GET", ["Ticket"]) => Ok(Self::search(kept, asked)),
            ("GET", ["Ticket", number]) => {
                let (number, ticket) = kept.at(number).ok_or_else(missing)?;
                let shown = shown(number, ticket, asked.asks("AllArticles") == Some("1"));
                Ok(Answer::new(200, json!({ "Ticket": [shown] })))
            }
            ("PATCH", ["Ticket", number]) => Self::update(kept, number, asked),
            _ => Err(Answer::new(500, json!("HTTP::REST Error while determine Operation for request URI"))),
        }
    }

    fn writes(&self, asked: &Asked) -> bool {
        asked.method == "PATCH"
    }
}
