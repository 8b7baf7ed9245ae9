//! A sealed ZIP file, walked byte by byte: each byte belongs to one file, to its two headers, or to the end record, and says what it must.
//!
//! Why not a library's reader: those look for what they can use and pass over the rest, and what they pass over is where things are hidden. What
//! Deskside writes is a small part of the format (APPNOTE 6.3): no gaps, no comments, no descriptors, no encryption, no ZIP64.

use std::collections::BTreeSet;
use std::io::{Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::read::DeflateDecoder;
use ring::digest::{Context, SHA256};

use super::{Broken, PIECE_BYTES};

/// Most files that a sealed file may hold.
pub const FILES_MAX: usize = 10_000;

/// Most bytes that one file may unpack to.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Most bytes that all of it may unpack to.
const BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;

/// Most bytes of the directory at the end.
const DIRECTORY_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Longest path of a file.
const NAME_BYTES_MAX: usize = 512;

pub(super) const LOCAL: &[u8] = b"PK\x03\x04";
pub(super) const CENTRAL: &[u8] = b"PK\x01\x02";
pub(super) const END: &[u8] = b"PK\x05\x06";
const LOCAL_BYTES: u64 = 30;
const CENTRAL_BYTES: usize = 46;
pub(super) const END_BYTES: u64 = 22;

/// Made on Unix, a plain file that its owner writes and all read.
pub(super) const ATTRIBUTES: u32 = 0o100_644 << 16;

/// Written on Unix; in which version's form is what the reader needs, too.
pub(super) const MADE_BY: u16 = 0x0300;

/// One file of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filed {
    /// Its path.
    pub name: String,
    /// Bytes, unpacked.
    pub size: u64,
    /// Where its first header lies.
    pub at: u64,
    packed: bool,
    data_at: u64,
    packed_size: u64,
    crc: u32,
}

impl Filed {
    /// Where its bytes lie as they are; absent where they are packed.
    pub fn plain(&self) -> Option<(u64, u64)> {
        (!self.packed).then_some((self.data_at, self.size))
    }
}

/// A ZIP file, or one that lies unpacked in another.
pub struct Archive<R> {
    from: R,
    begin: u64,
    /// Its files, in order.
    pub files: Vec<Filed>,
}

impl<R: Read + Seek> Archive<R> {
    /// Walks the headers of a whole file.
    pub fn open(mut from: R) -> Result<Self, Broken> {
        let length = from.seek(SeekFrom::End(0))?;
        Self::within(from, 0, length)
    }

    /// The same of a file that lies in another, from `begin` on.
    pub fn within(mut from: R, begin: u64, length: u64) -> Result<Self, Broken> {
        let (count, directory_at) = end(&mut from, begin, length)?;
        let directory = read(&mut from, begin + directory_at, length - END_BYTES - directory_at)?;
        let mut archive = Self { from, begin, files: Vec::new() };
        let (mut rest, mut at, mut names) = (directory.as_slice(), 0, BTreeSet::new());
        for _file in 0..count {
            let (central, name, after) = central(rest)?;
            if !names.insert(name.clone()) {
                return Err(Broken::new(format!("{name:?} is twice in the ZIP file")));
            }
            let filed = archive.local(central, name, at)?;
            at = filed.data_at + filed.packed_size;
            archive.files.push(filed);
            rest = after;
        }
        if !rest.is_empty() {
            return Err(Broken::new("the ZIP file's directory holds more than its files"));
        }
        if at != directory_at {
            return Err(Broken::new("the ZIP file holds bytes that belong to none of its files"));
        }
        Ok(archive)
    }

