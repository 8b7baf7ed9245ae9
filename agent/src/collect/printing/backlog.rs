//! What waits at each queue, and who stopped it: both need the jobs beside the queue.

use std::collections::{BTreeMap, BTreeSet};

use ipp::model::{DelimiterTag, Operation};
use ipp::value::IppValue;

use crate::collect::printing::cups::{self, Described};
use crate::host::Host;

/// Most jobs that are counted.
pub(super) const JOBS_MAX: usize = 500;

/// Most different messages remembered of one queue's jobs.
const MESSAGES_MAX: usize = 20;

const ASKED: &[&str] = &["job-id", "job-printer-state-message", "job-printer-uri", "job-state", "time-at-processing"];

/// How CUPS, its filters and its backends word a failure (lower case). Why words: state and reasons are the same whoever stopped a queue.
const FAILURES: &[&str] = &[
    "the printer ",
    "unable to ",
    "backend ",
    "filter ",
    "error_log",
    "stopped due to",
    "connection ",
    "cannot ",
    "could not ",
    "network host",
    "not responding",
    "unreachable",
];

/// What waits at one queue.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Jobs that wait their turn.
    pub(super) waiting: u32,
    /// Jobs that are held.
    pub(super) held: u32,
    /// A job that waits was begun before.
    tried: bool,
    /// What filters and backends said while they worked on these jobs.
    said: BTreeSet<String>,
}

/// The backlog of each queue that has one, and whether there were more jobs than are counted.
pub(super) fn of_queues(host: &dyn Host) -> anyhow::Result<(BTreeMap<String, Backlog>, bool)> {
    let details = [
        ("printer-uri", cups::uri("ipp://localhost/")?),
        ("which-jobs", cups::keyword("not-completed")?),
        ("limit", IppValue::Integer(i32::try_from(JOBS_MAX)?)),
        ("requested-attributes", cups::keywords(ASKED)?),
    ];
    let jobs = cups::ask(host, Operation::GetJobs, DelimiterTag::JobAttributes, &details)?;
    Ok((count(&jobs), jobs.len() >= JOBS_MAX))
}

fn count(jobs: &[Described]) -> BTreeMap<String, Backlog> {
    let mut queues: BTreeMap<String, Backlog> = BTreeMap::new();
    for job in jobs {
        let backlog = queues.entry(cups::queue_of(&job.text("job-printer-uri"))).or_default();
        match job.number("job-state") {
            Some(3) => {
                backlog.waiting += 1;
                backlog.tried |= job.time_ms("time-at-processing").is_some();
            }
            Some(4) => backlog.held += 1,
            _ => {}
        }
        let said = plain(&job.text("job-printer-state-message"));
        if !said.is_empty() && backlog.said.len() < MESSAGES_MAX {
            backlog.said.insert(said);
        }
    }
    queues
}

/// Who stopped a stopped queue: a person where CUPS wrote its own word for a pause; an error where the message is that of a failed job or worded as
/// CUPS words failures, or where there is none and a job was begun; anything else may be either, since `cupsdisable -r` takes any text.
pub(super) fn paused_by(reasons: &[String], message: &str, backlog: Option<&Backlog>) -> &'static str {
    let message = plain(message);
    let paused = reasons.iter().any(|reason| reason == "paused" || reason == "moving-to-paused");
    match message.as_str() {
        "" if !paused => "never enabled",
        "paused" => "person",
        "" if backlog.is_some_and(|backlog| backlog.tried) => "error",
        message if backlog.is_some_and(|backlog| backlog.said.contains(message)) => "error",
        message if FAILURES.iter().any(|words| message.contains(words)) => "error",
        _ => "unknown",
    }
}

fn plain(message: &str) -> String {
    message.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paused(message: &str, said: &[&str]) -> &'static str {
        let said = said.iter().map(|said| plain(said)).collect();
        let backlog = Backlog { said, ..Backlog::default() };
        paused_by(&["paused".to_owned()], message, Some(&backlog))
    }

    #[test]
    fn a_pause_is_told_apart_by_what_was_said() {
        assert_eq!(paused("Paused", &[]), "person");
        assert_eq!(paused("", &[]), "unknown");
        assert_eq!(paused("The printer is not responding.", &[]), "error");
        assert_eq!(paused("Backend failed", &[]), "error");
        assert_eq!(paused("lamp 7", &["Lamp 7"]), "error");
        assert_eq!(paused("toner change", &["Lamp 7"]), "unknown");
        assert_eq!(paused("Rejecting Jobs", &[]), "unknown");
    }

    #[test]
    fn a_backend_that_fails_without_a_word_is_told_by_the_job_that_it_began() {
        let backlog = Backlog { tried: true, ..Backlog::default() };
        assert_eq!(paused_by(&["paused".to_owned()], "", Some(&backlog)), "error");
        assert_eq!(paused_by(&["paused".to_owned()], "Paused", Some(&backlog)), "person");
    }

    #[test]
    fn a_queue_that_was_never_enabled_has_no_reason_to_stand() {
        assert_eq!(paused_by(&[], "", None), "never enabled");
    }
}
