//! `ServiceNow` by the Table API and the Attachment API: <https://www.servicenow.com/docs/bundle/yokohama-api-reference/page/integrate/inbound-rest/concept/c_TableAPI.html>
//! and `c_AttachmentAPI.html` beside it. Run against a contract server only.
//!
//! Notes are `work_notes`; `comments` would be the caller's. A file hangs on the record, and whoever may read the record may fetch it:
//! it is attached only where `private_files = "true"` says that this instance keeps it from callers. There is no hook with a code: a
//! business rule posts `{"ticket", "delivery"}` with the secret in `X-Deskside-Secret`.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use data_encoding::BASE64;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::answer::{self, escalated, rows, text, written};
use super::mac::{Mac, SECRET_HEADER, Scheme};
use super::{
    Abilities, Attachments, Doing, Fields, File, Foreign, HelpDesk, Hint, Hooks, Http, Kind, Note, Person, Posted,
};
use super::{Refused, Trouble, secret, sensitive};
use crate::config::HelpDeskConfig;

/// As the list of systems has it.
pub(super) const KIND: Kind = Kind { name: "servicenow", options: &["table", "private_files"], make };

/// Largest file (`com.glide.attachment.max_size`).
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Longest note.
const NOTE_BYTES_MAX: usize = 60_000;

/// Columns of a record that are asked for.
const COLUMNS: &str = "sys_id,number,short_description,description,state,category,assignment_group,caller_id,caller_id.email,\
                       caller_id.user_name,cmdb_ci,cmdb_ci.name,sys_updated_on";

struct ServiceNow {
    http: Http,
    mac: Mac,
    table: String,
    private_files: bool,
    escalated: Vec<String>,
    device_fields: Vec<String>,
}

fn make(config: &HelpDeskConfig) -> Result<Arc<dyn HelpDesk>> {
    let token = secret(config.token_file.as_deref(), "token_file")?;
    let mut headers = HeaderMap::new();
    let login = BASE64.encode(format!("{}:{token}", config.user).as_bytes());
    headers.insert("authorization", sensitive(&format!("Basic {login}"))?);
    Ok(Arc::new(ServiceNow {
        http: Http::new(config, headers)?,
        mac: Mac::open(Scheme::Secret, config)?,
        table: config.options.get("table").cloned().unwrap_or_else(|| "incident".into()),
        private_files: config.options.get("private_files").is_some_and(|said| said == "true"),
        escalated: config.escalated.clone(),
        device_fields: config.device_fields.clone(),
    }))
}

/// A note's text in which nothing is HTML. Why: what stands between `[code]` is shown as HTML, and all else as text.
fn plain(text: &str) -> String {
    text.replace("[code]", "[ code]").replace("[/code]", "[ /code]")
}

impl ServiceNow {
    fn columns(&self) -> String {
        let columns = [COLUMNS].into_iter().chain(self.device_fields.iter().map(String::as_str));
        columns.collect::<Vec<_>>().join(",")
    }

    fn foreign(&self, record: &Value) -> Foreign {
        let shown = |column: &str| text(record, &format!("/{column}/display_value"));
        let kept = |column: &str| text(record, &format!("/{column}/value"));
        let id = kept("sys_id");
        let mut url = self.http.at(&[&format!("{}.do", self.table)], &[]);
        url.query_pairs_mut().append_pair("sys_id", &id);
        let places = [shown("assignment_group"), kept("assignment_group"), shown("state")];
        let fields = record.as_object().into_iter().flatten();
        let fields = fields.map(|(name, value)| (name.clone(), text(value, "/display_value")));
        let assets = [shown("cmdb_ci"), shown("cmdb_ci.name")];
        let [place, _id, status] = places.clone();
        Foreign {
            number: shown("number"),
            title: shown("short_description"),
            text: shown("description"),
            requester: Person {
                name: shown("caller_id"),
                mail: shown("caller_id.email"),
                login: shown("caller_id.user_name"),
            },
            place,
            category: shown("category"),
            status,
            escalated: escalated(&self.escalated, &places.each_ref().map(String::as_str)),
            assets: assets.into_iter().filter(|asset| !asset.is_empty()).take(1).collect(),
            fields: fields.filter(|(_name, value)| !value.is_empty()).collect(),
            url: url.to_string(),
            // Why the kept one: it is UTC, the shown one is in the account's time zone.
            changed_ms: answer::time_ms(&kept("sys_updated_on")),
            id,
        }
        .bounded()
    }

    async fn search(&self, query: &str) -> Result<Vec<Foreign>, Trouble> {
        let columns = self.columns();
        let query = [
            ("sysparm_query", query),
            ("sysparm_display_value", "all"),
            ("sysparm_limit", "50"),
            ("sysparm_fields", &columns),
        ];
        let found = self.http.get(&["api", "now", "table", &self.table], &query).await?;
        Ok(rows(&found, "/result").iter().map(|record| self.foreign(record)).collect())
    }
}

