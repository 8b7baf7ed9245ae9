//! Files that rotation compressed: how they are told, and how they are read again in bounded memory.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bzip2::read::MultiBzDecoder;
use deskside_proto::xz::Xz;
use flate2::read::MultiGzDecoder;

/// Largest window of a zstd file, as a power of two: what the decoder has to hold in memory.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Largest dictionary of an xz file, for the same reason; `xz -6`, its default, has one of this size.
const XZ_DICTIONARY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

impl Form {
    /// A name says how it is compressed, and so do the first bytes. Why both: a log may begin with anything.
    pub(super) fn of(file: &File, path: &Path) -> Self {
        let mut first = [0; 6];
        let got = file.read_at(&mut first, 0).unwrap_or_default();
        let begins = |magic: &[u8]| first.get(..got).unwrap_or_default().starts_with(magic);
        match path.extension().and_then(|end| end.to_str()) {
            Some("gz") if begins(&[0x1f, 0x8b]) => Self::Gzip,
            Some("zst") if begins(&[0x28, 0xb5, 0x2f, 0xfd]) => Self::Zstd,
            Some("xz") if begins(b"\xfd7zXZ\0") => Self::Xz,
            Some("bz2") if begins(b"BZh") => Self::Bzip2,
            _ => Self::Plain,
        }
    }
}

/// What a file held before it was compressed, from its start.
pub(super) fn unfold(file: &File, form: Form) -> io::Result<Box<dyn Read + Send>> {
    let from = Whole { file: file.try_clone()?, at: 0 };
    Ok(match form {
        Form::Plain => Box::new(from),
        Form::Gzip => Box::new(MultiGzDecoder::new(from)),
        Form::Bzip2 => Box::new(MultiBzDecoder::new(from)),
        Form::Xz => Box::new(Xz::new(from, XZ_DICTIONARY_BYTES_MAX)),
        Form::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(from)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
    })
}

/// A file from its start. Why: clones of an open file share one place in it.
struct Whole {
    file: File,
    at: u64,
}

impl Read for Whole {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(into, self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}
