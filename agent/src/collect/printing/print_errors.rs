//! What the print server wrote into its error log within a day, like entries together.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::PrintError;
use ipp::model::{DelimiterTag, Operation};
use ipp::value::IppValue;

use crate::collect::journalctl;
use crate::collect::printing::cups;
use crate::collect::printing::error_log::{self, Line};
use crate::collect::printing::settings::Settings;
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const PRINT_ERRORS: Collector = Collector {
    table: PrintError::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_mins(5)),
    look,
};

/// How far back is told.
const WINDOW: Duration = Duration::from_hours(24);

/// Most bytes read from the end of a log.
const TAIL_BYTES_MAX: usize = 1024 * 1024;

/// Most different entries that are told, latest first.
const ENTRIES_MAX: usize = 100;

/// Most different entries that are counted at all.
const COUNTED_MAX: usize = 2_000;

/// Longest example, in characters.
const EXAMPLE_CHARS_MAX: usize = 300;

/// Most jobs whose queue is asked for.
const JOBS_MAX: i32 = 500;

/// Question to the journal, where the log goes there.
const JOURNAL: [&str; 6] =
    ["--identifier=cupsd", "--since=-24h", "--lines=2000", "--output=json", "--no-pager", "--quiet"];

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let settings = Settings::of(host);
    let since_ms = host.now_ms() - i64::try_from(WINDOW.as_millis())?;
    let mut folded = Folded::new(since_ms);
    match settings.error_log() {
        "syslog" | "stderr" => from_journal(host, &mut folded)?,
        "" => {
            return Ok(Rows::unsupported("the print server keeps no error log (ErrorLog in cups-files.conf is empty)"));
        }
        path => from_file(host, path, &mut folded)?,
    }
    if folded.entries.keys().any(|key| key.queue.is_empty()) && !folded.jobs_unknown().is_empty() {
        // Why an error is let pass: the log is worth having while the server itself does not answer.
        folded.name_queues(&queues_of_jobs(host).unwrap_or_default());
    }
    Ok(folded.rows())
}

/// The file's end, and before it the end of the file that it took the place of.
fn from_file(host: &dyn Host, path: &str, folded: &mut Folded) -> anyhow::Result<()> {
    let bytes = match host.tail(path, TAIL_BYTES_MAX) {
        // A log that nothing was written to yet is not there; its folder tells whether CUPS is.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let folder = path.rsplit_once('/').map_or("/", |(folder, _name)| folder);
            host.list(folder).with_context(|| format!("{folder} holds no log of CUPS; install cups"))?;
            Vec::new()
        }
        bytes => bytes.with_context(|| format!("reading {path}; the agent's user needs its group (adm or lp)"))?,
    };
    let text = String::from_utf8_lossy(&bytes);
    let oldest_ms = text.lines().find_map(error_log::parse).map(|line| line.at_ms);
    let cut = bytes.len() >= TAIL_BYTES_MAX;
    if oldest_ms.is_none_or(|oldest_ms| oldest_ms > folded.since_ms) && !cut {
        let before = [format!("{path}.1"), format!("{path}.O")];
        if let Some(bytes) = before.iter().find_map(|path| host.tail(path, TAIL_BYTES_MAX).ok()) {
            String::from_utf8_lossy(&bytes).lines().for_each(|line| folded.add_line(line));
        }
    }
    text.lines().for_each(|line| folded.add_line(line));
    if cut && oldest_ms.is_none_or(|oldest_ms| oldest_ms > folded.since_ms) {
        folded.missing = Some(format!("entries before the last {TAIL_BYTES_MAX} bytes of {path}"));
    }
    Ok(())
}

fn from_journal(host: &dyn Host, folded: &mut Folded) -> anyhow::Result<()> {
    let entries = journalctl::entries(host, &JOURNAL)?;
    let none = || io::Error::new(ErrorKind::NotFound, "CUPS logs to the system's log, and there is no journal to read");
    for entry in entries.ok_or_else(none)? {
        let level = match entry.field("PRIORITY").parse() {
            Ok(0_u8) => 'X',
            Ok(1) => 'A',
            Ok(2) => 'C',
            Ok(3) => 'E',
            Ok(4) => 'W',
            Ok(5 | 6) => 'I',
            _ => 'D',
        };
        let message = entry.field("MESSAGE");
        let (job, text) = error_log::of_a_job(&message);
        folded.add(&Line { level, at_ms: entry.at_ms, job, text });
    }
    Ok(())
}

