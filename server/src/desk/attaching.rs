//! Files from elsewhere, attached to a ticket by hand: taken into a file without a name, checked, stored, and only then attached.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use deskside_proto::show;
use deskside_proto::v1::{AttachBegin, AttachChunk, AttachReply, attach_chunk};
use ring::digest;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::Desk;
use super::caller::{Caller, Deed};
use super::refusal::{Lines, internal, text};
use crate::case::{event, now_ms};
use crate::store::{Attachment, CustodyEntry, Device, EvidenceItem, Ticket};

/// How long the next piece may take.
const CHUNK_TIME: Duration = Duration::from_mins(1);

/// How long the whole may take.
const WHOLE_TIME: Duration = Duration::from_hours(1);

/// Files on their way at a time; more wait.
const FILES_MAX: usize = 8;

/// Longest file name.
const NAME_CHARS_MAX: usize = 120;

/// Longest note.
const NOTE_CHARS_MAX: usize = 2_000;

/// Where files wait until they are whole; cheap to clone.
#[derive(Clone)]
pub struct Scratch {
    folder: PathBuf,
    bytes_max: u64,
    turns: Arc<Semaphore>,
}

impl Scratch {
    /// In a folder of its own, which is made if it is not there. Its files have no names: whatever ends an upload, nothing is left of it.
    pub fn open(folder: &Path, bytes_max: u64) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
        Ok(Self { folder: folder.to_owned(), bytes_max, turns: Arc::new(Semaphore::new(FILES_MAX)) })
    }

    /// A turn among files on their way.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }

    /// A new file without a name.
    pub(super) async fn file(&self) -> Result<std::fs::File> {
        let folder = self.folder.clone();
        tokio::task::spawn_blocking(move || tempfile::tempfile_in(folder)).await?.context("making a file")
    }

    /// The whole file, at its beginning, and its hash, which is the one that its sender names.
    async fn take(&self, size: u64, chunks: &mut Streaming<AttachChunk>) -> Result<(File, String), Status> {
        let mut file = File::from_std(self.file().await.map_err(internal)?);
        let (mut hash, mut held) = (digest::Context::new(&digest::SHA256), 0_u64);
        let announced = loop {
            match next(chunks).await? {
                Some(attach_chunk::Kind::Bytes(bytes)) => {
                    held += bytes.len() as u64;
                    if held > size {
                        return Err(changed(&format!("more than the announced {size} bytes came")));
                    }
                    hash.update(&bytes);
                    file.write_all(&bytes).await.map_err(disk)?;
                }
                Some(attach_chunk::Kind::Sha256(announced)) => break announced,
                Some(attach_chunk::Kind::Begin(_)) => {
                    return Err(Status::invalid_argument("an upload has one begin"));
                }
                None => return Err(Status::aborted(format!("{held} of {size} bytes came; attach the file again"))),
            }
        };
        let hash = hash.finish();
        if held != size {
            return Err(changed(&format!("{held} bytes came instead of the announced {size}")));
        }
        if hash.as_ref() != announced {
            return Err(changed("the file's SHA-256 is not the announced one"));
        }
        file.rewind().await.map_err(disk)?;
        Ok((file, HEXLOWER.encode(hash.as_ref())))
    }
}

/// What is attached, checked.
struct Announced {
    ticket: Ticket,
    device: Option<Device>,
    name: String,
    note: String,
    size: u64,
}

impl Desk {
    /// Takes one file in.
    pub(super) async fn attach_to(
        &self,
        caller: &Caller,
        mut chunks: Streaming<AttachChunk>,
    ) -> Result<AttachReply, Status> {
        let Some(attach_chunk::Kind::Begin(begin)) = next(&mut chunks).await? else {
            return Err(Status::invalid_argument("an upload begins with begin"));
        };
        let announced = self.announced(begin).await?;
        let received = async {
            let _turn = self.scratch.turns.acquire().await;
            self.scratch.take(announced.size, &mut chunks).await
        };
        let received = tokio::time::timeout(WHOLE_TIME, received).await;
        let (file, sha256) = received.map_err(|_elapsed| Status::deadline_exceeded("the file took over an hour"))??;
        let (desk, caller) = (self.clone(), caller.clone());
        // Why a task of its own: the whole has come, and one who hangs up now must not leave a half of it in the object store.
        let kept = tokio::spawn(async move { desk.keep(&caller, announced, file, sha256).await });
        kept.await.map_err(|error| internal(error.into()))?
    }

