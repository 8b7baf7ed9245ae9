//! Collectors of the printing family: queues, what stands in them, the print server behind them, and the printers themselves.

use std::time::Duration;

mod announced;
mod backlog;
pub(crate) mod condition;
mod conversation;
mod cups;
mod device;
mod error_log;
mod ppd;
pub(super) mod print_alerts;
pub(super) mod print_counters;
pub(super) mod print_devices;
pub(super) mod print_drivers;
pub(super) mod print_errors;
pub(super) mod print_jobs;
pub(super) mod print_server;
pub(super) mod print_supplies;
pub(super) mod print_trays;
mod printer_mib;
pub(super) mod printers;
mod reasons;
mod settings;

/// Between two looks at queues and jobs.
const EVERY: Duration = Duration::from_secs(30);

/// What changes when a queue or a job does: cupsd's log of actions, its error log and its configuration. Why not the spool: only the print
/// server's own group may look into it.
const CHANGES: &[&str] = &["/var/log/cups", "/etc/cups"];
