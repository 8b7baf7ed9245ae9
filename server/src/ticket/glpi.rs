//! GLPI by its first REST API (`apirest.php`): <https://github.com/glpi-project/glpi/blob/main/apirest.md>; hooks as `Webhook.php` of
//! GLPI 11 signs them. Run against a contract server only.
//!
//! From practice and not from a page: the form of `ITILFollowup`, and that a document that is linked to a private followup is as private
//! as that is. Every piece of work has a session of its own, which it ends: they expire unseen.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use reqwest::Method;
use reqwest::header::HeaderMap;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::answer::{self, escalated, rows, text, word, written};
use super::mac::{self, Mac, Order, Scheme};
use super::{
    Abilities, Attachments, Doing, Fields, File, Foreign, HelpDesk, Hint, Hooks, Http, Kind, Note, Person, Posted,
};
use super::{Refused, Trouble, markup, secret, sensitive};
use crate::config::HelpDeskConfig;

/// The kind.
pub(super) const KIND: Kind = Kind { name: "glpi", options: &["app_token_file", "document_bytes_max"], make };

/// Largest document, as GLPI's own database begins with it.
const DOCUMENT_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// Longest note. Why: the column takes 65,535 bytes, and letters may be escaped.
pub(super) const NOTE_BYTES_MAX: usize = 30_000;

/// Oldest hook that is taken. Why so old: they wait in a queue that GLPI's cron works off.
const HOOK_AGE_MS_MAX: i64 = 3_600 * 1_000;

/// Documents of one note that are looked at.
const DOCUMENTS_MAX: usize = 10;

/// How GLPI signs its hooks.
pub(super) const SIGNED: Scheme = Scheme::Timed {
    header: "x-glpi-signature",
    prefix: "",
    time: "x-glpi-timestamp",
    order: Order::BodyTime,
    age_ms_max: HOOK_AGE_MS_MAX,
};

struct Glpi {
    files: Files,
    mac: Mac,
    escalated: Vec<String>,
}

/// The first API, which alone takes files.
pub(super) struct Files {
    http: Http,
    token: String,
    pub(super) document_bytes_max: u64,
}

fn make(config: &HelpDeskConfig) -> Result<Arc<dyn HelpDesk>> {
    let token = secret(config.token_file.as_deref(), "token_file")?;
    let (files, mac) = (Files::new(config, &token)?, Mac::open(SIGNED, config)?);
    Ok(Arc::new(Glpi { files, mac, escalated: config.escalated.clone() }))
}

impl Files {
    /// With a user's token, and the application's where the configuration names one.
    pub(super) fn new(config: &HelpDeskConfig, token: &str) -> Result<Self> {
        let mut headers = HeaderMap::new();
        if let Some(path) = config.options.get("app_token_file") {
            headers.insert("app-token", sensitive(&secret(Some(path.as_ref()), "app_token_file")?)?);
        }
        let bytes_max = config.options.get("document_bytes_max").map(|bytes| bytes.parse()).transpose()?;
        let http = Http::new(config, headers)?;
        Ok(Self {
            http,
            token: format!("user_token {token}"),
            document_bytes_max: bytes_max.unwrap_or(DOCUMENT_BYTES_MAX),
        })
    }

    /// Begins a session.
    pub(super) async fn session(&self) -> Result<Session<'_>, Trouble> {
        let login = sensitive(&self.token).map_err(|error| Trouble::never(format!("{error:#}")))?;
        let request = self.http.request(Method::GET, self.http.at(&["apirest.php", "initSession"], &[]));
        let answer = self.http.json(Doing::Reading, request.header("authorization", login)).await?;
        let token = word(&answer, "/session_token").ok_or_else(|| Trouble::later("GLPI began no session"))?;
        Ok(Session { http: &self.http, token })
    }
}

/// A session of the first API.
pub(super) struct Session<'a> {
    http: &'a Http,
    token: String,
}

