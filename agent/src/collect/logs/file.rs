//! One log file followed through appends, rotation by rename, truncation and re-creation, and over restarts of the agent.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use jiff::{Timestamp, Zoned};
use ring::digest;

use super::Position;
use super::batch::Batch;
use super::entry::file_event;
use super::lines::{Entry, Joiner, Splitter};

/// Bytes read at once.
const CHUNK_BYTES: usize = 32 * 1024;
/// First bytes of a file by which it is known again.
const MARK_BYTES: u64 = 256;
/// The very first start looks at this much of a file's end.
const FIRST_BYTES: u64 = 256 * 1024;
/// Rotated files that are read one after the other to catch up.
const ROTATED_MAX: usize = 16;
/// What rotation adds to names once it has compressed a file.
const COMPRESSED: &[&str] = &[".gz", ".xz", ".bz2", ".zst"];

/// A log by its path, whichever file is behind it.
pub(super) struct LogFile {
    path: PathBuf,
    source: String,
    open: Option<Open>,
    /// Files that were rotated away and come before the one that is at the path now.
    rotated: VecDeque<PathBuf>,
    splitter: Splitter,
    joiner: Joiner,
    /// Events up to this offset have been handed out.
    handed: u64,
    /// Entries that begin before this offset count only if they are not older than this.
    first: Option<(u64, i64)>,
    unreadable: Option<String>,
}

struct Open {
    file: File,
    id: FileId,
}

/// What a file is known again by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
    mark_bytes: u64,
    mark: u64,
}

impl LogFile {
    /// A log that is followed for the first time: what lies in it counts if it is not older than `first_from_ms`.
    pub(super) fn new(path: PathBuf, first_from_ms: i64) -> Self {
        let source = path.display().to_string();
        let mut log = Self {
            path,
            source,
            open: None,
            rotated: VecDeque::new(),
            splitter: Splitter::default(),
            joiner: Joiner::default(),
            handed: 0,
            first: None,
            unreadable: None,
        };
        let path = log.path.clone();
        log.open_at(&path, 0);
        let length = log.open.as_ref().and_then(|open| open.file.metadata().ok()).map_or(0, |facts| facts.len());
        if length > 0 {
            log.restart(length.saturating_sub(FIRST_BYTES));
            log.first = Some((length, first_from_ms));
        }
        log
    }

    /// A log that is read on from a kept position. Returns what was lost meanwhile, in words.
    pub(super) fn resume(path: PathBuf, position: &str, first_from_ms: i64) -> (Self, Option<String>) {
        let Some((id, offset)) = kept(position) else { return (Self::new(path, first_from_ms), None) };
        let mut log = Self::new(path.clone(), first_from_ms);
        if let Some(open) = &log.open
            && open.is(&id, offset)
        {
            log.restart(offset);
            return (log, None);
        }
        if let Some(old) = find_rotated(&path, &id, offset) {
            log.queue_after(&old);
            log.open_at(&old, offset);
            return (log, None);
        }
        log.open_at(&path, 0);
        let lost = format!(
            "{} was rotated or emptied while it was not followed; what stood at its end may be missing",
            path.display()
        );
        (log, Some(lost))
    }

    /// A log that has just come into being: all of it counts.
    pub(super) fn fresh(path: PathBuf) -> Self {
        let mut log = Self::new(path, 0);
        log.restart(0);
        log
    }

    /// Its path, as events name it.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// The position that covers what has been handed out.
    pub(super) fn position(&self) -> Option<Position> {
        let FileId { device, inode, mark_bytes, mark } = self.open.as_ref()?.id;
        let at = format!("{device:x}:{inode:x}:{}:{mark_bytes:x}:{mark:x}", self.handed);
        Some(Position { source: self.source.clone(), at })
    }

    /// An entry waits for the line that may belong to it.
    pub(super) fn waits(&self) -> bool {
        self.joiner.waits()
    }

    /// Why the file cannot be read, once.
    pub(super) fn complaint(&mut self) -> Option<String> {
        self.unreadable.take()
    }

