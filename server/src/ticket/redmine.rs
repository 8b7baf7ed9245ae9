//! Redmine 5 by its REST API (<https://www.redmine.org/projects/redmine/wiki/Rest_api>).
//!
//! A private note hides its words and not its files: whoever sees the issue sees every file, so that bundles are never attached. Redmine
//! makes a private note public without a word where the user may not make private ones; the right is asked for before each note. Redmine 7
//! has hooks of its own (`X-Redmine-Signature-256`); older ones are polled.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName};
use ring::{digest, hmac};
use serde_json::{Map, Value, json};

use super::{
    Abilities, Attachments, Fields, File, Foreign, HelpDesk, Hint, Hooks, Http, Kind, Note, Person, Posted, Refused,
    Trouble, secret, sensitive,
};
use crate::config::HelpDeskConfig;

/// As the list of systems has it.
pub(super) const KIND: Kind =
    Kind { name: "redmine", options: &["text_formatting"], make: |config| Redmine::make(config) };

/// Issues of one look, Redmine's own limit.
const FOUND_MAX: &str = "100";

/// Longest note; a TEXT column of `MySQL` holds no more.
const NOTE_BYTES_MAX: usize = 60 * 1024;

/// Redmine's own limit unless changed (`attachment_max_size`).
const FILE_BYTES_MAX: u64 = 5 * 1024 * 1024;

/// Oldest hook that is taken.
const HOOK_AGE_MAX_MS: i64 = 5 * 60 * 1_000;

/// How notes are written there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Formatting {
    Textile,
    Markdown,
    Plain,
}

struct Redmine {
    http: Http,
    config: HelpDeskConfig,
    hook_key: Option<hmac::Key>,
    formatting: Formatting,
}

impl Redmine {
    fn make(config: &HelpDeskConfig) -> Result<Arc<dyn HelpDesk>> {
        let mut headers = HeaderMap::new();
        let token = secret(config.token_file.as_deref(), "token_file")?;
        headers.insert(HeaderName::from_static("x-redmine-api-key"), sensitive(&token)?);
        let hook_key = match &config.hook_secret_file {
            Some(path) => Some(hmac::Key::new(hmac::HMAC_SHA256, secret(Some(path), "hook_secret_file")?.as_bytes())),
            None => None,
        };
        let formatting = match config.options.get("text_formatting").map(String::as_str) {
            None | Some("textile") => Formatting::Textile,
            Some("markdown" | "common_mark") => Formatting::Markdown,
            Some("none") => Formatting::Plain,
            Some(other) => {
                anyhow::bail!("options.text_formatting is textile, markdown, common_mark or none, and not {other:?}")
            }
        };
        Ok(Arc::new(Self { http: Http::new(config, headers)?, config: config.clone(), hook_key, formatting }))
    }

    async fn issue(&self, id: &str, include: &str) -> Result<Value, Trouble> {
        let answer = self.http.get(&["issues", &format!("{id}.json")], &[("include", include)]).await?;
        Ok(answer.pointer("/issue").cloned().unwrap_or_default())
    }

    fn foreign(&self, issue: &Value) -> Foreign {
        let id = text(issue, "/id");
        let named = ["/project/name", "/assigned_to/name", "/status/name", "/category/name", "/tracker/name"];
        let places: Vec<String> = named.into_iter().map(|pointer| text(issue, pointer)).collect();
        let open = issue.pointer("/status/is_closed").and_then(Value::as_bool) != Some(true);
        let custom = issue.pointer("/custom_fields").and_then(Value::as_array).into_iter().flatten();
        let url = self.http.at(&["issues", &id], &[]).into();
        Foreign {
            title: text(issue, "/subject"),
            text: text(issue, "/description"),
            requester: Person { name: text(issue, "/author/name"), ..Person::default() },
            place: text(issue, "/project/name"),
            category: [text(issue, "/category/name"), text(issue, "/tracker/name")].join(" ").trim().to_owned(),
            status: text(issue, "/status/name"),
            escalated: open && self.config.escalated.iter().any(|place| places.contains(place)),
            fields: custom.map(|field| (text(field, "/name"), text(field, "/value"))).collect(),
            url,
            changed_ms: text(issue, "/updated_on")
                .parse::<jiff::Timestamp>()
                .map_or(0, jiff::Timestamp::as_millisecond),
            id,
            ..Foreign::default()
        }
    }

