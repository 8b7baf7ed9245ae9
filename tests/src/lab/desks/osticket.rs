//! osTicket as <https://docs.osticket.com/en/latest/Developer%20Documentation/API/Tickets.html> and its `class.thread.php` describe
//! it: raw mail is posted, and the mail of an agent that answers a thread becomes an internal note there.

use serde_json::json;

use super::asked::Asked;
use super::kept::{File, Kept};
use super::serve::{Answer, Said, System};
use super::{ACCOUNT, TOKEN};

/// The system.
#[derive(Debug)]
pub struct OsTicket;

fn no(status: u16, why: &str) -> Answer {
    Answer::new(status, json!(why))
}

/// The Message-ID of the mail that alerts staff to a ticket.
pub fn message_id(number: u64) -> String {
    format!("BAbc-ticket-{number}-thread@desk.example.com")
}

/// A header of a mail, unfolded.
fn header(mail: &str, name: &str) -> Option<String> {
    let (head, _body) = mail.split_once("\r\n\r\n")?;
    let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

impl System for OsTicket {
    fn answer(&self, kept: &mut Kept, asked: &Asked) -> Said {
        if asked.header("x-api-key") != TOKEN {
            return Err(no(401, "Valid API key required"));
        }
        if asked.route() != ("POST", vec!["api", "tickets.email"]) {
            return Err(no(404, "URL not supported"));
        }
        let mail = String::from_utf8(asked.body.to_vec()).map_err(|_error| no(400, "the mail is no ASCII"))?;
        if !mail.is_ascii() || mail.lines().any(|line| line.len() > 998) {
            return Err(no(400, "a mail is ASCII in lines of 998 at most (RFC 5322)"));
        }
        for wanted in
            ["From", "To", "Subject", "Message-ID", "Date", "In-Reply-To", "References", "MIME-Version", "Content-Type"]
        {
            header(&mail, wanted).ok_or_else(|| no(400, &format!("the mail has no {wanted}")))?;
        }
        let own = header(&mail, "Message-ID").unwrap_or_default();
        let from = header(&mail, "From").unwrap_or_default();
        let to = header(&mail, "In-Reply-To").unwrap_or_default();
        let ticket = kept.tickets.keys().copied().find(|number| to == format!("<{}>", message_id(*number)));
        let Some(ticket) = ticket else {
            return Err(no(400, "the mail answers no thread; a new ticket would be opened"));
        };
        // Why: a mail that was taken already is taken for done.
        if kept.uploads.contains_key(&own) {
            return Ok(Answer::new(201, json!(ticket)));
        }
        kept.uploads.insert(own, File { name: String::new(), bytes: Vec::new(), seen_by_customer: false });
        let agent = from.contains(&format!("<{ACCOUNT}>"));
        let (_head, body) = mail.split_once("\r\n\r\n").unwrap_or_default();
        let text = if header(&mail, "Content-Transfer-Encoding").as_deref() == Some("base64") {
            let packed: String = body.split_whitespace().collect();
            let plain = data_encoding::BASE64.decode(packed.as_bytes()).map_err(|_error| no(400, "no base64"))?;
            String::from_utf8(plain).map_err(|_error| no(400, "no UTF-8"))?
        } else {
            body.to_owned()
        };
        kept.note(ticket, text, !agent);
        Ok(Answer::new(201, json!(ticket)))
    }
}
