//! The thread that follows all logs: sleeps until something is written, gathers, reads, hands over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use deskside_proto::v1::LogEvent;
use jiff::Zoned;
use notify::event::ModifyKind;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::batch::{Batch, Rate};
use super::file::LogFile;
use super::journal::Journals;
use super::{Config, Lines, OWN_SOURCE, journal, lines};

/// Written lines are gathered for this long before they are read. Why: a transaction for each line would wear the disk.
const GATHER: Duration = Duration::from_millis(250);
/// The net under the watches: all logs are looked at this often even if nothing told of a change.
const NET: Duration = Duration::from_mins(1);
/// When a journal could not be read, another try is made this soon.
const DOUBT: Duration = Duration::from_secs(1);
/// Log files that are followed at once.
const FILES_MAX: usize = 64;
/// Sentences about unreadable logs in one pass.
const WRONG_MAX: usize = 16;
/// The thread needs little: its buffers and the depth of a regular call.
const STACK_BYTES: usize = 256 * 1024;

/// Wakes the thread, or ends it.
#[derive(Clone, Debug)]
pub(super) struct Waker {
    wake: SyncSender<()>,
    scan: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Waker {
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// A wake-up that is already due is enough.
    fn wake(&self) {
        match self.wake.try_send(()) {
            Ok(()) | Err(_) => {}
        }
    }
}

pub(super) fn start(
    config: Config,
    positions: BTreeMap<String, String>,
    sink: mpsc::Sender<Lines>,
) -> anyhow::Result<Waker> {
    let (wake, woken) = sync_channel(1);
    let waker = Waker { wake, scan: Arc::default(), stop: Arc::default() };
    let watcher = watcher(&config, waker.clone());
    let mut following = Following::new(config, positions, sink, watcher);
    let own = waker.clone();
    let thread = std::thread::Builder::new().name("logs".into()).stack_size(STACK_BYTES);
    thread.spawn(move || following.run(&own, &woken)).context("starting the thread that follows logs")?;
    Ok(waker)
}

/// Without watches the slow net alone notices what is written.
fn watcher(config: &Config, waker: Waker) -> Option<RecommendedWatcher> {
    let patterns: Vec<String> = config.files.iter().chain(&config.files_without_journal).cloned().collect();
    let told = move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return waker.wake() };
        let renamed = matches!(event.kind, EventKind::Modify(ModifyKind::Name(_)));
        let came_or_went = matches!(event.kind, EventKind::Create(_) | EventKind::Remove(_));
        let scan = renamed || came_or_went || event.need_rescan();
        if !scan && !matches!(event.kind, EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any)) {
            return;
        }
        let ours = |path: &PathBuf| path.extension().is_some_and(|end| end == "journal") || matching(&patterns, path);
        if scan || event.paths.iter().any(ours) {
            waker.scan.fetch_or(scan, Ordering::AcqRel);
            waker.wake();
        }
    };
    match notify::recommended_watcher(told) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            warn!(%error, "log folders cannot be watched; they are looked at once a minute");
            None
        }
    }
}

struct Following {
    config: Config,
    sink: mpsc::Sender<Lines>,
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    journals: Journals,
    journal_rate: Rate,
    files: Vec<(LogFile, Rate)>,
    positions: BTreeMap<String, String>,
    first_from_ms: i64,
    begun: Instant,
    scanned: bool,
    own_pid: u32,
    own_events: u64,
}

impl Following {
    fn new(
        config: Config,
        positions: BTreeMap<String, String>,
        sink: mpsc::Sender<Lines>,
        watcher: Option<RecommendedWatcher>,
    ) -> Self {
        let first_from_ms = Zoned::now().timestamp().as_millisecond() - i64::from(config.first_minutes) * 60_000;
        let position = positions.get(journal::SOURCE).map(String::as_str);
        let journals = Journals::new(&config.journals, position, first_from_ms.max(0).cast_unsigned() * 1000);
        Self {
            journal_rate: Rate::new(config.lines_per_s_max, config.lines_at_once_max, 0),
            config,
            sink,
            watcher,
            watched: BTreeSet::new(),
            journals,
            files: Vec::new(),
            positions,
            first_from_ms,
            begun: Instant::now(),
            scanned: false,
            own_pid: std::process::id(),
            own_events: 0,
        }
    }

