//! A real journald of our own: in a mount namespace, with its folders in a temporary one.

use std::fs;
use std::io::Write;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const JOURNALD: &str = "/lib/systemd/systemd-journald";
/// How long a state may take to appear.
const WAIT_MAX: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// Puts the folder's parts where journald looks, seen by it alone.
const ENTER: &str = r#"set -e
mount --bind "$1/systemd" /run/systemd
mount --bind "$1/run" /run/log
mount --bind "$1/var" /var/log/journal
mount --bind "$1/journald.conf" /etc/systemd/journald.conf
exec "$2""#;

/// A running journald. It ends, and its journals go, when this value does.
#[derive(Debug)]
pub struct Journald {
    process: Child,
    folder: TempDir,
}

impl Journald {
    /// Starts journald and waits until it takes entries.
    pub fn start() -> anyhow::Result<Self> {
        ensure!(Path::new(JOURNALD).exists(), "{JOURNALD} is missing: install systemd");
        let folder = tempfile::Builder::new().prefix("deskside-journald-").tempdir().context("making a folder")?;
        for part in ["systemd/journal", "run/journal", "var"] {
            fs::create_dir_all(folder.path().join(part)).context("making journald's folders")?;
        }
        fs::write(
            folder.path().join("journald.conf"),
            "[Journal]\nRateLimitIntervalSec=0\nCompress=yes\nReadKMsg=no\n",
        )?;
        for part in ["/run/systemd", "/run/log", "/var/log/journal"] {
            fs::create_dir_all(part).with_context(|| format!("making {part}"))?;
        }
        let process = spawn(folder.path())?;
        let journald = Self { process, folder };
        journald.wait()?;
        Ok(journald)
    }

    /// The folder of its journals.
    pub fn journals(&self) -> PathBuf {
        self.folder.path().join("run/journal")
    }

    /// Sends an entry in journald's own protocol: any field may hold any bytes.
    pub fn native(&self, fields: &[(&str, &[u8])]) -> anyhow::Result<()> {
        let mut datagram = Vec::new();
        for (name, value) in fields {
            datagram.extend_from_slice(name.as_bytes());
            datagram.push(b'\n');
            datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
            datagram.extend_from_slice(value);
            datagram.push(b'\n');
        }
        self.send("socket", &datagram)
    }

    /// Sends an entry as syslog(3) does.
    pub fn syslog(&self, line: &str) -> anyhow::Result<()> {
        self.send("dev-log", line.as_bytes())
    }

    /// Writes lines as a service does to its standard output.
    pub fn stdout(&self, identifier: &str, lines: &[String]) -> anyhow::Result<()> {
        let mut stream = UnixStream::connect(self.socket("stdout")).context("connecting to journald")?;
        // Identifier, unit, priority, level prefix, then where it is forwarded to.
        write!(stream, "{identifier}\n\n6\n1\n0\n0\n0\n")?;
        for line in lines {
            writeln!(stream, "{line}")?;
        }
        Ok(())
    }

    /// Makes it begin a new file, and waits until it has.
    pub fn rotate(&self) -> anyhow::Result<()> {
        let before = self.files()?.len();
        self.signal(Signal::USR2)?;
        until("a journal was archived", || Ok(self.files()?.len() > before))
    }

    /// Removes what is archived, as `journalctl --vacuum-files=1` does.
    pub fn vacuum(&self) -> anyhow::Result<()> {
        let files = self.files()?;
        let archived = files.iter().filter(|path| path.to_string_lossy().contains('@'));
        archived.into_iter().try_for_each(fs::remove_file).context("removing archived journals")
    }

    /// Ends it without a chance to close its files, and starts it again.
    pub fn crash(&mut self) -> anyhow::Result<()> {
        self.process.kill().context("killing journald")?;
        self.process.wait().context("waiting for journald")?;
        self.process = spawn(self.folder.path())?;
        self.wait()
    }

    /// Its journal files, sorted.
    pub fn files(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for machine in fs::read_dir(self.journals()).context("listing journals")? {
            for file in fs::read_dir(machine?.path()).context("listing journals")? {
                files.push(file?.path());
            }
        }
        files.sort();
        Ok(files)
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.folder.path().join("systemd/journal").join(name)
    }

    fn send(&self, socket: &str, datagram: &[u8]) -> anyhow::Result<()> {
        let sender = UnixDatagram::unbound().context("making a socket")?;
        sender.send_to(datagram, self.socket(socket)).context("sending to journald")?;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.process.id().cast_signed()).context("journald has no process id")?;
        kill_process(pid, signal).context("signalling journald")
    }

    /// A socket file of a journald that was killed is still there: only one that answers counts.
    fn wait(&self) -> anyhow::Result<()> {
        until("journald takes entries", || {
            let answers = UnixStream::connect(self.socket("stdout")).is_ok();
            Ok(answers && self.send("socket", b"MESSAGE=journald takes entries\nPRIORITY=7\n").is_ok())
        })
    }
}

impl Drop for Journald {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn spawn(folder: &Path) -> anyhow::Result<Child> {
    let log = fs::File::create(folder.join("log")).context("making journald's log")?;
    Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", ENTER, "sh"])
        .arg(folder)
        .arg(JOURNALD)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("sharing journald's log")?)
        .stderr(log)
        .spawn()
        .context("starting journald; it needs root, and unshare of util-linux")
}

fn until(what: &str, mut holds: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let started = Instant::now();
    while !holds()? {
        if started.elapsed() > WAIT_MAX {
            bail!("waited {WAIT_MAX:?} in vain until {what}");
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
