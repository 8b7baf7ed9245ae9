//! Jira Service Management: <https://developer.atlassian.com/cloud/jira/service-desk/rest/api-group-request/> for requests, comments and
//! attachments, <https://developer.atlassian.com/cloud/jira/platform/rest/v3/> for fields and search. Run against a contract server only.
//!
//! A comment is public unless it is said otherwise, and so is an attachment: both are always said. A comment is Jira's wiki markup, so
//! that the note stands between `{noformat}`. With `auth = "bearer"` the token is a personal one, as Data Center has it.

use std::sync::Arc;

use anyhow::{Result, ensure};
use async_trait::async_trait;
use data_encoding::BASE64;
use reqwest::Method;
use reqwest::header::HeaderMap;
use reqwest::multipart::{Form, Part};
use serde_json::{Map, Value, json};

use super::answer::{self, escalated, rows, text, word, written};
use super::mac::{self, Digest, Mac, Scheme};
use super::{
    Abilities, Attachments, Doing, Fields, File, Foreign, HelpDesk, Hint, Hooks, Http, Kind, Note, Person, Posted,
};
use super::{Refused, Trouble, secret, sensitive};
use crate::config::HelpDeskConfig;

/// The kind.
pub(super) const KIND: Kind = Kind { name: "jira", options: &["auth", "file_bytes_max"], make };

/// Largest file, where the configuration names no other. Jira's own bound is asked for before each.
const FILE_BYTES_MAX: u64 = 100 * 1024 * 1024;

/// Longest note: Jira's own bound is 32,767 characters.
const NOTE_BYTES_MAX: usize = 32_000;

/// Comments of one page, and pages that are looked at.
const PAGE: usize = 100;
const PAGES_MAX: usize = 20;

struct Jira {
    http: Http,
    mac: Mac,
    file_bytes_max: u64,
    escalated: Vec<String>,
    device_fields: Vec<String>,
}

fn make(config: &HelpDeskConfig) -> Result<Arc<dyn HelpDesk>> {
    let token = secret(config.token_file.as_deref(), "token_file")?;
    let auth = config.options.get("auth").map_or("basic", String::as_str);
    ensure!(["basic", "bearer"].contains(&auth), "options.auth is \"basic\" or \"bearer\", not {auth:?}");
    let login = match auth {
        "bearer" => format!("Bearer {token}"),
        _ => format!("Basic {}", BASE64.encode(format!("{}:{token}", config.user).as_bytes())),
    };
    let mut headers = HeaderMap::new();
    headers.insert("authorization", sensitive(&login)?);
    let scheme = Scheme::Body { header: "x-hub-signature", prefix: "sha256=", digest: Digest::Sha256 };
    let bytes_max = config.options.get("file_bytes_max").map(|bytes| bytes.parse()).transpose()?;
    Ok(Arc::new(Jira {
        http: Http::new(config, headers)?,
        mac: Mac::open(scheme, config)?,
        file_bytes_max: bytes_max.unwrap_or(FILE_BYTES_MAX),
        escalated: config.escalated.clone(),
        device_fields: config.device_fields.clone(),
    }))
}

/// Text that wiki markup shows as it is.
fn unformatted(text: &str) -> String {
    // Why a space: nothing else ends what must not be ended.
    format!("{{noformat}}\n{}\n{{noformat}}", text.replace("{noformat", "{ noformat"))
}

impl Jira {
    fn fields(&self) -> Vec<&str> {
        let known = ["summary", "status", "reporter", "components", "labels", "assignee", "issuetype", "updated"];
        known.into_iter().chain(self.device_fields.iter().map(String::as_str)).collect()
    }

