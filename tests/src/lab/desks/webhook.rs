//! A desk of somebody's own making that takes Deskside's generic webhook: JSON, signed over time and body.

use data_encoding::HEXLOWER;
use ring::hmac;
use serde_json::json;

use super::asked::{Asked, object, text};
use super::kept::{File, Kept};
use super::serve::{Answer, Said, System};

/// The secret that both sides know.
pub const SECRET: &str = "secret-of-the-generic-webhook";

/// The system.
#[derive(Debug)]
pub struct Webhook;

fn no(status: u16, why: &str) -> Answer {
    Answer::new(status, json!({ "error": why }))
}

impl System for Webhook {
    fn answer(&self, kept: &mut Kept, asked: &Asked) -> Said {
        if asked.route() != ("POST", vec!["deskside"]) {
            return Err(no(404, "POST /deskside"));
        }
        let (time, said) = (asked.header("x-deskside-timestamp"), asked.header("x-deskside-signature"));
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let signed = [time.as_bytes(), b".", &asked.body].concat();
        let right = format!("sha256={}", HEXLOWER.encode(hmac::sign(&key, &signed).as_ref()));
        if time.parse::<i64>().is_err() || said != right {
            return Err(no(401, "the signature is not right"));
        }
        let body = asked.json().map_err(|why| no(400, &why))?;
        let kind = body["event"].as_str().unwrap_or_default().to_owned();
        let (required, what): (&[&str], &str) = match kind.as_str() {
            "note" => (&["event", "delivery", "ticket", "marker", "text", "file"], "note"),
            "fields" => (&["event", "delivery", "ticket", "fields"], "fields"),
            _ => return Err(no(400, "event is note or fields")),
        };
        let map = object(&body, required, &[]).map_err(|why| no(400, &why))?;
        let delivery = text(map, "delivery").map_err(|why| no(400, &why))?;
        if asked.header("x-deskside-delivery") != delivery {
            return Err(no(400, "the delivery is named twice, and differently"));
        }
        let ticket: u64 =
            map["ticket"].as_str().and_then(|id| id.parse().ok()).ok_or_else(|| no(404, "no such ticket"))?;
        kept.at(&ticket.to_string()).ok_or_else(|| no(404, "no such ticket"))?;
        // Why: the same delivery is taken once.
        if kept.uploads.contains_key(&delivery) {
            return Ok(Answer::new(200, json!({ "id": delivery })));
        }
        kept.uploads.insert(delivery.clone(), File { name: String::new(), bytes: Vec::new(), seen_by_customer: false });
        if what == "note" {
            kept.note(ticket, text(map, "text").map_err(|why| no(400, &why))?, false);
        } else {
            let fields = map["fields"].as_object().cloned().unwrap_or_default();
            kept.at_mut(&ticket.to_string()).into_iter().for_each(|ticket| ticket.fields.extend(fields.clone()));
        }
        Ok(Answer::new(201, json!({ "id": delivery })))
    }
}
