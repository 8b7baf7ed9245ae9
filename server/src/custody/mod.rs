//! The custody log's proof: signed heads that say where it ends, and the look whether it is whole.
//!
//! Why a head in a file beside the store: one who can write to the store could cut the log's end off, or write all of it anew. The head, signed and
//! written every minute and at the end, tells; and a store that was restored from an older copy is told of too.

mod key;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use deskside_proto::seal::{self, CUSTODY_HEAD, Envelope, Head, Predicate, Statement, Subject, Trust};
use jiff::Timestamp;
use tracing::{error, info};

use crate::identity::Authority;
use crate::store::{Audit, AuditFilter, AuditLine};
use key::Key;

/// Between two heads, where the log has gone on.
const EVERY: Duration = Duration::from_mins(1);

/// Entries about a log that was found broken, that are told.
const BROKEN_MAX: u32 = 10;

/// What an entry about that is called.
const BROKEN: &str = "broken";

/// The log's proof; cheap to clone.
#[derive(Clone)]
pub struct Custody {
    log: Arc<dyn Audit>,
    authority: Arc<Authority>,
    folder: PathBuf,
    key: Arc<Mutex<Option<Key>>>,
}

/// What a look at the whole log came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Entries that are there.
    pub entries: u64,
    /// Entries that the head in the file vouches for; absent where there is none yet.
    pub vouched: Option<u64>,
    /// What is wrong, in sentences; nothing where the log is whole.
    pub wrong: Vec<String>,
}

impl Custody {
    /// On a log; the head lies in the folder.
    pub fn new(log: Arc<dyn Audit>, authority: Arc<Authority>, folder: &Path) -> Self {
        Self { log, authority, folder: folder.to_owned(), key: Arc::default() }
    }

    /// Signs a statement with the server's key for seals.
    pub fn seal<P: Predicate>(&self, statement: &Statement<P>) -> Result<Envelope> {
        let mut held = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = now_ms();
        let key = match held.take() {
            Some(key) if key.is_fresh(now_ms) => held.insert(key),
            _old => held.insert(Key::make(&self.authority)?),
        };
        Ok(key.signer.seal(statement)?)
    }

    /// Where the log ends now, signed; and where one ticket's chain does.
    pub async fn head(&self, ticket: Option<u64>) -> Result<(Head, Envelope)> {
        let head = Head { at_ms: now_ms(), ..self.log.audit_end(ticket).await? };
        let mut subjects = vec![Subject::new("custody", head.hash.clone())];
        if let Some(end) = &head.ticket {
            subjects.push(Subject::new(format!("custody/ticket-{}", end.ticket), end.hash.clone()));
        }
        let envelope = self.seal(&Statement::new(subjects, head.clone()))?;
        Ok((head, envelope))
    }

    /// SHA-256 of the CA's certificate, lower-case hex, and the certificate, DER.
    pub fn ca(&self) -> (String, Vec<u8>) {
        let der = self.authority.certificate().to_vec();
        (seal::fingerprint(&der), der)
    }

    /// Walks the whole log, against the head in the file.
    pub async fn look(&self) -> Result<Look> {
        let mut look = Look::default();
        let head = match self.kept() {
            Ok(head) => head,
            Err(error) => {
                look.wrong.push(format!("{error:#}"));
                None
            }
        };
        look.vouched = head.as_ref().map(|head| head.number);
        let check = self.log.audit_check(head).await?;
        look.entries = check.entries;
        look.wrong.extend(check.broken.map(|broken| broken.to_string()));
        let found = AuditFilter { what: BROKEN.into(), ..AuditFilter::default() };
        let found = self.log.audit_of(found, BROKEN_MAX, true).await?;
        look.wrong.extend(
            found.into_iter().map(|line| format!("found at the start of entry {}: {}", line.number, line.text)),
        );
        Ok(look)
    }

    /// Looks at the log once, tells loudly what is wrong, and then keeps a head in the file; never returns.
    pub async fn keep(self) -> Infallible {
        match self.look().await {
            Ok(look) => self.told(&look).await,
            Err(error) => error!(error = format!("{error:#}"), "the custody log could not be looked at"),
        }
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = self.keep_head().await {
                error!(error = format!("{error:#}"), "the custody log's head was not written");
            }
        }
    }

    /// Writes the head to the file where the log has gone on since.
    pub async fn keep_head(&self) -> Result<()> {
        let kept = self.kept().ok().flatten();
        let (head, envelope) = self.head(None).await?;
        if head.number == 0 || kept.is_some_and(|kept| kept.hash == head.hash) {
            return Ok(());
        }
        let (folder, bytes) = (self.folder.clone(), envelope.write());
        tokio::task::spawn_blocking(move || write(&folder, &bytes)).await?.context("writing the custody log's head")
    }

    /// What was found is in the log, once, so that the next head does not hide it.
    async fn told(&self, look: &Look) {
        let Some(words) = look.wrong.first() else {
            info!(entries = look.entries, "the custody log is whole");
            return;
        };
        error!(
            entries = look.entries,
            wrong = words,
            "THE CUSTODY LOG IS NOT WHOLE; see `deskside-server custody check`"
        );
        if look.wrong.iter().any(|wrong| wrong.starts_with("found at")) {
            return;
        }
        let (at_ms, who, what) = (now_ms(), "server".to_owned(), BROKEN.to_owned());
        let line = AuditLine { at_ms, who, what, text: words.clone(), ..AuditLine::default() };
        if let Err(error) = self.log.add_audit(line).await {
            error!(error = format!("{error:#}"), "that the custody log is not whole could not be written down");
        }
    }

    /// The head in the file.
    fn kept(&self) -> Result<Option<Head>> {
        let path = self.folder.join(CUSTODY_HEAD);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            bytes => bytes.with_context(|| format!("reading {}", path.display()))?,
        };
        let head = seal::read_head(&bytes, &Trust::certificate(self.authority.certificate()));
        Ok(Some(head.with_context(|| format!("the head of the custody log, {}", path.display()))?))
    }
}

fn write(folder: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(folder.join(CUSTODY_HEAD))?;
    Ok(fs::File::open(folder)?.sync_all()?)
}

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}
