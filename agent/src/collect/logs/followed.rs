//! The files that are followed: found, gone, or at rest until something is written to them again.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::batch::Rate;
use super::file::{Had, LogFile, place};
use super::origin::{FileId, Origin};
use super::patterns::{Found, any_fits};
use super::permitted::Named;
use super::rotated::Patterns;
use super::{Config, Position, Source};

/// Log files that are open at once.
const FILES_MAX: usize = 128;
/// A file to which nothing is written for so long is closed; it is opened again when something is.
const REST_MS: u64 = 10 * 60_000;
/// What a position of ours is kept under: when files were first looked for.
const SELF: &str = "follower";
/// The file of the kernel's audit (auditd.conf(5)).
const AUDIT_LOG: &str = "/var/log/audit/audit.log";

/// An open log.
pub(super) struct Followed {
    pub(super) log: LogFile,
    pub(super) rate: Rate,
    /// Its position has been handed over since it was opened.
    pub(super) told: bool,
    /// When something of it was read last.
    pub(super) read_ms: u64,
}

/// What tells that a file at rest is as it was.
type Facts = (u64, u64, u64);

/// All log files.
pub(super) struct Files {
    config: Config,
    named: Named,
    /// Names that policy has just brought, and that have not been looked for yet.
    unseen: Vec<String>,
    patterns: Arc<Patterns>,
    open: Vec<Followed>,
    /// Of files that are not open.
    positions: BTreeMap<String, String>,
    resting: BTreeMap<PathBuf, Facts>,
    first_from_ms: i64,
    /// When an agent before this one had found its files; absent at the very first start.
    known_from_ms: Option<i64>,
    scanned: bool,
    full: bool,
}

impl Files {
    pub(super) fn new(config: &Config, positions: BTreeMap<String, String>, first_from_ms: i64) -> Self {
        let mut config = config.clone();
        config.files.extend(config.sources.iter().flat_map(|source| source.files.iter().cloned()));
        if config.audit {
            config.files.push(AUDIT_LOG.into());
        }
        let mut named = Named::new(&config.forbidden);
        named.replace(std::mem::take(&mut config.named));
        Self {
            patterns: Arc::new(patterns(&config, &named)),
            config,
            named,
            unseen: Vec::new(),
            open: Vec::new(),
            known_from_ms: positions.get(SELF).and_then(|at| at.parse().ok()),
            positions,
            resting: BTreeMap::new(),
            first_from_ms,
            scanned: false,
            full: false,
        }
    }

    /// From now on policy names these. All files are opened anew, as after a start of the agent. What policy names for the first time is not
    /// new for that: of what stands in it, as much counts as at the very first start.
    pub(super) fn name(&mut self, sources: Vec<Source>) {
        let before = self.named.replace(sources);
        self.unseen = self.named.files().filter(|file| !before.contains(file)).cloned().collect();
        self.patterns = Arc::new(patterns(&self.config, &self.named));
        let open = self.open.drain(..).map(|followed| followed.log.position());
        self.positions.extend(open.map(|position| (position.source, position.at)));
        self.resting.clear();
    }

    /// Adds what policy names to what was found. Returns, once each, what of it is not followed, and why.
    pub(super) fn add_named(&mut self, found: &mut Found) -> Vec<String> {
        self.named.find(found)
    }

    /// Everything that names of logs may be.
    pub(super) fn patterns(&self) -> &[String] {
        self.patterns.all()
    }

    /// Those that are followed only where there is no journal.
    pub(super) fn without_journal(&self) -> &[String] {
        &self.config.files_without_journal
    }

    /// The names that are looked for.
    pub(super) fn wanted(&self, no_journal: bool) -> impl Iterator<Item = &String> {
        let more = if no_journal { self.config.files_without_journal.as_slice() } else { &[] };
        self.config.files.iter().chain(more)
    }

    pub(super) fn position(&self, source: &str) -> Option<String> {
        self.positions.get(source).cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn at(&mut self, place: usize) -> Option<&mut Followed> {
        self.open.get_mut(place)
    }

    pub(super) fn rates(&self) -> impl Iterator<Item = &Rate> {
        self.open.iter().map(|followed| &followed.rate)
    }

    pub(super) fn any_waits(&self) -> bool {
        self.open.iter().any(|followed| followed.log.waits())
    }

    /// The paths of those that are open, and of what they link to.
    pub(super) fn open(&self) -> BTreeSet<PathBuf> {
        let paths = self.open.iter().map(|followed| PathBuf::from(followed.log.source()));
        paths.flat_map(|path| [std::fs::canonicalize(&path).ok(), Some(path)]).flatten().collect()
    }

    /// Lines a second that a log of its own settings may give.
    pub(super) fn per_s_max(&self, source: &str) -> Option<u32> {
        self.patterns.source(Path::new(source))?.0.lines_per_s_max
    }

    /// Opens what came or was written to, closes what rests or is gone. Returns positions that are to be kept.
    pub(super) fn scan(&mut self, mut found: Vec<PathBuf>, now_ms: u64, wrong: &mut Vec<String>) -> Vec<Position> {
        let mut positions = Vec::new();
        // Why those first that are known: another name may be that of a file that one of them was rotated to.
        found.sort_by_key(|path| !self.positions.contains_key(&path.display().to_string()));
        self.lost_from_sight(&found, now_ms, &mut positions);
        self.full = false;
        for path in found {
            wrong.extend(self.admit(path, now_ms, &mut positions));
        }
        if self.full {
            wrong.push(format!("more than {FILES_MAX} log files are written to; the others are not followed"));
        }
        self.close(now_ms);
        self.scanned = true;
        self.unseen.clear();
        positions
    }

    /// What is kept once all that was found has been read for the first time.
    pub(super) fn mark() -> Position {
        let at = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis()).to_string();
        Position { source: SELF.into(), at }
    }

