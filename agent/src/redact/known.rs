//! Whom and what this machine knows by name: its people, itself; and what policy says of names and addresses.

use aho_corasick::{AhoCorasick, MatchKind};

use super::text::{Kind, Span};
use super::{Config, addresses};
use crate::host::Host;

/// Names that are looked for.
const NAMES_MAX: usize = 4096;

/// A shorter name is a word of every language.
const NAME_CHARS_MIN: usize = 3;

/// Where accounts of people begin, and which numbers above are for other things (systemd: Users, Groups, UIDs and GIDs).
const PEOPLE_FROM: u32 = 1000;
const NOT_PEOPLE: std::ops::RangeInclusive<u32> = 60_000..=65_535;

/// Accounts that name a task and not a person.
const TASKS: [&str; 38] = [
    "admin",
    "administrator",
    "user",
    "users",
    "guest",
    "test",
    "tester",
    "build",
    "builder",
    "backup",
    "git",
    "ubuntu",
    "debian",
    "fedora",
    "vagrant",
    "oracle",
    "postgres",
    "mysql",
    "mail",
    "print",
    "printer",
    "scan",
    "scanner",
    "demo",
    "student",
    "deploy",
    "ansible",
    "jenkins",
    "runner",
    "system",
    "service",
    "operator",
    "office",
    "support",
    "kiosk",
    "public",
    "shared",
    "desktop",
];

/// Endings of names with an `@` that are no domains: units of systemd, and files.
const NO_DOMAINS: [&str; 27] = [
    "service",
    "socket",
    "timer",
    "mount",
    "automount",
    "target",
    "device",
    "scope",
    "slice",
    "path",
    "swap",
    "js",
    "ts",
    "py",
    "so",
    "conf",
    "log",
    "txt",
    "sock",
    "json",
    "yaml",
    "html",
    "css",
    "png",
    "svg",
    "lock",
    "desktop",
];

/// A name and what is written for it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    text: String,
    /// Whose pseudonym stands for it: a full name's is its login's.
    of: String,
    kind: NameKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameKind {
    Person,
    Host,
}

/// What is looked for besides secrets.
#[derive(Debug, Default)]
pub(super) struct Known {
    names: Vec<Name>,
    finder: Option<AhoCorasick>,
    addresses: bool,
}

impl Known {
    /// Asks the machine who uses it and what it is called.
    pub(super) fn of(host: &dyn Host, config: &Config) -> Self {
        let mut names = Vec::new();
        if let Ok(accounts) = host.text("/etc/passwd") {
            names.extend(accounts.lines().filter_map(account).flatten());
        }
        for home in host.list("/home").unwrap_or_default() {
            names.extend(person(&home, &home));
        }
        if config.hosts
            && let Some(own) = host.line("/etc/hostname")
        {
            let short = own.split('.').next().unwrap_or_default();
            let name = |text: &str| Name { text: text.to_owned(), of: short.to_owned(), kind: NameKind::Host };
            names.extend([own.as_str(), short].into_iter().filter(|text| text.len() >= NAME_CHARS_MIN).map(name));
        }
        names.dedup();
        names.truncate(NAMES_MAX);
        Self::with(names, config.addresses)
    }

    fn with(names: Vec<Name>, addresses: bool) -> Self {
        let builder =
            AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(names.iter().map(|name| &name.text));
        let finder = builder.ok().filter(|_finder| !names.is_empty());
        Self { names, finder, addresses }
    }

    /// All names and addresses of a text.
    pub(super) fn find(&self, text: &str, spans: &mut Vec<Span>) {
        mails(text, spans);
        if let Some(finder) = &self.finder {
            for found in finder.find_iter(text) {
                let Some(name) = self.names.get(found.pattern().as_usize()) else { continue };
                if !stands_alone(text.as_bytes(), found.start(), found.end()) {
                    continue;
                }
                let (kind, what) = match name.kind {
                    NameKind::Person => (Kind::PersonOf(name.of.clone()), "user's name"),
                    NameKind::Host => (Kind::Host(name.of.clone()), "machine's name"),
                };
                spans.push(Span { range: found.range(), kind, what });
            }
        }
        if self.addresses {
            addresses::find(text, spans);
        }
    }
}

