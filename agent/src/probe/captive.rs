//! Whether the network lets the machine into the internet, or a portal stands in the way.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::CaptiveTest;
use serde_json::Value;

use super::http::{Fetched, Url, fetch};
use super::step::{Outcome, Taken, VERDICT};
use super::{Asked, Probe, Steps, Unrun, targets};
use crate::collect::Rows;
use crate::host::Host;

mod told;

pub(super) use told::{Check, check};

pub(super) const CAPTIVE: Probe = Probe { table: CaptiveTest::TABLE, deadline: Duration::from_secs(25), run };

/// Portals that are asked.
const PORTALS_MAX: usize = 2;

/// Answers of the pages that systems check, beside the one that was set up.
const KNOWN: [&str; 3] = ["NetworkManager is online", "Microsoft Connect Test", "success"];

fn run(host: &dyn Host, asked: &Asked, steps: &mut Steps<'_>) -> anyhow::Result<Rows> {
    let given = match asked.get("url") {
        Some(text) => {
            let url = Url::read(text).map_err(Unrun::Refused)?;
            targets::allowed(host, &asked.policy, &url.host, Some(url.port))?;
            Some(Check { url: text.to_owned(), expect: asked.get("expect").unwrap_or_default().to_owned() })
        }
        None => None,
    };
    let mut taken = Taken::new(steps);
    let portal = portals(host, &mut taken)?;
    let Some(check) = given.or_else(|| check(host)) else {
        let row = match portal {
            Some(word) => CaptiveTest { found: by_word(&word), ..word },
            None => CaptiveTest {
                outcome: Outcome::Unknown.word().into(),
                found: "No page to check is known; name one, or set one up in NetworkManager's settings.".into(),
                ..CaptiveTest::default()
            },
        };
        taken.note(CaptiveTest { step: VERDICT.into(), ..row })?;
        return Ok(taken.rows());
    };
    let portal = portal.filter(|word| word.problem == "portal");
    let row = page(host, &check);
    taken.note(CaptiveTest { step: "check".into(), ..row.clone() })?;
    let verdict = if row.problem.is_empty() { portal.unwrap_or(row) } else { row };
    taken.note(CaptiveTest { step: VERDICT.into(), found: sentence(&verdict), ..verdict })?;
    Ok(taken.rows())
}

fn sentence(row: &CaptiveTest) -> String {
    match (row.problem.as_str(), row.location.as_str()) {
        ("portal", "") => "A portal of this network wants a sign-in before it lets anything through.".into(),
        ("portal", place) => {
            format!("A portal of this network wants a sign-in at {place} before it lets anything through.")
        }
        ("intercepted", _) => format!("Somebody on the way answers in the place of {}: {}.", row.target, row.found),
        ("unreachable", _) => {
            format!("The page that tells whether the internet is open, {}, does not answer: {}.", row.target, row.found)
        }
        _ if row.outcome == Outcome::Ok.word() => "The way into the internet is open: no portal stands in it.".into(),
        _ => format!("Whether a portal stands in the way was not seen: {} {}.", row.target, row.found),
    }
}

/// The verdict where nothing is known but the network's own word.
fn by_word(word: &CaptiveTest) -> String {
    match (word.problem.as_str(), word.outcome.as_str()) {
        ("portal", _) => sentence(word),
        ("", "ok") if word.step == "option" => "The network says that it has no portal.".into(),
        ("", "ok") => format!("The portal of this network, {}, says that this machine is let through.", word.target),
        _ => format!(
            "The network names a portal, {}, but what it says was not seen: {}; name a page to check.",
            word.target, word.found
        ),
    }
}

/// Asks the portals that DHCP named (RFC 8908); what they say, first of all that the machine is held.
fn portals(host: &dyn Host, taken: &mut Taken<'_, '_, CaptiveTest>) -> Result<Option<CaptiveTest>, Unrun> {
    let mut word: Option<CaptiveTest> = None;
    for told in told::option(host).into_iter().take(PORTALS_MAX) {
        let row = |step: &str, outcome: Outcome, found: String| CaptiveTest {
            step: step.into(),
            target: told.clone(),
            outcome: outcome.word().into(),
            found,
            ..CaptiveTest::default()
        };
        // RFC 8910, 2: this name says that there is none.
        if told == "urn:ietf:params:capport:unrestricted" {
            let none = row("option", Outcome::Ok, "the network says that it has no portal".into());
            taken.note(none.clone())?;
            word.get_or_insert(none);
            continue;
        }
        taken.note(row("option", Outcome::Ok, "the network names a portal".into()))?;
        let url = match Url::read(&told) {
            Ok(url) => url,
            Err(why) => {
                let unread = row("api", Outcome::Unknown, why);
                taken.note(unread.clone())?;
                word.get_or_insert(unread);
                continue;
            }
        };
        // Why no question to the list of targets: the machine's own network told it.
        let (fetched, times) = fetch(host, &url, None, "application/captive+json");
        let answered = match fetched {
            Fetched::Answered(answer, distrust) => {
                let (outcome, problem, found, place) = api(&answer.text(), distrust);
                CaptiveTest {
                    status: Some(u32::from(answer.status)),
                    problem: problem.into(),
                    location: place,
                    ..row("api", outcome, found)
                }
            }
            Fetched::Failed(_problem, why) => row("api", Outcome::Unknown, why),
        };
        let answered = CaptiveTest { took_ms: Some(times.whole_ms), ..answered };
        taken.note(answered.clone())?;
        let held = |known: &CaptiveTest| known.problem == "portal";
        if held(&answered) || !word.as_ref().is_some_and(held) {
            word = Some(answered);
        }
    }
    Ok(word)
}

