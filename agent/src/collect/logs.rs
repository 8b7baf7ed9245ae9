//! What programs wrote down: the journal and log files, followed as they grow, and a look at the latest.

use std::collections::BTreeMap;

use deskside_proto::rows::Row;
use deskside_proto::v1::LogEvent;
use prost::Message;
use prost::bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

pub use lines::Entries;

use crate::collect::{Cadence, Collector, Os};

mod batch;
mod entry;
pub mod error_signatures;
mod file;
mod follow;
mod followed;
mod journal;
mod journal_file;
#[cfg(test)]
mod journal_tests;
mod kernel_ring;
mod lines;
mod look;
mod origin;
mod patterns;
mod permitted;
mod rotated;
#[cfg(test)]
mod rotation_tests;
#[cfg(test)]
mod tests;
mod trace;
mod unfold;
mod watch;

/// Longest text of one event; what is longer is cut and marked with its real size.
pub const LINE_BYTES_MAX: usize = 16 * 1024;

/// Most events of one batch.
pub const BATCH_EVENTS_MAX: usize = 256;

/// Most bytes of text in one batch. Why: a batch becomes one reading, and a reading has a bound.
pub const BATCH_BYTES_MAX: usize = 128 * 1024;

/// The source of what the follower itself has to say: lines left out, journals that cannot be read.
pub const OWN_SOURCE: &str = "deskside";

pub(in crate::collect) const LOG_EVENTS: Collector =
    Collector { table: LogEvent::TABLE, systems: &[Os::Linux], cadence: Cadence::Followed, look: look::look };

/// Which logs are followed, and how much of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folders of journals. What journald keeps under a machine's own id is found below them.
    pub journals: Vec<String>,
    /// Log files; `*` stands for any part of a name, of folders too, and for no slash.
    pub files: Vec<String>,
    /// Log files that are followed only where there is no journal, since they repeat it.
    pub files_without_journal: Vec<String>,
    /// The kernel's own buffer, followed only where there is neither a journal nor any of those files; empty for never.
    pub kernel_ring: String,
    /// Whether what the kernel's audit writes is followed, in the journal and in its own file. Why not by itself: it names who did what.
    pub audit: bool,
    /// Logs of which more is to be said than their names; they are followed too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// What the server's policy may never have followed: files, and folders with all that is below them; `*` stands for any part of a name.
    pub forbidden: Vec<String>,
    /// What the policy in force names when following begins. No setting: it is the server's word.
    #[serde(skip)]
    pub named: Vec<Source>,
    /// Lines a second that each log may give for long; more are counted and left out.
    pub lines_per_s_max: u32,
    /// Lines that may come at once before that.
    pub lines_at_once_max: u32,
    /// How far back the very first start reads, in minutes.
    pub first_minutes: u32,
}

/// Logs that have settings of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// Which files; `*` stands for any part of a name.
    pub files: Vec<String>,
    /// How lines make entries.
    pub entries: Entries,
    /// The time zone of times that name none, as the zone database calls it; the machine's own where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Lines a second, where it is not as for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines_per_s_max: Option<u32>,
    /// Lines at once, where it is not as for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines_at_once_max: Option<u32>,
}

impl Default for Config {
    fn default() -> Self {
        let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        Self {
            journals: owned(&["/var/log/journal", "/run/log/journal"]),
            files: owned(&[
                "/var/log/cups/error_log",
                "/var/log/cups/access_log",
                "/var/log/cups/page_log",
                "/var/log/dpkg.log",
                "/var/log/Xorg.*.log",
            ]),
            files_without_journal: owned(&[
                "/var/log/syslog",
                "/var/log/messages",
                "/var/log/kern.log",
                "/var/log/auth.log",
            ]),
            kernel_ring: "/dev/kmsg".into(),
            audit: false,
            sources: Vec::new(),
            // Why the people's own folders: what they write there is theirs. The others hold secrets, or are no logs.
            forbidden: owned(&["/home", "/root", "/etc", "/proc", "/sys", "/dev", "/run", "/boot"]),
            named: Vec::new(),
            lines_per_s_max: 200,
            lines_at_once_max: 5_000,
            first_minutes: 60,
        }
    }
}

/// How far a log has been read. The record keeps it in the same transaction as the events that it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which log: "journal", or a file's path.
    pub source: String,
    /// Where in it; only the follower reads this. Empty where the log is gone for good.
    pub at: String,
}

/// An event as the row that is kept of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sealed {
    /// syslog priority.
    pub priority: Option<u32>,
    /// The row of `log_events`.
    pub row: Bytes,
}

impl From<&LogEvent> for Sealed {
    fn from(event: &LogEvent) -> Self {
        Self { priority: event.priority, row: event.encode_to_vec().into() }
    }
}

/// Events of one log in order, and where it is read to once they are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Lines {
    /// The events.
    pub events: Vec<Sealed>,
    /// Read to here, by log.
    pub positions: Vec<Position>,
}

/// Follows the logs on a thread of its own until it is dropped or nobody takes its lines.
#[derive(Debug)]
pub struct Follower {
    waker: watch::Waker,
}

impl Follower {
    /// Starts from the positions that were kept. A full `sink` holds the follower back, and with it only its own reading.
    pub fn start(
        config: Config,
        positions: BTreeMap<String, String>,
        sink: mpsc::Sender<Lines>,
    ) -> anyhow::Result<Self> {
        Ok(Self { waker: follow::start(config, positions, sink)? })
    }

    /// From now on the server's policy names these, and no others.
    pub fn name(&self, sources: Vec<Source>) {
        self.waker.name(sources);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.waker.stop();
    }
}
