//! iTop: <https://www.itophub.io/wiki/page?id=latest:advancedtopics:rest_json>. Run against a contract server only.
//!
//! One address, a form, and always the answer 200: whether it went well stands in `code`. Notes are entries of `private_log`, as text.
//! Attachments hang on the ticket, where the portal shows them to its caller: none is ever put there. From practice and not from a page:
//! the form of an entry. Webhooks are an extension without a code: they post `{"ticket", "delivery"}` with the secret in
//! `X-Deskside-Secret`.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value, json};

use super::answer::{self, escalated, rows, text, word};
use super::mac::{Mac, SECRET_HEADER, Scheme};
use super::{
    Abilities, Attachments, Doing, Fields, File, Foreign, HelpDesk, Hint, Hooks, Http, Kind, Note, Person, Posted,
};
use super::{Refused, Trouble, markup, secret};
use crate::config::HelpDeskConfig;

/// As the list of systems has it.
pub(super) const KIND: Kind = Kind { name: "itop", options: &["class"], make };

/// Longest note.
const NOTE_BYTES_MAX: usize = 60_000;

/// What is asked of a ticket.
const OUTPUT: &str = "id,ref,title,description,status,team_id_friendlyname,caller_id,caller_id_friendlyname,service_name,last_update,\
                      functionalcis_list";

struct Itop {
    http: Http,
    mac: Mac,
    user: String,
    password: String,
    class: String,
    escalated: Vec<String>,
    device_fields: Vec<String>,
}

fn make(config: &HelpDeskConfig) -> Result<Arc<dyn HelpDesk>> {
    Ok(Arc::new(Itop {
        http: Http::new(config, HeaderMap::new())?,
        mac: Mac::open(Scheme::Secret, config)?,
        user: config.user.clone(),
        password: secret(config.token_file.as_deref(), "token_file")?,
        class: config.options.get("class").cloned().unwrap_or_else(|| "UserRequest".into()),
        escalated: config.escalated.clone(),
        device_fields: config.device_fields.clone(),
    }))
}

impl Itop {
    async fn operation(&self, doing: Doing, operation: Value) -> Result<Map<String, Value>, Trouble> {
        let url = self.http.at(&["webservices", "rest.php"], &[("version", "1.3")]);
        let form = [
            ("auth_user", self.user.clone()),
            ("auth_pwd", self.password.clone()),
            ("json_data", operation.to_string()),
        ];
        let answer = self.http.json(doing, self.http.request(Method::POST, url).form(&form)).await?;
        let message = markup::plain(&text(&answer, "/message"));
        match answer.pointer("/code").and_then(Value::as_i64) {
            Some(0) => Ok(answer.pointer("/objects").and_then(Value::as_object).cloned().unwrap_or_default()),
            Some(1) => Err(Trouble::never(format!(
                "iTop refuses the login ({message}); it needs the profile REST Services User"
            ))),
            Some(code) => Err(Trouble::never(format!("iTop refuses with code {code}: {message}"))),
            None if doing == Doing::Writing => Err(Trouble::unknown("iTop's answer has no code")),
            None => Err(Trouble::later("iTop's answer has no code")),
        }
    }

    async fn get(&self, class: &str, key: Value, output: &str) -> Result<Vec<Value>, Trouble> {
        let operation = json!({ "operation": "core/get", "class": class, "key": key, "output_fields": output, "limit": 50, "page": 1 });
        let objects = self.operation(Doing::Reading, operation).await?;
        Ok(objects.into_iter().map(|(_name, object)| object.pointer("/fields").cloned().unwrap_or_default()).collect())
    }

    /// The number of a ticket. Why not any text: a key that is no number is a query in iTop's own language.
    fn key(id: &str) -> Result<Value, Trouble> {
        id.parse::<u64>().map(Value::from).map_err(|_odd| Trouble::never(format!("iTop has no ticket {id:?}")))
    }

    fn output(&self) -> String {
        [OUTPUT].into_iter().chain(self.device_fields.iter().map(String::as_str)).collect::<Vec<_>>().join(",")
    }

