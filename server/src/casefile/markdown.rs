//! The case file as Markdown (`CommonMark` with tables), for a ticket's note and beside its evidence.
//!
//! Why everything is escaped: titles, notes, names and logs are other people's words, and must not become links, pictures, headings or HTML.

use deskside_proto::show;
use deskside_proto::v1::{CaseDevice, CaseFamily, CaseFile, Finding, Moment};

use super::wording;

/// The page.
pub fn markdown(file: &CaseFile) -> String {
    let ticket = file.ticket.clone().unwrap_or_default();
    let mut page = Page::default();
    page.line(format!("# Ticket {}: {}", ticket.number, safe(&ticket.title)));
    page.gap();
    page.line(format!("{}. {}.", safe(&wording::standing(&ticket, file.made_ms)), safe(&wording::made(file))));
    page.gap();
    for line in ticket.description.lines().filter(|line| !line.trim().is_empty()) {
        page.line(format!("> {}  ", safe(line)));
    }
    wrong(&mut page, file);
    page.heading("What changed in the 24 hours before");
    moments(&mut page, file, &file.before, "nothing is known to have changed");
    page.heading("Timeline since the ticket was opened");
    moments(&mut page, file, &file.timeline, "nothing yet");
    for device in &file.devices {
        families(&mut page, device, file.made_ms);
    }
    list(&mut page, "What is missing, and why", &file.missing);
    collections(&mut page, file);
    evidence(&mut page, file);
    list(&mut page, "Left out for want of room", &file.left_out);
    page.text
}

/// Text that grows line by line.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    fn gap(&mut self) {
        self.text.push('\n');
    }

    fn heading(&mut self, heading: &str) {
        self.line(format!("\n## {heading}\n"));
    }
}

fn wrong(page: &mut Page, file: &CaseFile) {
    page.heading("What is wrong");
    let mut any = false;
    for device in &file.devices {
        let name = device.device.as_ref().map(|device| device.name.clone()).unwrap_or_default();
        for finding in
            device.families.iter().flat_map(|family| &family.findings).filter(|found| found.severity != "notice")
        {
            any = true;
            let whose = if wording::many(file) { format!("{}: ", safe(&name)) } else { String::new() };
            page.line(format!("- **{}** {whose}{}", safe(&finding.severity), safe(&finding.title)));
            words(page, finding, file.made_ms);
        }
    }
    if !any {
        page.line("Nothing was found wrong in what could be seen; what was not seen is said below.");
    }
}

fn words(page: &mut Page, finding: &Finding, made_ms: i64) {
    let facts: Vec<String> = finding
        .proof
        .iter()
        .filter(|fact| !matches!(fact.value.as_str(), "" | "-"))
        .map(|fact| format!("{} {}", fact.name, fact.value))
        .collect();
    let read = if finding.at_ms == 0 { String::new() } else { format!(", read {}", show::age(finding.at_ms, made_ms)) };
    page.line(format!("  - proof: {} ({}{read})", safe(&facts.join(" · ")), safe(&finding.table)));
    for (label, text) in [("cause", &finding.cause), ("next", &finding.next_step)] {
        if !text.is_empty() {
            page.line(format!("  - {label}: {}", safe(text)));
        }
    }
}

fn moments(page: &mut Page, file: &CaseFile, moments: &[Moment], none: &str) {
    if moments.is_empty() {
        page.line(none);
        return;
    }
    page.line("| when | what | of | |");
    page.line("|---|---|---|---|");
    for moment in moments {
        let bad = if matches!(wording::tone(moment), "critical" | "warning") { "**" } else { "" };
        let mut text = format!("{bad}{}{bad}", safe(&moment.text));
        let repeated = wording::repeated(moment);
        if !repeated.is_empty() {
            text = format!("{text} ({})", safe(&repeated));
        }
        for detail in &moment.details {
            text = format!("{text}<br>{}", safe(detail));
        }
        let when = show::time(moment.at_ms, file.made_ms);
        let source = wording::source(moment, wording::many(file));
        page.line(format!("| {} | {} | {} | {text} |", safe(&when), wording::label(moment.kind()), safe(&source)));
    }
}

