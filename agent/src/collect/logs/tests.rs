//! Real files in a folder of their own, followed by the real thread.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use deskside_proto::v1::LogEvent;
use prost::Message;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::{BATCH_EVENTS_MAX, Config, Follower, LINE_BYTES_MAX, Lines, OWN_SOURCE};

/// Longest wait for something that is expected.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Logs {
    folder: TempDir,
    pub(super) config: Config,
    positions: BTreeMap<String, String>,
    running: Option<(Follower, mpsc::Receiver<Lines>)>,
}

impl Logs {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            journals: Vec::new(),
            files: vec![folder.path().join("*.log").display().to_string()],
            files_without_journal: Vec::new(),
            kernel_ring: String::new(),
            ..Config::default()
        };
        Self { folder, config, positions: BTreeMap::new(), running: None }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        append(&self.path(name), bytes.as_ref());
    }

    pub(super) fn start(&mut self) {
        let (sink, lines) = mpsc::channel(4);
        let follower = Follower::start(self.config.clone(), self.positions.clone(), sink).unwrap();
        self.running = Some((follower, lines));
    }

    /// Starts and waits until the log has been found. Why: a line without a date that is there before would count as old.
    pub(super) fn start_with(&mut self, name: &str) {
        self.write(name, format!("{} desk7 test: begin\n", jiff::Timestamp::now()));
        self.start();
        assert_eq!(messages(&self.take(1)), ["begin"]);
    }

    pub(super) fn stop(&mut self) {
        self.running = None;
    }

    /// Takes batches until there are so many events of files.
    pub(super) fn take(&mut self, events: usize) -> Vec<LogEvent> {
        let mut all = Vec::new();
        while all.len() < events {
            all.extend(self.next());
        }
        all
    }

    /// Nothing else comes. Why a wait: what comes twice comes late.
    pub(super) fn nothing_more(&mut self) {
        self.write("a.log", "the end\n");
        assert_eq!(messages(&self.take(1)), ["the end"]);
    }

    pub(super) fn next(&mut self) -> Vec<LogEvent> {
        let (_follower, lines) = self.running.as_mut().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let lines = runtime.block_on(async { tokio::time::timeout(PATIENCE, lines.recv()).await });
        let lines = lines.expect("lines within the time").expect("the follower runs");
        assert!(lines.events.len() <= BATCH_EVENTS_MAX + 1);
        self.positions.extend(lines.positions.into_iter().map(|position| (position.source, position.at)));
        lines.events.iter().map(|event| LogEvent::decode(event.row.clone()).unwrap()).collect()
    }
}

pub(super) fn append(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

pub(super) fn messages(events: &[LogEvent]) -> Vec<&str> {
    events.iter().map(|event| event.message.as_str()).collect()
}

pub(super) fn numbered(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|number| format!("line {number}")).collect()
}

pub(super) fn text(lines: &[String]) -> String {
    lines.join("\n") + "\n"
}

#[test]
fn lines_are_followed_in_order_as_they_are_written() {
    let mut logs = Logs::new();
    logs.start_with("a.log");
    logs.write("a.log", text(&numbered(0, 1000)));
    let events = logs.take(1000);
    assert_eq!(messages(&events), numbered(0, 1000));
    assert!(events.iter().all(|event| event.source.ends_with("/a.log") && event.program == "a"));
}

#[test]
fn the_rest_of_a_file_renamed_by_rotation_is_read_before_the_new_one() {
    let mut logs = Logs::new();
    logs.start_with("a.log");
    logs.write("a.log", "one\ntwo\n");
    fs::rename(logs.path("a.log"), logs.path("a.log.1")).unwrap();
    append(&logs.path("a.log.1"), b"three, by a writer that kept it open\n");
    logs.write("a.log", "four\n");
    assert_eq!(messages(&logs.take(4)), ["one", "two", "three, by a writer that kept it open", "four"]);
}

#[test]
fn a_file_that_is_truncated_is_read_from_its_start() {
    let mut logs = Logs::new();
    logs.start_with("a.log");
    logs.write("a.log", "one\n");
    assert_eq!(messages(&logs.take(1)), ["one"]);
    fs::copy(logs.path("a.log"), logs.path("a.log.1")).unwrap();
    append(&logs.path("a.log.1"), b"two, before the copy was made\n");
    fs::write(logs.path("a.log"), "three\n").unwrap();
    assert_eq!(messages(&logs.take(2)), ["two, before the copy was made", "three"]);
}

