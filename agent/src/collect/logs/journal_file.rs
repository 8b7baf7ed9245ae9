//! One journal file as journald writes it, read forward by entry (`systemd.io/JOURNAL_FILE_FORMAT`).
//!
//! Why not a crate: what there is orders entries by the clock, so that a clock set back loses entries, and it queues a backlog in
//! memory. Sequence numbers need neither. Nothing is mapped: a file that is cut short under us is an error, not a signal.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, bail, ensure};

/// Fields whose values are read; all others are passed over.
const WANTED: &[&str] = &[
    "CODE_FILE",
    "CODE_FUNC",
    "CODE_LINE",
    "MESSAGE",
    "MESSAGE_ID",
    "PRIORITY",
    "SYSLOG_IDENTIFIER",
    "SYSLOG_PID",
    "UNIT",
    "USER_UNIT",
    "_COMM",
    "_PID",
    "_SYSTEMD_UNIT",
    "_SYSTEMD_USER_UNIT",
    "_TRANSPORT",
];

/// Bytes of a value that are read; its real size is known beyond that.
const VALUE_BYTES_MAX: usize = super::LINE_BYTES_MAX;
/// Fields of one entry that are looked at. journald itself allows 1024.
const FIELDS_MAX: usize = 1024;
/// Entry arrays of one file that are walked; they double in size, so that a sound file has a few dozen.
const ARRAYS_MAX: usize = 100_000;
/// Bytes that a compressed value is unpacked to at most, to learn its size.
const UNPACKED_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Compressed bytes of a value in LZ4's block form, which can only be unpacked whole.
const LZ4_BYTES_MAX: usize = 1024 * 1024;

const HEADER_BYTES: usize = 208;
const OBJECT_HEADER_BYTES: u64 = 16;
const ARRAY_ITEMS_AT: u64 = 24;
const ENTRY_ITEMS_AT: u64 = 64;

const DATA: u8 = 1;
const ENTRY: u8 = 3;
const ENTRY_ARRAY: u8 = 6;

const PACKED_XZ: u8 = 1;
const PACKED_LZ4: u8 = 2;
const PACKED_ZSTD: u8 = 4;

const INCOMPATIBLE_COMPACT: u32 = 16;
const INCOMPATIBLE_KNOWN: u32 = 31;

/// What the head of a file says; it moves while the file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) file_id: [u8; 16],
    pub(super) seqnum_id: [u8; 16],
    pub(super) archived: bool,
    pub(super) tail_seqnum: u64,
    /// Number of the first entry.
    pub(super) first_seqnum: u64,
    entries: u64,
    first_array: u64,
    compact: bool,
}

/// An entry's own head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryHead {
    at: u64,
    size: u64,
    pub(super) seqnum: u64,
    pub(super) realtime_us: u64,
    monotonic_us: u64,
    pub(super) boot_id: [u8; 16],
    xor_hash: u64,
}

impl EntryHead {
    /// The entry's cursor in journald's own notation, so that `journalctl --cursor` finds it.
    pub(super) fn cursor(&self, seqnum_id: &[u8; 16]) -> String {
        let hex = |id: &[u8; 16]| data_encoding::HEXLOWER.encode(id);
        format!(
            "s={};i={:x};b={};m={:x};t={:x};x={:x}",
            hex(seqnum_id),
            self.seqnum,
            hex(&self.boot_id),
            self.monotonic_us,
            self.realtime_us,
            self.xor_hash
        )
    }
}

/// A field's value: its first bytes, and how many it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) value: Vec<u8>,
    pub(super) bytes: u64,
}

/// An open file and a place in it.
#[derive(Debug)]
pub(super) struct JournalFile {
    file: File,
    /// What stays when the file is renamed.
    pub(super) inode: u64,
    pub(super) head: Head,
    place: Place,
    next: Option<EntryHead>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The entry array that holds the next entry; 0 before the first exists.
    array: u64,
    /// Items that fit into it.
    capacity: u64,
    /// Items of it that are passed.
    passed: u64,
    /// Entries of the file that are passed.
    total: u64,
}

