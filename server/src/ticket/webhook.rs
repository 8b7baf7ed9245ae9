//! The generic webhook, for every help desk that has no file here: tickets come in as JSON, notes go out as JSON.
//!
//! In: any JSON; `[help_desk.options]` names the place of each part (JSON Pointer, RFC 6901): `id`, `number`, `title`, `text`,
//! `requester`, `mail`, `login`, `place`, `category`, `asset`, `link`, `delivery`; each is by default at the place of its own name, the
//! link at `/url`. Headers: `X-Deskside-Timestamp` (seconds since 1970) and `X-Deskside-Signature` (`sha256=` and HMAC-SHA-256 over
//! the time, a full stop and the body in hexadecimal, keyed with the secret of `hook_secret_file`). What is told is all that is known of
//! the ticket: nothing is read again.
//!
//! Out: POST to `url`, with the same headers, signed with the secret of `token_file`, and `X-Deskside-Delivery`. The body is
//! `{"event": "note", "delivery", "ticket", "marker", "text", "file"}`, where `file` is null or the bundle's `name`, `size` and `sha256`
//! (the bundle itself stays here), or `{"event": "fields", "delivery", "ticket", "fields"}`. The answer is 2xx, and may be JSON with an
//! `id`. A delivery that comes again has the same `delivery`: whoever takes it takes it once.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use data_encoding::HEXLOWER;
use reqwest::Method;
use reqwest::header::HeaderMap;
use ring::digest;
use serde_json::{Value, json};

use super::answer::text;
use super::mac::{self, Mac, Order, Scheme, signed};
use super::told::{OPTIONS, Told};
use super::{Abilities, Attachments, Doing, Fields, File, Foreign, HelpDesk, Hint, Hooks, Http, Kind, Note, Posted};
use super::{Refused, Trouble, secret};
use crate::config::HelpDeskConfig;

/// As the list of systems has it.
pub(super) const KIND: Kind = Kind { name: "webhook", options: OPTIONS, make };

/// Longest note.
const NOTE_BYTES_MAX: usize = 256 * 1024;

/// Oldest hook that is taken.
const HOOK_AGE_MS_MAX: i64 = 5 * 60 * 1_000;

struct Webhook {
    http: Http,
    mac: Mac,
    secret: String,
    told: Told,
}

fn make(config: &HelpDeskConfig) -> Result<Arc<dyn HelpDesk>> {
    let scheme = Scheme::Timed {
        header: "x-deskside-signature",
        prefix: "sha256=",
        time: "x-deskside-timestamp",
        order: Order::TimeDotBody,
        age_ms_max: HOOK_AGE_MS_MAX,
    };
    Ok(Arc::new(Webhook {
        http: Http::new(config, HeaderMap::new())?,
        mac: Mac::open(scheme, config)?,
        secret: secret(config.token_file.as_deref(), "token_file")?,
        told: Told::open(config)?,
    }))
}

impl Webhook {
    async fn deliver(&self, delivery: &str, body: &Value) -> Result<String, Trouble> {
        let (time_s, body) = (jiff::Timestamp::now().as_second(), body.to_string());
        let request = self.http.request(Method::POST, self.http.at(&[], &[]));
        let request = request
            .header("content-type", "application/json")
            .header("x-deskside-delivery", delivery)
            .header("x-deskside-timestamp", time_s)
            .header("x-deskside-signature", signed(self.secret.as_bytes(), time_s, body.as_bytes()));
        let answered = self.http.send(Doing::Writing, request.body(body)).await?;
        let kind = answered.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("text/html") {
            return Err(Trouble::unknown(
                "it answered a page for people; is the url right, and is there a login before it?",
            ));
        }
        Ok(serde_json::from_slice::<Value>(&answered.body).map(|answer| text(&answer, "/id")).unwrap_or_default())
    }
}

fn unsupported<T>(what: &str) -> Result<T, Trouble> {
    Err(Trouble::never(format!("unsupported: a webhook only tells and is told; {what}")))
}

#[async_trait]
impl HelpDesk for Webhook {
    fn abilities(&self) -> Abilities {
        Abilities {
            attachments: Attachments::None,
            note_bytes_max: NOTE_BYTES_MAX,
            hooks: Hooks::Mac("sha256 over timestamp, full stop and body"),
            polls: false,
        }
    }

    async fn read(&self, _id: &str) -> Result<Foreign, Trouble> {
        unsupported("its tickets cannot be read")
    }

    async fn find(&self, _words: &str) -> Result<Vec<Foreign>, Trouble> {
        unsupported("its tickets cannot be searched")
    }

    async fn escalated(&self, _since_ms: i64) -> Result<Vec<Foreign>, Trouble> {
        unsupported("it cannot be asked for escalated tickets")
    }

    async fn noted(&self, _id: &str, _marker: &str) -> Result<Option<Posted>, Trouble> {
        // Why none and no trouble: what is delivered again has the same identity, and is taken once there.
        Ok(None)
    }

    async fn note(&self, id: &str, note: &Note) -> Result<Posted, Trouble> {
        let delivery = note.marker.rsplit(' ').next().unwrap_or(&note.marker);
        let file =
            note.file.as_ref().map(|file| json!({ "name": file.name, "size": file.size, "sha256": file.sha256 }));
        let body = json!({
            "event": "note", "delivery": delivery, "ticket": id, "marker": note.marker, "text": note.text, "file": file,
        });
        Ok(Posted { id: self.deliver(delivery, &body).await?, files: Vec::new() })
    }

    async fn attach(&self, _id: &str, _file: &File, _posted: &Posted) -> Result<(), Trouble> {
        unsupported("it takes no files")
    }

    async fn set(&self, id: &str, fields: &Fields) -> Result<(), Trouble> {
        let digest = digest::digest(&digest::SHA256, json!([id, fields]).to_string().as_bytes());
        let delivery = HEXLOWER.encode(digest.as_ref());
        self.deliver(&delivery, &json!({ "event": "fields", "delivery": delivery, "ticket": id, "fields": fields }))
            .await
            .map(drop)
    }

    fn hook(&self, headers: &HeaderMap, raw: &[u8], now_ms: i64) -> Result<Hint, Refused> {
        let signed = self.mac.check(headers, raw, now_ms)?;
        let body = mac::body(raw)?;
        let ticket = self.told.ticket(&body)?;
        let delivery = self.told.delivery(&body).unwrap_or(signed);
        Ok(Hint { ticket: ticket.id.clone(), delivery, told: Some(Box::new(ticket)) })
    }
}
