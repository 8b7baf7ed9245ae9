//! Enrolment tokens: what lets a machine in for the first time. Only the SHA-256 of a secret is kept.

use anyhow::Result;
use async_trait::async_trait;

/// A token to be.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its public identity, by which it is listed and revoked.
    pub id: String,
    /// SHA-256 of its secret.
    pub secret_sha256: [u8; 32],
    /// How many machines it lets in.
    pub uses: u32,
    /// Until when, server's clock.
    pub expires_ms: i64,
}

/// A token as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Token {
    /// Its public identity.
    pub id: String,
    /// How many machines it lets in, in all.
    pub uses: u32,
    /// How many it has let in.
    pub used: u32,
    /// When it was made, server's clock.
    pub created_ms: i64,
    /// Until when it is good, server's clock.
    pub expires_ms: i64,
    /// Taken back.
    pub revoked: bool,
}

/// Why a token does not let a machine in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// No such token was ever made here.
    #[error("this token is not known here; ask for a new one (deskside-server token create)")]
    Unknown,
    /// Too late.
    #[error("this token has expired; ask for a new one (deskside-server token create)")]
    Expired,
    /// It has let in as many machines as it may.
    #[error("this token has been used up; ask for a new one (deskside-server token create)")]
    UsedUp,
    /// It was taken back.
    #[error("this token was revoked; ask for a new one (deskside-server token create)")]
    Revoked,
}

/// The tokens.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// Makes one.
    async fn add_token(&self, token: NewToken, now_ms: i64) -> Result<()>;

    /// All of them, newest first.
    async fn tokens(&self) -> Result<Vec<Token>>;

    /// Takes one back. Answers whether there was one.
    async fn revoke_token(&self, id: &str) -> Result<bool>;

    /// What stands against this secret; nothing is used up. Why: a signing request is only worth checking for one who may come in.
    async fn token_refusal(&self, secret_sha256: [u8; 32], now_ms: i64) -> Result<Option<TokenRefusal>>;
}