/// A line of passwd(5): the login, and the full name.
fn account(line: &str) -> Option<Vec<Name>> {
    let mut fields = line.split(':');
    let (login, number, comment) = (fields.next()?, fields.nth(1)?, fields.nth(1)?);
    let number: u32 = number.parse().ok()?;
    if number < PEOPLE_FROM || NOT_PEOPLE.contains(&number) {
        return None;
    }
    let mut names: Vec<Name> = person(login, login).into_iter().collect();
    let full = comment.split(',').next().unwrap_or_default().trim();
    // A single word of a comment may be any word at all.
    if full.contains(' ') && !names.is_empty() {
        names.extend(person(full, login));
    }
    Some(names)
}

fn person(text: &str, login: &str) -> Option<Name> {
    let fits = text.chars().count() >= NAME_CHARS_MIN && text.chars().any(char::is_alphabetic) && !text.contains('+');
    let plain = !TASKS.contains(&text.to_lowercase().as_str()) && !text.starts_with(['.', '_']) && text != "root";
    (fits && plain).then(|| Name { text: text.to_owned(), of: login.to_owned(), kind: NameKind::Person })
}

fn stands_alone(bytes: &[u8], start: usize, end: usize) -> bool {
    let word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || !b.is_ascii();
    !start.checked_sub(1).and_then(|before| bytes.get(before)).is_some_and(word) && !bytes.get(end).is_some_and(word)
}

/// The people's part of mail addresses. Why the domain stays: it is the company's, and a fault may lie in it.
fn mails(text: &str, spans: &mut Vec<Span>) {
    let bytes = text.as_bytes();
    for at in memchr::memchr_iter(b'@', bytes) {
        let local = |b: &&u8| b.is_ascii_alphanumeric() || b"._%+-".contains(b);
        let before = bytes.get(..at).unwrap_or_default().iter().rev().take_while(local).count();
        let inner = |b: &&u8| b.is_ascii_alphanumeric() || b".-".contains(b);
        let behind = bytes.iter().skip(at + 1).take_while(inner).count();
        let domain = text.get(at + 1..at + 1 + behind).unwrap_or_default().trim_end_matches(['.', '-']);
        let last = domain.rsplit_once('.').map(|(_name, last)| last).unwrap_or_default();
        let is_domain = last.len() >= 2 && last.bytes().all(|b| b.is_ascii_alphabetic()) && !NO_DOMAINS.contains(&last);
        let name = text.get(at - before..at).unwrap_or_default();
        let name = name.trim_start_matches(['.', '-']);
        if is_domain && !name.is_empty() {
            spans.push(Span { range: at - name.len()..at, kind: Kind::Person, what: "mail address" });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(known: &Known, text: &'a str) -> Vec<&'a str> {
        let mut spans = Vec::new();
        known.find(text, &mut spans);
        spans.iter().map(|span| text.get(span.range.clone()).unwrap()).collect()
    }

    fn machine() -> Known {
        let names = [
            "anna:x:1000:1000:Anna Miller,,,:/home/anna:/bin/bash",
            "admin:x:1001:1001::/home/admin:/bin/sh",
            "sync:x:4:1::/:/x",
        ];
        Known::with(names.iter().filter_map(|line| account(line)).flatten().collect(), false)
    }

    #[test]
    fn people_of_the_machine_are_known_by_login_and_full_name() {
        let known = machine();
        assert_eq!(found(&known, "session opened for user anna by Anna Miller"), ["anna", "Anna Miller"]);
        assert_eq!(found(&known, "anna-laptop (anna)"), ["anna", "anna"]);
        assert!(found(&known, "annabel, savanna, anna_x: admin sync").is_empty());
    }

    #[test]
    fn mail_addresses_lose_their_person_and_units_are_none() {
        let known = Known::default();
        assert_eq!(found(&known, "to <a.miller+x@mail.example.com>, b@example.org."), ["a.miller+x", "b"]);
        assert!(found(&known, "getty@tty1.service user@1000 a@b next@app.js memcpy@GLIBC_2.14 @ @@").is_empty());
    }
}
