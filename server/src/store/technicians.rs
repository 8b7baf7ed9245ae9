//! Technicians, and what lets them in: personal tokens, and sessions of the identity provider. Only hashes of them are kept.

use std::{fmt, str::FromStr};

use anyhow::Result;
use async_trait::async_trait;

/// What a technician may do; each role may all that the one before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Asks machines, collects evidence, works on tickets.
    Technician,
    /// Everything.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Viewer => "viewer",
            Self::Technician => "technician",
            Self::Admin => "admin",
        })
    }
}

impl FromStr for Role {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "viewer" => Ok(Self::Viewer),
            "technician" => Ok(Self::Technician),
            "admin" => Ok(Self::Admin),
            other => anyhow::bail!("no role {other:?}: there are viewer, technician and admin"),
        }
    }
}

/// What lets a technician in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCredential {
    /// What it is looked up by.
    pub id: String,
    /// What is kept of it, in the PHC string format.
    pub hash: String,
    /// Until when it is good, server's clock.
    pub expires_ms: i64,
}

/// A technician to be.
#[derive(Clone, Debug)]
pub struct NewTechnician {
    /// Name, unique.
    pub name: String,
    /// Role.
    pub role: Role,
    /// The personal token.
    pub credential: NewCredential,
}

/// One who comes by the identity provider.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Name, unique.
    pub name: String,
    /// Who it is at the provider: "issuer subject".
    pub subject: String,
    /// Role, by group.
    pub role: Role,
    /// What lets them in.
    pub credential: NewCredential,
    /// What the session is renewed with, sealed; empty for none.
    pub renewal: Vec<u8>,
}

/// A technician.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Technician {
    /// Name, unique.
    pub name: String,
    /// Role.
    pub role: Role,
    /// Who it is at the identity provider, as "issuer subject"; empty where the name is known here alone.
    pub subject: String,
    /// When they were added, or last given another role by token, server's clock.
    pub added_ms: i64,
    /// When they last asked for something, server's clock; 0 for never.
    pub used_ms: i64,
    /// Until when the personal token is good, server's clock; 0 where there is none.
    pub expires_ms: i64,
    /// Sessions of the identity provider that are open.
    pub sessions: u32,
    /// Let in no more.
    pub revoked: bool,
}

/// What let a technician in, as it stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// What it is looked up by.
    pub id: String,
    /// Whose it is.
    pub technician: String,
    /// Their role.
    pub role: Role,
    /// A session of the identity provider, and no personal token.
    pub is_session: bool,
    /// What is kept of it.
    pub hash: String,
    /// Until when it is good, server's clock.
    pub expires_ms: i64,
    /// When it was last used, server's clock, to the minute.
    pub used_ms: i64,
    /// What it is renewed with, sealed; empty for none.
    pub renewal: Vec<u8>,
}

/// Why one who comes by the identity provider is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionRefusal {
    /// Somebody else has the name.
    #[error("the name is somebody else's here; ask an administrator for another one at the identity provider")]
    NameTaken,
    /// Taken back.
    #[error("this technician was revoked here; ask an administrator")]
    Revoked,
}

/// The technicians.
#[async_trait]
pub trait Technicians: Send + Sync {
    /// Adds one, or gives one who is already there (revoked or not) a new role and token; what let them in before is void.
    async fn add_technician(&self, technician: NewTechnician, now_ms: i64) -> Result<()>;

    /// Gives one who is let in a new token in the place of the one of before. Answers whether there was one.
    async fn renew_token(&self, name: &str, credential: NewCredential, now_ms: i64) -> Result<bool>;

    /// All of them, by name.
    async fn technicians(&self) -> Result<Vec<Technician>>;

    /// Lets one in no more. Answers whether there was one.
    async fn revoke_technician(&self, name: &str) -> Result<bool>;

    /// What this identity lets in; nothing where it is unknown or was revoked.
    async fn credential(&self, id: &str) -> Result<Option<Credential>>;

    /// Keeps a credential by another hash.
    async fn rehash(&self, id: &str, hash: &str) -> Result<()>;

    /// Notes that a credential was used.
    async fn used(&self, id: &str, now_ms: i64) -> Result<()>;

    /// Opens a session, for a technician who is known by its subject, or a new one.
    async fn open_session(&self, session: NewSession, now_ms: i64) -> Result<Result<(), SessionRefusal>>;

    /// Goes on with a session: the role as it is now, what it is renewed with next, and until when.
    async fn renew_session(&self, id: &str, role: Role, renewal: Vec<u8>, expires_ms: i64) -> Result<()>;

    /// Ends a session, or a token.
    async fn end_credential(&self, id: &str) -> Result<()>;
}
