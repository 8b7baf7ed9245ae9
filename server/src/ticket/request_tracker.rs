//! Request Tracker 5 by its REST 2.0 (<https://docs.bestpractical.com/rt/5.0/RT/REST2.html>).
//!
//! Notes are comments, which RT shows to staff alone as long as the queue gives `ShowTicketComments` to nobody else; files lie in the same
//! transaction. Only where the configuration says so (`comments = "staff only"`) are bundles attached. RT has no hooks of its own: a Scrip
//! posts `{"ticket", "delivery", "at"}` with `X-Deskside-Signature: sha256=HEX`, or it is polled. A note's marker is its subject, which RT
//! repeats in the list of transactions, so that it is found without fetching anything large.

use std::sync::Arc;

use anyhow::{Result, ensure};
use async_trait::async_trait;
use data_encoding::HEXLOWER_PERMISSIVE;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::multipart::{Form, Part};
use ring::hmac;
use serde_json::{Map, Value, json};

use super::{
    Abilities, Attachments, Doing, Fields, File, Foreign, HelpDesk, Hint, Hooks, Http, Kind, Note, Person, Posted,
    Refused, Trouble, secret, sensitive,
};
use crate::config::HelpDeskConfig;

/// As the list of systems has it.
pub(super) const KIND: Kind =
    Kind { name: "request-tracker", options: &["comments"], make: |config| RequestTracker::make(config) };

/// Items of one page, RT's own limit.
const PAGE: usize = 100;

/// Pages of a ticket's history that are looked through for a marker.
const PAGES_MAX: usize = 50;

/// Tickets of one look for escalated ones.
const FOUND_MAX: usize = 200;

/// Longest comment.
const NOTE_BYTES_MAX: usize = 256 * 1024;

/// Largest file where nothing else is configured; RT's own limit is `$MaxAttachmentSize`, 10 MiB unless changed.
const FILE_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// How far RT's idea of a time may be from ours in a search. Why: it reads times in its user's time zone.
const ZONE_MS: i64 = 26 * 3_600 * 1_000;

/// Oldest hook that is taken.
const HOOK_AGE_MAX_MS: i64 = 5 * 60 * 1_000;

/// Fields of the ticket itself; all others are custom fields.
const CORE: [&str; 9] =
    ["Queue", "Status", "Owner", "Priority", "Subject", "TimeWorked", "AddRefersTo", "AddDependsOn", "SLA"];

struct RequestTracker {
    http: Http,
    config: HelpDeskConfig,
    hook_key: Option<hmac::Key>,
    private: bool,
}

impl RequestTracker {
    fn make(config: &HelpDeskConfig) -> Result<Arc<dyn HelpDesk>> {
        let token = secret(config.token_file.as_deref(), "token_file")?;
        let mut headers = HeaderMap::new();
        let value = if config.user.is_empty() {
            format!("token {token}")
        } else {
            format!("Basic {}", data_encoding::BASE64.encode(format!("{}:{token}", config.user).as_bytes()))
        };
        headers.insert(AUTHORIZATION, sensitive(&value)?);
        let comments = config.options.get("comments").map(String::as_str);
        ensure!(
            matches!(comments, None | Some("staff only" | "shared")),
            "options.comments is \"staff only\" or \"shared\", whichever the queue's rights make of comments"
        );
        let hook_key = match &config.hook_secret_file {
            Some(path) => Some(hmac::Key::new(hmac::HMAC_SHA256, secret(Some(path), "hook_secret_file")?.as_bytes())),
            None => None,
        };
        let private = comments == Some("staff only");
        Ok(Arc::new(Self { http: Http::new(config, headers)?, config: config.clone(), hook_key, private }))
    }

