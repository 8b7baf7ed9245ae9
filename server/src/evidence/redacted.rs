//! A copy of a bundle without some of its tables or columns. The original is never edited: the copy is an item of its own, with its own hash, and
//! its manifest says from which item by which recipe it was made.
//!
//! Why a copy carries no summary, no CSV of a table that lost a column, and never packets: in those the parts that were taken out are told again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use data_encoding::HEXLOWER;
use ring::digest::{self, SHA256};
use serde_json::{Map, Value as Json, json};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use crate::store::EvidenceItem;

/// Most files that a bundle may hold.
const FILES_MAX: usize = 10_000;

/// Most bytes of its manifest.
const MANIFEST_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Most bytes that it may unpack to.
const UNPACKED_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;

/// Longest line of a table.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Most tables and columns that one recipe names.
const DROPS_MAX: usize = 256;

const MANIFEST: &str = "manifest.json";
const CHANGES: &str = "changes.jsonl";
const SUMMARY: &str = "summary.md";

/// What is left out: whole tables, or some of their columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipe(BTreeMap<String, BTreeSet<String>>);

impl Recipe {
    /// From "TABLE" and "TABLE.COLUMN".
    pub fn new(drops: &[String]) -> Result<Self> {
        ensure!(!drops.is_empty(), "say what to leave out: --drop TABLE or --drop TABLE.COLUMN");
        ensure!(drops.len() <= DROPS_MAX, "{DROPS_MAX} tables and columns at most");
        let mut recipe: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut whole = Vec::new();
        for left_out in drops {
            let Drop { table, column } = left_out.parse()?;
            let columns = recipe.entry(table.clone()).or_default();
            if let Some(column) = column {
                columns.insert(column);
            } else {
                whole.push(table);
            }
        }
        // A table that is left out whole has no columns left to name.
        recipe.extend(whole.into_iter().map(|table| (table, BTreeSet::new())));
        Ok(Self(recipe))
    }

    fn drops_table(&self, table: &str) -> bool {
        self.0.get(table).is_some_and(BTreeSet::is_empty)
    }

    fn columns(&self, table: &str) -> Option<&BTreeSet<String>> {
        self.0.get(table).filter(|columns| !columns.is_empty())
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let drops = self.0.iter().flat_map(|(table, columns)| {
            let whole = columns.is_empty().then(|| table.clone());
            whole.into_iter().chain(columns.iter().map(move |column| format!("{table}.{column}")))
        });
        write!(out, "drop {}", drops.collect::<Vec<_>>().join(", "))
    }
}

/// One thing that is left out.
struct Drop {
    table: String,
    column: Option<String>,
}

impl FromStr for Drop {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let name = |name: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let fits = !name.is_empty() && name.len() <= 64 && name.chars().all(plain);
            ensure!(fits, "{text:?} is neither TABLE nor TABLE.COLUMN");
            Ok(name.to_owned())
        };
        match text.trim().split_once('.') {
            Some((table, column)) => Ok(Self { table: name(table)?, column: Some(name(column)?) }),
            None => Ok(Self { table: name(text.trim())?, column: None }),
        }
    }
}

/// Writes the copy. `original` is the bundle's file, and `source` the item that it is. Blocks.
pub fn write(original: File, source: &EvidenceItem, recipe: &Recipe, copy: &mut File) -> Result<()> {
    let mut bundle = ZipArchive::new(original).context("it is no bundle of evidence: not a ZIP file")?;
    ensure!(bundle.len() <= FILES_MAX, "it holds {} files, {FILES_MAX} at most", bundle.len());
    let mut manifest = manifest(&mut bundle)?;
    let parts = manifest.get("parts").and_then(Json::as_array).cloned().unwrap_or_default();
    known(recipe, &parts)?;
    let mut written = Written { zip: ZipWriter::new(&mut *copy), files: BTreeMap::new(), left: UNPACKED_BYTES_MAX };
    for part in &parts {
        let name = text(part, "name");
        if recipe.drops_table(name) {
            continue;
        }
        for path in paths(part) {
            match recipe.columns(name) {
                None => written.same(&mut bundle, path)?,
                Some(columns) if Path::new(path).extension().is_some_and(|kind| kind == "jsonl") => {
                    written.lines(&mut bundle, path, |row| without(row, columns))?;
                }
                Some(_columns) => {}
            }
        }
    }
    if bundle.index_for_name(CHANGES).is_some() {
        written.lines(&mut bundle, CHANGES, |change| keeps(recipe, change))?;
    }
    let words = format!(
        "# A redacted copy\n\nMade from {} (SHA-256 {}).\n\nLeft out: {recipe}.\n\nThe summary of the original is not carried over, since it may \
         tell what was left out.\n",
        source.name, source.sha256
    );
    written.add(SUMMARY, words.as_bytes())?;
    rewrite(&mut manifest, source, recipe, &written.files);
    written.add(MANIFEST, (serde_json::to_string_pretty(&manifest)? + "\n").as_bytes())?;
    let Written { zip, .. } = written;
    zip.finish().context("ending the copy")?.rewind()?;
    Ok(())
}

