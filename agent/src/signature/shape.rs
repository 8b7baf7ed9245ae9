//! What a part of a message is: a word that stays, or something that varies, and of which kind.

use std::net::IpAddr;

/// What stands in the place of a part that varies.
pub(super) type Mask = &'static str;

pub(super) const NUMBER: Mask = "<num>";
pub(super) const VALUE: Mask = "<value>";
pub(super) const TEXT: Mask = "<str>";
pub(super) const NAME: Mask = "<name>";
const HEX: Mask = "<hex>";
const PATH: Mask = "<path>";
const URL: Mask = "<url>";
const MAIL: Mask = "<mail>";
const IP: Mask = "<ip>";
const MAC: Mask = "<mac>";
const GUID: Mask = "<guid>";
const TIME: Mask = "<time>";
const PERSON: Mask = "<person>";
const SECRET: Mask = "<secret>";
const DEVICE: Mask = "<dev>";

/// Words with a digit that are words all the same.
const WORDS: &[&str] = &[
    "ext2", "ext3", "ext4", "ipv4", "ipv6", "ip6", "utf8", "utf16", "sha1", "sha256", "sha512", "md5", "x509", "x86",
    "amd64", "arm64", "i915", "i8042", "i2c", "e1000e", "r8169", "cfg80211", "mac80211", "nl80211", "http2", "oauth2",
    "krb5", "gssapi3", "log4j", "base64", "v4l2", "bluez5", "gtk3", "gtk4", "dbus1", "pkcs11", "pkcs12", "libx11",
    "x11", "xdg0", "l2tp", "ike2", "ikev2", "p2p", "wpa2", "wpa3", "usb2", "usb3", "pcie3", "sse2", "s3", "ec2", "k8s",
    "gcm256", "tls1", "d3d", "2fa", "oom2", "dhcp4", "dhcp6", "dhcpv4", "dhcpv6",
];

/// Words after which a person, machine or thing is named, and words that show that it is not.
const NAMING: &[&str] = &[
    "user",
    "username",
    "account",
    "host",
    "hostname",
    "ruser",
    "rhost",
    "principal",
    "workgroup",
    "ssid",
    "customer",
    "task",
    "comm",
];
const NOT_NAMED: &[&str] = &[
    "is",
    "was",
    "not",
    "has",
    "had",
    "name",
    "unknown",
    "and",
    "or",
    "does",
    "did",
    "session",
    "process",
    "manager",
    "service",
    "account",
    "cannot",
    "can't",
    "could",
    "key",
    "keys",
    "in",
    "on",
    "at",
    "to",
    "from",
    "failed",
    "denied",
    "by",
    "of",
    "for",
    "with",
    "authentication",
    "database",
    "agent",
    "input",
    "error",
    "data",
    "controller",
    "system",
    "bus",
    "bridge",
    "mode",
    "list",
    "unreachable",
    "down",
];

/// A whole word without the punctuation around it, where it is one thing.
pub(super) fn whole(word: &str) -> Option<Mask> {
    let bytes = word.as_bytes();
    let first = *bytes.first()?;
    let marks = Marks::of(bytes);
    if marks.slashes > 0 && marks.colons > 0 && word.contains("://") {
        return Some(URL);
    }
    // A pair is looked at in its parts.
    if marks.equals {
        return None;
    }
    if is_time(bytes) {
        return Some(TIME);
    }
    if is_path(word, &marks) {
        return Some(PATH);
    }
    if marks.at && first != b'@' && !word.ends_with('@') {
        return Some(MAIL);
    }
    if marks.colons >= 2 {
        if is_mac(word) {
            return Some(MAC);
        }
        if word.split_once('%').map_or(word, |(address, _zone)| address).parse::<IpAddr>().is_ok() {
            return Some(IP);
        }
    }
    (marks.digits > 0 && is_guid(bytes)).then_some(GUID)
}

/// How many there are of the characters that tell what a word is. Why at once: every word of every error is asked for all of them.
#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    digits: usize,
    slashes: usize,
    colons: usize,
    at: bool,
    equals: bool,
    dots: bool,
}

impl Marks {
    fn of(bytes: &[u8]) -> Self {
        let mut marks = Self::default();
        for byte in bytes {
            match byte {
                b'0'..=b'9' => marks.digits += 1,
                b'/' => marks.slashes += 1,
                b':' => marks.colons += 1,
                b'@' => marks.at = true,
                b'=' => marks.equals = true,
                b'.' => marks.dots = true,
                _ => {}
            }
        }
        marks
    }
}

