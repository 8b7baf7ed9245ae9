//! Words that a secret follows: `password=x`, `"token": "x"`, `--api-key x`, `Authorization: Bearer x`, `<secret>x</secret>`.

use std::ops::Range;

use super::text::{REPLACED_BYTES, Rule, Span, Trigger, is_replaced};

/// Blanks that may stand between a word and its value.
const BLANKS_MAX: usize = 4;

/// A value that prose puts after a weak word's colon is a secret only from this length on, and with a digit.
const WEAK_LENGTH_MIN: usize = 6;

/// `Bearer` and a token of this length need no digit.
const BEARER_LENGTH_MIN: usize = 20;

/// What kind of word it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Nothing but a secret follows it.
    Strong,
    /// The same, where it is a word of its own.
    Short,
    /// Prose uses it too.
    Weak,
    /// A header: the line's rest is secret.
    Header,
    /// An authorization scheme.
    Bearer,
    /// A field's name in quotes, whose value stands in quotes too.
    Quoted,
    /// A configuration's word at the beginning of a line, a blank and a value.
    Directive,
}

/// Words by what follows them and how they are read. All in lower case.
const WORDS: &[(Word, &str, &[&str])] = &[
    (Word::Header, "authorization header", &["authorization"]),
    (Word::Header, "cookie header", &["cookie:"]),
    (
        Word::Header,
        "key in a header",
        &[
            "x-api-key:",
            "x-auth-token:",
            "x-vault-token:",
            "x-gitlab-token:",
            "private-token:",
            "x-goog-api-key:",
            "x-amz-security-token:",
            "x-functions-key:",
            "x-csrf-token:",
            "x-xsrf-token:",
        ],
    ),
    (
        Word::Strong,
        "password",
        &["password", "passwd", "passwort", "kennwort", "mot_de_passe", "contrasena", "storepass", "keypass"],
    ),
    (Word::Strong, "passphrase", &["passphrase", "pass_phrase"]),
    (Word::Strong, "API key", &["api_key", "api-key", "apikey", "appkey", "app_key", "subscription-key"]),
    (Word::Strong, "access key", &["access_key", "access-key", "accesskey", "accountkey", "sharedaccesskey"]),
    (
        Word::Strong,
        "secret key",
        &[
            "secret_key",
            "secret-key",
            "secretkey",
            "master_key",
            "masterkey",
            "encryption_key",
            "signing_key",
            "key_base",
        ],
    ),
    (Word::Strong, "private key in a field", &["private_key", "private-key", "privatekey", "client-key-data"]),
    (
        Word::Strong,
        "pre-shared key",
        &["presharedkey", "preshared-key", "preshared_key", "pre-shared-key", "pre_shared_key"],
    ),
    (
        Word::Strong,
        "client secret",
        &["client_secret", "client-secret", "clientsecret", "app_secret", "appsecret", "consumer_secret"],
    ),
    (Word::Strong, "authentication key", &["auth_key", "authkey", "auth_pass", "authpass", "authtok"]),
    (Word::Strong, "access token", &["access_token", "access-token", "accesstoken"]),
    (Word::Strong, "refresh token", &["refresh_token", "refresh-token", "refreshtoken"]),
    (
        Word::Strong,
        "identity token",
        &["id_token", "id-token", "auth_token", "auth-token", "authtoken", "session_token", "session-token"],
    ),
    (Word::Strong, "SQL password", &["identified by"]),
    (
        Word::Strong,
        "signature of a signed URL",
        &["&sig", "?sig", "x-amz-signature", "x-goog-signature", "sharedaccesssignature"],
    ),
    (Word::Strong, "SAML assertion", &["samlresponse", "samlrequest", "saml_response"]),
    (Word::Strong, "connection string's key", &["sharedsecret", "shared_secret", "shared-secret"]),
    (Word::Strong, "webhook secret", &["webhook_secret", "webhook-secret", "hmac_key", "hmac_secret"]),
    (Word::Short, "password", &["pwd", "pass", "bindpw", "rootpw", "userpw"]),
    (Word::Short, "Wi-Fi key", &["psk", "wep_key", "wep-key0", "wep_key0", "sae_password"]),
    (
        Word::Short,
        "session",
        &["jsessionid", "phpsessid", "sessionid", "session_id", "asp.net_sessionid", "connect.sid", "_gitlab_session"],
    ),
    (Word::Short, "one-time password", &["otp", "totp", "mfa_code", "2fa_code"]),
    (Word::Short, "one-time code of OAuth", &["code_verifier", "device_code", "authorization_code"]),
    (Word::Weak, "token", &["token"]),
    (Word::Weak, "secret", &["secret"]),
    (Word::Weak, "credential", &["credential", "credentials"]),
    (Word::Weak, "SNMP community", &["community"]),
    (Word::Weak, "cookie", &["cookie"]),
    (Word::Weak, "PIN", &["pin code", "pincode", "puk"]),
    (Word::Bearer, "bearer token", &["bearer "]),
    (Word::Quoted, "registry login", &["\"auth\""]),
    (
        Word::Directive,
        "SNMP community",
        &["rocommunity", "rwcommunity", "rocommunity6", "rwcommunity6", "trapcommunity", "snmp-server community"],
    ),
    (
        Word::Directive,
        "password in a configuration",
        &["requirepass", "masterauth", "enable secret", "enable password", "bindpw", "rootpw"],
    ),
];

