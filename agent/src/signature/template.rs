//! What stands in all messages of one error: the text with what varies taken out.
//!
//! Why not a learning parser such as Drain: it merges lines by what came before them, so the same message gets another template on another
//! machine or in another order, and a fleet could not be counted. Here each line is judged alone, by rules that never change within a [`VERSION`].
//! The price is that a name without any mark (a plain word in a free sentence) stays; the rules below know the places where such names stand.

use deskside_proto::codes;

use super::shape::{self, Mask};

/// Of the rules. A change of any of them that changes identities takes a new number.
pub(super) const VERSION: &str = "1";

/// How much of a line is read, and how many parts it may have.
const BYTES_MAX: usize = 512;
const PARTS_MAX: usize = 64;

/// Longest text within quotation marks.
const QUOTED_BYTES_MAX: usize = 256;

/// Words before a number that make it a code, which says what went wrong.
const CODE_WORDS: &[&str] = &[
    "errno",
    "error",
    "err",
    "code",
    "status",
    "signal",
    "exit",
    "rc",
    "ret",
    "result",
    "returned",
    "errcode",
    "hresult",
    "ntstatus",
    "sqlstate",
    "exited",
    "sig",
    "http",
    "reason",
    "status_code",
    "reason_code",
    "exit_code",
    "error_code",
    "retcode",
];

/// Keys whose value says what happened rather than to whom.
const TELLING_KEYS: &[&str] = &[
    "result",
    "res",
    "reason",
    "state",
    "status",
    "type",
    "operation",
    "op",
    "class",
    "code",
    "errno",
    "error",
    "err",
    "exit",
    "event",
    "level",
    "severity",
    "oom_memcg_kind",
    "msg",
    "message",
    "exception",
    "denied_mask",
];

/// How the system's manager begins a sentence that ends with the name of what it is about.
const NAMING_LEADS: &[&str] = &[
    "Failed to start ",
    "Failed to stop ",
    "Failed to mount ",
    "Failed to unmount ",
    "Failed to listen on ",
    "Failed to activate ",
    "Dependency failed for ",
    "Timed out waiting for device ",
    "Started ",
    "Stopped ",
    "Starting ",
    "Stopping ",
    "Job ",
];

/// What it says before the number and name of a process.
const KILLING: &str = ": Killing process ";

/// A message without what varies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Template {
    /// For people: kinds of what varies in angle brackets.
    pub(super) text: String,
    /// For the identity: every kind is one.
    pub(super) essence: String,
    /// Codes that stayed, each with a blank after it.
    pub(super) codes: String,
    masked: Option<(usize, usize)>,
    parts: usize,
}

impl Template {
    /// The template of a message. What the system's manager says ends with names.
    pub(super) fn of(message: &str, from_manager: bool) -> Self {
        let mut template = Self::default();
        let mut telling = telling_lines(message);
        if let Some(first) = telling.next() {
            template.line(cut(first, BYTES_MAX), from_manager);
        }
        for line in telling {
            template.keep(" … ");
            template.line(cut(line, BYTES_MAX), from_manager);
        }
        for text in [&mut template.text, &mut template.essence] {
            text.truncate(text.trim_end_matches(|c: char| c.is_whitespace() || ".,:;!".contains(c)).len());
        }
        template
    }

    fn line(&mut self, line: &str, from_manager: bool) {
        let lead = NAMING_LEADS.iter().find(|lead| from_manager && line.starts_with(**lead));
        if let Some(lead) = lead {
            self.keep(lead);
            self.mask(shape::NAME);
            return;
        }
        // "cups.service: Killing process 812 (cupsd) with signal SIGKILL."
        let killing = line.split_once(KILLING).filter(|_parts| from_manager);
        if let Some((unit, (_process, how))) = killing.and_then(|(unit, rest)| Some((unit, rest.split_once(") ")?))) {
            self.walk(unit, 0);
            self.keep(KILLING);
            self.mask(shape::NAME);
            self.keep(" ");
            self.walk(how, 0);
            return;
        }
        self.walk(line, 0);
    }

