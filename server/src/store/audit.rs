//! The audit log: every question, view, command and export, in lines that are chained by hash and never changed.

use anyhow::Result;
use async_trait::async_trait;

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct AuditLine {
    /// Its place, from 1 up; given by the store.
    pub number: u64,
    /// When, server's clock.
    pub at_ms: i64,
    /// The technician, or "operator".
    pub who: String,
    /// What was done: show, ask, tail, collect, cancel, view, export, ticket, consent, denied, deleted; operate for the operator.
    pub what: String,
    /// The device's identity, where there is one.
    pub device: String,
    /// The ticket's number; 0 for none.
    pub ticket: u64,
    /// The words.
    pub text: String,
    /// SHA-256 over the line before and this one, lower-case hex; given by the store.
    pub hash: String,
}

/// The log.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Adds a line; durable on return.
    async fn add_audit(&self, line: AuditLine) -> Result<()>;

    /// The newest lines, oldest of them first.
    async fn audit(&self, limit: u32) -> Result<Vec<AuditLine>>;

    /// Walks the whole chain; answers the number of the first line that does not follow from the one before, if there is one.
    async fn audit_broken_at(&self) -> Result<Option<u64>>;
}
