//! Evidence: listed, fetched with its hash checked, and opened with every part's hash checked.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use data_encoding::HEXLOWER;
use deskside_proto::show;
use deskside_proto::v1::{self, DeleteEvidenceRequest, GetEvidenceRequest, ListEvidenceRequest, RedactEvidenceRequest};
use ring::digest;
use serde_json::json;
use tempfile::NamedTempFile;

use super::bundle::{self, Opened};
use super::connect::Desk;
use super::screen::{self, Line, Screen};
use super::trouble::Trouble;
use super::{export, shape};

/// Evidence: list it, get it, open it.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Evidence {
    /// What there is.
    List {
        /// Only this ticket's.
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        ticket: u64,
    },
    /// Fetch an item and check its hash.
    Get {
        /// The item's id, or a beginning of it.
        id: String,
        /// Where to put it [default: its own name, here].
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Fetch a whole case as one sealed ZIP file: each item as it came, and the ticket's custody; `deskside verify` checks it.
    Export {
        /// The ticket's number.
        ticket: u64,
        /// Where to put it [default: case-N.zip, here].
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Fetch a bundle, check every part's hash, and print its summary.
    Open {
        /// The item's id, or a beginning of it.
        id: String,
        /// Unpack it into this new folder.
        #[arg(short, long, value_name = "DIR")]
        output: Option<PathBuf>,
    },
    /// Make a copy of a bundle without some of its tables or columns; the original stays as it is.
    Redact {
        /// The item's id, or a beginning of it.
        id: String,
        /// What is left out: a table, or a column of it.
        #[arg(long, required = true, value_name = "TABLE[.COLUMN]")]
        drop: Vec<String>,
        /// Why.
        #[arg(long)]
        why: String,
    },
    /// Delete an item's content by hand; what it was stays known.
    Delete {
        /// The item's id, or a beginning of it.
        id: String,
        /// Why.
        #[arg(long)]
        why: String,
    },
}

impl Evidence {
    pub(super) async fn run(self, mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
        match self {
            Self::List { ticket } => list(desk, screen, ticket).await,
            Self::Get { id, output } => get(&mut desk, screen, id, output).await,
            Self::Export { ticket, output } => export::export(&mut desk, screen, ticket, output).await,
            Self::Open { id, output } => open(&mut desk, screen, id, output).await,
            Self::Redact { id, drop, why } => {
                let copy = desk.redact_evidence(RedactEvidenceRequest { id, drop, why }).await?.into_inner();
                one(screen, &copy)
            }
            Self::Delete { id, why } => {
                one(screen, &desk.delete_evidence(DeleteEvidenceRequest { id, why }).await?.into_inner())
            }
        }
    }
}

fn one(screen: Screen, item: &v1::Evidence) -> anyhow::Result<()> {
    if screen.json {
        return Ok(screen.value(&shape::evidence(item))?);
    }
    Ok(show(screen, item)?)
}

async fn list(mut desk: Desk, screen: Screen, ticket: u64) -> anyhow::Result<()> {
    let items = desk.list_evidence(ListEvidenceRequest { ticket }).await?.into_inner().evidence;
    if screen.json {
        return Ok(screen.value(&shape::list(&items, shape::evidence))?);
    }
    if items.is_empty() {
        return Ok(screen.line(Line::default().plain("no evidence"))?);
    }
    items.iter().try_for_each(|item| show(screen, item))?;
    Ok(())
}

/// One item: name, size, hash, where it lies, and how to open it.
pub(super) fn show(screen: Screen, item: &v1::Evidence) -> io::Result<()> {
    let device = item.device.as_ref().map(|device| format!("{}, ", device.name)).unwrap_or_default();
    let stored = format!("  ticket {}, {device}stored {}", item.ticket, show::time(item.stored_ms, screen.now_ms));
    let size = show::bytes(item.size as f64);
    screen.line(Line::default().plain("  ").bold(&item.name).plain(format!("  {size}")).dim(stored))?;
    screen.line(Line::default().dim(format!("    sha256 {}", item.sha256)))?;
    if let Some(line) = item.custody.iter().find(|line| line.what == "unverified") {
        screen.line(Line::default().bad(format!("    NOT proven: {}", line.text)))?;
    }
    if item.deleted_ms != 0 {
        let when = show::time(item.deleted_ms, screen.now_ms);
        return screen.line(Line::default().dim(format!("    deleted {when}{}", why_deleted(item))));
    }
    if !item.recipe.is_empty() {
        let source = short(&item.source_id);
        screen.line(Line::default().plain(format!("    a redacted copy of {source}: {}", item.recipe)))?;
    }
    screen.line(Line::default().dim(format!("    in the evidence store: {}", item.location)))?;
    screen.line(Line::default().plain(format!("    {}", next_step(item))))
}

/// ", by retention: captured packets are kept 7 days", as the custody has it.
fn why_deleted(item: &v1::Evidence) -> String {
    let Some(line) = item.custody.iter().rfind(|line| line.what == "deleted") else { return String::new() };
    let why = line.text.split_once(" was deleted: ").map_or("", |(_what, why)| why);
    format!(", by {}: {why}", line.who)
}

/// How to go on: a bundle is opened, a log is asked, and anything else is fetched.
fn next_step(item: &v1::Evidence) -> String {
    const LOGS: [&str; 8] = [".evtx", ".ndjson", ".log", ".txt", ".gz", ".xz", ".bz2", ".zst"];
    let (id, name) = (short(&item.id), item.name.to_lowercase());
    if is_bundle(item) {
        format!("deskside evidence open {id}")
    } else if LOGS.iter().any(|end| name.ends_with(end)) {
        format!("deskside log --evidence {id}")
    } else {
        format!("deskside evidence get {id}")
    }
}

/// What a device packed, or a copy of that.
fn is_bundle(item: &v1::Evidence) -> bool {
    !item.collection_id.is_empty() || !item.recipe.is_empty()
}

fn short(id: &str) -> String {
    id.chars().take(8).collect()
}

async fn get(desk: &mut Desk, screen: Screen, id: String, output: Option<PathBuf>) -> anyhow::Result<()> {
    let folder = output.as_deref().and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty());
    let (item, file) = download(desk, id, folder.unwrap_or(Path::new("."))).await?;
    let path = match output {
        Some(path) => path,
        None => PathBuf::from(bundle::safe_name(&item.name)?),
    };
    let kept = if path.exists() { Err(exists(&path)) } else { Ok(file) };
    kept?.persist_noclobber(&path).with_context(|| format!("writing {}", path.display()))?;
    if screen.json {
        return Ok(screen.value(&json!({ "evidence": shape::evidence(&item), "path": path }))?);
    }
    let size = show::bytes(item.size as f64);
    screen
        .line(Line::default().good("✓ ").bold(path.display().to_string()).plain(format!("  {size}, hash checked")))?;
    Ok(())
}

