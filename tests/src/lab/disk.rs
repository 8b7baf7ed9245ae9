//! A small disk that can be filled: an ext4 in a file, mounted by loop. Root is needed.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use tempfile::TempDir;

use crate::house::said;

/// What fills it.
const BALLAST: &str = "ballast";

/// A mounted file system. It is taken away when this value is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Makes and mounts one of so many bytes.
    pub fn mount(bytes: u64) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("deskside-disk-").tempdir().context("making a folder")?;
        let image = folder.path().join("image");
        File::create(&image)?.set_len(bytes).context("making an image")?;
        said(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image)).context("install e2fsprogs")?;
        fs::create_dir(folder.path().join("mounted"))?;
        let disk = Self { folder };
        said(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(disk.path())).context("mounting a disk")?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// Fills it to the last block.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut ballast = File::create(self.path().join(BALLAST)).context("filling a disk")?;
        for size in [64 * 1024, 4096, 512] {
            while ballast.write(&vec![0x5a; size]).is_ok_and(|written| written > 0) {}
        }
        // What the file system took on trust and cannot place is no matter here.
        ballast.sync_all().ok();
        Ok(())
    }

    /// Makes room again.
    pub fn free(&self) -> anyhow::Result<()> {
        fs::remove_file(Path::new(&self.path()).join(BALLAST)).context("freeing a disk")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(said(Command::new("umount").arg("--lazy").arg(self.path())));
    }
}
