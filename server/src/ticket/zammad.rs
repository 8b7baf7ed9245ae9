//! Zammad: <https://docs.zammad.org/en/latest/api/ticket/index.html> and `articles.html` beside it; hooks:
//! <https://admin-docs.zammad.org/en/latest/manage/webhook.html>. Run against a contract server only.
//!
//! Notes are articles of the type `note`. Why never another: an internal article of the type `email` is sent all the same.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::answer::{self, escalated, rows, text, word, written};
use super::mac::{self, Digest, Mac, Scheme};
use super::{
    Abilities, Attachments, Doing, Fields, File, Foreign, HelpDesk, Hint, Hooks, Http, Kind, Note, Person, Posted,
};
use super::{Refused, Trouble, inline, markup, secret, sensitive};
use crate::config::HelpDeskConfig;

/// The kind.
pub(super) const KIND: Kind = Kind { name: "zammad", options: &[], make };

/// Largest file. Zammad itself names none; its web server commonly takes this much.
const FILE_BYTES_MAX: u64 = 50 * 1024 * 1024;

/// Longest note.
const NOTE_BYTES_MAX: usize = 500_000;

/// Tickets of one search.
const FOUND_MAX: &str = "50";

struct Zammad {
    http: Http,
    mac: Mac,
    escalated: Vec<String>,
}

fn make(config: &HelpDeskConfig) -> Result<Arc<dyn HelpDesk>> {
    let token = secret(config.token_file.as_deref(), "token_file")?;
    let mut headers = HeaderMap::new();
    headers.insert("authorization", sensitive(&format!("Token token={token}"))?);
    let scheme = Scheme::Body { header: "x-hub-signature", prefix: "sha1=", digest: Digest::Sha1 };
    let (http, mac) = (Http::new(config, headers)?, Mac::open(scheme, config)?);
    Ok(Arc::new(Zammad { http, mac, escalated: config.escalated.clone() }))
}

impl Zammad {
    fn foreign(&self, ticket: &Value) -> Foreign {
        let id = text(ticket, "/id");
        let (group, state) = (text(ticket, "/group"), text(ticket, "/state"));
        let mut url = self.http.at(&[], &[]);
        url.set_fragment(Some(&format!("ticket/zoom/{id}")));
        let plain = ticket.as_object().into_iter().flatten();
        let fields = plain.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        Foreign {
            number: text(ticket, "/number"),
            title: text(ticket, "/title"),
            requester: Person { login: text(ticket, "/customer"), ..Person::default() },
            escalated: escalated(&self.escalated, &[&group, &text(ticket, "/group_id"), &state]),
            place: group,
            status: state,
            fields: fields.collect(),
            url: url.to_string(),
            changed_ms: answer::time_ms(&text(ticket, "/updated_at")),
            id,
            ..Foreign::default()
        }
    }

    async fn search(&self, query: &str) -> Result<Vec<Foreign>, Trouble> {
        let path = ["api", "v1", "tickets", "search"];
        let found = self.http.get(&path, &[("query", query), ("expand", "true"), ("limit", FOUND_MAX)]).await?;
        Ok(rows(&found, "").iter().map(|ticket| self.foreign(ticket).bounded()).collect())
    }

    async fn articles(&self, id: &str) -> Result<Value, Trouble> {
        self.http.get(&["api", "v1", "ticket_articles", "by_ticket", id], &[]).await
    }
}

#[async_trait]
impl HelpDesk for Zammad {
    fn abilities(&self) -> Abilities {
        Abilities {
            attachments: Attachments::Private { bytes_max: FILE_BYTES_MAX, with_note: true },
            note_bytes_max: NOTE_BYTES_MAX,
            hooks: Hooks::Mac("sha1 over the body"),
            polls: true,
        }
    }

