//! Error signatures: what programs say goes wrong on this machine, each error once, however often it is said.

mod entry;
mod line;
mod shape;
mod source;
mod template;
mod worth;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use deskside_proto::v1::ErrorSignature;
use prost::Message;
use ring::digest::{SHA256, digest};

use entry::{Entry, hour};
pub use line::Line;
use template::Template;

/// Signatures that are held; the one that was seen longest ago goes first, and is counted.
pub const SIGNATURES_MAX: usize = 500;

/// Longest example and template.
const EXAMPLE_BYTES_MAX: usize = 512;
const TEMPLATE_BYTES_MAX: usize = 320;

/// Most codes of one example that are explained.
const CODES_MAX: usize = 4;

/// Shortcuts from a line's essence to its signature; more are begun anew.
const SHORTCUTS_MAX: usize = 4 * SIGNATURES_MAX;

/// journald's `MESSAGE_ID` of a crash: one id for all programs, so that the text must tell them apart.
const COREDUMP: &str = "fc2e22bc6ee647b6b90729ab34a250b1";

/// What a signature is known by.
pub type Id = [u8; 8];

/// What is written down beside the signatures themselves.
const SELF: &str = "signatures";
const PREFIX: &str = "signature/";

/// The signatures of a machine.
#[derive(Debug, Default)]
pub struct Signatures {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    held: BTreeMap<Id, Entry>,
    shortcuts: HashMap<u64, Id>,
    /// When the first line was looked at.
    began_ms: i64,
    let_go: u64,
    /// Signatures that changed since they were last written down; those not held any more are to go.
    dirty: BTreeSet<Id>,
    dirty_self: bool,
}

/// What a batch of lines holds, to be added once the batch is remembered.
#[derive(Debug, Default)]
pub struct Tally {
    seen: BTreeMap<Id, Entry>,
    now_ms: i64,
    lines: u64,
}

/// What is known at a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// The signatures, the one seen last first. The flags of what is new are not set.
    pub rows: Vec<ErrorSignature>,
    /// Since when signatures are kept.
    pub began_ms: i64,
    /// Signatures that were let go of for want of room, ever.
    pub let_go: u64,
}

/// One thing to write down: a name, and what it holds; nothing where it is to be forgotten.
pub type Note = (String, Option<Vec<u8>>);

impl Signatures {
    /// As they were written down.
    pub fn restored(notes: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let mut inner = Inner::default();
        for (name, value) in notes {
            if name == SELF {
                let text = String::from_utf8_lossy(&value).into_owned();
                let mut numbers = text.split(' ');
                inner.began_ms = numbers.next().and_then(|ms| ms.parse().ok()).unwrap_or_default();
                inner.let_go = numbers.next().and_then(|number| number.parse().ok()).unwrap_or_default();
            } else if let Some(id) = name.strip_prefix(PREFIX).and_then(parse_id)
                && let Ok(row) = ErrorSignature::decode(value.as_slice())
            {
                inner.held.insert(id, Entry::restored(row));
            }
        }
        Self { inner: Mutex::new(inner) }
    }

