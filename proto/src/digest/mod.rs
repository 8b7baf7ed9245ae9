//! A table in a line or a few: what a technician would read out over the phone.

use crate::catalog;
use crate::rows::{self, Value};
use crate::show;
use crate::v1::{Reading, TableSchema};

mod hardware;
mod logs;
mod network;
mod printing;
mod system;

/// Rows that one table may say something about.
const LINES_MAX: usize = 6;

/// How one table is read out.
type Tell = fn(&Rows) -> Vec<String>;

/// The tables that are read out; all others are counted.
const TOLD: &[(&str, Tell)] = &[
    ("printers", printing::printers),
    ("print_jobs", printing::print_jobs),
    ("print_devices", printing::print_devices),
    ("print_supplies", printing::print_supplies),
    ("print_path", printing::print_path),
    ("firmware", hardware::firmware),
    ("cpu", hardware::cpu),
    ("memory_modules", hardware::memory_modules),
    ("disks", hardware::disks),
    ("disk_health", hardware::disk_health),
    ("batteries", hardware::batteries),
    ("temperatures", hardware::temperatures),
    ("pci_devices", hardware::pci_devices),
    ("interfaces", network::interfaces),
    ("addresses", network::addresses),
    ("dhcp", network::dhcp),
    ("routes", network::routes),
    ("resolvers", network::resolvers),
    ("wifi", network::wifi),
    ("vpn", network::vpn),
    ("proxies", network::proxies),
    ("firewall", network::firewall),
    ("error_signatures", logs::error_signatures),
    ("log_events", logs::log_events),
    ("os", system::os),
    ("boot", system::boot),
    ("boots", system::boots),
    ("crashes", system::crashes),
    ("reboot_required", system::reboot_required),
    ("memory", system::memory),
    ("load", system::load),
    ("filesystems", system::filesystems),
    ("services", system::services),
    ("updates", system::updates),
    ("time_sync", system::time_sync),
    ("users", system::users),
];

/// Whether a table is read out: those of the list, and every probe, since it is an answer that somebody waits for.
pub fn is_told(table: &str) -> bool {
    TOLD.iter().any(|(told, _tell)| *told == table) || is_probe(table)
}

/// The place of a table among those that are read out.
pub fn place(table: &str) -> usize {
    TOLD.iter().position(|(told, _tell)| *told == table).unwrap_or(TOLD.len())
}

/// A reading, read out; no lines where there is nothing to say.
pub fn of(schema: &TableSchema, reading: &Reading, now_ms: i64) -> Vec<String> {
    let told = TOLD.iter().find(|(table, _tell)| *table == schema.name).map(|(_table, tell)| *tell);
    let Some(tell) = told.or(is_probe(&schema.name).then_some(network::verdicts as Tell)) else { return Vec::new() };
    let opened: Vec<Vec<Value>> = reading.rows.iter().filter_map(|row| rows::open(schema, row).ok()).collect();
    let mut lines = tell(&Rows { schema, opened: &opened, now_ms });
    lines.retain(|line| !line.is_empty());
    let more = lines.len().saturating_sub(LINES_MAX);
    if more > 0 {
        lines.truncate(LINES_MAX);
        lines.push(format!("… and {more} more"));
    }
    lines
}

fn is_probe(table: &str) -> bool {
    catalog::table(table).is_some_and(|schema| schema.probe.is_some())
}

/// Rows by column name.
struct Rows<'a> {
    schema: &'a TableSchema,
    opened: &'a [Vec<Value>],
    now_ms: i64,
}

/// One row by column name.
#[derive(Clone, Copy)]
struct One<'a> {
    rows: &'a Rows<'a>,
    values: &'a [Value],
}

impl<'a> Rows<'a> {
    fn each(&'a self) -> impl Iterator<Item = One<'a>> {
        self.opened.iter().map(|values| One { rows: self, values })
    }

    fn tell(&'a self, line: impl Fn(One<'a>) -> String) -> Vec<String> {
        self.each().map(line).collect()
    }
}

impl One<'_> {
    fn value(&self, column: &str) -> Option<&Value> {
        self.values.get(catalog::column(self.rows.schema, column)?)
    }

    /// As a person reads it; empty where it is not known.
    fn text(&self, column: &str) -> String {
        let schema = self.rows.schema;
        let found = catalog::column(schema, column).and_then(|place| schema.columns.get(place)).zip(self.value(column));
        match found {
            None | Some((_, Value::Null)) => String::new(),
            Some((column, value)) => show::human(column, value, self.rows.now_ms),
        }
    }

    fn number(&self, column: &str) -> f64 {
        match self.value(column) {
            Some(Value::Uint(number)) => *number as f64,
            Some(Value::Int(number)) => *number as f64,
            Some(Value::Double(number)) => *number,
            _ => 0.0,
        }
    }

    fn is(&self, column: &str, text: &str) -> bool {
        matches!(self.value(column), Some(Value::Text(value)) if value == text)
    }

    /// One word for yes, one for no, none for "not known".
    fn either<'w>(&self, column: &str, yes: &'w str, no: &'w str) -> &'w str {
        match self.value(column) {
            Some(Value::Bool(true)) => yes,
            Some(Value::Bool(false)) => no,
            _ => "",
        }
    }

    fn yes(&self, column: &str) -> bool {
        matches!(self.value(column), Some(Value::Bool(true)))
    }
}

/// Parts that say something, set apart from one another.
fn join(parts: &[String]) -> String {
    parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" · ")
}

/// "serial X", or nothing where there is none.
fn labelled(label: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{label} {text}") }
}

fn quoted(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("\"{text}\"") }
}

fn count(number: f64, one: &str) -> String {
    if (number - 1.0).abs() < 0.5 { format!("1 {one}") } else { format!("{number:.0} {one}s") }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::v1::{Outcome, Printer};

    fn told(table: &str, rows: Vec<Vec<u8>>) -> Vec<String> {
        let rows = rows.into_iter().map(Into::into).collect();
        let reading = Reading { table: table.into(), rows, outcome: Outcome::Ok.into(), ..Reading::default() };
        of(catalog::table(table).unwrap(), &reading, 0)
    }

    #[test]
    fn a_stuck_queue_is_read_out_with_the_words_of_the_print_system() {
        let queue = Printer {
            name: "office".into(),
            state: "stopped".into(),
            state_message: "The printer is not responding.".into(),
            queued_jobs: 3,
            accepting_jobs: true,
            ..Printer::default()
        };
        let lines = told("printers", vec![queue.encode_to_vec()]);
        assert_eq!(lines, ["office · stopped · 3 jobs · \"The printer is not responding.\""]);
    }

    #[test]
    fn a_long_table_is_cut_and_says_so() {
        let queue = |number: u32| Printer { name: format!("q{number}"), ..Printer::default() }.encode_to_vec();
        let lines = told("printers", (0..10).map(queue).collect());
        assert_eq!(lines.last().map(String::as_str), Some("… and 4 more"));
    }

    #[test]
    fn every_table_that_is_read_out_is_in_the_catalogue() {
        for (table, _tell) in TOLD {
            assert!(catalog::table(table).is_some(), "{table}");
        }
    }
}
