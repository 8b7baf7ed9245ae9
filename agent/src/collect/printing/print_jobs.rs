//! Print jobs that are not completed, those that ended badly within the last day, and the latest that ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::PrintJob;
use ipp::model::{DelimiterTag, Operation};
use ipp::value::IppValue;

use crate::collect::printing::cups::{self, Described};
use crate::collect::printing::{CHANGES, EVERY};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const PRINT_JOBS: Collector =
    Collector { table: PrintJob::TABLE, systems: &[Os::Linux], cadence: Cadence::EveryAndOn(EVERY, CHANGES), look };

const ASKED: &[&str] = &[
    "copies",
    "document-format",
    "document-format-supplied",
    "job-hold-until",
    "job-id",
    "job-impressions",
    "job-impressions-completed",
    "job-k-octets",
    "job-media-sheets-completed",
    "job-name",
    "job-originating-host-name",
    "job-originating-user-name",
    "job-printer-state-message",
    "job-printer-state-reasons",
    "job-printer-uri",
    "job-priority",
    "job-state",
    "job-state-reasons",
    "number-of-documents",
    "time-at-completed",
    "time-at-creation",
    "time-at-processing",
];

/// Which jobs are asked for.
struct Wanted {
    /// CUPS's value of `which-jobs`. It lists ended jobs latest first.
    which: &'static str,
    most: usize,
    /// Whether those beyond the most would be missed: the table promises them.
    promised: bool,
}

const WANTED: [Wanted; 4] = [
    Wanted { which: "not-completed", most: 500, promised: true },
    Wanted { which: "aborted", most: 100, promised: true },
    Wanted { which: "canceled", most: 50, promised: true },
    Wanted { which: "completed", most: LATEST, promised: false },
];

/// How many of the latest ended jobs are told of, well or badly ended.
const LATEST: usize = 20;

/// How long a job that ended badly is still told of.
const BAD_END_TOLD: Duration = Duration::from_hours(24);

/// `job-state` of a job that was completed.
const COMPLETED: i32 = 9;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let since_ms = host.now_ms() - i64::try_from(BAD_END_TOLD.as_millis())?;
    let mut rows = Rows::none();
    let mut told = BTreeSet::new();
    let mut confirming = None;
    for Wanted { which, most, promised } in WANTED {
        let jobs = ask(host, which, most)?;
        let lately = |job: &&Described| which == "completed" || lately(job, since_ms);
        let left_out = jobs.len() >= most && jobs.last().is_some_and(|last| lately(&last));
        if promised && left_out {
            rows.missing(format!("{which} jobs after the first {most}"));
        }
        for job in jobs.iter().filter(lately) {
            if !told.insert(job.count("job-id")) {
                continue;
            }
            let mut row = row(job);
            if job.number("job-state") == Some(COMPLETED) {
                if confirming.is_none() {
                    confirming = Some(confirming_queues(host)?);
                }
                row.confirmed = confirming.as_ref().and_then(|queues| queues.get(&row.printer)).copied();
            }
            rows.push(&row);
        }
    }
    Ok(rows)
}

fn ask(host: &dyn Host, which: &str, most: usize) -> anyhow::Result<Vec<Described>> {
    let details = [
        ("printer-uri", cups::uri("ipp://localhost/")?),
        ("which-jobs", cups::keyword(which)?),
        ("limit", IppValue::Integer(i32::try_from(most)?)),
        ("requested-attributes", cups::keywords(ASKED)?),
    ];
    cups::ask(host, Operation::GetJobs, DelimiterTag::JobAttributes, &details)
}

/// Queues whose backend waits until the printer itself says that the job has ended (CUPS's ipp backend, `waitjob`).
fn confirming_queues(host: &dyn Host) -> anyhow::Result<BTreeMap<String, bool>> {
    let details = [
        ("requested-attributes", cups::keywords(&["device-uri", "printer-name"])?),
        ("limit", IppValue::Integer(i32::try_from(cups::OBJECTS_MAX)?)),
    ];
    let queues = cups::ask(host, Operation::CupsGetPrinters, DelimiterTag::PrinterAttributes, &details)?;
    let confirming = queues.iter().filter(|queue| confirms(&queue.text("device-uri")));
    Ok(confirming.map(|queue| (queue.text("printer-name"), true)).collect())
}

fn confirms(device_uri: &str) -> bool {
    let ipp = device_uri.starts_with("ipp://") || device_uri.starts_with("ipps://");
    let impatient = ["waitjob=false", "waitjob=no", "waitjob=off"].iter().any(|option| device_uri.contains(option));
    ipp && !impatient
}

/// A job that has not ended is told of; one that has, where that was not long ago.
fn lately(job: &Described, since_ms: i64) -> bool {
    job.time_ms("time-at-completed").is_none_or(|ended_ms| ended_ms >= since_ms)
}

fn row(job: &Described) -> PrintJob {
    let sheets_completed = job.count("job-media-sheets-completed");
    PrintJob {
        id: job.count("job-id").unwrap_or_default(),
        printer: cups::queue_of(&job.text("job-printer-uri")),
        state: state(job.number("job-state")),
        state_reasons: job.reasons("job-state-reasons"),
        message: job.text("job-printer-state-message"),
        user: job.text("job-originating-user-name"),
        title: job.text("job-name"),
        size_bytes: u64::from(job.count("job-k-octets").unwrap_or_default()) * 1024,
        created_ms: job.time_ms("time-at-creation"),
        processing_ms: job.time_ms("time-at-processing"),
        completed_ms: job.time_ms("time-at-completed"),
        impressions_completed: job.count("job-impressions-completed").or(sheets_completed),
        document_format: Some(job.text("document-format"))
            .filter(|format| !format.is_empty())
            .unwrap_or_else(|| job.text("document-format-supplied")),
        priority: job.count("job-priority"),
        hold_until: job.text("job-hold-until"),
        copies: job.count("copies"),
        host: job.text("job-originating-host-name"),
        printer_reasons: job.reasons("job-printer-state-reasons"),
        impressions: job.count("job-impressions"),
        sheets_completed,
        documents: job.count("number-of-documents"),
        confirmed: None,
    }
}

fn state(state: Option<i32>) -> String {
    match state {
        Some(3) => "pending".into(),
        Some(4) => "pending-held".into(),
        Some(5) => "processing".into(),
        Some(6) => "processing-stopped".into(),
        Some(7) => "canceled".into(),
        Some(8) => "aborted".into(),
        Some(COMPLETED) => "completed".into(),
        Some(other) => format!("state {other}"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_printer_that_speaks_ipp_confirms_a_job() {
        assert!(confirms("ipp://printer.example/ipp/print") && confirms("ipps://printer.example:443/ipp/print"));
        assert!(!confirms("ipp://printer.example/ipp/print?waitjob=false"));
        assert!(!confirms("socket://192.0.2.9:9100") && !confirms("file:///dev/null") && !confirms(""));
    }
}