    /// Ends when it is told to, or when nobody takes the lines any more.
    fn run(&mut self, waker: &Waker, woken: &Receiver<()>) {
        let mut scan = true;
        loop {
            if scan && !self.scan() || !self.read() {
                return;
            }
            match woken.recv_timeout(self.rest()) {
                Ok(()) => {
                    if !waker.stop.load(Ordering::Acquire) {
                        std::thread::sleep(GATHER);
                    }
                    scan = waker.scan.swap(false, Ordering::AcqRel);
                }
                Err(RecvTimeoutError::Timeout) => scan = true,
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if waker.stop.load(Ordering::Acquire) {
                return;
            }
        }
    }

    fn now_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    /// How long nothing needs to be done by itself.
    fn rest(&self) -> Duration {
        let now_ms = self.now_ms();
        let rates = self.files.iter().map(|(_log, rate)| rate).chain([&self.journal_rate]);
        let tell = rates.filter_map(|rate| rate.tell_in_ms(now_ms)).min().map(Duration::from_millis);
        let join = self.files.iter().any(|(log, _rate)| log.waits()).then_some(Duration::from_millis(lines::JOIN_MS));
        let doubt = self.journals.doubtful().then_some(DOUBT);
        [tell, join, doubt].into_iter().flatten().min().unwrap_or(NET).min(NET)
    }

    /// Finds logs that came, and watches their folders. False when nobody takes the lines.
    fn scan(&mut self) -> bool {
        let mut wrong = self.journals.scan();
        let mut patterns = self.config.files.clone();
        if !self.journals.any() {
            patterns.extend(self.config.files_without_journal.iter().cloned());
        }
        let mut folders: BTreeSet<PathBuf> = self.journals.folders().into_iter().collect();
        for pattern in patterns {
            let folder = Path::new(&pattern).parent().map(Path::to_owned).unwrap_or_default();
            for path in expand(&pattern) {
                wrong.extend(self.admit(path));
            }
            if folder.is_dir() {
                folders.insert(folder);
            }
        }
        self.watch(&folders);
        self.scanned = true;
        self.complain(wrong)
    }

    fn admit(&mut self, path: PathBuf) -> Option<String> {
        if self.files.len() >= FILES_MAX || self.files.iter().any(|(log, _rate)| Path::new(log.source()) == path) {
            return None;
        }
        let (log, lost) = match self.positions.remove(&path.display().to_string()) {
            Some(position) => LogFile::resume(path, &position, self.first_from_ms),
            None if self.scanned => (LogFile::fresh(path), None),
            None => (LogFile::new(path, self.first_from_ms), None),
        };
        let now_ms = self.now_ms();
        self.files.push((log, Rate::new(self.config.lines_per_s_max, self.config.lines_at_once_max, now_ms)));
        lost
    }

    fn watch(&mut self, folders: &BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        self.watched.retain(|folder| folders.contains(folder));
        for folder in folders {
            if self.watched.contains(folder) {
                continue;
            }
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => _ = self.watched.insert(folder.clone()),
                Err(error) => debug!(%error, "a log folder cannot be watched; it is looked at once a minute"),
            }
        }
    }

    /// Hands over all that is written. False when nobody takes it.
    fn read(&mut self) -> bool {
        self.read_journals() && (0..self.files.len()).all(|place| self.read_file(place))
    }

    fn read_journals(&mut self) -> bool {
        loop {
            self.journal_rate.refill(self.now_ms());
            let mut batch = Batch::new(&mut self.journal_rate, self.own_pid);
            let wrong = self.journals.read(&mut batch);
            let (full, events) = (batch.full(), batch.into_events());
            let position = Some(self.journals.position());
            let left_out = self.journal_rate.tell(self.now_ms());
            let handed = events.is_empty() || self.hand_over(Lines { events, position });
            if !handed || !self.complain(wrong) || !self.tell_left_out(journal::SOURCE, left_out) {
                return false;
            }
            if !full {
                return true;
            }
        }
    }

