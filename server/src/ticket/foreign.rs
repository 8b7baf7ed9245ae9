//! A ticket as the help desk has it, bounded: whatever stands there, no more than this is carried on.

use std::collections::BTreeMap;

/// Longest text of one line: titles, names, values of fields.
const LINE_CHARS_MAX: usize = 200;

/// Longest text of a ticket.
const TEXT_CHARS_MAX: usize = 20_000;

/// Fields, and assets, of one ticket.
const FIELDS_MAX: usize = 100;

/// Whoever asked for help.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// As a person writes it.
    pub name: String,
    /// Mail address.
    pub mail: String,
    /// Login.
    pub login: String,
}

/// A ticket there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foreign {
    /// Its identity there, as requests need it.
    pub id: String,
    /// Its number as people say it, where that is another one; else empty.
    pub number: String,
    /// One line.
    pub title: String,
    /// What was reported, as plain text.
    pub text: String,
    /// Who asked for help.
    pub requester: Person,
    /// The queue, group, project or level that has it.
    pub place: String,
    /// What it is about, as the system sorts it: category, type, topic; empty where it does not.
    pub category: String,
    /// Where it stands, in the system's own word.
    pub status: String,
    /// It stands where the configuration says that level 2 has it.
    pub escalated: bool,
    /// Devices that the ticket itself names: assets, configuration items.
    pub assets: Vec<String>,
    /// Custom fields, by name.
    pub fields: BTreeMap<String, String>,
    /// Where a person opens it.
    pub url: String,
    /// When it last changed, the help desk's clock; 0 if it does not say.
    pub changed_ms: i64,
}

impl Foreign {
    /// Within the bounds, control characters taken out. Every adapter's answer goes through here.
    #[must_use]
    pub fn bounded(self) -> Self {
        let fields = self.fields.iter().take(FIELDS_MAX).map(|(name, value)| (line(name), line(value)));
        Self {
            id: line(&self.id),
            number: line(&self.number),
            title: line(&self.title),
            text: text(&self.text),
            requester: Person {
                name: line(&self.requester.name),
                mail: line(&self.requester.mail),
                login: line(&self.requester.login),
            },
            place: line(&self.place),
            category: line(&self.category),
            status: line(&self.status),
            escalated: self.escalated,
            assets: self.assets.iter().take(FIELDS_MAX).map(|asset| line(asset)).collect(),
            fields: fields.collect(),
            url: line(&self.url),
            changed_ms: self.changed_ms,
        }
    }
}

/// One line: no control characters, no longer than its bound.
fn line(text: &str) -> String {
    let kept = text.chars().take(LINE_CHARS_MAX * 4).map(|c| if c.is_control() { ' ' } else { c });
    let kept: String = kept.filter(|c| !hidden(*c)).take(LINE_CHARS_MAX).collect();
    kept.trim().to_owned()
}

/// Text of many lines within its bound; what was cut is said.
fn text(text: &str) -> String {
    let kept = text.chars().filter(|c| (!c.is_control() || matches!(c, '\n' | '\t')) && !hidden(*c));
    let mut bounded: String = kept.take(TEXT_CHARS_MAX).collect();
    if text.len() > bounded.len() && text.chars().nth(TEXT_CHARS_MAX).is_some() {
        bounded.push_str("\n(cut here; the help desk has the rest)");
    }
    bounded.trim().to_owned()
}

/// Characters that turn the direction of text or are not seen at all.
fn hidden(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_ticket_is_cut_and_says_so() {
        let huge = Foreign { title: "x".repeat(1 << 20), text: "y".repeat(4 << 20), ..Foreign::default() }.bounded();
        assert_eq!(huge.title.len(), LINE_CHARS_MAX);
        assert!(huge.text.len() < TEXT_CHARS_MAX + 100 && huge.text.ends_with("the rest)"));
    }

    #[test]
    fn what_would_play_tricks_on_a_terminal_is_taken_out() {
        let odd =
            Foreign { title: "a\u{1b}[31mb\nc\u{202e}d".into(), text: "l1\r\nl2\u{7}".into(), ..Foreign::default() };
        let plain = odd.bounded();
        assert_eq!((plain.title.as_str(), plain.text.as_str()), ("a [31mb cd", "l1\nl2"));
    }
}