    fn foreign(&self, issue: &Value) -> Foreign {
        let key = text(issue, "/key");
        let fields = issue.pointer("/fields").and_then(Value::as_object).cloned().unwrap_or_default();
        let names = |name: &str| -> Vec<String> {
            let found = fields.get(name).and_then(Value::as_array).into_iter().flatten();
            found.filter_map(|value| value.as_str().map(str::to_owned).or_else(|| word(value, "/name"))).collect()
        };
        let (status, assignee) = (text(issue, "/fields/status/name"), text(issue, "/fields/assignee/displayName"));
        let places = [names("components"), names("labels"), vec![status.clone(), assignee]].concat();
        let custom = fields.iter().filter_map(|(name, value)| {
            let said =
                value.as_str().map(str::to_owned).or_else(|| word(value, "/value")).or_else(|| word(value, "/name"))?;
            Some((name.clone(), said))
        });
        Foreign {
            title: text(issue, "/fields/summary"),
            requester: Person {
                name: text(issue, "/fields/reporter/displayName"),
                mail: text(issue, "/fields/reporter/emailAddress"),
                login: text(issue, "/fields/reporter/name"),
            },
            escalated: escalated(&self.escalated, &places.iter().map(String::as_str).collect::<Vec<_>>()),
            place: places.into_iter().find(|place| !place.is_empty()).unwrap_or_default(),
            category: text(issue, "/fields/issuetype/name"),
            status,
            fields: custom.collect(),
            url: self.http.at(&["browse", &key], &[]).to_string(),
            changed_ms: answer::time_ms(&text(issue, "/fields/updated")),
            number: key.clone(),
            id: key,
            ..Foreign::default()
        }
    }

    async fn search(&self, jql: &str) -> Result<Vec<Foreign>, Trouble> {
        let body = json!({ "jql": jql, "fields": self.fields(), "maxResults": 50 }).to_string();
        let request = self.http.request(Method::POST, self.http.at(&["rest", "api", "3", "search", "jql"], &[]));
        let request = request.header("content-type", "application/json").body(body);
        let found = self.http.json(Doing::Reading, request).await?;
        Ok(rows(&found, "/issues").iter().map(|issue| self.foreign(issue).bounded()).collect())
    }

    /// Names of the files of a request.
    async fn files(&self, key: &str) -> Result<Vec<String>, Trouble> {
        let found =
            self.http.get(&["rest", "servicedeskapi", "request", key, "attachment"], &[("limit", "100")]).await?;
        Ok(rows(&found, "/values").iter().map(|file| text(file, "/filename")).collect())
    }
}

#[async_trait]
impl HelpDesk for Jira {
    fn abilities(&self) -> Abilities {
        Abilities {
            attachments: Attachments::Private { bytes_max: self.file_bytes_max, with_note: false },
            note_bytes_max: NOTE_BYTES_MAX,
            hooks: Hooks::Mac("sha256 over the body"),
            polls: true,
        }
    }

    async fn read(&self, id: &str) -> Result<Foreign, Trouble> {
        let fields = self.fields().join(",");
        let issue = self.http.get(&["rest", "api", "3", "issue", id], &[("fields", &fields)]).await?;
        let mut foreign = self.foreign(&issue);
        // Why a second look: the platform's description is a tree of nodes, the service desk's is text.
        let request = self.http.get(&["rest", "servicedeskapi", "request", id], &[]).await?;
        let mut said = rows(&request, "/requestFieldValues").iter();
        foreign.text = said
            .find(|field| text(field, "/fieldId") == "description")
            .map(|field| text(field, "/value"))
            .unwrap_or_default();
        Ok(foreign.bounded())
    }

    async fn find(&self, words: &str) -> Result<Vec<Foreign>, Trouble> {
        self.search(&format!("text ~ \"{}\" ORDER BY updated DESC", answer::quotable(words))).await
    }

    async fn escalated(&self, since_ms: i64) -> Result<Vec<Foreign>, Trouble> {
        let places: Vec<String> =
            self.escalated.iter().map(|place| format!("\"{}\"", answer::quotable(place))).collect();
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let (places, since) = (places.join(", "), answer::surely_before(since_ms));
        let since = since.rsplit_once(':').map_or(since.as_str(), |(minutes, _seconds)| minutes);
        let mut found = Vec::new();
        for field in ["component", "labels", "status"] {
            // Why one by one: a name that one field does not know makes Jira refuse the whole question.
            match self.search(&format!("{field} in ({places}) AND updated >= \"{since}\" ORDER BY updated DESC")).await
            {
                Ok(tickets) => found.extend(tickets),
                Err(Trouble::Never { why }) if field != "component" => {
                    tracing::debug!(field, why, "not a place of Jira's");
                }
                Err(trouble) => return Err(trouble),
            }
        }
        found.retain(|ticket| ticket.escalated);
        found.sort_by(|one, other| one.id.cmp(&other.id));
        found.dedup_by(|one, other| one.id == other.id);
        Ok(found)
    }