    /// The first header of a file, which must say the same as the directory.
    fn local(&mut self, central: &[u8], name: String, at: u64) -> Result<Filed, Broken> {
        let odd = |what: &str| Broken::new(format!("the ZIP file's directory is not right for {name:?}: {what}"));
        let (flags, method) = (half(central, 8), half(central, 10));
        if flags & 0x2041 != 0 {
            return Err(Broken::new(format!("{name:?} is encrypted")));
        }
        let packed = match method {
            0 => false,
            8 => true,
            other => return Err(Broken::new(format!("{name:?} is packed by a method that is not read ({other})"))),
        };
        let (crc, packed_size, size) = (word(central, 16), word(central, 20), word(central, 24));
        if packed_size == u32::MAX || size == u32::MAX || u64::from(size) > FILE_BYTES_MAX {
            return Err(odd("it is larger than a sealed file may be"));
        }
        if half(central, 4) != MADE_BY | half(central, 6) || word(central, 38) != ATTRIBUTES || half(central, 36) != 0 {
            return Err(odd("it is marked otherwise than Deskside marks files"));
        }
        if half(central, 34) != 0 || u64::from(word(central, 42)) != at || (!packed && packed_size != size) {
            return Err(odd("place and size do not fit"));
        }
        let local = read(&mut self.from, self.begin + at, LOCAL_BYTES + name.len() as u64)?;
        let same = local.get(4..26) == central.get(6..28) && half(&local, 26) == half(central, 28);
        if !local.starts_with(LOCAL) || !same || half(&local, 28) != 0 || local.get(30..) != Some(name.as_bytes()) {
            return Err(odd("the file's own header says something else"));
        }
        if flags != 0 {
            return Err(odd("it has flags that Deskside does not set"));
        }
        let data_at = at + LOCAL_BYTES + name.len() as u64;
        Ok(Filed { name, size: size.into(), at, packed, data_at, packed_size: packed_size.into(), crc })
    }

    /// A file by its path.
    pub fn find(&self, name: &str) -> Option<&Filed> {
        self.files.iter().find(|file| file.name == name)
    }

    /// A file's bytes, if they are not more than that.
    pub fn bytes(&mut self, file: &Filed, bytes_max: u64) -> Result<Vec<u8>, Broken> {
        if file.size > bytes_max {
            return Err(Broken::new(format!("{:?} has {} bytes, {bytes_max} at most", file.name, file.size)));
        }
        let mut bytes = Vec::new();
        self.unpack(file, &mut |piece| bytes.extend_from_slice(piece))?;
        Ok(bytes)
    }

    /// A file's SHA-256, lower-case hex. Memory stays flat.
    pub fn sha256(&mut self, file: &Filed) -> Result<String, Broken> {
        let mut hash = Context::new(&SHA256);
        self.unpack(file, &mut |piece| hash.update(piece))?;
        Ok(data_encoding::HEXLOWER.encode(hash.finish().as_ref()))
    }

    /// SHA-256 of the archive's own bytes before a place, lower-case hex.
    pub fn sha256_before(&mut self, at: u64) -> Result<String, Broken> {
        self.from.seek(SeekFrom::Start(self.begin))?;
        Ok(super::sha256_of(&mut (&mut self.from).take(at))?.0)
    }

    /// Gives a file's bytes out piece by piece; size and CRC must be those of its headers, and every packed byte is used.
    pub fn unpack(&mut self, file: &Filed, take: &mut dyn FnMut(&[u8])) -> Result<(), Broken> {
        self.from.seek(SeekFrom::Start(self.begin + file.data_at))?;
        let raw = (&mut self.from).take(file.packed_size);
        let (size, crc, used) = if file.packed {
            let mut unpacked = DeflateDecoder::new(raw);
            let (size, crc) = pieces(&mut unpacked, file, take)?;
            (size, crc, unpacked.total_in())
        } else {
            let mut raw = raw;
            let (size, crc) = pieces(&mut raw, file, take)?;
            (size, crc, size)
        };
        if size != file.size || crc != file.crc || used != file.packed_size {
            return Err(Broken::new(format!("{:?} was changed: its bytes are not those that were packed", file.name)));
        }
        Ok(())
    }

    /// All files together unpack to no more than may be.
    pub(super) fn check_size(&self) -> Result<u64, Broken> {
        let bytes = self.files.iter().map(|file| file.size).sum();
        if bytes > BYTES_MAX {
            return Err(Broken::new(format!("the ZIP file unpacks to {bytes} bytes, {BYTES_MAX} at most")));
        }
        Ok(bytes)
    }