const SCHEMES: [&[u8]; 7] = [b"bearer", b"basic", b"digest", b"token", b"negotiate", b"ntlm", b"apikey"];

/// Values that say nothing.
const PLAIN: [&[u8]; 24] = [
    b"true",
    b"false",
    b"yes",
    b"no",
    b"null",
    b"none",
    b"nil",
    b"(null)",
    b"undefined",
    b"set",
    b"unset",
    b"required",
    b"expired",
    b"invalid",
    b"incorrect",
    b"missing",
    b"failed",
    b"ok",
    b"empty",
    b"hidden",
    b"redacted",
    b"enabled",
    b"disabled",
    b"%s",
];

pub(super) fn triggers() -> impl Iterator<Item = Trigger> {
    WORDS.iter().flat_map(|(word, kind, texts)| {
        texts.iter().map(|text| Trigger { text, any_case: true, kind, rule: Rule::Pair(*word) })
    })
}

/// The secret that follows a word.
pub(super) fn value(bytes: &[u8], at: usize, after: usize, word: Word) -> Option<Span> {
    let before = at.checked_sub(1).and_then(|before| bytes.get(before));
    let found = match word {
        Word::Header => header(bytes, after),
        Word::Bearer => bearer(bytes, after),
        Word::Quoted => quoted(bytes, after),
        Word::Directive => directive(bytes, at, after),
        Word::Short if before.is_some_and(u8::is_ascii_alphanumeric) => None,
        _ => pair(bytes, at, after, word),
    };
    found.filter(|range| !range.is_empty()).map(Span::secret)
}

/// From a place to the next blank; within quotes to the quote's end.
pub(super) fn until_blank(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let (at, quote) = opened(bytes, at);
    match quote {
        Some(quote) => Some(at..quoted_end(bytes, at, quote)),
        None => Some(at..at + bytes.get(at..)?.iter().take_while(|b| !b.is_ascii_whitespace()).count()),
    }
}

fn header(bytes: &[u8], after: usize) -> Option<Range<usize>> {
    let mut at = after;
    if bytes.get(after - 1) != Some(&b':') {
        let (separator, by_colon) = separator(bytes, after)?;
        if !by_colon && bytes.get(separator).is_none_or(u8::is_ascii_whitespace) {
            return None;
        }
        at = separator;
    }
    at += blanks(bytes, at);
    (at, _) = opened(bytes, at);
    let rest = bytes.get(at..)?;
    let scheme = SCHEMES.iter().find(|scheme| {
        rest.get(..scheme.len()).is_some_and(|there| there.eq_ignore_ascii_case(scheme))
            && rest.get(scheme.len()) == Some(&b' ')
    });
    at += scheme.map_or(0, |scheme| scheme.len() + 1);
    let rest = bytes.get(at..)?;
    // These two put quotes and blanks into the secret; of anything else the quote is the line's own.
    let spaced = scheme.is_some_and(|scheme| *scheme == b"digest") || rest.starts_with(b"AWS4-");
    let length = rest.iter().take_while(|b| !b"\r\n".contains(b) && (spaced || !b"\"'\\".contains(b))).count();
    let line = rest.get(..length)?;
    if scheme.is_some() || spaced || line.contains(&b'=') {
        return (!plain(line)).then_some(at..at + length);
    }
    // Prose: "authorization: denied by policy".
    let word = line.split(u8::is_ascii_whitespace).next()?;
    (word.len() >= WEAK_LENGTH_MIN && word.iter().any(u8::is_ascii_digit)).then_some(at..at + word.len())
}

