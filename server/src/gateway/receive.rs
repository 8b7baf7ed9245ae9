//! One upload of evidence: staged in a file that a later attempt goes on with, checked, stored, and only then attached to its ticket.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use deskside_proto::seal::{self, Trust};
use deskside_proto::v1::{UploadBegin, UploadChunk, UploadState, upload_chunk};
use tokio::{
    fs::{self, File, OpenOptions},
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Semaphore, mpsc, watch},
};
use tonic::{Status, Streaming};
use tracing::{info, warn};
use uuid::Uuid;

use super::{GatewayParts, StoredUpload, Wanted, service::unavailable};
use crate::blobs::Blobs;
use crate::store::SealSeen;

/// How long the next piece may take.
const CHUNK_TIME: Duration = Duration::from_mins(1);

/// Uploads at a time; more wait.
const UPLOADS_MAX: usize = 64;

/// Bytes after which what has come is flushed to the disk, so that a later attempt may build on it.
const FLUSH_BYTES: u64 = 8 * 1024 * 1024;

/// Parts that a bundle may have.
const PARTS_MAX: usize = 4096;

/// Bytes that are hashed at a time.
const HASH_BYTES: usize = 256 * 1024;

/// A staged file that nobody has gone on with for so long is dropped.
const STAGED_TIME: Duration = Duration::from_hours(30 * 24);

type States = mpsc::Sender<Result<UploadState, Status>>;

/// Where uploads wait until they are whole, and where they go then; cheap to clone.
#[derive(Clone)]
pub struct Staging {
    folder: PathBuf,
    blobs: Blobs,
    bytes_max: u64,
    turns: Arc<Semaphore>,
    /// By collection: the newest attempt's number. Why: after a broken line the agent is back before the old attempt is known to be dead.
    attempts: Arc<Mutex<HashMap<Uuid, Attempts>>>,
}

struct Attempts {
    newest: watch::Sender<u64>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Staging {
    /// In a folder of its own, which is made if it is not there; what lies there too long is dropped.
    pub fn open(folder: &Path, blobs: Blobs, bytes_max: u64) -> Result<Self> {
        let named = || format!("opening the staging folder {}", folder.display());
        std::fs::create_dir_all(folder).with_context(named)?;
        for entry in std::fs::read_dir(folder).with_context(named)? {
            let entry = entry.with_context(named)?;
            let age = entry.metadata().with_context(named)?.modified()?.elapsed().unwrap_or_default();
            if age > STAGED_TIME {
                std::fs::remove_file(entry.path()).with_context(named)?;
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            blobs,
            bytes_max,
            turns: Arc::new(Semaphore::new(UPLOADS_MAX)),
            attempts: Arc::default(),
        })
    }

    /// The file of one content of one collection.
    fn file(&self, collection: Uuid, sha256: &str) -> PathBuf {
        self.folder.join(format!("{collection}-{sha256}"))
    }

    fn attempt(&self, collection: Uuid) -> (watch::Receiver<u64>, Arc<tokio::sync::Mutex<()>>) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.retain(|_collection, attempts| attempts.newest.receiver_count() > 0);
        let attempts = attempts
            .entry(collection)
            .or_insert_with(|| Attempts { newest: watch::Sender::new(0), turn: Arc::default() });
        attempts.newest.send_modify(|number| *number += 1);
        (attempts.newest.subscribe(), Arc::clone(&attempts.turn))
    }
}

/// What was announced.
struct Announced {
    collection: Uuid,
    size: u64,
    sha256: String,
    begin: UploadBegin,
}

