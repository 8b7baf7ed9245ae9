//! All journals of a machine as one log, in the order of journald's sequence numbers.
//!
//! Why sequence numbers: they rise by one an entry over all files of one journald, whatever the clock does, so that one number for each
//! journald says exactly what has been read, through rotation, restarts and vacuuming.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER_PERMISSIVE as HEX;
use deskside_proto::v1::{LogEvent, Outcome};

use super::Position;
use super::batch::Batch;
use super::entry::event;
use super::journal_file::{EntryHead, Field, JournalFile};
use crate::collect::outcome_of;

/// The source's name in events and positions.
pub(super) const SOURCE: &str = "journal";

/// Journal files that are open at once; journald itself keeps 100 archived ones by default.
const FILES_MAX: usize = 512;
/// Journalds whose place is remembered.
const MARKS_MAX: usize = 16;
/// Passes after which a file that still cannot be read is given up. Why not at once: a file may be read while it is written.
const PASSES_UNREADABLE_MAX: u32 = 5;

/// The journals and how far they are read.
pub(super) struct Journals {
    folders: Vec<PathBuf>,
    /// Where a journald is read from whose place is not remembered.
    first_from_us: u64,
    marks: BTreeMap<[u8; 16], u64>,
    read_to_us: u64,
    open: Vec<Open>,
    /// Files read to their end that will not grow, and files given up: where they lay, and their inodes. Why these: on rotation another
    /// file takes the name.
    done: BTreeMap<PathBuf, u64>,
    readable: bool,
    /// Some files may not be read.
    denied: bool,
    /// What the kernel's audit says counts too.
    audit: bool,
}

struct Open {
    path: PathBuf,
    file: JournalFile,
    /// Passes in a row in which it could not be read.
    unreadable: u32,
    /// It could not be read in this pass.
    failed: bool,
}

impl Journals {
    /// Goes on from a kept position, or from `first_from_us` where a journal is not in it.
    pub(super) fn new(folders: &[String], position: Option<&str>, first_from_us: u64, audit: bool) -> Self {
        let folders = folders.iter().map(PathBuf::from).collect();
        let (marks, read_to_us) = position.map(remembered).unwrap_or_default();
        let first_from_us = if read_to_us > 0 { read_to_us } else { first_from_us };
        Self {
            folders,
            first_from_us,
            marks,
            read_to_us,
            open: Vec::new(),
            done: BTreeMap::new(),
            readable: false,
            denied: false,
            audit,
        }
    }

