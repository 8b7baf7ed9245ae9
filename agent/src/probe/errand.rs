//! On whose behalf a probe takes something of the machine, and where it goes.

use std::fmt;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// On whose behalf, who agreed, and where what is taken is written. The default takes nothing.
#[derive(Default)]
pub struct Errand {
    /// The ticket's number; 0 where somebody at the machine asks.
    pub ticket: u64,
    /// The technician who asks; empty where somebody at the machine does.
    pub asked_by: String,
    /// Who agreed.
    pub consent: String,
    /// What the file will be called.
    pub file: String,
    out: Mutex<Option<Box<dyn Write + Send>>>,
}

impl Errand {
    /// What is taken is written there.
    pub fn into(out: Box<dyn Write + Send>) -> Self {
        Self { out: Mutex::new(Some(out)), ..Self::default() }
    }

    /// Where it is written; only once.
    pub(super) fn take_out(&self) -> Option<Box<dyn Write + Send>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// In words for the one who opens the file.
    pub(super) fn words(&self, what: &str) -> String {
        let whom = if self.asked_by.is_empty() { "somebody at the machine" } else { &self.asked_by };
        let ticket = if self.ticket == 0 { String::new() } else { format!("Ticket {}. ", self.ticket) };
        format!("{ticket}Asked for by {whom}: {what}. Consent: {}.", self.consent)
    }
}

impl fmt::Debug for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Errand").field("ticket", &self.ticket).field("file", &self.file).finish_non_exhaustive()
    }
}
