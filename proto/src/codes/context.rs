//! Codes within a message. A number is a code only where the words beside it say so: "28 pages" is not ENOSPC.

use super::tables::{self, Table};
use super::{Meaning, inner_win32, number, signal_of_exit};

/// How much of a message is read.
const BYTES_MAX: usize = 2048;

/// Most meanings that one message is given.
const MEANINGS_MAX: usize = 8;

/// Error texts of the C library and the code that they stand for.
const PHRASES: &[(&str, &str)] = &[
    ("no space left on device", "ENOSPC"),
    ("permission denied", "EACCES"),
    ("operation not permitted", "EPERM"),
    ("no such file or directory", "ENOENT"),
    ("connection refused", "ECONNREFUSED"),
    ("connection reset by peer", "ECONNRESET"),
    ("connection timed out", "ETIMEDOUT"),
    ("no route to host", "EHOSTUNREACH"),
    ("network is unreachable", "ENETUNREACH"),
    ("read-only file system", "EROFS"),
    ("input/output error", "EIO"),
    ("cannot allocate memory", "ENOMEM"),
    ("too many open files in system", "ENFILE"),
    ("too many open files", "EMFILE"),
    ("device or resource busy", "EBUSY"),
    ("disk quota exceeded", "EDQUOT"),
    ("address already in use", "EADDRINUSE"),
    ("broken pipe", "EPIPE"),
    ("stale file handle", "ESTALE"),
    ("structure needs cleaning", "EUCLEAN"),
    ("clock skew too great", "KRB_AP_ERR_SKEW"),
];

/// A word, and the words before it in lower case, the nearest first.
struct Place<'a> {
    word: &'a str,
    before: [String; 3],
    /// The message in lower case.
    whole: &'a str,
}

impl Place<'_> {
    /// These words stand before it, in their order.
    fn follows(&self, words: &[&str]) -> bool {
        words.iter().rev().zip(&self.before).all(|(word, before)| word == before)
    }

    fn follows_any(&self, all: &[&[&str]]) -> bool {
        all.iter().any(|words| self.follows(words))
    }

    fn tells_of(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.whole.contains(word))
    }
}

/// The codes that a message names, in its order, each once.
pub fn find(message: &str) -> Vec<Meaning> {
    let message = message.get(..message.floor_char_boundary(BYTES_MAX)).unwrap_or(message);
    let lower = message.to_ascii_lowercase();
    let mut found: Vec<Meaning> = Vec::new();
    let mut before: [String; 3] = Default::default();
    for word in words(message) {
        let place = Place { word, before, whole: &lower };
        for meaning in look(&place) {
            if found.len() < MEANINGS_MAX && !found.contains(&meaning) {
                found.push(meaning);
            }
        }
        let [first, second, _third] = place.before;
        before = [word.to_ascii_lowercase(), first, second];
    }
    let mut said = lower.clone();
    for (phrase, name) in PHRASES {
        if found.len() < MEANINGS_MAX && said.contains(phrase) {
            // "too many open files in system" is not "too many open files" as well.
            said = said.replace(phrase, "");
            let meaning = super::named(name).filter(|meaning| !found.contains(meaning));
            found.extend(meaning);
        }
    }
    found
}

/// Words of letters, digits and what joins them. A sign belongs to its number.
fn words(message: &str) -> impl Iterator<Item = &str> {
    let inside = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    message.split(move |c: char| !inside(c)).map(|word| word.trim_matches('.')).filter(|word| !word.is_empty())
}

fn look(place: &Place<'_>) -> Vec<Meaning> {
    match number(place.word) {
        Some((number, true)) => hexadecimal(place, number),
        Some((number, false)) => decimal(place, number),
        None => name(place).into_iter().collect(),
    }
}

/// A name that stands for itself: `ENOSPC`, `SIGSEGV`, `STATUS_ACCESS_DENIED`.
fn name(place: &Place<'_>) -> Option<Meaning> {
    let word = place.word;
    if place.follows(&["result"]) {
        return tables::RESULT.named(word);
    }
    let shouted = word.len() >= 3 && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if !shouted {
        return word.contains("-error-").then(|| tables::IPP.named(word)).flatten();
    }
    if word.starts_with('E') && !word.contains('_') {
        return tables::ERRNO.named(word);
    }
    if word.starts_with("SIG") {
        return tables::SIGNAL.named(word);
    }
    let spoken =
        [&tables::NTSTATUS, &tables::HRESULT, &tables::WIN32, &tables::KERBEROS, &tables::BUGCHECK, &tables::CUPS];
    word.contains('_').then(|| spoken.into_iter().find_map(|table| table.named(word))).flatten()
}

