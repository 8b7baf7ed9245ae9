//! The queries that have a name: those of this release, one file each in `server/queries`, and the technician's own in the folder of the
//! login. A file's head of comments says what it is for, of which diagnoses, and its parameters with their defaults:
//!
//! ```sql
//! -- Toner, ink and waste boxes that run out.
//! -- diagnoses: P05
//! -- param percent: 10
//! SELECT /*device*/host, name, percent_left FROM print_supplies WHERE percent_left <= :percent
//! ```
//!
//! Where many devices are asked, `/*device*/` becomes the column `device` (`/*t.device*/` that of the table `t`), and `/*same a b*/` the
//! condition that rows of two tables are of one device. `scope: fleet` marks a query that only makes sense of many.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use deskside_proto::sql::SQL_BYTES_MAX;

use super::files::FILES;
use crate::cli::trouble::Trouble;

/// Folder of the technician's own queries, beside the login.
const FOLDER: &str = "queries";

/// Most queries of the technician's own that are listed.
const OWN_MAX: usize = 1_000;

/// A query with a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Named {
    /// Its name.
    pub(in crate::cli) name: String,
    /// What it is for.
    pub(in crate::cli) doc: String,
    /// Numbers of diagnoses that it is evidence for.
    pub(in crate::cli) diagnoses: Vec<String>,
    /// Its parameters and their defaults.
    pub(in crate::cli) params: Vec<(String, String)>,
    /// Only of many devices.
    pub(in crate::cli) of_fleet: bool,
    /// The technician's own.
    pub(in crate::cli) own: bool,
    /// The SQL with its marks.
    pub(in crate::cli) sql: String,
}

impl Named {
    /// Reads a file.
    pub(in crate::cli) fn read(name: &str, text: &str) -> Result<Self, String> {
        let mut named = Self { name: name.to_owned(), ..Self::default() };
        let mut sql = Vec::new();
        for line in text.lines() {
            let Some(said) = line.strip_prefix("--").filter(|_said| sql.is_empty()) else {
                sql.push(line);
                continue;
            };
            let said = said.trim();
            if let Some(numbers) = said.strip_prefix("diagnoses:") {
                named.diagnoses = numbers.split_whitespace().map(str::to_owned).collect();
            } else if let Some(param) = said.strip_prefix("param ") {
                let (name, default) = param.split_once(':').ok_or("a parameter is written \"param NAME: DEFAULT\"")?;
                named.params.push((name.trim().to_owned(), default.trim().to_owned()));
            } else if said == "scope: fleet" {
                named.of_fleet = true;
            } else {
                if !named.doc.is_empty() {
                    named.doc.push(' ');
                }
                named.doc.push_str(said);
            }
        }
        named.sql = sql.join("\n");
        if named.sql.trim().is_empty() { Err("there is no SQL in it".into()) } else { Ok(named) }
    }