    /// What lies below, to look into a file that is stored as it is.
    pub(super) fn below(&mut self, file: &Filed) -> Option<Result<Archive<&mut R>, Broken>> {
        let (at, length) = file.plain()?;
        Some(Archive::within(&mut self.from, self.begin + at, length))
    }
}

fn pieces(from: &mut dyn Read, file: &Filed, take: &mut dyn FnMut(&[u8])) -> Result<(u64, u32), Broken> {
    let (mut crc, mut size, mut piece) = (Crc::new(), 0_u64, vec![0; PIECE_BYTES]);
    loop {
        let read = from.read(&mut piece);
        let read = read.map_err(|error| Broken::new(format!("{:?} was changed: {error}", file.name)))?;
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        size += bytes.len() as u64;
        if size > file.size {
            return Err(Broken::new(format!("{:?} unpacks to more than the {} bytes it names", file.name, file.size)));
        }
        crc.update(bytes);
        take(bytes);
    }
    Ok((size, crc.sum()))
}

/// The end record: how many files, and where their directory begins.
pub(super) fn end(from: &mut (impl Read + Seek), begin: u64, length: u64) -> Result<(u16, u64), Broken> {
    let no = || Broken::new("it is not a whole ZIP file, or something was put behind its end");
    let at = length.checked_sub(END_BYTES).ok_or_else(no)?;
    let record = read(from, begin + at, END_BYTES)?;
    let (count, size, directory_at) = (half(&record, 10), word(&record, 12), word(&record, 16));
    let one_disk = half(&record, 4) == 0 && half(&record, 6) == 0 && half(&record, 8) == count;
    if !record.starts_with(END) || !one_disk || half(&record, 20) != 0 {
        return Err(no());
    }
    if usize::from(count) > FILES_MAX {
        return Err(Broken::new(format!("the ZIP file holds {count} files, {FILES_MAX} at most")));
    }
    let directory = u64::from(directory_at).checked_add(size.into()).filter(|end| *end == at).ok_or_else(no)?;
    if u64::from(size) > DIRECTORY_BYTES_MAX || directory > length {
        return Err(Broken::new("the ZIP file's directory is larger than its files could need"));
    }
    Ok((count, directory_at.into()))
}

/// The next record of the directory, the file's path, and what follows.
fn central(rest: &[u8]) -> Result<(&[u8], String, &[u8]), Broken> {
    let no = || Broken::new("the ZIP file's directory is damaged");
    let (record, rest) = rest.split_at_checked(CENTRAL_BYTES).ok_or_else(no)?;
    let (name_bytes, extra, comment) = (half(record, 28).into(), half(record, 30), half(record, 32));
    if !record.starts_with(CENTRAL) || extra != 0 || comment != 0 {
        return Err(no());
    }
    let (name, rest) = rest.split_at_checked(name_bytes).ok_or_else(no)?;
    Ok((record, path(name)?, rest))
}

/// A path that leads nowhere but into the folder it is unpacked to. Why ASCII alone: two paths that look the same must be the same.
fn path(name: &[u8]) -> Result<String, Broken> {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\\:*?\"<>|".contains(byte);
    let text = String::from_utf8_lossy(name).into_owned();
    let part = |part: &str| !part.is_empty() && part != "." && part != "..";
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.iter().all(plain) || !text.split('/').all(part) {
        return Err(Broken::new(format!("the name {text:?} leads out of the ZIP file, or is none for a file")));
    }
    Ok(text)
}

fn read(from: &mut (impl Read + Seek), at: u64, length: u64) -> Result<Vec<u8>, Broken> {
    from.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    from.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(Broken::new("the ZIP file was cut short")) }
}

fn half(bytes: &[u8], at: usize) -> u16 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>());
    found.map_or(u16::MAX, |bytes| u16::from_le_bytes(*bytes))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    found.map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes))
}
