//! Jira Service Management as <https://developer.atlassian.com/cloud/jira/service-desk/rest/> and the platform's own pages describe it:
//! requests, comments that are public or not, temporary files that become attachments. Refusals are `errorMessages`.

use serde_json::{Value as Json, json};

use super::asked::{Asked, object, text};
use super::kept::{File, Kept, Ticket};
use super::serve::{Answer, Said, System};
use super::{ACCOUNT, TOKEN};

/// The project's key.
const PROJECT: &str = "ITSM";

/// The system.
#[derive(Debug)]
pub struct Jira;

fn no(status: u16, why: &str) -> Answer {
    Answer::new(status, json!({ "errorMessages": [why], "errors": {} }))
}

fn missing() -> Answer {
    no(404, "Issue does not exist or you do not have permission to see it.")
}

fn of(key: &str) -> &str {
    key.strip_prefix("ITSM-").unwrap_or_default()
}

fn issue(number: u64, ticket: &Ticket) -> Json {
    let mut fields = json!({
        "summary": ticket.title, "status": { "name": "Waiting for support" }, "updated": "2026-11-22T09:30:00.000+0000",
        "reporter": { "accountId": "5b10", "displayName": ticket.name, "emailAddress": ticket.mail },
        "components": [{ "id": "1", "name": ticket.group }], "assignee": null, "issuetype": { "name": "[System] Incident" },
        "customfield_10050": ticket.asset,
    });
    for (name, value) in &ticket.fields {
        fields[name] = value.clone();
    }
    json!({ "id": (10_000 + number).to_string(), "key": format!("{PROJECT}-{number}"), "fields": fields })
}

impl Jira {
    fn comment(kept: &mut Kept, key: &str, asked: &Asked) -> Said {
        let bad = |why: String| no(400, &why);
        let body = asked.json().map_err(bad)?;
        let map = object(&body, &["body"], &["public"]).map_err(bad)?;
        // Why: a comment is public unless it is said otherwise.
        let public = map.get("public").and_then(Json::as_bool).unwrap_or(true);
        let ticket = of(key).parse().map_err(|_error| missing())?;
        let id = kept.note(ticket, text(map, "body").map_err(bad)?, public).ok_or_else(missing)?;
        Ok(Answer::new(201, json!({ "id": id.to_string(), "body": map["body"], "public": public })))
    }

    fn upload(kept: &mut Kept, asked: &Asked) -> Said {
        if asked.header("x-atlassian-token") != "no-check" {
            return Err(no(403, "XSRF check failed"));
        }
        if asked.kind() != "multipart/form-data" || asked.parts.len() != 1 {
            return Err(no(415, "a multipart form of one part is wanted"));
        }
        let part = asked.part("file").map_err(|why| no(400, &why))?;
        let name = part.file.clone().ok_or_else(|| no(400, "the part file has no filename"))?;
        if part.bytes.len() > kept.file_bytes_max {
            return Err(no(413, "The file is larger than the limit."));
        }
        let id = format!("temp{}", kept.number());
        kept.uploads
            .insert(id.clone(), File { name: name.clone(), bytes: part.bytes.to_vec(), seen_by_customer: true });
        Ok(Answer::new(201, json!({ "temporaryAttachments": [{ "temporaryAttachmentId": id, "fileName": name }] })))
    }

    fn attach(kept: &mut Kept, key: &str, asked: &Asked) -> Said {
        let bad = |why: String| no(400, &why);
        let body = asked.json().map_err(bad)?;
        let map = object(&body, &["temporaryAttachmentIds", "public"], &["additionalComment"]).map_err(bad)?;
        let public = map["public"].as_bool().ok_or_else(|| bad("public is no boolean".into()))?;
        for id in map["temporaryAttachmentIds"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            let mut file = kept.uploads.remove(id).ok_or_else(|| no(400, "no such temporary attachment"))?;
            file.seen_by_customer = public;
            kept.at_mut(of(key)).ok_or_else(missing)?.files.push(file);
        }
        if let Some(comment) = map.get("additionalComment") {
            let comment = object(comment, &["body"], &[]).map_err(bad)?;
            let ticket = of(key).parse().map_err(|_error| missing())?;
            kept.note(ticket, text(comment, "body").map_err(bad)?, public);
        }
        Ok(Answer::new(201, json!({ "comment": {}, "attachments": {} })))
    }

