//! Evidence that is packed and not yet stored on the server. It lies in the state folder and outlives sessions and restarts.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use deskside_proto::seal::Signer;
use deskside_proto::v1::{Pack, Reading, UploadBegin};
use prost::Message;
use tokio::sync::{Notify, Semaphore, watch};

use crate::pack::{self, Facts, Taken};
use crate::record::Reader;
use crate::schedule::spread;
use crate::uplink::identity::{Identity, write_whole};
use crate::uplink::line::connect;
use crate::uplink::trust;
use crate::uplink::upload::{UploadError, upload};

/// Bundles that may wait at the same time.
const BUNDLES_MAX: usize = 8;

/// First ceiling of the wait between attempts; it doubles up to [`BACK_OFF_MAX`].
const BACK_OFF: Duration = Duration::from_secs(1);

/// Last ceiling of the wait between attempts.
const BACK_OFF_MAX: Duration = Duration::from_mins(5);

/// What became of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// It is being packed or on its way.
    Open,
    /// The server has it.
    Stored,
    /// The server does not want it.
    Unwanted(String),
}

/// All bundles that wait.
pub(super) struct Outbox {
    state: PathBuf,
    folder: PathBuf,
    seed: u64,
    fates: Mutex<BTreeMap<String, watch::Receiver<Fate>>>,
    /// Wakes those that wait for their next attempt.
    hasten: Notify,
    /// One upload at a time: the line is narrow.
    turn: Semaphore,
}

/// A collection's place in the outbox.
pub(super) struct Place {
    outbox: Arc<Outbox>,
    id: String,
    fate: watch::Receiver<Fate>,
    /// Absent where the bundle is already packed, or somebody else packs it.
    mine: Option<watch::Sender<Fate>>,
}

impl Outbox {
    /// Opens the outbox and goes on with what it holds. What was not packed to its end is removed.
    pub(super) fn open(state: &Path, seed: u64) -> anyhow::Result<Arc<Self>> {
        let folder = state.join("evidence");
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let outbox = Arc::new(Self {
            state: state.to_owned(),
            folder,
            seed,
            fates: Mutex::default(),
            hasten: Notify::new(),
            turn: Semaphore::new(1),
        });
        let mut whole = Vec::new();
        for entry in std::fs::read_dir(&outbox.folder)? {
            let path = entry?.path();
            let begun = path.with_extension("begin");
            if !begun.exists() {
                std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
            } else if path == begun {
                whole.push(path);
            }
        }
        for path in whole {
            let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            match UploadBegin::decode(bytes.as_slice()) {
                Ok(begin) => outbox.resume(begin),
                Err(error) => {
                    tracing::warn!(%error, "evidence is damaged and was removed");
                    std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
                }
            }
        }
        Ok(outbox)
    }

    /// A file for what is taken on the way, which vanishes by itself.
    pub(super) fn scratch(&self) -> anyhow::Result<File> {
        tempfile::tempfile_in(&self.folder).context("making a file for what is taken")
    }

    /// Bundles that wait.
    pub(super) fn waiting(&self) -> usize {
        self.fates.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The server can be reached: those that wait for their next attempt need not wait longer.
    pub(super) fn hasten(&self) {
        self.hasten.notify_waiters();
    }

    /// A place for the collection: a new one, or the one it has.
    pub(super) fn place(self: &Arc<Self>, collection_id: &str) -> anyhow::Result<Place> {
        let id = uuid::Uuid::parse_str(collection_id).context("a collection's identity is a UUID")?.to_string();
        let mut fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fate) = fates.get(&id) {
            return Ok(Place { outbox: Arc::clone(self), id, fate: fate.clone(), mine: None });
        }
        ensure!(fates.len() < BUNDLES_MAX, "{BUNDLES_MAX} bundles already wait to be uploaded; try again later");
        let (mine, fate) = watch::channel(Fate::Open);
        fates.insert(id.clone(), fate.clone());
        Ok(Place { outbox: Arc::clone(self), id, fate, mine: Some(mine) })
    }

    fn resume(self: &Arc<Self>, begin: UploadBegin) {
        let (mine, fate) = watch::channel(Fate::Open);
        let id = begin.collection_id.clone();
        self.fates.lock().unwrap_or_else(PoisonError::into_inner).insert(id, fate);
        tokio::spawn(Arc::clone(self).send(begin, mine));
    }

    fn file(&self, id: &str, kind: &str) -> PathBuf {
        self.folder.join(format!("{id}.{kind}"))
    }

