//! What a help desk of the tests holds: tickets, notes and files, and who may see them.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use serde_json::Value as Json;

/// A file on a ticket.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// The requester may fetch it.
    pub seen_by_customer: bool,
}

impl File {
    /// SHA-256 of what is in it, lower-case hex.
    pub fn sha256(&self) -> String {
        HEXLOWER.encode(digest(&SHA256, &self.bytes).as_ref())
    }
}

/// A note on a ticket.
#[derive(Clone, Debug)]
pub struct Note {
    /// Its number in the whole desk.
    pub id: u64,
    /// What was sent, as it came.
    pub text: String,
    /// The requester may read it, or was sent it.
    pub seen_by_customer: bool,
}

/// A ticket.
#[derive(Clone, Debug, Default)]
pub struct Ticket {
    /// Its title.
    pub title: String,
    /// What the requester wrote.
    pub text: String,
    /// The requester's name.
    pub name: String,
    /// The requester's address.
    pub mail: String,
    /// Who has it: a group, queue or team by its name.
    pub group: String,
    /// The asset it is about.
    pub asset: String,
    /// What was set besides, by its name or id.
    pub fields: BTreeMap<String, Json>,
    /// Notes, oldest first.
    pub notes: Vec<Note>,
    /// Files, oldest first.
    pub files: Vec<File>,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Kept {
    /// Tickets by their number.
    pub tickets: BTreeMap<u64, Ticket>,
    /// What was uploaded and hangs on nothing yet.
    pub uploads: BTreeMap<String, File>,
    /// Requests that were refused, with the reason.
    pub refused: Vec<String>,
    /// Every request's line.
    pub lines: Vec<String>,
    /// Largest file that is taken.
    pub file_bytes_max: usize,
    last: u64,
}

impl Kept {
    pub(super) fn new(file_bytes_max: usize) -> Self {
        Self { file_bytes_max, last: 100, ..Self::default() }
    }

    /// A number that nothing has yet.
    pub fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Opens a ticket.
    pub fn open(&mut self, ticket: Ticket) -> u64 {
        let number = self.number();
        self.tickets.insert(number, ticket);
        number
    }

    /// Adds a note to a ticket; none where there is no such ticket.
    pub fn note(&mut self, ticket: u64, text: String, seen_by_customer: bool) -> Option<u64> {
        let id = self.number();
        self.tickets.get_mut(&ticket)?.notes.push(Note { id, text, seen_by_customer });
        Some(id)
    }

    /// The ticket of a number as it stands in a path.
    pub fn at(&self, number: &str) -> Option<(u64, &Ticket)> {
        let number = number.parse().ok()?;
        self.tickets.get(&number).map(|ticket| (number, ticket))
    }

    /// The same, to be changed.
    pub fn at_mut(&mut self, number: &str) -> Option<&mut Ticket> {
        self.tickets.get_mut(&number.parse().ok()?)
    }

    /// Everything of a ticket that its requester would see beside what they wrote.
    pub fn customer_sees(&self, ticket: u64) -> Vec<String> {
        let Some(ticket) = self.tickets.get(&ticket) else { return Vec::new() };
        let notes = ticket.notes.iter().filter(|note| note.seen_by_customer).map(|note| note.text.clone());
        let files = ticket.files.iter().filter(|file| file.seen_by_customer).map(|file| file.name.clone());
        notes.chain(files).collect()
    }
}