    async fn get(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Value, Trouble> {
        let whole: Vec<&str> = ["REST", "2.0"].into_iter().chain(segments.iter().copied()).collect();
        self.http.get(&whole, query).await
    }

    /// What the requester wrote: the first text of the first transaction.
    async fn words(&self, id: &str) -> Result<String, Trouble> {
        let history = self.get(&["ticket", id, "history"], &[("fields", "Type"), ("per_page", "10")]).await?;
        let created = items(&history).find(|item| text(item, "/Type") == "Create").map(|item| text(item, "/id"));
        let Some(created) = created else { return Ok(String::new()) };
        let query = [("fields", "Content,ContentType"), ("per_page", "10")];
        let parts = self.get(&["transaction", &created, "attachments"], &query).await?;
        let first = items(&parts).find(|part| text(part, "/ContentType") == "text/plain");
        let first = first.or_else(|| items(&parts).find(|part| text(part, "/ContentType") == "text/html"));
        Ok(first.map(|part| text(part, "/Content")).unwrap_or_default())
    }

    fn foreign(&self, ticket: &Value) -> Foreign {
        let id = text(ticket, "/id");
        let place = text(ticket, "/Queue/Name");
        let custom = ticket.pointer("/CustomFields").and_then(Value::as_array).into_iter().flatten();
        let fields = custom.map(|field| {
            let values = field.pointer("/values").and_then(Value::as_array).into_iter().flatten();
            let values: Vec<&str> = values.filter_map(Value::as_str).collect();
            (text(field, "/name"), values.join(", "))
        });
        let mut url = self.http.at(&["Ticket", "Display.html"], &[("id", &id)]);
        url.set_fragment(None);
        Foreign {
            title: text(ticket, "/Subject"),
            escalated: self.config.escalated.contains(&place),
            status: text(ticket, "/Status"),
            fields: fields.collect(),
            url: url.into(),
            changed_ms: time(&text(ticket, "/LastUpdated")),
            id,
            place,
            ..Foreign::default()
        }
    }

    async fn search(&self, query: &str) -> Result<Vec<Foreign>, Trouble> {
        let mut found = Vec::new();
        for page in 1..=FOUND_MAX / PAGE {
            let (page, size) = (page.to_string(), PAGE.to_string());
            let asked = [
                ("query", query),
                ("fields", "Subject,Status,Queue,LastUpdated"),
                ("fields[Queue]", "Name"),
                ("orderby", "LastUpdated"),
                ("order", "DESC"),
                ("per_page", size.as_str()),
                ("page", page.as_str()),
            ];
            let answer = self.get(&["tickets"], &asked).await?;
            let before = found.len();
            found.extend(items(&answer).map(|ticket| self.foreign(ticket).bounded()));
            if found.len() < before + PAGE {
                break;
            }
        }
        Ok(found)
    }
}

#[async_trait]
impl HelpDesk for RequestTracker {
    fn abilities(&self) -> Abilities {
        let bytes_max = self.config.attach_bytes_max.unwrap_or(FILE_BYTES_MAX);
        let attachments = if self.private {
            Attachments::Private { bytes_max, with_note: true }
        } else {
            Attachments::Public { bytes_max }
        };
        let hooks = Hooks::Mac("sha256 of the body in X-Deskside-Signature, sent by a Scrip");
        Abilities { attachments, note_bytes_max: NOTE_BYTES_MAX, hooks, polls: true }
    }

