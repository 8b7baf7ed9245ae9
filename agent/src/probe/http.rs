//! A page fetched, directly and through the proxy that the machine is set up to use, with the time of each phase.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::HttpTest;

use super::step::{Outcome, Taken, VERDICT};
use super::targets::configured::{self, Proxy};
use super::targets::place::joined;
use super::{Asked, Probe, Steps, Unrun, targets};
use crate::collect::Rows;
use crate::host::Host;

mod exchange;
mod fetch;
mod url;

pub(super) use fetch::{Fetched, fetch};
pub(super) use url::Url;

pub(super) const HTTP: Probe = Probe { table: HttpTest::TABLE, deadline: Duration::from_secs(50), run };

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 5;

/// A file of a proxy's configuration that takes longer holds up every page (diagnosis N16).
const PAC_SLOW_MS: u32 = 3_000;

fn run(host: &dyn Host, asked: &Asked, steps: &mut Steps<'_>) -> anyhow::Result<Rows> {
    let url = Url::read(asked.get("url").unwrap_or_default()).map_err(Unrun::Refused)?;
    targets::allowed(host, &asked.policy, &url.host, Some(url.port))?;
    let mut taken = Taken::new(steps);
    let pac = pac(host, &mut taken)?;
    let mut ends = vec![walk(host, asked, &mut taken, &url, None)?];
    if let Some(proxy) = proxy_for(host, &url) {
        ends.push(walk(host, asked, &mut taken, &url, Some(&proxy))?);
    }
    let row = verdict(&url, &ends, pac);
    taken.note(HttpTest { step: VERDICT.into(), target: url.text(), ..row })?;
    Ok(taken.rows())
}

/// The proxy that programs would use for a page (the variables of `curl(1)`).
fn proxy_for(host: &dyn Host, url: &Url) -> Option<Proxy> {
    let without = configured::without_proxy(host);
    let apart = |line: &String| {
        let line = line.trim_start_matches(['*', '.']);
        line.is_empty() || url.host == line || url.host.ends_with(&format!(".{line}"))
    };
    let wanted = if url.secure { "https_proxy" } else { "http_proxy" };
    let all = configured::proxies(host);
    let of = |variable: &str| all.iter().find(|proxy| proxy.variable == variable).cloned();
    of(wanted).or_else(|| of("all_proxy")).filter(|_proxy| !without.iter().any(apart))
}

/// Where a walk along the redirects ended.
struct End {
    by_proxy: bool,
    status: Option<u16>,
    problem: &'static str,
    found: String,
    whole_ms: u32,
}

/// Fetches a page and those that it leads to.
fn walk(
    host: &dyn Host,
    asked: &Asked,
    taken: &mut Taken<'_, '_, HttpTest>,
    first: &Url,
    proxy: Option<&Proxy>,
) -> Result<End, Unrun> {
    let mut url = first.clone();
    let mut whole_ms = 0_u32;
    let end = |problem: &'static str, status: Option<u16>, found: String, whole_ms: u32| End {
        by_proxy: proxy.is_some(),
        status,
        problem,
        found,
        whole_ms,
    };
    for redirects in 0..=REDIRECTS_MAX {
        if taken.steps.time_is_up(host) {
            return Ok(end("unreachable", None, "the time for the whole test is up".into(), whole_ms));
        }
        let (fetched, times) = fetch(host, &url, proxy, "*/*");
        whole_ms = whole_ms.saturating_add(times.whole_ms);
        let row = HttpTest {
            step: "page".into(),
            target: url.text(),
            took_ms: Some(times.whole_ms),
            way: if proxy.is_some() { "proxy" } else { "direct" }.into(),
            proxy: proxy.map(|proxy| joined(&proxy.host, proxy.port)).unwrap_or_default(),
            resolve_ms: times.resolve_ms,
            connect_ms: times.connect_ms,
            tls_ms: times.tls_ms,
            ..HttpTest::default()
        };
        let (answer, distrust) = match fetched {
            Fetched::Answered(answer, distrust) => (answer, distrust),
            Fetched::Failed(problem, found) => {
                taken.note(HttpTest { outcome: Outcome::Failed.word().into(), found: found.clone(), ..row })?;
                return Ok(end(problem, None, found, whole_ms));
            }
        };
        let (outcome, problem, found) = said(answer.status, distrust);
        taken.note(HttpTest {
            outcome: outcome.word().into(),
            found: found.clone(),
            status: Some(u32::from(answer.status)),
            location: answer.location.clone(),
            first_byte_ms: Some(answer.first_byte_ms),
            bytes: u64::try_from(answer.body.len()).ok(),
            ..row
        })?;
        let status = Some(answer.status);
        if !(300..400).contains(&answer.status) || answer.location.is_empty() {
            return Ok(end(problem, status, found, whole_ms));
        }
        let next = url.follow(&answer.location);
        let next = next.and_then(|next| match targets::allowed(host, &asked.policy, &next.host, Some(next.port)) {
            Ok(()) => Ok(next),
            Err(refused) => Err(refused.to_string()),
        });
        url = match next {
            Ok(_next) if redirects == REDIRECTS_MAX => {
                return Ok(end("redirects", status, format!("more than {REDIRECTS_MAX} redirects"), whole_ms));
            }
            Ok(next) => next,
            // Why no failure: the page did answer, and where it leads is told.
            Err(why) => {
                return Ok(end(
                    "",
                    status,
                    format!("it leads to {}, which is not followed: {why}", answer.location),
                    whole_ms,
                ));
            }
        };
    }
    Ok(end("redirects", None, format!("more than {REDIRECTS_MAX} redirects"), whole_ms))
}

