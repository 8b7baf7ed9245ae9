//! One log followed through appends, every kind of rotation, and restarts of the agent.
//!
//! A log is what its writer writes, one line after the other; where its parts lie, under which names, compressed or not, changes. A place in
//! it is therefore kept as the file that was read and the offset in it, and that file is looked for wherever rotation may have put it.

use std::collections::VecDeque;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deskside_proto::log_line::Clock;
use jiff::Zoned;
use jiff::tz::TimeZone;

use super::Position;
use super::batch::Batch;
use super::entry::file_event;
use super::lines::{Code, Entry, Joiner, Splitter};
use super::origin::{FileId, Origin};
use super::rotated::{self, Patterns};

/// The very first start looks at this much of a file's end.
const FIRST_BYTES: u64 = 256 * 1024;
/// Files of a log that are remembered as read, since rotation may still rename, copy or compress them.
const DONE_MAX: usize = 8;

/// What reading needs, and gives back to.
pub(super) struct Reading<'a, 'b> {
    pub(super) batch: &'a mut Batch<'b>,
    pub(super) now: &'a Zoned,
    pub(super) booted_ms: Option<i64>,
    /// Room for the bytes that are read at once.
    pub(super) chunk: &'a mut [u8],
}

/// A log by its path, whichever file is behind it.
pub(super) struct LogFile {
    path: PathBuf,
    source: String,
    patterns: Arc<Patterns>,
    /// Of times that name no zone, where it is not the machine's.
    zone: Option<TimeZone>,
    open: Option<Origin>,
    /// What was open last, and how far its events have been handed out.
    id: FileId,
    handed: u64,
    /// Files that were rotated away and come before the one that is at the path now.
    rotated: VecDeque<Origin>,
    /// Files that are read to an offset, and that nothing is expected of.
    done: VecDeque<(FileId, u64)>,
    splitter: Splitter,
    joiner: Joiner,
    /// Entries that begin before this offset count only if they are not older than this.
    first: Option<(u64, i64)>,
    last_ms: Option<i64>,
    unreadable: Option<String>,
    /// What may be missing.
    lost: Option<String>,
}

impl LogFile {
    fn closed(path: PathBuf, patterns: Arc<Patterns>) -> Self {
        Self {
            source: path.display().to_string(),
            joiner: Joiner::new(patterns.entries(&path)),
            zone: patterns.source(&path).and_then(|(_source, zone)| zone.clone()),
            path,
            patterns,
            open: None,
            id: FileId::default(),
            handed: 0,
            rotated: VecDeque::new(),
            done: VecDeque::new(),
            splitter: Splitter::default(),
            first: None,
            last_ms: None,
            unreadable: None,
            lost: None,
        }
    }

    /// A log that is followed for the first time: what lies in it counts if it is not older than `first_from_ms`.
    pub(super) fn new(path: PathBuf, patterns: Arc<Patterns>, first_from_ms: i64) -> Self {
        let mut log = Self::closed(path, patterns);
        log.open_at_path();
        let length = log.open.as_ref().and_then(|open| open.facts().ok()).map_or(0, |facts| facts.len());
        if length > 0 {
            log.restart(length.saturating_sub(FIRST_BYTES) & !1);
            log.first = Some((length, first_from_ms));
        }
        log
    }

    /// A log that has just come into being: all of it counts.
    pub(super) fn fresh(path: PathBuf, patterns: Arc<Patterns>) -> Self {
        let mut log = Self::closed(path, patterns);
        log.open_at_path();
        log
    }

    /// A log that is read on from a kept position. Returns what was lost meanwhile, in words.
    pub(super) fn resume(
        path: PathBuf,
        patterns: Arc<Patterns>,
        position: &str,
        first_from_ms: i64,
    ) -> (Self, Option<String>) {
        let Some((id, offset, done)) = kept(position) else {
            return (Self::new(path, patterns, first_from_ms), None);
        };
        let mut log = Self::closed(path, patterns);
        log.done = done;
        log.open_at_path();
        if log.open.as_mut().is_some_and(|open| open.is(&id, offset)) {
            log.restart(offset);
            if id.mark_bytes == 0 {
                log.queue_missed();
            }
            return (log, None);
        }
        let sought = rotated::find(&log.path, &log.patterns, &id, offset);
        if let Some(old) = sought.found {
            log.queue_newer(&old);
            log.begin(old, offset);
            return (log, None);
        }
        let mut lost = format!(
            "{} was rotated or emptied while it was not followed; what stood at its end may be missing",
            log.path.display()
        );
        lost.extend(sought.refused.map(|refused| format!("; {refused}")));
        (log, (offset > 0).then_some(lost))
    }