fn exists(path: &Path) -> anyhow::Error {
    Trouble::new(format!("{} is there already", path.display()), "name another place with -o").into()
}

/// Fetches an item into a temporary file of the folder; what does not have the size and hash that the server names is thrown away.
pub(super) async fn download(
    desk: &mut Desk,
    id: String,
    folder: &Path,
) -> anyhow::Result<(v1::Evidence, NamedTempFile)> {
    let mut file = NamedTempFile::new_in(folder).with_context(|| format!("writing in {}", folder.display()))?;
    let mut chunks = desk.get_evidence(GetEvidenceRequest { id }).await?.into_inner();
    let first = chunks.message().await?.context("the server sent nothing")?;
    let item = first.evidence.context("the server did not say what it sends")?;
    let bar = screen::transfer(item.size, &item.name)?;
    let (mut hash, mut size) = (digest::Context::new(&digest::SHA256), 0_u64);
    let mut bytes = first.bytes;
    loop {
        size += bytes.len() as u64;
        if size > item.size {
            return Err(damaged("more came than the ticket names"));
        }
        hash.update(&bytes);
        file.write_all(&bytes)?;
        bar.set_position(size);
        let Some(chunk) = chunks.message().await? else { break };
        bytes = chunk.bytes;
    }
    bar.finish_and_clear();
    if size != item.size || HEXLOWER.encode(hash.finish().as_ref()) != item.sha256 {
        return Err(damaged("its size or SHA-256 is not what the ticket names"));
    }
    Ok((item, file))
}

fn damaged(what: &str) -> anyhow::Error {
    Trouble::new(format!("the evidence is damaged: {what}"), "fetch it again; if it stays so, tell an administrator")
        .into()
}

async fn open(desk: &mut Desk, screen: Screen, id: String, output: Option<PathBuf>) -> anyhow::Result<()> {
    if let Some(path) = output.as_deref().filter(|path| path.exists()) {
        return Err(exists(path));
    }
    let (item, file) = download(desk, id, &std::env::temp_dir()).await?;
    if !is_bundle(&item) {
        let what = format!("{} was attached by hand and is no bundle", item.name);
        return Err(Trouble::new(what, format!("`{}`", next_step(&item))).into());
    }
    let mut bundle = bundle::open(File::open(file.path())?).map_err(|error| damaged(&format!("{error:#}")))?;
    if let Some(folder) = &output {
        bundle.unpack(folder)?;
    }
    if screen.json {
        let value = json!({
            "evidence": shape::evidence(&item), "manifest": bundle.manifest, "summary": bundle.summary,
            "files": bundle.files, "unpacked": output,
        });
        return Ok(screen.value(&value)?);
    }
    opened(screen, &item, &bundle, output.as_deref())?;
    Ok(())
}

fn opened(screen: Screen, item: &v1::Evidence, bundle: &Opened, output: Option<&Path>) -> io::Result<()> {
    screen.text(&bundle.summary)?;
    screen.gap()?;
    let checked = format!("{}: its SHA-256 and those of its {} files are right", item.name, bundle.files.len());
    screen.line(Line::default().good("✓ ").plain(checked))?;
    let next = match output {
        Some(folder) => format!("unpacked into {}", folder.display()),
        None => format!("`deskside evidence open {} -o DIR` unpacks tables and logs", short(&item.id)),
    };
    screen.line(Line::default().dim(next))
}