    async fn noted(&self, id: &str, marker: &str) -> Result<Option<Posted>, Trouble> {
        for page in 0..PAGES_MAX {
            let (start, limit) = ((page * PAGE).to_string(), PAGE.to_string());
            let query =
                [("internal", "true"), ("public", "false"), ("start", start.as_str()), ("limit", limit.as_str())];
            let found = self.http.get(&["rest", "servicedeskapi", "request", id, "comment"], &query).await?;
            if let Some(comment) =
                rows(&found, "/values").iter().find(|comment| text(comment, "/body").contains(marker))
            {
                return Ok(Some(Posted { id: text(comment, "/id"), files: self.files(id).await? }));
            }
            if found.pointer("/isLastPage") != Some(&json!(false)) {
                return Ok(None);
            }
        }
        Err(Trouble::never(format!("the request has more than {} comments", PAGE * PAGES_MAX)))
    }

    async fn note(&self, id: &str, note: &Note) -> Result<Posted, Trouble> {
        let url = self.http.at(&["rest", "servicedeskapi", "request", id, "comment"], &[]);
        let body = json!({ "body": unformatted(&note.text), "public": false });
        let answer = self.http.put(Method::POST, url, &body).await?;
        Ok(Posted { id: written(&answer, "/id")?, files: Vec::new() })
    }

    async fn attach(&self, id: &str, file: &File, _posted: &Posted) -> Result<(), Trouble> {
        let bound = self.http.get(&["rest", "api", "3", "attachment", "meta"], &[]).await?;
        let (enabled, limit) = (bound.pointer("/enabled"), bound.pointer("/uploadLimit").and_then(Value::as_u64));
        if enabled == Some(&json!(false)) || limit.is_some_and(|limit| file.size > limit) {
            return Err(Trouble::never(format!(
                "Jira takes files of {} bytes at most here",
                limit.unwrap_or_default()
            )));
        }
        let request = self.http.get(&["rest", "servicedeskapi", "request", id], &[]).await?;
        let desk =
            word(&request, "/serviceDeskId").ok_or_else(|| Trouble::never("the request is in no service desk"))?;
        let bytes = Part::stream_with_length(Http::body(file).await?, file.size).file_name(file.name.clone());
        let bytes = bytes.mime_str(&file.media_type).map_err(|error| Trouble::never(error.to_string()))?;
        let url = self.http.at(&["rest", "servicedeskapi", "servicedesk", &desk, "attachTemporaryFile"], &[]);
        let request = self
            .http
            .upload(Method::POST, url)
            .header("x-atlassian-token", "no-check")
            .header("x-experimentalapi", "opt-in");
        // Why reading: a temporary file that nobody names is gone by itself.
        let answer = self.http.json(Doing::Reading, request.multipart(Form::new().part("file", bytes))).await?;
        let file = written(&answer, "/temporaryAttachments/0/temporaryAttachmentId")?;
        let url = self.http.at(&["rest", "servicedeskapi", "request", id, "attachment"], &[]);
        self.http.put(Method::POST, url, &json!({ "temporaryAttachmentIds": [file], "public": false })).await.map(drop)
    }

    async fn set(&self, id: &str, fields: &Fields) -> Result<(), Trouble> {
        let fields: Map<String, Value> =
            fields.iter().map(|(name, said)| (name.clone(), answer::value(said))).collect();
        let url = self.http.at(&["rest", "api", "3", "issue", id], &[]);
        self.http.put(Method::PUT, url, &json!({ "fields": fields })).await.map(drop)
    }

    fn hook(&self, headers: &HeaderMap, raw: &[u8], now_ms: i64) -> Result<Hint, Refused> {
        let delivery = self.mac.check(headers, raw, now_ms)?;
        let ticket = word(&mac::body(raw)?, "/issue/key")
            .ok_or_else(|| Refused::Unread("the hook names no /issue/key".into()))?;
        Ok(Hint { ticket, delivery, told: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_note_ends_the_place_where_nothing_means_anything() {
        let text = unformatted("*bold* [x|http://evil] {noformat} !img! {noformat:title=x}");
        assert_eq!(text.matches("{noformat").count(), 2);
        assert!(text.starts_with("{noformat}\n") && text.ends_with("\n{noformat}"));
    }
}