    /// Folders to be watched for changes.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let below = self.folders.iter().flat_map(|folder| machine_folders(folder));
        self.folders.iter().filter(|folder| folder.is_dir()).cloned().chain(below).collect()
    }

    /// Whether any journal could be read.
    pub(super) fn any(&self) -> bool {
        self.readable
    }

    /// Looks for files that came, went or were renamed. Returns what is wrong, in words.
    pub(super) fn scan(&mut self) -> Vec<String> {
        let paths: BTreeSet<PathBuf> = self.folders().iter().flat_map(|folder| journal_files(folder)).collect();
        self.done.retain(|path, inode| paths.contains(path) && inode_at(path) == Some(*inode));
        let mut wrong = Vec::new();
        let mut denied = 0;
        for path in paths {
            if self.done.contains_key(&path) || self.open.len() >= FILES_MAX {
                continue;
            }
            match self.admit(&path) {
                Ok(()) => self.readable = true,
                Err(error) if outcome_of(&error) == Outcome::Denied => denied += 1,
                Err(error) => wrong.push(format!("journal file {} is not read: {error:#}", path.display())),
            }
            if !self.open.iter().any(|open| open.path == path)
                && let Some(inode) = inode_at(&path)
            {
                self.done.insert(path, inode);
            }
        }
        self.denied |= denied > 0;
        if denied > 0 {
            let need = "the agent's user needs the group systemd-journal";
            wrong.push(format!("{denied} journal files are not read: permission denied; {need}"));
        }
        wrong
    }

    fn admit(&mut self, path: &Path) -> anyhow::Result<()> {
        let mut file = JournalFile::open(path)?;
        let id = file.head.file_id;
        if let Some(known) = self.open.iter_mut().find(|open| open.file.head.file_id == id) {
            path.clone_into(&mut known.path);
            return Ok(());
        }
        let mark = self.marks.get(&file.head.seqnum_id).copied();
        if file.head.archived && mark.is_some_and(|mark| file.head.tail_seqnum <= mark) {
            return Ok(());
        }
        let first_from_us = self.first_from_us;
        match mark {
            Some(mark) => file.seek(|entry| entry.seqnum <= mark)?,
            None => file.seek(|entry| entry.realtime_us < first_from_us)?,
        }
        self.open.push(Open { path: path.to_owned(), file, unreadable: 0, failed: false });
        Ok(())
    }

    /// Reads on until the batch is full or nothing is left. Returns what is wrong, in words.
    pub(super) fn read(&mut self, batch: &mut Batch) -> Vec<String> {
        let mut wrong = Vec::new();
        self.open.iter_mut().for_each(|open| open.failed = false);
        self.refresh(&mut wrong);
        // What any file holds up to these numbers was written before this moment, so that a scan and a second refresh show all of it,
        // in files that have just been begun too.
        let mut written: BTreeMap<[u8; 16], u64> = BTreeMap::new();
        for open in &self.open {
            let most = written.entry(open.file.head.seqnum_id).or_default();
            *most = open.file.head.tail_seqnum.max(*most);
        }
        written.retain(|journald, up_to| self.marks.get(journald).is_none_or(|mark| mark < up_to));
        if !written.is_empty() {
            wrong.extend(self.scan());
            self.refresh(&mut wrong);
        }
        for (journald, up_to) in written {
            while !batch.full() {
                let Some((place, entry)) = self.lowest(&journald, up_to, &mut wrong) else { break };
                self.take(place, &entry, batch, &mut wrong);
            }
        }
        self.close();
        wrong
    }

    /// The position that covers what has been read.
    pub(super) fn position(&self) -> Position {
        let present: BTreeSet<_> = self.open.iter().map(|open| open.file.head.seqnum_id).collect();
        let mut marks: Vec<_> = self.marks.iter().collect();
        marks.sort_by_key(|(id, _seqnum)| !present.contains(*id));
        let marks = marks.iter().take(MARKS_MAX).map(|(id, seqnum)| format!(",{}={seqnum:x}", HEX.encode(*id)));
        Position { source: SOURCE.into(), at: format!("t={:x}{}", self.read_to_us, marks.collect::<String>()) }
    }

    fn refresh(&mut self, wrong: &mut Vec<String>) {
        for open in self.open.iter_mut().filter(|open| !open.failed) {
            if let Err(error) = open.file.refresh() {
                open.fail(&error, wrong);
            }
        }
        self.give_up();
    }

    /// The file whose next entry has the lowest number of this journald's, up to a bound.
    fn lowest(&mut self, journald: &[u8; 16], up_to: u64, wrong: &mut Vec<String>) -> Option<(usize, EntryHead)> {
        let mut lowest: Option<(usize, EntryHead)> = None;
        for (place, open) in self.open.iter_mut().enumerate() {
            if open.file.head.seqnum_id != *journald || open.failed {
                continue;
            }
            let next = match open.file.peek() {
                Ok(next) => next.filter(|entry| entry.seqnum <= up_to),
                Err(error) => {
                    open.fail(&error, wrong);
                    None
                }
            };
            if let Some(entry) = next
                && lowest.is_none_or(|(_place, least)| entry.seqnum < least.seqnum)
            {
                lowest = Some((place, entry));
            }
        }
        lowest
    }

    fn take(&mut self, place: usize, entry: &EntryHead, batch: &mut Batch, wrong: &mut Vec<String>) {
        let Some(open) = self.open.get_mut(place) else { return };
        let journald = open.file.head.seqnum_id;
        open.unreadable = 0;
        open.file.pass();
        // An archived copy of what has been read, or a number that came twice.
        if self.marks.get(&journald).is_some_and(|mark| entry.seqnum <= *mark) {
            return;
        }
        // A journald numbers its entries without gaps: where a file begins further on, the files before it are gone.
        let removed = self.marks.get(&journald).map_or(0, |mark| entry.seqnum - mark - 1);
        if removed > 0 && open.file.head.first_seqnum == entry.seqnum && !self.denied {
            wrong.push(format!(
                "{removed} entries of the journal were removed (rotation or vacuum) before they were read"
            ));
        }
        self.marks.insert(journald, entry.seqnum);
        self.read_to_us = self.read_to_us.max(entry.realtime_us);
        if !batch.admit() {
            return;
        }
        match open.file.fields(entry) {
            Ok(fields) if !self.audit && fields.iter().any(is_of_audit) => {}
            Ok(fields) => batch.push(&event(entry, entry.cursor(&journald), fields)),
            Err(error) => {
                let path = open.path.display();
                wrong.push(format!("entry {} of journal file {path} is not readable: {error:#}", entry.seqnum));
            }
        }
    }

    /// Lets go of files that are read and will not grow: archived, or deleted.
    fn close(&mut self) {
        let done = &mut self.done;
        self.open.retain_mut(|open| {
            if !matches!(open.file.peek(), Ok(None)) {
                return true;
            }
            let there = inode_at(&open.path) == Some(open.file.inode);
            // What was written between the last look and the renaming.
            if !there && open.file.refresh().is_ok() && !matches!(open.file.peek(), Ok(None)) {
                return true;
            }
            if there && open.file.head.archived {
                done.insert(open.path.clone(), open.file.inode);
            }
            there && !open.file.head.archived
        });
    }

    fn give_up(&mut self) {
        let done = &mut self.done;
        self.open.retain(|open| {
            let keep = open.unreadable <= PASSES_UNREADABLE_MAX;
            if !keep {
                done.insert(open.path.clone(), open.file.inode);
            }
            keep
        });
    }

    /// Whether a file could not be read and another try is due.
    pub(super) fn doubtful(&self) -> bool {
        self.open.iter().any(|open| open.unreadable > 0)
    }
}