    /// Its path, as events name it.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// The position that covers what has been handed out.
    pub(super) fn position(&self) -> Position {
        let [device, inode, mark_bytes, mark] = self.id.parts();
        let mut at = format!("{device}:{inode}:{}:{mark_bytes}:{mark}", self.handed);
        for (id, end) in &self.done {
            at.extend([",", &id.parts().join("."), ".", &format!("{end:x}")]);
        }
        Position { source: self.source.clone(), at }
    }

    /// An entry waits for the line that may belong to it.
    pub(super) fn waits(&self) -> bool {
        self.joiner.waits()
    }

    /// Why the file cannot be read, or what of it is missing, once.
    pub(super) fn complaint(&mut self) -> Option<String> {
        self.unreadable.take().or_else(|| self.lost.take())
    }

    /// How far another file has been read as a part of this log; absent where it is none.
    pub(super) fn has_read(&self, other: &mut Origin) -> Option<Had> {
        if let Some((_id, end)) = self.done.iter().find(|(id, _end)| other.is_same(id)) {
            return Some(Had::To(*end));
        }
        let current = self.open.is_some() && other.is_same(&self.id);
        (current || self.rotated.iter().any(|queued| other.is_same(&queued.id))).then_some(Had::Reading)
    }

    /// At the path is what has been read, to its end, and nothing waits.
    pub(super) fn is_at_rest(&self) -> bool {
        let facts = std::fs::metadata(&self.path);
        let read = facts.is_ok_and(|facts| self.id.is_file(&facts) && facts.len() == self.handed);
        read && self.rotated.is_empty() && !self.waits()
    }

    /// Something is there to be read, or may come.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Nothing is at the path, and what was there is in no folder any more.
    pub(super) fn is_deleted(&self) -> bool {
        let unlinked = |open: &Origin| open.facts().is_ok_and(|facts| facts.nlink() == 0);
        !self.path.exists() && !self.waits() && self.rotated.is_empty() && self.open.as_ref().is_none_or(unlinked)
    }

    /// Reads on until the batch is full or nothing is left.
    pub(super) fn read(&mut self, to: &mut Reading) {
        if self.open.is_none() {
            self.open_at_path();
        }
        self.check_in_place(to);
        while !to.batch.full() {
            if !self.read_chunk(to) && !self.turn(to) {
                break;
            }
        }
        if !to.batch.full()
            && let Some(entry) = self.joiner.due(ms(to.now), false)
        {
            self.hand_out(entry, to);
        }
    }

    /// False at the end of the file.
    fn read_chunk(&mut self, to: &mut Reading) -> bool {
        let Some(open) = &mut self.open else { return false };
        let got = match open.read_at(to.chunk, self.splitter.offset()) {
            Ok(got) => got,
            Err(error) => {
                self.unreadable = Some(format!("{} is not read on: {error}", self.path.display()));
                return false;
            }
        };
        // Why after reading: a file that was truncated and written to again meanwhile holds other lines than those that were expected.
        let (was_empty, offset) = (open.id.mark_bytes == 0, self.splitter.offset());
        let known = open.learn_from(to.chunk.get(..got).unwrap_or_default(), offset);
        let id = open.id;
        let stays = got == 0 || open.begins(&id, 0);
        self.id = id;
        if !known {
            self.check_in_place(to);
            return true;
        }
        // What was read is the log's, even where the file holds other lines by now and no copy of them is found.
        if !stays && self.goes_on_in_copy(&id, offset) || was_empty && got > 0 && self.queue_missed() {
            return true;
        }
        let chunk = std::mem::take(&mut to.chunk);
        let mut rest = chunk.get(..got).unwrap_or_default();
        let before = self.splitter.offset();
        while !rest.is_empty() && !to.batch.full() {
            let (behind, line) = self.splitter.line(rest);
            if behind.len() == rest.len() {
                break;
            }
            rest = behind;
            if let Some(line) = line {
                self.push(line, to);
            }
        }
        to.chunk = chunk;
        self.splitter.offset() > before
    }

