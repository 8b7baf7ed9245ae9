//! The ZIP itself: written front to back through a temporary file, each file hashed on its way in.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use deskside_proto::seal::{Bundle, Signer, Subject, seal_bundle};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use ring::digest::{Context, SHA256};
use serde::Serialize;
use tempfile::NamedTempFile;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Why not more: evidence is packed on the user's own machine, while they work.
const LEVEL: i64 = 5;

const BUFFER_BYTES: usize = 32 * 1024;

/// A file of the bundle, as the manifest lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Filed {
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// A bundle that is being written.
pub(super) struct Archive {
    zip: ZipWriter<BufWriter<NamedTempFile>>,
    out: PathBuf,
    folder: PathBuf,
    options: SimpleFileOptions,
    at: zip::DateTime,
    pub(super) files: Vec<Filed>,
}

impl Archive {
    pub(super) fn begin(out: &Path, now_ms: i64) -> anyhow::Result<Self> {
        let folder = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        let file = NamedTempFile::new_in(&folder).with_context(|| format!("making a file in {}", folder.display()))?;
        let at = zip_time(now_ms).unwrap_or_default();
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(LEVEL))
            .last_modified_time(at);
        let zip = ZipWriter::new(BufWriter::with_capacity(BUFFER_BYTES, file));
        Ok(Self { zip, out: out.to_owned(), folder, options, at, files: Vec::new() })
    }

    /// A file beside the bundle that vanishes by itself.
    pub(super) fn scratch(&self) -> anyhow::Result<BufWriter<File>> {
        let file = tempfile::tempfile_in(&self.folder);
        Ok(BufWriter::with_capacity(BUFFER_BYTES, file.context("making a temporary file for the bundle")?))
    }

    /// Adds what was written to a scratch file.
    pub(super) fn add_scratch(&mut self, path: &str, scratch: BufWriter<File>) -> anyhow::Result<Filed> {
        let mut file =
            scratch.into_inner().map_err(io::IntoInnerError::into_error).context("writing a temporary file")?;
        file.rewind()?;
        self.add(path, &mut file)
    }

    /// Adds a file.
    pub(super) fn add(&mut self, path: &str, content: &mut dyn Read) -> anyhow::Result<Filed> {
        self.zip.start_file(path, self.options).with_context(|| format!("adding {path} to the bundle"))?;
        let (bytes, sha256) = copy(content, &mut self.zip).with_context(|| format!("writing {path} to the bundle"))?;
        let filed = Filed { path: path.to_owned(), bytes, sha256: HEXLOWER.encode(&sha256) };
        self.files.push(filed.clone());
        Ok(filed)
    }

    /// Ends the bundle, seals it, makes it durable and gives it its name: its size and hash.
    pub(super) fn finish(self, seal: Option<(&Signer, Bundle)>) -> anyhow::Result<(u64, Vec<u8>)> {
        let written = self.zip.finish().context("ending the bundle")?;
        let mut file = written.into_inner().map_err(io::IntoInnerError::into_error).context("writing the bundle")?;
        if let Some((signer, said)) = seal {
            let subjects = self.files.iter().map(|filed| Subject::new(&filed.path, &filed.sha256)).collect();
            let at = (self.at.timepart(), self.at.datepart());
            seal_bundle(&mut file, signer, subjects, said, at).context("sealing the bundle")?;
        }
        file.as_file().sync_all().context("writing the bundle to disk")?;
        file.rewind()?;
        let (size, sha256) = copy(&mut BufReader::with_capacity(BUFFER_BYTES, file.as_file()), &mut io::sink())?;
        file.persist(&self.out).with_context(|| format!("naming {}", self.out.display()))?;
        Ok((size, sha256))
    }
}

fn copy(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<(u64, Vec<u8>)> {
    let mut hash = Context::new(&SHA256);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut bytes = 0;
    loop {
        let length = from.read(&mut buffer)?;
        let Some(piece) = buffer.get(..length).filter(|piece| !piece.is_empty()) else { break };
        hash.update(piece);
        to.write_all(piece)?;
        bytes += piece.len() as u64;
    }
    Ok((bytes, hash.finish().as_ref().to_vec()))
}

fn zip_time(now_ms: i64) -> Option<zip::DateTime> {
    let at = Timestamp::from_millisecond(now_ms).ok()?.to_zoned(TimeZone::system());
    let small = |number: i8| u8::try_from(number).ok();
    let year = u16::try_from(at.year()).ok()?;
    let (month, day) = (small(at.month())?, small(at.day())?);
    zip::DateTime::from_date_and_time(year, month, day, small(at.hour())?, small(at.minute())?, small(at.second())?)
        .ok()
}

/// A name that is safe as a file's on every system, whatever it was made of: letters, digits, `._-`, no dots in front, bounded.
pub(super) fn safe_name(text: &str) -> String {
    const LENGTH_MAX: usize = 80;
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = text.chars().map(plain).collect();
    let name: String = name.replace("..", "-").trim_matches(['.', '-']).chars().take(LENGTH_MAX).collect();
    if name.is_empty() { "unnamed".into() } else { name }
}

/// "2026-03-01T14:05:09.120+01:00", local.
pub(super) fn iso(at_ms: i64) -> String {
    match Timestamp::from_millisecond(at_ms) {
        Ok(at) => at.to_zoned(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S.%3f%:z").to_string(),
        Err(_out_of_range) => format!("{at_ms} ms"),
    }
}