    /// What lines hold, as sealed rows of `log_events` that were redacted. Nothing is counted yet.
    pub fn tally<'a>(&self, rows: impl Iterator<Item = &'a [u8]>, now_ms: i64) -> Tally {
        let mut tally = Tally { now_ms, ..Tally::default() };
        for row in rows {
            if let Some(line) = Line::of_row(row) {
                self.see(&line, &mut tally);
            }
        }
        tally
    }

    /// Looks at one line.
    pub fn see(&self, line: &Line<'_>, tally: &mut Tally) {
        tally.lines += 1;
        if !worth::is_worth(line.priority, line.message) {
            return;
        }
        let source = source::of(line);
        let template = Template::of(line.message, source.starts_with("systemd"));
        let id = self.id(line, &source, &template);
        // A clock that was ahead must not keep a signature for ever.
        let at_ms = line.at_ms.min(tally.now_ms);
        let entry = tally.seen.entry(id).or_insert_with(|| {
            let held = self.lock().held.contains_key(&id);
            if held { Entry::default() } else { Entry::begun(describe(id, line, source, &template)) }
        });
        entry.count(at_ms, line.priority);
    }

    /// Counts what was tallied. Answers whether anything is to be written down.
    pub fn add(&self, tally: Tally) -> bool {
        let mut inner = self.lock();
        if inner.began_ms == 0 && tally.lines > 0 {
            inner.began_ms = tally.now_ms;
            inner.dirty_self = true;
        }
        for (id, seen) in tally.seen {
            inner.dirty.insert(id);
            match inner.held.get_mut(&id) {
                Some(held) => held.merge(&seen),
                // Let go of between look and count: it comes again with its next line.
                None if seen.row.id.is_empty() => {}
                None => _ = inner.held.insert(id, seen),
            }
        }
        inner.let_go_oldest();
        inner.is_dirty()
    }

    /// What is known now.
    pub fn known(&self, now_ms: i64) -> Known {
        let inner = self.lock();
        let mut rows: Vec<ErrorSignature> = inner.held.values().map(|entry| entry.shown(hour(now_ms))).collect();
        rows.sort_by(|a, b| (b.last_ms, &a.id).cmp(&(a.last_ms, &b.id)));
        Known { rows, began_ms: inner.began_ms, let_go: inner.let_go }
    }

    /// What changed since this was last asked, to be written down.
    pub fn notes(&self) -> Vec<Note> {
        let mut inner = self.lock();
        let dirty = std::mem::take(&mut inner.dirty);
        let row = |id: &Id| inner.held.get(id).map(|entry| entry.shown(entry.hour).encode_to_vec());
        let mut notes: Vec<Note> = dirty.iter().map(|id| (format!("{PREFIX}{}", text(*id)), row(id))).collect();
        if std::mem::take(&mut inner.dirty_self) {
            notes.push((SELF.into(), Some(format!("{} {}", inner.began_ms, inner.let_go).into_bytes())));
        }
        notes
    }

    /// Everything is to be written down again: what was written is gone.
    pub fn forget_written(&self) {
        let mut inner = self.lock();
        inner.dirty = inner.held.keys().copied().collect();
        inner.dirty_self = true;
    }

    /// The identity of a line.
    ///
    /// Why a shortcut: the hash that all machines share is slow beside the one that this process alone knows.
    fn id(&self, line: &Line<'_>, source: &str, template: &Template) -> Id {
        let structure = structure(line);
        let essence = if structure.is_empty() { template.essence.as_str() } else { template.codes.as_str() };
        let mut hasher = DefaultHasher::new();
        (source, &structure, essence).hash(&mut hasher);
        let shortcut = hasher.finish();
        let mut inner = self.lock();
        if let Some(id) = inner.shortcuts.get(&shortcut) {
            return *id;
        }
        let whole = [template::VERSION, source, structure.as_str(), essence].join("\0");
        let id = digest(&SHA256, whole.as_bytes()).as_ref().first_chunk().copied().unwrap_or_default();
        if inner.shortcuts.len() >= SHORTCUTS_MAX {
            inner.shortcuts.clear();
        }
        inner.shortcuts.insert(shortcut, id);
        id
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn let_go_oldest(&mut self) {
        while self.held.len() > SIGNATURES_MAX {
            let oldest = self.held.iter().min_by_key(|(id, entry)| (entry.row.last_ms, **id)).map(|(id, _entry)| *id);
            let Some(oldest) = oldest else { return };
            self.held.remove(&oldest);
            self.dirty.insert(oldest);
            self.let_go += 1;
            self.dirty_self = true;
        }
    }

    fn is_dirty(&self) -> bool {
        self.dirty_self || !self.dirty.is_empty()
    }
}

/// What tells errors apart without a look at their words.
fn structure(line: &Line<'_>) -> String {
    match line.event_id {
        Some(event) => format!("event {event}"),
        None if line.message_id == COREDUMP => String::new(),
        None => line.message_id.to_ascii_lowercase(),
    }
}

/// The row of a signature that was not held.
fn describe(id: Id, line: &Line<'_>, source: String, template: &Template) -> ErrorSignature {
    let found = deskside_proto::codes::find(line.message);
    ErrorSignature {
        id: text(id),
        source,
        unit: line.unit.into(),
        program: line.program.into(),
        priority: line.priority,
        message_id: line.message_id.into(),
        template: cut(&template.text, TEMPLATE_BYTES_MAX).into(),
        example: cut(line.message, EXAMPLE_BYTES_MAX).into(),
        codes: found.iter().take(CODES_MAX).map(ToString::to_string).collect(),
        ..ErrorSignature::default()
    }
}

fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

fn text(id: Id) -> String {
    data_encoding::HEXLOWER.encode(&id)
}

fn parse_id(text: &str) -> Option<Id> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}
