//! One page fetched by one way, with the time of each phase.

use std::time::Duration;

use rustls::RootCertStore;

use super::exchange::{self, Answer};
use super::url::Url;
use crate::host::{Host, Stream};
use crate::probe::reached::{Obstacle, Unreached, reach};
use crate::probe::step::since_ms;
use crate::probe::targets::proxies::Proxy;
use crate::probe::tls::{certificates, distrusted, no_tls, roots, shake};

/// How long one page may take.
pub(super) const PAGE_MAX: Duration = Duration::from_secs(8);

/// Ways to log in that are told of one proxy.
const SCHEMES_MAX: usize = 6;

/// How long one read may wait.
const READ_MAX: Duration = Duration::from_secs(4);

/// The time of each phase.
#[allow(clippy::struct_field_names, reason = "the unit stands last in every name")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::probe) struct Times {
    pub(in crate::probe) resolve_ms: Option<u32>,
    pub(in crate::probe) connect_ms: Option<u32>,
    pub(in crate::probe) tls_ms: Option<u32>,
    pub(in crate::probe) whole_ms: u32,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::probe) enum Fetched {
    /// An answer; and what speaks against its certificate, where something does.
    Answered(Answer, Option<String>),
    /// None: a word for rules, words for people.
    Failed(&'static str, String),
}

/// Fetches a page, through a proxy where one is given.
pub(in crate::probe) fn fetch(host: &dyn Host, url: &Url, proxy: Option<&Proxy>, accept: &str) -> (Fetched, Times) {
    let begun_ms = host.now_ms();
    let mut times = Times::default();
    let fetched = page(host, url, proxy, accept, &mut times, begun_ms).unwrap_or_else(|failed| failed);
    times.whole_ms = since_ms(host, begun_ms);
    (fetched, times)
}

fn page(
    host: &dyn Host,
    url: &Url,
    proxy: Option<&Proxy>,
    accept: &str,
    times: &mut Times,
    begun_ms: i64,
) -> Result<Fetched, Fetched> {
    let until_ms = begun_ms.saturating_add(i64::try_from(PAGE_MAX.as_millis()).unwrap_or(i64::MAX));
    let (name, port) = proxy.map_or((url.host.as_str(), url.port), |proxy| (proxy.host.as_str(), proxy.port));
    let mut reached = reach(host, name, port).map_err(|unreached| not_reached(&unreached, proxy))?;
    times.resolve_ms = Some(reached.resolve_ms);
    times.connect_ms = Some(reached.connect_ms);
    let stream = reached.stream.as_mut();
    stream.wait(READ_MAX).map_err(|error| Fetched::Failed("unreachable", error.to_string()))?;
    let unread = |error: anyhow::Error| Fetched::Failed("no-http", why(&error));
    if !url.secure {
        let target = if proxy.is_some() { url.text() } else { url.path.clone() };
        let answer =
            exchange::ask(host, &mut Plain(stream), &target, &url.authority(), accept, until_ms).map_err(unread)?;
        return Ok(by_proxy(proxy, &answer).unwrap_or(Fetched::Answered(answer, None)));
    }
    if proxy.is_some() {
        let answer = exchange::connect(host, &mut Plain(&mut *stream), &url.place(), until_ms).map_err(unread)?;
        if !(200..300).contains(&answer.status) {
            return Ok(by_proxy(proxy, &answer).unwrap_or_else(|| barred(&url.place(), answer.status)));
        }
    }
    secure(host, stream, url, accept, times, until_ms)
}

/// The same within TLS.
fn secure(
    host: &dyn Host,
    stream: &mut dyn Stream,
    url: &Url,
    accept: &str,
    times: &mut Times,
    until_ms: i64,
) -> Result<Fetched, Fetched> {
    let (store, trusts) = roots(host).map_or_else(|_none| (RootCertStore::empty(), false), |store| (store, true));
    let begun_ms = host.now_ms();
    let mut shaken =
        shake(stream, &url.host, store, &[b"http/1.1"]).map_err(|error| Fetched::Failed("tls", no_tls(&error)))?;
    times.tls_ms = Some(since_ms(host, begun_ms));
    let chain = certificates(&shaken);
    let distrust = shaken.distrust.as_ref().filter(|_error| trusts);
    let distrust = distrust.map(|error| distrusted(error, chain.first(), chain.len(), host.now_ms()).1);
    let mut plain = Plain(stream);
    let mut line = rustls::Stream::new(&mut shaken.session, &mut plain);
    let answer = exchange::ask(host, &mut line, &url.path, &url.authority(), accept, until_ms);
    let answer = answer.map_err(|error| Fetched::Failed("no-http", why(&error)))?;
    Ok(Fetched::Answered(answer, distrust))
}

fn not_reached(unreached: &Unreached, proxy: Option<&Proxy>) -> Fetched {
    let problem = match unreached {
        _ if proxy.is_some() => "proxy-dead",
        Unreached::Unresolved(_) => "unresolved",
        Unreached::Unconnected(..) => "unreachable",
    };
    Fetched::Failed(problem, unreached.words())
}

/// A proxy that wants to know who asks (RFC 9110, 11.7), and how it may be told.
fn by_proxy(proxy: Option<&Proxy>, answer: &Answer) -> Option<Fetched> {
    if proxy.is_none() || answer.status != 407 {
        return None;
    }
    let schemes = answer.headers("proxy-authenticate").filter_map(|line| line.split_whitespace().next());
    let told: Vec<String> = schemes.take(SCHEMES_MAX).map(scheme).collect();
    let how = if told.is_empty() { "no way is named".into() } else { told.join(" or ") };
    Some(Fetched::Failed("proxy-login", format!("407: {how}")))
}

/// A way to say who one is, and what it takes.
fn scheme(name: &str) -> String {
    let takes = match name.to_ascii_lowercase().as_str() {
        "basic" | "digest" => "a name and a password",
        "negotiate" => "the ticket of who is signed in, Kerberos",
        "ntlm" => "the account that is signed in",
        _ => return name.to_owned(),
    };
    format!("{name} ({takes})")
}

/// A proxy that opens no way (RFC 9110, 9.3.6): it does not want to, or cannot.
fn barred(place: &str, status: u16) -> Fetched {
    if status < 500 {
        return Fetched::Failed("proxy-refuses", format!("it lets nobody through to {place} ({status})"));
    }
    Fetched::Failed("unreachable", format!("it does not reach {place} itself ({status})"))
}

fn why(error: &anyhow::Error) -> String {
    match error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>()) {
        Some(error) => match Obstacle::of(error) {
            Obstacle::Silence => "no answer to the request in time".into(),
            other => other.words(),
        },
        None => format!("{error:#}"),
    }
}

/// A connection as reader and writer. Why: TLS and HTTP take values with a size.
struct Plain<'a>(&'a mut dyn Stream);

impl std::io::Read for Plain<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(bytes)
    }
}

impl std::io::Write for Plain<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}
