//! A file that holds a log or a part of it: plain, or compressed by rotation, and what it is known again by.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use ring::digest;

use super::unfold::{Form, unfold};

/// First bytes of a file by which it is known again.
pub(super) const MARK_BYTES: u64 = 256;
/// Two files that begin with so many equal bytes hold the same log.
const MARK_BYTES_MIN: u64 = 64;
/// Bytes that a compressed file may unfold to; what comes behind is left out and told.
const UNFOLDED_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Bytes passed over at once.
const SKIP_BYTES: usize = 16 * 1024;

/// What a file is known again by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) mark_bytes: u64,
    pub(super) mark: u64,
}

impl FileId {
    /// As text, in hexadecimal parts.
    pub(super) fn parts(&self) -> [String; 4] {
        [self.device, self.inode, self.mark_bytes, self.mark].map(|part| format!("{part:x}"))
    }

    pub(super) fn is_file_of(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    pub(super) fn is_file(&self, facts: &Metadata) -> bool {
        (facts.dev(), facts.ino()) == (self.device, self.inode)
    }
}

/// An open file.
pub(super) struct Origin {
    file: File,
    form: Form,
    unfolding: Option<Unfolding>,
    /// Why its first bytes cannot be read.
    refused: Option<String>,
    pub(super) id: FileId,
}

/// A compressed file on its way.
struct Unfolding {
    from: Box<dyn Read + Send>,
    at: u64,
}

impl Origin {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let facts = file.metadata()?;
        if !facts.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let id = FileId { device: facts.dev(), inode: facts.ino(), mark_bytes: 0, mark: 0 };
        let form = Form::of(&file, path);
        let mut origin = Self { file, form, unfolding: None, refused: None, id };
        origin.learn();
        Ok(origin)
    }

    /// It is compressed, and read so.
    pub(super) fn is_packed(&self) -> bool {
        self.form != Form::Plain
    }

    /// Gives back the memory of what unfolds it, until it is read again.
    pub(super) fn rest(&mut self) {
        self.unfolding = None;
    }

    /// Why its first bytes cannot be read, where they cannot.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    pub(super) fn facts(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Reads what lies at an offset of the log, decompressed.
    pub(super) fn read_at(&mut self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.form == Form::Plain {
            return self.file.read_at(into, offset);
        }
        if !self.pass_to(offset)? {
            return Ok(0);
        }
        let Some(unfolding) = &mut self.unfolding else { return Ok(0) };
        if offset >= UNFOLDED_BYTES_MAX {
            return Err(io::Error::other(format!("it unfolds to more than {UNFOLDED_BYTES_MAX} bytes")));
        }
        let got = unfolding.from.read(into)?;
        unfolding.at += got as u64;
        Ok(got)
    }

    /// Unfolds what comes before an offset; false where there is not so much.
    fn pass_to(&mut self, offset: u64) -> io::Result<bool> {
        if self.unfolding.as_ref().is_none_or(|unfolding| unfolding.at > offset) {
            self.unfolding = Some(Unfolding { from: unfold(&self.file, self.form)?, at: 0 });
        }
        let Some(unfolding) = &mut self.unfolding else { return Ok(false) };
        let mut passed = vec![0; SKIP_BYTES.min((offset - unfolding.at) as usize)];
        while unfolding.at < offset {
            let most = passed.len().min((offset - unfolding.at) as usize);
            let got = unfolding.from.read(passed.get_mut(..most).unwrap_or_default())?;
            if got == 0 {
                return Ok(false);
            }
            unfolding.at += got as u64;
        }
        Ok(true)
    }

    /// Takes the first bytes as the file's mark.
    fn learn(&mut self) {
        (self.id.mark_bytes, self.id.mark) = self.mark(MARK_BYTES);
    }

    /// Takes the first bytes as the file's mark, until there are enough of them: what was just read at an offset, and what lies before that.
    /// Why what was read, and not what the file begins with by now: it may have been emptied and written to since, and would then be known
    /// by what nobody has read. False where it does not begin as it did.
    pub(super) fn learn_from(&mut self, read: &[u8], offset: u64) -> bool {
        if self.id.mark_bytes >= MARK_BYTES || read.is_empty() {
            return true;
        }
        let before = offset.min(MARK_BYTES);
        let mut first = self.first(before);
        if (first.len() as u64) < before {
            return false;
        }
        first.extend(read.iter().take(MARK_BYTES as usize - first.len()));
        let known = first.get(..self.id.mark_bytes as usize);
        let as_known = self.id.mark_bytes == 0 || known.is_some_and(|known| hash(known) == self.id.mark);
        if as_known {
            (self.id.mark_bytes, self.id.mark) = (first.len() as u64, hash(&first));
        }
        as_known
    }

