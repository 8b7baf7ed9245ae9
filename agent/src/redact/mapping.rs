//! The list of pseudonyms and whom they stand for. It exists only where policy allows it, and never leaves the machine.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;

const FILE: &str = "redact.map";
const MODE: u32 = 0o600;

/// Lines of the list; what comes after is not written down.
const LINES_MAX: usize = 100_000;

/// A list that is being written.
#[derive(Debug)]
pub(super) struct Mapping {
    path: PathBuf,
    written: Mutex<BTreeSet<String>>,
}

impl Mapping {
    pub(super) fn open(dir: &Path) -> Self {
        let path = dir.join(FILE);
        let known = fs::read_to_string(&path).unwrap_or_default();
        let known =
            known.lines().filter_map(|line| line.split_once('\t')).map(|(pseudonym, _name)| pseudonym.to_owned());
        Self { path, written: Mutex::new(known.collect()) }
    }

    /// Writes a pseudonym down, once.
    pub(super) fn note(&self, pseudonym: &str, name: &str) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let plain = !name.contains(['\t', '\n']) && pseudonym != name;
        if !plain || written.len() >= LINES_MAX || !written.insert(pseudonym.to_owned()) {
            return;
        }
        if let Err(error) = append(&self.path, &format!("{pseudonym}\t{name}\n")) {
            tracing::warn!(%error, "the list of pseudonyms cannot be written");
        }
    }
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(MODE).open(path)?;
    file.write_all(line.as_bytes())
}

/// Whom a pseudonym stands for.
pub(super) fn read(dir: &Path, pseudonym: &str) -> anyhow::Result<Option<String>> {
    let path = dir.join(FILE);
    let list = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => anyhow::bail!(
            "no list of pseudonyms is kept here; `mapping = true` under [redact] of the agent's settings, or the policy, begins one"
        ),
        list => list.with_context(|| format!("reading {}", path.display()))?,
    };
    let mut lines = list.lines().filter_map(|line| line.split_once('\t'));
    Ok(lines.find(|(known, _name)| *known == pseudonym).map(|(_known, name)| name.to_owned()))
}

/// A list that policy no longer allows does not stay.
pub(super) fn forget(dir: &Path) {
    match fs::remove_file(dir.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "the list of pseudonyms cannot be removed");
        }
        _ => {}
    }
}
