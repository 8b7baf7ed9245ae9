//! Programs of the system: found in the system's own folders, with a clean environment, under a deadline.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::host::{READ_BYTES_MAX, Ran};

/// Where programs are looked for, and what they get as `PATH`.
const FOLDERS: [&str; 4] = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];

/// How long a program may take.
const RUN_MAX: Duration = Duration::from_secs(10);

/// Runs it to its end or to its deadline.
pub(super) fn run(program: &str, arguments: &[&str]) -> io::Result<Ran> {
    run_for(RUN_MAX, program, arguments)
}

/// The same, with a deadline of its own.
pub(super) fn run_for(time: Duration, program: &str, arguments: &[&str]) -> io::Result<Ran> {
    let deadline = Instant::now() + time;
    let mut child = Command::new(find(program)?)
        .args(arguments)
        .env_clear()
        .env("LC_ALL", "C")
        .env("PATH", FOLDERS.join(":"))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let ran = listen(&mut child, deadline);
    // What it may have left behind in its group ends with it.
    let killed = kill_process_group(Pid::from_child(&child), Signal::KILL);
    let status = child.wait()?;
    let (stdout, stderr) = ran.map_err(|error| match error.kind() {
        ErrorKind::TimedOut => {
            tracing::debug!(program, ?killed, "a program was ended at its deadline");
            io::Error::new(ErrorKind::TimedOut, format!("{program} did not end within {} s", time.as_secs()))
        }
        _ => error,
    })?;
    Ok(Ran { status: status.code(), stdout, stderr })
}

fn find(program: &str) -> io::Result<PathBuf> {
    if program.contains('/') {
        return Err(io::Error::new(ErrorKind::InvalidInput, format!("{program} is not the name of a program")));
    }
    let places = FOLDERS.iter().map(|folder| Path::new(folder).join(program));
    let found = places.into_iter().find(|place| place.is_file());
    found.ok_or_else(|| io::Error::new(ErrorKind::NotFound, format!("{program} is not installed")))
}

/// Reads both outputs until the program ends. Why not until the outputs close: a service that it started may hold them for ever.
fn listen(child: &mut Child, deadline: Instant) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let ended = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let (mut stdout, mut stderr) = (Output::new(child.stdout.take())?, Output::new(child.stderr.take())?);
    loop {
        let left = deadline.checked_duration_since(Instant::now()).ok_or(ErrorKind::TimedOut)?;
        let wait = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut waits = vec![PollFd::new(&ended, PollFlags::IN)];
        waits.extend(stdout.pipe.as_ref().map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)));
        waits.extend(stderr.pipe.as_ref().map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)));
        match poll(&mut waits, Some(&wait)) {
            Ok(_ready) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let over = waits.first().is_some_and(|wait| !wait.revents().is_empty());
        stdout.drain(deadline)?;
        stderr.drain(deadline)?;
        if over {
            return Ok((stdout.bytes, stderr.bytes));
        }
    }
}

/// One output of a program, as far as it was read.
struct Output<P> {
    /// Absent once it is closed.
    pipe: Option<P>,
    bytes: Vec<u8>,
}

impl<P: Read + AsFd> Output<P> {
    fn new(pipe: Option<P>) -> io::Result<Self> {
        if let Some(pipe) = &pipe {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        Ok(Self { pipe, bytes: Vec::new() })
    }

    /// Takes what is there; what is beyond the bound is thrown away, so that the program is not held up.
    fn drain(&mut self, deadline: Instant) -> io::Result<()> {
        let mut piece = [0; 8192];
        while let Some(pipe) = &mut self.pipe {
            if Instant::now() >= deadline {
                return Err(ErrorKind::TimedOut.into());
            }
            match pipe.read(&mut piece) {
                Ok(0) => self.pipe = None,
                Ok(read) => {
                    let room = READ_BYTES_MAX.saturating_sub(self.bytes.len()).min(read);
                    self.bytes.extend_from_slice(piece.get(..room).unwrap_or_default());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(300);

    #[test]
    fn a_program_sees_a_clean_environment_and_no_input() {
        let ran = run("sh", &["-c", "env; cat; echo wrong >&2; exit 3"]).unwrap();
        let text = String::from_utf8(ran.stdout).unwrap();
        assert!(text.contains("LC_ALL=C\n") && !text.contains("HOME="), "{text}");
        assert_eq!((ran.status, ran.stderr.as_slice()), (Some(3), b"wrong\n".as_slice()));
    }

    #[test]
    fn a_program_that_hangs_is_ended_at_its_deadline() {
        let began = Instant::now();
        let error = run_for(SHORT, "sh", &["-c", "sleep 60 & sleep 60"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(began.elapsed() < Duration::from_secs(50));
    }

    #[test]
    fn a_program_that_never_stops_talking_is_ended_and_bounded() {
        assert_eq!(run_for(SHORT, "yes", &[]).unwrap_err().kind(), ErrorKind::TimedOut);
        let ran = run("sh", &["-c", "yes | head -c 9000000"]).unwrap();
        assert_eq!(ran.stdout.len(), READ_BYTES_MAX);
    }

    #[test]
    fn a_child_left_behind_does_not_hold_the_answer() {
        let began = Instant::now();
        let ran = run("sh", &["-c", "sleep 60 & echo done"]).unwrap();
        assert_eq!(ran.stdout, b"done\n");
        assert!(began.elapsed() < Duration::from_secs(50));
    }

    #[test]
    fn only_programs_of_the_system_are_run() {
        assert_eq!(run("/bin/sh", &[]).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(run("no-such-program", &[]).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
