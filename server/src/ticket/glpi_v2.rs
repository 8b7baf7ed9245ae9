//! GLPI by its second REST API (`api.php/v2`), as its own pages at `api.php/doc` and <https://glpi-developer-documentation.readthedocs.io>
//! describe it. Run against a contract server only.
//!
//! The released second API takes no files: they go through the first one, where the configuration has a token for that too
//! (`user_token_file`). From practice and not from a page: the shape of refusals and of a ticket's `team`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use async_trait::async_trait;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::answer::{self, escalated, rows, text, word, written};
use super::glpi::{Files, NOTE_BYTES_MAX, SIGNED, hint};
use super::mac::Mac;
use super::{
    Abilities, Attachments, Doing, Fields, File, Foreign, HelpDesk, Hint, Hooks, Http, Kind, Note, Person, Posted,
};
use super::{Refused, Trouble, markup, secret, sensitive};
use crate::config::HelpDeskConfig;

/// The kind.
pub(super) const KIND: Kind = Kind {
    name: "glpi-v2",
    options: &["client_id", "client_secret_file", "user_token_file", "app_token_file", "document_bytes_max"],
    make,
};

/// How long before its end a token is no longer used.
const SPARE: Duration = Duration::from_mins(1);

/// Tickets of one search.
const FOUND_MAX: &str = "50";

struct GlpiV2 {
    http: Http,
    login: Vec<(&'static str, String)>,
    token: Mutex<Option<(String, Instant)>>,
    files: Option<Files>,
    mac: Mac,
    escalated: Vec<String>,
}

fn make(config: &HelpDeskConfig) -> Result<Arc<dyn HelpDesk>> {
    let option = |key: &str| config.options.get(key).with_context(|| format!("options.{key} is missing"));
    let login = vec![
        ("grant_type", "password".to_owned()),
        ("scope", "api".to_owned()),
        ("client_id", option("client_id")?.clone()),
        ("client_secret", secret(Some(option("client_secret_file")?.as_ref()), "client_secret_file")?),
        ("username", config.user.clone()),
        ("password", secret(config.token_file.as_deref(), "token_file")?),
    ];
    let user_token = config.options.get("user_token_file");
    let user_token = user_token.map(|path| secret(Some(path.as_ref()), "user_token_file")).transpose()?;
    let files = user_token.map(|token| Files::new(config, &token)).transpose()?;
    let (http, mac) = (Http::new(config, HeaderMap::new())?, Mac::open(SIGNED, config)?);
    Ok(Arc::new(GlpiV2 { http, login, token: Mutex::default(), files, mac, escalated: config.escalated.clone() }))
}

impl GlpiV2 {
    async fn token(&self) -> Result<String, Trouble> {
        let mut held = self.token.lock().await;
        if let Some((token, _until)) = held.as_ref().filter(|(_token, until)| Instant::now() < *until) {
            return Ok(token.clone());
        }
        let request = self.http.request(Method::POST, self.http.at(&["api.php", "token"], &[])).form(&self.login);
        let answer = self.http.json(Doing::Reading, request).await?;
        let token = word(&answer, "/access_token").ok_or_else(|| Trouble::later("GLPI gave no access token"))?;
        let good =
            Duration::from_secs(answer.pointer("/expires_in").and_then(Value::as_u64).unwrap_or_default().min(86_400));
        *held = Some((token.clone(), Instant::now() + good.saturating_sub(SPARE)));
        Ok(token)
    }

