//! Where rotation puts the files of a log: beside it, renamed, copied, dated, compressed; or beside the file that a link names.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::Source;
use super::lines::Entries;
use super::origin::{FileId, Origin};
use super::patterns::any_fits;

/// Rotated files that are open at once to be read one after the other; what comes after them is sought once they are read.
const ROTATED_MAX: usize = 16;
/// Files of a folder that are looked at.
const BESIDE_MAX: usize = 4096;
/// Times that they are listed anew.
const LISTINGS_MAX: usize = 3;
/// The last moment of a second.
const NANOSECONDS_MAX: i64 = 999_999_999;
/// What rotation adds to names once it has compressed a file.
const PACKED: [&str; 5] = ["gz", "zst", "xz", "bz2", "lz4"];
/// Of these, what is read.
const UNPACKED: [&str; 4] = ["gz", "zst", "xz", "bz2"];

/// Which files are logs of their own, and how each is read.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    all: Vec<String>,
    sources: Vec<(Source, Option<TimeZone>)>,
}

impl Patterns {
    pub(super) fn new(all: Vec<String>, sources: &[Source]) -> Self {
        let zone = |source: &Source| source.zone.as_deref().and_then(|name| TimeZone::get(name).ok());
        let sources = sources.iter().map(|source| (source.clone(), zone(source))).collect();
        Self { all, sources }
    }

    pub(super) fn all(&self) -> &[String] {
        &self.all
    }

    /// Whether a path is a log of its own.
    pub(super) fn fits(&self, path: &Path) -> bool {
        any_fits(&self.all, path)
    }

    /// What is said of a path's source.
    pub(super) fn source(&self, path: &Path) -> Option<&(Source, Option<TimeZone>)> {
        self.sources.iter().find(|(source, _zone)| any_fits(&source.files, path))
    }

    /// How lines of a path's log make entries.
    pub(super) fn entries(&self, path: &Path) -> Entries {
        self.source(path).map_or(Entries::default(), |(source, _zone)| source.entries)
    }
}

/// What was sought among rotated files.
pub(super) struct Sought {
    /// The file, if it is among them.
    pub(super) found: Option<Origin>,
    /// Which of them could not be read, and why; what was sought may be in there.
    pub(super) refused: Option<String>,
}

/// The rotated file that a place in it is known of: the same file renamed, or a copy of it, compressed or not.
pub(super) fn find(path: &Path, patterns: &Patterns, id: &FileId, offset: u64) -> Sought {
    let mut refused = None;
    let mut copies = Vec::new();
    for (candidate, facts) in beside(path) {
        let same = id.is_file(&facts);
        if !same && !is_rotated(path, patterns, &candidate) {
            continue;
        }
        let Some(mut origin) = open(&candidate) else { continue };
        if origin.is(id, offset) {
            return Sought { found: Some(origin), refused: None };
        }
        if origin.is_copy(id, offset) {
            origin.rest();
            copies.push((written(&facts), origin));
        } else if let Some(why) = origin.refused() {
            refused = Some(format!("{} cannot be read: {why}", candidate.display()));
        }
    }
    let latest = copies.into_iter().max_by_key(|(written, _origin)| *written);
    Sought { found: latest.map(|(_written, origin)| origin), refused }
}

/// Files of a log that were written after another one, oldest first, and what is at its path; where they are too many, the first of them
/// alone. Why what is at the path is opened first: whatever rotation does from then on, nothing between the two is passed over.
pub(super) fn newer(path: &Path, patterns: &Patterns, than: &Origin) -> Vec<Origin> {
    let Ok(than_facts) = than.facts() else { return Vec::new() };
    let from = written(&than_facts);
    let current = Origin::open(path).ok().filter(|current| !than.id.is_file_of(&current.id));
    let known =
        |facts: &Metadata| than.id.is_file(facts) || current.as_ref().is_some_and(|current| current.id.is_file(facts));
    let mut candidates: Vec<_> = beside(path)
        .into_iter()
        .filter(|(candidate, facts)| !known(facts) && is_rotated(path, patterns, candidate))
        .map(|(candidate, facts)| (written(&facts), candidate))
        .filter(|(written, _candidate)| *written >= from)
        .collect();
    // Of two that were written in the same moment the higher number is the older.
    candidates.sort_by(|(one, path), (other, other_path)| one.cmp(other).then_with(|| other_path.cmp(path)));
    if candidates.len() > ROTATED_MAX {
        // Why not those of the same moment: which of them have been read is not known for so many.
        candidates.retain(|(written, _candidate)| *written > from);
    }
    let (mut newer, mut more): (Vec<Origin>, bool) = (Vec::new(), false);
    for (_written, candidate) in candidates {
        more = newer.len() == ROTATED_MAX;
        if more {
            break;
        }
        let Some(mut origin) = open(&candidate) else { continue };
        if origin.is_same(&than.id) {
            continue;
        }
        // Why: many may wait, and each decoder holds its window.
        origin.rest();
        newer.push(origin);
    }
    newer.into_iter().chain(current.filter(|_current| !more)).collect()
}

/// Opens a file that is as its name says. One that is gone since it was listed has just been compressed.
fn open(path: &Path) -> Option<Origin> {
    let as_named = |path: &Path| {
        let packed = packed(path).is_some();
        Origin::open(path).map(|origin| Some(origin).filter(|origin| origin.is_packed() == packed))
    };
    match as_named(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let name = path.file_name()?.to_str()?;
            UNPACKED.iter().find_map(|end| as_named(&path.with_file_name(format!("{name}.{end}"))).ok().flatten())
        }
        found => found.ok().flatten(),
    }
}