impl Session<'_> {
    async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Trouble> {
        let url = self.http.at(&[&["apirest.php"], path].concat(), query);
        self.http.json(Doing::Reading, self.http.request(Method::GET, url).header("session-token", &self.token)).await
    }

    async fn write(&self, method: Method, path: &[&str], input: Value) -> Result<Value, Trouble> {
        let request = self.http.request(method, self.http.at(&[&["apirest.php"], path].concat(), &[]));
        let request = request.header("session-token", &self.token).header("content-type", "application/json");
        self.http.json(Doing::Writing, request.body(json!({ "input": input }).to_string())).await
    }

    /// Uploads a file and hangs it on a followup.
    pub(super) async fn attach(&self, followup: &str, file: &File) -> Result<(), Trouble> {
        let followup: u64 =
            followup.parse().map_err(|_odd| Trouble::never(format!("GLPI has no followup {followup:?}")))?;
        let manifest = json!({ "input": { "name": file.name, "_filename": [file.name] } }).to_string();
        let odd = |error: reqwest::Error| Trouble::never(error.to_string());
        let manifest = Part::text(manifest).mime_str("application/json").map_err(odd)?;
        let bytes = Part::stream_with_length(Http::body(file).await?, file.size).file_name(file.name.clone());
        let bytes = bytes.mime_str(&file.media_type).map_err(odd)?;
        let form = Form::new().part("uploadManifest", manifest).part("filename[0]", bytes);
        let request = self.http.upload(Method::POST, self.http.at(&["apirest.php", "Document"], &[]));
        let request = request.header("session-token", &self.token).multipart(form);
        let document = self.http.json(Doing::Writing, request).await?.pointer("/id").and_then(Value::as_u64);
        let document = document.ok_or_else(|| Trouble::unknown("GLPI does not say which document it made"))?;
        let input = json!({ "documents_id": document, "itemtype": "ITILFollowup", "items_id": followup });
        self.write(Method::POST, &["Document_Item"], input).await.map(drop)
    }

    /// Names of the files that hang on a followup.
    pub(super) async fn files(&self, followup: &str) -> Result<Vec<String>, Trouble> {
        let links = self.get(&["ITILFollowup", followup, "Document_Item"], &[]).await?;
        let mut names = Vec::new();
        for link in rows(&links, "").iter().take(DOCUMENTS_MAX) {
            let document = self.get(&["Document", &text(link, "/documents_id")], &[]).await?;
            names.push(text(&document, "/filename"));
        }
        Ok(names)
    }

    /// Ends it. Why no trouble of it: it ends by itself too.
    pub(super) async fn end(self) {
        if let Err(trouble) = self.get(&["killSession"], &[]).await {
            tracing::debug!(%trouble, "session of GLPI not ended");
        }
    }

    async fn ticket(&self, id: &str) -> Result<(Value, Vec<String>), Trouble> {
        let ticket = self.get(&["Ticket", id], &[]).await?;
        let groups = self.get(&["Ticket", id, "Group_Ticket"], &[]).await?;
        // Why 2: type 1 asks for help, 2 has the ticket, 3 looks on.
        let assigned = rows(&groups, "").iter().filter(|row| text(row, "/type") == "2");
        Ok((ticket, assigned.map(|row| text(row, "/groups_id")).collect()))
    }

    async fn requester(&self, id: &str) -> Result<Person, Trouble> {
        let users = self.get(&["Ticket", id, "Ticket_User"], &[]).await?;
        let asks = rows(&users, "").iter().find(|row| text(row, "/type") == "1");
        let Some(user) = asks.and_then(|row| word(row, "/users_id")).filter(|id| id != "0") else {
            let mail = asks.map(|row| text(row, "/alternative_email")).unwrap_or_default();
            return Ok(Person { mail, ..Person::default() });
        };
        let person = self.get(&["User", &user], &[]).await?;
        let mails = self.get(&["User", &user, "UserEmail"], &[]).await?;
        let chosen = rows(&mails, "").iter().find(|row| text(row, "/is_default") == "1").or(rows(&mails, "").first());
        Ok(Person {
            name: format!("{} {}", text(&person, "/firstname"), text(&person, "/realname")),
            mail: chosen.map(|row| text(row, "/email")).unwrap_or_default(),
            login: text(&person, "/name"),
        })
    }

    async fn assets(&self, id: &str) -> Result<Vec<String>, Trouble> {
        let items = self.get(&["Ticket", id, "Item_Ticket"], &[]).await?;
        let mut assets = Vec::new();
        for item in rows(&items, "").iter().filter(|row| text(row, "/itemtype") == "Computer").take(5) {
            let computer = self.get(&["Computer", &text(item, "/items_id")], &[]).await?;
            assets.extend([word(&computer, "/name"), word(&computer, "/serial")].into_iter().flatten());
        }
        Ok(assets)
    }

    async fn search(&self, criteria: &[(&str, &str, &str)]) -> Result<Vec<String>, Trouble> {
        let mut query = vec![("forcedisplay[0]".to_owned(), "2".to_owned()), ("range".to_owned(), "0-49".to_owned())];
        for (place, (field, how, what)) in criteria.iter().enumerate() {
            for (key, value) in [("field", *field), ("searchtype", *how), ("value", *what), ("link", "AND")] {
                query.push((format!("criteria[{place}][{key}]"), value.to_owned()));
            }
        }
        let query: Vec<(&str, &str)> = query.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let found = self.get(&["search", "Ticket"], &query).await?;
        Ok(rows(&found, "/data").iter().filter_map(|row| word(row, "/2")).collect())
    }
}

impl Glpi {
    fn foreign(&self, ticket: &Value, groups: &[String]) -> Foreign {
        let id = text(ticket, "/id");
        let mut url = self.files.http.at(&["front", "ticket.form.php"], &[]);
        url.query_pairs_mut().append_pair("id", &id);
        let status = text(ticket, "/status");
        let places: Vec<&str> = groups.iter().map(String::as_str).chain([status.as_str()]).collect();
        Foreign {
            title: text(ticket, "/name"),
            // Why twice: GLPI keeps HTML escaped.
            text: markup::plain(&markup::plain(&text(ticket, "/content"))),
            place: groups.first().cloned().unwrap_or_default(),
            category: text(ticket, "/itilcategories_id"),
            escalated: escalated(&self.escalated, &places),
            url: url.to_string(),
            changed_ms: answer::time_ms(&text(ticket, "/date_mod")),
            status,
            id,
            ..Foreign::default()
        }
    }