    fn admit(&mut self, path: PathBuf, now_ms: u64, positions: &mut Vec<Position>) -> Option<String> {
        let source = path.display().to_string();
        if self.open.iter().any(|followed| followed.log.source() == source) {
            return None;
        }
        let facts = facts(&path);
        if facts.is_some() && self.resting.get(&path) == facts.as_ref() {
            return None;
        }
        if self.open.len() >= FILES_MAX {
            self.full = true;
            return None;
        }
        self.resting.remove(&path);
        if !self.positions.contains_key(&source)
            && let Some((had, id)) = self.read_as_another(&path)
        {
            let Had::To(end) = had else { return None };
            let end = place(&path, &id, end);
            positions.push(end.clone());
            self.positions.insert(end.source, end.at);
        }
        let patterns = Arc::clone(&self.patterns);
        let (log, lost) = match self.positions.remove(&source) {
            Some(position) => LogFile::resume(path, patterns, &position, self.first_from_ms),
            None if self.is_new(&path) => (LogFile::fresh(path, patterns), None),
            None => (LogFile::new(path, patterns, self.first_from_ms), None),
        };
        self.push(log, now_ms);
        lost
    }

    fn push(&mut self, log: LogFile, now_ms: u64) {
        let own = self.patterns.source(Path::new(log.source())).map(|(source, _zone)| source);
        let per_s = own.and_then(|own| own.lines_per_s_max).unwrap_or(self.config.lines_per_s_max);
        let at_once = own.and_then(|own| own.lines_at_once_max).unwrap_or(self.config.lines_at_once_max);
        let rate = Rate::new(per_s, at_once, now_ms);
        self.open.push(Followed { log, rate, told: false, read_ms: now_ms });
    }

    /// Whether a file is a part of another log, under a name that is a log's too: how far it has been read as such, if it has.
    fn read_as_another(&self, path: &Path) -> Option<(Had, FileId)> {
        let mut origin = Origin::open(path).ok()?;
        let had = self.open.iter().find_map(|followed| followed.log.has_read(&mut origin))?;
        Some((had, origin.id))
    }

    /// Whether a file has come into being since files were looked for: all of it counts.
    fn is_new(&self, path: &Path) -> bool {
        let born_ms = || {
            let born = std::fs::metadata(path).ok()?.created().ok()?;
            i64::try_from(born.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
        };
        if any_fits(&self.unseen, path) {
            return false;
        }
        self.scanned || self.known_from_ms.is_some_and(|known| born_ms().is_some_and(|born| born > known))
    }

    /// Logs that are known, and at whose path nothing is: what was rotated from there is read on, what is gone is forgotten.
    fn lost_from_sight(&mut self, found: &[PathBuf], now_ms: u64, positions: &mut Vec<Position>) {
        let gone = |source: &&String| {
            let path = Path::new(source.as_str());
            self.patterns.fits(path)
                && found.binary_search_by(|other| other.as_path().cmp(path)).is_err()
                && !path.exists()
        };
        let gone: Vec<String> = self.positions.keys().filter(gone).cloned().collect();
        for source in gone {
            let Some(position) = self.positions.remove(&source) else { continue };
            let path = PathBuf::from(&source);
            self.resting.remove(&path);
            let (log, _lost) = LogFile::resume(path, Arc::clone(&self.patterns), &position, self.first_from_ms);
            if log.is_open() {
                self.push(log, now_ms);
            } else {
                positions.push(Position { source, at: String::new() });
            }
        }
    }

    /// Closes what rests, and what is deleted.
    fn close(&mut self, now_ms: u64) {
        let (positions, resting) = (&mut self.positions, &mut self.resting);
        self.open.retain(|followed| {
            let rests = now_ms.saturating_sub(followed.read_ms) >= REST_MS && followed.log.is_at_rest();
            let gone = followed.log.is_deleted() && now_ms > followed.read_ms;
            let keep = !(rests || gone);
            if !keep {
                let Position { source, at } = followed.log.position();
                let path = PathBuf::from(&source);
                resting.extend(facts(&path).map(|facts| (path, facts)));
                positions.insert(source, at);
            }
            keep
        });
    }
}

fn patterns(config: &Config, named: &Named) -> Patterns {
    let all = config.files.iter().chain(&config.files_without_journal).chain(named.files()).cloned().collect();
    let sources: Vec<Source> = config.sources.iter().chain(named.sources()).cloned().collect();
    Patterns::new(all, &sources)
}

fn facts(path: &Path) -> Option<Facts> {
    let facts = std::fs::metadata(path).ok()?;
    Some((facts.dev(), facts.ino(), facts.len()))
}