/// When a file was last written. Why not always as its time says: bzip2 keeps the second alone of the file that it packs, and several
/// rotations can fall into one; it was then written before it was packed, as late in that second as can be.
fn written(facts: &Metadata) -> (i64, i64) {
    match facts.mtime_nsec() {
        0 if facts.ctime() == facts.mtime() => (facts.mtime(), facts.ctime_nsec()),
        0 => (facts.mtime(), NANOSECONDS_MAX),
        exact => (facts.mtime(), exact),
    }
}

/// Files in the log's folder, and in that of the file that it links to. Where one goes while they are listed, they are listed again: what it
/// became may not have been there yet.
fn beside(path: &Path) -> Vec<(PathBuf, Metadata)> {
    let mut files = Vec::new();
    for _listing in 0..LISTINGS_MAX {
        let gone;
        (files, gone) = listed(path);
        if !gone {
            break;
        }
    }
    files
}

/// The files, and whether one of them was gone before it could be looked at.
fn listed(path: &Path) -> (Vec<(PathBuf, Metadata)>, bool) {
    let own = path.parent().map(Path::to_owned);
    let linked =
        std::fs::read_link(path).ok().and_then(|target| path.parent()?.join(target).parent().map(Path::to_owned));
    let linked = linked.filter(|linked| Some(linked) != own.as_ref());
    let folders = own.into_iter().chain(linked);
    let entries =
        folders.filter_map(|folder| std::fs::read_dir(folder).ok()).flat_map(|entries| entries.take(BESIDE_MAX));
    let mut gone = false;
    let mut files = Vec::new();
    for file in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|file| file != path) {
        match std::fs::symlink_metadata(&file) {
            Ok(facts) if facts.is_file() => files.push((file, facts)),
            Ok(_other) => {}
            Err(_gone) => gone = true,
        }
    }
    let names: BTreeSet<PathBuf> = files.iter().map(|(file, _facts)| file.clone()).collect();
    // While the uncompressed file is there, the compressed one is still being written.
    let whole = |file: &Path| packed(file).is_none_or(|bare| !names.contains(&bare));
    (files.into_iter().filter(|(file, _facts)| whole(file)).collect(), gone)
}

/// The name of a compressed file without what compression added.
fn packed(path: &Path) -> Option<PathBuf> {
    path.extension().is_some_and(|end| PACKED.iter().any(|packed| end == *packed)).then(|| path.with_extension(""))
}

/// Whether a file's name says that it was rotated from a log: `app.log.1`, `app.log-20261122.gz`, `app-2026-11-22.log.gz`.
fn is_rotated(path: &Path, patterns: &Patterns, other: &Path) -> bool {
    let (Some(name), Some(other_name)) = (path.file_name().and_then(|name| name.to_str()), other.file_name()) else {
        return false;
    };
    let Some(other_name) = other_name.to_str() else { return false };
    // A name that is a log of its own is followed as one.
    if patterns.fits(other) {
        return false;
    }
    let (bare, packed) = match other_name.rsplit_once('.') {
        Some((bare, end)) if PACKED.contains(&end) => (bare, Some(end)),
        _ => (other_name, None),
    };
    if packed.is_some_and(|end| !UNPACKED.contains(&end)) {
        return false;
    }
    if let Some(more) = bare.strip_prefix(name) {
        return more.starts_with(['.', '-', '_']) || more.is_empty() && packed.is_some();
    }
    let (stem, end) = name.rsplit_once('.').unwrap_or((name, ""));
    let more = bare.strip_prefix(stem).and_then(|more| more.strip_suffix(end));
    let dated = |more: &str| more.bytes().all(|byte| byte.is_ascii_digit() || b"-_.:T".contains(&byte));
    more.is_some_and(|more| more.bytes().any(|byte| byte.is_ascii_digit()) && dated(more))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rotated_files_are_known() {
        let patterns = Patterns::new(vec!["/l/app.log".into(), "/l/own-*.log".into()], &[]);
        let of = |other: &str| is_rotated(Path::new("/l/app.log"), &patterns, Path::new(other));
        for name in [
            "app.log.1",
            "app.log.2.gz",
            "app.log-20261122",
            "app.log-20261122.zst",
            "app-2026-11-22.log",
            "app.log.old",
            "app-2026-11-22T01.log.gz",
            "app.log.3.xz",
            "app.log-20261122.bz2",
            "app.1.log",
            "app.log.gz",
        ] {
            assert!(of(&format!("/l/{name}")), "{name}");
        }
        for name in ["app-errors.log", "application.log", "other.log.1", "app.log.1.lz4", "app.txt", "apps.log"] {
            assert!(!of(&format!("/l/{name}")), "{name}");
        }
        assert!(!is_rotated(Path::new("/l/own.log"), &patterns, Path::new("/l/own-1.log")), "a log of its own");
    }

    #[test]
    fn a_file_of_which_packing_kept_the_second_alone_comes_after_those_of_its_second() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8], nanoseconds: u32| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let at = std::time::UNIX_EPOCH + std::time::Duration::new(1_700_000_000, nanoseconds);
            std::fs::File::options().append(true).open(&path).unwrap().set_modified(at).unwrap();
            path
        };
        let line = |number: u8| vec![b'0' + number; 300];
        let first = write("app.log-1", &line(1), 300_000_000);
        let mut packer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        std::io::Write::write_all(&mut packer, &line(2)).unwrap();
        write("app.log-2.bz2", &packer.finish().unwrap(), 0);
        let path = write("app.log", &line(3), 700_000_000);
        let patterns = Patterns::new(vec![path.display().to_string()], &[]);
        let mut newer = newer(&path, &patterns, &Origin::open(&first).unwrap());
        let begins: Vec<Vec<u8>> = newer.iter_mut().map(|origin| origin.first(1)).collect();
        assert_eq!(begins, [b"2", b"3"]);
    }
}
