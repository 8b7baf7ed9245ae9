//! One sentence for a page, by each way that leads to it.

use deskside_proto::v1::HttpTest;

use super::chosen::Chosen;
use super::url::Url;
use super::{End, UNSPOKEN};
use crate::probe::step::Outcome;
use crate::probe::targets::proxies::Proxy;

/// What a way, or both, come to: a word for rules, and the sentence without its end.
type Said = (Outcome, &'static str, String);

/// The whole.
pub(super) fn of(url: &Url, direct: &End, through: Option<(&Proxy, &End)>, chosen: Option<&Chosen>) -> HttpTest {
    let page = url.text();
    let said = match through {
        None if direct.problem.is_empty() => {
            (Outcome::Ok, "", format!("{page} works ({}, {} ms)", direct.found, direct.whole_ms))
        }
        None => (Outcome::Failed, direct.problem, format!("{page} does not work: {}", direct.found)),
        Some((proxy, end)) => by_both(&page, direct, proxy, end),
    };
    let (outcome, problem, found) = match chosen {
        Some(chosen) => with_file(said, &page, chosen),
        None => said,
    };
    // Why the proxy's where it works: that is the way that programs go.
    let end = through.map(|(_proxy, end)| end).filter(|end| end.problem.is_empty() || outcome == Outcome::Failed);
    let end = end.unwrap_or(direct);
    HttpTest {
        outcome: outcome.word().into(),
        problem: problem.into(),
        found: format!("{found}."),
        took_ms: Some(end.whole_ms),
        status: end.status.map(u32::from),
        ..HttpTest::default()
    }
}

fn by_both(page: &str, direct: &End, proxy: &Proxy, end: &End) -> Said {
    let named = format!("the proxy {} that {} sets", proxy.place(), proxy.source);
    let works = direct.problem.is_empty();
    match end.problem {
        "" if works => {
            let found = format!("{page} works through {named} ({}, {} ms), and directly", end.found, end.whole_ms);
            (Outcome::Ok, "", found)
        }
        "" => {
            let through = format!("{} ({}, {} ms)", named, end.found, end.whole_ms);
            (Outcome::Ok, "", format!("{page} works through {through}, and not directly: {}", direct.found))
        }
        UNSPOKEN => {
            let way =
                if works { "works directly".to_owned() } else { format!("does not work directly: {}", direct.found) };
            (Outcome::Unknown, "", format!("{page} {way}; the way through {named} was not tested: {}", end.found))
        }
        // A program that is given the setting sends the login; whether it is right was not seen.
        "proxy-login" if proxy.login => {
            let found = format!(
                "{page} was not fetched through {named}: it asks for a login ({}), and the one that is written there is not used by this test",
                end.found
            );
            (Outcome::Unknown, "", found)
        }
        "proxy-login" => {
            let found = format!(
                "{page} is not fetched by {named} before somebody logs in ({}): programs that do not, fail",
                end.found
            );
            (Outcome::Failed, "proxy-login", found)
        }
        problem => {
            let problem = match problem {
                "client-error" if works => "proxy-refuses",
                _ if works && !problem.starts_with("proxy-") => "proxy-dead",
                _ => problem,
            };
            let found = if works {
                format!("{page} works directly, but not through {named}: {}", end.found)
            } else {
                format!("{page} works neither through {named} ({}) nor directly ({})", end.found, direct.found)
            };
            (Outcome::Failed, problem, found)
        }
    }
}

/// Programs that follow a file may go another way than those that were tested.
fn with_file((outcome, problem, found): Said, page: &str, chosen: &Chosen) -> Said {
    let Chosen { url, source, trouble, names } = chosen;
    if !trouble.is_empty() {
        if outcome == Outcome::Failed {
            return (outcome, problem, format!("{found}; and the file that chooses the proxy, {url}, {trouble}"));
        }
        let found = format!(
            "{page} works, but the file that chooses the proxy, {url}, which {source} names, does not: {trouble}"
        );
        return (Outcome::Failed, "pac", found);
    }
    let not_run = format!("the file that chooses the proxy, {url}, was fetched and not run");
    match (outcome, names.as_slice()) {
        (Outcome::Ok, []) => (outcome, problem, format!("{found}; {not_run}, and its text names no proxy")),
        (Outcome::Ok, names) => {
            let names = names.join(", ");
            (
                Outcome::Unknown,
                problem,
                format!("{found}; {not_run}: whether programs go through one that it names ({names}) was not seen"),
            )
        }
        _ => (outcome, problem, format!("{found}; {not_run}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(problem: &'static str) -> End {
        End { status: None, problem, found: "answers 200".into(), whole_ms: 20 }
    }

    fn proxy(login: bool) -> Proxy {
        let (host, source) = ("proxy.example".into(), "/etc/environment".into());
        Proxy { host, port: 3128, source, login, speaks: "" }
    }

    fn verdict(direct: &'static str, through: Option<&'static str>, login: bool, chosen: Option<&Chosen>) -> HttpTest {
        let url = Url::read("http://intranet.example/").unwrap();
        let (through, proxy) = (through.map(end), proxy(login));
        of(&url, &end(direct), through.as_ref().map(|end| (&proxy, end)), chosen)
    }

    #[test]
    fn what_the_ways_come_to() {
        let told = |direct, through| {
            let verdict = verdict(direct, through, false, None);
            (verdict.outcome, verdict.problem)
        };
        let is = |outcome: &str, problem: &str| (outcome.to_owned(), problem.to_owned());
        assert_eq!(told("", None), is("ok", ""));
        assert_eq!(told("unreachable", None), is("failed", "unreachable"));
        assert_eq!(told("unreachable", Some("")), is("ok", ""), "the network wants the proxy to be used");
        assert_eq!(told("", Some("unreachable")), is("failed", "proxy-dead"));
        assert_eq!(told("", Some("client-error")), is("failed", "proxy-refuses"));
        assert_eq!(told("unreachable", Some("proxy-dead")), is("failed", "proxy-dead"));
        assert_eq!(told("", Some("proxy-login")), is("failed", "proxy-login"));
        assert_eq!(told("", Some(UNSPOKEN)), is("unknown", ""));
        let login = verdict("unreachable", Some("proxy-login"), true, None);
        assert_eq!((login.outcome.as_str(), login.problem.as_str()), ("unknown", ""), "{}", login.found);
    }

    #[test]
    fn a_file_that_was_not_run_leaves_open_what_it_would_choose() {
        let url = "http://wpad.example/proxy.pac".to_owned();
        let file = |trouble: &str, names: &[&str]| Chosen {
            url: url.clone(),
            source: "gnome".into(),
            trouble: trouble.into(),
            names: names.iter().map(ToString::to_string).collect(),
        };
        let told = |direct, chosen: &Chosen| {
            let verdict = verdict(direct, None, false, Some(chosen));
            (verdict.outcome, verdict.problem)
        };
        let is = |outcome: &str, problem: &str| (outcome.to_owned(), problem.to_owned());
        assert_eq!(told("", &file("answers 404", &[])), is("failed", "pac"));
        assert_eq!(told("", &file("", &[])), is("ok", ""));
        assert_eq!(told("", &file("", &["proxy.example:3128"])), is("unknown", ""));
        assert_eq!(told("unreachable", &file("", &["proxy.example:3128"])), is("failed", "unreachable"));
    }
}
