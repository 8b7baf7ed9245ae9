//! `deskside case N`: a ticket with all that is known of it, to be read from top to bottom in a minute; the same again, and compared.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use deskside_proto::show;
use deskside_proto::v1::{
    self, CaseDevice, CaseFamily, CaseFile, CaseFileRequest, CaseForm, CollectRequest, CompareRequest, Finding, Moment,
    MomentKind,
};

use super::connect::Desk;
use super::outbox::TicketName;
use super::screen::{Line, Screen};
use super::trouble::Trouble;
use super::{collect, devices, shape, when};

mod collected;
mod comparing;

/// Lines of the timeline that are shown without --all: those that people wrote, and of the machines' the worst.
const MOMENTS_MAX: usize = 24;

/// Lines of what changed before that are shown without --all.
const BEFORE_MAX: usize = 8;

/// Lines of a family that are shown without --all.
const TOLD_MAX: usize = 3;

/// Sentences of what is missing that are shown without --all.
const MISSING_MAX: usize = 6;

/// Lines below a moment that are shown without --all.
const DETAILS_MAX: usize = 3;

/// Width of the column of moments' labels, times and kinds together.
const MOMENT: usize = 30;

/// One ticket with all that is known of it: what is wrong first, what changed before, what happened since, and what is missing.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  deskside case 7\n  deskside case 7 --html case-7.html\n  deskside case 7 again 1\n  deskside case 7 diff 1 2"
)]
pub(super) struct Case {
    /// The ticket's number, or a help desk's name and the number there, as in rt:42.
    #[arg(value_name = "NUMBER")]
    name: TicketName,
    /// Every line, where else the most telling are shown.
    #[arg(long)]
    all: bool,
    /// As Markdown.
    #[arg(long, conflicts_with = "all")]
    md: bool,
    /// As an HTML page that needs nothing else, into this new file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["md", "all"])]
    html: Option<PathBuf>,
    #[command(subcommand)]
    deed: Option<Deed>,
}

/// What can be done with the collections of a case.
#[derive(Debug, clap::Subcommand)]
enum Deed {
    /// Collect the same again as an earlier collection.
    Again {
        /// Its place in the case [default: the last that there is].
        place: Option<usize>,
        /// Not at once but at this time: "tomorrow 9:00", "2026-03-01 14:00", RFC 3339.
        #[arg(long, value_parser = when::ahead, value_name = "TIME")]
        at: Option<i64>,
        /// Not at once but in this time: "2d", "4h".
        #[arg(long = "in", value_parser = when::seconds, value_name = "TIME", conflicts_with = "at")]
        after: Option<u64>,
        /// What for: "after the printer was replaced".
        #[arg(long, default_value = "")]
        why: String,
        /// Wait until it has ended.
        #[arg(long)]
        wait: bool,
    },
    /// What differs between two collections: what was wrong, and each table, noise left out.
    Diff {
        /// The earlier one's place in the case.
        one: u32,
        /// The later one's.
        other: u32,
        /// Only this table.
        #[arg(long, default_value = "")]
        table: String,
    },
}

impl Case {
    pub(super) async fn run(self, mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
        let number = self.name.number(&mut desk, false).await?;
        match self.deed {
            Some(Deed::Diff { one, other, table }) => {
                let request = CompareRequest { number, one, other, table };
                let comparison = desk.compare_collections(request).await?.into_inner();
                return comparing::show(screen, number, (one, other), &comparison);
            }
            Some(Deed::Again { place, at, after, why, wait }) => {
                let planned_ms = collect::planned(at, after, screen.now_ms);
                return again(desk, screen, number, place, planned_ms, why, wait).await;
            }
            None => {}
        }
        let form = match (&self.html, self.md) {
            (Some(_), _) => CaseForm::CaseHtml,
            (None, true) => CaseForm::CaseMarkdown,
            (None, false) => CaseForm::CaseValues,
        };
        let reply = desk.get_case_file(CaseFileRequest { number, form: form.into() }).await?.into_inner();
        let file = reply.file.context("the server sent no case file")?;
        if let Some(path) = self.html {
            let written = OpenOptions::new().write(true).create_new(true).open(&path);
            let advice = "name a new file in a folder that you may write to";
            let mut page =
                written.map_err(|error| Trouble::new(format!("{} cannot be made: {error}", path.display()), advice))?;
            page.write_all(reply.text.as_bytes()).with_context(|| format!("writing {}", path.display()))?;
            if screen.json {
                return Ok(screen.value(&serde_json::json!({ "path": path }))?);
            }
            return Ok(screen.line(Line::default().good("✓ ").bold(path.display().to_string()))?);
        }
        if screen.json {
            return Ok(screen.value(&shape::case_file(&file))?);
        }
        if self.md {
            return Ok(screen.text(&reply.text)?);
        }
        Ok(page(screen, &file, self.all)?)
    }
}