    /// Word by word. Quoted texts are looked into once.
    fn walk(&mut self, line: &str, depth: u8) {
        let is_json = line.starts_with('{');
        let (mut rest, mut before) = (line, "");
        while let Some(first) = rest.chars().next() {
            if self.parts >= PARTS_MAX {
                return;
            }
            let passed = line.get(..line.len() - rest.len()).unwrap_or_default();
            if first.is_whitespace() {
                rest = rest.trim_start();
                self.keep(" ");
            } else if let Some((quoted, after)) = quoted(rest) {
                let is_key = is_json && after.starts_with(':');
                let is_value = passed.trim_end().ends_with(['=', ':']) || before == "result";
                let telling = is_key || is_value && shape::is_among(before, TELLING_KEYS);
                self.quoted(quoted, telling && depth == 0);
                before = if is_key { quoted } else { "" };
                rest = after;
            } else {
                let (word, after) = rest.split_at(word_end(rest));
                if is_name(passed, word, before, after) {
                    self.mask(shape::NAME);
                    before = "";
                } else {
                    before = self.word(word, before);
                }
                rest = after;
            }
        }
    }

    fn quoted(&mut self, quoted: &str, telling: bool) {
        let shouted = quoted.len() >= 3 && quoted.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        if telling || shouted {
            self.keep("\"");
            self.walk(quoted, 1);
            self.keep("\"");
        } else {
            self.mask(shape::TEXT);
        }
    }

    /// One word; answers what its last part is, for the word that follows.
    fn word<'a>(&mut self, word: &'a str, before: &'a str) -> &'a str {
        self.parts += 1;
        let bare = word.trim_matches(is_around);
        if !bare.is_empty()
            && let Some(mask) = shape::whole(bare)
        {
            let at = word.find(bare).unwrap_or_default();
            self.keep(word.get(..at).unwrap_or_default());
            self.mask(mask);
            self.keep(word.get(at + bare.len()..).unwrap_or_default());
            return "";
        }
        let (mut rest, mut before, mut key) = (word, before, "");
        while !rest.is_empty() {
            let ends: fn(char) -> bool = if key.is_empty() { is_separator } else { ends_value };
            let end = rest.find(ends).unwrap_or(rest.len());
            let (part, after) = rest.split_at(end);
            if !part.is_empty() {
                self.part(part, before, key);
                before = part;
            }
            let end = after.find(|c| !is_separator(c)).unwrap_or(after.len());
            let (separators, after) = after.split_at(end);
            key = if separators.starts_with('=') { part } else { "" };
            self.keep(separators);
            rest = after;
        }
        // "error: 3 files are missing" counts, where "error 3" and "code: 3" name.
        let counts = word.ends_with([':', ']']) && shape::is_among(before, &["error", "err", "result", "failed"]);
        if counts { "" } else { before.trim_end_matches('.') }
    }

    fn part(&mut self, part: &str, before: &str, key: &str) {
        let bare = part.trim_end_matches('.');
        let (mask, kept) = if is_code(bare, before) {
            self.codes.push_str(bare);
            self.codes.push(' ');
            (None, bare)
        } else if let Some(library) = shape::library(bare) {
            (None, library)
        } else if !key.is_empty() && !shape::is_among(key, TELLING_KEYS) {
            (Some(shape::VALUE), "")
        } else {
            (shape::part(bare, before), bare)
        };
        match mask {
            Some(mask) => self.mask(mask),
            None => self.keep(kept),
        }
        self.keep(part.get(bare.len()..).unwrap_or_default());
    }

    fn keep(&mut self, text: &str) {
        for into in [&mut self.text, &mut self.essence] {
            if !(text == " " && into.ends_with(' ')) {
                into.push_str(text);
            }
        }
    }