fn bearer(bytes: &[u8], after: usize) -> Option<Range<usize>> {
    let rest = bytes.get(after..)?;
    let token = rest.get(..rest.iter().take_while(|b| b.is_ascii_alphanumeric() || b"._~+/=-".contains(b)).count())?;
    let likely =
        token.len() >= BEARER_LENGTH_MIN || (token.len() >= WEAK_LENGTH_MIN && token.iter().any(u8::is_ascii_digit));
    likely.then(|| after..after + token.len())
}

fn quoted(bytes: &[u8], after: usize) -> Option<Range<usize>> {
    let (start, _by_colon) = separator(bytes, after)?;
    let (begin, quote) = opened(bytes, start);
    let end = quoted_end(bytes, begin, quote?);
    (end >= begin + WEAK_LENGTH_MIN && !plain(bytes.get(begin..end)?)).then_some(begin..end)
}

fn directive(bytes: &[u8], at: usize, after: usize) -> Option<Range<usize>> {
    let line = bytes.get(..at)?.iter().rev().take_while(|b| **b != b'\n');
    let alone = line.clone().all(u8::is_ascii_whitespace);
    let blank = blanks(bytes, after);
    let range = until_blank(bytes, after + blank).filter(|_range| alone && blank > 0)?;
    (!plain(bytes.get(range.clone())?)).then_some(range)
}

fn pair(bytes: &[u8], at: usize, after: usize, word: Word) -> Option<Range<usize>> {
    let name = bytes.get(..at)?;
    // Services and programs that are called so: "pam_unix(gdm-password:session)".
    if name.ends_with(b"gdm-") || name.ends_with(b"ask-") {
        return None;
    }
    let after = after + bytes.get(after..)?.iter().take(3).take_while(|b| b.is_ascii_digit()).count();
    if bytes.get(after) == Some(&b'>') {
        let value = bytes.get(after + 1..)?;
        return Some(after + 1..after + 1 + value.iter().take_while(|b| **b != b'<').count());
    }
    let blank = blanks(bytes, after);
    let Some((start, by_colon)) = separator(bytes, after) else {
        // ipsec.secrets(5): `: PSK "…"`.
        let is_psk = bytes.get(at..after).is_some_and(|word| word.eq_ignore_ascii_case(b"psk"));
        let quoted = bytes.get(after + blank).is_some_and(|b| b"\"'".contains(b));
        let named = blank > 0 && (is_flag(name) || (quoted && (word == Word::Strong || is_psk)));
        let range = until_blank(bytes, after + blank).filter(|_range| named)?;
        let value = bytes.get(range.clone())?;
        return (value.first() != Some(&b'-') && !plain(value)).then_some(range);
    };
    let (begin, quote) = opened(bytes, start);
    let end = quote.map_or_else(|| bare_end(bytes, begin), |quote| quoted_end(bytes, begin, quote));
    let value = bytes.get(begin..end)?;
    let prose = word == Word::Weak && by_colon && quote.is_none() && start > after + 1;
    let likely = value.len() >= WEAK_LENGTH_MIN && value.iter().any(u8::is_ascii_digit);
    let count = word != Word::Strong && value.len() < 4 && value.iter().all(u8::is_ascii_digit);
    let folder = bytes.get(at..after) == Some(b"PWD") && value.first() == Some(&b'/');
    (!plain(value) && !folder && !count && (!prose || likely)).then_some(begin..end)
}

