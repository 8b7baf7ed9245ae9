//! A folder in which apt and dpkg keep their databases and logs as if it were a machine's root. Nothing of the machine is changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use tempfile::TempDir;

/// The only package that is ever installed there.
pub const PACKAGE: &str = "deskside-trial";

/// A root of its own.
#[derive(Debug)]
pub struct Packages {
    folder: TempDir,
}

impl Packages {
    /// An empty one.
    pub fn new() -> anyhow::Result<Self> {
        let packages = Self { folder: tempfile::tempdir()? };
        let root = packages.root();
        let folders = [
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
            "etc/apt/sources.list.d",
            "var/cache/apt/archives/partial",
            "var/lib/apt/lists/partial",
            "var/lib/dpkg/info",
            "var/lib/dpkg/updates",
            "var/log/apt",
        ];
        for folder in folders {
            fs::create_dir_all(root.join(folder))?;
        }
        fs::write(root.join("var/lib/dpkg/status"), "")?;
        fs::write(root.join("etc/apt/sources.list"), "")?;
        Ok(packages)
    }

    /// What stands for `/`.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// A package of a version, whose script fails where that is wanted.
    fn built(&self, version: &str, script: Option<&str>) -> anyhow::Result<PathBuf> {
        let tree = self.folder.path().join(format!("tree-{version}"));
        let control = tree.join("DEBIAN");
        fs::create_dir_all(&control)?;
        let text = format!(
            "Package: {PACKAGE}\nVersion: {version}\nArchitecture: all\nMaintainer: Trial <trial@example.test>\n\
             Description: installed by a test\n"
        );
        fs::write(control.join("control"), text)?;
        if let Some(script) = script {
            let place = control.join("postinst");
            fs::write(&place, script)?;
            fs::set_permissions(&place, fs::Permissions::from_mode(0o755))?;
        }
        let package = self.folder.path().join(format!("{version}.deb"));
        let ran = Command::new("dpkg-deb").arg("--build").arg(&tree).arg(&package).output();
        let ran = ran.context("starting dpkg-deb")?;
        anyhow::ensure!(ran.status.success(), "dpkg-deb: {}", String::from_utf8_lossy(&ran.stderr));
        Ok(package)
    }

    /// Installs a version with apt, as a person would through sudo(8); whether apt was content.
    pub fn install(&self, version: &str, script: Option<&str>, user_id: &str) -> anyhow::Result<bool> {
        let package = self.built(version, script)?;
        self.apt(&["install", "--allow-downgrades"], Some(&package), user_id)
    }

    /// Removes the package with apt.
    pub fn purge(&self, user_id: &str) -> anyhow::Result<bool> {
        self.apt(&["purge", PACKAGE], None, user_id)
    }

    fn apt(&self, verb: &[&str], package: Option<&Path>, user_id: &str) -> anyhow::Result<bool> {
        let root = self.root();
        let root = root.display();
        let settings = [
            format!("Dir={root}"),
            format!("Dir::State::status={root}/var/lib/dpkg/status"),
            format!("DPkg::Options::=--root={root}"),
            "DPkg::Options::=--force-script-chrootless".to_owned(),
            format!("DPkg::Options::=--log={root}/var/log/dpkg.log"),
            "APT::Sandbox::User=root".to_owned(),
        ];
        let mut command = Command::new("apt-get");
        command.args(["--quiet", "--yes"]).args(settings.iter().flat_map(|setting| ["-o", setting]));
        command.args(verb).args(package);
        command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive").env("SUDO_UID", user_id);
        Ok(command.output().context("starting apt-get")?.status.success())
    }
}