    fn push(&mut self, line: Entry, to: &mut Reading) {
        let clock = Clock {
            now: to.now,
            zone: self.zone.as_ref().unwrap_or(to.now.time_zone()),
            booted_ms: to.booted_ms,
            last_ms: self.last_ms,
        };
        if let Some(entry) = self.joiner.push(line, ms(to.now), &clock) {
            self.hand_out(entry, to);
        }
    }

    /// At the end of a file: whether another has taken its place, and then on to the next.
    fn turn(&mut self, to: &mut Reading) -> bool {
        let Some(open) = &self.open else { return false };
        if self.rotated.is_empty() {
            if std::fs::metadata(&self.path).is_ok_and(|facts| open.id.is_file(&facts)) {
                return false;
            }
            let Some(open) = self.open.take() else { return false };
            self.queue_newer(&open);
            self.open = Some(open);
            if self.rotated.is_empty() {
                return false;
            }
        }
        // Written between the end that was seen and the rename.
        if self.unreadable.is_none() && self.read_chunk(to) {
            return true;
        }
        self.end(to);
        let Some(next) = self.rotated.pop_front() else { return false };
        self.go_on_in(next);
        true
    }

    /// Reads another file of the log. Why not always from its start: it may be what a copy has just been made of, and not emptied yet.
    fn go_on_in(&mut self, mut next: Origin) {
        let read = self.done.iter().rev().find(|(id, _end)| next.is_same(id));
        let from = read.map_or(0, |(_id, end)| *end);
        self.begin(next, from);
    }

    /// Truncation, or other bytes under the same name and number: what was copied away is read first, then from the start.
    fn check_in_place(&mut self, to: &mut Reading) {
        let offset = self.splitter.offset();
        let Some(open) = &mut self.open else { return };
        let at_path = std::fs::metadata(&self.path).is_ok_and(|facts| open.id.is_file(&facts));
        let id = open.id;
        if !at_path || open.is(&id, offset) {
            return;
        }
        if self.goes_on_in_copy(&id, offset) {
            return;
        }
        self.end(to);
        if let Some(mut open) = self.open.take() {
            open.learn_anew();
            self.begin(open, 0);
        }
    }

    /// Goes on in the copy of a file that holds it no more, and then in what was written after that. False where no copy is found.
    fn goes_on_in_copy(&mut self, id: &FileId, offset: u64) -> bool {
        let sought = rotated::find(&self.path, &self.patterns, id, offset);
        if let Some(refused) = sought.refused.filter(|_refused| sought.found.is_none()) {
            self.lost = Some(format!("what stood at the end of {} may be missing; {refused}", self.path.display()));
        }
        let Some(copy) = sought.found else { return false };
        self.queue_newer(&copy);
        let partial = std::mem::take(&mut self.splitter);
        let (joiner, handed) = (std::mem::take(&mut self.joiner), self.handed);
        self.begin(copy, offset);
        (self.splitter, self.joiner, self.handed) = (partial, joiner, handed);
        true
    }

    /// The file was empty when it was last looked at. What was written to it, copied away and emptied since comes before what it holds now;
    /// it was written after the file that was read last. False where there is no such thing.
    fn queue_missed(&mut self) -> bool {
        let Some((id, end)) = self.done.back().copied().filter(|_last| self.rotated.is_empty()) else { return false };
        let Some(last) = rotated::find(&self.path, &self.patterns, &id, end).found else { return false };
        self.queue_newer(&last);
        let at_path = self.rotated.front().is_none_or(|next| next.id.is_file_of(&self.id));
        let Some(next) = self.rotated.pop_front().filter(|_next| !at_path) else {
            self.rotated.clear();
            return false;
        };
        self.go_on_in(next);
        true
    }

