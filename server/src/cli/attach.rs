//! A file from elsewhere, attached to a ticket: hashed as it is read, and its hash checked by the server.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use deskside_proto::CHUNK_BYTES;
use deskside_proto::v1::{AttachBegin, AttachChunk, Evidence, attach_chunk};
use indicatif::ProgressBar;
use ring::digest;
use serde_json::json;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::connect::Desk;
use super::screen::{self, Line, Screen};
use super::trouble::Trouble;
use super::{evidence, shape};

/// Pieces that wait to be sent.
const PIECES_MAX: usize = 4;

/// Attach a file from elsewhere to a ticket: an exported .evtx, a macOS log, packets, a photo.
///
/// It becomes evidence like any other: `deskside evidence list` lists it, and `deskside log --evidence ID` asks it where it is a log.
#[derive(Debug, clap::Args)]
pub(super) struct Attach {
    /// The ticket's number.
    ticket: u64,
    /// The file.
    file: PathBuf,
    /// Its name on the ticket [default: its own].
    #[arg(long)]
    name: Option<String>,
    /// What it is, and where it comes from.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// The device that it belongs to: id, beginning of it, or host name.
    #[arg(long, default_value = "")]
    device: String,
}

impl Attach {
    pub(super) async fn run(self, mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
        let (file, size) = open(&self.file).await?;
        let own = || self.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = self.name.clone().unwrap_or_else(own);
        let bar = screen::transfer(size, &name)?;
        let begin = AttachBegin { ticket: self.ticket, name, size, note: self.note, device: self.device };
        let (pieces, stream) = mpsc::channel(PIECES_MAX);
        let sending = tokio::spawn(send(file, begin, pieces, bar.clone()));
        let reply = desk.attach(ReceiverStream::new(stream)).await;
        bar.finish_and_clear();
        // Why first: where the file could not be read, the server knows only that not all of it came.
        sending.await?.with_context(|| format!("reading {}", self.file.display()))?;
        let reply = reply?.into_inner();
        let item = reply.evidence.context("the server did not say what became of it")?;
        if screen.json {
            return Ok(screen.value(&json!({ "evidence": shape::evidence(&item), "already": reply.already }))?);
        }
        screen.line(told(&item, reply.already))?;
        Ok(evidence::show(screen, &item)?)
    }
}

fn told(item: &Evidence, already: bool) -> Line {
    if already {
        let what = format!("ticket {} has it already, stored as {}; nothing was attached", item.ticket, item.name);
        return Line::default().warn(what);
    }
    Line::default().good("✓ ").plain(format!("attached to ticket {}; the hash is right on both sides", item.ticket))
}

async fn open(path: &Path) -> anyhow::Result<(File, u64)> {
    let name = path.display();
    let about = std::fs::metadata(path).with_context(|| format!("reading {name}"))?;
    if !about.is_file() {
        return Err(Trouble::new(format!("{name} is not a file"), "name a file; pack a folder first").into());
    }
    let file = File::open(path).await.with_context(|| format!("reading {name}"))?;
    Ok((file, about.len()))
}

/// Sends what is announced, the bytes, and the hash of what was sent. It ends early where the server takes no more.
async fn send(
    mut file: File,
    begin: AttachBegin,
    pieces: mpsc::Sender<AttachChunk>,
    bar: ProgressBar,
) -> anyhow::Result<()> {
    let piece = |kind| AttachChunk { kind: Some(kind) };
    let mut left = begin.size;
    if pieces.send(piece(attach_chunk::Kind::Begin(begin))).await.is_err() {
        return Ok(());
    }
    let mut hash = digest::Context::new(&digest::SHA256);
    while left > 0 {
        let mut bytes = Vec::with_capacity(CHUNK_BYTES);
        let read = (&mut file).take(left.min(CHUNK_BYTES as u64)).read_to_end(&mut bytes).await?;
        if read == 0 {
            return Err(anyhow!("it became shorter while it was read"));
        }
        hash.update(&bytes);
        left -= read as u64;
        if pieces.send(piece(attach_chunk::Kind::Bytes(bytes))).await.is_err() {
            return Ok(());
        }
        bar.inc(read as u64);
    }
    // Why: the server has said no, and does so itself.
    pieces.send(piece(attach_chunk::Kind::Sha256(hash.finish().as_ref().to_vec()))).await.ok();
    Ok(())
}