async fn again(
    mut desk: Desk,
    screen: Screen,
    number: u64,
    place: Option<usize>,
    planned_ms: i64,
    why: String,
    wait: bool,
) -> anyhow::Result<()> {
    let case = desk.get_case(v1::GetCaseRequest { number }).await?.into_inner();
    let count = case.collections.len();
    let picked = place.unwrap_or(count).checked_sub(1).and_then(|place| case.collections.get(place));
    let Some(earlier) = picked else {
        let what = format!("ticket {number} has {count} collections");
        return Err(
            Trouble::new(what, format!("`deskside case {number}` lists them; `deskside collect` begins one")).into()
        );
    };
    let again = earlier.id.clone();
    let request = CollectRequest { ticket: number, again, planned_ms, why, ..CollectRequest::default() };
    collect::ask(desk, screen, request, wait).await
}

/// The whole case on the screen.
fn page(screen: Screen, file: &CaseFile, all: bool) -> io::Result<()> {
    heading(screen, file)?;
    for device in &file.devices {
        screen.gap()?;
        wrong(screen, device, all)?;
    }
    screen.gap()?;
    screen.line(Line::default().bold("what changed in the 24 hours before"))?;
    moments(screen, file, &file.before, if all { usize::MAX } else { BEFORE_MAX })?;
    screen.gap()?;
    screen.line(Line::default().bold("since the ticket was opened"))?;
    moments(screen, file, &file.timeline, if all { usize::MAX } else { MOMENTS_MAX })?;
    for device in &file.devices {
        screen.gap()?;
        if file.devices.len() > 1 {
            screen.line(Line::default().bold(device.device.clone().unwrap_or_default().name))?;
        }
        device.families.iter().try_for_each(|of| family(screen, file.made_ms, of, all))?;
    }
    missing(screen, file, all)?;
    collected::show(screen, file, all)
}

fn heading(screen: Screen, file: &CaseFile) -> io::Result<()> {
    let ticket = file.ticket.clone().unwrap_or_default();
    let line = Line::default().bold(format!("Ticket {}  {}", ticket.number, ticket.title)).plain("  ");
    let status = match ticket.status.as_str() {
        "escalated" => line.warn(format!("escalated to level {}", ticket.level)),
        other => line.good(other),
    };
    let who =
        if ticket.assignee.is_empty() { "nobody has it yet".into() } else { format!("{} has it", ticket.assignee) };
    let opened = show::time(ticket.opened_ms, file.made_ms);
    screen.line(status.dim(format!("  opened by {} {opened}, {who}", ticket.opened_by)))?;
    for foreign in &ticket.foreign {
        let name = format!("{}:{}", foreign.desk, foreign.number);
        screen.line(Line::default().plain(name).dim(format!("  {}", foreign.url)))?;
    }
    if !ticket.description.is_empty() {
        screen.beside("", 2, &format!("\"{}\"", ticket.description))?;
    }
    if file.devices.is_empty() {
        screen.line(Line::default().warn("no device is linked to this ticket"))?;
    }
    Ok(())
}

/// A device, and what is wrong with it, worst first. What does not work is told with its proof, what may break with what to do.
fn wrong(screen: Screen, device: &CaseDevice, all: bool) -> io::Result<()> {
    devices::title(screen, &device.device.clone().unwrap_or_default())?;
    let findings: Vec<&Finding> = device.families.iter().flat_map(|family| &family.findings).collect();
    let (told, brief): (Vec<&Finding>, Vec<&Finding>) =
        findings.into_iter().partition(|finding| all || finding.severity == "critical");
    if !told.is_empty() || brief.is_empty() {
        devices::findings(screen, &told)?;
    }
    for finding in brief {
        let label = format!("{:width$}", finding.severity, width = devices::LABEL);
        let is_warning = finding.severity == "warning";
        let line = if is_warning { Line::default().warn(label) } else { Line::default().dim(label) };
        screen.line(line.plain(&finding.title))?;
        if is_warning && !finding.next_step.is_empty() {
            screen.beside("  next", devices::LABEL, &finding.next_step)?;
        }
    }
    Ok(())
}

/// Moments, the most telling of them where there are too many; what is not shown is counted.
fn moments(screen: Screen, file: &CaseFile, moments: &[Moment], most: usize) -> io::Result<()> {
    if moments.is_empty() {
        return screen.line(Line::default().dim("  nothing is known to have happened"));
    }
    let mut order: Vec<usize> = (0..moments.len()).collect();
    order.sort_by_key(|place| moments.get(*place).map_or(u8::MAX, weight));
    let mut shown: Vec<usize> = order.into_iter().take(most).collect();
    shown.sort_unstable();
    let many = file.devices.len() > 1;
    for moment in shown.iter().filter_map(|place| moments.get(*place)) {
        line(screen, moment, many, most == usize::MAX)?;
    }
    let rest = moments.len() - shown.len();
    if rest > 0 {
        screen.line(Line::default().dim(format!("  {rest} lesser lines are not shown; --all shows them")))?;
    }
    Ok(())
}