    async fn announced(&self, begin: AttachBegin) -> Result<Announced, Status> {
        let name = file_name(&begin.name)?;
        if begin.size == 0 {
            return Err(Status::invalid_argument(format!("{name} is empty; there is nothing to attach")));
        }
        if begin.size > self.scratch.bytes_max {
            return Err(Status::resource_exhausted(format!(
                "{name} has {}, and {} are taken at most; attach the part of it that matters, or ask an administrator \
                 to raise evidence.attachment_bytes_max",
                show::bytes(begin.size as f64),
                show::bytes(self.scratch.bytes_max as f64)
            )));
        }
        let note = text("the note", &begin.note, NOTE_CHARS_MAX, Lines::One)?;
        let ticket = self.open_ticket_by_number(begin.ticket).await?;
        let device = match begin.device.as_str() {
            "" => None,
            named => Some(self.device(named).await?),
        };
        Ok(Announced { ticket, device, name, note, size: begin.size })
    }

    /// Stores the bytes, then attaches them. Why stored under their hash: what is stored and then not attached (the store failed) is where
    /// the next attempt puts it.
    async fn keep(
        &self,
        caller: &Caller,
        announced: Announced,
        file: File,
        sha256: String,
    ) -> Result<AttachReply, Status> {
        let number = announced.ticket.number;
        let held = self.store.evidence(Some(number)).await.map_err(internal)?;
        if let Some(same) = held.iter().find(|item| item.sha256 == sha256) {
            return self.attached(same, true).await;
        }
        let deed = Deed {
            what: "attach",
            device: announced.device.as_ref().map(|device| device.id),
            ticket: number,
            text: format!("{} ({} bytes, SHA-256 {sha256})", announced.name, announced.size),
        };
        self.audit(caller, deed).await?;
        let location = format!("evidence/{number}/{sha256}");
        self.blobs.put(&location, file).await.map_err(internal)?;
        let attachment = attachment(&caller.name, announced, sha256, location);
        let item = attachment.item.clone();
        match self.store.attach(attachment).await.map_err(internal)? {
            Some(same) => self.attached(&same, true).await,
            None => self.attached(&item, false).await,
        }
    }

    async fn attached(&self, item: &EvidenceItem, already: bool) -> Result<AttachReply, Status> {
        let evidence = self.item_shown(item).await.map_err(internal)?;
        Ok(AttachReply { evidence: Some(evidence), already })
    }
}

fn attachment(who: &str, announced: Announced, sha256: String, location: String) -> Attachment {
    let Announced { ticket, device, name, note, size } = announced;
    let (at_ms, colon) = (now_ms(), if note.is_empty() { "" } else { ": " });
    let custody =
        |who: &str, what: &str, text: String| CustodyEntry { at_ms, who: who.into(), what: what.into(), text };
    let mut events = vec![event(
        at_ms,
        who,
        "evidence",
        format!("evidence attached by {who}: {name} ({size} bytes, SHA-256 {sha256}){colon}{note}"),
    )];
    if let Some(device) = device.as_ref().filter(|device| !ticket.devices.contains(&device.id)) {
        events.insert(0, event(at_ms, who, "linked", device.name.clone()));
    }
    Attachment {
        custody: vec![
            custody(who, "attached", format!("by hand, as {name} ({size} bytes, SHA-256 {sha256}){colon}{note}")),
            custody("server", "stored", format!("at {location}, SHA-256 {sha256}")),
        ],
        events,
        item: EvidenceItem {
            id: Uuid::new_v4(),
            ticket: ticket.number,
            device: device.map(|device| device.id),
            collection: None,
            name,
            size,
            sha256,
            stored_ms: at_ms,
            location,
            deleted_ms: 0,
        },
    }
}

/// A name that every system takes, and that shows what it is.
fn file_name(name: &str) -> Result<String, Status> {
    let name = text("the file's name", name, NAME_CHARS_MAX, Lines::One)?;
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let odd = |c: char| c.is_control() || turns(c) || "/\\:*?\"<>|".contains(c);
    if name.is_empty() || name.chars().all(|c| c == '.') || name.contains(odd) {
        return Err(Status::invalid_argument(format!(
            "{name:?} is no name for a file everywhere; give it another (--name)"
        )));
    }
    Ok(name)
}

async fn next(chunks: &mut Streaming<AttachChunk>) -> Result<Option<attach_chunk::Kind>, Status> {
    let message = tokio::time::timeout(CHUNK_TIME, chunks.message()).await;
    let message = message.map_err(|_elapsed| Status::deadline_exceeded("no piece came within a minute"))??;
    message.map(|chunk| chunk.kind.ok_or_else(|| Status::invalid_argument("an empty piece"))).transpose()
}

fn changed(what: &str) -> Status {
    Status::data_loss(format!("{what}; it changed while it was read, or on its way: attach it again"))
}

fn disk(error: std::io::Error) -> Status {
    internal(anyhow::Error::new(error).context("taking in a file"))
}