impl JournalFile {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path)?;
        let inode = file.metadata()?.ino();
        let head = read_head(&file)?;
        Ok(Self { file, inode, head, place: Place::default(), next: None })
    }

    /// Reads the head again, to see what was written since.
    pub(super) fn refresh(&mut self) -> anyhow::Result<()> {
        let head = read_head(&self.file)?;
        ensure!(head.file_id == self.head.file_id, "it was replaced in place");
        ensure!(head.entries >= self.head.entries, "it has fewer entries than before");
        self.head = head;
        Ok(())
    }

    /// Goes to the first entry that is not `passed`, where all before it are.
    pub(super) fn seek(&mut self, passed: impl Fn(&EntryHead) -> bool) -> anyhow::Result<()> {
        self.place = Place::default();
        self.next = None;
        while self.enter_array()? {
            let used = self.place.capacity.min(self.head.entries - self.place.total);
            let last = self.entry_at(used - 1)?;
            if passed(&last) {
                self.place.passed = used;
                self.place.total += used;
                continue;
            }
            let (mut low, mut high) = (0, used - 1);
            while low < high {
                let middle = low + (high - low) / 2;
                if passed(&self.entry_at(middle)?) { low = middle + 1 } else { high = middle }
            }
            self.place.passed = low;
            self.place.total += low;
            return Ok(());
        }
        Ok(())
    }

    /// The next entry, if it is written.
    pub(super) fn peek(&mut self) -> anyhow::Result<Option<EntryHead>> {
        if self.next.is_none() && self.enter_array()? {
            let entry = self.entry_at(self.place.passed)?;
            ensure!(entry.seqnum <= self.head.tail_seqnum, "an entry's number is beyond the file's last");
            self.next = Some(entry);
        }
        Ok(self.next)
    }

    /// Passes the next entry, readable or not.
    pub(super) fn pass(&mut self) {
        self.next = None;
        self.place.passed += 1;
        self.place.total += 1;
    }

    /// The wanted fields of an entry.
    pub(super) fn fields(&self, entry: &EntryHead) -> anyhow::Result<Vec<Field>> {
        let width = if self.head.compact { 4 } else { 16 };
        let count = (entry.size.saturating_sub(ENTRY_ITEMS_AT) / width).min(FIELDS_MAX as u64);
        let mut items = vec![0; (count * width) as usize];
        self.read(entry.at + ENTRY_ITEMS_AT, &mut items)?;
        let mut fields = Vec::new();
        for item in items.chunks_exact(width as usize) {
            let at = if self.head.compact { u64::from(le32(item, 0)) } else { le64(item, 0) };
            fields.extend(self.field(at)?);
        }
        Ok(fields)
    }

    fn field(&self, at: u64) -> anyhow::Result<Option<Field>> {
        let payload_at: u64 = if self.head.compact { 72 } else { 64 };
        let mut start = [0; 256];
        let got = self.file.read_at(&mut start, at).context("reading a field")?;
        let start = start.get(..got).unwrap_or_default();
        ensure!(got as u64 > payload_at, "a field ends early");
        ensure!(at != 0 && start.first() == Some(&DATA), "a field is not where the entry says");
        let size = le64(start, 8);
        ensure!(size > payload_at, "a field has no room for its value");
        let (size, flags) = (size - payload_at, start.get(1).copied().unwrap_or_default());
        if flags & (PACKED_XZ | PACKED_LZ4 | PACKED_ZSTD) != 0 {
            return self.packed(at + payload_at, size, flags);
        }
        let Some((name, value)) = wanted(start.get(payload_at as usize..).unwrap_or_default()) else {
            return Ok(None);
        };
        let skip = name.len() as u64 + 1;
        let bytes = size.saturating_sub(skip);
        let take = (bytes as usize).min(VALUE_BYTES_MAX);
        let value = if let Some(value) = value.get(..take) {
            value.to_vec()
        } else {
            let mut whole = vec![0; take];
            self.read(at + payload_at + skip, &mut whole)?;
            whole
        };
        Ok(Some(Field { name, value, bytes }))
    }

    /// A value that journald stored compressed, which it does from 512 bytes on.
    fn packed(&self, at: u64, size: u64, flags: u8) -> anyhow::Result<Option<Field>> {
        let from = Section { file: &self.file, at, left: size };
        if flags & PACKED_ZSTD != 0 {
            return unpack(zstd::stream::read::Decoder::new(from).context("a field's compression")?);
        }
        if flags & PACKED_LZ4 != 0 {
            ensure!(size as usize <= LZ4_BYTES_MAX, "a field of {size} compressed bytes is too large");
            let mut packed = vec![0; size as usize];
            self.read(at, &mut packed)?;
            let unpacked = usize::try_from(le64(&packed, 0))?;
            ensure!(unpacked as u64 <= UNPACKED_BYTES_MAX / 8, "a field of {unpacked} bytes is too large");
            let block = packed.get(8..).unwrap_or_default();
            let whole = lz4_flex::block::decompress(block, unpacked).context("a field's compression")?;
            return unpack(whole.as_slice());
        }
        bail!("a field is compressed with xz, which is not read")
    }

    /// Moves on to the array that holds the next entry. False where none is written yet.
    fn enter_array(&mut self) -> anyhow::Result<bool> {
        if self.place.total >= self.head.entries {
            return Ok(false);
        }
        for _step in 0..ARRAYS_MAX {
            if self.place.array != 0 && self.place.passed < self.place.capacity {
                return Ok(true);
            }
            let next = if self.place.array == 0 { self.head.first_array } else { self.next_array()? };
            if next == 0 {
                return Ok(false);
            }
            ensure!(next > self.place.array, "entry arrays go backwards");
            let mut header = [0; OBJECT_HEADER_BYTES as usize];
            self.read(next, &mut header)?;
            ensure!(header.first() == Some(&ENTRY_ARRAY), "an entry array is not where it should be");
            let width = if self.head.compact { 4 } else { 8 };
            self.place.capacity = le64(&header, 8).saturating_sub(ARRAY_ITEMS_AT) / width;
            self.place.array = next;
            self.place.passed = 0;
        }
        bail!("more than {ARRAYS_MAX} entry arrays")
    }

    fn next_array(&self) -> anyhow::Result<u64> {
        let mut next = [0; 8];
        self.read(self.place.array + OBJECT_HEADER_BYTES, &mut next)?;
        Ok(u64::from_le_bytes(next))
    }

    fn entry_at(&self, item: u64) -> anyhow::Result<EntryHead> {
        let width = if self.head.compact { 4 } else { 8 };
        let mut offset = [0; 8];
        let offset_bytes = offset.get_mut(..width as usize).unwrap_or_default();
        self.read(self.place.array + ARRAY_ITEMS_AT + item * width, offset_bytes)?;
        let at = u64::from_le_bytes(offset);
        ensure!(at != 0, "an entry is not written yet");
        let mut head = [0; ENTRY_ITEMS_AT as usize];
        self.read(at, &mut head)?;
        ensure!(head.first() == Some(&ENTRY), "an entry is not where it should be");
        Ok(EntryHead {
            at,
            size: le64(&head, 8),
            seqnum: le64(&head, 16),
            realtime_us: le64(&head, 24),
            monotonic_us: le64(&head, 32),
            boot_id: id(&head, 40),
            xor_hash: le64(&head, 56),
        })
    }

    fn read(&self, at: u64, into: &mut [u8]) -> anyhow::Result<()> {
        self.file.read_exact_at(into, at).with_context(|| format!("reading at byte {at}"))
    }
}