/// The queue of each job that the server still lists.
fn queues_of_jobs(host: &dyn Host) -> anyhow::Result<BTreeMap<u32, String>> {
    let mut queues = BTreeMap::new();
    for which in ["not-completed", "completed"] {
        let details = [
            ("printer-uri", cups::uri("ipp://localhost/")?),
            ("which-jobs", cups::keyword(which)?),
            ("limit", IppValue::Integer(JOBS_MAX)),
            ("requested-attributes", cups::keywords(&["job-id", "job-printer-uri"])?),
        ];
        for job in cups::ask(host, Operation::GetJobs, DelimiterTag::JobAttributes, &details)? {
            queues.extend(job.count("job-id").map(|id| (id, cups::queue_of(&job.text("job-printer-uri")))));
        }
    }
    Ok(queues)
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    queue: String,
    program: String,
    signature: String,
    /// The job, while its queue is not known.
    job: Option<u32>,
}

/// Like entries, counted.
#[derive(Debug)]
struct Folded {
    since_ms: i64,
    /// By job, as the log itself tells.
    queues: BTreeMap<u32, String>,
    backends: BTreeMap<u32, String>,
    entries: BTreeMap<Key, PrintError>,
    missing: Option<String>,
}

impl Folded {
    fn new(since_ms: i64) -> Self {
        let (queues, backends, entries) = <_>::default();
        Self { since_ms, queues, backends, entries, missing: None }
    }

    fn add_line(&mut self, line: &str) {
        if let Some(line) = error_log::parse(line) {
            self.add(&line);
        }
    }

    fn add(&mut self, line: &Line<'_>) {
        if line.at_ms < self.since_ms {
            return;
        }
        if let Some(job) = line.job {
            self.learn(job, line.text);
        }
        if !error_log::is_failure(line) {
            return;
        }
        let queue = error_log::queue(line.text).map(str::to_owned);
        let queue = queue.or_else(|| self.queues.get(&line.job?).cloned()).unwrap_or_default();
        let program = error_log::program(line.text).map(str::to_owned).or_else(|| self.backend(line));
        let job = line.job.filter(|_job| queue.is_empty());
        let key = Key { queue, program: program.unwrap_or_default(), signature: error_log::signature(line.text), job };
        if self.entries.len() >= COUNTED_MAX && !self.entries.contains_key(&key) {
            self.missing.get_or_insert_with(|| format!("entries after the first {COUNTED_MAX} different ones"));
            return;
        }
        let entry = self.entries.entry(key).or_insert_with(|| PrintError {
            level: error_log::level_name(line.level).into(),
            first_ms: Some(line.at_ms),
            ..PrintError::default()
        });
        entry.count += 1;
        entry.last_ms = Some(line.at_ms);
        entry.job = line.job;
        entry.example = line.text.chars().take(EXAMPLE_CHARS_MAX).collect();
    }

    /// What entries of lower levels tell of a job.
    fn learn(&mut self, job: u32, text: &str) {
        if let Some(queue) = error_log::queue(text) {
            self.queues.insert(job, queue.to_owned());
        }
        if let Some(backend) = text.strip_prefix("Started backend ").and_then(|_path| error_log::program(text)) {
            self.backends.insert(job, backend.to_owned());
        }
    }

    /// `Backend returned status 1 (failed)` does not say which.
    fn backend(&self, line: &Line<'_>) -> Option<String> {
        let backend = line.text.starts_with("Backend ");
        backend.then(|| self.backends.get(&line.job?).cloned().or_else(|| Some("backend".into()))).flatten()
    }

    fn jobs_unknown(&self) -> Vec<u32> {
        self.entries.keys().filter_map(|key| key.job).collect()
    }

    fn name_queues(&mut self, queues: &BTreeMap<u32, String>) {
        for (mut key, entry) in std::mem::take(&mut self.entries) {
            if let Some(queue) = key.job.and_then(|job| queues.get(&job)) {
                key.queue.clone_from(queue);
            }
            key.job = None;
            self.join(key, entry);
        }
    }