/// A recipe that leaves out what is not there is a slip, and would be taken for done.
fn known(recipe: &Recipe, parts: &[Json]) -> Result<()> {
    for table in recipe.0.keys() {
        if !parts.iter().any(|part| text(part, "name") == table) {
            let names: Vec<&str> = parts.iter().map(|part| text(part, "name")).collect();
            bail!("the bundle has no table {table}; it has {}", names.join(", "));
        }
    }
    Ok(())
}

fn manifest(bundle: &mut ZipArchive<File>) -> Result<Map<String, Json>> {
    let entry = bundle.by_name(MANIFEST).context("it is no bundle of evidence: it has no manifest.json")?;
    let mut text = String::new();
    entry.take(MANIFEST_BYTES_MAX).read_to_string(&mut text).context("its manifest is not text")?;
    serde_json::from_str(&text).context("its manifest cannot be read")
}

/// The manifest of the copy: what was left out says so, and each file has the hash that it has here.
fn rewrite(manifest: &mut Map<String, Json>, source: &EvidenceItem, recipe: &Recipe, files: &BTreeMap<String, Json>) {
    for part in manifest.get_mut("parts").and_then(Json::as_array_mut).into_iter().flatten() {
        let name = text(part, "name").to_owned();
        let left: Vec<Json> = paths(part).filter_map(|path| files.get(path).cloned()).collect();
        let Some(part) = part.as_object_mut() else { continue };
        part.insert("files".into(), left.into());
        if recipe.drops_table(&name) {
            part.insert("outcome".into(), "denied".into());
            part.insert("reason".into(), "left out of this copy".into());
            part.extend(["readings", "rows", "bytes"].map(|count| (count.to_owned(), json!(0))));
        } else if let Some(columns) = recipe.columns(&name) {
            let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
            part.insert("outcome".into(), "partial".into());
            part.insert("reason".into(), format!("left out of this copy: {}", columns.join(", ")).into());
        }
    }
    let from = json!({ "evidence": source.id.to_string(), "sha256": source.sha256, "recipe": recipe.to_string() });
    manifest.insert("derived_from".into(), from);
    manifest.insert("files".into(), files.values().cloned().collect());
}

fn text<'a>(part: &'a Json, member: &str) -> &'a str {
    part.get(member).and_then(Json::as_str).unwrap_or_default()
}

fn paths(part: &Json) -> impl Iterator<Item = &str> {
    part.get("files").and_then(Json::as_array).into_iter().flatten().map(|file| text(file, "path"))
}

/// A row without these columns.
fn without(row: &mut Map<String, Json>, columns: &BTreeSet<String>) -> bool {
    row.retain(|column, _value| !columns.contains(column));
    true
}

/// Whether a change may be told. Why none of a table that lost a column: its key may be made of that.
fn keeps(recipe: &Recipe, change: &mut Map<String, Json>) -> bool {
    change.get("table").and_then(Json::as_str).is_some_and(|table| !recipe.0.contains_key(table))
}

/// The copy, as far as it is written.
struct Written<W: Write + Seek> {
    zip: ZipWriter<W>,
    files: BTreeMap<String, Json>,
    /// Bytes that may still be unpacked.
    left: u64,
}

