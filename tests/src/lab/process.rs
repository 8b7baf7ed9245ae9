//! The real programs as processes, each with a folder of its own: started, killed, stopped and started again as a test wants it.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use deskside_agent::local::Status;
use deskside_proto::rows::Row;
use deskside_proto::v1::{LogEvent, Reading};
use deskside_server::store::{Db, Readings};
use prost::Message;
use serde_json::Value as Json;

use crate::house::{Addresses, said};
use crate::running::Running;

/// How long something that is expected may take.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(5);
/// Most readings that are fetched from a store.
const READINGS_MAX: u32 = 100_000;

/// Waits until a condition gives something.
pub fn until<T>(what: &str, condition: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    until_for(PATIENCE, what, condition)
}

/// The same for what takes its time.
pub fn until_for<T>(
    patience: Duration,
    what: &str,
    mut condition: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = condition()? {
            return Ok(found);
        }
        ensure!(begun.elapsed() < patience, "waited {} s in vain for {what}", patience.as_secs());
        std::thread::sleep(PAUSE);
    }
}

/// One of the workspace's programs, built beside this test.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("finding this test")?;
    // Tests lie in a folder of their own beside the programs, the lab's programs among them.
    let folder = own.parent().context("this test lies in no target folder")?;
    let folder = folder.parent().filter(|_target| folder.ends_with("deps")).unwrap_or(folder);
    let path = folder.join(name);
    ensure!(path.exists(), "{} is missing: cargo build --workspace --bins", path.display());
    Ok(path)
}

/// A command, within a network namespace if there is one.
fn command(program: &Path, namespace: Option<&str>) -> Command {
    let Some(namespace) = namespace else { return Command::new(program) };
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(program);
    command
}

/// A server.
#[derive(Debug)]
pub struct Server {
    data: PathBuf,
    log: PathBuf,
    namespace: Option<String>,
    listen: (SocketAddr, SocketAddr),
    config: Option<PathBuf>,
    process: Option<Running>,
}

impl Server {
    /// A server with settings, listening on the loopback interface.
    pub fn start_with(folder: &Path, settings: &str) -> anyhow::Result<Self> {
        let config = folder.join("server.toml");
        fs::write(&config, settings)?;
        Self::start_of(folder, None, IpAddr::V4(Ipv4Addr::LOCALHOST), Some(config))
    }

    /// The same in a network namespace, listening on an address of it.
    pub fn start_in(folder: &Path, namespace: &str, address: IpAddr, settings: &str) -> anyhow::Result<Self> {
        let config = folder.join("server.toml");
        fs::write(&config, settings)?;
        Self::start_of(folder, Some(namespace), address, Some(config))
    }

    /// A server with its data below a folder, listening on the loopback interface.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        Self::start_at(folder, None, IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// The same in a network namespace, listening on an address of it.
    pub fn start_at(folder: &Path, namespace: Option<&str>, address: IpAddr) -> anyhow::Result<Self> {
        Self::start_of(folder, namespace, address, None)
    }

    /// The same with settings.
    pub fn start_at_with(folder: &Path, namespace: &str, address: IpAddr, settings: &str) -> anyhow::Result<Self> {
        let config = folder.join("server.toml");
        fs::write(&config, settings)?;
        Self::start_of(folder, Some(namespace), address, Some(config))
    }

    fn start_of(
        folder: &Path,
        namespace: Option<&str>,
        address: IpAddr,
        config: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let listen = SocketAddr::new(address, 0);
        let mut server = Self {
            data: folder.join("server"),
            log: folder.join("server.log"),
            namespace: namespace.map(str::to_owned),
            listen: (listen, listen),
            config,
            process: None,
        };
        server.resume()?;
        Ok(server)
    }

    /// Gives it other settings, which count once it is started again.
    pub fn set(&self, settings: &str) -> anyhow::Result<()> {
        let config = self.config.as_ref().context("this server has no settings")?;
        fs::write(config, settings).context("writing the server's settings")
    }

