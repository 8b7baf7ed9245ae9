//! Help desks that a company already has: how tickets there are read, how they come to be cases here, and how evidence gets back to them.
//!
//! One trait, one file per system. Everything that comes from a help desk is a stranger's text: it is bounded where it is read and escaped
//! where it is written. A hook is a hint: what is true of a ticket is asked of the help desk itself.

mod answer;
mod desks;
mod escalation;
mod file;
mod foreign;
mod freshservice;
mod glpi;
mod glpi_v2;
pub mod hooks;
mod http;
mod inline;
mod itop;
mod jira;
pub mod mac;
mod markup;
mod note;
mod osticket;
pub mod outbox;
mod post;
mod redmine;
mod request_tracker;
mod servicenow;
mod summary;
mod told;
mod trouble;
mod webhook;
mod which;
mod zammad;
mod zendesk;
mod znuny;

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use reqwest::header::HeaderMap;

pub use desks::HelpDesks;
pub use file::File;
pub use foreign::{Foreign, Person};
pub use http::{Answered, Doing, Http, secret, sensitive};
pub use note::{Note, Posted, marker_line};
pub use trouble::{Refused, Trouble};

use crate::config::HelpDeskConfig;

/// The systems, each with a file of its own.
pub const KINDS: &[Kind] = &[
    freshservice::KIND,
    glpi::KIND,
    glpi_v2::KIND,
    itop::KIND,
    jira::KIND,
    osticket::KIND,
    redmine::KIND,
    request_tracker::KIND,
    servicenow::KIND,
    webhook::KIND,
    zammad::KIND,
    zendesk::KIND,
    znuny::KIND,
];

/// How far back a check asks for escalated tickets.
const CHECKED_MS: i64 = 24 * 3_600 * 1_000;

/// A system that can be configured.
#[derive(Clone, Copy)]
pub struct Kind {
    /// As the configuration calls it.
    pub name: &'static str,
    /// What it may be told beyond what all are told, in `[help_desk.options]`; anything else there is refused.
    pub options: &'static [&'static str],
    /// Makes one. Nothing is sent yet.
    pub make: fn(&HelpDeskConfig) -> Result<Arc<dyn HelpDesk>>,
}

/// Values for fields of a ticket there, by the field's name, as the configuration says them.
pub type Fields = std::collections::BTreeMap<String, String>;

/// What one help desk can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// What becomes of files.
    pub attachments: Attachments,
    /// Longest text of a note, bytes; a longer one is cut and says so.
    pub note_bytes_max: usize,
    /// How its hooks prove that they are its own.
    pub hooks: Hooks,
    /// Tickets that were escalated can be asked for, so that no hook is needed.
    pub polls: bool,
}

/// What becomes of files that are attached to a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachments {
    /// None are taken.
    None,
    /// Whoever sees the ticket sees them: evidence is never put there.
    Public {
        /// Largest file, bytes.
        bytes_max: u64,
    },
    /// Staff alone sees them.
    Private {
        /// Largest file, bytes.
        bytes_max: u64,
        /// The file goes with its note in one request, as [`Note::file`], and `attach` is not called.
        with_note: bool,
    },
}

/// How hooks prove that they are the help desk's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hooks {
    /// There are none.
    None,
    /// A message authentication code over the raw body; the scheme's name.
    Mac(&'static str),
    /// A shared secret in a header of this name.
    Secret(&'static str),
}

/// What a hook says: which ticket to read again. It is no more than a hint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// The ticket's identity there.
    pub ticket: String,
    /// This delivery's identity; the same one is taken once.
    pub delivery: String,
    /// The ticket itself, from a help desk that cannot be asked for it: only then is it not read again.
    pub told: Option<Box<Foreign>>,
}

/// One help desk. Each method is one or a few requests with bounds; none retries by itself.
#[async_trait]
pub trait HelpDesk: Send + Sync {
    /// What it can do.
    fn abilities(&self) -> Abilities;

    /// One ticket.
    async fn read(&self, id: &str) -> Result<Foreign, Trouble>;

    /// Tickets by words, or by number.
    async fn find(&self, words: &str) -> Result<Vec<Foreign>, Trouble>;

    /// Tickets that are escalated and changed since then. For those that have no hooks, and in case one is lost.
    async fn escalated(&self, since_ms: i64) -> Result<Vec<Foreign>, Trouble>;

    /// The note with this marker, if it is there already.
    async fn noted(&self, id: &str, marker: &str) -> Result<Option<Posted>, Trouble>;

    /// Posts an internal note: staff alone sees it.
    async fn note(&self, id: &str, note: &Note) -> Result<Posted, Trouble>;

    /// Attaches a file to a note. Only called where files stay private and do not go with their note.
    async fn attach(&self, id: &str, file: &File, posted: &Posted) -> Result<(), Trouble>;

    /// Sets fields of a ticket.
    async fn set(&self, id: &str, fields: &Fields) -> Result<(), Trouble>;

    /// Reads a hook: its code is checked on the raw body before anything of it is read.
    fn hook(&self, headers: &HeaderMap, raw: &[u8], now_ms: i64) -> Result<Hint, Refused>;
}

/// Makes the help desk that a configuration describes.
pub fn open(config: &HelpDeskConfig) -> Result<Arc<dyn HelpDesk>> {
    let named = || format!("the help desk {:?}", config.name);
    let kinds = || KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
    let kind = KINDS.iter().find(|kind| kind.name == config.kind);
    let kind = kind.with_context(|| format!("{}: no kind {:?}; there are {}", named(), config.kind, kinds()))?;
    for option in config.options.keys() {
        let known = kind.options.contains(&option.as_str());
        ensure!(known, "{}: {} knows no option {option:?}; it knows {:?}", named(), kind.name, kind.options);
    }
    (kind.make)(config).with_context(named)
}

/// Whether the help desk of a configuration answers as it should.
pub async fn check(config: &HelpDeskConfig) -> Result<String> {
    let desk = open(config)?;
    if !desk.abilities().polls {
        return Ok(format!("{}: well configured; it can only be heard, and was not asked", config.kind));
    }
    let found = desk.escalated(crate::case::now_ms() - CHECKED_MS).await?;
    Ok(format!("{}: answers; escalated and changed in the last 24 hours: {}", config.kind, found.len()))
}