    /// A row of varying things is one, however long it is.
    fn mask(&mut self, mask: Mask) {
        if let Some((text, essence)) = self.masked
            && self.text.get(text..).is_some_and(|since| !since.contains(char::is_alphanumeric))
        {
            self.text.truncate(text);
            self.essence.truncate(essence);
            return;
        }
        self.text.push_str(mask);
        self.essence.push('\u{1}');
        self.masked = Some((self.text.len(), self.essence.len()));
    }
}

/// The first line, and of a stack trace the one that says what went wrong.
fn telling_lines(message: &str) -> impl Iterator<Item = &str> {
    let mut lines = message.lines().map(str::trim_end).filter(|line| !line.trim().is_empty());
    let first = lines.next();
    let told = if message.contains('\n') {
        let traced = first.is_some_and(|first| first.contains("Traceback"));
        let cause = |line: &&str| line.starts_with("Caused by: ") || traced && !line.starts_with(char::is_whitespace);
        lines.rfind(cause)
    } else {
        None
    };
    first.map(str::trim_start).into_iter().chain(told)
}

fn cut(line: &str, bytes_max: usize) -> &str {
    line.get(..line.floor_char_boundary(bytes_max)).unwrap_or(line)
}

/// A text in quotation marks at the beginning, and what follows it.
fn quoted(rest: &str) -> Option<(&str, &str)> {
    let mut chars = rest.chars();
    let open = chars.next()?;
    let closes: &[char] = match open {
        '"' => &['"'],
        '\'' => &['\''],
        '`' => &['`', '\''],
        '“' => &['”'],
        '‘' => &['’'],
        _ => return None,
    };
    let inside = chars.as_str();
    let mut ends = inside.match_indices(closes).take_while(|(at, _close)| *at <= QUOTED_BYTES_MAX);
    let (end, close) = ends.find(|(at, close)| {
        let after = inside.get(at + close.len()..).and_then(|after| after.chars().next());
        !after.is_some_and(char::is_alphanumeric) && !inside.get(..*at).is_some_and(|text| text.ends_with('\\'))
    })?;
    Some((inside.get(..end)?, inside.get(end + close.len()..)?))
}

/// Where a word ends: at a blank, or before a quotation mark that opens.
fn word_end(rest: &str) -> usize {
    let mut before = '\0';
    for (at, c) in rest.char_indices() {
        let opens =
            || matches!(c, '"' | '\'' | '`' | '“' | '‘') && matches!(before, '=' | '(' | '[' | '{' | ':' | ',' | '<');
        if c.is_whitespace() || at > 0 && opens() {
            return at;
        }
        before = c;
    }
    rest.len()
}

fn is_separator(c: char) -> bool {
    ends_value(c) || matches!(c, '=' | ':' | '*' | '!' | '?' | '&' | '#' | '%' | '+')
}

/// Punctuation around a word.
fn is_around(c: char) -> bool {
    matches!(
        c,
        '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | ',' | ';' | ':' | '.' | '!' | '?' | '"' | '\'' | '`' | '*'
    )
}

/// A value runs on over colons: "bssid=02:00:00:00:00:01".
fn ends_value(c: char) -> bool {
    matches!(c, ',' | ';' | '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | '|' | '"' | '\'' | '`')
}

/// A plain word at a place where names stand: "for anna from", and "anna : command not allowed".
fn is_name(passed: &str, word: &str, before: &str, after: &str) -> bool {
    let plain = || word.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '$' | '\\'));
    let named = matches!(before, "for" | "by") && after.trim_start().starts_with("from ");
    (named || after.starts_with(" : ") && passed.trim().is_empty()) && plain()
}

/// A number that says what went wrong.
fn is_code(part: &str, before: &str) -> bool {
    if let Some(hex) = part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
        return u32::from_str_radix(hex, 16).is_ok_and(codes::is_known_hex);
    }
    let digits = part.strip_prefix('-').unwrap_or(part);
    let number = digits.split('/').next().unwrap_or_default();
    let short = (1..=3).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    short && shape::is_among(before, CODE_WORDS)
}