    /// Whether a note of ours in this project stays private.
    async fn may_write_privately(&self, project: &str) -> Result<(), Trouble> {
        let me = self.http.get(&["users", "current.json"], &[("include", "memberships")]).await?;
        if me.pointer("/user/admin").and_then(Value::as_bool) == Some(true) {
            return Ok(());
        }
        let memberships = me.pointer("/user/memberships").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut roles = Vec::new();
        for membership in memberships.iter().filter(|membership| text(membership, "/project/id") == project) {
            let held = membership.pointer("/roles").and_then(Value::as_array).into_iter().flatten();
            roles.extend(held.map(|role| format!("{}.json", text(role, "/id"))));
        }
        for role in roles {
            let role = self.http.get(&["roles", &role], &[]).await?;
            let permissions = role.pointer("/role/permissions").and_then(Value::as_array).into_iter().flatten();
            let held: Vec<&str> = permissions.filter_map(Value::as_str).collect();
            if ["set_notes_private", "view_private_notes", "add_issue_notes"].iter().all(|right| held.contains(right)) {
                return Ok(());
            }
        }
        Err(Trouble::never(
            "its user may not write private notes in this project, and a note would be seen by all: give its role the \
             permissions \"Add notes\", \"Set notes as private\" and \"View private notes\"",
        ))
    }

    /// Text that is shown as it is, whatever it holds.
    fn literal(&self, text: &str) -> String {
        match self.formatting {
            Formatting::Plain => text.to_owned(),
            Formatting::Textile => {
                let inner = text.replace("</pre", "<\u{200b}/pre").replace("<pre", "<\u{200b}pre");
                format!("<pre>\n{inner}\n</pre>")
            }
            Formatting::Markdown => format!("~~~ text\n{}\n~~~", text.replace("~~~", "~\u{200b}~~")),
        }
    }
}

#[async_trait]
impl HelpDesk for Redmine {
    fn abilities(&self) -> Abilities {
        let attachments = Attachments::Public { bytes_max: self.config.attach_bytes_max.unwrap_or(FILE_BYTES_MAX) };
        let hooks = Hooks::Mac("sha256 of the body in X-Redmine-Signature-256 (Redmine 7)");
        Abilities { attachments, note_bytes_max: NOTE_BYTES_MAX, hooks, polls: true }
    }

    async fn read(&self, id: &str) -> Result<Foreign, Trouble> {
        let issue = self.issue(id, "attachments").await?;
        let mut foreign = self.foreign(&issue);
        // Why not fail: only an administrator's key may read users.
        let author = format!("{}.json", text(&issue, "/author/id"));
        if let Ok(user) = self.http.get(&["users", &author], &[]).await {
            foreign.requester.mail = text(&user, "/user/mail");
            foreign.requester.login = text(&user, "/user/login");
        }
        Ok(foreign.bounded())
    }

    async fn find(&self, words: &str) -> Result<Vec<Foreign>, Trouble> {
        if words.parse::<u64>().is_ok() {
            return Ok(vec![self.read(words).await?]);
        }
        let subject = format!("~{words}");
        let query = [("subject", subject.as_str()), ("status_id", "*"), ("limit", FOUND_MAX)];
        let answer = self.http.get(&["issues.json"], &query).await?;
        Ok(issues(&answer).map(|issue| self.foreign(issue).bounded()).collect())
    }

    async fn escalated(&self, since_ms: i64) -> Result<Vec<Foreign>, Trouble> {
        if self.config.escalated.is_empty() {
            return Ok(Vec::new());
        }
        let since = jiff::Timestamp::from_millisecond(since_ms.max(0)).unwrap_or_default();
        let since = format!(">={}", since.strftime("%Y-%m-%dT%H:%M:%SZ"));
        let query =
            [("status_id", "open"), ("updated_on", since.as_str()), ("sort", "updated_on:desc"), ("limit", FOUND_MAX)];
        let answer = self.http.get(&["issues.json"], &query).await?;
        let found = issues(&answer).map(|issue| self.foreign(issue).bounded());
        Ok(found.filter(|foreign| foreign.escalated).collect())
    }

    async fn noted(&self, id: &str, marker: &str) -> Result<Option<Posted>, Trouble> {
        let issue = self.issue(id, "journals").await?;
        let journals = issue.pointer("/journals").and_then(Value::as_array).into_iter().flatten();
        let mut ours = journals.filter(|journal| text(journal, "/notes").contains(marker));
        Ok(ours.next().map(|journal| Posted { id: text(journal, "/id"), files: Vec::new() }))
    }

    async fn note(&self, id: &str, note: &Note) -> Result<Posted, Trouble> {
        let project = text(&self.issue(id, "").await?, "/project/id");
        self.may_write_privately(&project).await?;
        let body = json!({ "issue": { "notes": self.literal(&note.text), "private_notes": true } });
        self.http.put(Method::PUT, self.http.at(&["issues", &format!("{id}.json")], &[]), &body).await?;
        // Why read back: what its user may not write is left out without a word.
        let posted = self.noted(id, &note.marker).await.map_err(|trouble| Trouble::unknown(trouble.why()))?;
        posted.ok_or_else(|| Trouble::unknown("it took the note and does not show it"))
    }