#[async_trait]
impl HelpDesk for ServiceNow {
    fn abilities(&self) -> Abilities {
        let bytes_max = FILE_BYTES_MAX;
        let private = Attachments::Private { bytes_max, with_note: false };
        Abilities {
            attachments: if self.private_files { private } else { Attachments::Public { bytes_max } },
            note_bytes_max: NOTE_BYTES_MAX,
            hooks: Hooks::Secret(SECRET_HEADER),
            polls: true,
        }
    }

    async fn read(&self, id: &str) -> Result<Foreign, Trouble> {
        // Why two ways: people say INC0010023, requests want the record's 32 digits.
        if id.len() != 32 || !id.chars().all(|c| c.is_ascii_hexdigit()) {
            let found = self.search(&format!("number={}", answer::quotable(id))).await?;
            return found.into_iter().next().ok_or_else(|| Trouble::never(format!("ServiceNow has no {id}")));
        }
        let columns = self.columns();
        let query = [("sysparm_display_value", "all"), ("sysparm_fields", columns.as_str())];
        let record = self.http.get(&["api", "now", "table", &self.table, id], &query).await?;
        Ok(self.foreign(record.pointer("/result").unwrap_or(&Value::Null)))
    }

    async fn find(&self, words: &str) -> Result<Vec<Foreign>, Trouble> {
        let words = answer::quotable(words);
        let number =
            words.starts_with(|c: char| c.is_ascii_uppercase()) && words.ends_with(|c: char| c.is_ascii_digit());
        let query = if number && !words.contains(' ') {
            format!("number={words}")
        } else {
            format!("short_descriptionLIKE{words}")
        };
        self.search(&format!("{query}^ORDERBYDESCsys_updated_on")).await
    }

    async fn escalated(&self, since_ms: i64) -> Result<Vec<Foreign>, Trouble> {
        if self.escalated.is_empty() {
            return Ok(Vec::new());
        }
        let groups = self.escalated.iter().map(|group| answer::quotable(group)).collect::<Vec<_>>().join(",");
        let since = answer::surely_before(since_ms);
        let query = format!("assignment_group.nameIN{groups}^sys_updated_on>={since}^ORDERBYDESCsys_updated_on");
        let mut found = self.search(&query).await?;
        found.retain(|ticket| ticket.escalated);
        Ok(found)
    }

    async fn noted(&self, id: &str, marker: &str) -> Result<Option<Posted>, Trouble> {
        let query =
            format!("element_id={}^element=work_notes^valueLIKE{}", answer::quotable(id), answer::quotable(marker));
        let query = [("sysparm_query", query.as_str()), ("sysparm_fields", "sys_id,value"), ("sysparm_limit", "1")];
        let found = self.http.get(&["api", "now", "table", "sys_journal_field"], &query).await?;
        let Some(note) = rows(&found, "/result").first() else { return Ok(None) };
        let mut posted = Posted { id: text(note, "/sys_id"), files: Vec::new() };
        if self.private_files {
            let query = format!("table_sys_id={}", answer::quotable(id));
            let query = [("sysparm_query", query.as_str()), ("sysparm_limit", "100")];
            let files = self.http.get(&["api", "now", "attachment"], &query).await?;
            posted.files = rows(&files, "/result").iter().map(|file| text(file, "/file_name")).collect();
        }
        Ok(Some(posted))
    }

    async fn note(&self, id: &str, note: &Note) -> Result<Posted, Trouble> {
        let url = self.http.at(&["api", "now", "table", &self.table, id], &[("sysparm_fields", "sys_id,number")]);
        let answer = self.http.put(Method::PATCH, url, &json!({ "work_notes": plain(&note.text) })).await?;
        // Why: the answer is the record, and the note's own identity is in the journal alone.
        if answer.pointer("/result").is_none() {
            written(&answer, "/result/sys_id")?;
        }
        Ok(Posted::default())
    }

    async fn attach(&self, id: &str, file: &File, _posted: &Posted) -> Result<(), Trouble> {
        let query = [("table_name", self.table.as_str()), ("table_sys_id", id), ("file_name", &file.name)];
        let request = self.http.upload(Method::POST, self.http.at(&["api", "now", "attachment", "file"], &query));
        let request = request.header("content-type", &file.media_type).header("content-length", file.size);
        self.http.json(Doing::Writing, request.body(Http::body(file).await?)).await.map(drop)
    }

    async fn set(&self, id: &str, fields: &Fields) -> Result<(), Trouble> {
        let url = self.http.at(&["api", "now", "table", &self.table, id], &[]);
        self.http.put(Method::PATCH, url, &json!(fields)).await.map(drop)
    }

    fn hook(&self, headers: &HeaderMap, raw: &[u8], now_ms: i64) -> Result<Hint, Refused> {
        self.mac.plain(headers, raw, now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_note_becomes_html() {
        assert_eq!(plain("a [code]<script>x</script>[/code]"), "a [ code]<script>x</script>[ /code]");
    }
}