    fn join(&mut self, key: Key, entry: PrintError) {
        match self.entries.get_mut(&key) {
            Some(known) => {
                let count = known.count.saturating_add(entry.count);
                let first_ms = known.first_ms.min(entry.first_ms);
                if entry.last_ms >= known.last_ms {
                    *known = entry;
                }
                (known.count, known.first_ms) = (count, first_ms);
            }
            None => {
                self.entries.insert(key, entry);
            }
        }
    }

    fn rows(mut self) -> Rows {
        self.name_queues(&BTreeMap::new());
        let mut entries: Vec<PrintError> = self
            .entries
            .into_iter()
            .map(|(key, entry)| PrintError {
                queue: key.queue,
                program: key.program,
                signature: key.signature,
                ..entry
            })
            .collect();
        let all = entries.len();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.last_ms));
        entries.truncate(ENTRIES_MAX);
        // Why sorted again: a set that did not change is to look the same.
        entries.sort_by(|one, other| {
            (&one.queue, &one.program, &one.signature).cmp(&(&other.queue, &other.program, &other.signature))
        });
        let mut rows: Rows = entries.into_iter().collect();
        if all > ENTRIES_MAX {
            rows.missing(format!("{} older entries", all - ENTRIES_MAX));
        }
        if let Some(missing) = self.missing {
            rows.missing(missing);
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
I [22/Nov/2026:04:06:10 +0000] [Job 7] Queued on \"front\" by \"anna\".
I [22/Nov/2026:04:06:10 +0000] [Job 7] Started backend /usr/lib/cups/backend/socket (PID 70)
W [22/Nov/2026:04:06:14 +0000] [Job 7] Backend returned status 1 (failed)
W [22/Nov/2026:04:06:44 +0000] [Job 7] Backend returned status 1 (failed)
D [22/Nov/2026:04:07:00 +0000] [Job 8] PID 196 (/usr/lib/cups/filter/gs) crashed on signal 11.
D [22/Nov/2026:04:07:30 +0000] [Job 9] PID 197 (/usr/lib/cups/filter/gs) crashed on signal 6.
E [20/Nov/2026:04:06:44 +0000] too old
not a line
";

    fn folded() -> Folded {
        let mut folded = Folded::new(1_795_300_000_000);
        LOG.lines().for_each(|line| folded.add_line(line));
        folded
    }

    #[test]
    fn like_entries_of_a_queue_are_counted_together() {
        let mut folded = folded();
        folded.name_queues(&BTreeMap::from([(8, "hall".to_owned()), (9, "hall".to_owned())]));
        let told: Vec<_> = folded
            .entries
            .iter()
            .map(|(key, entry)| (key.queue.as_str(), key.program.as_str(), entry.count, entry.job))
            .collect();
        assert_eq!(told, [("front", "socket", 2, Some(7)), ("hall", "gs", 2, Some(9))]);
        let last: Vec<_> = folded.entries.values().map(|entry| (entry.first_ms, entry.last_ms)).collect();
        assert_eq!(last[0], (Some(1_795_320_374_000), Some(1_795_320_404_000)));
    }

    #[test]
    fn a_job_that_nobody_knows_has_no_queue() {
        let rows = format!("{:?}", folded().rows());
        assert!(!rows.contains("missing: [\""), "{rows}");
        let mut folded = folded();
        assert_eq!(folded.jobs_unknown(), [8, 9]);
        folded.name_queues(&BTreeMap::new());
        assert_eq!(folded.entries.len(), 2, "the two crashes are one entry without a queue");
    }

    #[test]
    fn a_log_cut_anywhere_is_read_as_far_as_it_goes() {
        for cut in (0..LOG.len()).filter(|cut| LOG.is_char_boundary(*cut)) {
            let mut folded = Folded::new(0);
            LOG[cut..].lines().for_each(|line| folded.add_line(line));
            drop(folded.rows());
        }
    }

    #[test]
    fn a_flood_of_different_entries_is_bounded_and_told() {
        let mut folded = Folded::new(0);
        for number in 0..COUNTED_MAX + 10 {
            let word = format!("{number}").bytes().map(|digit| char::from(digit + 49)).collect::<String>();
            let text = format!("trouble {word}");
            folded.add(&Line { level: 'E', at_ms: number as i64, job: None, text: &text });
        }
        assert_eq!(folded.entries.len(), COUNTED_MAX);
        let rows = format!("{:?}", folded.rows());
        assert!(rows.contains("older entries") && rows.contains("different ones"), "{}", &rows[rows.len() - 200..]);
    }
}
