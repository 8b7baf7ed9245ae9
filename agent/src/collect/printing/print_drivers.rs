//! The drivers of the print queues, as their PPD files say (PPD 4.3, and CUPS's own keywords).

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::PrintDriver;
use ipp::model::{DelimiterTag, Operation};
use ipp::value::IppValue;

use crate::collect::printing::cups;
use crate::collect::printing::ppd::{self, Ppd};
use crate::collect::printing::printers::driver;
use crate::collect::printing::settings::Settings;
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const PRINT_DRIVERS: Collector = Collector {
    table: PrintDriver::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_hours(1)),
    look,
};

const ASKED: &[&str] = &["printer-make-and-model", "printer-name", "printer-type", "printer-uri-supported"];

/// Most drivers that one look reads. Why: a PPD is a file of up to a few hundred KiB, and each is asked for alone.
const DRIVERS_MAX: usize = 200;

/// After this long a look asks for no more drivers.
const LOOK_MS: i64 = 5_000;

/// Bits of `printer-type` (CUPS's cups.h): a class has no driver, and another server's queue has it there.
const ELSEWHERE: i32 = 0x0001 | 0x0002;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let begun_ms = host.now_ms();
    let details = [
        ("requested-attributes", cups::keywords(ASKED)?),
        ("limit", IppValue::Integer(i32::try_from(cups::OBJECTS_MAX)?)),
    ];
    let mut queues = cups::ask(host, Operation::CupsGetPrinters, DelimiterTag::PrinterAttributes, &details)?;
    queues.retain(|queue| queue.number("printer-type").unwrap_or_default() & ELSEWHERE == 0);
    let mut programs = Programs::new(&Settings::of(host).programs(host));
    let (mut rows, mut read) = (Rows::none(), 0);
    for queue in &queues {
        let mut row = PrintDriver { queue: queue.text("printer-name"), ..PrintDriver::default() };
        if driver(&queue.text("printer-make-and-model"), false) == "raw" {
            row.kind = "raw".into();
            rows.push(&row);
            continue;
        }
        if read == DRIVERS_MAX || host.now_ms() - begun_ms > LOOK_MS {
            rows.missing(format!("drivers after the first {read}"));
            break;
        }
        read += 1;
        match ask(host, &queue.text("printer-uri-supported")) {
            Ok(ppd) => describe(&mut row, &ppd, &mut programs, host),
            Err(error) => row.problem = format!("{error:#}"),
        }
        rows.push(&row);
    }
    programs.unseen.into_iter().for_each(|unseen| rows.missing(unseen));
    Ok(rows)
}

/// The driver of one queue, for a test of its way. What could not be looked for is its problem.
pub(super) fn of_queue(host: &dyn Host, name: &str) -> anyhow::Result<PrintDriver> {
    let ppd = ask(host, &cups::queue_uri(name))?;
    let mut programs = Programs::new(&Settings::of(host).programs(host));
    let mut row = PrintDriver { queue: name.to_owned(), ..PrintDriver::default() };
    describe(&mut row, &ppd, &mut programs, host);
    row.problem = programs.unseen.join("; ");
    Ok(row)
}

fn ask(host: &dyn Host, queue: &str) -> anyhow::Result<Ppd> {
    Ok(ppd::parse(&cups::ask_document(host, Operation::CupsGetPPD, &[("printer-uri", cups::uri(queue)?)])?))
}

fn describe(row: &mut PrintDriver, ppd: &Ppd, programs: &mut Programs, host: &dyn Host) {
    row.kind = if driver(&ppd.nickname, false) == "driverless" { "driverless" } else { "ppd" }.into();
    row.nickname.clone_from(&ppd.nickname);
    row.manufacturer.clone_from(&ppd.manufacturer);
    row.model.clone_from(&ppd.model);
    row.file_version.clone_from(&ppd.file_version);
    row.file_name.clone_from(&ppd.file_name);
    row.language.clone_from(&ppd.language);
    row.page_size.clone_from(&ppd.page_size);
    row.color = ppd.color;
    row.size_bytes = Some(ppd.size_bytes);
    row.filters = ppd.filters.iter().map(|filter| format!("{}: {}", filter.from, filter.program)).collect();
    for filter in &ppd.filters {
        let missing = filter.program != "-" && programs.has(host, &filter.program) == Some(false);
        if missing && !row.missing_filters.contains(&filter.program) {
            row.missing_filters.push(filter.program.clone());
        }
    }
}

/// The folders of programs that were listed, each once a look.
struct Programs {
    /// Folder of those filters that are named without one.
    filters: String,
    listed: BTreeMap<String, Option<Vec<String>>>,
    unseen: Vec<String>,
}

impl Programs {
    fn new(server_bin: &str) -> Self {
        Self { filters: format!("{server_bin}/filter"), listed: BTreeMap::new(), unseen: Vec::new() }
    }

    /// Whether a filter is there; absent where its folder may not be listed.
    fn has(&mut self, host: &dyn Host, program: &str) -> Option<bool> {
        let (folder, name) = program.rsplit_once('/').unwrap_or((&self.filters, program));
        let unseen = &mut self.unseen;
        let listed = self.listed.entry(folder.to_owned()).or_insert_with(|| match host.list(folder) {
            Ok(names) => Some(names),
            Err(error) if error.kind() == ErrorKind::NotFound => Some(Vec::new()),
            Err(error) => {
                unseen.push(format!("filters in {folder} ({error}; the agent's user needs to read that folder)"));
                None
            }
        });
        listed.as_ref().map(|names| names.iter().any(|found| found == name))
    }
}