    /// Starts it again where it listened before.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        let told = self.data.join("addresses.json");
        if told.exists() {
            fs::remove_file(&told)?;
        }
        let mut command = command(&program("deskside-server")?, self.namespace.as_deref());
        let (agents, desk) = (self.listen.0.to_string(), self.listen.1.to_string());
        command.arg("run").arg("--data").arg(&self.data).args(["--agents", &agents, "--desk", &desk]);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        let mut process = Running::start(command, &self.log)?;
        let addresses: Addresses = until("the server to listen", || {
            process.must_live().context("deskside-server")?;
            Ok(fs::read_to_string(&told).ok().and_then(|text| serde_json::from_str(&text).ok()))
        })?;
        self.listen = (addresses.agents, addresses.desk);
        self.process = Some(process);
        Ok(())
    }

    /// Ends it without a warning.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().context("the server does not run")?.kill()
    }

    /// Asks it to end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.process.take().context("the server does not run")?.stop()
    }

    /// Fails where it has ended by itself.
    pub fn must_live(&mut self) -> anyhow::Result<()> {
        self.process.as_mut().context("the server does not run")?.must_live().context("deskside-server")
    }

    /// Its process id.
    pub fn pid(&self) -> anyhow::Result<u32> {
        Ok(self.process.as_ref().context("the server does not run")?.pid())
    }

    /// Where agents reach it.
    pub fn agents(&self) -> SocketAddr {
        self.listen.0
    }

    /// Where technicians reach it.
    pub fn desk(&self) -> SocketAddr {
        self.listen.1
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What its command line prints.
    pub fn says(&self, arguments: &[&str]) -> anyhow::Result<String> {
        said(Command::new(program("deskside-server")?).args(arguments).arg("--data").arg(&self.data))
    }

    /// A token for one machine, or as the further arguments say.
    pub fn token(&self, more: &[&str]) -> anyhow::Result<String> {
        let address = self.listen.0.to_string();
        let text = self.says(&[&["token", "create", "--address", &address], more].concat())?;
        Ok(text.trim().to_owned())
    }

    /// A technician, logged in.
    pub fn technician(&self, folder: &Path) -> anyhow::Result<Technician> {
        self.person(folder, "anna", "admin")
    }

    /// One who may look and nothing else, logged in.
    pub fn viewer(&self, folder: &Path) -> anyhow::Result<Technician> {
        self.person(folder, "vera", "viewer")
    }

    /// The command line of a person who has not logged in yet.
    pub fn home(&self, folder: &Path, name: &str) -> Technician {
        Technician { home: folder.join(format!("desk-{name}")), namespace: self.namespace.clone() }
    }

    /// What a technician logs in with.
    pub fn invite(&self, name: &str) -> anyhow::Result<String> {
        self.login(name, "technician")
    }

    fn login(&self, name: &str, role: &str) -> anyhow::Result<String> {
        let address = self.listen.1.to_string();
        self.says(&["technician", "add", name, "--role", role, "--address", &address])
    }

    fn person(&self, folder: &Path, name: &str, role: &str) -> anyhow::Result<Technician> {
        let login = self.login(name, role)?;
        let technician = self.home(folder, name);
        technician.says(&["login", login.trim()])?;
        Ok(technician)
    }

    /// Every reading of a table that it has stored of a device, oldest first, whether it runs or not.
    pub fn stored(&self, device: &str, table: &str) -> anyhow::Result<Vec<Reading>> {
        self.stored_since(device, table, 0)
    }

    /// The same, of readings that were taken at a time and later.
    pub fn stored_since(&self, device: &str, table: &str, from_ms: i64) -> anyhow::Result<Vec<Reading>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let store = Db::open(&self.data.join("store.db"))?;
        let device = device.parse().context("a device's id")?;
        runtime.block_on(store.history(device, table, from_ms, i64::MAX, READINGS_MAX))
    }

    /// The texts of all log events that it has stored of a device.
    pub fn stored_lines(&self, device: &str) -> anyhow::Result<Vec<String>> {
        let readings = self.stored(device, LogEvent::TABLE)?;
        let rows = readings.iter().flat_map(|reading| &reading.rows);
        rows.map(|row| Ok(LogEvent::decode(row.as_ref())?.message)).collect()
    }
}

/// An agent, which follows a log file of its own that the test writes.
#[derive(Debug)]
pub struct Agent {
    program: PathBuf,
    state: PathBuf,
    config: PathBuf,
    log: PathBuf,
    lines: PathBuf,
    namespace: Option<String>,
    public: Option<PathBuf>,
    in_place_of: Option<(PathBuf, PathBuf)>,
    process: Option<Running>,
}

impl Agent {
    /// An agent with its state below a folder; further settings go before the tables of its configuration.
    pub fn new(folder: &Path, settings: &str) -> anyhow::Result<Self> {
        Self::with_program(folder, settings, "deskside-agent")
    }

    /// The same, of another program.
    pub fn with_program(folder: &Path, settings: &str, name: &str) -> anyhow::Result<Self> {
        let agent = Self {
            program: program(name)?,
            state: folder.join("agent"),
            config: folder.join("agent.toml"),
            log: folder.join("agent.log"),
            lines: folder.join("lines.log"),
            namespace: None,
            public: None,
            in_place_of: None,
            process: None,
        };
        let lines = agent.lines.display();
        let logs =
            format!("[logs]\njournals = []\nfiles = [\"{lines}\"]\nfiles_without_journal = []\nkernel_ring = \"\"\n");
        fs::write(&agent.config, format!("{settings}\n{logs}"))?;
        fs::write(&agent.lines, "")?;
        Ok(agent)
    }

    /// It follows these journals besides its own log.
    pub fn following(self, journals: &Path) -> anyhow::Result<Self> {
        let config = fs::read_to_string(&self.config)?;
        let journals = format!("journals = [\"{}\"]", journals.display());
        fs::write(&self.config, config.replace("journals = []", &journals))?;
        Ok(self)
    }