    async fn read(&self, id: &str) -> Result<Foreign, Trouble> {
        let ticket = self.get(&["ticket", id], &[("fields[Queue]", "Name")]).await?;
        let asker = ticket.pointer("/Requestor/0/id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut requester = Person { name: asker.clone(), mail: asker.clone(), login: asker.clone() };
        if !asker.is_empty() {
            // Why not fail: a token may see tickets and no users; the name alone is then what is known.
            if let Ok(user) = self.get(&["user", &asker], &[]).await {
                requester.name = text(&user, "/RealName");
                requester.mail = text(&user, "/EmailAddress");
                requester.login = text(&user, "/Name");
            }
        }
        let foreign = Foreign { requester, text: self.words(id).await?, ..self.foreign(&ticket) };
        Ok(foreign.bounded())
    }

    async fn find(&self, words: &str) -> Result<Vec<Foreign>, Trouble> {
        if words.parse::<u64>().is_ok() {
            return Ok(vec![self.read(words).await?]);
        }
        self.search(&format!("Subject LIKE {}", quoted(words))).await
    }

    async fn escalated(&self, since_ms: i64) -> Result<Vec<Foreign>, Trouble> {
        if self.config.escalated.is_empty() {
            return Ok(Vec::new());
        }
        let places: Vec<String> =
            self.config.escalated.iter().map(|place| format!("Queue = {}", quoted(place))).collect();
        let since = jiff::Timestamp::from_millisecond((since_ms - ZONE_MS).max(0)).unwrap_or_default();
        let since = since.strftime("%Y-%m-%d %H:%M:%S");
        self.search(&format!("({}) AND Status = '__Active__' AND LastUpdated > '{since}'", places.join(" OR "))).await
    }

    async fn noted(&self, id: &str, marker: &str) -> Result<Option<Posted>, Trouble> {
        for page in 1..=PAGES_MAX {
            let (page, size) = (page.to_string(), PAGE.to_string());
            let query = [("fields", "Type,Data"), ("per_page", size.as_str()), ("page", page.as_str())];
            let history = self.get(&["ticket", id, "history"], &query).await?;
            let found =
                items(&history).find(|item| text(item, "/Type") == "Comment" && text(item, "/Data").trim() == marker);
            if let Some(found) = found {
                let note = text(found, "/id");
                let query = [("fields", "Filename"), ("per_page", "100")];
                let parts = self.get(&["transaction", &note, "attachments"], &query).await?;
                let files = items(&parts).map(|part| text(part, "/Filename")).filter(|name| !name.is_empty()).collect();
                return Ok(Some(Posted { id: note, files }));
            }
            if items(&history).count() < PAGE {
                break;
            }
        }
        Ok(None)
    }

    async fn note(&self, id: &str, note: &Note) -> Result<Posted, Trouble> {
        let said = json!({ "Subject": note.marker, "Content": note.text, "ContentType": "text/plain" });
        let url = self.http.at(&["REST", "2.0", "ticket", id, "comment"], &[]);
        match &note.file {
            None => {
                self.http.put(Method::POST, url, &said).await?;
            }
            Some(file) => {
                let never = |error: reqwest::Error| Trouble::never(format!("the request cannot be made: {error}"));
                let said = Part::text(said.to_string()).mime_str("application/json").map_err(never)?;
                let part = Part::stream_with_length(Http::body(file).await?, file.size).file_name(file.name.clone());
                let part = part.mime_str(&file.media_type).map_err(never)?;
                let form = Form::new().part("JSON", said).part("Attachments", part);
                self.http.json(Doing::Writing, self.http.upload(Method::POST, url).multipart(form)).await?;
            }
        }
        // Why read back: RT drops what is too large without a word.
        let posted = self.noted(id, &note.marker).await.map_err(|trouble| Trouble::unknown(trouble.why()))?;
        posted.ok_or_else(|| Trouble::unknown("it took the comment and does not show it; may its user see comments?"))
    }

    async fn attach(&self, _id: &str, file: &File, _posted: &Posted) -> Result<(), Trouble> {
        Err(Trouble::never(format!("{}: files go with their comment here", file.name)))
    }

    async fn set(&self, id: &str, fields: &Fields) -> Result<(), Trouble> {
        let (core, custom): (Fields, Fields) =
            fields.clone().into_iter().partition(|(name, _value)| CORE.contains(&name.as_str()));
        let mut body: Map<String, Value> = core.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        if !custom.is_empty() {
            body.insert("CustomFields".into(), json!(custom));
        }
        let body = Value::Object(body);
        self.http.put(Method::PUT, self.http.at(&["REST", "2.0", "ticket", id], &[]), &body).await?;
        let after = self.foreign(&self.get(&["ticket", id], &[("fields[Queue]", "Name")]).await?);
        let missing: Vec<&str> =
            custom.keys().filter(|name| !after.fields.contains_key(*name)).map(String::as_str).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Trouble::never(format!("the queue {} has no custom field {}", after.place, missing.join(", "))))
    }

