//! A bundle of evidence, opened with care: it comes from a machine that may be anyone's, so names, sizes and hashes are checked before use.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};
use data_encoding::HEXLOWER;
use deskside_proto::seal::BUNDLE_SEAL;
use ring::digest;
use serde_json::Value as Json;
use zip::ZipArchive;

/// Most files that a bundle may hold.
const FILES_MAX: usize = 10_000;

/// Most bytes that one of its files may unpack to: a small archive must not fill the technician's disk.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Most bytes of the manifest or the summary.
const TEXT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Most bytes that are unpacked in all.
const BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;

const MANIFEST: &str = "manifest.json";
const SUMMARY: &str = "summary.md";

/// A bundle whose every file was checked.
#[derive(Debug)]
pub(super) struct Opened {
    /// The manifest.
    pub(super) manifest: Json,
    /// What the machine says of itself, in Markdown.
    pub(super) summary: String,
    /// Names of its files, the manifest's own left out.
    pub(super) files: Vec<String>,
    archive: ZipArchive<File>,
}

/// Opens a bundle: every name is safe, every file is in the manifest and has the hash that it names, and none of them is missing.
pub(super) fn open(file: File) -> anyhow::Result<Opened> {
    let mut archive = ZipArchive::new(file).context("it is not a ZIP file")?;
    if archive.len() > FILES_MAX {
        bail!("it holds {} files", archive.len());
    }
    let manifest: Json = serde_json::from_str(&text(&mut archive, MANIFEST)?).context("its manifest is not JSON")?;
    let mut named = hashes(&manifest)?;
    let (mut files, mut bytes) = (Vec::new(), 0_u64);
    for place in 0..archive.len() {
        let mut entry = archive.by_index(place)?;
        let name = safe_name(&entry.name()?)?;
        if entry.is_dir() || entry.is_symlink() {
            bail!("{name:?} is not a file");
        }
        if name == MANIFEST || name == BUNDLE_SEAL {
            continue;
        }
        let expected = named.remove(&name).with_context(|| format!("{name:?} is not in its manifest"))?;
        let (found, size) = hash(&mut entry).with_context(|| format!("reading {name:?}"))?;
        if found != expected {
            bail!("the SHA-256 of {name:?} is not the one in its manifest");
        }
        bytes += size;
        if bytes > BYTES_MAX {
            bail!("it unpacks to more than {BYTES_MAX} bytes");
        }
        files.push(name);
    }
    if let Some(missing) = named.keys().next() {
        bail!("{missing:?} is in its manifest and not in the bundle");
    }
    let summary = text(&mut archive, SUMMARY)?;
    Ok(Opened { manifest, summary, files, archive })
}

impl Opened {
    /// Writes all files into a new folder.
    pub(super) fn unpack(&mut self, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir(folder).with_context(|| format!("making {}", folder.display()))?;
        let names = self.files.clone();
        for name in names.iter().map(String::as_str).chain([MANIFEST]) {
            let path = folder.join(safe_name(name)?);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
            }
            let mut entry = self.archive.by_name(name)?;
            let mut file = File::create_new(&path).with_context(|| format!("writing {}", path.display()))?;
            io::copy(&mut entry.by_ref().take(FILE_BYTES_MAX), &mut file)
                .with_context(|| format!("unpacking {name}"))?;
        }
        Ok(())
    }
}

impl Opened {
    /// A file of it, to be read line by line; its size first, unpacked.
    pub(super) fn lines(&mut self, name: &str) -> anyhow::Result<(u64, impl io::BufRead + '_)> {
        let entry = self.archive.by_name(name)?;
        let size = entry.size();
        Ok((size, io::BufReader::new(entry.take(size))))
    }
}

/// A name that leads nowhere but into the folder it is unpacked to; anything else is refused, not mended.
pub(super) fn safe_name(name: &str) -> anyhow::Result<String> {
    let plain = |component: Component| matches!(component, Component::Normal(_));
    let path = PathBuf::from(name);
    let odd =
        name.contains(['\\', ':']) || name.chars().any(char::is_control) || name.contains("//") || name.ends_with('/');
    if name.is_empty() || odd || !path.components().all(plain) {
        bail!("the name {name:?} is not safe to unpack");
    }
    Ok(name.to_owned())
}

