//! Print jobs that are not completed, and those that ended badly within the last day.

use std::time::Duration;

use data_encoding::HEXLOWER_PERMISSIVE;
use deskside_proto::rows::Row;
use deskside_proto::v1::PrintJob;
use ipp::model::{DelimiterTag, Operation};
use ipp::value::IppValue;

use crate::collect::printing::cups::{self, Described};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const PRINT_JOBS: Collector =
    Collector { table: PrintJob::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(1)), look };

const ASKED: &[&str] = &[
    "document-format",
    "document-format-supplied",
    "job-id",
    "job-impressions-completed",
    "job-k-octets",
    "job-media-sheets-completed",
    "job-name",
    "job-originating-user-name",
    "job-printer-state-message",
    "job-printer-uri",
    "job-state",
    "job-state-reasons",
    "time-at-completed",
    "time-at-creation",
    "time-at-processing",
];

/// The jobs that are asked for (CUPS's values of `which-jobs`), and the most of each.
const WHICH: [(&str, usize); 3] = [("not-completed", 500), ("aborted", 100), ("canceled", 100)];

/// How long a job that ended badly is still told of.
const BAD_END_TOLD: Duration = Duration::from_hours(24);

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let since_ms = host.now_ms() - i64::try_from(BAD_END_TOLD.as_millis())?;
    let mut rows = Rows::none();
    for (which, most) in WHICH {
        let details = [
            ("printer-uri", cups::uri("ipp://localhost/")?),
            ("which-jobs", cups::keyword(which)?),
            ("limit", IppValue::Integer(i32::try_from(most)?)),
            ("requested-attributes", cups::keywords(ASKED)?),
        ];
        let jobs = cups::ask(host, Operation::GetJobs, DelimiterTag::JobAttributes, &details)?;
        if jobs.len() >= most {
            rows.missing(format!("{which} jobs after the first {most}"));
        }
        jobs.iter().map(row).filter(|job| told(job, since_ms)).for_each(|job| rows.push(&job));
    }
    Ok(rows)
}

/// A job that has not ended is told of; one that has, where that was not long ago.
fn told(job: &PrintJob, since_ms: i64) -> bool {
    job.completed_ms.is_none_or(|ended_ms| ended_ms >= since_ms)
}

fn row(job: &Described) -> PrintJob {
    PrintJob {
        id: job.count("job-id").unwrap_or_default(),
        printer: queue(&job.text("job-printer-uri")),
        state: match job.number("job-state") {
            Some(3) => "pending".into(),
            Some(4) => "pending-held".into(),
            Some(5) => "processing".into(),
            Some(6) => "processing-stopped".into(),
            Some(7) => "canceled".into(),
            Some(8) => "aborted".into(),
            Some(9) => "completed".into(),
            Some(other) => format!("state {other}"),
            None => String::new(),
        },
        state_reasons: job.reasons("job-state-reasons"),
        message: job.text("job-printer-state-message"),
        user: job.text("job-originating-user-name"),
        title: job.text("job-name"),
        size_bytes: u64::from(job.count("job-k-octets").unwrap_or_default()) * 1024,
        created_ms: job.time_ms("time-at-creation"),
        processing_ms: job.time_ms("time-at-processing"),
        completed_ms: job.time_ms("time-at-completed"),
        impressions_completed: job
            .count("job-impressions-completed")
            .or_else(|| job.count("job-media-sheets-completed")),
        document_format: Some(job.text("document-format"))
            .filter(|format| !format.is_empty())
            .unwrap_or_else(|| job.text("document-format-supplied")),
    }
}

/// The queue's name: the last part of its URI, whose odd characters are written as `%` and two hex digits (RFC 3986, 2.1).
fn queue(uri: &str) -> String {
    let mut rest = uri.rsplit('/').next().unwrap_or_default().as_bytes();
    let mut name = Vec::with_capacity(rest.len());
    while let Some((first, after)) = rest.split_first() {
        let digits = (*first == b'%').then(|| after.split_at_checked(2)).flatten();
        let byte = digits.and_then(|(digits, left)| Some((HEXLOWER_PERMISSIVE.decode(digits).ok()?, left)));
        let (bytes, left) = byte.unwrap_or_else(|| (vec![*first], after));
        name.extend(bytes);
        rest = left;
    }
    String::from_utf8_lossy(&name).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_named_as_people_named_it() {
        assert_eq!(queue("ipp://localhost/printers/front-office"), "front-office");
        assert_eq!(queue("ipp://localhost/printers/B%C3%BCro%5f1"), "Büro_1");
        assert_eq!(queue("ipp://localhost/printers/100%"), "100%");
        assert_eq!(queue("ipp://localhost/printers/%zz%c"), "%zz%c");
        assert_eq!(queue(""), "");
    }
}
