//! The case file as one HTML page: no script, nothing fetched, for a screen in light and dark and for paper.
//!
//! Why everything goes through `text`: titles, notes, names and logs are other people's words. The page's own policy forbids scripts and fetching
//! as well, should a word ever get past it.

use deskside_proto::show;
use deskside_proto::v1::{CaseDevice, CaseFamily, CaseFile, Finding, Moment};

use super::markdown::readable;
use super::wording;

/// How it looks.
const STYLE: &str = include_str!("page.css");

/// The page.
pub fn html(file: &CaseFile) -> String {
    let ticket = file.ticket.clone().unwrap_or_default();
    let mut page = Page::default();
    page.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.raw(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
    );
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.raw("<meta name=\"referrer\" content=\"no-referrer\">\n");
    page.element("title", "", &format!("Ticket {}: {}", ticket.number, ticket.title));
    page.raw(&format!("<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<header>\n"));
    page.element("p", "number", &format!("Ticket {}", ticket.number));
    page.element("h1", "", &ticket.title);
    page.element("p", "quiet", &wording::standing(&ticket, file.made_ms));
    if !ticket.description.trim().is_empty() {
        page.open("blockquote", "");
        ticket.description.lines().filter(|line| !line.trim().is_empty()).for_each(|line| page.element("p", "", line));
        page.close("blockquote");
    }
    page.close("header");
    wrong(&mut page, file);
    section(&mut page, "What changed in the 24 hours before", |page| {
        moments(page, file, &file.before, "Nothing is known to have changed.");
    });
    section(&mut page, "Timeline since the ticket was opened", |page| {
        moments(page, file, &file.timeline, "Nothing yet.");
    });
    file.devices.iter().for_each(|device| families(&mut page, device, file.made_ms));
    list(&mut page, "What is missing, and why", &file.missing);
    collections(&mut page, file);
    evidence(&mut page, file);
    list(&mut page, "Left out for want of room", &file.left_out);
    page.element("footer", "quiet", &wording::made(file));
    page.raw("</main>\n</body>\n</html>\n");
    page.text
}

/// A page that grows; text is escaped on its way in.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn raw(&mut self, markup: &str) {
        self.text.push_str(markup);
    }

    fn text(&mut self, text: &str) {
        for letter in readable(text).chars() {
            match letter {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '"' => self.text.push_str("&quot;"),
                '\'' => self.text.push_str("&#39;"),
                other => self.text.push(other),
            }
        }
    }

    fn open(&mut self, tag: &str, class: &str) {
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        self.raw(&format!("<{tag}{class}>"));
    }

    fn close(&mut self, tag: &str) {
        self.raw(&format!("</{tag}>\n"));
    }

    fn element(&mut self, tag: &str, class: &str, text: &str) {
        self.open(tag, class);
        self.text(text);
        self.close(tag);
    }
}

fn section(page: &mut Page, heading: &str, content: impl FnOnce(&mut Page)) {
    page.open("section", "");
    page.element("h2", "", heading);
    content(page);
    page.close("section");
}

/// The class of a severity; of what is none of them, no class of anybody's choosing.
fn class(severity: &str) -> &'static str {
    match severity {
        "critical" => "critical",
        "warning" => "warning",
        "well" => "well",
        "unknown" => "unknown",
        _ => "notice",
    }
}

fn wrong(page: &mut Page, file: &CaseFile) {
    section(page, "What is wrong", |page| {
        let mut any = false;
        for device in &file.devices {
            let name = device.device.as_ref().map(|device| device.name.clone()).unwrap_or_default();
            let findings = device.families.iter().flat_map(|family| &family.findings);
            for found in findings.filter(|found| found.severity != "notice") {
                any = true;
                finding(page, found, if wording::many(file) { &name } else { "" }, file.made_ms);
            }
        }
        if !any {
            page.element("p", "", "Nothing was found wrong in what could be seen; what was not seen is said below.");
        }
    });
}

