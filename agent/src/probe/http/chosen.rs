//! The file that chooses the proxy (PAC), where the machine is set to follow one: whether it is there, how fast, and which proxies its text names.
//!
//! Why it is not run: it is a program in JavaScript that the network hands out, and the agent takes no programs from anybody.

use deskside_proto::v1::HttpTest;

use super::fetch::{Fetched, fetch};
use super::url::Url;
use crate::host::Host;
use crate::probe::Unrun;
use crate::probe::step::{Outcome, Taken};
use crate::probe::targets::place::host_and_port;
use crate::probe::targets::proxies::Proxies;

/// A file that takes longer holds up every page (diagnosis N16).
const SLOW_MS: u32 = 3_000;

/// Proxies that are told of one file.
const NAMED_MAX: usize = 8;

/// What stands before a proxy in what the file returns.
const KINDS: [&str; 6] = ["PROXY", "HTTP", "HTTPS", "SOCKS", "SOCKS4", "SOCKS5"];

/// A file that chooses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    /// Its address, and where that is set.
    pub(super) url: String,
    pub(super) source: String,
    /// Why programs cannot follow it; empty where they can.
    pub(super) trouble: String,
    /// The proxies that it names.
    pub(super) names: Vec<String>,
}

/// Fetches it. Why no question to the list of targets: the machine is set up to fetch it.
pub(super) fn file(
    host: &dyn Host,
    taken: &mut Taken<'_, '_, HttpTest>,
    set: &Proxies,
) -> Result<Option<Chosen>, Unrun> {
    let Some((address, source)) = set.file() else { return Ok(None) };
    let row = HttpTest { step: "pac".into(), target: address.to_owned(), ..HttpTest::default() };
    let url = match Url::read(address) {
        Ok(url) => url,
        Err(why) => {
            taken.note(HttpTest { outcome: Outcome::Unknown.word().into(), found: why, ..row })?;
            return Ok(None);
        }
    };
    let (fetched, times) = fetch(host, &url, None, "application/x-ns-proxy-autoconfig, */*");
    let (text, bytes, status) = match &fetched {
        Fetched::Answered(answer, _distrust) => (answer.text(), answer.body.len(), Some(answer.status)),
        Fetched::Failed(..) => (String::new(), 0, None),
    };
    let trouble = match fetched {
        Fetched::Failed(_problem, why) => why,
        Fetched::Answered(answer, _distrust) if answer.status != 200 => format!("answers {}", answer.status),
        Fetched::Answered(..) if times.whole_ms > SLOW_MS => format!("is there after {} ms only", times.whole_ms),
        Fetched::Answered(..) if !text.contains("FindProxyForURL") => "is no configuration of a proxy".into(),
        Fetched::Answered(..) => String::new(),
    };
    let names = named(&text);
    let (outcome, found) = if trouble.is_empty() {
        let told = if names.is_empty() { "no proxy".into() } else { names.join(", ") };
        (Outcome::Ok, format!("{bytes} bytes were fetched and not run; its text names {told}"))
    } else {
        (Outcome::Failed, trouble.clone())
    };
    taken.note(HttpTest {
        outcome: outcome.word().into(),
        found,
        took_ms: Some(times.whole_ms),
        status: status.map(u32::from),
        ..row
    })?;
    Ok(Some(Chosen { url: address.to_owned(), source: source.to_owned(), trouble, names }))
}

/// The proxies that a file's text names, each once: "PROXY proxy.example:3128".
fn named(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split(|sign: char| !sign.is_ascii_alphanumeric() && !".:-_[]".contains(sign)).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let mut names: Vec<String> = Vec::new();
    for (kind, place) in words.iter().zip(words.iter().skip(1)) {
        let is_place = host_and_port(place).is_some_and(|(_host, port)| port.is_some());
        if KINDS.contains(kind) && is_place && !names.iter().any(|name| name == place) && names.len() < NAMED_MAX {
            names.push((*place).to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxies_that_a_text_names_are_told_once() {
        let text = "function FindProxyForURL(url, host) {\n if (isPlainHostName(host)) return \"DIRECT\";\n \
            return \"PROXY one.example:3128; PROXY two.example:8080; SOCKS5 [2001:db8::9]:1080; DIRECT\";\n}\n\
            // PROXY one.example:3128\nvar PROXY = host;\n";
        assert_eq!(named(text), ["one.example:3128", "two.example:8080", "[2001:db8::9]:1080"]);
        assert_eq!(named("return 'DIRECT';"), Vec::<String>::new());
    }
}
