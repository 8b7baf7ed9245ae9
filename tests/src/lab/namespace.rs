//! One network namespace, made for one test and gone with it. Root is needed.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context, anyhow, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::process::until;

/// The user and the group that own nothing.
const NOBODY: &str = "65534";

/// Numbers within this process, so that several tests of one process do not meet.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A network namespace of its own.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one with only a loopback interface, which is up.
    pub fn new(role: &str) -> anyhow::Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("dsk-{role}-{}-{number}", std::process::id());
        run(Command::new("ip").args(["netns", "add", &name]), "")?;
        let made = Self { name };
        made.ip("link set lo up")?;
        // Why: an address that is asked for first (RFC 4862, 5.4) is of no use for two seconds, the link-local one of each interface too.
        for each in ["all", "default"] {
            made.sysctl(&format!("ipv6/conf/{each}/accept_dad"), "0")?;
        }
        Ok(made)
    }

    /// Its name, as ip-netns(8) knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs ip(8) in it, one command a line.
    pub fn ip(&self, lines: &str) -> anyhow::Result<()> {
        run(Command::new("ip").args(["-n", &self.name, "-batch", "-"]), lines).map(drop)
    }

    /// What ip(8) prints in it.
    pub fn ip_says(&self, words: &str) -> anyhow::Result<String> {
        run(Command::new("ip").args(["-n", &self.name]).args(words.split_whitespace()), "")
    }

    /// Waits until ip(8)'s answer in it contains a text.
    pub fn wait_for(&self, words: &str, text: &str) -> anyhow::Result<()> {
        let said = || Ok(self.ip_says(words)?.contains(text).then_some(()));
        until(&format!("`ip {words}` to say {text}"), said)
    }

    /// Waits until an interface carries: in the first moment after both ends of a wire are up, the kernel drops what is sent.
    pub fn carries(&self, interface: &str) -> anyhow::Result<()> {
        self.wait_for(&format!("-j link show dev {interface}"), "\"operstate\":\"UP\"")
    }

    /// Runs nft(8) in it with these rules.
    pub fn nft(&self, rules: &str) -> anyhow::Result<()> {
        run(self.command("nft").args(["-f", "-"]), rules).map(drop)
    }

    /// Sets a value below /proc/sys/net.
    pub fn sysctl(&self, name: &str, value: &str) -> anyhow::Result<()> {
        let path = Path::new("/proc/sys/net").join(name);
        self.within(|| fs::write(&path, value).with_context(|| format!("writing {}", path.display())))?
    }

    /// A command that runs a program in it, with its own /sys and /etc/resolv.conf.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program.as_ref());
        command
    }

    /// The same as a user that owns nothing and may nothing.
    pub fn command_as_nobody(&self, program: impl AsRef<Path>) -> Command {
        let mut command = self.command("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--bounding-set=-all"]);
        command.arg(program.as_ref());
        command
    }

    /// Does something on a thread that is in it. Sockets that are opened there stay there, and so do threads that are begun there.
    pub fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        let place = Path::new("/run/netns").join(&self.name);
        let place = File::open(&place).with_context(|| format!("opening {}", place.display()))?;
        let inside = || {
            move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Network)).context("entering it")?;
            Ok(act())
        };
        thread::scope(|scope| scope.spawn(inside).join()).map_err(|_panic| anyhow!("a thread in {} fell", self.name))?
    }

    /// Says which name servers programs in it ask.
    pub fn name_servers(&self, addresses: &[&str]) -> anyhow::Result<()> {
        let folder = self.settings();
        fs::create_dir_all(&folder).with_context(|| format!("making {folder}"))?;
        let lines: Vec<String> = addresses.iter().map(|address| format!("nameserver {address}")).collect();
        fs::write(format!("{folder}/resolv.conf"), lines.join("\n") + "\n").context("writing resolv.conf")
    }

    /// Lays a file over one below /etc for programs in it; the first folder of its path must be there outside as well, and is laid over as a whole.
    pub fn settings_file(&self, path: &str, text: &str) -> anyhow::Result<()> {
        let place = Path::new(&self.settings()).join(path);
        let folder = place.parent().context("a file lies in a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        fs::write(&place, text).with_context(|| format!("writing {}", place.display()))
    }

    /// What ip-netns(8) lays over /etc for programs that it starts.
    fn settings(&self) -> String {
        format!("/etc/netns/{}", self.name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(Command::new("ip").args(["netns", "del", &self.name]).output());
        drop(fs::remove_dir_all(self.settings()));
    }
}

/// Runs a program with this as its input; what it printed.
fn run(command: &mut Command, input: &str) -> anyhow::Result<String> {
    let said = format!("{command:?}");
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().with_context(|| format!("starting {said}"))?;
    child.stdin.take().context("it has an input")?.write_all(input.as_bytes()).context("writing its input")?;
    let ran = child.wait_with_output()?;
    ensure!(ran.status.success(), "{said}: {}", String::from_utf8_lossy(&ran.stderr).trim());
    Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
}
