//! A real print server of our own: a cupsd with its own folders and socket.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

const CUPSD: &str = "/usr/sbin/cupsd";

/// Where CUPS keeps its filters and backends.
const PROGRAMS: &str = "/usr/lib/cups";

/// The user and group that cupsd gives its filters and backends when root starts it.
const PRINT_USER: &str = "lp";

/// How long a state may take to appear. Why: the slowest is a queue that gives up, 5 s on an idle machine.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// How long between two looks at a state.
const PAUSE: Duration = Duration::from_millis(50);

/// A port on which nobody listens: every connection is refused at once.
const DEAD_PORT: u16 = 9;

/// The least that CUPS takes for a driver (PPD 4.3).
const PPD: &str = r#"*PPD-Adobe: "4.3"
*FormatVersion: "4.3"
*FileVersion: "1.0"
*LanguageVersion: English
*LanguageEncoding: ISOLatin1
*PCFileName: "ACME.PPD"
*Manufacturer: "Acme"
*Product: "(Acme 9)"
*ModelName: "Acme 9"
*ShortNickName: "Acme 9"
*NickName: "Acme 9, version 1.0"
*PSVersion: "(3010.000) 0"
*LanguageLevel: "3"
*ColorDevice: True
*DefaultColorSpace: RGB
*cupsFilter2: "text/plain application/vnd.acme 0 FILTER"
*OpenUI *PageSize/Size: PickOne
*DefaultPageSize: A4
*PageSize A4/A4: "<</PageSize[595 842]>>setpagedevice"
*CloseUI: *PageSize
*DefaultPageRegion: A4
*PageRegion A4/A4: "<</PageSize[595 842]>>setpagedevice"
*DefaultImageableArea: A4
*ImageableArea A4/A4: "0 0 595 842"
*DefaultPaperDimension: A4
*PaperDimension A4/A4: "595 842"
"#;

/// A running cupsd. It ends, and its folder goes, when this value does.
#[derive(Debug)]
pub struct Cups {
    server: Child,
    folder: TempDir,
}

impl Cups {
    /// Starts cupsd and waits until it answers.
    pub fn start() -> anyhow::Result<Self> {
        ensure!(Path::new(CUPSD).exists(), "{CUPSD} is missing: install cups and cups-client");
        let folder = tempfile::Builder::new().prefix("deskside-cups-").tempdir().context("making cupsd's folder")?;
        furnish(folder.path())?;
        let server = launch(folder.path())?;
        let mut cups = Self { server, folder };
        cups.ready()?;
        Ok(cups)
    }

    /// Ends it, lets its folder be changed, and starts it anew.
    pub fn restart_with(&mut self, change: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.stop();
        change(self.folder.path())?;
        self.server = launch(self.folder.path())?;
        self.ready()
    }

    fn ready(&mut self) -> anyhow::Result<()> {
        self.until("cupsd answers", |cups| {
            if let Some(status) = cups.server.try_wait().context("asking after cupsd")? {
                bail!("cupsd ended at once ({status}): {}", cups.log());
            }
            Ok(cups.tool("lpstat", &["-r"]).is_ok_and(|said| said.contains("is running")))
        })
    }