    /// As a file.
    pub(in crate::cli) fn written(&self) -> String {
        let doc = (!self.doc.is_empty()).then(|| format!("-- {}", self.doc.replace('\n', " ")));
        let params = self.params.iter().map(|(name, default)| format!("-- param {name}: {default}"));
        let lines = doc.into_iter().chain(params).chain([format!("{}\n", self.sql.trim())]);
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The SQL for one device or for many.
    pub(in crate::cli) fn sql_for(&self, many: bool) -> String {
        let (mut text, mut rest) = (String::new(), self.sql.as_str());
        while let Some((before, mark)) = rest.split_once("/*") {
            let Some((mark, after)) = mark.split_once("*/") else { break };
            text.push_str(before);
            let same = mark.strip_prefix("same ").and_then(|tables| tables.split_once(' '));
            let piece = match same {
                Some((one, other)) if many => format!("AND {one}.device = {other}.device"),
                None if many && (mark == "device" || mark.ends_with(".device")) => format!("{mark}, "),
                _ => String::new(),
            };
            text.push_str(&piece);
            rest = after;
        }
        text + rest
    }

    /// Whether a word is in its name, its doc or its diagnoses; capitals do not matter.
    pub(in crate::cli) fn has(&self, word: &str) -> bool {
        let word = word.to_lowercase();
        let diagnosis = self.diagnoses.iter().any(|number| number.to_lowercase() == word);
        diagnosis || self.name.contains(&word) || self.doc.to_lowercase().contains(&word)
    }
}

/// All queries: those of this release, then the technician's own; of one name the technician's own counts.
pub(in crate::cli) fn all(home: &Path) -> anyhow::Result<Vec<Named>> {
    let own = own(home)?;
    let built = FILES.iter().map(|(name, text)| Named::read(name, text).map_err(anyhow::Error::msg));
    let mut all: Vec<Named> = built.collect::<anyhow::Result<_>>()?;
    all.retain(|built| own.iter().all(|own| own.name != built.name));
    all.extend(own);
    Ok(all)
}

/// One of them.
pub(in crate::cli) fn one(home: &Path, name: &str) -> anyhow::Result<Named> {
    let found = all(home)?.into_iter().find(|named| named.name == name);
    let advice = "`deskside query list` lists them";
    Ok(found.ok_or_else(|| Trouble::new(format!("no query \"{name}\""), advice))?)
}

fn own(home: &Path) -> anyhow::Result<Vec<Named>> {
    let folder = home.join(FOLDER);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<PathBuf>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let size = fs::metadata(path)?.len();
        anyhow::ensure!(size <= SQL_BYTES_MAX as u64, "{} is too large for a query", path.display());
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let named = Named::read(&name, &text);
        Ok(Named { own: true, ..named.map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))? })
    };
    paths.iter().take(OWN_MAX).map(read).collect()
}

/// Keeps a query of the technician's own; says where.
pub(in crate::cli) fn save(home: &Path, named: &Named, replace: bool) -> anyhow::Result<PathBuf> {
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if named.name.is_empty() || named.name.starts_with('-') || !named.name.chars().all(plain) {
        let advice = "a name has small letters, digits and \"-\", like \"toner-of-hall\"";
        return Err(Trouble::new(format!("\"{}\" is no name for a query", named.name), advice).into());
    }
    let folder = home.join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let path = folder.join(format!("{}.sql", named.name));
    if path.exists() && !replace {
        return Err(Trouble::new(format!("{} is there already", path.display()), "--replace writes over it").into());
    }
    fs::write(&path, named.written()).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_is_on_the_list_and_says_what_it_is_for() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
        let files: BTreeSet<String> = fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        let listed: BTreeSet<String> = FILES.iter().map(|(name, _text)| (*name).to_owned()).collect();
        assert_eq!(files, listed);
        for (name, text) in FILES {
            let named = Named::read(name, text).unwrap();
            assert!(named.doc.ends_with('.'), "{name}: {:?}", named.doc);
            assert!(named.params.iter().all(|(param, _default)| named.sql.contains(&format!(":{param}"))), "{name}");
        }
    }

    #[test]
    fn of_many_devices_a_query_names_them_and_joins_within_each() {
        let text =
            "-- Doc.\nSELECT /*j.device*/j.id FROM print_jobs j JOIN printers p ON p.name = j.printer /*same p j*/";
        let named = Named::read("x", text).unwrap();
        assert_eq!(
            named.sql_for(true),
            "SELECT j.device, j.id FROM print_jobs j JOIN printers p ON p.name = j.printer AND p.device = j.device"
        );
        assert_eq!(named.sql_for(false), "SELECT j.id FROM print_jobs j JOIN printers p ON p.name = j.printer ");
    }

    #[test]
    fn the_technicians_own_are_kept_found_and_not_lost_by_a_slip() {
        let home = tempfile::tempdir().unwrap();
        let mine = Named {
            name: "toner-of-hall".into(),
            doc: "Toner of the hall.".into(),
            params: vec![("percent".into(), "20".into())],
            sql: "SELECT 1 WHERE :percent".into(),
            ..Named::default()
        };
        save(home.path(), &mine, false).unwrap();
        assert_eq!(one(home.path(), "toner-of-hall").unwrap(), Named { own: true, ..mine.clone() });
        assert!(save(home.path(), &mine, false).unwrap_err().to_string().contains("there already"));
        save(home.path(), &mine, true).unwrap();
        let escape = Named { name: "../x".into(), ..mine };
        assert!(save(home.path(), &escape, false).is_err());
        assert!(one(home.path(), "nothing").is_err());
    }
}
