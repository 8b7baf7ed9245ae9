//! `deskside custody` and `deskside audit`: who did what, when and why, and whether the log of it holds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use data_encoding::HEXLOWER;
use deskside_proto::seal::{Entry, Links, Trust, read_head};
use deskside_proto::show;
use deskside_proto::v1::{CustodyEntry, CustodyPiece, GetCustodyRequest, ListAuditRequest};
use serde_json::json;
use tonic::Streaming;

use super::screen::{Line, Screen};
use super::trouble::Said;
use super::{config, connect, when};

/// Characters of a hash that are shown.
const HASH_CHARS: usize = 10;

/// Who did what with a ticket and its evidence, and whether the log of it holds.
#[derive(Debug, clap::Args)]
pub(super) struct Custody {
    /// The ticket's number.
    ticket: u64,
}

impl Custody {
    pub(super) async fn run(self, folder: &Path, screen: Screen) -> anyhow::Result<()> {
        let login = config::read(folder)?;
        let trust = Trust::fingerprint(&HEXLOWER.decode(login.ca_sha256.as_bytes())?);
        let mut desk = connect::open(&login).await?;
        let mut pieces = desk.get_custody(GetCustodyRequest { ticket: self.ticket }).await?.into_inner();
        let (mut entries, mut head) = (Vec::new(), Vec::new());
        while let Some(CustodyPiece { entries: more, head: last }) = pieces.message().await? {
            entries.extend(more.into_iter().map(entry));
            head.extend(last);
        }
        let verdict = holds(self.ticket, &entries, &head, &trust);
        if screen.json {
            let wrong = verdict.as_ref().err().cloned().unwrap_or_default();
            screen.value(
                &json!({ "ticket": self.ticket, "good": verdict.is_ok(), "wrong": wrong, "entries": entries }),
            )?;
        } else {
            table(screen, &entries)?;
            let count = entries.len();
            screen.line(match &verdict {
                Ok(()) => Line::default().good("✓ ").plain(format!(
                    "the chain holds: {count} entries, none edited, moved, taken out or cut off; its end is signed by the server"
                )),
                Err(wrong) => Line::default().bad("✗ ").bold(format!("the chain does NOT hold: {wrong}")),
            })?;
        }
        if verdict.is_ok() { Ok(()) } else { Err(Said.into()) }
    }
}

/// Every entry follows from the one before, and the last is the one that the signed head names.
fn holds(ticket: u64, entries: &[Entry], head: &[u8], trust: &Trust) -> Result<(), String> {
    let mut links = Links::of_ticket(ticket);
    entries.iter().try_for_each(|entry| links.follow(entry)).map_err(|broken| broken.to_string())?;
    let head = read_head(head, trust).map_err(|broken| format!("its signed head: {broken}"))?;
    let end = head.ticket.filter(|end| end.ticket == ticket).ok_or("its signed head is another ticket's")?;
    links.ends(end.entries, &end.hash).map_err(|broken| broken.to_string())
}

/// The audit log: every question, view, command and export of everybody.
#[derive(Debug, clap::Args)]
pub(super) struct Audit {
    /// Only this person's, device's or part of the server's: "anna", "operator", "retention", "server".
    #[arg(long, default_value = "")]
    who: String,
    /// Only this kind: view, query, ask, collect, export, exported, denied, operate and so on.
    #[arg(long, default_value = "")]
    what: String,
    /// Only this ticket's.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    ticket: u64,
    /// Only since then: "-1 day", "2026-03-01 09:00".
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = when::moment)]
    since: Option<i64>,
    /// The newest so many.
    #[arg(long, default_value_t = 100)]
    last: u32,
    /// All of it, however much.
    #[arg(long, conflicts_with = "last")]
    all: bool,
    /// Write all that is wanted into this new file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
}

impl Audit {
    pub(super) async fn run(self, mut desk: connect::Desk, screen: Screen) -> anyhow::Result<()> {
        let last = if self.all || self.export.is_some() { 0 } else { self.last };
        let (who, what, ticket) = (self.who, self.what, self.ticket);
        let request = ListAuditRequest { who, what, ticket, since_ms: self.since.unwrap_or_default(), last };
        let mut pieces = desk.list_audit(request).await?.into_inner();
        if let Some(path) = &self.export {
            let count = write(&mut pieces, path).await?;
            if screen.json {
                return Ok(screen.value(&json!({ "path": path, "entries": count }))?);
            }
            let words = format!("{}  {count} entries", path.display());
            return Ok(screen.line(Line::default().good("✓ ").plain(words))?);
        }
        let mut entries = Vec::new();
        while let Some(piece) = pieces.message().await? {
            entries.extend(piece.entries.into_iter().map(entry));
        }
        if screen.json {
            return Ok(screen.value(&serde_json::to_value(&entries)?)?);
        }
        table(screen, &entries)
    }
}

async fn write(pieces: &mut Streaming<CustodyPiece>, path: &Path) -> anyhow::Result<u64> {
    let named = || format!("writing {}", path.display());
    let mut file = BufWriter::new(File::create_new(path).with_context(named)?);
    let mut count = 0;
    while let Some(piece) = pieces.message().await? {
        for line in piece.entries.into_iter().map(entry) {
            serde_json::to_writer(&mut file, &line).with_context(named)?;
            file.write_all(b"\n").with_context(named)?;
            count += 1;
        }
    }
    file.into_inner()?.sync_all().with_context(named)?;
    Ok(count)
}

/// Newest last.
fn table(screen: Screen, entries: &[Entry]) -> anyhow::Result<()> {
    let mut names = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.what == "collected") {
        names.insert(entry.device.as_str(), entry.who.as_str());
    }
    let row = |entry: &Entry| {
        let from = if entry.peer.is_empty() { String::new() } else { format!(" from {}", entry.peer) };
        let role = if entry.role.is_empty() { String::new() } else { format!(" ({}{from})", entry.role) };
        let device = names.get(entry.device.as_str()).copied().unwrap_or(entry.device.get(..8).unwrap_or_default());
        vec![
            entry.number.to_string(),
            show::age(entry.at_ms, screen.now_ms),
            format!("{}{role}", entry.who),
            entry.what.clone(),
            device.to_owned(),
            entry.text.clone(),
            short(&entry.sha256),
            short(&entry.hash),
        ]
    };
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    Ok(screen.table(&["no", "when", "who", "what", "device", "why", "content", "hash"], &rows)?)
}

fn short(hash: &str) -> String {
    hash.chars().take(HASH_CHARS).collect()
}

fn entry(entry: CustodyEntry) -> Entry {
    Entry {
        number: entry.number,
        at_ms: entry.at_ms,
        who: entry.who,
        role: entry.role,
        peer: entry.peer,
        what: entry.what,
        device: entry.device,
        ticket: entry.ticket,
        evidence: entry.evidence,
        sha256: entry.sha256,
        text: entry.text,
        before: entry.before,
        ticket_before: entry.ticket_before,
        hash: entry.hash,
    }
}
