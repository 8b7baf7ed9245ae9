//! Secrets that are known by their own form: tokens with a prefix, private keys, passwords in URLs, hashes of passwords.

use super::makers::SHAPES;
use super::text::{Rule, Span, Trigger};

/// Bytes of a URL's authority that are looked through.
const AUTHORITY_BYTES_MAX: usize = 1024;

/// A name without a password in a URL is taken for a token from this length on.
const USERINFO_TOKEN_MIN: usize = 20;

/// A body of this length has a digit, unless it is no token at all.
const LONG_MIN: usize = 24;

/// The form of a token: a prefix, then at least so many bytes of an alphabet.
#[derive(Debug)]
pub(super) struct Shape {
    /// What it is, in words.
    pub(super) kind: &'static str,
    pub(super) prefixes: &'static [&'static str],
    pub(super) min: usize,
    /// Beside letters and digits.
    pub(super) also: &'static [u8],
    pub(super) dots_min: usize,
    /// Of letters and digits the hexadecimal alone.
    pub(super) hex: bool,
}

pub(super) fn triggers() -> impl Iterator<Item = Trigger> {
    let each = |shape: &'static Shape| {
        let of =
            move |text: &&'static str| Trigger { text, any_case: false, kind: shape.kind, rule: Rule::Token(shape) };
        shape.prefixes.iter().map(of)
    };
    SHAPES.iter().flat_map(each)
}

/// The token whose prefix stands at a place.
pub(super) fn token(bytes: &[u8], at: usize, after: usize, shape: &Shape) -> Option<Span> {
    let letter = |b: &u8| if shape.hex { b.is_ascii_hexdigit() } else { b.is_ascii_alphanumeric() };
    let inner = |b: &u8| letter(b) || shape.also.contains(b);
    let begins_with_letter = bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
    if begins_with_letter
        && at.checked_sub(1).and_then(|before| bytes.get(before)).is_some_and(u8::is_ascii_alphanumeric)
    {
        return None;
    }
    let body = bytes.get(after..)?;
    let mut length = body.iter().take_while(|b| inner(b)).count();
    while length > 0 && body.get(length - 1).is_some_and(|b| b".-".contains(b)) {
        length -= 1;
    }
    let found = body.get(..length)?;
    let dots = found.split(|b| *b == b'.').count() - 1;
    // A word of nothing but letters and marks is a name: `secret_management_for_everybody`.
    let mixed = shape.min < LONG_MIN || found.iter().any(u8::is_ascii_digit);
    (length >= shape.min && dots >= shape.dots_min && mixed).then(|| Span::secret(at..after + length))
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

/// What follows the header of a `PuTTY` key's private part, to its end.
pub(super) fn putty(bytes: &[u8], after: usize) -> Option<Span> {
    let rest = bytes.get(after..)?;
    let end = find(rest, b"Private-MAC").unwrap_or(rest.len());
    let begin = rest.iter().take(8).take_while(|b| b.is_ascii_digit() || **b == b' ').count();
    (end > begin).then(|| Span::secret(after + begin..after + end))
}

/// A client secret of Microsoft Entra: `Q~` behind three or four letters, and some thirty more after it.
pub(super) fn entra(bytes: &[u8], at: usize, after: usize) -> Option<Span> {
    let inner = |b: &u8| b.is_ascii_alphanumeric() || b"_~.-".contains(b);
    let before = bytes.get(..at)?.iter().rev().take_while(|b| inner(b)).count();
    let behind = bytes.get(after..)?.iter().take_while(|b| inner(b)).count();
    ((3..=6).contains(&before) && (30..=40).contains(&behind)).then(|| Span::secret(at - before..after + behind))
}

/// The password of a line of netrc(5): `machine H login U password P`.
pub(super) fn netrc(bytes: &[u8], after: usize) -> Option<Span> {
    let mut words = words(bytes, after);
    let (_host, login, _user) = (words.next()?, words.next()?, words.next()?);
    let (password, secret) = (words.next()?, words.next()?);
    let known = bytes.get(login)? == b"login" && bytes.get(password)? == b"password";
    known.then(|| Span::secret(secret))
}

/// The password in `sqlplus user/password@place`.
pub(super) fn oracle(bytes: &[u8], after: usize) -> Option<Span> {
    let login = words(bytes, after).find(|word| bytes.get(word.clone()).is_some_and(|word| !word.starts_with(b"-")))?;
    let word = bytes.get(login.clone())?;
    let slash = word.iter().position(|b| *b == b'/').filter(|slash| *slash > 0)?;
    let end = word.iter().rposition(|b| *b == b'@').unwrap_or(word.len());
    (end > slash + 1).then(|| Span::secret(login.start + slash + 1..login.start + end))
}

fn words(bytes: &[u8], mut at: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    std::iter::from_fn(move || {
        at += bytes.get(at..)?.iter().take_while(|b| b.is_ascii_whitespace()).count();
        let length = bytes.get(at..)?.iter().take_while(|b| !b.is_ascii_whitespace()).count();
        at += length;
        (length > 0).then(|| at - length..at)
    })
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
