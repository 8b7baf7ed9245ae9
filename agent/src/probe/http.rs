//! A page fetched, directly and through the proxy that the machine is set up to use, with the time of each phase.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::HttpTest;

use super::step::{Outcome, Taken, VERDICT};
use super::targets::proxies::{Proxies, Proxy};
use super::{Asked, Probe, Steps, Unrun, targets};
use crate::collect::Rows;
use crate::host::Host;

mod chosen;
mod exchange;
mod fetch;
mod url;
mod verdict;

pub(super) use fetch::{Fetched, fetch};
pub(super) use url::Url;

pub(super) const HTTP: Probe = Probe { table: HttpTest::TABLE, deadline: Duration::from_secs(50), run };

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 5;

fn run(host: &dyn Host, asked: &Asked, steps: &mut Steps<'_>) -> anyhow::Result<Rows> {
    let url = Url::read(asked.get("url").unwrap_or_default()).map_err(Unrun::Refused)?;
    targets::allowed(host, &asked.policy, &url.host, Some(url.port))?;
    let (set, mut taken) = (Proxies::of(host), Taken::new(steps));
    let file = chosen::file(host, &mut taken, &set)?;
    let direct = walk(host, asked, &mut taken, &url, None)?;
    let through = match set.for_page(&url.host, url.secure) {
        Some(proxy) => Some((through(host, asked, &mut taken, &url, &proxy)?, proxy)),
        None => None,
    };
    let row = verdict::of(&url, &direct, through.as_ref().map(|(end, proxy)| (proxy, end)), file.as_ref());
    taken.note(HttpTest { step: VERDICT.into(), target: url.text(), ..row })?;
    Ok(taken.rows())
}

/// A proxy that no probe can speak to: nothing was tested.
const UNSPOKEN: &str = "unspoken";

/// Where a walk along the redirects ended.
struct End {
    status: Option<u16>,
    problem: &'static str,
    found: String,
    whole_ms: u32,
}

/// Fetches a page through a proxy, where that speaks what is spoken here.
fn through(
    host: &dyn Host,
    asked: &Asked,
    taken: &mut Taken<'_, '_, HttpTest>,
    url: &Url,
    proxy: &Proxy,
) -> Result<End, Unrun> {
    if proxy.speaks.is_empty() {
        return walk(host, asked, taken, url, Some(proxy));
    }
    let found = format!("it speaks {}, and this test does not", proxy.speaks);
    let row = HttpTest { outcome: Outcome::NotDone.word().into(), found: found.clone(), ..way(url, Some(proxy)) };
    taken.note(row)?;
    Ok(End { status: None, problem: UNSPOKEN, found, whole_ms: 0 })
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
            took_ms: Some(times.whole_ms),
            resolve_ms: times.resolve_ms,
            connect_ms: times.connect_ms,
            tls_ms: times.tls_ms,
            ..way(&url, proxy)
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

fn way(url: &Url, proxy: Option<&Proxy>) -> HttpTest {
    HttpTest {
        step: "page".into(),
        target: url.text(),
        way: if proxy.is_some() { "proxy" } else { "direct" }.into(),
        proxy: proxy.map(Proxy::place).unwrap_or_default(),
        ..HttpTest::default()
    }
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