    async fn read(&self, id: &str) -> Result<Foreign, Trouble> {
        let ticket = self.http.get(&["api", "v1", "tickets", id], &[("expand", "true")]).await?;
        let mut foreign = self.foreign(&ticket);
        let articles = self.articles(id).await?;
        if let Some(first) = rows(&articles, "").first() {
            let body = text(first, "/body");
            foreign.text = if text(first, "/content_type") == "text/html" { markup::plain(&body) } else { body };
        }
        if let Some(customer) = word(&ticket, "/customer_id") {
            let person = self.http.get(&["api", "v1", "users", &customer], &[]).await?;
            foreign.requester.name = format!("{} {}", text(&person, "/firstname"), text(&person, "/lastname"));
            foreign.requester.mail = text(&person, "/email");
            foreign.requester.login = text(&person, "/login");
        }
        Ok(foreign.bounded())
    }

    async fn find(&self, words: &str) -> Result<Vec<Foreign>, Trouble> {
        self.search(&format!("\"{}\"", answer::quotable(words))).await
    }

    async fn escalated(&self, since_ms: i64) -> Result<Vec<Foreign>, Trouble> {
        let mut found = Vec::new();
        for group in &self.escalated {
            let (group, since) = (answer::quotable(group), answer::rfc3339(since_ms));
            found.extend(self.search(&format!("group.name:\"{group}\" AND updated_at:>=\"{since}\"")).await?);
        }
        found.retain(|ticket| ticket.escalated && ticket.changed_ms >= since_ms - since_ms.rem_euclid(1_000));
        Ok(found)
    }

    async fn noted(&self, id: &str, marker: &str) -> Result<Option<Posted>, Trouble> {
        let articles = self.articles(id).await?;
        let found = rows(&articles, "").iter().find(|article| text(article, "/body").contains(marker));
        Ok(found.map(|article| Posted {
            id: text(article, "/id"),
            files: rows(article, "/attachments").iter().map(|file| text(file, "/filename")).collect(),
        }))
    }

    async fn note(&self, id: &str, note: &Note) -> Result<Posted, Trouble> {
        let ticket = id.parse::<u64>().map_err(|_odd| Trouble::never(format!("Zammad has no ticket {id:?}")))?;
        let files = note
            .file
            .as_ref()
            .map(|file| json!({ "filename": file.name, "data": inline::HERE, "mime-type": file.media_type }));
        let files: Vec<Value> = files.into_iter().collect();
        let article = json!({
            "ticket_id": ticket, "type": "note", "internal": true, "content_type": "text/plain", "subject": "Deskside",
            "body": note.text, "attachments": files,
        });
        let url = self.http.at(&["api", "v1", "ticket_articles"], &[]);
        let Some(file) = &note.file else {
            let answer = self.http.put(Method::POST, url, &article).await?;
            return Ok(Posted { id: written(&answer, "/id")?, files: Vec::new() });
        };
        let inline = inline::json(&article, file).await?;
        let request = self.http.upload(Method::POST, url).header("content-type", "application/json");
        let request = request.header("content-length", inline.length).body(inline.body);
        let answer = self.http.json(Doing::Writing, request).await?;
        Ok(Posted { id: written(&answer, "/id")?, files: vec![file.name.clone()] })
    }

    async fn attach(&self, _id: &str, _file: &File, _posted: &Posted) -> Result<(), Trouble> {
        Err(Trouble::never("Zammad takes a file with its note alone"))
    }

    async fn set(&self, id: &str, fields: &Fields) -> Result<(), Trouble> {
        let url = self.http.at(&["api", "v1", "tickets", id], &[]);
        self.http.put(Method::PUT, url, &json!(fields)).await.map(drop)
    }

    fn hook(&self, headers: &HeaderMap, raw: &[u8], now_ms: i64) -> Result<Hint, Refused> {
        // Why not X-Zammad-Delivery: the code does not cover it, and whoever replays a hook may write another there.
        let delivery = self.mac.check(headers, raw, now_ms)?;
        let ticket = word(&mac::body(raw)?, "/ticket/id")
            .ok_or_else(|| Refused::Unread("the hook names no /ticket/id".into()))?;
        Ok(Hint { ticket, delivery, told: None })
    }
}
