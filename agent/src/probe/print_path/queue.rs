//! The first steps, which the print server tells: the queue, the print server itself, and what turns documents into the printer's language.

use deskside_proto::rows::Row;
use deskside_proto::v1::{Outcome as Went, PrintDriver, Printer, Reading};
use prost::Message;

use super::{Outcome, Said, not_done};
use crate::collect::printing::condition;
use crate::host::Host;
use crate::probe::Unrun;
use crate::probe::now::look;

/// Names of queues that a refusal lists.
const NAMES_MAX: usize = 20;

/// What the print server said of its queues.
pub(super) struct Known {
    queues: Vec<Printer>,
    reading: Reading,
    pub(super) took_ms: u32,
}

impl Known {
    /// Asks it.
    pub(super) fn ask(host: &dyn Host) -> Self {
        let reading = look(host, Printer::TABLE).unwrap_or_else(|error| Reading {
            outcome: Went::Failed.into(),
            reason: format!("{error:#}"),
            ..Reading::default()
        });
        let queues = reading.rows.iter().filter_map(|row| Printer::decode(row.clone()).ok()).collect();
        let took_ms = reading.took_ms;
        Self { queues, reading, took_ms }
    }

    /// Whether the print server answered.
    pub(super) fn answers(&self) -> bool {
        matches!(self.reading.outcome(), Went::Ok | Went::Empty | Went::Partial)
    }

    /// The queue of this name. Of a print server that does not answer, that alone is known.
    pub(super) fn named(&self, name: &str) -> Result<Printer, Unrun> {
        if let Some(queue) = self.queues.iter().find(|queue| queue.name.eq_ignore_ascii_case(name)) {
            return Ok(queue.clone());
        }
        if !self.answers() {
            return Ok(Printer { name: name.to_owned(), ..Printer::default() });
        }
        let names: Vec<&str> = self.queues.iter().take(NAMES_MAX).map(|queue| queue.name.as_str()).collect();
        let more = if self.queues.len() > names.len() { " and more" } else { "" };
        Err(Unrun::Refused(match names.as_slice() {
            [] => format!("there is no queue {name:?}; this machine has none at all"),
            names => format!("there is no queue {name:?}; there are {}{more}", names.join(", ")),
        }))
    }

    /// Every queue that is not well or has jobs waiting, the worst first; else the default queue, else the first.
    pub(super) fn chosen(&self, most: usize) -> anyhow::Result<Vec<Printer>> {
        if !self.answers() {
            let kind = match self.reading.outcome() {
                Went::Unsupported => std::io::ErrorKind::NotFound,
                Went::Denied => std::io::ErrorKind::PermissionDenied,
                Went::TimedOut => std::io::ErrorKind::TimedOut,
                _ => std::io::ErrorKind::Other,
            };
            return Err(std::io::Error::new(kind, self.reading.reason.clone()).into());
        }
        let mut amiss: Vec<&Printer> = self.queues.iter().filter(|queue| is_amiss(queue)).collect();
        amiss.sort_by_key(|queue| (queue.state != "stopped", queue.queued_jobs == 0));
        if amiss.is_empty() {
            let default = self.queues.iter().find(|queue| queue.is_default);
            amiss.extend(default.or(self.queues.first()));
        }
        Ok(amiss.into_iter().take(most).cloned().collect())
    }

    /// Whether the queue would print.
    pub(super) fn queue(&self, queue: &Printer) -> Said {
        if !self.answers() {
            return not_done("the print server does not answer");
        }
        let jobs = match queue.queued_jobs {
            0 => "no job waits".to_owned(),
            1 => "1 job waits".to_owned(),
            more => format!("{more} jobs wait"),
        };
        let message = quoted(&queue.state_message);
        match queue.state.as_str() {
            "stopped" if queue.paused_by == "person" => (Outcome::Failed, format!("paused by a person; {jobs}")),
            "stopped" => (Outcome::Failed, format!("stopped{message}; {jobs}")),
            _ if !queue.accepting_jobs => (Outcome::Failed, format!("takes no new jobs{message}; {jobs}")),
            state => (Outcome::Ok, format!("{state}{message}, takes jobs; {jobs}")),
        }
    }

    /// Whether the print server answers.
    pub(super) fn scheduler(&self, host: &dyn Host) -> Said {
        if !self.answers() {
            return (Outcome::Failed, self.reading.reason.clone());
        }
        let version =
            condition::print_server_version(host).map(|version| format!(": CUPS {version}")).unwrap_or_default();
        let queues = match self.queues.len() {
            1 => "1 queue".to_owned(),
            many => format!("{many} queues"),
        };
        (Outcome::Ok, format!("answers{version}, {queues}"))
    }

    /// What turns documents into the printer's language, as far as the print server tells.
    pub(super) fn filters(&self, host: &dyn Host, queue: &Printer) -> Said {
        if !self.answers() {
            return not_done("the print server does not answer");
        }
        let of_filters =
            |reason: &&String| reason.starts_with("cups-missing-filter") || reason.starts_with("cups-insecure-filter");
        if let Some(reason) = queue.state_reasons.iter().find(of_filters) {
            let what = if reason.starts_with("cups-missing") { "is missing" } else { "is refused as insecure" };
            return (Outcome::Failed, format!("a filter of its driver {what}{}", quoted(&queue.state_message)));
        }
        match queue.driver.as_str() {
            _ if queue.is_class => return not_done("a class has no driver of its own"),
            "raw" => return (Outcome::Ok, "raw: documents are passed on as they are".into()),
            _ if queue.is_remote => return (Outcome::Ok, "the print server of the queue has the driver".into()),
            _ => {}
        }
        match condition::driver(host, &queue.name) {
            Ok(driver) => of_driver(&driver),
            Err(error) => {
                (Outcome::Ok, format!("the print server misses none; its driver could not be read ({error:#})"))
            }
        }
    }
}

/// Whether the programs that a driver needs are there.
fn of_driver(driver: &PrintDriver) -> Said {
    if !driver.missing_filters.is_empty() {
        return (Outcome::Failed, format!("a filter of its driver is missing: {}", driver.missing_filters.join(", ")));
    }
    if !driver.problem.is_empty() {
        return (Outcome::Unknown, format!("{}: not seen: {}", driver.nickname, driver.problem));
    }
    let kind = if driver.kind == "driverless" { "driverless" } else { driver.nickname.as_str() };
    match driver.filters.as_slice() {
        [] => (Outcome::Ok, format!("{kind}: needs no filter of its own")),
        filters => (Outcome::Ok, format!("{kind}: its filters are there ({})", filters.join(", "))),
    }
}

fn is_amiss(queue: &Printer) -> bool {
    let troubled = matches!(queue.severity.as_str(), "error" | "warning");
    queue.state == "stopped" || !queue.accepting_jobs || queue.queued_jobs > 0 || troubled
}

fn quoted(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(" (\"{message}\")") }
}
