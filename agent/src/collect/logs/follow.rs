//! The thread that follows all logs: sleeps until something is written, gathers, reads, hands over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use deskside_proto::v1::LogEvent;
use jiff::Zoned;
use tokio::sync::mpsc;

use super::batch::{Batch, LeftOut, Rate};
use super::file::Reading;
use super::followed::Files;
use super::journal::Journals;
use super::kernel_ring::{self, KernelRing};
use super::watch::{Waker, Watches};
use super::{Config, Lines, OWN_SOURCE, Position, Sealed, journal, lines, patterns};

/// Written lines are gathered for this long before they are read. Why: a transaction for each line would wear the disk.
const GATHER: Duration = Duration::from_millis(250);
/// The net under the watches: all logs are looked at this often even if nothing told of a change.
const NET: Duration = Duration::from_mins(1);
/// When a journal could not be read, another try is made this soon.
const DOUBT: Duration = Duration::from_secs(1);
/// Sentences about unreadable logs in one pass.
const WRONG_MAX: usize = 16;
/// Bytes read at once.
const CHUNK_BYTES: usize = 32 * 1024;
/// The thread needs little: its buffers and the depth of a regular call.
const STACK_BYTES: usize = 256 * 1024;

pub(super) fn start(
    config: Config,
    positions: BTreeMap<String, String>,
    sink: mpsc::Sender<Lines>,
) -> anyhow::Result<Waker> {
    let (wake, woken) = sync_channel(1);
    let waker = Waker::new(wake);
    let mut following = Following::new(config, positions, sink, waker.clone());
    let thread = std::thread::Builder::new().name("logs".into()).stack_size(STACK_BYTES);
    thread.spawn(move || following.run(&woken)).context("starting the thread that follows logs")?;
    Ok(waker)
}

struct Following {
    config: Config,
    sink: mpsc::Sender<Lines>,
    waker: Waker,
    watches: Watches,
    journals: Journals,
    journal_rate: Rate,
    files: Files,
    ring: Option<(KernelRing, Rate)>,
    ring_position: Option<String>,
    ring_tried: bool,
    first_from_ms: i64,
    begun: Instant,
    chunk: Vec<u8>,
    own_pid: u32,
    own_events: u64,
}

impl Following {
    fn new(config: Config, mut positions: BTreeMap<String, String>, sink: mpsc::Sender<Lines>, waker: Waker) -> Self {
        let first_from_ms = Zoned::now().timestamp().as_millisecond() - i64::from(config.first_minutes) * 60_000;
        let position = positions.remove(journal::SOURCE);
        let first_from_us = first_from_ms.max(0).cast_unsigned() * 1000;
        let journals = Journals::new(&config.journals, position.as_deref(), first_from_us, config.audit);
        let files = Files::new(&config, positions, first_from_ms);
        Self {
            journal_rate: Rate::new(config.lines_per_s_max, config.lines_at_once_max, 0),
            watches: Watches::new(files.patterns().to_vec(), waker.clone()),
            sink,
            waker,
            journals,
            ring: None,
            ring_position: files.position(kernel_ring::SOURCE),
            ring_tried: config.kernel_ring.is_empty(),
            files,
            config,
            first_from_ms,
            begun: Instant::now(),
            chunk: vec![0; CHUNK_BYTES],
            own_pid: std::process::id(),
            own_events: 0,
        }
    }