/// A part between separators. `before` is the word before it.
pub(super) fn part(part: &str, before: &str) -> Option<Mask> {
    let bytes = part.as_bytes();
    let marks = Marks::of(bytes);
    if is_path(part, &marks) {
        return Some(PATH);
    }
    if let Some(mask) = pseudonym(part) {
        return Some(mask);
    }
    if is_among(before, NAMING) && !is_among(part, NOT_NAMED) && bytes.first().is_some_and(u8::is_ascii_alphanumeric) {
        return Some(NAME);
    }
    if marks.digits == 0 {
        return letters(part);
    }
    if is_word(part) {
        return None;
    }
    Some(match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
        Some(_hex) => HEX,
        None if part.parse::<IpAddr>().is_ok() => IP,
        None if marks.digits == bytes.len() => NUMBER,
        None if bytes.len() >= 6 && bytes.iter().all(u8::is_ascii_hexdigit) => HEX,
        None if bytes.first().is_some_and(u8::is_ascii_digit) => NUMBER,
        None => NAME,
    })
}

/// The part of a library's name that is the same in all versions: "libssl.so.3" is libssl.so.
pub(super) fn library(part: &str) -> Option<&str> {
    let end = part.as_bytes().windows(".so".len()).position(|there| there == b".so")? + ".so".len();
    let rest = part.get(end..)?;
    let stem = part.get(..end).filter(|stem| stem.len() > ".so".len() && !stem.contains('/'));
    stem.filter(|_stem| rest.is_empty() || rest.starts_with('.'))
}

/// A part of letters alone.
fn letters(part: &str) -> Option<Mask> {
    if is_block_device(part) {
        return Some(DEVICE);
    }
    let (before, last) = part.rsplit_once('.')?;
    // A class or an error is what went wrong; a file, a host or a unit is whom it happened to.
    let class =
        last.chars().next().is_some_and(char::is_uppercase) || last.ends_with("Error") || last.ends_with("Exception");
    let dotted = before.ends_with(char::is_alphanumeric)
        && last.len() >= 2
        && last.chars().all(|c| c.is_alphanumeric() || c == '_');
    (dotted && !class).then_some(NAME)
}

fn is_word(part: &str) -> bool {
    let pieces = part.split(['-', '_']).filter(|piece| piece.bytes().any(|b| b.is_ascii_digit()));
    let mut pieces = pieces.peekable();
    pieces.peek().is_some() && pieces.all(|piece| is_among(piece, WORDS))
}

pub(super) fn is_among(word: &str, words: &[&str]) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// sda, vdb, xvdc.
fn is_block_device(part: &str) -> bool {
    let letter = part.strip_prefix("xvd").or_else(|| part.strip_prefix("sd")).or_else(|| part.strip_prefix("vd"));
    letter.is_some_and(|rest| rest.len() == 1 && rest.bytes().all(|b| matches!(b, b'a'..=b'j')))
}

/// What the agent has put in the place of a person or a secret.
fn pseudonym(part: &str) -> Option<Mask> {
    let (what, letters) = part.split_once('-')?;
    let tagged = letters.len() >= 6 && letters.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    match what {
        "secret" if tagged => Some(SECRET),
        "person" | "mail" | "host" | "ip" | "mac" if tagged => Some(PERSON),
        _ => None,
    }
}

fn is_path(word: &str, marks: &Marks) -> bool {
    match word.as_bytes() {
        [b'/', next, ..] if *next != b'/' => true,
        [b'~' | b'.', b'/', ..] | [b'.', b'.', b'/', ..] | [b'\\', b'\\' | b'_', ..] => true,
        [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic() => true,
        [first, ..] if first.is_ascii_alphanumeric() && marks.slashes > 0 => {
            // "HTTP/1.1" is a word, and so is "read/write".
            (marks.slashes >= 2 || marks.dots || marks.digits > 0)
                && !word.starts_with("HTTP/")
                && !word.starts_with("I/O")
        }
        _ => false,
    }
}

fn is_mac(word: &str) -> bool {
    word.len() == 17 && word.split(':').all(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn is_guid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// A clock's or a calendar's: 10:11:12, 2026-11-22, 2026-11-22T10:11:12Z.
fn is_time(bytes: &[u8]) -> bool {
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let clock = digit(0) && digit(1) && bytes.get(2) == Some(&b':') && digit(3) && digit(4);
    let date = (0..4).all(digit) && matches!(bytes.get(4), Some(b'-' | b'/')) && digit(5) && digit(6);
    clock || date
}