    /// Uploads until the server has the bundle or does not want it.
    async fn send(self: Arc<Self>, begin: UploadBegin, fate: watch::Sender<Fate>) {
        let id = begin.collection_id.clone();
        let mut ceiling = BACK_OFF;
        let ended = loop {
            match self.attempt(&begin).await {
                Ok(()) => break Fate::Stored,
                Err(UploadError::Unwanted(why)) => break Fate::Unwanted(why),
                Err(UploadError::Again(why)) => tracing::info!(collection = id, why, "evidence is not uploaded yet"),
            }
            let wait = spread(self.seed, ceiling.as_secs(), ceiling.as_millis() as u64);
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(wait)) => ceiling = (ceiling * 2).min(BACK_OFF_MAX),
                () = self.hasten.notified() => ceiling = BACK_OFF,
            }
        };
        tracing::info!(collection = id, bytes = begin.size, fate = ?ended, "evidence");
        self.forget(&id);
        fate.send_replace(ended);
    }

    async fn attempt(&self, begin: &UploadBegin) -> Result<(), UploadError> {
        let again = |error: anyhow::Error| UploadError::Again(format!("{error:#}"));
        let _turn = self.turn.acquire().await.map_err(|error| UploadError::Again(error.to_string()))?;
        let identity = Identity::load(&self.state).map_err(again)?;
        let identity = identity.ok_or_else(|| UploadError::Again("this machine is not enrolled".into()))?;
        let tls = trust::mutual(&identity).map_err(again)?;
        let connected = connect(&identity.addresses, tls).await;
        let mut client = connected.map_err(|error| UploadError::Again(error.to_string()))?;
        upload(&mut client, begin, &self.file(&begin.collection_id, "zip")).await
    }

    /// Removes a bundle. Why the begin first: without it the rest is removed at the next start.
    fn forget(&self, id: &str) {
        for kind in ["begin", "zip"] {
            if let Err(error) = std::fs::remove_file(self.file(id, kind)) {
                tracing::debug!(%error, kind, "evidence was not there to be removed");
            }
        }
        self.fates.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// What seals evidence: the device's own key. Why not an error: evidence without a seal is worth more than none, and the server says what it lacks.
fn signer(state: &Path) -> Option<Signer> {
    let signer = Identity::load(state).and_then(|identity| {
        let identity = identity.context("this machine is not enrolled")?;
        Ok(Signer::new(&identity.key, &identity.certificate, &identity.ca)?)
    });
    signer.inspect_err(|error| tracing::error!(error = format!("{error:#}"), "evidence is not sealed")).ok()
}

impl Place {
    /// Nobody has packed this collection yet, or is packing it.
    pub(super) fn is_new(&self) -> bool {
        self.mine.is_some()
    }

    /// Packs the bundle and sends it on its way.
    pub(super) async fn fill(
        &mut self,
        pack: Pack,
        reader: Reader,
        found: (Vec<Reading>, Vec<Taken>),
        facts: Facts,
    ) -> anyhow::Result<()> {
        let (zip, begun) = (self.outbox.file(&self.id, "zip"), self.outbox.file(&self.id, "begin"));
        let (id, state) = (self.id.clone(), self.outbox.state.clone());
        let begin = tokio::task::spawn_blocking(move || -> anyhow::Result<UploadBegin> {
            let mut progress = |words: &str| tracing::debug!(words, "packing");
            let signer = signer(&state);
            let packed = pack::pack(&pack, &reader, found, (&facts, signer.as_ref()), &zip, &mut progress)?;
            let begin =
                UploadBegin { collection_id: id, size: packed.size, sha256: packed.sha256, parts: packed.parts };
            write_whole(&begun, &begin.encode_to_vec())?;
            Ok(begin)
        });
        let begin = begin.await??;
        if let Some(mine) = self.mine.take() {
            tokio::spawn(Arc::clone(&self.outbox).send(begin, mine));
        }
        Ok(())
    }

    /// Waits until the server has the bundle.
    pub(super) async fn stored(mut self) -> anyhow::Result<()> {
        let ended = self.fate.wait_for(|fate| *fate != Fate::Open).await.map(|fate| fate.clone());
        match ended {
            Ok(Fate::Unwanted(why)) => bail!("the server did not take the evidence: {why}"),
            Ok(_) => Ok(()),
            Err(_gone) => bail!("packing was stopped; ask again"),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Packing was stopped or failed: the next one may try.
        if self.mine.is_some() {
            self.outbox.forget(&self.id);
        }
    }
}