/// Takes one upload in.
pub(super) async fn receive(
    device: Uuid,
    parts: &GatewayParts,
    mut chunks: Streaming<UploadChunk>,
    states: &States,
) -> Result<(), Status> {
    let Some(upload_chunk::Kind::Begin(begin)) = next(&mut chunks).await? else {
        return Err(Status::invalid_argument("an upload begins with begin"));
    };
    let announced = announced(begin)?;
    let collection = announced.collection;
    let (mut newest, turn) = parts.staging.attempt(collection);
    let attempt = async {
        let _turn = turn.lock().await;
        let _place = parts.staging.turns.acquire().await;
        let ticket = match parts.uploads.wanted(device, collection).await.map_err(unavailable)? {
            Wanted::Yes { ticket } => ticket,
            Wanted::Stored => return say(states, UploadState { offset: announced.size, stored: true }).await,
            Wanted::No(reason) => return Err(Status::failed_precondition(reason)),
        };
        let file = parts.staging.file(collection, &announced.sha256);
        if announced.size > parts.staging.bytes_max {
            let most = parts.staging.bytes_max;
            let reason = format!("the bundle has {} bytes; {most} are taken at most", announced.size);
            return Err(spoil(device, parts, &announced, reason).await);
        }
        take(device, parts, &announced, &file, &mut chunks, states).await?;
        let seal = sealed((device, collection), parts, &file).await?;
        let location = format!("evidence/{ticket}/{collection}.zip");
        parts.staging.blobs.put_file(&location, &file).await.map_err(unavailable)?;
        let upload = StoredUpload {
            device,
            collection,
            size: announced.size,
            sha256: announced.sha256.clone(),
            location,
            parts: announced.begin.parts.clone(),
            seal,
        };
        parts.uploads.stored(upload).await.map_err(unavailable)?;
        fs::remove_file(&file).await.map_err(disk)?;
        info!(%device, %collection, ticket, bytes = announced.size, "evidence stored");
        say(states, UploadState { offset: announced.size, stored: true }).await
    };
    tokio::select! {
        _newer = newest.changed() => Err(Status::aborted("a newer upload of this collection has begun")),
        done = attempt => done,
    }
}

fn announced(begin: UploadBegin) -> Result<Announced, Status> {
    let collection = Uuid::try_parse(&begin.collection_id)
        .map_err(|_error| Status::invalid_argument("the collection's identity is not one"))?;
    if begin.sha256.len() != 32 || begin.size == 0 || begin.parts.len() > PARTS_MAX {
        return Err(Status::invalid_argument("an upload announces its size, its SHA-256 and a bounded list of parts"));
    }
    Ok(Announced { collection, size: begin.size, sha256: HEXLOWER.encode(&begin.sha256), begin })
}

/// Brings the staged file to its full size and checks it.
async fn take(
    device: Uuid,
    parts: &GatewayParts,
    announced: &Announced,
    path: &Path,
    chunks: &mut Streaming<UploadChunk>,
    states: &States,
) -> Result<(), Status> {
    let mut file = OpenOptions::new().create(true).append(true).open(path).await.map_err(disk)?;
    let mut held = file.metadata().await.map_err(disk)?.len();
    if held > announced.size {
        file.set_len(0).await.map_err(disk)?;
        held = 0;
    }
    let offset = held;
    say(states, UploadState { offset, stored: false }).await?;
    let mut unflushed = 0;
    while held < announced.size {
        let Some(kind) = next(chunks).await? else {
            return Err(short(device, parts, announced, (offset, held)).await);
        };
        let upload_chunk::Kind::Bytes(bytes) = kind else {
            return Err(Status::invalid_argument("an upload has one begin"));
        };
        held += bytes.len() as u64;
        if held > announced.size {
            let reason = format!("more than the announced {} bytes came", announced.size);
            return Err(spoil(device, parts, announced, reason).await);
        }
        file.write_all(&bytes).await.map_err(disk)?;
        unflushed += bytes.len() as u64;
        if unflushed >= FLUSH_BYTES {
            file.sync_data().await.map_err(disk)?;
            unflushed = 0;
        }
    }
    file.sync_all().await.map_err(disk)?;
    if sha256(path).await.map_err(disk)? == announced.sha256 {
        return Ok(());
    }
    if offset == 0 {
        let reason = "the bundle's SHA-256 is not the announced one".to_owned();
        return Err(spoil(device, parts, announced, reason).await);
    }
    // Why: what an earlier attempt left may have suffered (a power cut on this side); the whole is worth one more attempt.
    fs::remove_file(path).await.map_err(disk)?;
    Err(Status::aborted("what had come earlier was damaged; send it again from the beginning"))
}