    /// Ends when it is told to, or when nobody takes the lines any more.
    fn run(&mut self, woken: &Receiver<()>) {
        if !self.scan() || !self.read() || !self.hand_over(Lines { events: Vec::new(), positions: vec![Files::mark()] })
        {
            return;
        }
        let mut scan = false;
        loop {
            if scan && !self.scan() || !self.read() {
                return;
            }
            match woken.recv_timeout(self.rest()) {
                Ok(()) => {
                    if !self.waker.is_stopped() {
                        std::thread::sleep(GATHER);
                    }
                    scan = self.waker.takes_scan();
                }
                Err(RecvTimeoutError::Timeout) => scan = true,
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.waker.is_stopped() {
                return;
            }
            if let Some(sources) = self.waker.takes_named() {
                self.files.name(sources);
                self.watches = Watches::new(self.files.patterns().to_vec(), self.waker.clone());
                scan = true;
            }
        }
    }

    fn now_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    /// How long nothing needs to be done by itself.
    fn rest(&self) -> Duration {
        let now_ms = self.now_ms();
        let rates = self.files.rates().chain([&self.journal_rate]).chain(self.ring.iter().map(|(_ring, rate)| rate));
        let tell = rates.filter_map(|rate| rate.tell_in_ms(now_ms)).min().map(Duration::from_millis);
        let join = self.files.any_waits().then_some(Duration::from_millis(lines::JOIN_MS));
        let doubt = self.journals.doubtful().then_some(DOUBT);
        [tell, join, doubt].into_iter().flatten().min().unwrap_or(NET).min(NET)
    }

    /// Finds logs that came, and watches their folders. False when nobody takes the lines.
    fn scan(&mut self) -> bool {
        let mut wrong = self.journals.scan();
        let journal = self.journals.any();
        let mut found = patterns::find(self.files.wanted(!journal));
        wrong.extend(self.files.add_named(&mut found));
        let mut folders: BTreeSet<PathBuf> = self.journals.folders().into_iter().collect();
        folders.extend(found.folders);
        if found.cut {
            wrong.push("more files than are looked at fit the names of logs; name them more closely".into());
        }
        let repeated = self.files.without_journal().iter().any(|path| std::path::Path::new(path).exists());
        if !journal && !repeated && !self.ring_tried {
            wrong.extend(self.open_ring());
        }
        let now_ms = self.now_ms();
        let positions = self.files.scan(found.files, now_ms, &mut wrong);
        let open = self.files.open();
        folders
            .extend(open.iter().filter_map(|path| path.parent()).filter(|folder| folder.is_dir()).map(PathBuf::from));
        self.watches.set(&folders);
        self.waker.set_open(open);
        let handed = positions.is_empty() || self.hand_over(Lines { events: Vec::new(), positions });
        handed && self.complain(wrong)
    }

    fn open_ring(&mut self) -> Option<String> {
        self.ring_tried = true;
        let position = self.ring_position.take();
        let path = &self.config.kernel_ring;
        match KernelRing::open(path, position.as_deref(), self.first_from_ms, self.waker.clone()) {
            Ok(ring) => {
                let rate = Rate::new(self.config.lines_per_s_max, self.config.lines_at_once_max, self.now_ms());
                self.ring = Some((ring, rate));
                None
            }
            Err(error) => Some(format!("{error:#}")),
        }
    }

    /// Hands over all that is written. False when nobody takes it.
    fn read(&mut self) -> bool {
        self.read_journals() && self.read_ring() && (0..self.files.len()).all(|place| self.read_file(place))
    }

    fn read_journals(&mut self) -> bool {
        loop {
            self.journal_rate.refill(self.now_ms());
            let mut batch = Batch::new(&mut self.journal_rate, self.own_pid);
            let wrong = self.journals.read(&mut batch);
            let (full, events) = (batch.full(), batch.into_events());
            let position = self.journals.position();
            let left_out = self.journal_rate.tell(self.now_ms());
            let handed = events.is_empty() || self.hand_over(Lines { events, positions: vec![position.clone()] });
            if !handed || !self.complain(wrong) || !self.tell_left_out(left_out, position) {
                return false;
            }
            if !full {
                return true;
            }
        }
    }

    fn read_ring(&mut self) -> bool {
        loop {
            let now_ms = self.now_ms();
            let Some((ring, rate)) = &mut self.ring else { return true };
            rate.refill(now_ms);
            let mut batch = Batch::new(rate, self.own_pid);
            ring.read(&mut batch, wall_ms());
            let (full, events) = (batch.full(), batch.into_events());
            let left_out = ring.tell().or_else(|| rate.tell(now_ms));
            let Some(position) = ring.position() else { return true };
            let handed = events.is_empty() || self.hand_over(Lines { events, positions: vec![position.clone()] });
            if !handed || !self.tell_left_out(left_out, position) {
                return false;
            }
            if !full {
                return true;
            }
        }
    }

    fn read_file(&mut self, place: usize) -> bool {
        let now = Zoned::now();
        let booted_ms = Some(now.timestamp().as_millisecond() - kernel_ring::monotonic_ms());
        loop {
            let now_ms = self.now_ms();
            let Some(followed) = self.files.at(place) else { return true };
            followed.rate.refill(now_ms);
            let mut batch = Batch::new(&mut followed.rate, self.own_pid);
            let mut reading = Reading { batch: &mut batch, now: &now, booted_ms, chunk: &mut self.chunk };
            followed.log.read(&mut reading);
            let (full, events) = (batch.full(), batch.into_events());
            let (left_out, position) = (followed.rate.tell(now_ms), followed.log.position());
            let complaint = followed.log.complaint();
            if !events.is_empty() {
                followed.read_ms = now_ms;
            }
            let tell = !events.is_empty() || !followed.told && !full;
            followed.told |= tell;
            let handed = !tell || self.hand_over(Lines { events, positions: vec![position.clone()] });
            let handed = handed && self.complain(complaint.into_iter().collect());
            if !handed || !self.tell_left_out(left_out, position) {
                return false;
            }
            if !full {
                return true;
            }
        }
    }

    /// What was left out is an event of its log, so that it stands where it is missing.
    fn tell_left_out(&mut self, left_out: Option<LeftOut>, position: Position) -> bool {
        let Some(LeftOut { events: count, for_ms }) = left_out else { return true };
        let source = position.source.clone();
        let why =
            format!("more than {} a second", self.files.per_s_max(&source).unwrap_or(self.config.lines_per_s_max));
        let event = LogEvent {
            left_out: Some(count),
            left_out_from_ms: Some(wall_ms().saturating_sub_unsigned(for_ms)),
            ..self.own_event(source.clone(), format!("{count} lines of {source} left out: {why}"))
        };
        self.hand_over(Lines { events: vec![Sealed::from(&event)], positions: vec![position] })
    }

    /// What the follower itself has to say goes the way of the lines.
    fn complain(&mut self, wrong: Vec<String>) -> bool {
        let wrong = wrong.into_iter().take(WRONG_MAX);
        let events: Vec<_> = wrong.map(|message| Sealed::from(&self.own_event(OWN_SOURCE.into(), message))).collect();
        events.is_empty() || self.hand_over(Lines { events, positions: Vec::new() })
    }

    fn own_event(&mut self, source: String, message: String) -> LogEvent {
        self.own_events += 1;
        LogEvent {
            at_ms: wall_ms(),
            source,
            position: format!("{}:{}", self.own_pid, self.own_events),
            priority: Some(4),
            program: "deskside-agent".into(),
            message,
            ..LogEvent::default()
        }
    }

    fn hand_over(&self, lines: Lines) -> bool {
        self.sink.blocking_send(lines).is_ok()
    }
}

fn wall_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