impl Open {
    fn fail(&mut self, error: &anyhow::Error, wrong: &mut Vec<String>) {
        self.failed = true;
        self.unreadable += 1;
        if self.unreadable == PASSES_UNREADABLE_MAX + 1 {
            wrong.push(format!("journal file {} cannot be read on: {error:#}", self.path.display()));
        }
    }
}

/// A kept position: how far each journald is read, and the latest time that was read.
fn remembered(position: &str) -> (BTreeMap<[u8; 16], u64>, u64) {
    let (mut marks, mut read_to_us) = (BTreeMap::new(), 0);
    for (name, number) in position.split(',').filter_map(|mark| mark.split_once('=')).take(MARKS_MAX + 1) {
        let Ok(number) = u64::from_str_radix(number, 16) else { continue };
        match HEX.decode(name.as_bytes()).map(<[u8; 16]>::try_from) {
            Ok(Ok(id)) => _ = marks.insert(id, number),
            _ if name == "t" => read_to_us = number,
            _ => {}
        }
    }
    (marks, read_to_us)
}

/// Folders named after a machine's id.
fn machine_folders(folder: &Path) -> Vec<PathBuf> {
    let is_id = |name: &str| name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    names(folder).into_iter().filter(|name| is_id(name)).map(|name| folder.join(name)).collect()
}

/// Journals, and those that journald set aside after an unclean end: they hold what was written before it.
fn journal_files(folder: &Path) -> Vec<PathBuf> {
    let journal = |name: &String| name.ends_with(".journal") || name.ends_with(".journal~");
    names(folder).into_iter().filter(journal).map(|name| folder.join(name)).collect()
}

fn inode_at(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|facts| facts.ino())
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

/// What journald took from the kernel's audit.
fn is_of_audit(field: &Field) -> bool {
    field.name == "_TRANSPORT" && field.value == b"audit"
}

/// Whether an event is worth an entry of ours. Why: what the agent says in passing, followed by itself, would never end.
pub(super) fn is_own_chatter(event: &LogEvent, own_pid: u32) -> bool {
    event.pid == Some(own_pid) && event.priority.is_some_and(|priority| priority >= 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let mut journals = Journals::new(&[], None, 5, false);
        journals.marks = BTreeMap::from([([0xab; 16], 1_000_000), ([1; 16], 7)]);
        journals.read_to_us = 1_795_311_221_493_123;
        let kept = journals.position();
        let again = Journals::new(&[], Some(&kept.at), 5, false);
        assert_eq!((again.marks, again.read_to_us), (journals.marks, journals.read_to_us));
        assert_eq!(again.first_from_us, journals.read_to_us, "a new journald is read on from there");
    }

    #[test]
    fn a_position_of_nonsense_is_none() {
        for nonsense in ["", "=", ",,,", "t=", "zz=1", "00=1", "t=xyz,0123456789abcdef0123456789abcdef=-1"] {
            assert_eq!(remembered(nonsense), (BTreeMap::new(), 0), "{nonsense}");
        }
    }

    #[test]
    fn only_what_the_agent_says_in_passing_is_its_own_chatter() {
        let event = |pid, priority| LogEvent { pid, priority, ..LogEvent::default() };
        assert!(is_own_chatter(&event(Some(7), Some(6)), 7));
        assert!(!is_own_chatter(&event(Some(7), Some(4)), 7));
        assert!(!is_own_chatter(&event(Some(8), Some(6)), 7));
        assert!(!is_own_chatter(&event(None, Some(6)), 7));
    }
}
