//! The custody log: every question, view, command and export, and all that became of evidence, in entries that are chained by hash and never
//! changed. The audit log is the same log, read by who and what.

use anyhow::Result;
use async_trait::async_trait;
use deskside_proto::seal::{Break, Head};

/// One entry; `number`, `before`, `ticket_before` and `hash` are given by the store.
pub type AuditLine = deskside_proto::seal::Entry;

/// Which entries are wanted. What is empty or 0 is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// By this person, device or part of the server.
    pub who: String,
    /// Of this kind.
    pub what: String,
    /// Of this ticket.
    pub ticket: u64,
    /// Not before this time, server's clock.
    pub since_ms: i64,
    /// Behind the entry of this number.
    pub after: u64,
}

/// What became of the check of the whole log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditCheck {
    /// Entries that are there.
    pub entries: u64,
    /// The first place where the chain does not hold.
    pub broken: Option<Break>,
}

/// The log.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Adds an entry; durable on return.
    async fn add_audit(&self, line: AuditLine) -> Result<()>;

    /// The newest entries, oldest of them first.
    async fn audit(&self, limit: u32) -> Result<Vec<AuditLine>>;

    /// Entries that are wanted, oldest first, so many at most: the first behind `after`, or the newest where that is 0 and `newest` is set.
    async fn audit_of(&self, wanted: AuditFilter, limit: u32, newest: bool) -> Result<Vec<AuditLine>>;

    /// Where the log ends now, and where one ticket's chain does.
    async fn audit_end(&self, ticket: Option<u64>) -> Result<Head>;

    /// Walks the whole chain, and each ticket's; and sees whether the entry that a signed head names is there and the same.
    async fn audit_check(&self, head: Option<Head>) -> Result<AuditCheck>;

    /// Walks the whole chain; answers the number of the first entry that does not hold, if there is one.
    async fn audit_broken_at(&self) -> Result<Option<u64>> {
        Ok(self.audit_check(None).await?.broken.map(|broken| match broken {
            Break::Edited(number) | Break::Unlinked(number) | Break::Cut(number, _) | Break::Replaced(number) => number,
        }))
    }
}
