//! A whole Debian with systemd as its first process, in a container: packages are installed, services run, and it is gone when it is dropped. It
//! shares the network of the machine that tests run on, so that services reach servers on the loopback interface.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use super::process::until_for;
use crate::house::said;
use crate::running::Running;

/// What the root file system has beyond the least.
const PACKAGES: &str = "systemd-sysv,dbus,procps";

/// How long booting may take, beside other tests.
const BOOT_TIME: Duration = Duration::from_mins(2);

/// A root file system that nothing has been installed in.
#[derive(Debug)]
pub struct RootFs(PathBuf);

impl RootFs {
    /// Made once by mmdebstrap, and kept below this folder.
    pub fn made(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        // Two tests may want it at once.
        let lock = File::create(folder.join("lock"))?;
        flock(&lock, FlockOperation::LockExclusive).context("waiting for another test to make a root file system")?;
        let kept = folder.join("bookworm");
        if !kept.is_dir() {
            let making = tempfile::tempdir_in(folder)?;
            let root = making.path().join("root");
            let include = format!("--include={PACKAGES}");
            said(Command::new("mmdebstrap").args(["--quiet", "--variant=minbase", &include, "bookworm"]).arg(&root))?;
            fs::rename(&root, &kept)?;
        }
        Ok(Self(kept))
    }
}

/// A Debian that runs.
#[derive(Debug)]
pub struct Debian {
    folder: TempDir,
    first: u32,
    // Why last: it is ended before its files go.
    _nspawn: Running,
}

impl Debian {
    /// Boots a copy of a root file system.
    pub fn booted(from: &RootFs) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().join("root");
        said(Command::new("cp").args(["-a", "--reflink=auto"]).arg(&from.0).arg(&root))?;
        let mut command = Command::new("systemd-nspawn");
        command.args(["--boot", "--register=no", "--keep-unit", "--console=read-only", "--link-journal=no"]);
        command.arg(format!("--machine=desk-{}", std::process::id())).arg("--directory").arg(&root);
        command.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1");
        let mut nspawn = Running::start(command, &folder.path().join("console"))?;
        let pid = nspawn.pid();
        let first = until_for(BOOT_TIME, "systemd to be up", || {
            nspawn.must_live().context("systemd-nspawn")?;
            // Why anew each time: its first child only makes the one that stays.
            let Some(first) = child(pid) else { return Ok(None) };
            let output = inside(first, "systemctl").arg("is-system-running").output()?;
            let state = String::from_utf8_lossy(&output.stdout);
            Ok(["running", "degraded"].contains(&state.trim()).then_some(first))
        })?;
        Ok(Self { folder, first, _nspawn: nspawn })
    }

    /// A command in it.
    pub fn command(&self, program: &str) -> Command {
        inside(self.first, program)
    }

    /// What a command prints in it.
    pub fn says(&self, words: &[&str]) -> anyhow::Result<String> {
        let (program, arguments) = words.split_first().context("no program")?;
        said(self.command(program).args(arguments))
    }

    /// A property of a unit.
    pub fn property(&self, unit: &str, name: &str) -> anyhow::Result<String> {
        Ok(self.says(&["systemctl", "show", "-P", name, unit])?.trim().to_owned())
    }

    /// Lays a file down in it.
    pub fn write(&self, path: &str, text: &str) -> anyhow::Result<()> {
        let path = self.path(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }

    /// Installs a package from a file outside.
    pub fn install(&self, package: &Path) -> anyhow::Result<String> {
        fs::copy(package, self.path("/srv/package.deb")).context("handing over a package")?;
        self.says(&["dpkg", "--install", "/srv/package.deb"])
    }

    /// Where a path in it is outside.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("root").join(path.trim_start_matches('/'))
    }
}

fn inside(first: u32, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg("--target").arg(first.to_string()).args(["--all", "--", program]);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// The one child of a process.
fn child(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// A package of this build, and others made of it.
#[derive(Debug)]
pub struct Package {
    folder: TempDir,
}

impl Package {
    /// Made by cargo-deb out of the program that was built beside this test.
    pub fn of(name: &str, program: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let built = folder.path().join("target/release");
        fs::create_dir_all(&built)?;
        said(Command::new("strip").arg("-o").arg(built.join(name)).arg(program))?;
        let mut command = Command::new("cargo");
        command.args(["deb", "--package", name, "--no-build", "--no-strip", "--locked", "--quiet", "--output"]);
        command.arg(folder.path().join("own.deb")).env("CARGO_TARGET_DIR", folder.path().join("target"));
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
        said(&mut command)?;
        Ok(Self { folder })
    }

    /// The package itself.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("own.deb")
    }

    /// Another version of it, whose files are changed.
    pub fn version(&self, version: &str, change: impl Fn(&Path) -> anyhow::Result<()>) -> anyhow::Result<PathBuf> {
        let (root, file) = (self.folder.path().join(version), self.folder.path().join(format!("{version}.deb")));
        said(Command::new("dpkg-deb").arg("--raw-extract").arg(self.file()).arg(&root))?;
        let control = root.join("DEBIAN/control");
        let lines = fs::read_to_string(&control)?;
        let line = lines.lines().find(|line| line.starts_with("Version: ")).context("a package without a version")?;
        ensure!(line != format!("Version: {version}"), "{version} is the package's own");
        fs::write(&control, lines.replace(line, &format!("Version: {version}")))?;
        change(&root)?;
        said(Command::new("dpkg-deb").args(["--build", "-Znone"]).arg(&root).arg(&file))?;
        Ok(file)
    }
}
