//! What Deskside says of a print server of our own: the collectors' rows, and the server's findings.

use anyhow::{Context, ensure};
use deskside_agent::collect::{Registry, look};
use deskside_agent::host::{Host, Live, LiveOptions};
use deskside_proto::v1::{Finding, Outcome, PrintJob, Printer, Reading};
use deskside_server::diagnose::{self, About, Known};
use prost::Message;

use super::cups::Cups;

/// The tables that are asked for a diagnosis.
const TABLES: [&str; 5] = ["printers", "print_jobs", "print_drivers", "print_server", "print_errors"];

/// The machine, with this print server for its own.
pub fn host(cups: &Cups) -> Live {
    let print_server = Some(cups.socket().to_string_lossy().into_owned());
    Live::new(LiveOptions { print_server, root: Some(cups.root()), ..LiveOptions::default() })
}

/// One look at a table.
pub fn reading(host: &Live, table: &str) -> anyhow::Result<Reading> {
    let registry = Registry::standard();
    let collector = registry.collector(table).with_context(|| format!("no table {table}"))?;
    Ok(look(collector, host))
}

/// The rows of a table on this print server; the reading is whole.
pub fn rows<R: Message + Default>(cups: &Cups, table: &str) -> anyhow::Result<Vec<R>> {
    let reading = reading(&host(cups), table)?;
    ensure!(matches!(reading.outcome(), Outcome::Ok | Outcome::Empty), "{table}: {}", reading.reason);
    reading.rows.iter().map(|row| R::decode(row.clone()).with_context(|| format!("opening a row of {table}"))).collect()
}

/// A queue, by its name.
pub fn printer(cups: &Cups, name: &str) -> anyhow::Result<Printer> {
    let found = rows(cups, "printers")?.into_iter().find(|printer: &Printer| printer.name == name);
    found.with_context(|| format!("no queue {name}"))
}

/// A job, by its number.
pub fn job(cups: &Cups, id: u32) -> anyhow::Result<PrintJob> {
    let found = rows(cups, "print_jobs")?.into_iter().find(|job: &PrintJob| job.id == id);
    found.with_context(|| format!("no job {id}"))
}

/// What the server says is wrong with printing, worst first, of a machine with this print server.
pub fn diagnosed(cups: &Cups) -> anyhow::Result<Vec<Finding>> {
    diagnosed_later(cups, 0)
}

/// The same, some milliseconds later: a rule may wait before it speaks.
pub fn diagnosed_later(cups: &Cups, later_ms: i64) -> anyhow::Result<Vec<Finding>> {
    let (registry, host) = (Registry::standard(), host(cups));
    let mut known = Vec::new();
    for table in TABLES {
        let reading = reading(&host, table)?;
        let schema = registry.schema(table).cloned().with_context(|| format!("no table {table}"))?;
        known.push(Known { schema, checked_ms: reading.at_ms, readings: vec![reading] });
    }
    let about = About { now_ms: host.now_ms() + later_ms, connected: true, ..About::default() };
    let mut found = diagnose::findings(&known, &about)?;
    found.retain(|found| found.rule.starts_with("print-"));
    Ok(found)
}
