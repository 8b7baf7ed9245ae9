//! A virtual machine with Debian's own kernel, emulated: the place for what no namespace has, as disks that fail. It needs neither root
//! nor KVM, boots in some seconds into a script, and is gone when the script is through.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use super::initramfs::Initramfs;
use crate::house::said;

/// How long one may take from power-on to power-off. Alone it takes ten seconds; why so long: the machine is emulated beside other tests.
const SECONDS_MAX: &str = "150";

/// Lines of the console that an error quotes.
const LAST_WORDS: usize = 25;

/// The package that names the newest kernel's.
const KERNEL: &str = "linux-image-amd64";

/// A kernel, unpacked and never installed.
#[derive(Debug)]
pub struct Kernel {
    /// Its image.
    pub image: PathBuf,
    /// Its modules.
    pub modules: PathBuf,
}

impl Kernel {
    /// Debian's kernel out of its package, which is fetched once and kept below this folder.
    pub fn fetched(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        // Two tests may want it at once.
        let lock = File::create(folder.join("lock"))?;
        flock(&lock, FlockOperation::LockExclusive).context("waiting for another test to fetch a kernel")?;
        let kept = folder.join("kernel");
        if !kept.is_dir() {
            let passing = tempfile::tempdir_in(folder)?;
            let package = fetch(passing.path()).context("fetching a kernel's package")?;
            said(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(passing.path().join("kernel")))?;
            fs::rename(passing.path().join("kernel"), &kept)?;
        }
        let image = only(&kept.join("boot"), "vmlinuz-")?;
        Ok(Self { image, modules: only(&kept.join("lib/modules"), "")? })
    }
}

/// The package of the newest kernel, in a folder that holds nothing else.
fn fetch(folder: &Path) -> anyhow::Result<PathBuf> {
    let depends = || said(Command::new("apt-cache").args(["depends", "--important", KERNEL]));
    let found = depends().or_else(|_unknown| {
        said(Command::new("apt-get").args(["update", "-q", "-o", "DPkg::Lock::Timeout=600"]))?;
        depends()
    })?;
    // "  Depends: linux-image-6.1.0-56-amd64"
    let name = found.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let name = name.with_context(|| format!("{KERNEL} depends on no kernel"))?;
    said(Command::new("apt-get").args(["download", "-q", name]).current_dir(folder))?;
    only(folder, "linux-image-")
}

/// The one entry of a folder whose name begins so.
fn only(folder: &Path, beginning: &str) -> anyhow::Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("opening {}", folder.display()))?;
    let mut names = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let found = names.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(beginning)));
    found.with_context(|| format!("{} holds no {beginning}*", folder.display()))
}

/// A machine that is not switched on yet.
#[derive(Debug)]
pub struct Vm {
    folder: TempDir,
    devices: Vec<String>,
}

impl Vm {
    /// Without disks.
    pub fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("deskside-vm-").tempdir().context("making a folder")?;
        Ok(Self { folder, devices: Vec::new() })
    }

    /// Where its images lie.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// An empty image.
    pub fn image(&self, name: &str, bytes: u64) -> anyhow::Result<PathBuf> {
        let path = self.folder.path().join(name);
        File::create(&path)?.set_len(bytes).with_context(|| format!("making {}", path.display()))?;
        Ok(path)
    }

    /// Adds an option of qemu with its value.
    pub fn with(&mut self, option: &str, value: String) {
        self.devices.extend([option.to_owned(), value]);
    }

    /// Boots into `/init` of the archive, and waits until it has switched the machine off. What the script wrote to /dev/ttyS1.
    pub fn run(&self, kernel: &Kernel, root: &Initramfs) -> anyhow::Result<String> {
        let place = |name: &str| self.folder.path().join(name);
        let (archive, console, result) = (place("root.cpio"), place("console"), place("result"));
        fs::write(&archive, root.archive())?;
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", SECONDS_MAX, "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg"]);
        command.args([
            "-cpu",
            "max",
            "-m",
            "512",
            "-display",
            "none",
            "-monitor",
            "none",
            "-nic",
            "none",
            "-no-reboot",
        ]);
        command.args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off"]).arg("-kernel").arg(&kernel.image);
        command.arg("-initrd").arg(&archive);
        for serial in [&console, &result] {
            command.arg("-serial").arg(format!("file:{}", serial.display()));
        }
        let ran = said(command.args(&self.devices)).context("install qemu-system-x86");
        let said = fs::read(&console).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().collect();
        let last = lines.get(lines.len().saturating_sub(LAST_WORDS)..).unwrap_or_default().join("\n");
        ran.with_context(|| format!("the virtual machine's last words:\n{last}"))?;
        let result = fs::read_to_string(&result).context("reading what the virtual machine said")?;
        ensure!(!result.is_empty(), "the virtual machine said nothing; its last words:\n{last}");
        Ok(result)
    }
}