    /// The file's mark is taken anew: it holds another log now.
    pub(super) fn learn_anew(&mut self) {
        self.learn();
    }

    /// The first bytes.
    pub(super) fn first(&mut self, bytes: u64) -> Vec<u8> {
        let mut first = vec![0; bytes.min(MARK_BYTES) as usize];
        let mut got = 0;
        while got < first.len() {
            match self.read_at(first.get_mut(got..).unwrap_or_default(), got as u64) {
                Ok(0) => break,
                Ok(more) => got += more,
                Err(error) => {
                    self.refused = Some(error.to_string());
                    break;
                }
            }
        }
        first.truncate(got);
        first
    }

    /// The number of first bytes, at most as many as asked for, and their hash.
    fn mark(&mut self, bytes: u64) -> (u64, u64) {
        let first = self.first(bytes);
        (first.len() as u64, hash(&first))
    }

    /// Whether this is the file that is known by `id`, and has been read to `offset`.
    pub(super) fn is(&mut self, id: &FileId, offset: u64) -> bool {
        (self.id.device, self.id.inode) == (id.device, id.inode) && self.begins(id, offset)
    }

    /// Whether it holds what the file that is known by `id` held: a copy, or the same, compressed.
    pub(super) fn is_copy(&mut self, id: &FileId, offset: u64) -> bool {
        id.mark_bytes >= MARK_BYTES_MIN.min(offset.max(1)) && self.begins(id, offset)
    }

    /// Whether it is the file, or a copy of it, that begins with the same bytes.
    pub(super) fn is_same(&mut self, id: &FileId) -> bool {
        self.is(id, 0) && id.mark_bytes > 0 || id.mark_bytes >= MARK_BYTES_MIN && self.begins(id, 0)
    }

    /// Whether it begins as the file that is known by `id` did, and is so long.
    pub(super) fn begins(&mut self, id: &FileId, offset: u64) -> bool {
        self.holds(offset) && self.mark(id.mark_bytes) == (id.mark_bytes, id.mark)
    }

    /// Whether it is so long.
    fn holds(&mut self, offset: u64) -> bool {
        match self.form {
            Form::Plain => self.file.metadata().is_ok_and(|facts| facts.len() >= offset),
            _ => matches!(self.pass_to(offset), Ok(true)),
        }
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().first_chunk().map_or(0, |eight| u64::from_be_bytes(*eight))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_compressed_file_is_known_by_what_it_held_and_read_from_any_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let lines: Vec<String> = (0..10_000).map(|number| format!("line {number} of the log\n")).collect();
        let text = lines.concat();
        std::fs::write(path("a.log"), &text).unwrap();
        let mut gzip =
            flate2::write::GzEncoder::new(File::create(path("a.log.1.gz")).unwrap(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap();
        std::fs::write(path("a.log.2.zst"), zstd::bulk::compress(text.as_bytes(), 3).unwrap()).unwrap();
        let plain = Origin::open(&path("a.log")).unwrap();
        for name in ["a.log.1.gz", "a.log.2.zst"] {
            let mut packed = Origin::open(&path(name)).unwrap();
            assert!(packed.form != Form::Plain && packed.is_same(&plain.id), "{name}");
            assert!(packed.is_copy(&plain.id, text.len() as u64), "{name}");
            assert!(!packed.is_copy(&plain.id, text.len() as u64 + 1), "{name}");
            for at in [100_000, 7, 50_000] {
                let mut bytes = [0; 20];
                let got = packed.read_at(&mut bytes, at as u64).unwrap();
                assert_eq!(bytes.get(..got).unwrap(), text.as_bytes().get(at..at + got).unwrap(), "{name}");
            }
        }
    }

    #[test]
    fn a_file_that_is_cut_short_or_only_named_so_is_no_trouble() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log.1.gz");
        std::fs::write(&path, "not compressed at all\n").unwrap();
        let mut named = Origin::open(&path).unwrap();
        let mut bytes = [0; 3];
        assert_eq!((named.form != Form::Plain, named.read_at(&mut bytes, 4).unwrap()), (false, 3));
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&vec![7; 100_000]).unwrap();
        let whole = gzip.finish().unwrap();
        for cut in 2..whole.len() {
            std::fs::write(&path, whole.get(..cut).unwrap()).unwrap();
            let mut cut = Origin::open(&path).unwrap();
            // Whatever it says, it ends.
            for at in [0, 50_000, 200_000] {
                assert!(cut.read_at(&mut bytes, at).unwrap_or_default() <= 3);
            }
        }
    }
}
