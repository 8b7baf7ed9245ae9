//! The collections of a case by their places, and its evidence with custody.

use std::io;

use deskside_proto::show;
use deskside_proto::v1::{CaseFile, Collection, Evidence};

use crate::cli::screen::{Line, Screen};
use crate::cli::{collect, evidence};

pub(super) fn show(screen: Screen, file: &CaseFile, all: bool) -> io::Result<()> {
    if !file.collections.is_empty() {
        screen.gap()?;
        screen.line(Line::default().bold("collections"))?;
    }
    for (place, collection) in file.collections.iter().enumerate() {
        if all {
            screen.line(Line::default().dim(format!("  {}", place + 1)))?;
            collect::show(screen, collection)?;
        } else {
            brief(screen, place + 1, collection)?;
        }
    }
    if !file.evidence.is_empty() {
        screen.gap()?;
        screen.line(Line::default().bold("evidence and custody"))?;
    }
    file.evidence.iter().try_for_each(|item| of_item(screen, item, all))
}

/// "1  partial  desk-7  cannot-print, asked by anna 3 min ago  id 63240ba3", then what it is for and how it stands.
fn brief(screen: Screen, place: usize, collection: &Collection) -> io::Result<()> {
    let device = collection.device.clone().unwrap_or_default();
    let state = format!("  {place}  {:10}", collection.state);
    let line = match collection.state.as_str() {
        "done" => Line::default().good(state),
        "waiting" | "running" => Line::default().bold(state),
        _ => Line::default().warn(state),
    };
    let what = if collection.recipe.is_empty() { "by hand" } else { &collection.recipe };
    let asked = show::age(collection.asked_ms, screen.now_ms);
    let id: String = collection.id.chars().take(8).collect();
    let line = line.bold(device.name).plain(format!("  {what}, asked by {} {asked}", collection.asked_by));
    screen.line(line.dim(format!("  id {id}")))?;
    let why = if collection.why.is_empty() { String::new() } else { format!("{}: ", collection.why) };
    screen.beside("", 5, &format!("{why}{}", collection.note))
}

/// An item, its whole hash, and who did what with it: in one line, or each step in its own.
fn of_item(screen: Screen, item: &Evidence, all: bool) -> io::Result<()> {
    let label = |at_ms| format!("    {}  ", show::clock(at_ms));
    if all {
        evidence::show(screen, item)?;
        return item.custody.iter().try_for_each(|entry| {
            let label = label(entry.at_ms);
            screen.beside(&label, label.chars().count(), &format!("{} {}: {}", entry.who, entry.what, entry.text))
        });
    }
    let id: String = item.id.chars().take(8).collect();
    let size = show::bytes(item.size as f64);
    let line = Line::default().plain("  ").bold(&item.name).plain(format!("  {size}  id {id}"));
    screen.line(line.dim(format!("  sha256 {}", item.sha256)))?;
    let Some(last) = item.custody.last() else { return Ok(()) };
    let steps: Vec<String> = item.custody.iter().map(|entry| format!("{} {}", entry.who, entry.what)).collect();
    let label = label(last.at_ms);
    screen.beside(&label, label.chars().count(), &steps.join(" → "))
}
