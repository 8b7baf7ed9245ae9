//! Watches the folders of those collectors that look when something changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{Notify, mpsc};

use super::looks::Wish;
use crate::collect::{Cadence, Collector};

/// Between two messages to the looker, however fast a log is written.
const PAUSE: Duration = Duration::from_millis(500);

/// Tables whose folders changed and that the looker has not been told of.
#[derive(Debug, Default)]
struct Changed {
    tables: Mutex<BTreeSet<&'static str>>,
    some: Notify,
}

impl Changed {
    fn add(&self, tables: &[&'static str]) {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).extend(tables);
        self.some.notify_one();
    }

    async fn next(&self) -> Vec<&'static str> {
        loop {
            self.some.notified().await;
            let tables = std::mem::take(&mut *self.tables.lock().unwrap_or_else(PoisonError::into_inner));
            if !tables.is_empty() {
                return tables.into_iter().collect();
            }
        }
    }
}

/// Tells the looker of changes until it is gone or this is ended. A folder that is not there or that this user may not read is left to the interval.
pub(super) async fn run(collectors: Vec<Collector>, wishes: mpsc::Sender<Wish>) {
    let changed = Arc::new(Changed::default());
    let Some(_watcher) = watch(by_folder(&collectors), &changed) else { return };
    loop {
        let tables = changed.next().await;
        if wishes.send(Wish::Changed(tables)).await.is_err() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn by_folder(collectors: &[Collector]) -> BTreeMap<PathBuf, Vec<&'static str>> {
    let mut tables: BTreeMap<PathBuf, Vec<&'static str>> = BTreeMap::new();
    for collector in collectors {
        if let Cadence::EveryAndOn(_, folders) = collector.cadence {
            for folder in folders {
                tables.entry(PathBuf::from(folder)).or_default().push(collector.table);
            }
        }
    }
    tables
}

/// The watcher of all folders that can be watched; none where there is not one.
fn watch(tables: BTreeMap<PathBuf, Vec<&'static str>>, changed: &Arc<Changed>) -> Option<RecommendedWatcher> {
    if !tables.keys().any(|folder| folder.is_dir()) {
        return None;
    }
    let folders: Vec<PathBuf> = tables.keys().cloned().collect();
    let changed = Arc::clone(changed);
    let heard = move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        if matches!(event.kind, EventKind::Access(_)) {
            return;
        }
        for folder in event.paths.iter().filter_map(|path| path.parent()) {
            changed.add(tables.get(folder).map(Vec::as_slice).unwrap_or_default());
        }
    };
    let mut watcher = notify::recommended_watcher(heard)
        .inspect_err(|error| tracing::warn!(%error, "changes are not watched, only looked for at intervals"))
        .ok()?;
    let mut watched = 0;
    for folder in &folders {
        watched += usize::from(begin(&mut watcher, folder));
    }
    (watched > 0).then_some(watcher)
}

fn begin(watcher: &mut RecommendedWatcher, folder: &Path) -> bool {
    let begun = watcher.watch(folder, RecursiveMode::NonRecursive);
    if let Err(error) = &begun {
        tracing::debug!(folder = %folder.display(), %error, "not watched");
    }
    begun.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::{Os, Rows};

    fn collector(table: &'static str, folder: &Path) -> Collector {
        let folder: &'static str = Box::leak(folder.to_str().expect("a plain path").to_owned().into_boxed_str());
        let folders: &'static [&'static str] = Box::leak(Box::new([folder, "/no/such/folder"]));
        let cadence = Cadence::EveryAndOn(Duration::from_secs(30), folders);
        Collector { table, systems: &[Os::Linux], cadence, look: |_host| Ok(Rows::none()) }
    }

    #[tokio::test]
    async fn a_file_that_is_written_in_a_folder_is_told_of_and_one_that_is_read_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("error_log");
        std::fs::write(&file, "one\n").expect("written");
        let (sender, mut wishes) = mpsc::channel(4);
        let collectors = vec![collector("printers", folder.path()), collector("print_jobs", folder.path())];
        let changed = Arc::new(Changed::default());
        let watcher = watch(by_folder(&collectors), &changed);
        assert!(watcher.is_some());
        drop(watcher);
        let watching = tokio::spawn(run(collectors, sender));
        // The watch begins some time after its task does: write until it is heard.
        let heard = loop {
            std::fs::write(&file, "two\n").expect("written");
            if let Ok(wish) = tokio::time::timeout(Duration::from_millis(50), wishes.recv()).await {
                break wish;
            }
        };
        assert!(matches!(heard, Some(Wish::Changed(tables)) if tables == ["print_jobs", "printers"]));
        // What was written before the answer may be told once more; reading is not told of.
        while tokio::time::timeout(PAUSE * 2, wishes.recv()).await.is_ok() {}
        std::fs::read(&file).expect("read");
        assert!(tokio::time::timeout(PAUSE, wishes.recv()).await.is_err());
        watching.abort();
    }

    #[tokio::test]
    async fn a_machine_without_the_folders_is_left_to_the_interval() {
        let (sender, mut wishes) = mpsc::channel(1);
        run(vec![collector("printers", Path::new("/no/such/place"))], sender).await;
        assert!(wishes.try_recv().is_err());
    }
}
