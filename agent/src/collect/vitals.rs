//! What the rooms of the agent say about themselves, for the table `agent`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64};

/// The agent's own state, as its rooms last set it. Each field but the first is the column of the same name.
#[derive(Debug, Default)]
pub struct Vitals {
    /// The service runs in this process; without it the rest means nothing.
    pub serving: AtomicBool,
    /// Size of the record on disk.
    pub record_bytes: AtomicU64,
    /// Readings in the record.
    pub record_readings: AtomicU64,
    /// Readings that the server has not yet kept.
    pub queued: AtomicU64,
    /// Readings dropped by the record's bound, ever.
    pub dropped: AtomicU64,
    /// Looks that did not end within their deadline, since the start.
    pub timed_out: AtomicU64,
    /// A session with the server is open.
    pub connected: AtomicBool,
    /// Sessions that ended, since the start.
    pub reconnects: AtomicU64,
    /// Damaged record files set aside, ever.
    pub set_aside: AtomicU64,
    /// Why the latest policy was refused; empty where it was not.
    pub policy_refused: Mutex<String>,
}

/// The one set of vitals of this process. Why process-wide: there is one agent in a process, and the collector that reports it is a
/// plain function like all others.
pub static VITALS: Vitals = Vitals {
    serving: AtomicBool::new(false),
    record_bytes: AtomicU64::new(0),
    record_readings: AtomicU64::new(0),
    queued: AtomicU64::new(0),
    dropped: AtomicU64::new(0),
    timed_out: AtomicU64::new(0),
    connected: AtomicBool::new(false),
    reconnects: AtomicU64::new(0),
    set_aside: AtomicU64::new(0),
    policy_refused: Mutex::new(String::new()),
};