    fn foreign(&self, fields: &Value) -> Foreign {
        let id = text(fields, "/id");
        let url = [("operation", "details"), ("class", self.class.as_str()), ("id", id.as_str())];
        let url = self.http.at(&["pages", "UI.php"], &url).to_string();
        let (team, status) = (text(fields, "/team_id_friendlyname"), text(fields, "/status"));
        let plain = fields.as_object().into_iter().flatten();
        let plain = plain.filter(|(name, _value)| self.device_fields.contains(name));
        Foreign {
            number: text(fields, "/ref"),
            title: text(fields, "/title"),
            text: markup::plain(&text(fields, "/description")),
            requester: Person { name: text(fields, "/caller_id_friendlyname"), ..Person::default() },
            escalated: escalated(&self.escalated, &[&team, &status]),
            place: team,
            category: text(fields, "/service_name"),
            assets: rows(fields, "/functionalcis_list").iter().map(|item| text(item, "/functionalci_name")).collect(),
            fields: plain.filter_map(|(name, value)| Some((name.clone(), word(value, "")?))).collect(),
            changed_ms: answer::time_ms(&text(fields, "/last_update")),
            url,
            status,
            id,
        }
    }

    async fn select(&self, condition: &str) -> Result<Vec<Foreign>, Trouble> {
        let query = format!("SELECT {} WHERE {condition}", self.class);
        let found = self.get(&self.class, query.into(), &self.output()).await?;
        Ok(found.iter().map(|fields| self.foreign(fields).bounded()).collect())
    }

    async fn update(&self, id: &str, fields: Value, comment: &str) -> Result<(), Trouble> {
        let operation = json!({
            "operation": "core/update", "class": self.class, "key": Self::key(id)?, "fields": fields, "comment": comment,
            "output_fields": "id",
        });
        self.operation(Doing::Writing, operation).await.map(drop)
    }
}

#[async_trait]
impl HelpDesk for Itop {
    fn abilities(&self) -> Abilities {
        Abilities {
            attachments: Attachments::Public { bytes_max: 0 },
            note_bytes_max: NOTE_BYTES_MAX,
            hooks: Hooks::Secret(SECRET_HEADER),
            polls: true,
        }
    }

    async fn read(&self, id: &str) -> Result<Foreign, Trouble> {
        let found = self.get(&self.class, Self::key(id)?, &self.output()).await?;
        let fields = found.first().ok_or_else(|| Trouble::never(format!("iTop has no {} {id}", self.class)))?;
        let mut foreign = self.foreign(fields);
        if let Some(caller) = word(fields, "/caller_id").and_then(|id| id.parse::<u64>().ok()).filter(|id| *id > 0) {
            let person = self.get("Person", caller.into(), "email,friendlyname").await?;
            foreign.requester.mail = person.first().map(|person| text(person, "/email")).unwrap_or_default();
        }
        Ok(foreign.bounded())
    }

    async fn find(&self, words: &str) -> Result<Vec<Foreign>, Trouble> {
        let words = answer::quotable(words);
        if words.starts_with("R-") || words.starts_with("I-") {
            return self.select(&format!("ref = '{words}'")).await;
        }
        self.select(&format!("title LIKE '%{words}%'")).await
    }

    async fn escalated(&self, since_ms: i64) -> Result<Vec<Foreign>, Trouble> {
        if self.escalated.is_empty() {
            return Ok(Vec::new());
        }
        let teams: Vec<String> = self.escalated.iter().map(|team| format!("'{}'", answer::quotable(team))).collect();
        let since = answer::surely_before(since_ms);
        let mut found = self
            .select(&format!("team_id_friendlyname IN ({}) AND last_update >= '{since}'", teams.join(", ")))
            .await?;
        found.retain(|ticket| ticket.escalated);
        Ok(found)
    }

    async fn noted(&self, id: &str, marker: &str) -> Result<Option<Posted>, Trouble> {
        let found = self.get(&self.class, Self::key(id)?, "private_log").await?;
        let entries = found.first().map(|fields| rows(fields, "/private_log/entries")).unwrap_or_default();
        let said = |entry: &&Value| text(entry, "/message").contains(marker);
        Ok(entries.iter().find(said).map(|_entry| Posted::default()))
    }

    async fn note(&self, id: &str, note: &Note) -> Result<Posted, Trouble> {
        let log = json!({ "add_item": { "message": note.text, "format": "text" } });
        self.update(id, json!({ "private_log": log }), "Deskside: evidence").await?;
        Ok(Posted::default())
    }

    async fn attach(&self, _id: &str, _file: &File, _posted: &Posted) -> Result<(), Trouble> {
        Err(Trouble::never("iTop shows a ticket's attachments to its caller"))
    }

    async fn set(&self, id: &str, fields: &Fields) -> Result<(), Trouble> {
        self.update(id, json!(fields), "Deskside: fields").await
    }

    fn hook(&self, headers: &HeaderMap, raw: &[u8], now_ms: i64) -> Result<Hint, Refused> {
        self.mac.plain(headers, raw, now_ms)
    }
}
