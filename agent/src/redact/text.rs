//! Free text: one pass looks for the beginnings of what may be a secret or a name, and only there something is looked at closely.
//!
//! Why by hand rather than by expressions: logs come by the ten thousand lines a second, and a small expression engine takes a few megabytes
//! a second; here the common byte costs one look into a table.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::LazyLock;

use super::key::{Key, SECRET_LETTERS};
use super::known::Known;
use super::{groups, pairs, programs, tokens};

/// What stands at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Secret,
    /// A person, by the text itself.
    Person,
    /// A person whose login this is.
    PersonOf(String),
    /// A machine's own name.
    Host(String),
    Ip(IpAddr),
    Mac([u8; 6]),
}

/// A part of the text that must not stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) range: Range<usize>,
    pub(super) kind: Kind,
    /// What it is, in words.
    pub(super) what: &'static str,
}

impl Span {
    pub(super) fn secret(range: Range<usize>) -> Self {
        Self { range, kind: Kind::Secret, what: "secret" }
    }
}

/// How a beginning is looked at closely.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// A token that is known by its own prefix.
    Token(&'static tokens::Shape),
    /// A word that a secret follows.
    Pair(pairs::Word),
    /// A private key in PEM or `OpenPGP` armour.
    Armour,
    /// The authority of a URL.
    Url,
    /// A folder of homes, the name follows.
    Home,
    /// A password's hash, as in shadow(5).
    Crypt,
    /// Groups of the same length with hyphens between: recovery keys, product keys, payment cards.
    Groups,
    /// A client secret of Microsoft Entra.
    Entra,
    /// The private part of a `PuTTY` key.
    Putty,
    /// netrc(5).
    Netrc,
    /// Oracle's way of naming a login.
    Oracle,
    /// A program that is given secrets as arguments.
    Program(&'static [&'static str]),
}

/// A beginning and what it may begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trigger {
    /// In lower case where case does not matter.
    pub(super) text: &'static str,
    pub(super) any_case: bool,
    /// What it is that is taken out, in words.
    pub(super) kind: &'static str,
    pub(super) rule: Rule,
}

const fn other(text: &'static str, kind: &'static str, rule: Rule) -> Trigger {
    Trigger { text, any_case: false, kind, rule }
}

const HOME: &str = "home folder's owner";

const OTHERS: [Trigger; 13] = [
    other("-----BEGIN ", "private key", Rule::Armour),
    other("Private-Lines:", "PuTTY private key", Rule::Putty),
    other("://", "login in a URL", Rule::Url),
    other("/home/", HOME, Rule::Home),
    other("/Users/", HOME, Rule::Home),
    other("/run/media/", HOME, Rule::Home),
    Trigger { any_case: true, ..other("\\users\\", HOME, Rule::Home) },
    Trigger { any_case: true, ..other("\\users\\\\", HOME, Rule::Home) },
    other("$", "password hash", Rule::Crypt),
    other("-", "recovery key, product key or payment card", Rule::Groups),
    other("Q~", "Microsoft Entra client secret", Rule::Entra),
    other("machine ", "login of netrc", Rule::Netrc),
    other("sqlplus ", "Oracle login", Rule::Oracle),
];

/// Triggers by their first byte, and with which second and third bytes any of them goes on.
struct Index {
    seconds: [u32; 256],
    /// Bits of the second and third byte together. Why: every other pair of letters begins some trigger, few threes do.
    goes_on: Vec<[u32; 32]>,
    firsts: Vec<OfFirst>,
}

/// The triggers of one first byte, and the second and third bytes that each may have. Why apart: of dozens that are asked one at most is looked
/// at, and what is asked lies close together.
#[derive(Clone, Debug, Default)]
struct OfFirst {
    letters: Vec<(u32, u32)>,
    triggers: Vec<Trigger>,
}

