//! A machine's past: a journal of starts that are over, and a wtmp, put where a machine keeps them and seen by the agent alone.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value as Json;
use tempfile::TempDir;

use super::process::program;

/// Makes a journal from entries in the journal export format, trusted fields and all.
const WRITER: &str = "/lib/systemd/systemd-journal-remote";

/// Puts the past where the machine's own would be, and the agent where every user may start it.
const ENTER: &str = r#"set -e
mount --bind "$1/log" /var/log
mount --bind "$1/none" /run/log
mount --bind "$2" "$1/agent"
shift 2
exec "$@""#;

/// Who may read no journal.
const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// Bytes of a utmp(5) record where times have 32 bits, and where the time lies in it.
const UTMP_BYTES: usize = 384;
const UTMP_TIME: usize = 340;

/// A past that is being written, or read.
#[derive(Debug)]
pub struct Past {
    folder: TempDir,
    export: Vec<u8>,
    entries: u64,
}

impl Past {
    /// One in which nothing happened yet.
    pub fn new() -> anyhow::Result<Self> {
        ensure!(Path::new(WRITER).exists(), "{WRITER} is missing: install systemd-journal-remote");
        let folder = tempfile::Builder::new().prefix("deskside-past-").tempdir().context("making a folder")?;
        // Why: the agent is also started by a user who is nobody.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        for part in ["log", "none", "state"] {
            fs::create_dir(folder.path().join(part))?;
        }
        fs::set_permissions(folder.path().join("state"), Permissions::from_mode(0o777))?;
        fs::write(folder.path().join("agent"), "")?;
        fs::create_dir_all("/run/log").context("making /run/log")?;
        Ok(Self { folder, export: Vec::new(), entries: 0 })
    }

    /// Adds an entry. Entries of one boot must follow one another; values may have several lines.
    pub fn log(&mut self, boot_id: &str, at_ms: i64, fields: &[(&str, &str)]) {
        self.entries += 1;
        let (number, at_us) = (self.entries, at_ms * 1000);
        let cursor =
            format!("s=5e0c5e0c5e0c5e0c5e0c5e0c5e0c5e0c;i={number:x};b={boot_id};m={number:x};t={at_us:x};x=1");
        // Why text for these: only so does the writer take an entry's boot and times from them.
        let head = format!(
            "__CURSOR={cursor}\n__REALTIME_TIMESTAMP={at_us}\n__MONOTONIC_TIMESTAMP={number}\n_BOOT_ID={boot_id}\n"
        );
        self.export.extend_from_slice(head.as_bytes());
        for (name, value) in fields {
            self.export.extend_from_slice(format!("{name}\n").as_bytes());
            self.export.extend_from_slice(&(value.len() as u64).to_le_bytes());
            self.export.extend_from_slice(value.as_bytes());
            self.export.push(b'\n');
        }
        self.export.push(b'\n');
    }

    /// Writes the journal, readable as journald leaves it: by its owner and its group.
    pub fn write(&self) -> anyhow::Result<()> {
        let machine = fs::read_to_string("/etc/machine-id").context("reading /etc/machine-id")?;
        let journals = self.folder.path().join("log/journal").join(machine.trim());
        fs::create_dir_all(&journals)?;
        let export = self.folder.path().join("export");
        fs::write(&export, &self.export)?;
        let ran = Command::new(WRITER).arg("--output").arg(journals.join("system.journal")).arg(&export).output()?;
        ensure!(ran.status.success(), "{WRITER}: {}", String::from_utf8_lossy(&ran.stderr));
        fs::set_permissions(journals.join("system.journal"), Permissions::from_mode(0o640))?;
        Ok(())
    }

    /// Writes a wtmp of records: type, user, host, seconds since 1970.
    pub fn write_wtmp(&self, records: &[(u8, &str, &str, u32)]) -> anyhow::Result<()> {
        let mut wtmp = Vec::new();
        for (kind, user, host, seconds) in records {
            let mut record = vec![0; UTMP_BYTES];
            let fields: [(usize, &[u8]); 4] =
                [(0, &[*kind]), (44, user.as_bytes()), (76, host.as_bytes()), (UTMP_TIME, &seconds.to_le_bytes())];
            for (place, bytes) in fields {
                record.get_mut(place..place + bytes.len()).context("a field beyond its record")?.copy_from_slice(bytes);
            }
            wtmp.extend_from_slice(&record);
        }
        Ok(fs::write(self.folder.path().join("log/wtmp"), wtmp)?)
    }

    /// What the agent sees of it: readings as `deskside-agent collect --json` prints them.
    pub fn collect(&self, tables: &[&str]) -> anyhow::Result<Vec<Json>> {
        self.collect_by(&[], tables)
    }

    /// The same for an agent whose user is nobody and in no group.
    pub fn collect_as_nobody(&self, tables: &[&str]) -> anyhow::Result<Vec<Json>> {
        self.collect_by(&NOBODY, tables)
    }

    fn collect_by(&self, user: &[&str], tables: &[&str]) -> anyhow::Result<Vec<Json>> {
        let folder = self.folder.path();
        let (agent, state): (PathBuf, PathBuf) = (folder.join("agent"), folder.join("state"));
        let ran = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", ENTER, "sh"])
            .arg(folder)
            .arg(program("deskside-agent")?)
            .args(user)
            .arg(agent)
            .args(["collect", "--json", "--log", "error", "--state"])
            .arg(state)
            .args(tables)
            .output()
            .context("starting the agent in a mount namespace; it needs root, and unshare of util-linux")?;
        let complaint = String::from_utf8_lossy(&ran.stderr);
        serde_json::from_slice(&ran.stdout).with_context(|| format!("the agent said {complaint}"))
    }
}