    fn hook(&self, headers: &HeaderMap, raw: &[u8], now_ms: i64) -> Result<Hint, Refused> {
        let Some(key) = &self.hook_key else { return Err(Refused::Forged("no hook_secret_file is configured".into())) };
        let said = headers.get("x-deskside-signature").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let code = said.strip_prefix("sha256=").and_then(|hex| HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok());
        let good = code.is_some_and(|code| hmac::verify(key, raw, &code).is_ok());
        if !good {
            return Err(Refused::Forged("its signature is missing or wrong".into()));
        }
        let body: Value = serde_json::from_slice(raw).map_err(|error| Refused::Unread(format!("no JSON: {error}")))?;
        let at_ms = body.pointer("/at").and_then(Value::as_i64).unwrap_or_default().saturating_mul(1_000);
        if now_ms.abs_diff(at_ms) > HOOK_AGE_MAX_MS.unsigned_abs() {
            return Err(Refused::Stale("it is older than five minutes, or the clocks differ".into()));
        }
        let (ticket, delivery) = (text(&body, "/ticket"), text(&body, "/delivery"));
        if ticket.is_empty() || delivery.is_empty() {
            return Err(Refused::Unread("it names no ticket or no delivery".into()));
        }
        Ok(Hint { ticket, delivery, told: None })
    }
}

/// A value as text, number or not; empty where there is none.
fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

fn items(page: &Value) -> impl Iterator<Item = &Value> {
    page.pointer("/items").and_then(Value::as_array).into_iter().flatten()
}

/// A string of `TicketSQL`.
fn quoted(words: &str) -> String {
    format!("'{}'", words.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn time(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker() -> RequestTracker {
        let config = HelpDeskConfig { url: "http://127.0.0.1:1".into(), ..HelpDeskConfig::default() };
        RequestTracker {
            http: Http::new(&config, HeaderMap::new()).unwrap(),
            config,
            hook_key: Some(hmac::Key::new(hmac::HMAC_SHA256, b"hook")),
            private: false,
        }
    }

    fn signed(raw: &[u8]) -> HeaderMap {
        let code = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"hook"), raw);
        let value = format!("sha256={}", data_encoding::HEXLOWER.encode(code.as_ref()));
        HeaderMap::from_iter([("x-deskside-signature".parse().unwrap(), value.parse().unwrap())])
    }

    #[test]
    fn a_hook_is_taken_only_whole_signed_and_fresh() {
        let raw = br#"{"ticket": 42, "delivery": "77", "at": 1000}"#;
        let hint = tracker().hook(&signed(raw), raw, 1_000_000).unwrap();
        assert_eq!(hint, Hint { ticket: "42".into(), delivery: "77".into(), told: None });
        assert!(matches!(tracker().hook(&HeaderMap::new(), raw, 1_000_000), Err(Refused::Forged(_))));
        assert!(matches!(tracker().hook(&signed(b"{}"), raw, 1_000_000), Err(Refused::Forged(_))));
        assert!(matches!(tracker().hook(&signed(raw), raw, 1_301_000), Err(Refused::Stale(_))));
        assert!(matches!(tracker().hook(&signed(b"nonsense"), b"nonsense", 0), Err(Refused::Unread(_))));
        let empty = br#"{"at": 1000}"#;
        assert!(matches!(tracker().hook(&signed(empty), empty, 1_000_000), Err(Refused::Unread(_))));
    }

    #[test]
    fn words_cannot_leave_their_quotes() {
        assert_eq!(quoted(r"x' OR id > 0 \"), r"'x\' OR id > 0 \\'");
    }
}
