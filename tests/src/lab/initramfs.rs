//! A root file system in memory for a virtual machine: programs with their libraries, kernel modules with what they need, and a script.
//! Written as the kernel's "newc" archive (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::house::said;

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

/// The archive as it grows.
#[derive(Debug, Default)]
pub struct Initramfs {
    /// By path without the leading slash: mode and content. Folders come before what is in them by their order.
    entries: BTreeMap<String, (u32, Vec<u8>)>,
}

impl Initramfs {
    /// With busybox, its tools by name, and the folders that a system needs.
    pub fn with_busybox(tools: &[&str]) -> anyhow::Result<Self> {
        let mut root = Self::default();
        for folder in ["proc", "sys", "dev", "tmp", "run", "etc", "data"] {
            root.folders(&format!("{folder}/x"));
        }
        let busybox = find("busybox").context("install busybox-static")?;
        root.file("/bin/busybox", fs::read(busybox)?);
        for tool in tools {
            root.put(&format!("bin/{tool}"), LINK, b"busybox".to_vec());
        }
        Ok(root)
    }

    /// Adds a file that may be run.
    pub fn file(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.put(path.trim_start_matches('/'), PROGRAM, content.into());
    }

    /// Adds a program at this path, without its symbols, and the libraries that it is linked with.
    pub fn program(&mut self, path: &str, program: &Path, passing: &Path) -> anyhow::Result<()> {
        let bare = passing.join("stripped");
        said(Command::new("strip").arg("-o").arg(&bare).arg(program)).context("install build-essential")?;
        self.file(path, fs::read(&bare)?);
        // "libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x…)", and the loader alone.
        let linked = said(Command::new("ldd").arg(program))?;
        for library in linked.split_whitespace().filter(|word| word.starts_with('/')) {
            self.file(library, fs::read(library).with_context(|| format!("reading {library}"))?);
        }
        Ok(())
    }

    /// Adds kernel modules as `/modules/NN-name.ko`, each after those that it needs, out of a kernel's folder of modules.
    pub fn modules(&mut self, folder: &Path, names: &[&str]) -> anyhow::Result<()> {
        let mut files = BTreeMap::new();
        module_files(folder, &mut files)?;
        let (mut order, mut seen) = (Vec::new(), BTreeSet::new());
        for name in names {
            with_needed(name, &files, &mut order, &mut seen)?;
        }
        for (place, (name, content)) in order.into_iter().enumerate() {
            self.file(&format!("/modules/{place:02}-{name}.ko"), content);
        }
        Ok(())
    }

    fn put(&mut self, path: &str, mode: u32, content: Vec<u8>) {
        self.folders(path);
        self.entries.insert(path.to_owned(), (mode, content));
    }

    fn folders(&mut self, path: &str) {
        for (end, _slash) in path.match_indices('/') {
            let folder = path.get(..end).unwrap_or_default();
            self.entries.entry(folder.to_owned()).or_insert((FOLDER, Vec::new()));
        }
    }

    /// The whole archive.
    pub fn archive(&self) -> Vec<u8> {
        let mut archive = Vec::new();
        let end = ("TRAILER!!!".to_owned(), (0, Vec::new()));
        for (number, (path, (mode, content))) in self.entries.iter().chain([(&end.0, &end.1)]).enumerate() {
            // Number, mode, owner, group, links, time, size, four device numbers, length of the name, checksum.
            let size = content.len() as u64;
            let fields = [number as u64 + 1, u64::from(*mode), 0, 0, 1, 0, size, 0, 0, 0, 0, path.len() as u64 + 1, 0];
            archive.extend_from_slice(b"070701");
            for field in fields {
                archive.extend_from_slice(format!("{field:08x}").as_bytes());
            }
            archive.extend_from_slice(format!("{path}\0").as_bytes());
            archive.resize(archive.len().next_multiple_of(4), 0);
            archive.extend_from_slice(content);
            archive.resize(archive.len().next_multiple_of(4), 0);
        }
        archive
    }
}

/// A program of the system.
pub fn find(program: &str) -> Option<PathBuf> {
    let folders = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
    folders.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}

/// All modules below a folder, by the name that the kernel has for them.
fn module_files(folder: &Path, found: &mut BTreeMap<String, PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("opening {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            module_files(&path, found)?;
        } else if let (Some(name), Some("ko")) = (path.file_stem(), path.extension().and_then(|end| end.to_str())) {
            found.insert(name.to_string_lossy().replace('-', "_"), path);
        }
    }
    Ok(())
}

fn with_needed(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    order: &mut Vec<(String, Vec<u8>)>,
    seen: &mut BTreeSet<String>,
) -> anyhow::Result<()> {
    if !seen.insert(name.to_owned()) {
        return Ok(());
    }
    let file = files.get(name).with_context(|| format!("this kernel has no module {name}"))?;
    let content = fs::read(file)?;
    for needed in needed(&content) {
        with_needed(&needed, files, order, seen)?;
    }
    order.push((name.to_owned(), content));
    Ok(())
}

/// What a module says in its section `.modinfo`: "depends=nvme-core,t10-pi".
fn needed(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let place = module.windows(KEY.len()).position(|window| window == KEY);
    let rest = place.and_then(|place| module.get(place + KEY.len()..)).unwrap_or_default();
    let list = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(list).replace('-', "_");
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