fn hexadecimal(place: &Place<'_>, number: i64) -> Vec<Meaning> {
    if place.tells_of(&["bugcheck", "bug check", "stop code", "stop:", "blue screen"]) {
        return tables::BUGCHECK.meaning(number).into_iter().collect();
    }
    if place.word.len() == "0x0406".len() {
        let told = place.tells_of(&["ipp", "status-code", "cups"]);
        return told.then(|| tables::IPP.meaning(number)).flatten().into_iter().collect();
    }
    // Small numbers in hexadecimal are everywhere; those with a severity are not.
    if number >> 28 == 0 {
        return Vec::new();
    }
    let table = |table: &Table| table.meaning(number);
    table(&tables::HRESULT).or_else(|| inner_win32(number)).or_else(|| table(&tables::NTSTATUS)).into_iter().collect()
}

fn decimal(place: &Place<'_>, number: i64) -> Vec<Meaning> {
    let one = |table: &Table| table.meaning(number).into_iter().collect();
    if number < 0 {
        let told = ["error", "err", "errno", "ret", "rc", "status", "failed", "returned", "code", "with", "failure"];
        let told = place.before.first().is_some_and(|before| told.contains(&before.as_str()));
        return told.then(|| tables::ERRNO.meaning(-number)).flatten().into_iter().collect();
    }
    if place.follows_any(&[&["errno"], &["os", "error"], &["errno", "is"], &["errno", "code"]]) {
        return one(&tables::ERRNO);
    }
    if place.follows_any(&[&["signal"], &["sig"], &["signal", "number"]]) {
        return one(&tables::SIGNAL);
    }
    if place.follows(&["status"]) && place.tells_of(&["code=killed", "code=dumped"]) {
        return one(&tables::SIGNAL);
    }
    if place.follows_any(&[&["backend", "returned", "status"], &["backend", "exit", "status"]]) {
        return one(&tables::CUPS);
    }
    if is_exit(place) {
        return one(&tables::EXIT).into_iter().chain(signal_of_exit(number)).collect();
    }
    if (100..600).contains(&number) && is_http(place) {
        return one(&tables::HTTP);
    }
    if place.tells_of(&["smart"]) && place.follows_any(&[&["attribute"], &["attribute", "id"]]) {
        return one(&tables::SMART);
    }
    if place.tells_of(&["krb", "kerberos", "kdc"]) && place.follows_any(&[&["error"], &["error", "code"], &["code"]]) {
        return one(&tables::KERBEROS);
    }
    if place.follows_any(&[&["alert", "number"], &["tls", "alert"], &["ssl", "alert"], &["tls_alert"]]) {
        return one(&tables::TLS);
    }
    let radio = ["deauth", "disassoc", "ctrl-event", "wlan", "wlp", "802.11", "wi-fi"];
    if place.tells_of(&radio) && place.follows_any(&[&["reason"], &["reason", "code"]]) {
        return one(&tables::WIFI);
    }
    if place.follows_any(&[&["win32", "error"], &["win32"], &["getlasterror"], &["lasterror"], &["winerror"]]) {
        return one(&tables::WIN32);
    }
    Vec::new()
}

fn is_exit(place: &Place<'_>) -> bool {
    let ways: &[&[&str]] = &[
        &["exit", "status"],
        &["exit", "code"],
        &["exit-code"],
        &["exit_code"],
        &["exitcode"],
        &["exited", "with"],
        &["with", "status"],
        &["exited", "with", "code"],
        &["exited", "status"],
        &["exited", "with", "status"],
        &["return", "code"],
    ];
    place.follows_any(ways) || place.follows(&["status"]) && place.tells_of(&["code=exited"])
}

fn is_http(place: &Place<'_>) -> bool {
    let ways: &[&[&str]] = &[
        &["http"],
        &["http", "status"],
        &["http", "error"],
        &["http", "code"],
        &["status", "code"],
        &["http", "status", "code"],
        &["response", "code"],
        &["response", "status"],
        &["returned", "error"],
    ];
    let protocol = |before: &String| ["1.0", "1.1", "2", "2.0", "3"].contains(&before.as_str());
    let versioned =
        place.before.first().is_some_and(protocol) && place.before.get(1).is_some_and(|word| word == "http");
    versioned || place.follows_any(ways) && place.tells_of(&["http", "url", "response", "request"])
}