    async fn asked(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Value, Trouble> {
        let token = sensitive(&format!("Bearer {}", self.token().await?))
            .map_err(|error| Trouble::never(format!("{error:#}")))?;
        let url = self.http.at(&[&["api.php", "v2"], path].concat(), query);
        let doing = if body.is_some() { Doing::Writing } else { Doing::Reading };
        let mut request = self.http.request(method, url).header("authorization", token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = self.http.json(doing, request).await;
        // Why: a token that is refused before its time has been revoked; the next request begins with another.
        if matches!(answer, Err(Trouble::Never { .. })) {
            *self.token.lock().await = None;
        }
        answer
    }

    async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Trouble> {
        self.asked(Method::GET, path, query, None).await
    }

    fn foreign(&self, ticket: &Value) -> Foreign {
        let id = text(ticket, "/id");
        let mut url = self.http.at(&["front", "ticket.form.php"], &[]);
        url.query_pairs_mut().append_pair("id", &id);
        let groups = rows(ticket, "/team").iter().filter(|member| text(member, "/type") == "Group");
        let groups = groups.filter(|member| text(member, "/role") == "assigned");
        let places: Vec<String> = groups.flat_map(|group| [text(group, "/name"), text(group, "/id")]).collect();
        let status = text(ticket, "/status/name");
        let known: Vec<&str> = places.iter().map(String::as_str).chain([status.as_str()]).collect();
        Foreign {
            title: text(ticket, "/name"),
            text: markup::plain(&text(ticket, "/content")),
            place: places.first().cloned().unwrap_or_default(),
            category: text(ticket, "/category/name"),
            escalated: escalated(&self.escalated, &known),
            url: url.to_string(),
            changed_ms: answer::time_ms(&text(ticket, "/date_mod")),
            status,
            id,
            ..Foreign::default()
        }
    }

    async fn search(&self, filter: &str) -> Result<Vec<Foreign>, Trouble> {
        let found = self.get(&["Assistance", "Ticket"], &[("filter", filter), ("limit", FOUND_MAX)]).await?;
        Ok(rows(&found, "").iter().map(|ticket| self.foreign(ticket).bounded()).collect())
    }
}

#[async_trait]
impl HelpDesk for GlpiV2 {
    fn abilities(&self) -> Abilities {
        let private = |files: &Files| Attachments::Private { bytes_max: files.document_bytes_max, with_note: false };
        Abilities {
            attachments: self.files.as_ref().map_or(Attachments::None, private),
            note_bytes_max: NOTE_BYTES_MAX,
            hooks: Hooks::Mac("sha256 over body and timestamp"),
            polls: true,
        }
    }

    async fn read(&self, id: &str) -> Result<Foreign, Trouble> {
        let ticket = self.get(&["Assistance", "Ticket", id], &[]).await?;
        let mut foreign = self.foreign(&ticket);
        let team = rows(&ticket, "/team").iter();
        let asks =
            team.filter(|member| text(member, "/type") == "User").find(|member| text(member, "/role") == "requester");
        if let Some(user) = asks.and_then(|member| word(member, "/id")) {
            let person = self.get(&["Administration", "User", &user], &[]).await?;
            let mails = rows(&person, "/emails");
            let chosen = mails.iter().find(|mail| mail.pointer("/is_default") == Some(&json!(true))).or(mails.first());
            foreign.requester = Person {
                name: format!("{} {}", text(&person, "/firstname"), text(&person, "/realname")),
                mail: chosen.map(|mail| text(mail, "/email")).unwrap_or_default(),
                login: text(&person, "/username"),
            };
        }
        Ok(foreign.bounded())
    }

    async fn find(&self, words: &str) -> Result<Vec<Foreign>, Trouble> {
        let words = answer::quotable(words);
        let filter =
            if words.parse::<u64>().is_ok() { format!("id=={words}") } else { format!("name=ilike=\"*{words}*\"") };
        self.search(&filter).await
    }

    async fn escalated(&self, since_ms: i64) -> Result<Vec<Foreign>, Trouble> {
        let mut found = self.search(&format!("date_mod=ge={}", answer::rfc3339(since_ms))).await?;
        found.retain(|ticket| ticket.escalated);
        Ok(found)
    }

    async fn noted(&self, id: &str, marker: &str) -> Result<Option<Posted>, Trouble> {
        let notes = self.get(&["Assistance", "Ticket", id, "Timeline", "Followup"], &[("limit", "1000")]).await?;
        let found = rows(&notes, "").iter().find(|note| text(note, "/content").contains(marker));
        let Some(note) = found.map(|note| text(note, "/id")) else { return Ok(None) };
        let Some(files) = &self.files else { return Ok(Some(Posted { id: note, files: Vec::new() })) };
        let session = files.session().await?;
        let posted = Posted { files: session.files(&note).await?, id: note };
        session.end().await;
        Ok(Some(posted))
    }

    async fn note(&self, id: &str, note: &Note) -> Result<Posted, Trouble> {
        let body = json!({ "content": markup::preformatted(&note.text), "is_private": true });
        let path = ["Assistance", "Ticket", id, "Timeline", "Followup"];
        let answer = self.asked(Method::POST, &path, &[], Some(body)).await?;
        Ok(Posted { id: written(&answer, "/id")?, files: Vec::new() })
    }

    async fn attach(&self, _id: &str, file: &File, posted: &Posted) -> Result<(), Trouble> {
        let files = self.files.as_ref().ok_or_else(|| Trouble::never("options.user_token_file is missing"))?;
        let session = files.session().await?;
        session.attach(&posted.id, file).await?;
        session.end().await;
        Ok(())
    }

    async fn set(&self, id: &str, fields: &Fields) -> Result<(), Trouble> {
        self.asked(Method::PATCH, &["Assistance", "Ticket", id], &[], Some(json!(fields))).await.map(drop)
    }

    fn hook(&self, headers: &HeaderMap, raw: &[u8], now_ms: i64) -> Result<Hint, Refused> {
        hint(&self.mac, headers, raw, now_ms)
    }
}
