//! `ServiceNow` as the Table API and the Attachment API at <https://www.servicenow.com/docs/> (REST API reference) describe it.

use serde_json::{Value as Json, json};

use super::asked::{Asked, object};
use super::kept::{File, Kept, Ticket};
use super::serve::{Answer, Said, System};
use super::{ACCOUNT, TOKEN};

/// The system.
#[derive(Debug)]
pub struct ServiceNow;

const KNOWN: &[&str] =
    &["work_notes", "comments", "state", "assignment_group", "escalation", "cmdb_ci", "u_deskside_case", "u_computer"];

fn no(status: u16, why: &str) -> Answer {
    Answer::new(status, json!({ "error": { "message": why, "detail": "" }, "status": "failure" }))
}

fn missing() -> Answer {
    no(404, "No Record found")
}

/// A record's identity from a ticket's number: 32 hexadecimal digits.
pub fn sys_id(number: u64) -> String {
    format!("{number:032x}")
}

fn of(id: &str) -> String {
    u64::from_str_radix(id, 16).map(|number| number.to_string()).unwrap_or_default()
}

fn record(number: u64, ticket: &Ticket) -> Json {
    let both = |display: &str, value: &str| json!({ "display_value": display, "value": value });
    let mut record = json!({
        "sys_id": both(&sys_id(number), &sys_id(number)), "number": both(&format!("INC{number:07}"), &format!("INC{number:07}")),
        "short_description": both(&ticket.title, &ticket.title), "description": both(&ticket.text, &ticket.text),
        "state": both("In Progress", "2"), "category": both("Hardware", "hardware"),
        "assignment_group": both(&ticket.group, "287ebd7da9fe198100f92cc8d1d2154e"),
        "caller_id": both(&ticket.name, "6816f79cc0a8016401c5a33be04be441"),
        "caller_id.email": both(&ticket.mail, &ticket.mail), "caller_id.user_name": both("emuster", "emuster"),
        "cmdb_ci": both(&ticket.asset, "b0c4030ac0a800090152e7a4564ca36c"), "cmdb_ci.name": both(&ticket.asset, &ticket.asset),
        "sys_updated_on": both("2026-11-22 10:30:00", "2026-11-22 09:30:00"), "u_computer": both(&ticket.asset, &ticket.asset),
    });
    for (name, value) in &ticket.fields {
        record[name] = json!({ "display_value": value, "value": value });
    }
    record
}

impl ServiceNow {
    fn incidents(kept: &Kept, asked: &Asked) -> Said {
        let query = asked.asks("sysparm_query").ok_or_else(|| no(400, "the tests want sysparm_query"))?;
        if asked.asks("sysparm_display_value") != Some("all") || asked.asks("sysparm_limit").is_none() {
            return Err(no(400, "the tests want sysparm_display_value=all and a limit"));
        }
        let after = |key: &str| query.split('^').find_map(|part| part.strip_prefix(key)).map(str::to_owned);
        let (number, group, words) =
            (after("number="), after("assignment_group.nameIN"), after("short_descriptionLIKE"));
        let found = kept.tickets.iter().filter(|(id, ticket)| match (&number, &group, &words) {
            (Some(number), ..) => format!("INC{id:07}") == *number,
            (None, Some(group), _) => group.split(',').any(|group| group == ticket.group),
            (None, None, Some(words)) => ticket.title.contains(words.as_str()),
            (None, None, None) => false,
        });
        let rows: Json = found.map(|(number, ticket)| record(*number, ticket)).collect();
        Ok(Answer::new(200, json!({ "result": rows })))
    }