/// The manifest's `files`: path to SHA-256.
fn hashes(manifest: &Json) -> anyhow::Result<BTreeMap<String, String>> {
    let files = manifest.get("files").and_then(Json::as_array).context("its manifest lists no files")?;
    let mut named = BTreeMap::new();
    for file in files {
        let text = |key: &str| file.get(key).and_then(Json::as_str).map(str::to_owned);
        let (name, hash) = text("path").zip(text("sha256")).context("its manifest names a file without its SHA-256")?;
        if named.insert(name.clone(), hash).is_some() {
            bail!("{name:?} is twice in its manifest");
        }
    }
    Ok(named)
}

fn hash(from: &mut impl Read) -> anyhow::Result<(String, u64)> {
    let mut context = digest::Context::new(&digest::SHA256);
    let (mut buffer, mut size) = (vec![0; 64 * 1024], 0_u64);
    loop {
        let read = from.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        size += read as u64;
        if size > FILE_BYTES_MAX {
            bail!("it unpacks to more than {FILE_BYTES_MAX} bytes");
        }
        context.update(bytes);
    }
    Ok((HEXLOWER.encode(context.finish().as_ref()), size))
}

fn text(archive: &mut ZipArchive<File>, name: &str) -> anyhow::Result<String> {
    let entry = archive.by_name(name).with_context(|| format!("it has no {name}"))?;
    let mut text = String::new();
    entry.take(TEXT_BYTES_MAX).read_to_string(&mut text).with_context(|| format!("{name} is not text"))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use serde_json::json;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    /// A bundle with a summary and one more file; the manifest lists what it is told to.
    fn bundle(name: &str, listed: &[(&str, &str)]) -> anyhow::Result<Opened> {
        let mut zip = ZipWriter::new(tempfile::tempfile().unwrap());
        let files: Vec<Json> = listed
            .iter()
            .map(|(name, content)| {
                let hash = HEXLOWER.encode(digest::digest(&digest::SHA256, content.as_bytes()).as_ref());
                json!({ "path": name, "sha256": hash })
            })
            .collect();
        let manifest = json!({ "files": files }).to_string();
        for (name, content) in [(MANIFEST, manifest.as_str()), (SUMMARY, "fine"), (name, "rows")] {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(content.as_bytes()).unwrap();
        }
        let mut file = zip.finish().unwrap();
        file.rewind().unwrap();
        open(file)
    }

    fn refusal(name: &str, listed: &[(&str, &str)]) -> String {
        format!("{:#}", bundle(name, listed).unwrap_err())
    }

    const GOOD: &[(&str, &str)] = &[(SUMMARY, "fine"), ("tables/os.csv", "rows")];

    #[test]
    fn a_whole_bundle_is_opened_and_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let mut opened = bundle("tables/os.csv", GOOD).unwrap();
        assert_eq!(opened.summary, "fine");
        opened.unpack(&folder.path().join("new")).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("new/tables/os.csv")).unwrap(), "rows");
    }

    #[test]
    fn a_file_that_was_altered_added_or_taken_away_is_noticed() {
        assert!(refusal("tables/os.csv", &[(SUMMARY, "fine"), ("tables/os.csv", "other")]).contains("SHA-256"));
        assert!(refusal("tables/os.csv", &[(SUMMARY, "fine")]).contains("not in its manifest"));
        let missing = [GOOD, &[("tables/cpu.csv", "rows")]].concat();
        assert!(refusal("tables/os.csv", &missing).contains("not in the bundle"));
    }

    #[test]
    fn a_name_that_leads_out_of_the_folder_is_refused() {
        for name in ["../evil", "/etc/evil", "a/../../evil", "a\\..\\evil", "c:evil", "a/b/", "", "a\u{1b}b"] {
            assert!(safe_name(name).is_err(), "{name:?}");
        }
        assert!(refusal("../evil", &[(SUMMARY, "fine"), ("../evil", "rows")]).contains("not safe"));
    }

    #[test]
    fn what_is_no_zip_is_refused() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"not a zip").unwrap();
        assert!(format!("{:#}", open(file).unwrap_err()).contains("ZIP"));
    }
}