fn said(status: u16, distrust: Option<String>) -> (Outcome, &'static str, String) {
    if let Some(why) = distrust {
        return (Outcome::Failed, "tls", format!("answers {status}, but {why}"));
    }
    match status {
        400..500 => (Outcome::Failed, "client-error", format!("answers {status}")),
        500.. => (Outcome::Failed, "server-error", format!("answers {status}")),
        _ => (Outcome::Ok, "", format!("answers {status}")),
    }
}

/// The file that says which proxy to use, where one is set up: whether it is there, and how fast. It is not run.
fn pac(host: &dyn Host, taken: &mut Taken<'_, '_, HttpTest>) -> Result<Option<(bool, String)>, Unrun> {
    let Some(text) = configured::pac(host) else { return Ok(None) };
    let row = |outcome: Outcome, found: String| HttpTest {
        step: "pac".into(),
        target: text.clone(),
        outcome: outcome.word().into(),
        found,
        ..HttpTest::default()
    };
    let url = match Url::read(&text) {
        Ok(url) => url,
        Err(why) => {
            taken.note(row(Outcome::Unknown, why))?;
            return Ok(None);
        }
    };
    // Why no question to the list of targets: the machine is set up to fetch it.
    let (fetched, times) = fetch(host, &url, None, "application/x-ns-proxy-autoconfig, */*");
    let (fine, found, status) = match fetched {
        Fetched::Answered(answer, _distrust) if answer.status != 200 => {
            (false, format!("answers {}", answer.status), Some(answer.status))
        }
        Fetched::Answered(..) if times.whole_ms > PAC_SLOW_MS => {
            (false, format!("is there after {} ms only", times.whole_ms), Some(200))
        }
        Fetched::Answered(answer, _distrust) if !answer.text().contains("FindProxyForURL") => {
            (false, "is no configuration of a proxy".into(), Some(200))
        }
        Fetched::Answered(answer, _distrust) => {
            (true, format!("{} bytes; it was not run", answer.body.len()), Some(200))
        }
        Fetched::Failed(_problem, why) => (false, why, None),
    };
    let outcome = if fine { Outcome::Ok } else { Outcome::Failed };
    taken.note(HttpTest {
        took_ms: Some(times.whole_ms),
        status: status.map(u32::from),
        ..row(outcome, found.clone())
    })?;
    Ok(Some((fine, format!("{text} {found}"))))
}

fn verdict(url: &Url, ends: &[End], pac: Option<(bool, String)>) -> HttpTest {
    let direct = ends.iter().find(|end| !end.by_proxy);
    let proxy = ends.iter().find(|end| end.by_proxy);
    let page = url.text();
    let (outcome, problem, found, end) = match (direct, proxy) {
        (_, Some(end)) if end.problem == "proxy-login" => (
            Outcome::Failed,
            "proxy-login",
            format!("The proxy asks for a login (407) before it fetches {page}."),
            Some(end),
        ),
        (Some(straight), Some(end)) if straight.problem.is_empty() && !end.problem.is_empty() => (
            Outcome::Failed,
            "proxy-dead",
            format!(
                "{page} works directly, but not through the proxy that this machine is set up to use: {}.",
                end.found
            ),
            Some(end),
        ),
        (_, Some(end)) if end.problem.is_empty() => (
            Outcome::Ok,
            "",
            format!("{page} works through the proxy ({}, {} ms).", end.found, end.whole_ms),
            Some(end),
        ),
        (Some(end), _) if end.problem.is_empty() => {
            (Outcome::Ok, "", format!("{page} works ({}, {} ms).", end.found, end.whole_ms), Some(end))
        }
        (Some(end), _) | (None, Some(end)) => {
            (Outcome::Failed, end.problem, format!("{page} does not work: {}.", end.found), Some(end))
        }
        (None, None) => (Outcome::NotDone, "", format!("{page} was not fetched."), None),
    };
    let (outcome, problem, found) = match pac {
        Some((false, why)) if outcome == Outcome::Ok => (
            Outcome::Failed,
            "pac",
            format!("{page} works, but the file that says which proxy to use does not: {why}."),
        ),
        _ => (outcome, problem, found),
    };
    HttpTest {
        outcome: outcome.word().into(),
        problem: problem.into(),
        found,
        took_ms: end.map(|end| end.whole_ms),
        status: end.and_then(|end| end.status).map(u32::from),
        ..HttpTest::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(by_proxy: bool, problem: &'static str) -> End {
        End { by_proxy, status: None, problem, found: "answers 200".into(), whole_ms: 20 }
    }

    #[test]
    fn what_the_ways_come_to() {
        let url = Url::read("http://intranet.example/").unwrap();
        let problem = |ends: &[End], pac: Option<(bool, String)>| verdict(&url, ends, pac).problem;
        assert_eq!(problem(&[end(false, "")], None), "");
        assert_eq!(problem(&[end(false, "unreachable")], None), "unreachable");
        assert_eq!(
            problem(&[end(false, "unreachable"), end(true, "")], None),
            "",
            "the network wants the proxy to be used"
        );
        assert_eq!(problem(&[end(false, ""), end(true, "unreachable")], None), "proxy-dead");
        assert_eq!(problem(&[end(false, ""), end(true, "proxy-login")], None), "proxy-login");
        assert_eq!(problem(&[end(false, "")], Some((false, "answers 404".into()))), "pac");
        assert_eq!(problem(&[end(false, "")], Some((true, String::new()))), "");
    }
}
