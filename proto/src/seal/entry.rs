//! The custody log: who did what, in entries that each carry the hash of the one before, and of the one before of the same ticket.
//!
//! Why two chains in one: a ticket's entries can be handed out and proven without those of others. Entries hold hashes of evidence and never its
//! content.

use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

/// One entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// Its place, from 1 up.
    pub number: u64,
    /// When, server's clock, in milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// The technician, the device, "operator", "retention" or "server".
    pub who: String,
    /// The technician's role; empty for others.
    pub role: String,
    /// The address that the call came from; empty where there was none.
    pub peer: String,
    /// What was done: asked, collected, stored, verified, unverified, view, export, exported, held, deleted, denied, query, operate and so on.
    pub what: String,
    /// The device's identity, where there is one.
    pub device: String,
    /// The ticket's number; 0 for none.
    pub ticket: u64,
    /// The item of evidence; empty for none.
    pub evidence: String,
    /// SHA-256 of that item's content, lower-case hex; empty for none.
    pub sha256: String,
    /// Why, or what exactly, in words.
    pub text: String,
    /// Hash of the entry before; empty for the first.
    pub before: String,
    /// Hash of the entry before of the same ticket; empty for its first, and where there is no ticket.
    pub ticket_before: String,
    /// SHA-256 over all of the above, lower-case hex.
    pub hash: String,
}

impl Entry {
    /// What `hash` must be. Each field goes in with its length, so that nothing can be moved from one field to the next.
    pub fn hashed(&self) -> String {
        let (number, at_ms, ticket) = (self.number.to_string(), self.at_ms.to_string(), self.ticket.to_string());
        let fields = [
            "deskside custody v1",
            &number,
            &at_ms,
            &self.who,
            &self.role,
            &self.peer,
            &self.what,
            &self.device,
            &ticket,
            &self.evidence,
            &self.sha256,
            &self.text,
            &self.before,
            &self.ticket_before,
        ];
        let mut hash = Context::new(&SHA256);
        for field in fields {
            hash.update(&(field.len() as u64).to_be_bytes());
            hash.update(field.as_bytes());
        }
        HEXLOWER.encode(hash.finish().as_ref())
    }
}

/// Where a chain does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// An entry's hash is not that of its content.
    #[error("entry {0} was edited: its hash is not that of what it says")]
    Edited(u64),
    /// An entry does not follow from the one before.
    #[error("entry {0} does not follow from the one before it: entries were taken out, put in or put in another order")]
    Unlinked(u64),
    /// Entries that a signed head vouches for are not there.
    #[error("the log ends with entry {0}, and a signed head says that it went on to {1}: its end was cut off")]
    Cut(u64, u64),
    /// The entry that a signed head names is another one.
    #[error("entry {0} is not the one that a signed head names: the log was written anew")]
    Replaced(u64),
}

/// Follows a chain, entry by entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// The ticket whose chain is followed; the whole log's where it is absent.
    ticket: Option<u64>,
    entries: u64,
    number: u64,
    hash: String,
}

impl Links {
    /// Of the whole log.
    pub fn of_log() -> Self {
        Self::default()
    }

    /// Of one ticket.
    pub fn of_ticket(ticket: u64) -> Self {
        Self { ticket: Some(ticket), ..Self::default() }
    }

    /// Takes the next entry.
    pub fn follow(&mut self, entry: &Entry) -> Result<(), Break> {
        if entry.hashed() != entry.hash {
            return Err(Break::Edited(entry.number));
        }
        let follows = match self.ticket {
            None => entry.number == self.number + 1 && entry.before == self.hash,
            Some(ticket) => entry.number > self.number && entry.ticket == ticket && entry.ticket_before == self.hash,
        };
        if !follows {
            return Err(Break::Unlinked(entry.number));
        }
        self.entries += 1;
        self.number = entry.number;
        self.hash.clone_from(&entry.hash);
        Ok(())
    }

    /// Entries so far.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Number of the last.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Hash of the last; empty where there is none.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Whether the chain ends where a head says: so many entries, the last with this hash.
    pub fn ends(&self, entries: u64, hash: &str) -> Result<(), Break> {
        if self.entries < entries {
            return Err(Break::Cut(self.entries, entries));
        }
        if self.entries != entries || self.hash != hash { Err(Break::Replaced(self.number)) } else { Ok(()) }
    }
}
