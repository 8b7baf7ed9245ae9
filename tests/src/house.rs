//! A whole Deskside on this machine: the real server, the real agent and the technician's command line, as processes with folders of
//! their own. They end with the house.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::running::Running;

/// How long a program may take to become ready.
pub const READY_MAX: Duration = Duration::from_secs(20);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The programs, built.
#[derive(Clone, Debug)]
pub struct Programs {
    agent: PathBuf,
    server: PathBuf,
}

impl Programs {
    /// Builds them as `cargo build --workspace` does, with this program's own features, so that nothing is built twice.
    pub fn build() -> anyhow::Result<Self> {
        cargo_build(&["-p", "deskside-tests", "-p", "deskside-agent", "-p", "deskside-server", "--profile", "dev"])?;
        Self::built("dev", "dev")
    }

    /// Builds agent and server apart, as they are shipped: together, the server's features would be linked into the agent.
    pub fn build_apart(agent_profile: &str, server_profile: &str) -> anyhow::Result<Self> {
        cargo_build(&["-p", "deskside-agent", "--profile", agent_profile])?;
        cargo_build(&["-p", "deskside-server", "--profile", server_profile])?;
        Self::built(agent_profile, server_profile)
    }

    /// Finds them where `cargo build --workspace --bins` put them, beside this program; `tests/run` builds them first.
    pub fn found() -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let folder = own.ancestors().find(|folder| folder.join("deskside-server").is_file());
        let folder =
            folder.context("deskside-server is not built; run tests/run, or cargo build --workspace --bins")?;
        Ok(Self { agent: folder.to_owned(), server: folder.to_owned() })
    }

    fn built(agent_profile: &str, server_profile: &str) -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let target = own.ancestors().nth(2).context("this program lies in no target folder")?;
        let folder = |profile: &str| target.join(if profile == "dev" { "debug" } else { profile });
        Ok(Self { agent: folder(agent_profile), server: folder(server_profile) })
    }

    /// Where the technician's command lies.
    pub fn folder(&self) -> &Path {
        &self.server
    }

    fn command(&self, program: &str) -> Command {
        let folder = if program == "deskside-agent" { &self.agent } else { &self.server };
        Command::new(folder.join(program))
    }
}

fn cargo_build(arguments: &[&str]) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--bins"]).args(arguments).arg("--manifest-path").arg(manifest);
    // What cargo tells the programs that it runs about their package must not reach it again: ring's build watches some of it, and all
    // that stands on ring would be built anew.
    for (name, _value) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            build.env_remove(&name);
        }
    }
    let status = build.status().context("starting cargo")?;
    if !status.success() {
        bail!("the build went wrong; what cargo says is above");
    }
    Ok(())
}

/// Where the server listens.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Addresses {
    /// For agents.
    pub agents: SocketAddr,
    /// For technicians.
    pub desk: SocketAddr,
}

/// The house. The agent ends before the server.
#[derive(Debug)]
pub struct House {
    programs: Programs,
    folder: PathBuf,
    agent: Option<Running>,
    server: Running,
    /// Where the server listens.
    pub addresses: Addresses,
}

impl House {
    /// Starts a server with a data folder under `folder`, and logs a technician in.
    pub async fn open(programs: Programs, folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let mut run = programs.command("deskside-server");
        let told = folder.join("server/addresses.json");
        run.arg("run").arg("--data").arg(folder.join("server")).args([
            "--agents",
            "127.0.0.1:0",
            "--desk",
            "127.0.0.1:0",
        ]);
        if told.exists() {
            fs::remove_file(&told)?;
        }
        let mut server = Running::start(run, &folder.join("server.log"))?;
        let addresses = until("the server to listen", READY_MAX, || {
            server.must_live().context("deskside-server")?;
            Ok(fs::read_to_string(&told).ok().and_then(|text| serde_json::from_str(&text).ok()))
        })
        .await?;
        let house = Self { programs, folder: folder.to_owned(), agent: None, server, addresses };
        let token = house.server_says(&["technician", "add", "you", "--role", "admin"])?;
        house.desk_says(&["login", token.trim()])?;
        Ok(house)
    }

    /// Enrols this machine and starts its agent.
    pub fn enrol(&mut self) -> anyhow::Result<()> {
        let token = self.server_says(&["token", "create", "--uses", "1"])?;
        said(self.agent_command().args(["enroll", token.trim()]))?;
        let mut run = self.agent_command();
        run.arg("run");
        self.agent = Some(Running::start(run, &self.folder.join("agent.log"))?);
        Ok(())
    }

    /// The agent's process id, while it runs.
    pub fn agent_pid(&mut self) -> anyhow::Result<u32> {
        let agent = self.agent.as_mut().context("no agent was started")?;
        agent.must_live().context("deskside-agent")?;
        Ok(agent.pid())
    }

    /// The server's process id.
    pub fn server_pid(&self) -> u32 {
        self.server.pid()
    }

    /// A command of the agent, on its state folder.
    pub fn agent_command(&self) -> Command {
        let mut command = self.programs.command("deskside-agent");
        command.arg("--state").arg(self.folder.join("agent"));
        command
    }

    /// Where the technician's login is kept.
    pub fn home(&self) -> PathBuf {
        self.folder.join("desk")
    }

    /// A command of the technician.
    pub fn desk_command(&self) -> Command {
        let mut command = self.programs.command("deskside");
        command.env("DESKSIDE_HOME", self.home());
        command
    }

    /// What the technician's command prints.
    pub fn desk_says(&self, arguments: &[&str]) -> anyhow::Result<String> {
        said(self.desk_command().args(arguments))
    }

    /// What the technician's command prints, as JSON.
    pub fn desk_json(&self, arguments: &[&str]) -> anyhow::Result<Json> {
        let text = said(self.desk_command().arg("--json").args(arguments))?;
        serde_json::from_str(&text).with_context(|| format!("deskside --json {arguments:?} printed no JSON"))
    }

    /// What the server's command prints, on its data folder.
    pub fn server_says(&self, arguments: &[&str]) -> anyhow::Result<String> {
        said(self.programs.command("deskside-server").args(arguments).arg("--data").arg(self.folder.join("server")))
    }
}

/// Runs a command to its end; what it prints, or an error with what it complained of.
pub fn said(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {}", command.get_program().display()))?;
    if !output.status.success() {
        let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        bail!(
            "{name}: {} {}",
            String::from_utf8_lossy(&output.stderr).trim(),
            String::from_utf8_lossy(&output.stdout).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Waits until a condition gives something.
pub async fn until<T>(
    what: &str,
    longest: Duration,
    mut condition: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = condition()? {
            return Ok(found);
        }
        if begun.elapsed() > longest {
            bail!("waited {} s for {what}, in vain", longest.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
