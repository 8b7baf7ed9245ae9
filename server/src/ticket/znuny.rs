//! Znuny, and OTRS of the same line, with the sample web service imported:
//! <https://github.com/znuny/Znuny/blob/dev/development/webservices/GenericTicketConnectorREST.yml> and
//! <https://doc.znuny.org/znuny_lts/developer/>. Run against a contract server only.
//!
//! Notes are articles of the channel `Internal` that no customer sees; their files are theirs. A refusal is 200 with an `Error`. Invokers
//! sign nothing: they post `{"ticket", "delivery"}` with the secret in `X-Deskside-Secret`.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use super::answer::{self, escalated, rows, text, word, written};
use super::mac::{Mac, SECRET_HEADER, Scheme};
use super::{
    Abilities, Attachments, Doing, Fields, File, Foreign, HelpDesk, Hint, Hooks, Http, Kind, Note, Person, Posted,
};
use super::{Refused, Trouble, inline, secret};
use crate::config::HelpDeskConfig;

/// As the list of systems has it.
pub(super) const KIND: Kind = Kind { name: "znuny", options: &["web_service"], make };

/// Largest file: the sample's transport takes 100,000,000 bytes, and base64 makes four of three.
const FILE_BYTES_MAX: u64 = 70_000_000;

/// Longest note.
const NOTE_BYTES_MAX: usize = 500_000;

/// Tickets of one search.
const FOUND_MAX: usize = 50;

/// What a ticket has of its own; every other field is a dynamic one.
const OWN: &[&str] = &["Queue", "State", "Priority", "Owner", "Responsible", "Type", "Service"];

struct Znuny {
    http: Http,
    mac: Mac,
    user: String,
    password: String,
    service: String,
    session: Mutex<Option<String>>,
    escalated: Vec<String>,
}

fn make(config: &HelpDeskConfig) -> Result<Arc<dyn HelpDesk>> {
    let service = config.options.get("web_service").cloned();
    Ok(Arc::new(Znuny {
        http: Http::new(config, HeaderMap::new())?,
        mac: Mac::open(Scheme::Secret, config)?,
        user: config.user.clone(),
        password: secret(config.token_file.as_deref(), "token_file")?,
        service: service.unwrap_or_else(|| "GenericTicketConnectorREST".into()),
        session: Mutex::default(),
        escalated: config.escalated.clone(),
    }))
}

/// What an answer refuses, by its code and its words.
fn refusal(answer: &Value) -> Option<(String, String)> {
    answer.pointer("/Error")?;
    Some((text(answer, "/Error/ErrorCode"), text(answer, "/Error/ErrorMessage")))
}

impl Znuny {
    fn path<'a>(&'a self, path: &[&'a str]) -> Vec<&'a str> {
        [&["nph-genericinterface.pl", "Webservice", &self.service], path].concat()
    }

    /// The session. Why one that is kept: each login leaves another behind, and an agent may have few.
    async fn session(&self) -> Result<String, Trouble> {
        let mut held = self.session.lock().await;
        if let Some(session) = held.as_ref() {
            return Ok(session.clone());
        }
        let body = json!({ "UserLogin": self.user, "Password": self.password }).to_string();
        let request = self.http.request(Method::POST, self.http.at(&self.path(&["Session"]), &[]));
        let answer =
            self.http.json(Doing::Reading, request.header("content-type", "application/json").body(body)).await?;
        if let Some((code, why)) = refusal(&answer) {
            return Err(Trouble::never(format!("Znuny refuses the login: {code}: {why}")));
        }
        let session = word(&answer, "/SessionID").ok_or_else(|| Trouble::later("Znuny began no session"))?;
        *held = Some(session.clone());
        Ok(session)
    }

    /// What an answer says, or the trouble in it. One that the session is to blame for ends the session, and the next has another.
    async fn said(&self, answer: Value) -> Result<Value, Trouble> {
        let Some((code, why)) = refusal(&answer) else { return Ok(answer) };
        if code.ends_with("AuthFail") {
            *self.session.lock().await = None;
            return Err(Trouble::later(format!("Znuny ended the session: {why}")));
        }
        Err(Trouble::never(format!("Znuny refuses: {code}: {why}")))
    }

    async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Trouble> {
        let session = self.session().await?;
        let query = [&[("SessionID", session.as_str())], query].concat();
        let answer = self.http.get(&self.path(path), &query).await?;
        self.said(answer).await
    }

    async fn update(&self, id: &str, mut body: Map<String, Value>, file: Option<&File>) -> Result<Value, Trouble> {
        body.insert("SessionID".into(), self.session().await?.into());
        let url = self.http.at(&self.path(&["Ticket", id]), &[]);
        let answer = match file {
            None => self.http.put(Method::PATCH, url, &Value::Object(body)).await?,
            Some(file) => {
                let inline = inline::json(&Value::Object(body), file).await?;
                let request = self.http.upload(Method::PATCH, url).header("content-type", "application/json");
                let request = request.header("content-length", inline.length).body(inline.body);
                self.http.json(Doing::Writing, request).await?
            }
        };
        self.said(answer).await
    }

    fn foreign(&self, ticket: &Value) -> Foreign {
        let id = text(ticket, "/TicketID");
        let url = self.http.at(&["index.pl"], &[("Action", "AgentTicketZoom"), ("TicketID", &id)]).to_string();
        let (queue, state) = (text(ticket, "/Queue"), text(ticket, "/State"));
        let fields = rows(ticket, "/DynamicField").iter();
        let fields = fields.filter_map(|field| Some((text(field, "/Name"), word(field, "/Value")?)));
        let mut foreign = Foreign {
            number: text(ticket, "/TicketNumber"),
            title: text(ticket, "/Title"),
            requester: Person { login: text(ticket, "/CustomerUserID"), ..Person::default() },
            escalated: escalated(&self.escalated, &[&queue]),
            place: queue,
            category: text(ticket, "/Type"),
            fields: fields.collect(),
            changed_ms: answer::time_ms(&text(ticket, "/Changed")),
            status: state,
            url,
            id,
            ..Foreign::default()
        };
        let customers = |article: &&Value| text(article, "/SenderType") == "customer";
        if let Some(first) = rows(ticket, "/Article").iter().find(customers) {
            foreign.text = text(first, "/Body");
            let from = text(first, "/From");
            let (name, mail) = from.rsplit_once('<').unwrap_or((&from, ""));
            name.trim().trim_matches('"').clone_into(&mut foreign.requester.name);
            mail.trim_end_matches('>').clone_into(&mut foreign.requester.mail);
        }
        foreign.bounded()
    }

    async fn whole(&self, id: &str) -> Result<Value, Trouble> {
        let query =
            [("AllArticles", "1"), ("DynamicFields", "1"), ("Attachments", "1"), ("GetAttachmentContents", "0")];
        let answer = self.get(&["Ticket", id], &query).await?;
        answer.pointer("/Ticket/0").cloned().ok_or_else(|| Trouble::never(format!("Znuny has no ticket {id}")))
    }

    async fn search(&self, query: &[(&str, &str)]) -> Result<Vec<Foreign>, Trouble> {
        let found = self.get(&["Ticket"], query).await?;
        let mut tickets = Vec::new();
        for id in rows(&found, "/TicketID").iter().take(FOUND_MAX).filter_map(|id| word(id, "")) {
            tickets.push(self.foreign(&self.whole(&id).await?));
        }
        Ok(tickets)
    }
}

#[async_trait]
impl HelpDesk for Znuny {
    fn abilities(&self) -> Abilities {
        Abilities {
            attachments: Attachments::Private { bytes_max: FILE_BYTES_MAX, with_note: true },
            note_bytes_max: NOTE_BYTES_MAX,
            hooks: Hooks::Secret(SECRET_HEADER),
            polls: true,
        }
    }

