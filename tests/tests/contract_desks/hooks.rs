//! Hooks of each system: one that is its own says which ticket to read; every other is refused.

use data_encoding::{BASE64, HEXLOWER};
use deskside_server::ticket::Refused;
use reqwest::header::{HeaderMap, HeaderName};
use ring::hmac::{self, Algorithm, HMAC_SHA1_FOR_LEGACY_USE_ONLY, HMAC_SHA256};
use serde_json::json;

use crate::systems::{HOOK_SECRET, System, of};

const NOW_MS: i64 = 1_795_340_000_000;

fn code(algorithm: Algorithm, signed: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(algorithm, HOOK_SECRET.as_bytes()), signed).as_ref().to_vec()
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect()
}

/// A hook as the system sends it for a ticket: headers and body.
fn hook(system: &System, id: &str, at_ms: i64) -> (HeaderMap, Vec<u8>) {
    let seconds = (at_ms / 1_000).to_string();
    let plain = json!({ "ticket": id, "delivery": format!("{id} at {at_ms}") });
    let body = match system.kind {
        "zammad" => json!({ "ticket": { "id": id.parse::<u64>().unwrap() }, "article": {} }),
        "glpi" | "glpi-v2" => json!({ "event": "update", "item": { "id": id.parse::<u64>().unwrap() } }),
        "jira" => json!({ "webhookEvent": "jira:issue_updated", "issue": { "key": id }, "changelog": { "items": [] } }),
        "zendesk" => json!({ "ticket": id }),
        "osticket" => {
            json!({ "id": id, "title": "Printer", "text": "ws-042", "mail": "e@x.y", "place": "2nd Level", "delivery": "d1" })
        }
        "webhook" => {
            json!({ "id": id, "title": "Printer", "text": "<p>ws-042</p>", "asset": "ws-042", "place": "2nd Level" })
        }
        _ => plain,
    };
    let body = body.to_string().into_bytes();
    let hex = |bytes: &[u8]| HEXLOWER.encode(bytes);
    let said = match system.kind {
        "zammad" => {
            headers(&[("x-hub-signature", &format!("sha1={}", hex(&code(HMAC_SHA1_FOR_LEGACY_USE_ONLY, &body))))])
        }
        "jira" => headers(&[("x-hub-signature", &format!("sha256={}", hex(&code(HMAC_SHA256, &body))))]),
        "glpi" | "glpi-v2" => {
            let code = hex(&code(HMAC_SHA256, &[&body, seconds.as_bytes()].concat()));
            headers(&[("x-glpi-signature", &code), ("x-glpi-timestamp", &seconds)])
        }
        "zendesk" => {
            let time = jiff::Timestamp::from_millisecond(at_ms).unwrap().to_string();
            let code = BASE64.encode(&code(HMAC_SHA256, &[time.as_bytes(), &body].concat()));
            headers(&[("x-zendesk-webhook-signature", &code), ("x-zendesk-webhook-signature-timestamp", &time)])
        }
        "webhook" => {
            let code = hex(&code(HMAC_SHA256, &[seconds.as_bytes(), b".", &body].concat()));
            headers(&[("x-deskside-signature", &format!("sha256={code}")), ("x-deskside-timestamp", &seconds)])
        }
        _ => headers(&[("x-deskside-secret", HOOK_SECRET)]),
    };
    (said, body)
}

#[test]
fn a_hook_of_its_own_names_the_ticket_and_is_known_when_it_comes_again() {
    for system in crate::systems::ALL {
        let room = system.room();
        let (said, body) = hook(system, &room.id, NOW_MS);
        let hint = room.speaker.hook(&said, &body, NOW_MS).unwrap();
        assert_eq!(hint.ticket, room.id, "{}", system.kind);
        assert!(!hint.delivery.is_empty(), "{}", system.kind);
        assert_eq!(room.speaker.hook(&said, &body, NOW_MS + 1_000).unwrap().delivery, hint.delivery, "{}", system.kind);
        assert_eq!(hint.told.is_some(), !system.reads, "{}", system.kind);
        assert_eq!(room.desk.kept().lines, Vec::<String>::new(), "{}: a hook alone asks nothing", system.kind);
    }
}

#[test]
fn a_hook_that_was_changed_or_is_nobodys_is_refused_before_it_is_read() {
    for system in crate::systems::ALL {
        let room = system.room();
        let (said, body) = hook(system, &room.id, NOW_MS);
        assert!(
            matches!(room.speaker.hook(&HeaderMap::new(), b"{", NOW_MS), Err(Refused::Forged(_))),
            "{}",
            system.kind
        );
        let secret = said.contains_key("x-deskside-secret");
        let forged = if secret { headers(&[("x-deskside-secret", "guessed")]) } else { said.clone() };
        let body = if secret { body } else { [&body[..], b" "].concat() };
        assert!(matches!(room.speaker.hook(&forged, &body, NOW_MS), Err(Refused::Forged(_))), "{}", system.kind);
    }
}

#[test]
fn a_hook_whose_time_is_signed_is_refused_when_it_is_old() {
    for kind in ["glpi", "glpi-v2", "zendesk", "webhook"] {
        let system = of(kind);
        let room = system.room();
        let (said, body) = hook(&system, &room.id, NOW_MS);
        let late = room.speaker.hook(&said, &body, NOW_MS + 2 * 3_600 * 1_000);
        assert!(matches!(late, Err(Refused::Stale(_))), "{kind}: {late:?}");
    }
}

#[test]
fn a_ticket_that_is_told_comes_from_where_the_configuration_says() {
    let system = of("webhook");
    let settings = "device_fields = [\"machine\"]\noptions = { id = \"/data/key\", title = \"/data/subject\", asset = \"/data/ci/0\" }";
    let room = system.room_with(settings, deskside_tests::lab::desks::TOKEN);
    let body = json!({ "data": { "key": "HD-7", "subject": "No net", "ci": ["ws-7"] }, "place": "1st Level", "machine": "ws-8" });
    let body = body.to_string().into_bytes();
    let seconds = (NOW_MS / 1_000).to_string();
    let code = HEXLOWER.encode(&code(HMAC_SHA256, &[seconds.as_bytes(), b".", &body].concat()));
    let said = headers(&[("x-deskside-signature", &format!("sha256={code}")), ("x-deskside-timestamp", &seconds)]);
    let ticket = room.speaker.hook(&said, &body, NOW_MS).unwrap().told.unwrap();
    assert_eq!(
        (ticket.id.as_str(), ticket.title.as_str(), ticket.assets.as_slice()),
        ("HD-7", "No net", &["ws-7".to_owned()][..])
    );
    assert_eq!((ticket.fields["machine"].as_str(), ticket.escalated), ("ws-8", false));
}
