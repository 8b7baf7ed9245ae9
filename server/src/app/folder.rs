//! The data folder: what lies where, and that one server at a time runs on it.

use std::{
    fs::{self, DirBuilder, File},
    io::ErrorKind,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::Addresses;
use crate::{blobs::Blobs, config::Config};

/// The data folder.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

/// Held while a server runs on the folder; the system lets go of it whatever becomes of the process.
pub struct Lock {
    _file: File,
}

impl Folder {
    /// Opens it, or makes it, for its owner alone.
    pub fn open(path: PathBuf) -> Result<Self> {
        make(&path)?;
        Ok(Self { path })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The store's file.
    pub fn store(&self) -> PathBuf {
        self.path.join("store.db")
    }

    /// The authority's folder, made where it is not there.
    pub fn identity(&self) -> Result<PathBuf> {
        let path = self.path.join("identity");
        make(&path)?;
        Ok(path)
    }

    /// Where uploads wait until they are whole.
    pub fn staging(&self) -> PathBuf {
        self.path.join("staging")
    }

    /// Where what technicians attach waits until it is whole.
    pub fn scratch(&self) -> PathBuf {
        self.path.join("scratch")
    }

    /// Evidence at rest: where the configuration says, or a folder in here.
    pub fn blobs(&self, config: &Config) -> Result<Blobs> {
        match &config.evidence.url {
            Some(url) => Blobs::url(url),
            None => Blobs::folder(&self.path.join("objects")),
        }
    }

    /// Takes the folder for one server.
    pub fn lock(&self) -> Result<Lock> {
        let path = self.path.join("server.lock");
        let file = File::create(&path).with_context(|| format!("opening {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(fs::TryLockError::WouldBlock) => {
                bail!(
                    "another deskside-server runs on {}; stop it first, or name another folder with --data",
                    self.path.display()
                )
            }
            Err(fs::TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {}", path.display())),
        }
    }

    /// Writes down where the server is to be reached, whole or not at all.
    pub fn tell(&self, addresses: &Addresses) -> Result<()> {
        let (path, beside) = (self.told(), self.path.join("addresses.json.new"));
        let named = || format!("writing {}", path.display());
        fs::write(&beside, serde_json::to_vec(addresses)?).with_context(named)?;
        fs::rename(&beside, &path).with_context(named)
    }

    /// Where a running server is to be reached; nothing where none runs.
    pub fn addresses(&self) -> Option<Addresses> {
        serde_json::from_slice(&fs::read(self.told()).ok()?).ok()
    }

    /// Takes back what `tell` wrote.
    pub fn untell(&self) -> Result<()> {
        match fs::remove_file(self.told()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("removing addresses.json"),
            _ => Ok(()),
        }
    }

    fn told(&self) -> PathBuf {
        self.path.join("addresses.json")
    }
}

fn make(path: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(path).with_context(|| format!("making the folder {}; may this user write there?", path.display()))
}