impl<W: Write + Seek> Written<W> {
    fn same(&mut self, bundle: &mut ZipArchive<File>, path: &str) -> Result<()> {
        let mut entry = bundle.by_name(path).with_context(|| missing(path))?;
        self.begin(path)?;
        let mut into = Hashing::new(&mut self.zip);
        let bytes =
            io::copy(&mut (&mut entry).take(self.left), &mut into).with_context(|| format!("copying {path}"))?;
        let filed = into.filed(path);
        self.spend(bytes)?;
        self.files.insert(path.to_owned(), filed);
        Ok(())
    }

    /// The lines of a file that are kept, each an object that may be changed.
    fn lines(
        &mut self,
        bundle: &mut ZipArchive<File>,
        path: &str,
        mut keep: impl FnMut(&mut Map<String, Json>) -> bool,
    ) -> Result<()> {
        let entry = bundle.by_name(path).with_context(|| missing(path))?;
        let mut lines = BufReader::new(entry);
        self.begin(path)?;
        let mut into = Hashing::new(&mut self.zip);
        let mut line = Vec::new();
        let mut read = 0;
        loop {
            line.clear();
            let length = (&mut lines).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? as u64;
            if length == 0 {
                break;
            }
            read += length;
            ensure!(read <= self.left, "it unpacks to more than {UNPACKED_BYTES_MAX} bytes");
            // Why an end: what cannot be read cannot be cleaned.
            let mut row: Map<String, Json> =
                serde_json::from_slice(&line).with_context(|| format!("a line of {path} is no row"))?;
            if keep(&mut row) {
                serde_json::to_writer(&mut into, &row)?;
                into.write_all(b"\n")?;
            }
        }
        let filed = into.filed(path);
        self.spend(read)?;
        self.files.insert(path.to_owned(), filed);
        Ok(())
    }

    fn add(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.begin(path)?;
        let mut into = Hashing::new(&mut self.zip);
        into.write_all(content)?;
        let filed = into.filed(path);
        self.files.insert(path.to_owned(), filed);
        Ok(())
    }

    fn begin(&mut self, path: &str) -> Result<()> {
        let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
        self.zip.start_file(path, options).with_context(|| format!("adding {path} to the copy"))
    }

    fn spend(&mut self, bytes: u64) -> Result<()> {
        self.left = self.left.saturating_sub(bytes);
        ensure!(self.left > 0, "it unpacks to more than {UNPACKED_BYTES_MAX} bytes");
        Ok(())
    }
}

fn missing(path: &str) -> String {
    format!("{path} is in its manifest and not in the bundle")
}

/// Counts and hashes what is written through it.
struct Hashing<W: Write> {
    into: W,
    hash: digest::Context,
    bytes: u64,
}

impl<W: Write> Hashing<W> {
    fn new(into: W) -> Self {
        Self { into, hash: digest::Context::new(&SHA256), bytes: 0 }
    }

