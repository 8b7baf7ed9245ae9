//! A table in a line or a few: what a technician would read out over the phone.

use anyhow::Context;
use deskside_proto::catalog;
use deskside_proto::rows::Value;
use deskside_proto::show;
use deskside_proto::v1::{Device, Kind, ShowReply, ShowRequest, TableState};
use futures_util::future::join_all;

use super::connect::Desk;
use super::sheet::{Sheet, is_seen};
use super::when;

/// Rows that one table may say something about.
const LINES_MAX: usize = 6;

/// How one table is read out.
type Tell = fn(&Rows) -> Vec<String>;

/// The tables that are read out; all others are counted.
const TOLD: &[(&str, Tell)] = &[
    ("printers", printers),
    ("print_jobs", print_jobs),
    ("cpu", cpu),
    ("disks", disks),
    ("batteries", batteries),
    ("interfaces", interfaces),
    ("addresses", addresses),
    ("routes", routes),
    ("resolvers", resolvers),
    ("log_events", log_events),
    ("os", os),
    ("boot", boot),
    ("memory", memory),
    ("load", load),
    ("filesystems", filesystems),
    ("services", services),
];

/// Table and lines, for every table that is read out and was seen.
pub(super) async fn of(
    desk: &mut Desk,
    device: &Device,
    states: &[TableState],
    now_ms: i64,
) -> anyhow::Result<Vec<(String, Vec<String>)>> {
    let wanted = TOLD.iter().filter(|(table, _tell)| {
        states.iter().any(|state| state.table == *table && is_seen(state.outcome()) && state.rows > 0)
    });
    let asked = wanted.map(|(table, tell)| {
        let mut desk = desk.clone();
        let request = ShowRequest { device: device.id.clone(), table: (*table).into(), at_ms: 0 };
        async move { desk.show(request).await.map(|reply| (*tell, reply.into_inner())) }
    });
    let mut digests = Vec::new();
    for reply in join_all(asked).await {
        let (tell, reply) = reply?;
        let (table, lines) =
            tell_one(tell, reply, now_ms).context("the server showed a table without its description")?;
        if !lines.is_empty() {
            digests.push((table, lines));
        }
    }
    Ok(digests)
}

fn tell_one(tell: Tell, reply: ShowReply, now_ms: i64) -> Option<(String, Vec<String>)> {
    let schema = reply.schema?;
    let sheet = Sheet::open(&schema, reply.reading.as_ref()?);
    let mut lines = tell(&Rows { sheet: &sheet, now_ms });
    let more = lines.len().saturating_sub(LINES_MAX);
    if more > 0 {
        lines.truncate(LINES_MAX);
        lines.push(format!("… and {more} more"));
    }
    Some((schema.name.clone(), lines))
}

/// Events do not go stale: nothing new is good news.
pub(super) fn is_event(table: &str) -> bool {
    catalog::table(table).is_some_and(|schema| schema.kind() == Kind::Event)
}

/// Rows by column name.
struct Rows<'a> {
    sheet: &'a Sheet<'a>,
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
        self.sheet.rows.iter().map(|values| One { rows: self, values })
    }

    fn tell(&'a self, line: impl Fn(One<'a>) -> String) -> Vec<String> {
        self.each().map(line).collect()
    }
}

impl One<'_> {
    fn value(&self, column: &str) -> Option<&Value> {
        self.values.get(catalog::column(self.rows.sheet.schema, column)?)
    }

    /// As a person reads it; empty where it is not known.
    fn text(&self, column: &str) -> String {
        let schema = self.rows.sheet.schema;
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

    fn yes(&self, column: &str) -> bool {
        matches!(self.value(column), Some(Value::Bool(true)))
    }
}

/// Parts that say something, set apart from one another.
fn join(parts: &[String]) -> String {
    parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" · ")
}

fn quoted(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("\"{text}\"") }
}

fn count(number: f64, one: &str) -> String {
    if (number - 1.0).abs() < 0.5 { format!("1 {one}") } else { format!("{number:.0} {one}s") }
}

fn printers(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let refuses = if row.yes("accepting_jobs") { String::new() } else { "takes no new jobs".into() };
        join(&[
            row.text("name"),
            row.text("state"),
            count(row.number("queued_jobs"), "job"),
            refuses,
            row.text("state_reasons"),
            quoted(&row.text("state_message")),
        ])
    })
}

fn print_jobs(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let sent = format!("sent {}", row.text("created_ms"));
        let job = format!("job {} on {}", row.text("id"), row.text("printer"));
        join(&[job, row.text("state"), row.text("size_bytes"), sent, quoted(&row.text("message"))])
    })
}

fn cpu(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let used = row.text("used_percent");
        let used = if used.is_empty() { used } else { format!("{used} busy") };
        join(&[format!("{} × {}", row.text("processors"), row.text("model")), used])
    })
}

fn disks(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let read_only = if row.yes("read_only") { "read-only".to_owned() } else { String::new() };
        let parts = ["name", "model", "size_bytes", "transport", "state"].map(|column| row.text(column));
        join(&[join(&parts), read_only])
    })
}

fn batteries(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let health = row.text("health_percent");
        let health = if health.is_empty() { health } else { format!("{health} of its first capacity") };
        join(&[row.text("name"), row.text("status"), row.text("charge_percent"), health])
    })
}

