//! Technicians and their personal tokens. Only the SHA-256 of a token's secret is kept.

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

/// A technician to be.
#[derive(Clone, Debug)]
pub struct NewTechnician {
    /// Name, unique.
    pub name: String,
    /// Role.
    pub role: Role,
    /// SHA-256 of the personal token's secret.
    pub secret_sha256: [u8; 32],
}

/// A technician.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Technician {
    /// Name, unique.
    pub name: String,
    /// Role.
    pub role: Role,
    /// When the present token was made, server's clock.
    pub added_ms: i64,
    /// Let in no more.
    pub revoked: bool,
}

/// The technicians.
#[async_trait]
pub trait Technicians: Send + Sync {
    /// Adds one, or gives one who is already there (revoked or not) a new role and token; the old token is void.
    async fn add_technician(&self, technician: NewTechnician, now_ms: i64) -> Result<()>;

    /// All of them, by name.
    async fn technicians(&self) -> Result<Vec<Technician>>;

    /// Lets one in no more. Answers whether there was one.
    async fn revoke_technician(&self, name: &str) -> Result<bool>;

    /// Who carries this secret; nobody if it is unknown or revoked.
    async fn technician_by_secret(&self, secret_sha256: [u8; 32]) -> Result<Option<Technician>>;
}