    /// Reads on until the batch is full or nothing is left.
    pub(super) fn read(&mut self, batch: &mut Batch, now: &Zoned) {
        if self.open.is_none() {
            let path = self.path.clone();
            self.open_at(&path, 0);
        }
        self.check_in_place(batch, now);
        while !batch.full() {
            if !self.read_chunk(batch, now) && !self.turn(batch, now) {
                break;
            }
        }
        if !batch.full()
            && let Some(entry) = self.joiner.due(ms(now), false)
        {
            self.hand_out(&entry, batch, now);
        }
    }

    /// False at the end of the file.
    fn read_chunk(&mut self, batch: &mut Batch, now: &Zoned) -> bool {
        let Some(open) = &mut self.open else { return false };
        let mut chunk = vec![0; CHUNK_BYTES];
        let got = match open.file.read_at(&mut chunk, self.splitter.offset()) {
            Ok(got) => got,
            Err(error) => {
                self.unreadable = Some(format!("{} is not read: {error}", self.path.display()));
                return false;
            }
        };
        open.learn();
        let mut rest = chunk.get(..got).unwrap_or_default();
        while !rest.is_empty() && !batch.full() {
            let (behind, line) = self.splitter.line(rest);
            rest = behind;
            if let Some(line) = line
                && let Some(entry) = self.joiner.push(line, ms(now))
            {
                self.hand_out(&entry, batch, now);
            }
        }
        got > 0
    }

    /// At the end of a file: whether another has taken its place, and then on to the next.
    fn turn(&mut self, batch: &mut Batch, now: &Zoned) -> bool {
        let Some(open) = &self.open else { return false };
        let current = std::fs::metadata(&self.path).ok();
        if current.is_some_and(|facts| open.is_file(&facts)) && self.rotated.is_empty() {
            return false;
        }
        if self.rotated.is_empty() {
            if !self.path.exists() {
                return false;
            }
            self.queue_newer(open.file.metadata().ok());
        }
        // Written between the end that was seen and the rename.
        if self.read_chunk(batch, now) {
            return true;
        }
        self.end(batch, now);
        let next = self.rotated.pop_front().unwrap_or_else(|| self.path.clone());
        self.open_at(&next, 0);
        self.open.is_some()
    }

    /// Truncation, or other bytes under the same name and number: what was copied away is read first, then from the start.
    fn check_in_place(&mut self, batch: &mut Batch, now: &Zoned) {
        let offset = self.splitter.offset();
        let Some(open) = &self.open else { return };
        let at_path = std::fs::metadata(&self.path).is_ok_and(|facts| open.is_file(&facts));
        if !at_path || open.is(&open.id, offset) {
            return;
        }
        if let Some(old) = find_rotated(&self.path, &open.id, offset) {
            self.queue_after(&old);
            let partial = std::mem::take(&mut self.splitter);
            self.open_at(&old, offset);
            self.splitter = partial;
        } else {
            self.end(batch, now);
            self.restart(0);
            if let Some(open) = &mut self.open {
                open.id.mark_bytes = 0;
                open.learn();
            }
        }
    }

    /// Hands out what is left of a file that nothing is added to any more.
    fn end(&mut self, batch: &mut Batch, now: &Zoned) {
        let rest = self.splitter.rest();
        let before = rest.and_then(|line| self.joiner.push(line, ms(now)));
        for entry in before.into_iter().chain(self.joiner.due(0, true)) {
            self.hand_out(&entry, batch, now);
        }
    }

    fn hand_out(&mut self, entry: &Entry, batch: &mut Batch, now: &Zoned) {
        self.handed = entry.end;
        if entry.text.is_empty() {
            return;
        }
        if self.first.is_some_and(|(until, _from_ms)| entry.start >= until) {
            self.first = None;
        }
        if self.first.is_none() && !batch.admit() {
            return;
        }
        let (event, dated) = file_event(&self.source, entry, now);
        if let Some((_until, from_ms)) = self.first
            && (!dated || event.at_ms < from_ms || !batch.admit())
        {
            return;
        }
        batch.push(event);
    }

