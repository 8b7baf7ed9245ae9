//! One program that runs, and its log. It ends with the one who holds it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// How long a program may take to end before it is killed.
const END_MAX: Duration = Duration::from_secs(8);

/// How often is looked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Lines of its log that an error quotes.
const LAST_WORDS: usize = 12;

/// A program that runs. It is asked to end when this is dropped, and made to after a while.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it in a process group of its own, so that a Ctrl-C reaches the one who holds it, who ends it in order. What it prints is
    /// added to the log.
    pub fn start(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let file = File::options().create(true).append(true).open(log);
        let file = file.with_context(|| format!("making {}", log.display()))?;
        command.process_group(0).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("starting {}", command.get_program().display()))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error with the end of its log, if it has ended.
    pub fn must_live(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        bail!("it ended ({status}); its last words:\n{}", self.last_words())
    }

    /// Ends it without a warning.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().context("killing a process")?;
        self.child.wait().context("waiting for a process")?;
        Ok(())
    }

    /// Asks it to end, and waits until it has. An error if it takes too long or does not end well.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let status = self.ask()?;
        let status = status.with_context(|| format!("it did not end within {} s", END_MAX.as_secs()))?;
        ensure!(status.success(), "it ended with {status}; its last words:\n{}", self.last_words());
        Ok(())
    }

    /// How it ended when asked; absent if it still runs after a while.
    fn ask(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        if let Some(ended) = self.child.try_wait()? {
            return Ok(Some(ended));
        }
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("no process id")?;
        kill_process(pid, Signal::TERM).context("stopping a process")?;
        let begun = Instant::now();
        while begun.elapsed() < END_MAX {
            if let Some(ended) = self.child.try_wait()? {
                return Ok(Some(ended));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(None)
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(LAST_WORDS)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.ask(), Ok(Some(_ended))) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}