impl OfFirst {
    fn likely(&self, second: u32, third: u32) -> impl Iterator<Item = &Trigger> {
        let asked = self.letters.iter().zip(&self.triggers);
        asked
            .filter(move |((seconds, thirds), _)| seconds & second != 0 && thirds & third != 0)
            .map(|(_, trigger)| trigger)
    }
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index { seconds: [0; 256], goes_on: vec![[0; 32]; 256], firsts: vec![OfFirst::default(); 256] };
    let all = OTHERS.into_iter().chain(tokens::triggers()).chain(pairs::triggers()).chain(programs::triggers());
    for trigger in all {
        let mut bytes = trigger.text.bytes();
        let first = bytes.next().unwrap_or_default();
        let [second, third] = [bytes.next(), bytes.next()].map(|byte| byte.map_or(u32::MAX, bit));
        for first in [first, if trigger.any_case { first.to_ascii_uppercase() } else { first }] {
            index.note(usize::from(first), second, third);
        }
        if let Some(of_first) = index.firsts.get_mut(usize::from(first)) {
            of_first.letters.push((second, third));
            of_first.triggers.push(trigger);
        }
    }
    index
});

impl Index {
    fn note(&mut self, first: usize, seconds: u32, thirds: u32) {
        if let Some(all) = self.seconds.get_mut(first) {
            *all |= seconds;
        }
        for (second, all) in self.goes_on.get_mut(first).into_iter().flatten().enumerate() {
            if seconds >> second & 1 == 1 {
                *all |= thirds;
            }
        }
    }

    /// Whether any trigger may begin with these bytes. Behind the text's end stand zeros.
    fn begins(&self, first: u8, second: u8, third: u8) -> bool {
        let first = usize::from(first);
        if self.seconds.get(first).is_none_or(|seconds| seconds & bit(second) == 0) {
            return false;
        }
        let thirds = self.goes_on.get(first).and_then(|of_first| of_first.get(usize::from(second & 0x1f)));
        thirds.is_some_and(|thirds| thirds & bit(third) != 0)
    }
}

/// The kinds of secret that are known, in words.
pub(super) fn kinds() -> std::collections::BTreeSet<&'static str> {
    INDEX.firsts.iter().flat_map(|of_first| &of_first.triggers).map(|trigger| trigger.kind).collect()
}

/// Letters of either case have one bit.
fn bit(byte: u8) -> u32 {
    1 << (byte & 0x1f)
}

/// The text without secrets and names; nothing where there are none.
pub(super) fn clean(key: &Key, known: &Known, text: &str) -> Option<String> {
    let spans = find(known, text);
    if spans.is_empty() {
        return None;
    }
    let mut cleaned = String::with_capacity(text.len());
    let mut done = 0;
    for span in spans {
        cleaned.push_str(text.get(done..span.range.start)?);
        let found = text.get(span.range.clone())?;
        cleaned.push_str(&instead(key, &span.kind, found));
        done = span.range.end;
    }
    cleaned.push_str(text.get(done..)?);
    (cleaned != text).then_some(cleaned)
}

/// What is written in its place.
pub(super) fn instead(key: &Key, kind: &Kind, found: &str) -> String {
    let person = |name: &str| key.person(name).unwrap_or_else(|| found.to_owned());
    match kind {
        Kind::Secret => key.secret(found),
        Kind::Person => person(found),
        Kind::PersonOf(login) => person(login),
        Kind::Host(name) => key.host(name),
        Kind::Ip(ip) => key.ip(*ip),
        Kind::Mac(mac) => key.mac(*mac),
    }
}

/// All spans, in order, none over another.
pub(super) fn find(known: &Known, text: &str) -> Vec<Span> {
    let bytes = text.as_bytes();
    let index = &*INDEX;
    let mut spans: Vec<Span> = Vec::new();
    let mut programs_left = programs::MAX;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let after = |bytes_on: usize| bytes.get(at + bytes_on).copied().unwrap_or_default();
        let (second, third) = (after(1), after(2));
        if !index.begins(byte, second, third) {
            at += 1;
            continue;
        }
        let of_first = index.firsts.get(usize::from(byte.to_ascii_lowercase())).into_iter();
        let of_first = of_first.chain(index.firsts.get(usize::from(byte)).filter(|_| byte.is_ascii_uppercase()));
        let mut next = at + 1;
        let likely = of_first.flat_map(|of_first| of_first.likely(bit(second), bit(third)));
        for trigger in likely.filter(|trigger| begins(bytes, at, trigger)) {
            let after = at + trigger.text.len();
            if let Rule::Program(flags) = trigger.rule {
                if programs_left > 0 && programs::stands(bytes, at, after) {
                    programs_left -= 1;
                    let arguments = programs::arguments(bytes, after, flags).into_iter();
                    spans.extend(arguments.map(|span| Span { what: trigger.kind, ..span }));
                }
                continue;
            }
            if let Some(span) = look(bytes, at, after, trigger.rule) {
                next = next.max(span.range.end);
                spans.push(Span { what: trigger.kind, ..span });
                break;
            }
        }
        at = next;
    }
    known.find(text, &mut spans);
    settle(text, spans)
}

