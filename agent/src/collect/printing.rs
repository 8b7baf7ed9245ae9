//! Collectors of the printing family: queues, what stands in them, and the print server behind them.

use std::time::Duration;

mod backlog;
mod cups;
pub(super) mod print_jobs;
pub(super) mod printers;
mod reasons;

/// Between two looks at queues and jobs.
const EVERY: Duration = Duration::from_secs(30);

/// What changes when a queue or a job does: cupsd's log of actions, its error log and its configuration. Why not the spool: only the print
/// server's own group may look into it.
const CHANGES: &[&str] = &["/var/log/cups", "/etc/cups"];
