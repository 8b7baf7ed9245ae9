//! What programs wrote down: the journal and log files, followed as they grow, and a look at the latest.

use std::collections::BTreeMap;

use deskside_proto::rows::Row;
use deskside_proto::v1::LogEvent;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::collect::{Cadence, Collector, Os};

mod batch;
mod entry;
pub mod error_signatures;
mod file;
mod follow;
mod journal;
mod journal_file;
#[cfg(test)]
mod journal_tests;
mod lines;
mod look;
#[cfg(test)]
mod tests;
pub(in crate::collect) mod text;

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
    /// Log files; `*` stands for any part of a name, in the last part of the path alone.
    pub files: Vec<String>,
    /// Log files that are followed only where there is no journal, since they repeat it.
    pub files_without_journal: Vec<String>,
    /// Lines a second that each log may give for long; more are counted and left out.
    pub lines_per_s_max: u32,
    /// Lines that may come at once before that.
    pub lines_at_once_max: u32,
    /// How far back the very first start reads, in minutes.
    pub first_minutes: u32,
}

impl Default for Config {
    fn default() -> Self {
        let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        Self {
            journals: owned(&["/var/log/journal", "/run/log/journal"]),
            files: owned(&["/var/log/cups/error_log", "/var/log/dpkg.log"]),
            files_without_journal: owned(&[
                "/var/log/syslog",
                "/var/log/messages",
                "/var/log/kern.log",
                "/var/log/auth.log",
            ]),
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
    /// Where in it; only the follower reads this.
    pub at: String,
}

/// Events of one log in order, and where it is read to once they are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Lines {
    /// The events.
    pub events: Vec<LogEvent>,
    /// Read to here; absent for what the follower itself has to say.
    pub position: Option<Position>,
}

/// Follows the logs on a thread of its own until it is dropped or nobody takes its lines.
#[derive(Debug)]
pub struct Follower {
    waker: follow::Waker,
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
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.waker.stop();
    }
}