    fn filed(self, path: &str) -> Json {
        json!({ "path": path, "bytes": self.bytes, "sha256": HEXLOWER.encode(self.hash.finish().as_ref()) })
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let length = self.into.write(piece)?;
        self.hash.update(piece.get(..length).unwrap_or_default());
        self.bytes += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn source() -> EvidenceItem {
        EvidenceItem {
            id: Uuid::nil(),
            ticket: 1,
            device: None,
            collection: None,
            name: "desk-7.zip".into(),
            size: 1,
            sha256: "00ff".into(),
            stored_ms: 1,
            location: "1/a.zip".into(),
            deleted_ms: 0,
        }
    }

    fn bundle() -> File {
        let files = [
            ("tables/users.jsonl", "{\"name\":\"anna\"}\n"),
            ("tables/users.csv", "name\r\nanna\r\n"),
            ("tables/print_jobs.jsonl", "{\"id\":7,\"title\":\"anna's letter\"}\n{\"id\":8,\"title\":\"\"}\n"),
            ("tables/print_jobs.csv", "id,title\r\n7,anna's letter\r\n"),
            ("tables/os.jsonl", "{\"hostname\":\"desk-7\"}\n"),
            (
                "changes.jsonl",
                "{\"table\":\"users\",\"new\":\"anna\"}\n{\"table\":\"os\",\"new\":\"13\"}\n{\"table\":\"print_jobs\",\"old\":\"anna\"}\n",
            ),
            ("changes.csv", "users,anna"),
            ("summary.md", "anna prints"),
            ("capture.pcapng", "anna's packets"),
        ];
        let part = |name: &str, paths: &[&str]| {
            let files: Vec<Json> = paths.iter().map(|path| json!({"path": path, "sha256": "old"})).collect();
            json!({"name": name, "outcome": "ok", "rows": 1, "files": files})
        };
        let manifest = json!({"format": "deskside-evidence", "version": 1, "parts": [
            part("users", &["tables/users.jsonl", "tables/users.csv"]),
            part("print_jobs", &["tables/print_jobs.jsonl", "tables/print_jobs.csv"]),
            part("os", &["tables/os.jsonl"]),
        ]});
        let mut zip = ZipWriter::new(tempfile::tempfile().unwrap());
        for (path, text) in files.into_iter().chain([("manifest.json", manifest.to_string().as_str())]) {
            zip.start_file(path, SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        let mut file = zip.finish().unwrap();
        file.rewind().unwrap();
        file
    }

    fn recipe(drops: &[&str]) -> Result<Recipe> {
        Recipe::new(&drops.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_copy_tells_nothing_of_what_was_left_out_and_its_hashes_are_right() {
        let mut copy = tempfile::tempfile().unwrap();
        let recipe = recipe(&["users", "print_jobs.title"]).unwrap();
        assert_eq!(recipe.to_string(), "drop print_jobs.title, users");
        write(bundle(), &source(), &recipe, &mut copy).unwrap();
        let mut copy = ZipArchive::new(copy).unwrap();
        let names: Vec<String> = copy.file_names().map(|name| name.unwrap().into_owned()).collect();
        let mut texts = BTreeMap::new();
        for name in names {
            let mut text = String::new();
            copy.by_name(&name).unwrap().read_to_string(&mut text).unwrap();
            assert!(!text.contains("anna"), "{name}: {text}");
            texts.insert(name, text);
        }
        let names: Vec<&str> = texts.keys().map(String::as_str).collect();
        let left = ["changes.jsonl", "manifest.json", "summary.md", "tables/os.jsonl", "tables/print_jobs.jsonl"];
        assert_eq!(names, left);
        assert_eq!(texts["tables/print_jobs.jsonl"], "{\"id\":7}\n{\"id\":8}\n");
        let manifest: Json = serde_json::from_str(&texts["manifest.json"]).unwrap();
        let part =
            |place: usize| (manifest["parts"][place]["outcome"].clone(), manifest["parts"][place]["reason"].clone());
        assert_eq!(part(0), (json!("denied"), json!("left out of this copy")));
        assert_eq!(part(1), (json!("partial"), json!("left out of this copy: title")));
        assert_eq!(part(2), (json!("ok"), Json::Null));
        assert_eq!(manifest["derived_from"]["sha256"], "00ff");
        for file in manifest["files"].as_array().unwrap() {
            let text = &texts[file["path"].as_str().unwrap()];
            let sha256 = HEXLOWER.encode(digest::digest(&SHA256, text.as_bytes()).as_ref());
            assert_eq!(file["sha256"], sha256.as_str(), "{file}");
        }
        assert_eq!(manifest["parts"][1]["files"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_recipe_or_no_bundle_is_refused_in_words() {
        assert!(recipe(&[]).unwrap_err().to_string().contains("--drop"));
        for drops in [&["users.name.first"][..], &["../users"], &[""], &["users."]] {
            assert!(recipe(drops).unwrap_err().to_string().contains("neither TABLE"), "{drops:?}");
        }
        let refused = |file: File, drops: &[&str]| {
            let mut copy = tempfile::tempfile().unwrap();
            format!("{:#}", write(file, &source(), &recipe(drops).unwrap(), &mut copy).unwrap_err())
        };
        assert!(refused(bundle(), &["routes"]).contains("no table routes; it has users, print_jobs, os"));
        assert!(refused(tempfile::tempfile().unwrap(), &["users"]).contains("no bundle of evidence"));
    }
}