/// The portal's own word. A row of it that says "held" is failed: nothing gets through.
fn api(text: &str, distrust: Option<String>) -> (Outcome, &'static str, String, String) {
    let known: Option<Value> = serde_json::from_str(text).ok();
    let known = known.filter(|_known| distrust.is_none());
    let captive = known.as_ref().and_then(|known| known.get("captive")).and_then(Value::as_bool);
    let place =
        known.as_ref().and_then(|known| known.get("user-portal-url")).and_then(Value::as_str).unwrap_or_default();
    match captive {
        Some(true) => {
            (Outcome::Failed, "portal", "the portal says that this machine is not let through".into(), place.to_owned())
        }
        Some(false) => (Outcome::Ok, "", "the portal says that this machine is let through".into(), String::new()),
        None => {
            let why = distrust.unwrap_or_else(|| "it does not answer in the form of RFC 8908".into());
            (Outcome::Unknown, "", why, String::new())
        }
    }
}

/// Fetches the page, and says whether its answer is the known one.
pub(super) fn page(host: &dyn Host, check: &Check) -> CaptiveTest {
    let row = |outcome: Outcome, problem: &str, found: String| CaptiveTest {
        target: check.url.clone(),
        outcome: outcome.word().into(),
        problem: problem.into(),
        found,
        ..CaptiveTest::default()
    };
    let url = match Url::read(&check.url) {
        Ok(url) => url,
        Err(why) => return row(Outcome::Unknown, "", why),
    };
    let (fetched, times) = fetch(host, &url, None, "*/*");
    let row = match fetched {
        Fetched::Failed(_problem, why) => row(Outcome::Failed, "unreachable", why),
        Fetched::Answered(answer, _distrust) => {
            let (outcome, problem, found) =
                judged(&url, answer.status, &answer.location, &answer.text(), &check.expect);
            let location = if problem.is_empty() { String::new() } else { answer.location };
            CaptiveTest { status: Some(u32::from(answer.status)), location, ..row(outcome, problem, found) }
        }
    };
    CaptiveTest { took_ms: Some(times.whole_ms), ..row }
}

fn judged(url: &Url, status: u16, location: &str, body: &str, expect: &str) -> (Outcome, &'static str, String) {
    let is_known = |text: &str| KNOWN.iter().any(|known| text.trim_start().starts_with(known));
    let expected =
        if expect.is_empty() { status == 204 || is_known(body) } else { body.trim_start().starts_with(expect) };
    let elsewhere = || url.follow(location).map_or(true, |next| next.host != url.host);
    match status {
        200 | 204 if expected || (status == 204 && body.is_empty()) => (Outcome::Ok, "", "answers as it should".into()),
        // The status that was made for it (RFC 6585, section 6).
        511 => (Outcome::Failed, "portal", "answers 511: sign in to the network first".into()),
        300..400 if elsewhere() => (Outcome::Failed, "portal", format!("answers {status} and leads to {location}")),
        300..400 => (
            Outcome::Unknown,
            "",
            format!("answers {status} and leads to {location}, which is its own; name a page that answers itself"),
        ),
        200 => (Outcome::Failed, "intercepted", "answers with another page than it should".into()),
        other => (Outcome::Unknown, "", format!("answers {other}, which tells nothing of a portal")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_known_answer_is_an_open_way() {
        let url = Url::read("http://check.example/").unwrap();
        let problem = |status, location: &str, body: &str, expect: &str| judged(&url, status, location, body, expect).1;
        assert_eq!(problem(200, "", "NetworkManager is online\n", ""), "");
        assert_eq!(problem(204, "", "", "anything"), "");
        assert_eq!(problem(302, "http://portal.example/login", "", ""), "portal");
        assert_eq!(problem(511, "", "", ""), "portal");
        assert_eq!(problem(200, "", "<html>Welcome, please pay</html>", ""), "intercepted");
        assert_eq!(problem(200, "", "mine", "mine"), "");
        assert_eq!(
            judged(&url, 301, "https://check.example/", "", "").0,
            Outcome::Unknown,
            "a page that moves to TLS is no portal"
        );
        assert_eq!(judged(&url, 503, "", "", "").0, Outcome::Unknown);
    }

    #[test]
    fn a_portals_own_word_counts_only_where_it_is_to_be_trusted() {
        let held = r#"{"captive": true, "user-portal-url": "https://portal.example/"}"#;
        assert_eq!(api(held, None).1, "portal");
        assert_eq!(api(held, None).3, "https://portal.example/");
        assert_eq!(api(held, Some("self-signed".into())).0, Outcome::Unknown);
        assert_eq!(api(r#"{"captive": false}"#, None).0, Outcome::Ok);
        assert_eq!(api("<html>", None).0, Outcome::Unknown);
    }
}
