//! Zendesk: <https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/>, `ticket-attachments` and `ticket_comments` beside
//! it; hooks: <https://developer.zendesk.com/documentation/webhooks/verifying/>. Run against a contract server only.
//!
//! A comment is public unless it is said otherwise; that is always said. A file can be fetched by whoever has its address unless the
//! account keeps attachments private: it is attached only where `private_attachments = "true"` says so. The body of the hook is the
//! administrator's own: `{"ticket": "{{ticket.id}}"}`. Groups and custom fields are named by their ids.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use data_encoding::BASE64;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value, json};

use super::answer::{self, escalated, rows, text, word, written};
use super::mac::{self, Mac, Order, Scheme};
use super::{
    Abilities, Attachments, Doing, Fields, File, Foreign, HelpDesk, Hint, Hooks, Http, Kind, Note, Person, Posted,
};
use super::{Refused, Trouble, markup, secret, sensitive};
use crate::config::HelpDeskConfig;

/// As the list of systems has it.
pub(super) const KIND: Kind = Kind { name: "zendesk", options: &["private_attachments"], make };

/// Largest file.
const FILE_BYTES_MAX: u64 = 50 * 1024 * 1024;

/// Longest note: Zendesk's own bound is 64 KiB.
const NOTE_BYTES_MAX: usize = 40_000;

/// Oldest hook that is taken.
const HOOK_AGE_MS_MAX: i64 = 10 * 60 * 1_000;

/// Pages of comments that are looked at.
const PAGES_MAX: usize = 20;

struct Zendesk {
    http: Http,
    mac: Mac,
    private_attachments: bool,
    escalated: Vec<String>,
}

fn make(config: &HelpDeskConfig) -> Result<Arc<dyn HelpDesk>> {
    let token = secret(config.token_file.as_deref(), "token_file")?;
    let login = BASE64.encode(format!("{}/token:{token}", config.user).as_bytes());
    let mut headers = HeaderMap::new();
    headers.insert("authorization", sensitive(&format!("Basic {login}"))?);
    let scheme = Scheme::Timed {
        header: "x-zendesk-webhook-signature",
        prefix: "",
        time: "x-zendesk-webhook-signature-timestamp",
        order: Order::TimeBody,
        age_ms_max: HOOK_AGE_MS_MAX,
    };
    Ok(Arc::new(Zendesk {
        http: Http::new(config, headers)?,
        mac: Mac::open(scheme, config)?,
        private_attachments: config.options.get("private_attachments").is_some_and(|said| said == "true"),
        escalated: config.escalated.clone(),
    }))
}

impl Zendesk {
    fn foreign(&self, ticket: &Value) -> Foreign {
        let id = text(ticket, "/id");
        let (group, status) = (text(ticket, "/group_id"), text(ticket, "/status"));
        let custom = rows(ticket, "/custom_fields").iter();
        let custom = custom.filter_map(|field| Some((text(field, "/id"), word(field, "/value")?)));
        Foreign {
            title: text(ticket, "/subject"),
            text: text(ticket, "/description"),
            escalated: escalated(&self.escalated, &[&group]),
            place: group,
            category: text(ticket, "/type"),
            fields: custom.collect(),
            url: self.http.at(&["agent", "tickets", &id], &[]).to_string(),
            changed_ms: answer::time_ms(&text(ticket, "/updated_at")),
            status,
            id,
            ..Foreign::default()
        }
    }

    async fn search(&self, query: &str) -> Result<Vec<Foreign>, Trouble> {
        let found = self.http.get(&["api", "v2", "search.json"], &[("query", query), ("per_page", "50")]).await?;
        Ok(rows(&found, "/results").iter().map(|ticket| self.foreign(ticket).bounded()).collect())
    }

    async fn change(&self, id: &str, ticket: Value) -> Result<Value, Trouble> {
        let url = self.http.at(&["api", "v2", "tickets", &format!("{id}.json")], &[]);
        self.http.put(Method::PUT, url, &json!({ "ticket": ticket })).await
    }
}

#[async_trait]
impl HelpDesk for Zendesk {
    fn abilities(&self) -> Abilities {
        let private = Attachments::Private { bytes_max: FILE_BYTES_MAX, with_note: true };
        let public = Attachments::Public { bytes_max: FILE_BYTES_MAX };
        Abilities {
            attachments: if self.private_attachments { private } else { public },
            note_bytes_max: NOTE_BYTES_MAX,
            hooks: Hooks::Mac("sha256 over timestamp and body, base64"),
            polls: true,
        }
    }