    fn open_at(&mut self, path: &Path, offset: u64) {
        self.restart(offset);
        self.open = match Open::new(path) {
            Ok(open) => Some(open),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                self.unreadable = Some(format!("{} is not read: {error}", path.display()));
                None
            }
        };
    }

    fn restart(&mut self, offset: u64) {
        self.splitter.restart(offset);
        self.joiner = Joiner::default();
        self.handed = offset;
        self.first = None;
    }

    fn queue_after(&mut self, old: &Path) {
        self.queue_newer(std::fs::metadata(old).ok());
    }

    /// Rotated files that were written after another one, oldest first.
    fn queue_newer(&mut self, than: Option<Metadata>) {
        let Some(than) = than else { return };
        let written = |facts: &Metadata| (facts.mtime(), facts.mtime_nsec());
        let mut newer: Vec<_> = rotated(&self.path)
            .filter_map(|path| Some((std::fs::metadata(&path).ok()?, path)))
            .filter(|(facts, _path)| facts.ino() != than.ino() && written(facts) > written(&than))
            .collect();
        newer.sort_by_key(|(facts, _path)| written(facts));
        self.rotated = newer.into_iter().map(|(_facts, path)| path).take(ROTATED_MAX).collect();
    }
}

impl Open {
    fn new(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let facts = file.metadata()?;
        let id = FileId { device: facts.dev(), inode: facts.ino(), mark_bytes: 0, mark: 0 };
        let mut open = Self { file, id };
        open.learn();
        Ok(open)
    }

    /// Takes the first bytes as the file's mark, until there are enough of them.
    fn learn(&mut self) {
        if self.id.mark_bytes < MARK_BYTES {
            (self.id.mark_bytes, self.id.mark) = self.mark(MARK_BYTES);
        }
    }

    /// The number of first bytes, at most as many as asked for, and their hash.
    fn mark(&self, bytes: u64) -> (u64, u64) {
        let mut first = [0; MARK_BYTES as usize];
        let first = first.get_mut(..bytes.min(MARK_BYTES) as usize).unwrap_or_default();
        let got = self.file.read_at(first, 0).unwrap_or_default();
        let hash = digest::digest(&digest::SHA256, first.get(..got).unwrap_or_default());
        let hash = hash.as_ref().first_chunk().map_or(0, |eight| u64::from_be_bytes(*eight));
        (got as u64, hash)
    }

    fn is_file(&self, facts: &Metadata) -> bool {
        (facts.dev(), facts.ino()) == (self.id.device, self.id.inode)
    }

    /// Whether this is the file that is known by `id`, and has been read to `offset`.
    fn is(&self, id: &FileId, offset: u64) -> bool {
        let same = (self.id.device, self.id.inode) == (id.device, id.inode);
        same && self.begins(id, offset)
    }

    fn begins(&self, id: &FileId, offset: u64) -> bool {
        let long = self.file.metadata().is_ok_and(|facts| facts.len() >= offset);
        long && self.mark(id.mark_bytes) == (id.mark_bytes, id.mark)
    }
}

/// The rotated file that a place in it is known of: the same file renamed, or a copy of it.
fn find_rotated(path: &Path, id: &FileId, offset: u64) -> Option<PathBuf> {
    let mut copy = None;
    for candidate in rotated(path) {
        let Ok(open) = Open::new(&candidate) else { continue };
        if open.is(id, offset) {
            return Some(candidate);
        }
        if id.mark_bytes > 0 && open.begins(id, offset) {
            copy = Some(candidate);
        }
    }
    copy
}

/// Files beside a log whose names are its name and more.
fn rotated(path: &Path) -> impl Iterator<Item = PathBuf> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = path.parent().and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten();
    beside.filter_map(move |entry| {
        let entry = entry.ok()?;
        let other = entry.file_name().into_string().ok()?;
        let more = other.strip_prefix(&name).is_some_and(|more| more.starts_with(['.', '-']));
        (more && !COMPRESSED.iter().any(|end| other.ends_with(end))).then(|| entry.path())
    })
}

fn kept(position: &str) -> Option<(FileId, u64)> {
    let mut parts = position.split(':');
    let mut hex = |decimal: bool| u64::from_str_radix(parts.next()?, if decimal { 10 } else { 16 }).ok();
    let (device, inode, offset) = (hex(false)?, hex(false)?, hex(true)?);
    Some((FileId { device, inode, mark_bytes: hex(false)?, mark: hex(false)? }, offset))
}

fn ms(now: &Zoned) -> u64 {
    Timestamp::as_millisecond(now.timestamp()).cast_unsigned()
}
