//! What the kernel says, from its own buffer (`dev-kmsg` of the kernel's documentation), for machines where nobody writes it down.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::v1::LogEvent;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::time::{ClockId, clock_gettime};

use super::Position;
use super::batch::{Batch, LeftOut};
use super::watch::Waker;

/// The source's name in events and positions.
pub(super) const SOURCE: &str = "kernel";

/// Largest record; the kernel's own bound is below it.
const RECORD_BYTES: usize = 8 * 1024;
/// Between two looks at whether the thread that waits is still wanted.
const WAIT: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };
/// Records that come close together wake the reader once.
const GATHER: Duration = Duration::from_secs(1);
/// The thread that waits needs next to nothing.
const STACK_BYTES: usize = 64 * 1024;

/// The buffer, and how far it is read.
pub(super) struct KernelRing {
    file: File,
    boot_id: String,
    read_to: Option<u64>,
    first_from_ms: i64,
    lost: u64,
}

impl KernelRing {
    /// Goes on from a kept position of this boot; in another boot all counts, and on the very first start what is not older than a time.
    pub(super) fn open(path: &str, position: Option<&str>, first_from_ms: i64, waker: Waker) -> anyhow::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        let file = options.open(path).with_context(|| {
            format!("{path} is not read; the agent's user needs the capability CAP_SYSLOG, or kernel.dmesg_restrict=0")
        })?;
        let boot_id =
            std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().replace('-', "");
        let read_to = position.and_then(|position| {
            let (boot, seq) = position.split_once(':')?;
            (boot == boot_id).then(|| seq.parse().ok()).flatten()
        });
        let first_from_ms = if position.is_some() { i64::MIN } else { first_from_ms };
        wake_when_readable(OwnedFd::from(file.try_clone()?), waker)?;
        Ok(Self { file, boot_id, read_to, first_from_ms, lost: 0 })
    }

    /// Reads on until the batch is full or nothing is left.
    pub(super) fn read(&mut self, batch: &mut Batch, now_ms: i64) {
        let booted_ms = now_ms - monotonic_ms();
        let mut record = vec![0; RECORD_BYTES];
        while !batch.full() {
            let got = match self.file.read(&mut record) {
                Ok(0) => break,
                Ok(got) => got,
                // What was to come next has been overwritten; the next read goes on behind it.
                Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) => continue,
                Err(_would_block) => break,
            };
            let Some((seq, mut event)) = parse(record.get(..got).unwrap_or_default(), booted_ms) else { continue };
            if self.read_to.is_some_and(|read_to| seq <= read_to) {
                continue;
            }
            self.lost += self.read_to.map_or(0, |read_to| seq - read_to - 1);
            self.read_to = Some(seq);
            if event.at_ms >= self.first_from_ms && batch.admit() {
                event.boot_id.clone_from(&self.boot_id);
                batch.push(&event);
            }
        }
    }

    /// What the kernel overwrote before it was read.
    pub(super) fn tell(&mut self) -> Option<LeftOut> {
        let events = std::mem::take(&mut self.lost);
        (events > 0).then_some(LeftOut { events, for_ms: 0 })
    }

    pub(super) fn position(&self) -> Option<Position> {
        let at = format!("{}:{}", self.boot_id, self.read_to?);
        Some(Position { source: SOURCE.into(), at })
    }
}

/// Milliseconds since the start, sleep not counted.
pub(super) fn monotonic_ms() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

/// The kernel's buffer is no file that could be watched.
fn wake_when_readable(ring: OwnedFd, waker: Waker) -> anyhow::Result<()> {
    let wait = move || {
        while !waker.is_stopped() {
            let mut polled = [PollFd::new(&ring, PollFlags::IN)];
            match poll(&mut polled, Some(&WAIT)) {
                Ok(0) => {}
                Ok(_readable) => {
                    waker.wake();
                    std::thread::sleep(GATHER);
                }
                Err(_interrupted) => std::thread::sleep(GATHER),
            }
        }
    };
    let thread = std::thread::Builder::new().name("kernel-ring".into()).stack_size(STACK_BYTES);
    thread.spawn(wait).context("starting the thread that waits for the kernel")?;
    Ok(())
}

/// `6,1234,5678901,-;message` and lines of `KEY=value` behind it; bytes that do not print are written as `\x20`.
fn parse(record: &[u8], booted_ms: i64) -> Option<(u64, LogEvent)> {
    let text = String::from_utf8_lossy(record);
    let (head, rest) = text.split_once(';')?;
    let mut head = head.split(',');
    let (number, seq, since_us) = (head.next()?, head.next()?, head.next()?);
    let (number, seq): (u32, u64) = (number.parse().ok()?, seq.parse().ok()?);
    let since_us: u64 = since_us.parse().ok()?;
    let message = rest.lines().next().unwrap_or_default();
    let event = LogEvent {
        at_ms: booted_ms.saturating_add_unsigned(since_us / 1000),
        source: SOURCE.into(),
        position: seq.to_string(),
        priority: Some(number & 7),
        // Other facilities than the kernel's are programs that wrote to it.
        program: if number >> 3 == 0 { "kernel".into() } else { String::new() },
        message: unescaped(message),
        ..LogEvent::default()
    };
    Some((seq, event))
}

fn unescaped(text: &str) -> String {
    let Some((first, rest)) = text.split_once("\\x") else { return text.to_owned() };
    let mut bytes = first.as_bytes().to_vec();
    for part in rest.split("\\x") {
        let code = part.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        if let Some(byte) = code {
            bytes.push(byte);
            bytes.extend_from_slice(part.get(2..).unwrap_or_default().as_bytes());
        } else {
            bytes.extend_from_slice(b"\\x");
            bytes.extend_from_slice(part.as_bytes());
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_the_kernel_is_read() {
        let record =
            b"3,1234,5678901,-;usb 1-4: device descriptor read/64, error -71\n SUBSYSTEM=usb\n DEVICE=c189:3\n";
        let (seq, event) = parse(record, 1_000_000).unwrap();
        assert_eq!((seq, event.priority, event.at_ms), (1234, Some(3), 1_005_678));
        assert_eq!(
            (event.program.as_str(), event.message.as_str()),
            ("kernel", "usb 1-4: device descriptor read/64, error -71")
        );
        let (_seq, event) = parse(b"30,7,1,c,caller=T1;systemd[1]: a\\x09b\\xc3\\xa9 \\xzz", 0).unwrap();
        assert_eq!((event.priority, event.program.as_str()), (Some(6), ""));
        assert_eq!(event.message, "systemd[1]: a\tb\u{e9} \\xzz");
    }

    #[test]
    fn what_is_no_record_is_none() {
        for record in ["", ";", "6;x", "6,1;x", "x,1,2;y", "6,99999999999999999999,2,-;x", "-1,1,1,-;x"] {
            assert!(parse(record.as_bytes(), 0).is_none(), "{record}");
        }
        assert!(parse(b"6,1,18446744073709551615,-;x", i64::MAX).is_some());
    }
}
