//! Time servers and a workstation's chronyd that asks them, on the loopback interface of a namespace of their own. Nothing sets a clock.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use tempfile::TempDir;

use super::netns::Wired;
use super::process::until;
use crate::running::Running;

/// Where the time server listens; the namespace is private, and so are its ports.
const SERVER: &str = "127.0.0.2";
const PORT: u16 = 11_123;

/// A workstation that asks one time server, and would ask another that is not there.
#[derive(Debug)]
pub struct Timed {
    wired: Wired,
    folder: TempDir,
    server: Option<Running>,
    client: Option<Running>,
}

impl Timed {
    /// Starts both. The workstation believes its clock to be so many seconds away from the server's.
    pub fn start(offset_s: i32) -> anyhow::Result<Self> {
        let mut timed = Self::empty()?;
        let server = format!("local stratum 3\nallow 127.0.0.0/8\nbindaddress {SERVER}\nport {PORT}\ncmdport 0\n");
        timed.server = Some(timed.chronyd("server", &server)?);
        let client = format!(
            "server {SERVER} port {PORT} iburst minpoll 0 maxpoll 0 offset {offset_s}\nserver 127.0.0.9 port {PORT}\nport 0\n"
        );
        timed.client = Some(timed.chronyd("client", &client)?);
        Ok(timed)
    }

    /// Starts a workstation whose time server is not there.
    pub fn without_server() -> anyhow::Result<Self> {
        let mut timed = Self::empty()?;
        timed.client = Some(timed.chronyd("client", &format!("server {SERVER} port {PORT} iburst\nport 0\n"))?);
        Ok(timed)
    }

    fn empty() -> anyhow::Result<Self> {
        let timed = Self { wired: Wired::new()?, folder: tempfile::tempdir()?, server: None, client: None };
        timed.wired.at_desk("link set lo up")?;
        Ok(timed)
    }

    /// Why `-x`: the clock is the machine's, and is left alone. Why no Unix socket: its place is the same in all namespaces.
    fn chronyd(&self, name: &str, settings: &str) -> anyhow::Result<Running> {
        let place = |end: &str| self.folder.path().join(format!("{name}.{end}"));
        let settings = format!("{settings}bindcmdaddress /\npidfile {}\n", place("pid").display());
        fs::write(place("conf"), settings).context("writing chronyd's settings")?;
        let mut command = self.inside("chronyd")?;
        command.args(["-d", "-x", "-u", "root", "-f"]).arg(place("conf"));
        Running::start(command, &place("log"))
    }

    /// A command that runs a program at the workstation.
    pub fn inside(&self, program: &str) -> anyhow::Result<Command> {
        let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from);
        let found = folders.iter().map(|folder| folder.join(program)).find(|place| place.is_file());
        Ok(self.wired.command(&found.with_context(|| format!("{program} is not installed; install chrony"))?))
    }

    /// The workstation, in which the agent would be.
    pub fn wired(&self) -> &Wired {
        &self.wired
    }

    /// Waits until chronyc(1) tells something of the workstation's clock that begins or goes on so.
    pub fn wait_for(&mut self, report: &str, text: &str) -> anyhow::Result<()> {
        until(&format!("chronyc {report} to say {text}"), || {
            self.client.as_mut().context("the client does not run")?.must_live().context("chronyd")?;
            let ran = self.inside("chronyc")?.args(["-n", "-c", report]).output().context("starting chronyc")?;
            Ok(String::from_utf8_lossy(&ran.stdout).contains(text).then_some(()))
        })
    }

    /// Ends the time server.
    pub fn silence(&mut self) -> anyhow::Result<()> {
        self.server.take().context("the server does not run")?.stop()
    }

    /// Ends the workstation's own chronyd.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let stopped = self.client.take().context("the client does not run")?.stop();
        ensure!(stopped.is_ok(), "chronyd did not end well: {stopped:?}");
        Ok(())
    }
}
