//! The print server itself: whether it answers, and how it is set up.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::{Outcome, PrintServer};
use ipp::model::{DelimiterTag, Operation};
use ipp::value::IppValue;

use crate::collect::printing::cups::{self, Described};
use crate::collect::printing::settings::Settings;
use crate::collect::{Cadence, Collector, Os, Rows, outcome_of};
use crate::host::Host;

pub(in crate::collect) const PRINT_SERVER: Collector = Collector {
    table: PrintServer::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_mins(15)),
    look,
};

const ASKED: &[&str] = &["cups-version", "server-is-sharing-printers"];

/// Where the scheduler's program lies, folder and name.
const SCHEDULERS: [(&str, &str); 2] = [("/usr/sbin", "cupsd"), ("/usr/libexec/cups", "cupsd")];

/// Most processes that are looked through for cups-browsed.
const PROCESSES_MAX: usize = 4_096;

/// Most programs of one kind that are listed.
const PROGRAMS_MAX: usize = 200;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let answer = ask(host);
    let settings = Settings::of(host);
    let mut server = row(host, &settings);
    match answer {
        Ok(queue) => {
            server.answers = true;
            if let Some(queue) = queue {
                server.version = queue.text("cups-version");
                server.sharing = queue.flag_if_told("server-is-sharing-printers");
            }
        }
        // Why not unsupported: it is here, and nothing can be printed.
        Err(error) if installed(host) || outcome_of(&error) != Outcome::Unsupported => {
            server.problem = format!("{error:#}");
        }
        Err(error) => return Err(error),
    }
    let mut rows = Rows::one(server);
    settings.unread.into_iter().for_each(|unread| rows.missing(unread));
    Ok(rows)
}

/// The first queue, which tells what the server is; absent where it has none.
fn ask(host: &dyn Host) -> anyhow::Result<Option<Described>> {
    let details = [("requested-attributes", cups::keywords(ASKED)?), ("limit", IppValue::Integer(1))];
    let queues = cups::ask(host, Operation::CupsGetPrinters, DelimiterTag::PrinterAttributes, &details)?;
    Ok(queues.into_iter().next())
}

fn installed(host: &dyn Host) -> bool {
    SCHEDULERS.iter().any(|(folder, name)| host.list(folder).is_ok_and(|names| names.iter().any(|found| found == name)))
}

fn row(host: &dyn Host, settings: &Settings) -> PrintServer {
    let text = |name: &str| settings.get(name).unwrap_or_default().to_owned();
    let programs = settings.programs(host);
    let listed = |kind: &str| {
        let mut names = host.list(&format!("{programs}/{kind}")).unwrap_or_default();
        names.truncate(PROGRAMS_MAX);
        names
    };
    let ports = settings.all("Port").map(|port| format!("*:{port}"));
    let space = host.space(settings.spool()).ok();
    PrintServer {
        listen: settings.all("Listen").map(str::to_owned).chain(ports).collect(),
        browsing: settings.flag("Browsing"),
        log_level: text("LogLevel"),
        error_policy: text("ErrorPolicy"),
        default_policy: text("DefaultPolicy"),
        policies: settings.policies.clone(),
        auth_type: text("DefaultAuthType"),
        max_jobs: settings.number("MaxJobs"),
        job_history: text("PreserveJobHistory"),
        job_files: text("PreserveJobFiles"),
        retry_interval_s: settings.number("JobRetryInterval"),
        retry_limit: settings.number("JobRetryLimit"),
        web_interface: settings.flag("WebInterface"),
        idle_exit_s: settings.number("IdleExitTimeout"),
        error_log: settings.error_log().to_owned(),
        filters: listed("filter"),
        backends: listed("backend"),
        server_bin: programs.clone(),
        browsed: browsed(host),
        spool: settings.spool().to_owned(),
        spool_bytes: space.map(|space| space.total_bytes),
        spool_free_bytes: space.map(|space| space.available_bytes),
        ..PrintServer::default()
    }
}

/// Whether cups-browsed runs; absent where processes cannot be listed.
fn browsed(host: &dyn Host) -> Option<bool> {
    let names = host.list("/proc").ok()?;
    let mut processes = names.iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).take(PROCESSES_MAX);
    Some(processes.any(|id| host.line(&format!("/proc/{id}/comm")).as_deref() == Some("cups-browsed")))
}