fn finding(page: &mut Page, finding: &Finding, device: &str, made_ms: i64) {
    page.open("article", class(&finding.severity));
    page.open("h3", "");
    page.element("span", "tag", &finding.severity);
    let whose = if device.is_empty() { String::new() } else { format!("{device}: ") };
    page.text(&format!("{whose}{}", finding.title));
    page.close("h3");
    page.open("dl", "");
    let facts: Vec<String> = finding
        .proof
        .iter()
        .filter(|fact| !matches!(fact.value.as_str(), "" | "-"))
        .map(|fact| format!("{} {}", fact.name, fact.value))
        .collect();
    let read = if finding.at_ms == 0 { String::new() } else { format!(", read {}", show::age(finding.at_ms, made_ms)) };
    let proof = format!("{} ({}{read})", facts.join(" · "), finding.table);
    for (label, text) in [("proof", &proof), ("cause", &finding.cause), ("next", &finding.next_step)] {
        if !text.is_empty() {
            page.element("dt", "", label);
            page.element("dd", "", text);
        }
    }
    page.close("dl");
    page.close("article");
}

fn moments(page: &mut Page, file: &CaseFile, moments: &[Moment], none: &str) {
    if moments.is_empty() {
        page.element("p", "quiet", none);
        return;
    }
    page.raw("<ol class=\"timeline\">\n");
    for moment in moments {
        let tone = wording::tone(moment);
        page.open("li", if tone.is_empty() { "" } else { class(tone) });
        page.open("p", "when");
        page.element("time", "", &show::clock(moment.at_ms));
        page.element("span", "quiet", &show::age(moment.at_ms, file.made_ms));
        page.close("p");
        page.open("div", "");
        page.open("p", "");
        page.element("span", "kind", wording::label(moment.kind()));
        page.element("span", "source", &wording::source(moment, wording::many(file)));
        page.element("span", "said", &moment.text);
        let repeated = wording::repeated(moment);
        if !repeated.is_empty() {
            page.element("span", "quiet", &repeated);
        }
        page.close("p");
        if !moment.details.is_empty() {
            page.open("ul", "");
            moment.details.iter().for_each(|detail| page.element("li", "", detail));
            page.close("ul");
        }
        page.close("div");
        page.close("li");
    }
    page.close("ol");
}

fn families(page: &mut Page, device: &CaseDevice, made_ms: i64) {
    let of = device.device.clone().unwrap_or_default();
    section(page, &of.name, |page| {
        page.element("p", "quiet", &wording::presence(&of, made_ms));
        device.families.iter().for_each(|of| family(page, of, made_ms));
    });
}

fn family(page: &mut Page, family: &CaseFamily, made_ms: i64) {
    page.open("article", class(&family.state));
    page.open("h3", "");
    page.element("span", "tag", &wording::family(family.family()));
    page.text(&family.verdict);
    page.close("h3");
    page.element("p", "quiet", &wording::seen(family.whole, family.tables, family.as_of_ms, made_ms));
    let notices = family.findings.iter().filter(|finding| finding.severity == "notice");
    notices.for_each(|notice| page.element("p", "", &notice.title));
    if !family.told.is_empty() {
        page.open("dl", "tables");
        for told in &family.told {
            page.element("dt", "", &told.table);
            told.lines.iter().for_each(|line| page.element("dd", "", line));
        }
        page.close("dl");
    }
    page.close("article");
}

fn list(page: &mut Page, heading: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    section(page, heading, |page| {
        page.open("ul", "");
        for line in lines {
            page.element("li", "", line);
        }
        page.close("ul");
    });
}

fn collections(page: &mut Page, file: &CaseFile) {
    if file.collections.is_empty() {
        return;
    }
    section(page, "Collections", |page| {
        page.open("ol", "");
        for collection in &file.collections {
            page.open("li", "");
            page.element("strong", "", &collection.state);
            let device = collection.device.as_ref().map(|device| device.name.as_str()).unwrap_or_default();
            page.text(&format!("{device}: {}", wording::collection(collection, file.made_ms)));
            page.element("p", "quiet", &collection.note);
            page.close("li");
        }
        page.close("ol");
    });
}

fn evidence(page: &mut Page, file: &CaseFile) {
    if file.evidence.is_empty() {
        return;
    }
    section(page, "Evidence and custody", |page| {
        for item in &file.evidence {
            page.open("article", "notice");
            page.element("h3", "", &format!("{} ({})", item.name, show::bytes(item.size as f64)));
            page.element("p", "hash", &format!("SHA-256 {}", item.sha256));
            page.open("dl", "custody");
            for entry in &item.custody {
                page.element("dt", "", &show::clock(entry.at_ms));
                page.element("dd", "", &format!("{} {}: {}", entry.who, entry.what, entry.text));
            }
            page.close("dl");
            page.close("article");
        }
    });
}
