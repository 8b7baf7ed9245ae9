//! Log files that the server's policy names, as far as this machine's own settings permit it.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use super::Source;
use super::patterns::{self, Found, any_fits};

/// Logs of one policy; more are left out and told.
const SOURCES_MAX: usize = 64;
/// Names of one of them.
const NAMES_MAX: usize = 64;
/// Paths that were refused, and that are remembered so that each is told once.
const TOLD_MAX: usize = 256;

/// What policy names.
#[derive(Debug, Default)]
pub(super) struct Named {
    forbidden: Vec<String>,
    sources: Vec<Source>,
    told: BTreeSet<String>,
}

impl Named {
    pub(super) fn new(forbidden: &[String]) -> Self {
        Self { forbidden: forbidden.to_vec(), ..Self::default() }
    }

    /// Takes a new policy; returns the names of the one before.
    pub(super) fn replace(&mut self, mut sources: Vec<Source>) -> Vec<String> {
        let before = self.files().cloned().collect();
        self.told.clear();
        if sources.len() > SOURCES_MAX || sources.iter().any(|source| source.files.len() > NAMES_MAX) {
            self.told.insert(TOO_MANY.to_owned());
        }
        sources.truncate(SOURCES_MAX);
        for source in &mut sources {
            source.files.retain(|name| is_whole(Path::new(name)));
            source.files.truncate(NAMES_MAX);
        }
        self.sources = sources;
        before
    }

    /// The names.
    pub(super) fn files(&self) -> impl Iterator<Item = &String> {
        self.sources.iter().flat_map(|source| &source.files)
    }

    /// With what is said of them.
    pub(super) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter()
    }

    /// Adds the files that are permitted, and their folders. Returns, once each, what is not.
    pub(super) fn find(&mut self, found: &mut Found) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.told.remove(TOO_MANY) {
            wrong.push(TOO_MANY.to_owned());
        }
        let named = patterns::find(self.sources.iter().flat_map(|source| &source.files));
        for path in named.files {
            if found.files.contains(&path) {
                continue;
            }
            if self.permits(&path) {
                found.files.push(path);
            } else if self.told.len() < TOLD_MAX && self.told.insert(path.display().to_string()) {
                wrong.push(format!("{} is not followed: this machine's settings forbid it to policy", path.display()));
            }
        }
        found.files.sort_unstable();
        found.folders.extend(named.folders.into_iter().filter(|folder| self.permits(folder)));
        found.cut |= named.cut;
        wrong
    }

    /// Whether neither a path, nor what it leads to over links, is forbidden or lies below what is.
    fn permits(&self, path: &Path) -> bool {
        let is_forbidden = |path: &Path| path.ancestors().any(|above| any_fits(&self.forbidden, above));
        let real = std::fs::canonicalize(path);
        !is_forbidden(path) && real.map_or(true, |real| !is_forbidden(&real))
    }
}

const TOO_MANY: &str = "policy names more logs than are followed; the rest is left out";

/// A path from the root that does not climb.
fn is_whole(path: &Path) -> bool {
    path.is_absolute() && !path.components().any(|part| part == Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(files: &[String]) -> Source {
        Source { files: files.to_vec(), ..Source::default() }
    }

    #[test]
    fn what_is_forbidden_is_not_found_over_any_way_and_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        for name in ["app", "people/anna", "people/bert"] {
            std::fs::create_dir_all(path(name)).unwrap();
            std::fs::write(path(name) + "/a.log", "").unwrap();
        }
        std::os::unix::fs::symlink(path("people/anna/a.log"), path("app/link.log")).unwrap();
        std::os::unix::fs::symlink(path("people"), path("all")).unwrap();
        let mut named = Named::new(&[path("people")]);
        named.replace(vec![
            source(&[path("app/*.log"), path("people/*/a.log")]),
            source(&[path("all/anna/a.log"), path("app/../people/anna/a.log"), "a.log".into()]),
        ]);
        let mut found = Found::default();
        let wrong = named.find(&mut found);
        assert_eq!(found.files, [Path::new(&path("app/a.log"))]);
        assert!(found.folders.iter().all(|folder| folder.ends_with("app")), "{:?}", found.folders);
        assert_eq!(wrong.len(), 4, "{wrong:?}");
        assert!(wrong.iter().all(|told| told.contains("forbid")));
        assert_eq!(named.find(&mut Found::default()), Vec::<String>::new());
        let mut own = Found { files: vec![path("people/bert/a.log").into()], ..Found::default() };
        named.find(&mut own);
        assert!(own.files.contains(&path("people/bert/a.log").into()), "what the machine itself names stays");
    }

    #[test]
    fn a_policy_without_end_is_cut_and_that_is_told() {
        let mut named = Named::new(&[]);
        named.replace(vec![source(&["/nowhere/a".into()]); SOURCES_MAX + 1]);
        assert_eq!(named.find(&mut Found::default()), [TOO_MANY]);
        assert_eq!(named.sources().count(), SOURCES_MAX);
    }
}