/// Where the value begins after `=`, `:`, `=>`, `:=` or `%3D`, and whether it was a colon. A quote may close the word before.
fn separator(bytes: &[u8], after: usize) -> Option<(usize, bool)> {
    let mut at = after;
    let mut closers = 0;
    while bytes.get(at).is_some_and(|b| b"\\\"'`".contains(b)) && closers < 3 {
        (at, closers) = (at + 1, closers + 1);
    }
    if bytes.get(at..at + 2) == Some(b"]=") {
        at += 1;
    }
    at += blanks(bytes, at);
    let rest = bytes.get(at..)?;
    let by_colon = match rest {
        [b':', b':', ..] | [b':', b'/', b'/', ..] => return None,
        [b':', ..] => true,
        [b'=', ..] => false,
        [b'%', b'3', b'D' | b'd' | b'A' | b'a', ..] => return Some((at + 3, false)),
        _ => return None,
    };
    at += 1;
    at += usize::from(bytes.get(at).is_some_and(|b| b"=>".contains(b)));
    Some((at + blanks(bytes, at), by_colon))
}

fn blanks(bytes: &[u8], at: usize) -> usize {
    bytes.iter().skip(at).take(BLANKS_MAX).take_while(|b| b" \t".contains(b)).count()
}

/// Past an opening quote, which may itself be escaped.
fn opened(bytes: &[u8], at: usize) -> (usize, Option<&[u8]>) {
    match bytes.get(at..) {
        Some([b'\\', quote @ (b'"' | b'\''), ..]) => (at + 2, Some(if *quote == b'"' { b"\\\"" } else { b"\\'" })),
        Some([b'"', ..]) => (at + 1, Some(b"\"")),
        Some([b'\'', ..]) => (at + 1, Some(b"'")),
        Some([b'`', ..]) => (at + 1, Some(b"`")),
        _ => (at, None),
    }
}

fn quoted_end(bytes: &[u8], begin: usize, quote: &[u8]) -> usize {
    let mut at = begin;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(quote) {
            return at;
        }
        at += if rest.first() == Some(&b'\\') && quote.len() == 1 { 2 } else { 1 };
    }
    bytes.len()
}

/// The end of a value without quotes: a blank, a quote, or what parts it from the next pair.
fn bare_end(bytes: &[u8], begin: usize) -> usize {
    let rest = bytes.get(begin..).unwrap_or_default();
    if rest.get(..REPLACED_BYTES).is_some_and(is_replaced) {
        return begin + REPLACED_BYTES;
    }
    let length = rest.iter().take_while(|b| !b.is_ascii_whitespace() && !b"\"'`&;<>".contains(b)).count();
    let value = rest.get(..length).unwrap_or_default();
    let comma = value.iter().position(|b| *b == b',');
    let parted = comma.filter(|comma| {
        value.get(comma + 1..).is_none_or(|next| next.is_empty() || next.iter().any(|b| b"=:".contains(b)))
    });
    let mut end = parted.unwrap_or(length);
    while end > 0 && value.get(end - 1).is_some_and(|b| b",)]}".contains(b)) {
        end -= 1;
    }
    begin + end
}

/// Whether the word is the end of a flag: `--`, `--db-`, `-`.
fn is_flag(name: &[u8]) -> bool {
    let word = name.iter().rev().take_while(|b| b.is_ascii_alphanumeric() || b"-_".contains(b)).count();
    let start = name.len() - word;
    name.get(start) == Some(&b'-') || (word == 0 && name.last() == Some(&b'-'))
}

/// Whether a value is no secret: a word of prose, stars, a variable's name, or what stands for a secret already.
fn plain(value: &[u8]) -> bool {
    let bare = value.strip_suffix(b".").unwrap_or(value);
    let variable = |rest: &[u8]| !rest.is_empty() && rest.iter().all(|b| b.is_ascii_uppercase() || b"_{}".contains(b));
    value.is_empty()
        || is_replaced(value)
        || PLAIN.iter().any(|plain| bare.eq_ignore_ascii_case(plain))
        || value.iter().all(|b| b"*.-<>()".contains(b))
        || value.strip_prefix(b"$").is_some_and(variable)
}
