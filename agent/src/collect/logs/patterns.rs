//! Names of log files with stars in any part, and the files and folders that they stand for.

use std::path::{Component, Path, PathBuf};

/// Paths that the patterns of one configuration stand for at once.
const PATHS_MAX: usize = 1024;
/// Folders that are looked into for them.
const FOLDERS_MAX: usize = 256;
/// Entries of one folder that are looked at.
const ENTRIES_MAX: usize = 4096;

/// What patterns stand for at one moment.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Files, in order.
    pub(super) files: Vec<PathBuf>,
    /// Folders in which such files lie or may come to lie.
    pub(super) folders: Vec<PathBuf>,
    /// There were more than are followed.
    pub(super) cut: bool,
}

/// The files that patterns stand for, and the folders where more of them may come.
pub(super) fn find<'a>(patterns: impl IntoIterator<Item = &'a String>) -> Found {
    let mut found = Found::default();
    for pattern in patterns {
        let mut folders = vec![PathBuf::new()];
        let parts: Vec<Component> = Path::new(pattern).components().collect();
        let Some((name, above)) = parts.split_last() else { continue };
        for part in above {
            // Where a folder is yet to come, the one above is watched.
            if let Some(text) = part.as_os_str().to_str().filter(|text| text.contains('*')) {
                found.folders.extend(folders.iter().cloned());
                folders =
                    folders.iter().flat_map(|folder| entries(folder, text)).filter(|path| path.is_dir()).collect();
            } else {
                for folder in &mut folders {
                    folder.push(part);
                }
            }
            found.cut |= folders.len() > FOLDERS_MAX;
            folders.truncate(FOLDERS_MAX);
        }
        folders.retain(|folder| folder.is_dir());
        for folder in folders {
            match name.as_os_str().to_str().filter(|text| text.contains('*')) {
                Some(text) => found.files.extend(entries(&folder, text).filter(|path| path.is_file())),
                None => found.files.push(folder.join(name)),
            }
            found.folders.push(folder);
        }
    }
    found.files.sort_unstable();
    found.files.dedup();
    found.cut |= found.files.len() > PATHS_MAX;
    found.files.truncate(PATHS_MAX);
    found
}

fn entries<'a>(folder: &Path, pattern: &'a str) -> impl Iterator<Item = PathBuf> + use<'a> {
    let names = std::fs::read_dir(folder).into_iter().flatten().take(ENTRIES_MAX);
    let names = names.filter_map(|entry| Some(entry.ok()?.path()));
    names.filter(move |path| path.file_name().is_some_and(|name| fits(pattern, &name.to_string_lossy())))
}

/// Whether any pattern stands for a path.
pub(super) fn any_fits(patterns: &[String], path: &Path) -> bool {
    patterns.iter().any(|pattern| {
        let (mut wanted, mut there) = (Path::new(pattern).components(), path.components());
        loop {
            match (wanted.next(), there.next()) {
                (None, None) => return true,
                (Some(wanted), Some(there))
                    if fits(&wanted.as_os_str().to_string_lossy(), &there.as_os_str().to_string_lossy()) => {}
                _ => return false,
            }
        }
    })
}

/// `*` stands for any part of one name.
fn fits(pattern: &str, name: &str) -> bool {
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
    fn a_star_stands_for_any_part_of_a_name_and_for_no_slash() {
        let fits = |pattern: &str, path: &str| any_fits(&[pattern.to_owned()], Path::new(path));
        assert!(fits("/var/log/*.log", "/var/log/a.log"));
        assert!(fits("/var/log/app-*-*.log", "/var/log/app-1-2.log"));
        assert!(fits("/var/log/syslog", "/var/log/syslog"));
        assert!(fits("/var/*/a.log", "/var/log/a.log"));
        assert!(fits("/var/log/*/*.log", "/var/log/app/a.log"));
        assert!(!fits("/var/log/*.log", "/var/log/deep/a.log"));
        assert!(!fits("/var/log/*.log", "/var/log/a.log.1"));
        assert!(!fits("/var/log/app-*-*.log", "/var/log/app-1.log"));
        assert!(!fits("/var/log/*/*.log", "/var/log/a.log"));
    }

    #[test]
    fn folders_are_found_by_stars_too_and_those_above_are_watched() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for app in ["one", "two", "other"] {
            std::fs::create_dir_all(path(app).join("log")).unwrap();
        }
        std::fs::write(path("one/log/a.log"), "").unwrap();
        std::fs::write(path("two/log/b.log"), "").unwrap();
        std::fs::write(path("two/log/b.txt"), "").unwrap();
        let found = find(&[path("*o*/log/*.log").display().to_string()]);
        assert_eq!(found.files, [path("one/log/a.log"), path("two/log/b.log")]);
        assert!(found.folders.contains(&folder.path().to_owned()) && found.folders.contains(&path("other/log")));
        let whole = find(&[path("one/log/to-come.log").display().to_string()]);
        assert_eq!((whole.files.len(), whole.folders), (1, vec![path("one/log")]));
    }
}