    async fn read(&self, id: &str) -> Result<Foreign, Trouble> {
        let answer = self.http.get(&["api", "v2", "tickets", &format!("{id}.json")], &[]).await?;
        let ticket = answer.pointer("/ticket").unwrap_or(&Value::Null);
        let mut foreign = self.foreign(ticket);
        if let Some(requester) = word(ticket, "/requester_id") {
            let person = self.http.get(&["api", "v2", "users", &format!("{requester}.json")], &[]).await?;
            let (name, mail) = (text(&person, "/user/name"), text(&person, "/user/email"));
            foreign.requester = Person { name, mail, login: String::new() };
        }
        Ok(foreign.bounded())
    }

    async fn find(&self, words: &str) -> Result<Vec<Foreign>, Trouble> {
        let words = answer::quotable(words);
        if words.parse::<u64>().is_ok() {
            return Ok(vec![self.read(&words).await?]);
        }
        self.search(&format!("type:ticket \"{words}\"")).await
    }

    async fn escalated(&self, since_ms: i64) -> Result<Vec<Foreign>, Trouble> {
        let mut found = Vec::new();
        for group in self.escalated.iter().filter(|group| group.parse::<u64>().is_ok()) {
            let since = answer::rfc3339(since_ms);
            found.extend(self.search(&format!("type:ticket group:{group} updated>={since}")).await?);
        }
        found.retain(|ticket| ticket.escalated);
        Ok(found)
    }

    async fn noted(&self, id: &str, marker: &str) -> Result<Option<Posted>, Trouble> {
        for page in 1..=PAGES_MAX {
            let page = page.to_string();
            let query = [("page", page.as_str()), ("per_page", "100"), ("sort_order", "desc")];
            let answer = self.http.get(&["api", "v2", "tickets", id, "comments.json"], &query).await?;
            if let Some(note) = rows(&answer, "/comments").iter().find(|note| text(note, "/body").contains(marker)) {
                let files = rows(note, "/attachments").iter().map(|file| text(file, "/file_name")).collect();
                return Ok(Some(Posted { id: text(note, "/id"), files }));
            }
            if word(&answer, "/next_page").is_none() {
                return Ok(None);
            }
        }
        Err(Trouble::never(format!("the ticket has more than {} comments", PAGES_MAX * 100)))
    }

    async fn note(&self, id: &str, note: &Note) -> Result<Posted, Trouble> {
        let mut comment = Map::new();
        // Why HTML and not plain text: plain text of agents is read as Markdown.
        comment.insert("html_body".into(), markup::preformatted(&note.text).into());
        comment.insert("public".into(), false.into());
        if let Some(file) = &note.file {
            let request = self
                .http
                .upload(Method::POST, self.http.at(&["api", "v2", "uploads.json"], &[("filename", &file.name)]));
            let request = request.header("content-type", &file.media_type).header("content-length", file.size);
            // Why reading: an upload that no comment names is gone after an hour.
            let answer = self.http.json(Doing::Reading, request.body(Http::body(file).await?)).await?;
            comment.insert("uploads".into(), json!([written(&answer, "/upload/token")?]));
        }
        let answer = self.change(id, json!({ "comment": comment })).await?;
        let events = rows(&answer, "/audit/events");
        let posted = events.iter().find(|event| text(event, "/type") == "Comment").map(|event| text(event, "/id"));
        written(&answer, "/ticket/id")?;
        let files = note.file.iter().map(|file| file.name.clone()).collect();
        Ok(Posted { id: posted.unwrap_or_default(), files })
    }

    async fn attach(&self, _id: &str, _file: &File, _posted: &Posted) -> Result<(), Trouble> {
        Err(Trouble::never("Zendesk takes a file with its comment alone"))
    }

    async fn set(&self, id: &str, fields: &Fields) -> Result<(), Trouble> {
        let (mut set, mut custom) = (Map::new(), Vec::new());
        for (name, said) in fields {
            match name.parse::<u64>() {
                Ok(field) => custom.push(json!({ "id": field, "value": said })),
                Err(_own) => drop(set.insert(name.clone(), answer::value(said))),
            }
        }
        if !custom.is_empty() {
            set.insert("custom_fields".into(), Value::Array(custom));
        }
        self.change(id, Value::Object(set)).await.map(drop)
    }

    fn hook(&self, headers: &HeaderMap, raw: &[u8], now_ms: i64) -> Result<Hint, Refused> {
        let delivery = self.mac.check(headers, raw, now_ms)?;
        let body = mac::body(raw)?;
        // Of a trigger, as the administrator writes it; of an event, as Zendesk does.
        let ticket = ["/ticket", "/detail/id"].iter().find_map(|pointer| word(&body, pointer));
        let ticket = ticket.ok_or_else(|| Refused::Unread("the hook names no /ticket".into()))?;
        Ok(Hint { ticket, delivery, told: None })
    }
}