    async fn each(&self, session: &Session<'_>, ids: &[String]) -> Result<Vec<Foreign>, Trouble> {
        let mut found = Vec::new();
        for id in ids {
            let (ticket, groups) = session.ticket(id).await?;
            found.push(self.foreign(&ticket, &groups).bounded());
        }
        Ok(found)
    }
}

#[async_trait]
impl HelpDesk for Glpi {
    fn abilities(&self) -> Abilities {
        Abilities {
            attachments: Attachments::Private { bytes_max: self.files.document_bytes_max, with_note: false },
            note_bytes_max: NOTE_BYTES_MAX,
            hooks: Hooks::Mac("sha256 over body and timestamp"),
            polls: true,
        }
    }

    async fn read(&self, id: &str) -> Result<Foreign, Trouble> {
        let session = self.files.session().await?;
        let (ticket, groups) = session.ticket(id).await?;
        let mut foreign = self.foreign(&ticket, &groups);
        foreign.requester = session.requester(id).await?;
        foreign.assets = session.assets(id).await?;
        session.end().await;
        Ok(foreign.bounded())
    }

    async fn find(&self, words: &str) -> Result<Vec<Foreign>, Trouble> {
        let session = self.files.session().await?;
        let words = answer::quotable(words);
        // Fields of GLPI's own search: 1 is the title, 2 the number.
        let criterion = if words.parse::<u64>().is_ok() { ("2", "equals") } else { ("1", "contains") };
        let ids = session.search(&[(criterion.0, criterion.1, &words)]).await?;
        let found = self.each(&session, &ids).await?;
        session.end().await;
        Ok(found)
    }

    async fn escalated(&self, since_ms: i64) -> Result<Vec<Foreign>, Trouble> {
        let session = self.files.session().await?;
        let since = answer::surely_before(since_ms);
        let mut found = Vec::new();
        for group in self.escalated.iter().filter(|group| group.parse::<u64>().is_ok()) {
            // 8 is the group that has it, 19 the last change.
            let ids = session.search(&[("8", "equals", group), ("19", "morethan", &since)]).await?;
            found.extend(self.each(&session, &ids).await?);
        }
        session.end().await;
        found.retain(|ticket| ticket.escalated);
        Ok(found)
    }

    async fn noted(&self, id: &str, marker: &str) -> Result<Option<Posted>, Trouble> {
        let session = self.files.session().await?;
        let notes = session.get(&["Ticket", id, "ITILFollowup"], &[("range", "0-999")]).await?;
        let found = rows(&notes, "").iter().find(|note| text(note, "/content").contains(marker));
        let posted = match found.map(|note| text(note, "/id")) {
            Some(note) => Some(Posted { files: session.files(&note).await?, id: note }),
            None => None,
        };
        session.end().await;
        Ok(posted)
    }

    async fn note(&self, id: &str, note: &Note) -> Result<Posted, Trouble> {
        let ticket: u64 = id.parse().map_err(|_odd| Trouble::never(format!("GLPI has no ticket {id:?}")))?;
        let session = self.files.session().await?;
        let content = markup::preformatted(&note.text);
        let input = json!({ "itemtype": "Ticket", "items_id": ticket, "content": content, "is_private": 1 });
        let answer = session.write(Method::POST, &["Ticket", id, "ITILFollowup"], input).await?;
        let posted = Posted { id: written(&answer, "/id")?, files: Vec::new() };
        session.end().await;
        Ok(posted)
    }

    async fn attach(&self, _id: &str, file: &File, posted: &Posted) -> Result<(), Trouble> {
        let session = self.files.session().await?;
        session.attach(&posted.id, file).await?;
        session.end().await;
        Ok(())
    }

    async fn set(&self, id: &str, fields: &Fields) -> Result<(), Trouble> {
        let session = self.files.session().await?;
        session.write(Method::PUT, &["Ticket", id], json!(fields)).await?;
        session.end().await;
        Ok(())
    }

    fn hook(&self, headers: &HeaderMap, raw: &[u8], now_ms: i64) -> Result<Hint, Refused> {
        hint(&self.mac, headers, raw, now_ms)
    }
}

/// A hook of either API: of a ticket, or of what hangs on one.
pub(super) fn hint(mac: &Mac, headers: &HeaderMap, raw: &[u8], now_ms: i64) -> Result<Hint, Refused> {
    let delivery = mac.check(headers, raw, now_ms)?;
    let body = mac::body(raw)?;
    let ticket = ["/item/tickets_id", "/item/items_id", "/item/id"].iter().find_map(|pointer| word(&body, pointer));
    let ticket = ticket.ok_or_else(|| Refused::Unread("the hook names no /item/id".into()))?;
    Ok(Hint { ticket, delivery, told: None })
}
