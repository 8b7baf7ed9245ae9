//! Who asks, what they may, and the line that each question leaves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deskside_proto::invite;
use tokio::sync::Semaphore;
use tonic::codegen::http::HeaderMap;
use tonic::{Request, Status};
use uuid::Uuid;

use super::Desk;
use super::access::{self, Takes};
use super::refusal::internal;
use crate::case::now_ms;
use crate::identity::{self, personal};
use crate::store::{AuditLine, Credential, Role};

/// Tokens that are held as verified; where there are more, all are forgotten and hashed again.
const VERIFIED_MAX: usize = 1_024;

/// How long one is held so.
const VERIFIED_TIME: Duration = Duration::from_mins(5);

/// Hashes at the same time; others wait. Why: each takes 19 MiB and a core, and anyone who can reach the port may ask for one.
const HASHES_MAX: usize = 2;

/// Sessions that are renewed at the same time, about.
const RENEWALS: usize = 16;

/// How exactly the last use is known.
const USED_EVERY_MS: i64 = 60_000;

/// The technician behind a call.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) name: String,
    pub(super) role: Role,
    /// What let them in.
    pub(super) credential: String,
    pub(super) is_session: bool,
    pub(super) expires_ms: i64,
    /// Where the call is from.
    pub(super) peer: String,
}

/// By the SHA-256 of a token: the hash that it was found to be of, and when.
type Known = HashMap<[u8; 32], (String, Instant)>;

/// Tokens whose slow hash was compared a short while ago, by their SHA-256, with the hash that they were found to be of.
///
/// Why that is enough to see a token revoked at once, by another process too: whom it lets in is still read from the store at each call.
#[derive(Clone)]
pub(super) struct Verified {
    known: Arc<Mutex<Known>>,
    turns: Arc<Semaphore>,
    renewals: Arc<[tokio::sync::Mutex<()>; RENEWALS]>,
}

impl Default for Verified {
    fn default() -> Self {
        Self { known: Arc::default(), turns: Arc::new(Semaphore::new(HASHES_MAX)), renewals: Arc::default() }
    }
}

impl Verified {
    /// Whether a token is the one of this hash.
    async fn is(&self, token: &[u8], hash: &str) -> anyhow::Result<bool> {
        let sum = identity::hash(token);
        if self.known().get(&sum).is_some_and(|(of, at)| of == hash && at.elapsed() < VERIFIED_TIME) {
            return Ok(true);
        }
        let _turn = self.turns.acquire().await?;
        let (token, asked) = (token.to_vec(), hash.to_owned());
        let is = tokio::task::spawn_blocking(move || personal::is(&token, &asked)).await?;
        if is {
            let mut known = self.known();
            if known.len() >= VERIFIED_MAX {
                known.clear();
            }
            known.insert(sum, (hash.to_owned(), Instant::now()));
        }
        Ok(is)
    }

    /// A turn to renew a session: calls of one session at the same time renew it once.
    pub(super) async fn renewing(&self, id: &str) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let place = id.bytes().fold(0, |sum, byte| (sum * 31 + usize::from(byte)) % RENEWALS);
        match self.renewals.get(place) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is done, as the audit log says it.
#[derive(Clone, Debug, Default)]
pub(super) struct Deed {
    pub(super) what: &'static str,
    pub(super) device: Option<Uuid>,
    pub(super) ticket: u64,
    pub(super) text: String,
}

impl Desk {
    /// The technician who makes this call, if they may.
    pub(super) async fn admit(&self, call: &str, peer: &str, headers: &HeaderMap) -> Result<Caller, Status> {
        let Some(Takes::Role(least)) = access::takes(call) else {
            return Err(Status::unimplemented(format!("this server does not know {call}; upgrade it")));
        };
        let value = headers.get("authorization").and_then(|value| value.to_str().ok());
        let Some(token) = value.and_then(invite::authorized) else {
            return Err(Status::unauthenticated("no token; log in with `deskside login TOKEN`"));
        };
        let credential = self.credential(&token).await?;
        let caller = Caller {
            name: credential.technician,
            role: credential.role,
            credential: credential.id,
            is_session: credential.is_session,
            expires_ms: credential.expires_ms,
            peer: peer.to_owned(),
        };
        self.must_be(&caller, least, call).await?;
        Ok(caller)
    }

    /// Refuses one whose role is less.
    pub(super) async fn must_be(&self, caller: &Caller, least: Role, what: &str) -> Result<(), Status> {
        if caller.role >= least {
            return Ok(());
        }
        let text = format!("{what} needs {least}");
        self.audit(caller, Deed { what: "denied", text, ..Deed::default() }).await?;
        Err(Status::permission_denied(format!(
            "this takes the role {least}, and {} is {}; ask an administrator",
            caller.name, caller.role
        )))
    }

    /// What a token lets in, if it is good.
    async fn credential(&self, token: &[u8]) -> Result<Credential, Status> {
        let known = self.store.credential(&personal::id(token)).await.map_err(internal)?;
        let Some(mut credential) = known else { return Err(unknown()) };
        if !self.verified.is(token, &credential.hash).await.map_err(internal)? {
            return Err(unknown());
        }
        let now_ms = now_ms();
        if credential.expires_ms <= now_ms && credential.is_session {
            credential = self.gone_on(token, credential).await?;
        } else if credential.expires_ms <= now_ms {
            return Err(Status::unauthenticated(
                "this token has expired; ask for a new one (deskside-server technician renew NAME)",
            ));
        }
        if now_ms - credential.used_ms >= USED_EVERY_MS {
            self.store.used(&credential.id, now_ms).await.map_err(internal)?;
        }
        if personal::is_plain(&credential.hash) {
            let token = token.to_vec();
            let kept = tokio::task::spawn_blocking(move || personal::kept(&token)).await;
            let kept = kept.map_err(anyhow::Error::from).flatten().map_err(internal)?;
            self.store.rehash(&credential.id, &kept.hash).await.map_err(internal)?;
        }
        Ok(credential)
    }

    /// The technician who makes this call, as they were let in.
    pub(super) fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
        let caller = request.extensions().get::<Caller>().cloned();
        caller.ok_or_else(|| Status::internal("nobody looked at who calls; tell the makers of Deskside"))
    }

    /// Writes the line; what cannot be written down is not done.
    pub(super) async fn audit(&self, caller: &Caller, deed: Deed) -> Result<(), Status> {
        let line = AuditLine {
            at_ms: now_ms(),
            who: caller.name.clone(),
            role: caller.role.to_string(),
            peer: caller.peer.clone(),
            what: deed.what.to_owned(),
            device: deed.device.map(|device| device.to_string()).unwrap_or_default(),
            ticket: deed.ticket,
            text: deed.text,
            ..AuditLine::default()
        };
        self.store.add_audit(line).await.map_err(internal)
    }
}

fn unknown() -> Status {
    Status::unauthenticated(
        "this token is not known here or was revoked; ask for one (deskside-server technician add NAME)",
    )
}
