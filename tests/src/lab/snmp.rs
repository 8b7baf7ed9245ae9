//! A simulated SNMP agent (snmpsim), installed once into a folder of its own below the build's.

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use super::process::until;
use crate::running::Running;

/// What is installed, each as it was tried.
const PINNED: [&str; 6] =
    ["snmpsim==1.2.2", "pysnmp==7.1.30", "pysmi==2.0.0", "pyasn1==0.6.5", "cryptography==50.0.2", "cffi==2.1.1"];

/// The system's own Python. Why not the first of the path: that may be one without the means to make such a folder.
const PYTHON: &str = "/usr/bin/python3";

/// A user of version 3 that each simulated agent knows: name, authentication password (SHA), privacy password (AES).
pub const USER: (&str, &str, &str) = ("desk", "auctoritas", "privatus1");

/// The community, and the context of version 3, under which the agent answers.
pub const COMMUNITY: &str = "public";

/// A simulated agent. It ends when this value does.
#[derive(Debug)]
pub struct Snmp {
    _process: Running,
    _folder: TempDir,
}

impl Snmp {
    /// An agent at an address that says this: an object a line, `OID|TAG|VALUE`.
    pub fn start(address: SocketAddr, objects: &str) -> anyhow::Result<Self> {
        let program = install()?.join("bin/snmpsim-command-responder");
        let folder = tempfile::Builder::new().prefix("deskside-snmp-").tempdir().context("making a folder")?;
        let (said, cache) = (folder.path().join("said"), folder.path().join("cache"));
        for place in [&said, &cache] {
            fs::create_dir(place).context("making the simulator's folders")?;
        }
        fs::write(said.join(COMMUNITY).with_extension("snmprec"), objects).context("writing what the agent says")?;
        let mut command = Command::new(program);
        // Why said: the simulator does not stay root unless it is told to.
        command.args(["--process-user=root", "--process-group=root"]);
        let (name, auth, privacy) = USER;
        command.arg(format!("--v3-user={name}"));
        command.arg(format!("--v3-auth-key={auth}")).arg("--v3-auth-proto=SHA");
        command.arg(format!("--v3-priv-key={privacy}")).arg("--v3-priv-proto=AES");
        command.arg(format!("--agent-udpv4-endpoint={address}"));
        command.arg(format!("--data-dir={}", said.display())).arg(format!("--cache-dir={}", cache.display()));
        let log = folder.path().join("log");
        let mut process = Running::start(command, &log)?;
        until("the simulated agent to listen", || {
            process.must_live().context("snmpsim")?;
            Ok(listens(address)?.then_some(()))
        })?;
        Ok(Self { _process: process, _folder: folder })
    }
}

/// Whether somebody listens at an address, as the kernel of this namespace tells it. Why not by the log: it is written before.
fn listens(address: SocketAddr) -> anyhow::Result<bool> {
    let IpAddr::V4(ip) = address.ip() else { bail!("{address} is no IPv4 address") };
    let place = format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port());
    Ok(fs::read_to_string("/proc/thread-self/net/udp").context("reading the open ports")?.contains(&place))
}

/// Installs the simulator where it is not yet; its folder. Tests that run at the same time wait for the one that does. To be called where
/// there is a network: a namespace made for a test has none.
pub fn install() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("finding this test")?;
    let target = own.ancestors().nth(3).context("this test lies in no target folder")?;
    let folder = target.join("snmpsim");
    let lock = File::create(target.join("snmpsim.lock")).context("making the lock of the simulator")?;
    lock.lock().context("waiting for the simulator to be installed")?;
    let done = folder.join("installed");
    if fs::read_to_string(&done).ok().as_deref() == Some(&PINNED.join(" ")) {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).context("removing an old simulator")?;
    }
    run(Command::new(PYTHON).args(["-m", "venv"]).arg(&folder)).context("install python3-venv")?;
    let mut pip = Command::new(folder.join("bin/pip"));
    run(pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(PINNED))?;
    fs::write(&done, PINNED.join(" ")).context("noting that the simulator is installed")?;
    Ok(folder)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = Path::new(command.get_program()).display().to_string();
    let ran = command.stdin(Stdio::null()).output().with_context(|| format!("starting {name}"))?;
    ensure!(ran.status.success(), "{name}: {}", String::from_utf8_lossy(&ran.stderr).trim());
    Ok(())
}