fn begins(bytes: &[u8], at: usize, trigger: &Trigger) -> bool {
    let Some(there) = bytes.get(at..at + trigger.text.len()) else { return false };
    if trigger.any_case {
        there.eq_ignore_ascii_case(trigger.text.as_bytes())
    } else {
        there == trigger.text.as_bytes()
    }
}

fn look(bytes: &[u8], at: usize, after: usize, rule: Rule) -> Option<Span> {
    match rule {
        Rule::Token(shape) => tokens::token(bytes, at, after, shape),
        Rule::Pair(word) => pairs::value(bytes, at, after, word),
        Rule::Armour => tokens::armour(bytes, at),
        Rule::Url => tokens::userinfo(bytes, after),
        Rule::Home => home(bytes, after),
        Rule::Crypt => tokens::crypt(bytes, at),
        Rule::Groups => groups::key(bytes, at),
        Rule::Entra => tokens::entra(bytes, at, after),
        Rule::Putty => tokens::putty(bytes, after),
        Rule::Netrc => tokens::netrc(bytes, after),
        Rule::Oracle => tokens::oracle(bytes, after),
        Rule::Program(_) => None,
    }
}

/// In order, what overlaps made one; bounds moved out to whole characters.
fn settle(text: &str, mut spans: Vec<Span>) -> Vec<Span> {
    if spans.is_empty() {
        return spans;
    }
    let stays = |span: &Span| span.range.is_empty() || bytes_of(text, span).is_some_and(is_replaced);
    spans.retain(|span| !stays(span));
    for span in &mut spans {
        while !text.is_char_boundary(span.range.start) {
            span.range.start -= 1;
        }
        while !text.is_char_boundary(span.range.end) {
            span.range.end += 1;
        }
    }
    spans.sort_by_key(|span| (span.range.start, span.range.end));
    let mut settled: Vec<Span> = Vec::new();
    for span in spans {
        match settled.last_mut() {
            Some(last) if span.range.start < last.range.end => {
                last.range.end = last.range.end.max(span.range.end);
                if span.kind == Kind::Secret {
                    (last.kind, last.what) = (Kind::Secret, span.what);
                }
            }
            _ => settled.push(span),
        }
    }
    settled
}

fn bytes_of<'a>(text: &'a str, span: &Span) -> Option<&'a [u8]> {
    text.as_bytes().get(span.range.clone())
}

/// Bytes of what stands for a secret.
pub(super) const REPLACED_BYTES: usize = "[secret-]".len() + SECRET_LETTERS;

/// What stands for a secret already is none.
pub(super) fn is_replaced(found: &[u8]) -> bool {
    let letters = found.strip_prefix(b"[secret-").and_then(|rest| rest.strip_suffix(b"]"));
    letters.is_some_and(|letters| letters.len() == SECRET_LETTERS && letters.iter().all(u8::is_ascii_alphanumeric))
}

/// The owner's name in a home's path.
fn home(bytes: &[u8], after: usize) -> Option<Span> {
    const SHARED: [&[u8]; 5] = [b"Public", b"Shared", b"Default", b"shared", b"lost+found"];
    let name = |b: &u8| b.is_ascii_alphanumeric() || b"._-@+$".contains(b) || !b.is_ascii();
    let end = after + bytes.get(after..)?.iter().take_while(|b| name(b)).count();
    let mut end = end;
    // A full stop that ends the sentence is not the name's.
    while end > after && bytes.get(end - 1) == Some(&b'.') {
        end -= 1;
    }
    let found = bytes.get(after..end)?;
    (!found.is_empty() && !SHARED.contains(&found)).then_some(Span {
        range: after..end,
        kind: Kind::Person,
        what: HOME,
    })
}