/// What a reader in a hurry wants first.
fn weight(moment: &Moment) -> u8 {
    match moment.kind() {
        MomentKind::Reported | MomentKind::Note | MomentKind::Ticket | MomentKind::Attached => 0,
        _ if moment.severity == "critical" => 1,
        MomentKind::Collected | MomentKind::Planned | MomentKind::Probed => 2,
        MomentKind::Began | MomentKind::Ended => 3,
        MomentKind::NewError | MomentKind::Asked => 4,
        MomentKind::Change => 5,
        MomentKind::Happened | MomentKind::Unspecified => 6,
    }
}

fn line(screen: Screen, moment: &Moment, many: bool, all: bool) -> io::Result<()> {
    let label = format!("  {}  {:9}", show::clock(moment.at_ms), kind(moment.kind()));
    let device = if many { moment.device.as_str() } else { "" };
    let of = [device, moment.table.as_str(), moment.who.as_str()];
    let of: Vec<&str> = of.into_iter().filter(|part| !part.is_empty()).collect();
    let of = if of.is_empty() { String::new() } else { format!("{}: ", of.join(" ")) };
    let times = match (moment.kind(), moment.times) {
        (MomentKind::Change, _) | (_, 0 | 1) => String::new(),
        (_, times) => format!(" ({times} times, until {})", show::clock(moment.until_ms.max(moment.at_ms))),
    };
    // What is over is no trouble any more.
    let tone = if moment.kind() == MomentKind::Ended { "" } else { &moment.severity };
    screen.moment(&label, MOMENT + 4, tone, &format!("{of}{}{times}", moment.text))?;
    // A change of many rows names the first of them in its line.
    let details = if moment.kind() == MomentKind::Change && !all { &[] } else { moment.details.as_slice() };
    let most = if all { usize::MAX } else { DETAILS_MAX };
    for detail in details.iter().take(most) {
        screen.beside("", MOMENT + 6, detail)?;
    }
    let more = details.len().saturating_sub(most);
    if more > 0 {
        screen.beside("", MOMENT + 6, &format!("… and {more} more"))?;
    }
    Ok(())
}

fn kind(kind: MomentKind) -> &'static str {
    match kind {
        MomentKind::Unspecified => "",
        MomentKind::Reported => "reported",
        MomentKind::Note => "note",
        MomentKind::Ticket => "ticket",
        MomentKind::Change => "changed",
        MomentKind::Began => "WRONG",
        MomentKind::Ended => "over",
        MomentKind::Happened => "happened",
        MomentKind::NewError => "new error",
        MomentKind::Probed => "probe",
        MomentKind::Asked => "asked",
        MomentKind::Collected => "collected",
        MomentKind::Attached => "attached",
        MomentKind::Planned => "planned",
    }
}

fn family(screen: Screen, made_ms: i64, family: &CaseFamily, all: bool) -> io::Result<()> {
    let line = Line::default().bold(format!("{:width$}", shape::family(family.family()), width = devices::LABEL));
    let line = match family.state.as_str() {
        "critical" => line.bad(&family.verdict),
        "warning" | "unknown" => line.warn(&family.verdict),
        _ if family.whole == family.tables => line.good(&family.verdict),
        _ => line.plain(&family.verdict),
    };
    let seen = format!(
        " · {} of {} tables seen whole, as of {}",
        family.whole,
        family.tables,
        show::age(family.as_of_ms, made_ms)
    );
    screen.line(if family.tables == 0 { line } else { line.dim(seen) })?;
    let lines: Vec<(&str, &String)> = family
        .told
        .iter()
        .flat_map(|told| {
            told.lines.iter().enumerate().map(|(place, line)| (if place == 0 { told.table.as_str() } else { "" }, line))
        })
        .collect();
    let most = if all { usize::MAX } else { TOLD_MAX };
    for (table, line) in lines.iter().take(most) {
        screen.beside(table, 18, line)?;
    }
    let more = lines.len().saturating_sub(most);
    if more > 0 {
        screen.line(Line::default().dim(format!("{:18}… and {more} more lines", "")))?;
    }
    Ok(())
}

/// What is missing, and what was left out.
fn missing(screen: Screen, file: &CaseFile, all: bool) -> io::Result<()> {
    let lines: Vec<&String> = file.missing.iter().chain(&file.left_out).collect();
    if lines.is_empty() {
        return Ok(());
    }
    screen.gap()?;
    screen.line(Line::default().bold("what is missing, and why"))?;
    let most = if all { usize::MAX } else { MISSING_MAX };
    lines.iter().take(most).try_for_each(|line| screen.beside("", 2, line))?;
    let more = lines.len().saturating_sub(most);
    if more > 0 {
        screen.line(Line::default().dim(format!("  … and {more} more; --all shows them")))?;
    }
    Ok(())
}