/// The agent ended the stream before the whole had come. Why not spoiled at once: an agent that stops ends it so, too.
async fn short(device: Uuid, parts: &GatewayParts, announced: &Announced, (offset, held): (u64, u64)) -> Status {
    if held > offset {
        return Status::aborted(format!("{held} of {} bytes came; go on from there", announced.size));
    }
    let reason = format!("{held} bytes came instead of the announced {}", announced.size);
    spoil(device, parts, announced, reason).await
}

/// Drops what came and says so, to the agent and to the ticket.
async fn spoil(device: Uuid, parts: &GatewayParts, announced: &Announced, reason: String) -> Status {
    let path = parts.staging.file(announced.collection, &announced.sha256);
    let removed = match fs::remove_file(&path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    if let Err(error) = removed {
        return disk(error);
    }
    match parts.uploads.spoiled(device, announced.collection, reason.clone()).await {
        Ok(()) => Status::data_loss(reason),
        Err(error) => unavailable(error),
    }
}

/// What the seal of a bundle comes to: it must be whole, and by the device that sent it, for the collection that it answers.
async fn sealed((device, collection): (Uuid, Uuid), parts: &GatewayParts, path: &Path) -> Result<SealSeen, Status> {
    let (path, trust) = (path.to_owned(), Trust::certificate(parts.authority.certificate()));
    let look = move || -> std::io::Result<SealSeen> {
        let file = std::io::BufReader::with_capacity(HASH_BYTES, std::fs::File::open(path)?);
        let (report, sealed) = seal::check_bundle(file, &trust, jiff::Timestamp::now().as_millisecond());
        let Some(sealed) = sealed else {
            return Ok(SealSeen::Bad(report.wrong().unwrap_or("it has none").to_owned()));
        };
        let said = sealed.bundle;
        if said.device.id != device.to_string() {
            return Ok(SealSeen::Bad(format!("it is sealed by another device, {}", said.device.id)));
        }
        if said.collection != collection.to_string() {
            return Ok(SealSeen::Bad(format!("it is sealed for another collection, {}", said.collection)));
        }
        Ok(SealSeen::Good { statement_sha256: sealed.statement_sha256 })
    };
    let seen = tokio::task::spawn_blocking(look).await.map_err(|error| unavailable(error.into()))?.map_err(disk)?;
    if let SealSeen::Bad(why) = &seen {
        warn!(%device, %collection, why, "evidence is not proven");
    }
    Ok(seen)
}

async fn next(chunks: &mut Streaming<UploadChunk>) -> Result<Option<upload_chunk::Kind>, Status> {
    let message = tokio::time::timeout(CHUNK_TIME, chunks.message()).await;
    let message = message.map_err(|_elapsed| Status::deadline_exceeded("no piece came within a minute"))??;
    message.map(|chunk| chunk.kind.ok_or_else(|| Status::invalid_argument("an empty piece"))).transpose()
}

async fn say(states: &States, state: UploadState) -> Result<(), Status> {
    states.send(Ok(state)).await.map_err(|_closed| Status::cancelled("the agent has gone"))
}

async fn sha256(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path).await?;
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let mut piece = vec![0; HASH_BYTES];
    loop {
        let read = file.read(&mut piece).await?;
        if read == 0 {
            return Ok(HEXLOWER.encode(context.finish().as_ref()));
        }
        context.update(piece.get(..read).unwrap_or_default());
    }
}

fn disk(error: std::io::Error) -> Status {
    unavailable(anyhow::Error::new(error).context("staging an upload"))
}