    fn journal(kept: &Kept, asked: &Asked) -> Said {
        let query = asked.asks("sysparm_query").unwrap_or_default();
        let part = |key: &str| query.split('^').find_map(|part| part.strip_prefix(key)).map(str::to_owned);
        let (Some(id), Some(words)) = (part("element_id="), part("valueLIKE")) else {
            return Err(no(400, "the tests want element_id and valueLIKE"));
        };
        let notes = kept.at(&of(&id)).map(|(_number, ticket)| ticket.notes.clone()).unwrap_or_default();
        let found = notes.iter().filter(|note| note.text.contains(&words));
        let rows: Json = found
            .map(|note| json!({ "sys_id": sys_id(note.id), "value": note.text, "element": "work_notes" }))
            .collect();
        Ok(Answer::new(200, json!({ "result": rows })))
    }

    fn change(kept: &mut Kept, id: &str, asked: &Asked) -> Said {
        let body = asked.json().map_err(|why| no(400, &why))?;
        let map = object(&body, &[], KNOWN).map_err(|why| no(400, &why))?.clone();
        let number: u64 = of(id).parse().map_err(|_error| missing())?;
        kept.at(&of(id)).ok_or_else(missing)?;
        for (name, value) in map {
            match name.as_str() {
                "work_notes" => drop(kept.note(number, value.as_str().unwrap_or_default().to_owned(), false)),
                "comments" => drop(kept.note(number, value.as_str().unwrap_or_default().to_owned(), true)),
                _ => drop(kept.at_mut(&of(id)).map(|ticket| ticket.fields.insert(name, value))),
            }
        }
        let (number, ticket) = kept.at(&of(id)).ok_or_else(missing)?;
        Ok(Answer::new(200, json!({ "result": record(number, ticket) })))
    }

    fn attach(kept: &mut Kept, asked: &Asked) -> Said {
        let (Some("incident"), Some(id), Some(name)) =
            (asked.asks("table_name"), asked.asks("table_sys_id"), asked.asks("file_name"))
        else {
            return Err(no(400, "table_name, table_sys_id and file_name are wanted"));
        };
        if asked.kind().is_empty() || asked.kind().starts_with("multipart") || asked.kind().contains("form") {
            return Err(no(415, "Unsupported media type"));
        }
        if asked.body.len() > kept.file_bytes_max {
            return Err(no(413, "File size is larger than the limit"));
        }
        // Why: an attachment hangs on the record, and whoever may read the record may fetch it.
        let file = File { name: name.to_owned(), bytes: asked.body.to_vec(), seen_by_customer: true };
        kept.at_mut(&of(id)).ok_or_else(missing)?.files.push(file);
        Ok(Answer::new(201, json!({ "result": { "sys_id": sys_id(1), "file_name": name } })))
    }
}

impl System for ServiceNow {
    fn answer(&self, kept: &mut Kept, asked: &Asked) -> Said {
        if asked.basic() != Some((ACCOUNT.into(), TOKEN.into())) {
            return Err(no(401, "User Not Authenticated"));
        }
        let (method, path) = asked.route();
        let ["api", "now", path @ ..] = path.as_slice() else {
            return Err(no(400, "Requested URI does not represent any resource"));
        };
        match (method, path) {
            ("GET", ["table", "incident"]) => Self::incidents(kept, asked),
            ("GET", ["table", "incident", id]) => {
                if asked.asks("sysparm_display_value") != Some("all") {
                    return Err(no(400, "the tests want sysparm_display_value=all"));
                }
                let (number, ticket) = kept.at(&of(id)).ok_or_else(missing)?;
                Ok(Answer::new(200, json!({ "result": record(number, ticket) })))
            }
            ("GET", ["table", "sys_journal_field"]) => Self::journal(kept, asked),
            ("PATCH", ["table", "incident", id]) => Self::change(kept, id, asked),
            ("POST", ["attachment", "file"]) => Self::attach(kept, asked),
            _ => Err(no(400, "Requested URI does not represent any resource")),
        }
    }

    fn failure(&self, status: u16) -> Json {
        json!({ "error": { "message": format!("failing with {status} as the test wants it"), "detail": "" }, "status": "failure" })
    }
}
