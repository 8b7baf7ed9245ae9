//! The words that both pages share, Markdown and HTML: headings, times, and what a moment is called.

use deskside_proto::show;
use deskside_proto::v1::{CaseFile, Collection, Device, Family, Moment, MomentKind, Ticket};

use super::story;

/// What a moment is called.
pub(super) fn label(kind: MomentKind) -> &'static str {
    match kind {
        MomentKind::Unspecified => "",
        MomentKind::Reported => "reported",
        MomentKind::Note => "note",
        MomentKind::Ticket => "ticket",
        MomentKind::Change => "changed",
        MomentKind::Began => "wrong",
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

/// Where or by whom: "desk-7 printers", "anna".
pub(super) fn source(moment: &Moment, many: bool) -> String {
    let device = if many { moment.device.as_str() } else { "" };
    [device, moment.table.as_str(), moment.who.as_str()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" · ")
}

/// What stands behind a moment's line: how often, and until when.
pub(super) fn repeated(moment: &Moment) -> String {
    let times = if moment.times > 1 && !matches!(moment.kind(), MomentKind::Change) {
        format!("{} times", moment.times)
    } else {
        String::new()
    };
    let until = if moment.until_ms == 0 { String::new() } else { format!("until {}", show::clock(moment.until_ms)) };
    [times, until].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// "escalated to level 2, anna has it, opened by ben 2026-03-01 09:00:00 (3 h 0 min ago)".
pub(super) fn standing(ticket: &Ticket, made_ms: i64) -> String {
    let status = if ticket.status == "escalated" {
        format!("escalated to level {}", ticket.level)
    } else {
        ticket.status.clone()
    };
    let who =
        if ticket.assignee.is_empty() { "nobody has it yet".into() } else { format!("{} has it", ticket.assignee) };
    format!("{status}, {who}, opened by {} {}", ticket.opened_by, show::time(ticket.opened_ms, made_ms))
}

/// "on, Debian GNU/Linux 12, agent 0.1.0".
pub(super) fn presence(device: &Device, made_ms: i64) -> String {
    let state = match device {
        device if device.revoked => "revoked".into(),
        device if device.connected => "on".into(),
        device if device.seen_ms == 0 => "never heard of".into(),
        device => format!("off, last heard of {}", show::time(device.seen_ms, made_ms)),
    };
    format!("{state}, {}, agent {}", device.os, device.agent_version)
}

/// "3 of 4 tables seen whole, as of 20 s ago".
pub(super) fn seen(whole: u32, tables: u32, as_of_ms: i64, made_ms: i64) -> String {
    match (whole, tables) {
        (_, 0) => "nothing received".into(),
        (whole, tables) if whole == tables => {
            format!("all {tables} tables seen, as of {}", show::age(as_of_ms, made_ms))
        }
        (whole, tables) => format!("{whole} of {tables} tables seen whole, as of {}", show::age(as_of_ms, made_ms)),
    }
}

/// The name of a family.
pub(super) fn family(family: Family) -> String {
    family.as_str_name().to_lowercase()
}

/// "cannot-print, asked by anna 2026-03-01 10:00:00 (2 h ago), after the printer was replaced".
pub(super) fn collection(collection: &Collection, made_ms: i64) -> String {
    let what = story::asked_for(collection);
    let asked = format!("asked by {} {}", collection.asked_by, show::time(collection.asked_ms, made_ms));
    let why = if collection.why.is_empty() { String::new() } else { format!(", {}", collection.why) };
    let planned = match collection.planned_ms {
        0 => String::new(),
        at_ms => format!(", for {}", show::time(at_ms, made_ms)),
    };
    format!("{what}, {asked}{planned}{why}")
}

/// How a moment is coloured: what is over is no trouble any more.
pub(super) fn tone(moment: &Moment) -> &str {
    if moment.kind() == MomentKind::Ended { "well" } else { &moment.severity }
}

/// The zone that all times are in, and when the page was made.
pub(super) fn made(file: &CaseFile) -> String {
    let zone = jiff::Timestamp::from_millisecond(file.made_ms)
        .map(|at| at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Z (UTC%:z)").to_string());
    format!("made {}, times in {} by the server's clock", show::clock(file.made_ms), zone.unwrap_or_default())
}

/// Whether lines must say which machine they are about.
pub(super) fn many(file: &CaseFile) -> bool {
    file.devices.len() > 1
}