    fn search(kept: &Kept, asked: &Asked) -> Said {
        let body = asked.json().map_err(|why| no(400, &why))?;
        let optional = &["fields", "maxResults", "nextPageToken", "expand"];
        let map = object(&body, &["jql"], optional).map_err(|why| no(400, &why))?;
        let jql = text(map, "jql").map_err(|why| no(400, &why))?;
        let quoted = |after: &str| jql.split(after).nth(1).and_then(|rest| rest.split('"').nth(1)).map(str::to_owned);
        let (words, place) = (quoted("text ~ "), quoted("component in ("));
        let found = kept.tickets.iter().filter(|(_number, ticket)| match (&words, &place) {
            (Some(words), _) => ticket.title.contains(words.as_str()),
            (None, Some(place)) => ticket.group == *place,
            (None, None) => false,
        });
        let issues: Json = found.map(|(number, ticket)| issue(*number, ticket)).collect();
        Ok(Answer::new(200, json!({ "issues": issues, "isLast": true })))
    }

    fn request(kept: &Kept, key: &str) -> Said {
        let (number, ticket) = kept.at(of(key)).ok_or_else(missing)?;
        Ok(Answer::new(
            200,
            json!({
                "issueId": (10_000 + number).to_string(), "issueKey": key, "serviceDeskId": "7", "requestTypeId": "25",
                "reporter": { "accountId": "5b10", "displayName": ticket.name, "emailAddress": ticket.mail },
                "requestFieldValues": [
                    { "fieldId": "summary", "label": "Summary", "value": ticket.title },
                    { "fieldId": "description", "label": "Description", "value": ticket.text },
                ],
                "currentStatus": { "status": "Waiting for support" },
            }),
        ))
    }
}

impl System for Jira {
    fn answer(&self, kept: &mut Kept, asked: &Asked) -> Said {
        if asked.basic() != Some((ACCOUNT.into(), TOKEN.into())) {
            return Err(no(401, "Client must be authenticated to access this resource."));
        }
        let (method, path) = asked.route();
        let ["rest", path @ ..] = path.as_slice() else { return Err(no(404, "null for uri")) };
        match (method, path) {
            ("GET", ["servicedeskapi", "request", key]) => Self::request(kept, key),
            ("GET", ["servicedeskapi", "request", key, "comment"]) => {
                let (_number, ticket) = kept.at(of(key)).ok_or_else(missing)?;
                let row = |note: &super::Note| json!({ "id": note.id.to_string(), "body": note.text, "public": note.seen_by_customer });
                let values: Json = ticket.notes.iter().map(row).collect();
                Ok(Answer::new(
                    200,
                    json!({ "size": ticket.notes.len(), "start": 0, "limit": 100, "isLastPage": true, "values": values }),
                ))
            }
            ("GET", ["servicedeskapi", "request", key, "attachment"]) => {
                let (_number, ticket) = kept.at(of(key)).ok_or_else(missing)?;
                let values: Json = ticket.files.iter().map(|file| json!({ "filename": file.name })).collect();
                Ok(Answer::new(200, json!({ "isLastPage": true, "values": values })))
            }
            ("POST", ["servicedeskapi", "request", key, "comment"]) => Self::comment(kept, key, asked),
            ("POST", ["servicedeskapi", "servicedesk", "7", "attachTemporaryFile"]) => Self::upload(kept, asked),
            ("POST", ["servicedeskapi", "request", key, "attachment"]) => Self::attach(kept, key, asked),
            ("GET", ["api", "3", "attachment", "meta"]) => {
                Ok(Answer::new(200, json!({ "enabled": true, "uploadLimit": kept.file_bytes_max })))
            }
            ("GET", ["api", "3", "issue", key]) => {
                let (number, ticket) = kept.at(of(key)).ok_or_else(missing)?;
                Ok(Answer::new(200, issue(number, ticket)))
            }
            ("POST", ["api", "3", "search", "jql"]) => Self::search(kept, asked),
            ("PUT", ["api", "3", "issue", key]) => {
                let body = asked.json().map_err(|why| no(400, &why))?;
                let map = object(&body, &["fields"], &[]).map_err(|why| no(400, &why))?;
                let known = &["customfield_10050", "customfield_10051", "labels"];
                let fields = object(&map["fields"], &[], known).map_err(|why| no(400, &why))?.clone();
                kept.at_mut(of(key)).ok_or_else(missing)?.fields.extend(fields);
                Ok(Answer::new(204, Json::Null))
            }
            _ => Err(no(404, "null for uri")),
        }
    }

    fn writes(&self, asked: &Asked) -> bool {
        asked.method != "GET" && asked.path.last().is_none_or(|last| last != "jql")
    }

    fn failure(&self, status: u16) -> Json {
        json!({ "errorMessages": [format!("failing with {status} as the test wants it")], "errors": {} })
    }
}