    fn read_file(&mut self, place: usize) -> bool {
        loop {
            let now_ms = self.now_ms();
            let Some((log, rate)) = self.files.get_mut(place) else { return true };
            rate.refill(now_ms);
            let mut batch = Batch::new(rate, self.own_pid);
            log.read(&mut batch, &Zoned::now());
            let (full, events) = (batch.full(), batch.into_events());
            let (left_out, position, complaint) = (rate.tell(now_ms), log.position(), log.complaint());
            let source = log.source().to_owned();
            let handed = events.is_empty() || self.hand_over(Lines { events, position });
            if !handed || !self.complain(complaint.into_iter().collect()) || !self.tell_left_out(&source, left_out) {
                return false;
            }
            if !full {
                return true;
            }
        }
    }

    fn tell_left_out(&mut self, source: &str, left_out: Option<u64>) -> bool {
        let per_s = self.config.lines_per_s_max;
        let told =
            left_out.map(|left_out| format!("{left_out} lines of {source} left out: more than {per_s} a second"));
        self.complain(told.into_iter().collect())
    }

    /// What the follower itself has to say goes the way of the lines.
    fn complain(&mut self, wrong: Vec<String>) -> bool {
        let mut events = Vec::new();
        let at_ms = Zoned::now().timestamp().as_millisecond();
        for message in wrong.into_iter().take(WRONG_MAX) {
            self.own_events += 1;
            events.push(LogEvent {
                at_ms,
                source: OWN_SOURCE.into(),
                position: format!("{}:{}", self.own_pid, self.own_events),
                priority: Some(4),
                program: "deskside-agent".into(),
                message,
                ..LogEvent::default()
            });
        }
        events.is_empty() || self.hand_over(Lines { events, position: None })
    }

    fn hand_over(&self, lines: Lines) -> bool {
        self.sink.blocking_send(lines).is_ok()
    }
}

/// The files that a pattern stands for at this moment.
fn expand(pattern: &str) -> Vec<PathBuf> {
    if !pattern.contains('*') {
        return vec![PathBuf::from(pattern)];
    }
    let folder = Path::new(pattern).parent().unwrap_or(Path::new("/"));
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<PathBuf> = paths.filter(|path| matching_one(pattern, path) && path.is_file()).collect();
    found.sort();
    found
}

fn matching(patterns: &[String], path: &Path) -> bool {
    patterns.iter().any(|pattern| matching_one(pattern, path))
}

/// `*` stands for any part of the last name, and for no slash.
fn matching_one(pattern: &str, path: &Path) -> bool {
    let pattern = Path::new(pattern);
    if pattern.parent() != path.parent() {
        return false;
    }
    let (Some(pattern), Some(name)) = (pattern.file_name(), path.file_name()) else { return false };
    let (pattern, name) = (pattern.to_string_lossy(), name.to_string_lossy());
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = rest.split('*').collect();
    let Some((last, middle)) = parts.split_last() else { return true };
    for part in middle {
        let Some(at) = name.find(part) else { return false };
        name = name.get(at + part.len()..).unwrap_or_default();
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_part_of_the_last_name() {
        let fits = |pattern: &str, path: &str| matching_one(pattern, Path::new(path));
        assert!(fits("/var/log/*.log", "/var/log/a.log"));
        assert!(fits("/var/log/app-*-*.log", "/var/log/app-1-2.log"));
        assert!(fits("/var/log/syslog", "/var/log/syslog"));
        assert!(!fits("/var/log/*.log", "/var/log/deep/a.log"));
        assert!(!fits("/var/log/*.log", "/var/log/a.log.1"));
        assert!(!fits("/var/log/app-*-*.log", "/var/log/app-1.log"));
        assert!(!fits("/var/*/a.log", "/var/log/a.log"), "a folder is named in full");
    }
}