    /// The socket on which it listens; what `CUPS_SERVER` takes.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("state/cups.sock")
    }

    /// A folder that stands for the root of a machine with this print server: its settings where they belong, and its own folder.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Makes a raw queue, enabled and accepting. By its error policy it stops when a job cannot be printed.
    pub fn add_queue(&self, name: &str, uri: &str) -> anyhow::Result<()> {
        self.tool("lpadmin", &["-p", name, "-v", uri, "-E", "-o", "printer-error-policy=stop-printer"]).map(drop)
    }

    /// Makes a queue to a device of our own: for each job, `says` is what its backend tells the print system on standard error
    /// (backend(7): `STATE: +media-jam`, `ATTR: marker-levels=3`), line by line, before it takes the job.
    pub fn add_device(&self, name: &str, says: &[&str]) -> anyhow::Result<()> {
        self.add_backend(name, says, "cat > /dev/null")
    }

    /// The same, and then the backend does what a line of shell says: `exit 2`, `kill -SEGV $$`.
    pub fn add_backend(&self, name: &str, says: &[&str], then: &str) -> anyhow::Result<()> {
        let listed = format!("[ $# = 0 ] && {{ echo 'direct {name}:/ \"Unknown\" \"{name}\"'; exit 0; }}\n");
        let script = format!("#!/bin/sh\n{listed}cat >&2 <<'SAYS'\n{}\nSAYS\n{then}\n", says.join("\n"));
        self.add_program("backend", name, &script)?;
        self.add_queue(name, &format!("{name}:/"))
    }

    /// Makes a queue with a driver of our own, whose only filter turns text into nothing anybody knows.
    pub fn add_driver(&self, name: &str, filter: &str) -> anyhow::Result<()> {
        let file = self.folder.path().join(format!("{name}.ppd"));
        fs::write(&file, PPD.replace("FILTER", filter)).with_context(|| format!("writing {}", file.display()))?;
        let file = file.to_string_lossy();
        self.tool("lpadmin", &["-p", name, "-v", "file:///dev/null", "-P", &file, "-E"]).map(drop)
    }

    /// Puts a program beside CUPS's own backends or filters.
    pub fn add_program(&self, kind: &str, name: &str, script: &str) -> anyhow::Result<()> {
        let program = self.folder.path().join("bin").join(kind).join(name);
        fs::write(&program, script).with_context(|| format!("writing {}", program.display()))?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).context("making a program runnable")
    }

    /// Sends a text to a queue as it is; the number of the job.
    pub fn submit(&self, queue: &str, text: &str) -> anyhow::Result<u32> {
        self.submit_with(queue, text, &["-o", "raw"])
    }

    /// The same with options of lp(1); without `-o raw` the queue's driver has a part in it.
    pub fn submit_with(&self, queue: &str, text: &str, options: &[&str]) -> anyhow::Result<u32> {
        let mut child = self
            .command("lp")
            .args(["-d", queue, "-t", "A letter"])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting lp; install cups-client")?;
        child.stdin.take().context("lp has no input")?.write_all(text.as_bytes()).context("writing to lp")?;
        let said = child.wait_with_output().context("waiting for lp")?;
        ensure!(said.status.success(), "lp: {}", String::from_utf8_lossy(&said.stderr).trim());
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let number = said.split_whitespace().find_map(|word| word.strip_prefix(queue)?.strip_prefix('-'));
        number.and_then(|number| number.parse().ok()).with_context(|| format!("lp named no job: {said}"))
    }

    /// Runs one of CUPS's own programs against this server; what it printed.
    pub fn tool(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let ran = self.command(program).args(arguments).stdin(Stdio::null()).output();
        let ran = ran.with_context(|| format!("starting {program}; install cups-client"))?;
        ensure!(ran.status.success(), "{program}: {}", String::from_utf8_lossy(&ran.stderr).trim());
        Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
    }

    /// Its error log as it stands.
    pub fn error_log(&self) -> anyhow::Result<String> {
        fs::read_to_string(self.folder.path().join("log/error")).context("reading cupsd's error log")
    }

    /// Its own folder, which its logs name.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until something holds, and says what was waited for where it does not within a minute.
    pub fn wait_until(&self, what: &str, mut ready: impl FnMut(&Self) -> anyhow::Result<bool>) -> anyhow::Result<()> {
        poll(what, || ready(self)).with_context(|| format!("cupsd says: {}", self.log()))
    }

    /// Makes a queue to a printer that refuses every connection, sends it a job, and waits until the queue has stopped.
    /// Its name is the answer.
    pub fn stuck_queue(&self) -> anyhow::Result<String> {
        let name = "front-office";
        self.add_queue(name, &format!("socket://127.0.0.1:{DEAD_PORT}/?contimeout=2"))?;
        self.submit(name, "Dear Sir or Madam,\n")?;
        self.wait_until("the queue has stopped", |cups| Ok(cups.tool("lpstat", &["-p", name])?.contains("disabled")))?;
        Ok(name.to_owned())
    }

    fn until(&mut self, what: &str, mut ready: impl FnMut(&mut Self) -> anyhow::Result<bool>) -> anyhow::Result<()> {
        poll(what, || ready(self))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("CUPS_SERVER", self.socket()).env("LC_ALL", "C").env_remove("PRINTER").env_remove("LPDEST");
        command
    }

    /// The end of its own log.
    fn log(&self) -> String {
        let said = ["log/stdout", "log/error"].map(|name| fs::read(self.folder.path().join(name)).unwrap_or_default());
        let said = String::from_utf8_lossy(&said.concat()).into_owned();
        let last: Vec<&str> = said.lines().rev().filter(|line| !line.starts_with('D')).take(10).collect();
        last.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Cups {
    fn stop(&mut self) {
        // Why not kill at once: asked politely, cupsd ends its backends too.
        let asked = rustix::process::Pid::from_raw(self.server.id().cast_signed())
            .is_some_and(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM).is_ok());
        let started = Instant::now();
        while asked && started.elapsed() < Duration::from_secs(5) {
            if !matches!(self.server.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

impl Drop for Cups {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts cupsd on a furnished folder.
fn launch(folder: &Path) -> anyhow::Result<Child> {
    let log = fs::File::create(folder.join("log/stdout")).context("making cupsd's log")?;
    Command::new(CUPSD)
        .arg("-f")
        .arg("-c")
        .arg(folder.join("etc/cupsd.conf"))
        .arg("-s")
        .arg(folder.join("etc/cups-files.conf"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("sharing cupsd's log")?)
        .stderr(log)
        .spawn()
        .context("starting cupsd")
}

fn poll(what: &str, mut ready: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let started = Instant::now();
    while !ready()? {
        ensure!(started.elapsed() < WAIT_MAX, "waited {} s in vain until {what}", WAIT_MAX.as_secs());
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Folders, owners and configuration. Filters run as an ordinary user and need to pass through to their own.
fn furnish(root: &Path) -> anyhow::Result<()> {
    let folders = [
        ("", 0o711),
        ("etc", 0o755),
        ("etc/ppd", 0o755),
        ("etc/ssl", 0o700),
        ("cache", 0o770),
        ("cache/rss", 0o770),
        ("log", 0o755),
        ("spool", 0o710),
        ("spool/tmp", 0o1770),
        ("state", 0o755),
    ];
    let as_root = rustix::process::geteuid().is_root();
    for (name, mode) in folders {
        let folder = root.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).context("opening a folder to filters")?;
        if as_root {
            chown(&folder, None, Some(group_of(PRINT_USER)?)).context("giving a folder to lp")?;
        }
    }
    lend_programs(&root.join("bin"))?;
    let (machine, own) = (root.join("root"), root.strip_prefix("/").context("a folder without a root")?);
    for (place, target) in [(Path::new("etc/cups"), root.join("etc")), (own, root.to_owned())] {
        let place = machine.join(place);
        fs::create_dir_all(place.parent().context("a place without a folder")?)
            .context("making the machine's folders")?;
        symlink(target, &place).with_context(|| format!("linking {}", place.display()))?;
    }
    let root = root.display();
    let users =
        if as_root { format!("User {PRINT_USER}\nGroup {PRINT_USER}\nSystemGroup root\n") } else { String::new() };
    let places = format!(
        "ServerRoot {root}/etc\nPrintcap {root}/cache/printcap\nRequestRoot {root}/spool\nTempDir {root}/spool/tmp\nCacheDir {root}/cache\n\
         StateDir {root}/state\nDataDir /usr/share/cups\nServerBin {root}/bin\nServerKeychain {root}/etc/ssl\n\
         AccessLog {root}/log/access\nErrorLog {root}/log/error\nPageLog {root}/log/page\nFileDevice Yes\n{users}"
    );
    fs::write(format!("{root}/etc/cups-files.conf"), places).context("writing cups-files.conf")?;
    let rules = format!(
        "LogLevel info\nListen {root}/state/cups.sock\nBrowsing Off\nWebInterface No\nDefaultAuthType None\n\
         PreserveJobHistory Yes\nMaxJobs 0\nJobRetryInterval 2\n\
         <Location />\nOrder allow,deny\nAllow all\n</Location>\n\
         <Policy default>\nJobPrivateAccess all\nJobPrivateValues none\n<Limit All>\nOrder allow,deny\nAllow all\n</Limit>\n</Policy>\n"
    );
    fs::write(format!("{root}/etc/cupsd.conf"), rules).context("writing cupsd.conf")
}

/// Folders of CUPS's programs beside which a test may put its own.
const OPEN: [&str; 2] = ["backend", "filter"];

/// CUPS's own programs, with room for backends and filters of our own beside them.
fn lend_programs(folder: &Path) -> anyhow::Result<()> {
    let lent = Path::new(PROGRAMS);
    for kind in OPEN {
        fs::create_dir_all(folder.join(kind)).context("making a folder of programs")?;
        lend(&lent.join(kind), &folder.join(kind), &[])?;
    }
    lend(lent, folder, &OPEN)
}

/// A link for each entry of a folder.
fn lend(from: &Path, to: &Path, except: &[&str]) -> anyhow::Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("listing {}", from.display()))? {
        let name = entry.context("listing CUPS's programs")?.file_name();
        if !except.iter().any(|kept| name == *kept) {
            symlink(from.join(&name), to.join(&name)).context("lending CUPS's programs")?;
        }
    }
    Ok(())
}

fn group_of(name: &str) -> anyhow::Result<u32> {
    let groups = fs::read_to_string("/etc/group").context("reading /etc/group")?;
    let mut found = groups.lines().filter_map(|line| {
        let mut parts = line.split(':');
        (parts.next() == Some(name)).then(|| parts.nth(1)).flatten()
    });
    found.next().and_then(|id| id.parse().ok()).with_context(|| format!("no group {name}: install cups"))
}