#[test]
fn a_file_that_is_deleted_and_made_again_is_read_on() {
    let mut logs = Logs::new();
    logs.start_with("a.log");
    fs::remove_file(logs.path("a.log")).unwrap();
    logs.write("a.log", "one\n");
    assert_eq!(messages(&logs.take(1)), ["one"]);
}

#[test]
fn a_file_that_comes_later_is_read_from_its_first_line() {
    let mut logs = Logs::new();
    logs.start_with("a.log");
    logs.write("b.log", "first\n");
    assert_eq!(messages(&logs.take(1)), ["first"]);
}

#[test]
fn after_a_restart_nothing_is_lost_and_nothing_comes_twice() {
    let mut logs = Logs::new();
    logs.start_with("a.log");
    let mut seen = Vec::new();
    for round in 0..5 {
        let all = numbered(round * 1000, round * 1000 + 1000);
        logs.write("a.log", text(&all[..500]));
        // What lies in the channel when it ends was never kept, and comes again.
        seen.extend(logs.next());
        logs.stop();
        logs.write("a.log", text(&all[500..]));
        logs.start();
    }
    seen.extend(logs.take(5000 - seen.len()));
    assert_eq!(messages(&seen), numbered(0, 5000));
}

#[test]
fn what_was_rotated_while_the_agent_was_away_is_read_too() {
    let mut logs = Logs::new();
    logs.start_with("a.log");
    logs.stop();
    logs.write("a.log", "one\n");
    fs::rename(logs.path("a.log"), logs.path("a.log.1")).unwrap();
    logs.write("a.log", "two\n");
    logs.start();
    assert_eq!(messages(&logs.take(2)), ["one", "two"]);
}

#[test]
fn what_cannot_be_found_any_more_is_said_to_be_missing() {
    let mut logs = Logs::new();
    logs.start_with("a.log");
    logs.stop();
    fs::remove_file(logs.path("a.log")).unwrap();
    logs.write("a.log.1.gz", "not to be read");
    logs.write("a.log", "two\n");
    logs.start();
    let events = logs.take(2);
    assert_eq!((events[0].source.as_str(), events[0].priority), (OWN_SOURCE, Some(4)));
    assert!(events[0].message.contains("rotated"), "{}", events[0].message);
    assert_eq!(events[1].message, "two");
}

#[test]
fn a_stack_trace_a_broken_text_and_a_line_of_ten_megabytes_are_one_event_each() {
    let mut logs = Logs::new();
    logs.start_with("a.log");
    let mut bytes = b"boom\n  at a\n  at b\nbroken \xff\xfe text\n".to_vec();
    bytes.extend(vec![b'x'; 10 * 1024 * 1024]);
    bytes.extend(b"\nlast\n");
    logs.write("a.log", bytes);
    let events = logs.take(4);
    assert_eq!(events[0].message, "boom\n  at a\n  at b");
    assert_eq!((events[1].message.as_str(), events[1].invalid_utf8), ("broken \u{fffd}\u{fffd} text", true));
    assert_eq!((events[2].message.len(), events[2].cut_from_bytes), (LINE_BYTES_MAX, Some(10 * 1024 * 1024)));
    assert_eq!(events[3].message, "last");
}

#[test]
fn the_first_start_takes_the_last_hour_and_not_the_whole_log() {
    let mut logs = Logs::new();
    let now = jiff::Zoned::now();
    let line = |hours: i64| {
        let at = now.checked_sub(jiff::Span::new().hours(hours).minutes(1)).unwrap();
        format!("{} desk7 test: {hours} hours ago\n", at.strftime("%Y-%m-%dT%H:%M:%S%:z"))
    };
    logs.write("a.log", format!("{}{}{}", line(9), line(2), line(0)));
    logs.start();
    logs.write("a.log", "without a date\n");
    let events = logs.take(1);
    assert_eq!(messages(&events)[0], "0 hours ago");
}

#[test]
fn a_storm_is_bounded_and_what_is_left_out_is_counted() {
    let mut logs = Logs::new();
    logs.config.lines_per_s_max = 10;
    logs.config.lines_at_once_max = 50;
    logs.start_with("a.log");
    logs.write("a.log", text(&numbered(0, 100_000)));
    let mut told = None;
    let mut came = 0;
    while told.is_none() {
        for event in logs.next() {
            if let Some(left_out) = event.left_out { told = Some((left_out, event)) } else { came += 1 }
        }
    }
    let (left_out, told) = told.unwrap();
    assert!(told.message.contains("left out") && told.source.ends_with("/a.log"), "{told:?}");
    assert!(told.left_out_from_ms.is_some_and(|from_ms| from_ms <= told.at_ms));
    assert!(came < 2000 && left_out + came >= 90_000, "{came} came, {left_out} were left out");
}
