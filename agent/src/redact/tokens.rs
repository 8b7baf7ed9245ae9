//! Secrets that are known by their own form: tokens with a prefix, private keys, passwords in URLs, hashes of passwords.

use super::text::{Rule, Span, Trigger};

/// Bytes of a URL's authority that are looked through.
const AUTHORITY_BYTES_MAX: usize = 1024;

/// A name without a password in a URL is taken for a token from this length on.
const USERINFO_TOKEN_MIN: usize = 20;

/// The form of a token: a prefix, then at least so many bytes of an alphabet.
#[derive(Debug)]
pub(super) struct Shape {
    prefixes: &'static [&'static str],
    min: usize,
    also: &'static [u8],
    dots_min: usize,
}

const fn shape(prefixes: &'static [&'static str], min: usize, also: &'static [u8]) -> Shape {
    Shape { prefixes, min, also, dots_min: 0 }
}

/// As their makers document them.
static SHAPES: [Shape; 12] = [
    shape(&["AKIA", "ASIA", "ABIA", "ACCA"], 12, b""),
    shape(&["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], 16, b""),
    shape(&["github_pat_"], 16, b"_"),
    shape(&["glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glft-", "glsoat-", "glagent-"], 12, b"_-."),
    shape(
        &["xoxa-", "xoxb-", "xoxc-", "xoxd-", "xoxe-", "xoxe.", "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xapp-"],
        8,
        b"-._%",
    ),
    shape(&["AIza"], 30, b"_-"),
    shape(&["ya29.", "GOCSPX-", "1//0"], 16, b"_-"),
    shape(&["sk_live_", "sk_test_", "rk_live_", "rk_test_", "sk-ant-", "sk-proj-", "pk_live_", "whsec_"], 12, b"_-"),
    shape(&["npm_", "pypi-AgE", "dop_v1_", "hvs.", "hvb.", "shpat_", "dckr_pat_", "lin_api_", "SG."], 18, b"_-."),
    // Deskside's own invites.
    shape(&["dsk1"], 40, b"_-"),
    shape(&["hooks.slack.com/services/"], 8, b"/"),
    // A JSON Web Token: the first part begins with `{"`.
    Shape { prefixes: &["eyJ"], min: 16, also: b"_-.", dots_min: 1 },
];

pub(super) fn triggers() -> impl Iterator<Item = Trigger> {
    let each = |shape: &'static Shape| {
        shape.prefixes.iter().map(move |text| Trigger { text, any_case: false, rule: Rule::Token(shape) })
    };
    SHAPES.iter().flat_map(each)
}

/// The token whose prefix stands at a place.
pub(super) fn token(bytes: &[u8], at: usize, after: usize, shape: &Shape) -> Option<Span> {
    let inner = |b: &u8| b.is_ascii_alphanumeric() || shape.also.contains(b);
    if at.checked_sub(1).and_then(|before| bytes.get(before)).is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    let body = bytes.get(after..)?;
    let mut length = body.iter().take_while(|b| inner(b)).count();
    while length > 0 && body.get(length - 1).is_some_and(|b| b".-".contains(b)) {
        length -= 1;
    }
    let dots = body.iter().take(length).filter(|b| **b == b'.').count();
    (length >= shape.min && dots >= shape.dots_min).then(|| Span::secret(at..after + length))
}

/// A private key, to the end of its armour or of the text.
pub(super) fn armour(bytes: &[u8], at: usize) -> Option<Span> {
    let head = bytes.get(at..)?;
    let label = head.get(..head.len().min(80))?;
    if !contains(label, b"PRIVATE KEY") {
        return None;
    }
    let ending = find(head, b"-----END ").and_then(|end| {
        let label = end + b"-----END ".len();
        find(head.get(label..)?, b"-----").map(|dashes| label + dashes + b"-----".len())
    });
    Some(Span::secret(at..at + ending.unwrap_or(head.len())))
}

/// The password of `scheme://user:password@host`, or a long token in the user's place.
pub(super) fn userinfo(bytes: &[u8], after: usize) -> Option<Span> {
    let rest = bytes.get(after..)?;
    let stops = |b: &u8| b.is_ascii_whitespace() || b"\"'<>`".contains(b);
    let rest = rest.get(..rest.iter().take(AUTHORITY_BYTES_MAX).take_while(|b| !stops(b)).count())?;
    let slash = rest.iter().position(|b| b"/?#".contains(b)).unwrap_or(rest.len());
    let colon = rest.iter().position(|b| *b == b':');
    let host_first = |colon: usize| rest.get(colon + 1..slash).is_none_or(|port| port.iter().all(u8::is_ascii_digit));
    // A password may hold the very bytes that end an authority; a port may not be taken for one.
    let authority = match colon {
        Some(colon) if colon < slash && !host_first(colon) => rest,
        _ => rest.get(..slash)?,
    };
    let end = match authority.iter().position(|b| *b == b'@') {
        Some(_first) => authority.get(..slash.max(1)).and_then(last_at).or_else(|| last_at(authority))?,
        None => return None,
    };
    let name = authority.get(..end)?;
    if let Some(colon) = name.iter().position(|b| *b == b':') {
        return Some(Span::secret(after + colon + 1..after + end));
    }
    let token = name.len() >= USERINFO_TOKEN_MIN && name.iter().any(u8::is_ascii_digit);
    token.then(|| Span::secret(after..after + end))
}

fn last_at(bytes: &[u8]) -> Option<usize> {
    bytes.iter().rposition(|b| *b == b'@')
}

/// `$6$salt$hash` and its like, crypt(5).
pub(super) fn crypt(bytes: &[u8], at: usize) -> Option<Span> {
    let rest = bytes.get(at..)?;
    let inner = |b: &u8| b.is_ascii_alphanumeric() || b"$./,=_-+".contains(b);
    let found = rest.get(..rest.iter().take_while(|b| inner(b)).count())?;
    let method = found.iter().skip(1).position(|b| *b == b'$')?;
    let parts = found.split(|b| *b == b'$').count();
    ((1..=12).contains(&method) && parts >= 4 && found.len() >= 24).then(|| Span::secret(at..at + found.len()))
}

pub(super) fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    find(bytes, wanted).is_some()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|there| there == wanted)
}