fn read_head(file: &File) -> anyhow::Result<Head> {
    let mut head = [0; HEADER_BYTES];
    file.read_exact_at(&mut head, 0).context("its head is cut short")?;
    ensure!(head.starts_with(b"LPKSHHRH"), "it does not begin as a journal does");
    let incompatible = le32(&head, 12);
    ensure!(incompatible & !INCOMPATIBLE_KNOWN == 0, "it has features of a later journald ({incompatible:#x})");
    Ok(Head {
        file_id: id(&head, 24),
        seqnum_id: id(&head, 72),
        archived: head.get(16) == Some(&2),
        tail_seqnum: le64(&head, 160),
        first_seqnum: le64(&head, 168),
        entries: le64(&head, 152),
        first_array: le64(&head, 176),
        compact: incompatible & INCOMPATIBLE_COMPACT != 0,
    })
}

/// The wanted field that a payload begins with, and as much of its value as is there.
fn wanted(payload: &[u8]) -> Option<(&'static str, &[u8])> {
    let equals = payload.iter().position(|byte| *byte == b'=')?;
    let (name, value) = payload.split_at_checked(equals)?;
    let name = WANTED.iter().find(|wanted| wanted.as_bytes() == name)?;
    Some((name, value.get(1..).unwrap_or_default()))
}

fn unpack(mut from: impl Read) -> anyhow::Result<Option<Field>> {
    let mut start = Vec::new();
    let room = VALUE_BYTES_MAX + 64;
    from.by_ref().take(room as u64).read_to_end(&mut start).context("a field's compression")?;
    let Some((name, value)) = wanted(&start) else { return Ok(None) };
    let rest = io::copy(&mut from.take(UNPACKED_BYTES_MAX), &mut io::sink()).context("a field's compression")?;
    let bytes = value.len() as u64 + rest;
    let value = value.get(..VALUE_BYTES_MAX).unwrap_or(value).to_vec();
    Ok(Some(Field { name, value, bytes }))
}

/// A part of a file as a reader.
struct Section<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let got = self.file.read_at(into.get_mut(..most).unwrap_or_default(), self.at)?;
        self.at += got as u64;
        self.left -= got as u64;
        Ok(got)
    }
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |eight| u64::from_le_bytes(*eight))
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |four| u32::from_le_bytes(*four))
}

fn id(bytes: &[u8], at: usize) -> [u8; 16] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default()
}