    async fn read(&self, id: &str) -> Result<Foreign, Trouble> {
        Ok(self.foreign(&self.whole(id).await?))
    }

    async fn find(&self, words: &str) -> Result<Vec<Foreign>, Trouble> {
        let words = answer::quotable(words);
        if words.parse::<u64>().is_ok() {
            return self.search(&[("TicketNumber", &words)]).await;
        }
        self.search(&[("Title", &format!("*{words}*")), ("Limit", "50")]).await
    }

    async fn escalated(&self, since_ms: i64) -> Result<Vec<Foreign>, Trouble> {
        let mut found = Vec::new();
        for queue in &self.escalated {
            let since = answer::surely_before(since_ms);
            found.extend(
                self.search(&[("Queues", queue), ("TicketLastChangeTimeNewerDate", &since), ("Limit", "50")]).await?,
            );
        }
        found.retain(|ticket| ticket.escalated);
        Ok(found)
    }

    async fn noted(&self, id: &str, marker: &str) -> Result<Option<Posted>, Trouble> {
        let ticket = self.whole(id).await?;
        let found = rows(&ticket, "/Article").iter().find(|article| text(article, "/Body").contains(marker));
        Ok(found.map(|article| Posted {
            id: text(article, "/ArticleID"),
            files: rows(article, "/Attachment").iter().map(|file| text(file, "/Filename")).collect(),
        }))
    }

    async fn note(&self, id: &str, note: &Note) -> Result<Posted, Trouble> {
        let article = json!({
            "CommunicationChannel": "Internal", "IsVisibleForCustomer": 0, "SenderType": "agent", "Subject": "Deskside",
            "Body": note.text, "ContentType": "text/plain; charset=utf8",
        });
        let mut body = Map::new();
        body.insert("Article".into(), article);
        if let Some(file) = &note.file {
            let named = json!([{ "Filename": file.name, "ContentType": file.media_type, "Content": inline::HERE }]);
            body.insert("Attachment".into(), named);
        }
        let answer = self.update(id, body, note.file.as_ref()).await?;
        let files = note.file.iter().map(|file| file.name.clone()).collect();
        Ok(Posted { id: written(&answer, "/ArticleID")?, files })
    }

    async fn attach(&self, _id: &str, _file: &File, _posted: &Posted) -> Result<(), Trouble> {
        Err(Trouble::never("Znuny takes a file with its article alone"))
    }

    async fn set(&self, id: &str, fields: &Fields) -> Result<(), Trouble> {
        let (own, dynamic): (Vec<_>, Vec<_>) = fields.iter().partition(|(name, _said)| OWN.contains(&name.as_str()));
        let mut body = Map::new();
        if !own.is_empty() {
            let own = own.into_iter().map(|(name, said)| (name.clone(), Value::String(said.clone())));
            body.insert("Ticket".into(), Value::Object(own.collect()));
        }
        if !dynamic.is_empty() {
            let dynamic = dynamic.into_iter().map(|(name, said)| json!({ "Name": name, "Value": said }));
            body.insert("DynamicField".into(), dynamic.collect());
        }
        self.update(id, body, None).await.map(drop)
    }

    fn hook(&self, headers: &HeaderMap, raw: &[u8], now_ms: i64) -> Result<Hint, Refused> {
        self.mac.plain(headers, raw, now_ms)
    }
}