    /// Hands out what is left of a file that nothing is added to any more, and remembers that it is read.
    fn end(&mut self, to: &mut Reading) {
        if let Some(line) = self.splitter.rest() {
            self.push(line, to);
        }
        if let Some(entry) = self.joiner.due(0, true) {
            self.hand_out(entry, to);
        }
        self.remember();
    }

    fn remember(&mut self) {
        if self.id.mark_bytes == 0 {
            return;
        }
        if self.done.len() >= DONE_MAX {
            self.done.pop_front();
        }
        self.done.push_back((self.id, self.handed));
    }

    fn hand_out(&mut self, entry: Entry, to: &mut Reading) {
        self.handed = entry.end;
        if entry.text.is_empty() {
            return;
        }
        if self.first.is_some_and(|(until, _from_ms)| entry.start >= until) {
            self.first = None;
        }
        if self.first.is_none() && !to.batch.admit() {
            return;
        }
        let clock = Clock {
            now: to.now,
            zone: self.zone.as_ref().unwrap_or(to.now.time_zone()),
            booted_ms: to.booted_ms,
            last_ms: self.last_ms,
        };
        let (event, dated) = file_event(&self.source, entry, &clock);
        if dated {
            self.last_ms = Some(event.at_ms);
        }
        if let Some((_until, from_ms)) = self.first
            && (!dated || event.at_ms < from_ms || !to.batch.admit())
        {
            return;
        }
        to.batch.push(&event);
    }

    /// What is at the path now; what was read before stays known where nothing is.
    fn open_at_path(&mut self) {
        match Origin::open(&self.path) {
            Ok(origin) => self.begin(origin, 0),
            Err(error) => {
                self.open = None;
                if error.kind() != std::io::ErrorKind::NotFound {
                    self.unreadable = Some(format!("{} is not read: {error}", self.path.display()));
                }
            }
        }
    }

    fn begin(&mut self, mut origin: Origin, offset: u64) {
        let code = Code::of(&origin.first(2));
        self.id = origin.id;
        self.open = Some(origin);
        self.splitter = Splitter::new(code);
        self.restart(offset);
    }

    fn restart(&mut self, offset: u64) {
        self.splitter.restart(offset);
        self.joiner = Joiner::new(self.joiner.entries());
        self.handed = offset;
        self.first = None;
    }

    /// Files of the log that were written after another one, oldest first, and what is at the path.
    fn queue_newer(&mut self, than: &Origin) {
        let mut newer = rotated::newer(&self.path, &self.patterns, than);
        newer.retain_mut(|other| !self.done.iter().any(|(id, _end)| other.is_same(id)));
        self.rotated = newer.into();
    }
}

/// How far another log has read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Had {
    /// It still reads it.
    Reading,
    /// To an offset, and no further.
    To(u64),
}

/// A place in a file as a position, where nothing else is known of its log.
pub(super) fn place(path: &Path, id: &FileId, offset: u64) -> Position {
    let [device, inode, mark_bytes, mark] = id.parts();
    Position { source: path.display().to_string(), at: format!("{device}:{inode}:{offset}:{mark_bytes}:{mark}") }
}

type Kept = (FileId, u64, VecDeque<(FileId, u64)>);

fn kept(position: &str) -> Option<Kept> {
    let mut files = position.split(',');
    let mut parts = files.next()?.split(':');
    let mut hex = |radix: u32| u64::from_str_radix(parts.next()?, radix).ok();
    let (device, inode, offset) = (hex(16)?, hex(16)?, hex(10)?);
    let id = FileId { device, inode, mark_bytes: hex(16)?, mark: hex(16)? };
    let done = files.take(DONE_MAX).filter_map(|file| {
        let mut parts = file.split('.');
        let mut hex = || u64::from_str_radix(parts.next()?, 16).ok();
        Some((FileId { device: hex()?, inode: hex()?, mark_bytes: hex()?, mark: hex()? }, hex()?))
    });
    Some((id, offset, done.collect()))
}

fn ms(now: &Zoned) -> u64 {
    now.timestamp().as_millisecond().cast_unsigned()
}