fn interfaces(rows: &Rows) -> Vec<String> {
    let real = rows.each().filter(|row| !row.is("name", "lo") && !row.is("kind", "loopback"));
    real.map(|row| {
        let errors = row.number("rx_errors") + row.number("tx_errors");
        let errors = if errors > 0.0 { count(errors, "error") } else { String::new() };
        let carrier = if row.yes("admin_up") && matches!(row.value("carrier"), Some(Value::Bool(false))) {
            "no carrier"
        } else {
            ""
        };
        let parts = ["name", "kind", "state", "speed_bits_per_second", "duplex"].map(|column| row.text(column));
        join(&[join(&parts), carrier.into(), errors])
    })
    .collect()
}

fn addresses(rows: &Rows) -> Vec<String> {
    let global = rows.each().filter(|row| !row.yes("link_local") && !row.is("interface", "lo"));
    let each: Vec<String> = global
        .map(|row| format!("{} {}/{}", row.text("interface"), row.text("address"), row.text("prefix_length")))
        .collect();
    one_line(&each, "no address but link-local ones")
}

fn routes(rows: &Rows) -> Vec<String> {
    let default = |row: &One| row.is("destination", "default") || row.text("destination").ends_with("/0");
    let each: Vec<String> = rows
        .each()
        .filter(default)
        .map(|row| format!("default by {} on {}", row.text("gateway"), row.text("interface")))
        .collect();
    one_line(&each, "no default route")
}

fn resolvers(rows: &Rows) -> Vec<String> {
    let mut each: Vec<String> =
        rows.each().filter(|row| row.is("kind", "nameserver")).map(|row| row.text("value")).collect();
    each.dedup();
    one_line(&each, "no name server")
}

fn one_line(each: &[String], none: &str) -> Vec<String> {
    let shown = each.iter().take(LINES_MAX).cloned().collect::<Vec<_>>().join(", ");
    match each.len() {
        0 => vec![none.into()],
        1..=LINES_MAX => vec![shown],
        more => vec![format!("{shown} … and {} more", more - LINES_MAX)],
    }
}

/// The latest, newest last, as in a log.
fn log_events(rows: &Rows) -> Vec<String> {
    let urgent = rows.each().filter(|row| matches!(row.value("priority"), Some(Value::Uint(0..=4))));
    let line = |row: One| {
        let who = [row.text("program"), row.text("unit"), row.text("source")].into_iter().find(|name| !name.is_empty());
        let priority = when::priority_name(row.number("priority") as u64);
        let at = match row.value("at_ms") {
            Some(Value::Int(at_ms)) => show::clock(*at_ms),
            _ => String::new(),
        };
        join(&[at, priority.into(), who.unwrap_or_default(), row.text("message")])
    };
    let lines: Vec<String> = urgent.map(line).collect();
    let before = lines.len().saturating_sub(LINES_MAX);
    lines.into_iter().skip(before).collect()
}

fn os(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        join(
            &["pretty_name", "kernel", "architecture", "vendor", "model", "virtualization"]
                .map(|column| row.text(column)),
        )
    })
}

fn boot(rows: &Rows) -> Vec<String> {
    rows.tell(|row| format!("up {} since {}", row.text("uptime_s"), row.text("booted_ms")))
}

fn memory(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let free = format!("{} of {} available", row.text("available_bytes"), row.text("total_bytes"));
        let swap = if row.number("swap_total_bytes") > 0.0 {
            format!("swap {} of {} used", row.text("swap_used_bytes"), row.text("swap_total_bytes"))
        } else {
            "no swap".into()
        };
        join(&[free, swap])
    })
}

fn load(rows: &Rows) -> Vec<String> {
    let averages = |row: One| ["load_1", "load_5", "load_15"].map(|column| row.text(column)).join(" ");
    rows.tell(|row| format!("{} on {}", averages(row), count(row.number("processors"), "processor")))
}

fn filesystems(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let full = format!("{} full, {} free", row.text("used_percent"), row.text("available_bytes"));
        let read_only = if row.yes("read_only") { "read-only".to_owned() } else { String::new() };
        join(&[row.text("mount_point"), full, row.text("type"), read_only])
    })
}

/// Failed ones by name; the others by number.
fn services(rows: &Rows) -> Vec<String> {
    let failed = rows.each().filter(|row| row.is("active_state", "failed"));
    let mut lines: Vec<String> = failed
        .map(|row| join(&[row.text("name"), "failed".into(), row.text("result"), row.text("description")]))
        .collect();
    let running = rows.each().filter(|row| row.is("active_state", "active")).count();
    lines.push(format!("{running} active, {} in all", rows.sheet.rows.len()));
    lines
}

#[cfg(test)]
mod tests {
    use deskside_proto::v1::{Outcome, Printer, Reading};
    use prost::Message;

    use super::*;

    fn told(tell: Tell, table: &str, rows: Vec<Vec<u8>>) -> Vec<String> {
        let rows = rows.into_iter().map(Into::into).collect();
        let reading = Reading { table: table.into(), rows, outcome: Outcome::Ok.into(), ..Reading::default() };
        let schema = catalog::table(table).cloned();
        tell_one(tell, ShowReply { schema, reading: Some(reading), ..ShowReply::default() }, 0).unwrap().1
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
        let lines = told(printers, "printers", vec![queue.encode_to_vec()]);
        assert_eq!(lines, ["office · stopped · 3 jobs · \"The printer is not responding.\""]);
    }

    #[test]
    fn a_long_table_is_cut_and_says_so() {
        let queue = |number: u32| Printer { name: format!("q{number}"), ..Printer::default() }.encode_to_vec();
        let lines = told(printers, "printers", (0..10).map(queue).collect());
        assert_eq!(lines.last().map(String::as_str), Some("… and 4 more"));
    }

    #[test]
    fn every_table_that_is_read_out_is_in_the_catalogue() {
        for (table, _tell) in TOLD {
            assert!(catalog::table(table).is_some(), "{table}");
        }
    }
}