fn families(page: &mut Page, device: &CaseDevice, made_ms: i64) {
    let of = device.device.clone().unwrap_or_default();
    page.heading(&format!("{}: {}", safe(&of.name), safe(&wording::presence(&of, made_ms))));
    for family in &device.families {
        heading(page, family, made_ms);
        for told in &family.told {
            for line in &told.lines {
                page.line(format!("- {}: {}", safe(&told.table), safe(line)));
            }
        }
    }
}

fn heading(page: &mut Page, family: &CaseFamily, made_ms: i64) {
    let seen = wording::seen(family.whole, family.tables, family.as_of_ms, made_ms);
    page.line(format!("\n### {}: {}\n\n{}.\n", wording::family(family.family()), safe(&family.verdict), safe(&seen)));
    for finding in family.findings.iter().filter(|finding| finding.severity == "notice") {
        page.line(format!("- notice: {}", safe(&finding.title)));
    }
}

fn list(page: &mut Page, heading: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    page.heading(heading);
    for line in lines {
        page.line(format!("- {}", safe(line)));
    }
}

fn collections(page: &mut Page, file: &CaseFile) {
    if file.collections.is_empty() {
        return;
    }
    page.heading("Collections");
    for (place, collection) in file.collections.iter().enumerate() {
        let device = collection.device.as_ref().map(|device| device.name.as_str()).unwrap_or_default();
        let what = wording::collection(collection, file.made_ms);
        page.line(format!(
            "{}. {} **{}** {}: {}",
            place + 1,
            safe(device),
            safe(&collection.state),
            safe(&what),
            safe(&collection.note)
        ));
    }
}

fn evidence(page: &mut Page, file: &CaseFile) {
    if file.evidence.is_empty() {
        return;
    }
    page.heading("Evidence and custody");
    for item in &file.evidence {
        let size = show::bytes(item.size as f64);
        page.line(format!("- {} ({size}), SHA-256 `{}`", safe(&item.name), hex(&item.sha256)));
        for entry in &item.custody {
            let words = format!("{} {} {}: {}", show::clock(entry.at_ms), entry.who, entry.what, entry.text);
            page.line(format!("  - {}", safe(&words)));
        }
    }
}

/// A hash and nothing else.
fn hex(text: &str) -> String {
    text.chars().filter(char::is_ascii_hexdigit).collect()
}

/// Text that is read as it stands: on one line, and no mark of Markdown or HTML.
fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in readable(text).chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '#' | '|' | '~' | '!' | '$' | '@' | ':' => {
                safe.extend(['\\', letter]);
            }
            other => safe.push(other),
        }
    }
    // What would begin a list, a rule or a heading where a line begins with it.
    match safe.chars().next() {
        Some('-' | '+' | '=') => format!("\\{safe}"),
        Some('0'..='9') => safe.replacen(". ", "\\. ", 1).replacen(") ", "\\) ", 1),
        _ => safe,
    }
}

/// Text without what steers a screen: control characters become blanks, and turns of the writing direction go.
pub(super) fn readable(text: &str) -> String {
    let turns = |c: &char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    show::printable(text).chars().filter(|c| !turns(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_peoples_words_are_words_and_no_marks() {
        assert_eq!(safe("![x](http://evil)"), "\\!\\[x\\](http\\://evil)");
        assert_eq!(safe("<script>a|b\n# c"), "&lt;script&gt;a\\|b \\# c");
        assert_eq!(safe("- a"), "\\- a");
        assert_eq!(safe("1. a"), "1\\. a");
        assert_eq!(safe("a\u{202e}b\u{1b}[2J"), "ab \\[2J");
    }
}
