//! Being told that logs are written, come or go, instead of looking for it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::ModifyKind;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tracing::{debug, warn};

use super::Source;
use super::patterns::any_fits;

/// Wakes the thread that reads, or ends it.
#[derive(Clone, Debug)]
pub(super) struct Waker {
    wake: SyncSender<()>,
    scan: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    /// Files that are open; what is written to another one has to be looked for.
    open: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// What policy names, until it is taken.
    named: Arc<Mutex<Option<Vec<Source>>>>,
}

impl Waker {
    pub(super) fn new(wake: SyncSender<()>) -> Self {
        Self { wake, scan: Arc::default(), stop: Arc::default(), open: Arc::default(), named: Arc::default() }
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Whether logs are to be looked for, once.
    pub(super) fn takes_scan(&self) -> bool {
        self.scan.swap(false, Ordering::AcqRel)
    }

    /// A wake-up that is already due is enough.
    pub(super) fn wake(&self) {
        match self.wake.try_send(()) {
            Ok(()) | Err(_) => {}
        }
    }

    pub(super) fn name(&self, sources: Vec<Source>) {
        *self.named.lock().unwrap_or_else(PoisonError::into_inner) = Some(sources);
        self.wake();
    }

    /// What policy names now, where that has changed.
    pub(super) fn takes_named(&self) -> Option<Vec<Source>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn is_open(&self, path: &Path) -> bool {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    pub(super) fn set_open(&self, paths: BTreeSet<PathBuf>) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = paths;
    }
}

/// The folders that are watched.
pub(super) struct Watches {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
}

impl Watches {
    /// Without watches the slow net alone notices what is written.
    pub(super) fn new(patterns: Vec<String>, waker: Waker) -> Self {
        let told = move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return waker.wake() };
            let renamed = matches!(event.kind, EventKind::Modify(ModifyKind::Name(_)));
            let came_or_went = matches!(event.kind, EventKind::Create(_) | EventKind::Remove(_));
            let mut scan = renamed || came_or_went || event.need_rescan();
            if !scan && !matches!(event.kind, EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any)) {
                return;
            }
            let mut ours = scan;
            for path in &event.paths {
                let journal = path.extension().is_some_and(|end| end == "journal");
                let open = waker.is_open(path);
                let log = !journal && !open && any_fits(&patterns, path);
                ours |= journal || open || log;
                scan |= log;
            }
            if ours {
                waker.scan.fetch_or(scan, Ordering::AcqRel);
                waker.wake();
            }
        };
        let watcher = notify::recommended_watcher(told);
        if let Err(error) = &watcher {
            warn!(%error, "log folders cannot be watched; they are looked at once a minute");
        }
        Self { watcher: watcher.ok(), watched: BTreeSet::new() }
    }

    pub(super) fn set(&mut self, folders: &BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for gone in self.watched.difference(folders) {
            // Its watch went with the folder, or never was.
            watcher.unwatch(gone).ok();
        }
        self.watched.retain(|folder| folders.contains(folder));
        for folder in folders {
            if self.watched.contains(folder) {
                continue;
            }
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => _ = self.watched.insert(folder.clone()),
                Err(error) => debug!(folder = %folder.display(), %error, "not watched"),
            }
        }
    }
}