    /// However much is written, nothing is left out.
    pub fn without_limit(self) -> anyhow::Result<Self> {
        let config = fs::read_to_string(&self.config)?;
        let limits = format!("[logs]\nlines_per_s_max = {0}\nlines_at_once_max = {0}", u32::MAX);
        fs::write(&self.config, config.replace("[logs]", &limits))?;
        Ok(self)
    }

    /// Policy may not have these files and folders followed.
    pub fn forbidding(self, path: &Path) -> anyhow::Result<Self> {
        let config = fs::read_to_string(&self.config)?;
        let forbidden = format!("[logs]\nforbidden = [\"{}\"]", path.display());
        fs::write(&self.config, config.replace("[logs]", &forbidden))?;
        Ok(self)
    }

    /// The same in a network namespace.
    #[must_use]
    pub fn inside(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// Whoever sits at the machine may answer its requests at a socket in this folder.
    #[must_use]
    pub fn open_to_all(mut self, folder: &Path) -> Self {
        self.public = Some(folder.to_owned());
        self
    }

    /// Where it finds a program of the system there is another, for it alone.
    #[must_use]
    pub fn with_in_place_of(mut self, program: impl Into<PathBuf>, other: &Path) -> Self {
        self.in_place_of = Some((other.to_owned(), program.into()));
        self
    }

    /// Makes it known to a server and starts it.
    pub fn enrol(&mut self, server: &Server) -> anyhow::Result<String> {
        self.says(&["enroll", &server.token(&[])?])?;
        self.run()?;
        self.status()?.device_id.context("an enrolled agent has an id")
    }

    /// Starts it, and waits until it answers.
    pub fn run(&mut self) -> anyhow::Result<()> {
        let mut command = self.command();
        command.arg("run");
        let mut process = Running::start(command, &self.log)?;
        until("the agent to answer", || {
            process.must_live().context("deskside-agent")?;
            Ok(self.status().ok())
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Ends it without a warning.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().context("the agent does not run")?.kill()
    }

    /// Asks it to end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.process.take().context("the agent does not run")?.stop()
    }

    /// Fails where it has ended by itself.
    pub fn must_live(&mut self) -> anyhow::Result<()> {
        self.process.as_mut().context("the agent does not run")?.must_live().context("deskside-agent")
    }

    /// Its process id.
    pub fn pid(&self) -> anyhow::Result<u32> {
        Ok(self.process.as_ref().context("the agent does not run")?.pid())
    }

    /// A command of it, on its state and configuration.
    pub fn command(&self) -> Command {
        let mut command = match &self.in_place_of {
            None => command(&self.program, self.namespace.as_deref()),
            Some((other, program)) => {
                let mut command = command(Path::new("unshare"), self.namespace.as_deref());
                let script = "mount --bind \"$0\" \"$1\" && shift && exec \"$@\"";
                command.args(["--mount", "sh", "-c", script]).arg(other).arg(program).arg(&self.program);
                command
            }
        };
        command.arg("--state").arg(&self.state).arg("--config").arg(&self.config);
        if let Some(public) = &self.public {
            command.arg("--public").arg(public);
        }
        command
    }

    /// What its command line prints.
    pub fn says(&self, arguments: &[&str]) -> anyhow::Result<String> {
        said(self.command().args(arguments))
    }

    /// How it is.
    pub fn status(&self) -> anyhow::Result<Status> {
        serde_json::from_str(&self.says(&["status", "--json"])?).context("the status is no status")
    }

    /// Its state folder.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The log that it follows.
    pub fn lines(&self) -> &Path {
        &self.lines
    }

    /// What it logged.
    pub fn logged(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Writes errors to the log that it follows; errors are streamed to the server.
    pub fn write_lines(&self, lines: &[String]) -> anyhow::Result<()> {
        let file = File::options().append(true).open(&self.lines).context("opening the followed log")?;
        let mut file = BufWriter::new(file);
        for line in lines {
            writeln!(file, "<3>{line}").context("writing the followed log")?;
        }
        file.flush().context("writing the followed log")
    }
}

/// A technician with the command line.
#[derive(Debug)]
pub struct Technician {
    home: PathBuf,
    namespace: Option<String>,
}

impl Technician {
    /// The command line of a person whose login is kept in this folder.
    pub fn at(home: &Path) -> Self {
        Self { home: home.to_owned(), namespace: None }
    }

    /// Where the login is kept.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// What a command prints.
    pub fn says(&self, arguments: &[&str]) -> anyhow::Result<String> {
        said(self.command()?.args(arguments))
    }

    /// What a command prints, as JSON.
    pub fn json(&self, arguments: &[&str]) -> anyhow::Result<Json> {
        let text = self.says(&[&["--json"], arguments].concat())?;
        serde_json::from_str(&text).with_context(|| format!("deskside --json {arguments:?} printed no JSON"))
    }

    /// The command itself.
    pub fn command(&self) -> anyhow::Result<Command> {
        let mut command = command(&program("deskside")?, self.namespace.as_deref());
        command.env("DESKSIDE_HOME", &self.home);
        Ok(command)
    }
}