    async fn attach(&self, _id: &str, file: &File, _posted: &Posted) -> Result<(), Trouble> {
        Err(Trouble::never(format!("{}: files are seen by all who see the issue", file.name)))
    }

    async fn set(&self, id: &str, fields: &Fields) -> Result<(), Trouble> {
        let issue = self.issue(id, "").await?;
        let known = issue.pointer("/custom_fields").and_then(Value::as_array).cloned().unwrap_or_default();
        let (mut changed, mut custom, mut missing) = (Map::new(), Vec::new(), String::new());
        for (name, value) in fields {
            if name.ends_with("_id") {
                changed.insert(name.clone(), json!(value));
            } else if let Some(field) = known.iter().find(|field| text(field, "/name") == *name) {
                custom.push(json!({ "id": field.pointer("/id"), "value": value }));
            } else {
                write!(missing, " {name:?}").ok();
            }
        }
        if !missing.is_empty() {
            return Err(Trouble::never(format!("the issue has no custom field{missing}")));
        }
        changed.insert("custom_fields".into(), json!(custom));
        let url = self.http.at(&["issues", &format!("{id}.json")], &[]);
        self.http.put(Method::PUT, url, &json!({ "issue": changed })).await?;
        Ok(())
    }

    fn hook(&self, headers: &HeaderMap, raw: &[u8], now_ms: i64) -> Result<Hint, Refused> {
        let Some(key) = &self.hook_key else { return Err(Refused::Forged("no hook_secret_file is configured".into())) };
        let said = headers.get("x-redmine-signature-256").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let code = said.strip_prefix("sha256=").and_then(|hex| HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok());
        let good = code.is_some_and(|code| hmac::verify(key, raw, &code).is_ok());
        if !good {
            return Err(Refused::Forged("its signature is missing or wrong".into()));
        }
        let body: Value = serde_json::from_slice(raw).map_err(|error| Refused::Unread(format!("no JSON: {error}")))?;
        let at_ms = text(&body, "/timestamp").parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_millisecond);
        if now_ms.abs_diff(at_ms) > HOOK_AGE_MAX_MS.unsigned_abs() {
            return Err(Refused::Stale("it is older than five minutes, or the clocks differ".into()));
        }
        let ticket = text(&body, "/data/issue/id");
        if ticket.is_empty() {
            return Err(Refused::Other("it is about no issue".into()));
        }
        // Why the hash: it gives a delivery no identity, and the same bytes are the same delivery.
        Ok(Hint { ticket, delivery: HEXLOWER.encode(digest::digest(&digest::SHA256, raw).as_ref()), told: None })
    }
}

fn issues(answer: &Value) -> impl Iterator<Item = &Value> {
    answer.pointer("/issues").and_then(Value::as_array).into_iter().flatten()
}

/// A value as text, number or not; empty where there is none.
fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redmine(formatting: Formatting) -> Redmine {
        let config = HelpDeskConfig { url: "http://127.0.0.1:1".into(), ..HelpDeskConfig::default() };
        let hook_key = Some(hmac::Key::new(hmac::HMAC_SHA256, b"hook"));
        Redmine { http: Http::new(&config, HeaderMap::new()).unwrap(), config, hook_key, formatting }
    }

    #[test]
    fn words_from_elsewhere_stay_words() {
        let hostile = "</pre> !http://evil/x.png! {{include(Secret)}} ~~~ \"x\":http://evil";
        let textile = redmine(Formatting::Textile).literal(hostile);
        assert_eq!((textile.matches("</pre>").count(), textile.ends_with("</pre>")), (1, true));
        let markdown = redmine(Formatting::Markdown).literal(hostile);
        assert_eq!(markdown.matches("~~~").count(), 2);
    }

    #[test]
    fn a_hook_of_redmine_7_is_taken_only_whole_signed_and_fresh() {
        let raw = br#"{"type":"issue.updated","timestamp":"2026-03-01T10:00:00Z","data":{"issue":{"id":42}}}"#;
        let code = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"hook"), raw);
        let value = format!("sha256={}", HEXLOWER.encode(code.as_ref()));
        let headers = HeaderMap::from_iter([("x-redmine-signature-256".parse().unwrap(), value.parse().unwrap())]);
        let now_ms = "2026-03-01T10:00:05Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let redmine = redmine(Formatting::Plain);
        assert_eq!(redmine.hook(&headers, raw, now_ms).unwrap().ticket, "42");
        assert!(matches!(redmine.hook(&headers, raw, now_ms + 400_000), Err(Refused::Stale(_))));
        assert!(matches!(redmine.hook(&HeaderMap::new(), raw, now_ms), Err(Refused::Forged(_))));
    }
}
