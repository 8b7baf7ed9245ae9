//! Two network namespaces joined by wires, made for one test and gone after it. Root is needed.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

/// How long a state of the network may take to appear.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// How long between two looks at a state.
const PAUSE: Duration = Duration::from_millis(50);

/// Numbers within this process, so that several tests of one process do not meet.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A workstation's namespace and the rest of the world's.
#[derive(Debug)]
pub struct Wired {
    /// The namespace in which the agent would be.
    pub desk: String,
    /// The other ends of its wires.
    pub far: String,
}

impl Wired {
    /// Makes both, without any wire.
    pub fn new() -> anyhow::Result<Self> {
        let own = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let wired = Self { desk: format!("dsk-wired-{own}"), far: format!("dsk-wired-far-{own}") };
        wired.ip(&format!("netns add {}", wired.desk))?;
        wired.ip(&format!("netns add {}", wired.far))?;
        Ok(wired)
    }

    /// Runs ip(8) with these words; what it printed.
    pub fn ip(&self, words: &str) -> anyhow::Result<String> {
        let ran = Command::new("ip").args(words.split_whitespace()).output();
        let ran = ran.context("starting ip; install iproute2")?;
        ensure!(ran.status.success(), "ip {words}: {}", String::from_utf8_lossy(&ran.stderr).trim());
        Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
    }

    /// The same at the workstation.
    pub fn at_desk(&self, words: &str) -> anyhow::Result<String> {
        self.ip(&format!("-n {} {words}", self.desk))
    }

    /// The same at the other end.
    pub fn at_far(&self, words: &str) -> anyhow::Result<String> {
        self.ip(&format!("-n {} {words}", self.far))
    }

    /// Waits until ip(8)'s answer at the workstation contains a text.
    pub fn wait_for(&self, words: &str, text: &str) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let said = self.at_desk(words)?;
            if said.contains(text) {
                return Ok(());
            }
            ensure!(started.elapsed() < WAIT_MAX, "waited in vain until `ip {words}` says {text}: {said}");
            std::thread::sleep(PAUSE);
        }
    }

    /// A command that runs a program at the workstation, with that namespace's own /sys.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.desk]).arg(program);
        command
    }
}

impl Drop for Wired {
    fn drop(&mut self) {
        drop(self.ip(&format!("netns del {}", self.desk)));
        drop(self.ip(&format!("netns del {}", self.far)));
    }
}
