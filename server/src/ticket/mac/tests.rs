//! Codes that another program made, and what becomes of them when anything is changed.

use std::io::Write;
use std::process::{Command, Stdio};

use super::*;

const SECRET: &str = "Jefe-und-Söhne";
const BODY: &[u8] = b"{\"ticket\":{\"id\":42},\"title\":\"\xc3\x84rger\"}\n";
const NOW_S: i64 = 1_780_000_000;

const ZAMMAD: Scheme = Scheme::Body { header: "x-hub-signature", prefix: "sha1=", digest: Digest::Sha1 };
const REDMINE: Scheme = Scheme::Body { header: "x-redmine-signature-256", prefix: "sha256=", digest: Digest::Sha256 };

fn timed(order: Order) -> Scheme {
    Scheme::Timed { header: "x-code", prefix: "", time: "x-time", order, age_ms_max: 600_000 }
}

fn mac(scheme: Scheme) -> Mac {
    Mac { scheme, secret: Some(SECRET.as_bytes().to_vec()) }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

/// HMAC as openssl makes it.
fn openssl(digest: &str, signed: &[u8], base64: bool) -> String {
    let key = format!("hexkey:{}", HEXLOWER.encode(SECRET.as_bytes()));
    let arguments = ["dgst", digest, "-mac", "HMAC", "-macopt", &key, "-binary"];
    let mut program =
        Command::new("openssl").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    program.stdin.take().unwrap().write_all(signed).unwrap();
    let code = program.wait_with_output().unwrap().stdout;
    if base64 { BASE64.encode(&code) } else { HEXLOWER.encode(&code) }
}

#[test]
fn each_scheme_takes_the_code_that_openssl_makes() {
    let time = NOW_S.to_string();
    let joined = |parts: &[&[u8]]| parts.concat();
    for (scheme, name, value) in [
        (ZAMMAD, "x-hub-signature", format!("sha1={}", openssl("-sha1", BODY, false))),
        (REDMINE, "x-redmine-signature-256", format!("sha256={}", openssl("-sha256", BODY, false))),
        (timed(Order::BodyTime), "x-code", openssl("-sha256", &joined(&[BODY, time.as_bytes()]), false)),
        (timed(Order::TimeBody), "x-code", openssl("-sha256", &joined(&[time.as_bytes(), BODY]), true)),
        (timed(Order::TimeDotBody), "x-code", openssl("-sha256", &joined(&[time.as_bytes(), b".", BODY]), false)),
    ] {
        let said = headers(&[(name, &value), ("x-time", &time)]);
        mac(scheme).check(&said, BODY, NOW_S * 1_000).unwrap();
        let changed = mac(scheme).check(&said, b"{\"ticket\":{\"id\":43}}", NOW_S * 1_000);
        assert!(matches!(changed, Err(Refused::Forged(_))), "{scheme:?}: {changed:?}");
        let mut other = mac(scheme);
        other.secret = Some(b"another".to_vec());
        assert!(matches!(other.check(&said, BODY, NOW_S * 1_000), Err(Refused::Forged(_))), "{scheme:?}");
        other.secret = None;
        assert!(matches!(other.check(&said, BODY, NOW_S * 1_000), Err(Refused::Forged(_))), "{scheme:?}");
    }
}

/// Made by Python's hmac. Why not the example of Zendesk's page: its code is one over body and time, against the page's own words.
#[test]
fn a_code_that_python_made_over_time_and_body_is_genuine() {
    let time = "2021-07-25T10:00:00Z";
    let said = headers(&[("x-code", "Rry/4TtIdFyawtXXp8QdI6tlAUUQ/5kL1OTp5qo/ZIk="), ("x-time", time)]);
    let mut mac = mac(timed(Order::TimeBody));
    mac.secret = Some(b"HRkRd4BeOAoUkfZr-mhauJT64rvBASlJRoIyPsd3zeA=".to_vec());
    let sent_ms = time.parse::<Timestamp>().unwrap().as_millisecond();
    mac.check(&said, b"{\"say\": \"hello\"}", sent_ms + 1_000).unwrap();
}

#[test]
fn a_time_that_was_changed_is_forged_and_one_that_is_old_is_stale() {
    let time = NOW_S.to_string();
    let code = openssl("-sha256", &[BODY, time.as_bytes()].concat(), false);
    let check = |time: &str, now_s: i64| {
        mac(timed(Order::BodyTime)).check(&headers(&[("x-code", &code), ("x-time", time)]), BODY, now_s * 1_000)
    };
    assert!(check(&time, NOW_S + 599).is_ok() && check(&time, NOW_S - 299).is_ok());
    assert!(matches!(check(&time, NOW_S + 601), Err(Refused::Stale(_))));
    assert!(matches!(check(&time, NOW_S - 301), Err(Refused::Stale(_))));
    assert!(matches!(check(&(NOW_S + 600).to_string(), NOW_S + 601), Err(Refused::Forged(_))));
}

#[test]
fn the_same_delivery_is_known_by_what_was_signed() {
    let mac = Mac { scheme: Scheme::Secret, secret: Some(b"plain".to_vec()) };
    let check = |secret: &str, raw: &[u8]| mac.check(&headers(&[(SECRET_HEADER, secret)]), raw, 0);
    assert_eq!(check("plain", BODY).unwrap(), check("plain", BODY).unwrap());
    assert_ne!(check("plain", BODY).unwrap(), check("plain", b"{}").unwrap());
    assert!(matches!(check("plai", BODY), Err(Refused::Forged(_))));
    assert!(matches!(check("plain2", BODY), Err(Refused::Forged(_))));
}

#[test]
fn a_plain_hook_names_its_ticket_and_what_makes_it_the_only_one() {
    let mac = Mac { scheme: Scheme::Secret, secret: Some(b"plain".to_vec()) };
    let said = headers(&[(SECRET_HEADER, "plain")]);
    let hint = mac.plain(&said, br#"{"ticket":42,"delivery":"42 at 09:31"}"#, 0).unwrap();
    assert_eq!((hint.ticket.as_str(), hint.delivery.as_str()), ("42", "42 at 09:31"));
    for raw in [&b"{\"ticket\":42}"[..], b"{\"delivery\":\"x\"}", b"{\"ticket\":{},\"delivery\":\"x\"}", b"[", b""] {
        assert!(matches!(mac.plain(&said, raw, 0), Err(Refused::Unread(_))));
    }
}
