//! Freshservice by its API v2: <https://api.freshservice.com/>. Run against a contract server only.
//!
//! A private note and its files are kept from the requester; note and file go in one form. All files of a ticket together may have as
//! much as the plan gives (`file_bytes_max`; 15 MB by the API's own page). Workflows sign nothing: they post `{"ticket", "delivery"}`
//! with the secret in `X-Deskside-Secret`. Groups are named by their ids.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use data_encoding::BASE64;
use reqwest::Method;
use reqwest::header::HeaderMap;
use reqwest::multipart::{Form, Part};
use serde_json::{Map, Value, json};

use super::answer::{self, escalated, rows, text, written};
use super::mac::{Mac, SECRET_HEADER, Scheme};
use super::{
    Abilities, Attachments, Doing, Fields, File, Foreign, HelpDesk, Hint, Hooks, Http, Kind, Note, Person, Posted,
};
use super::{Refused, Trouble, markup, secret, sensitive};
use crate::config::HelpDeskConfig;

/// As the list of systems has it.
pub(super) const KIND: Kind = Kind { name: "freshservice", options: &["file_bytes_max"], make };

/// All files of one ticket, where the configuration names no other bound.
const FILE_BYTES_MAX: u64 = 15_000_000;

/// Longest note.
const NOTE_BYTES_MAX: usize = 60_000;

/// Pages of conversations that are looked at, and conversations of one.
const PAGES_MAX: usize = 30;
const PAGE: usize = 30;

/// What a ticket has of its own; every other field is a custom one.
const OWN: &[&str] = &["status", "priority", "group_id", "urgency", "impact", "category", "sub_category", "type"];

struct Freshservice {
    http: Http,
    mac: Mac,
    file_bytes_max: u64,
    escalated: Vec<String>,
}

fn make(config: &HelpDeskConfig) -> Result<Arc<dyn HelpDesk>> {
    let token = secret(config.token_file.as_deref(), "token_file")?;
    let mut headers = HeaderMap::new();
    headers.insert("authorization", sensitive(&format!("Basic {}", BASE64.encode(format!("{token}:X").as_bytes())))?);
    let bytes_max = config.options.get("file_bytes_max").map(|bytes| bytes.parse()).transpose()?;
    Ok(Arc::new(Freshservice {
        http: Http::new(config, headers)?,
        mac: Mac::open(Scheme::Secret, config)?,
        file_bytes_max: bytes_max.unwrap_or(FILE_BYTES_MAX),
        escalated: config.escalated.clone(),
    }))
}

impl Freshservice {
    fn foreign(&self, ticket: &Value) -> Foreign {
        let id = text(ticket, "/id");
        let (group, status) = (text(ticket, "/group_id"), text(ticket, "/status"));
        let custom = ticket.pointer("/custom_fields").and_then(Value::as_object).into_iter().flatten();
        let custom = custom.filter_map(|(name, value)| Some((name.clone(), answer::word(value, "")?)));
        Foreign {
            title: text(ticket, "/subject"),
            text: text(ticket, "/description_text"),
            requester: Person {
                name: text(ticket, "/requester/name"),
                mail: text(ticket, "/requester/email"),
                login: String::new(),
            },
            escalated: escalated(&self.escalated, &[&group]),
            place: group,
            category: text(ticket, "/category"),
            assets: rows(ticket, "/assets").iter().map(|asset| text(asset, "/name")).collect(),
            fields: custom.collect(),
            url: self.http.at(&["a", "tickets", &id], &[]).to_string(),
            changed_ms: answer::time_ms(&text(ticket, "/updated_at")),
            status,
            id,
            ..Foreign::default()
        }
        .bounded()
    }

    async fn filter(&self, query: &str) -> Result<Vec<Foreign>, Trouble> {
        let found = self.http.get(&["api", "v2", "tickets", "filter"], &[("query", &format!("\"{query}\""))]).await?;
        Ok(rows(&found, "/tickets").iter().map(|ticket| self.foreign(ticket)).collect())
    }
}

#[async_trait]
impl HelpDesk for Freshservice {
    fn abilities(&self) -> Abilities {
        Abilities {
            attachments: Attachments::Private { bytes_max: self.file_bytes_max, with_note: true },
            note_bytes_max: NOTE_BYTES_MAX,
            hooks: Hooks::Secret(SECRET_HEADER),
            polls: true,
        }
    }

