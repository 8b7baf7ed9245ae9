//! osTicket: <https://docs.osticket.com/en/latest/Developer%20Documentation/API/Tickets.html>, and `class.thread.php` of its source for
//! what becomes of mail. Run against a contract server only.
//!
//! Its API opens tickets and does nothing else: reading, searching and setting fields are `unsupported`. A note is a mail, handed to
//! `POST api/tickets.email`: where its sender is an agent's address and it answers the Message-ID of the thread, osTicket keeps it as an
//! internal note, and takes the same Message-ID once. The key of the API belongs to one IP address, that of this server.
//!
//! A ticket is told by a hook (a plugin on `Signal`, or a mail gateway): as the generic webhook's, with the secret in
//! `X-Deskside-Secret`; its `id` is the Message-ID that the thread begins with. `user` is the agent's address, `options.to` the desk's.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use data_encoding::{BASE64, HEXLOWER};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use ring::digest;

use super::mac::{self, Mac, SECRET_HEADER, Scheme};
use super::told::Told;
use super::{Abilities, Attachments, Doing, Fields, File, Foreign, HelpDesk, Hint, Hooks, Http, Kind, Note, Posted};
use super::{Refused, Trouble, secret, sensitive};
use crate::config::HelpDeskConfig;

/// As the list of systems has it.
pub(super) const KIND: Kind = Kind {
    name: "osticket",
    options: &[
        "to",
        "id",
        "number",
        "title",
        "text",
        "requester",
        "mail",
        "login",
        "place",
        "category",
        "asset",
        "link",
        "delivery",
    ],
    make,
};

/// Longest note.
const NOTE_BYTES_MAX: usize = 256 * 1024;

/// Longest line of base64 in a mail (RFC 2045, 6.8).
const LINE: usize = 76;

struct OsTicket {
    http: Http,
    mac: Mac,
    from: String,
    to: String,
    told: Told,
}

fn make(config: &HelpDeskConfig) -> Result<Arc<dyn HelpDesk>> {
    let address = |said: &str, key: &str| {
        let odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>' | ',' | ';') || !c.is_ascii();
        ensure!(said.contains('@') && !said.contains(odd), "{key} is a mail address, and not {said:?}");
        Ok(said.to_owned())
    };
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", sensitive(&secret(config.token_file.as_deref(), "token_file")?)?);
    Ok(Arc::new(OsTicket {
        http: Http::new(config, headers)?,
        mac: Mac::open(Scheme::Secret, config)?,
        from: address(&config.user, "user")?,
        to: address(config.options.get("to").context("options.to is missing: the address of the desk")?, "options.to")?,
        told: Told::open(config)?,
    }))
}

/// A Message-ID that may stand in a header: no angle brackets, no blanks, nothing that ends the line.
fn message_id(id: &str) -> Result<&str, Trouble> {
    let id = id.trim().trim_start_matches('<').trim_end_matches('>');
    let odd = |c: char| !c.is_ascii_graphic() || matches!(c, '<' | '>');
    if id.is_empty() || id.contains(odd) || !id.contains('@') {
        return Err(Trouble::never("the ticket's id is no Message-ID, and only an answer to one becomes a note"));
    }
    Ok(id)
}

impl OsTicket {
    fn mail(&self, thread: &str, note: &Note) -> String {
        // Why from the marker: the same note has the same Message-ID, and osTicket takes it once.
        let own = HEXLOWER.encode(digest::digest(&digest::SHA256, note.marker.as_bytes()).as_ref());
        let host = self.from.rsplit('@').next().unwrap_or_default();
        let date = jiff::fmt::rfc2822::to_string(&jiff::Zoned::now()).unwrap_or_default();
        let coded = BASE64.encode(note.text.as_bytes());
        let lines = coded.as_bytes().chunks(LINE).map(|line| String::from_utf8_lossy(line).into_owned());
        [
            format!("From: Deskside <{}>", self.from),
            format!("To: <{}>", self.to),
            "Subject: Deskside".to_owned(),
            format!("Date: {date}"),
            format!("Message-ID: <{own}@{host}>"),
            format!("In-Reply-To: <{thread}>"),
            format!("References: <{thread}>"),
            "MIME-Version: 1.0".to_owned(),
            "Content-Type: text/plain; charset=utf-8".to_owned(),
            "Content-Transfer-Encoding: base64".to_owned(),
            String::new(),
        ]
        .into_iter()
        .chain(lines)
        .map(|line| line + "\r\n")
        .collect()
    }
}

fn unsupported<T>(what: &str) -> Result<T, Trouble> {
    Err(Trouble::never(format!("unsupported: osTicket's API only opens tickets; {what}")))
}

#[async_trait]
impl HelpDesk for OsTicket {
    fn abilities(&self) -> Abilities {
        Abilities {
            attachments: Attachments::None,
            note_bytes_max: NOTE_BYTES_MAX,
            hooks: Hooks::Secret(SECRET_HEADER),
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
        // Why none and no trouble: what is mailed again has the same Message-ID, and is taken once there.
        Ok(None)
    }

    async fn note(&self, id: &str, note: &Note) -> Result<Posted, Trouble> {
        let mail = self.mail(message_id(id)?, note);
        let request = self.http.request(Method::POST, self.http.at(&["api", "tickets.email"], &[]));
        let request = request.header("content-type", "message/rfc822").body(mail);
        let answered = self.http.send(Doing::Writing, request).await?;
        if answered.status != StatusCode::CREATED {
            return Err(Trouble::unknown(format!(
                "osTicket answered {} and not 201; is the url right?",
                answered.status
            )));
        }
        Ok(Posted::default())
    }

    async fn attach(&self, _id: &str, _file: &File, _posted: &Posted) -> Result<(), Trouble> {
        unsupported("a bundle is not mailed")
    }

    async fn set(&self, _id: &str, _fields: &Fields) -> Result<(), Trouble> {
        unsupported("fields cannot be set; leave them out of the configuration")
    }

    fn hook(&self, headers: &HeaderMap, raw: &[u8], now_ms: i64) -> Result<Hint, Refused> {
        self.mac.check(headers, raw, now_ms)?;
        let body = mac::body(raw)?;
        let ticket = self.told.ticket(&body)?;
        let delivery = self.told.delivery(&body);
        let delivery = delivery.ok_or_else(|| Refused::Unread("the hook's body has no \"delivery\"".into()))?;
        Ok(Hint { ticket: ticket.id.clone(), delivery, told: Some(Box::new(ticket)) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::told::OPTIONS;
    use super::*;

    #[test]
    fn its_options_are_those_of_any_hook_and_the_desks_address() {
        assert_eq!(KIND.options, [&["to"], OPTIONS].concat());
    }

    #[test]
    fn a_ticket_from_elsewhere_writes_no_header_of_its_own() {
        for odd in ["", "42", "a@b\r\nBcc: x@y", "a@b> <c@d", "ä@b", "a b@c"] {
            assert!(message_id(odd).is_err(), "{odd:?}");
        }
        assert_eq!(message_id("<B1-thread@desk.example>").unwrap(), "B1-thread@desk.example");
    }
}