    async fn read(&self, id: &str) -> Result<Foreign, Trouble> {
        let answer = self.http.get(&["api", "v2", "tickets", id], &[("include", "requester,assets")]).await?;
        Ok(self.foreign(answer.pointer("/ticket").unwrap_or(&Value::Null)))
    }

    async fn find(&self, words: &str) -> Result<Vec<Foreign>, Trouble> {
        let words = answer::quotable(words);
        // Why a look by number: the filter of this API knows whole subjects and no words of them.
        if words.parse::<u64>().is_ok() {
            return Ok(vec![self.read(&words).await?]);
        }
        self.filter(&format!("subject:'{words}'")).await
    }

    async fn escalated(&self, since_ms: i64) -> Result<Vec<Foreign>, Trouble> {
        let mut found = Vec::new();
        for group in self.escalated.iter().filter(|group| group.parse::<u64>().is_ok()) {
            // Why a day alone: the filter compares dates without a time.
            let since = answer::surely_before(since_ms);
            let day = since.split(' ').next().unwrap_or_default();
            found.extend(self.filter(&format!("group_id:{group} AND updated_at:>'{day}'")).await?);
        }
        found.retain(|ticket| ticket.changed_ms >= since_ms - since_ms.rem_euclid(1_000));
        Ok(found)
    }

    async fn noted(&self, id: &str, marker: &str) -> Result<Option<Posted>, Trouble> {
        for page in 1..=PAGES_MAX {
            let query = [("page", page.to_string()), ("per_page", PAGE.to_string())];
            let query = query.each_ref().map(|(key, value)| (*key, value.as_str()));
            let answer = self.http.get(&["api", "v2", "tickets", id, "conversations"], &query).await?;
            let found = rows(&answer, "/conversations");
            if let Some(note) = found.iter().find(|note| text(note, "/body").contains(marker)) {
                let files = rows(note, "/attachments").iter().map(|file| text(file, "/name")).collect();
                return Ok(Some(Posted { id: text(note, "/id"), files }));
            }
            if found.len() < PAGE {
                return Ok(None);
            }
        }
        Err(Trouble::never(format!("the ticket has more than {} conversations", PAGE * PAGES_MAX)))
    }

    async fn note(&self, id: &str, note: &Note) -> Result<Posted, Trouble> {
        let url = self.http.at(&["api", "v2", "tickets", id, "notes"], &[]);
        let body = markup::preformatted(&note.text);
        let Some(file) = &note.file else {
            let answer = self.http.put(Method::POST, url, &json!({ "body": body, "private": true })).await?;
            return Ok(Posted { id: written(&answer, "/conversation/id")?, files: Vec::new() });
        };
        let bytes = Part::stream_with_length(Http::body(file).await?, file.size).file_name(file.name.clone());
        let bytes = bytes.mime_str(&file.media_type).map_err(|error| Trouble::never(error.to_string()))?;
        let form = Form::new().text("body", body).text("private", "true").part("attachments[]", bytes);
        let answer = self.http.json(Doing::Writing, self.http.upload(Method::POST, url).multipart(form)).await?;
        Ok(Posted { id: written(&answer, "/conversation/id")?, files: vec![file.name.clone()] })
    }

    async fn attach(&self, _id: &str, _file: &File, _posted: &Posted) -> Result<(), Trouble> {
        Err(Trouble::never("Freshservice takes a file with its note alone"))
    }

    async fn set(&self, id: &str, fields: &Fields) -> Result<(), Trouble> {
        let (mut set, mut custom) = (Map::new(), Map::new());
        for (name, said) in fields {
            if OWN.contains(&name.as_str()) {
                set.insert(name.clone(), answer::value(said));
            } else {
                custom.insert(name.clone(), Value::String(said.clone()));
            }
        }
        if !custom.is_empty() {
            set.insert("custom_fields".into(), Value::Object(custom));
        }
        let url = self.http.at(&["api", "v2", "tickets", id], &[]);
        self.http.put(Method::PUT, url, &Value::Object(set)).await.map(drop)
    }

    fn hook(&self, headers: &HeaderMap, raw: &[u8], now_ms: i64) -> Result<Hint, Refused> {
        self.mac.plain(headers, raw, now_ms)
    }
}
