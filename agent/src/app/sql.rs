//! Questions in SQL asked at the machine itself: answered by this program, from looks of its own and the agent's record.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use clap::Args;
use comfy_table::Table;
use deskside_proto::show;
use deskside_proto::sql::{self, Brake, Source, SqlError};
use deskside_proto::v1::cell::Value;
use deskside_proto::v1::{Cell, Outcome, Query, QueryNote, QueryPart, Reading, ResultRow, Sight};
use jiff::tz::TimeZone;
use serde_json::{Map, Value as Json, json};

use super::settings::Settings;
use super::tables;
use crate::ask::{Looks, Machine};
use crate::collect::{Cadence, Collector, Os, Registry, look_once};
use crate::host::{Host, Live};
use crate::local;
use crate::record::Reader;
use crate::redact::Redactor;

/// What can be asked.
pub(super) const EXAMPLES: &str = "\
Examples:
  deskside-agent sql \"SELECT name, state, state_reasons FROM printers\"
  deskside-agent sql \"SELECT * FROM printers('-1 day')\"
  deskside-agent sql \"SELECT * FROM changes('-2 hours')\"
  deskside-agent sql --json \"SELECT at_ms, message FROM log_events('-1 hour') WHERE priority <= 3\"
  deskside-agent sql \"SELECT name, doc FROM tables\"
  deskside-agent sql \"SELECT * FROM questions('-30 days')\"     what technicians asked";

/// Rows that are held before a table of them is drawn; --json and --csv write each as it comes.
const DRAWN_MAX: usize = 10_000;

/// Between two looks at the brake while a look is waited for.
const PAUSE: Duration = Duration::from_millis(20);

/// A question, and how its answer is written.
#[derive(Debug, Args)]
pub(super) struct Asking {
    /// The question, in SQLite's dialect.
    sql: String,
    /// As JSON, a line for each row; notes to standard error.
    #[arg(long)]
    json: bool,
    /// As CSV; notes to standard error.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Each row as lines of "column: value".
    #[arg(long, conflicts_with_all = ["json", "csv"])]
    line: bool,
    /// Seconds that it may take.
    #[arg(long)]
    seconds: Option<u32>,
}

/// Asks, and writes the answer.
pub(super) fn run(
    asking: &Asking,
    (settings, state): (&Settings, &Path),
    registry: Registry,
    (host, redactor): (Arc<Live>, Redactor),
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let registry = Arc::new(registry);
    // An agent that does not run holds nothing back.
    if let Err(error) = local::record(state) {
        tracing::debug!(error = format!("{error:#}"), "the record is asked as it is");
    }
    let record = state.join("record");
    let reader = if record.is_dir() { Some(Reader::open(&record, Arc::clone(&registry))?) } else { None };
    let now_ms = host.now_ms();
    let deadline = Duration::from_secs(settings.schedule.deadline_s.max(1).into());
    let looks = Own { host, redactor: Arc::new(redactor), registry: Arc::clone(&registry), deadline };
    let source: Arc<dyn Source> = Arc::new(Machine::new(reader, &registry, Box::new(looks), now_ms));
    let zone = TimeZone::system().iana_name().unwrap_or_default().to_owned();
    let query = Query {
        sql: asking.sql.clone(),
        // Who may read the agent's state folder may see what is in it.
        sight: Some(Sight { personal: true, content: true }),
        zone,
        time_max_ms: asking.seconds.unwrap_or_default().saturating_mul(1_000),
        ..Query::default()
    };
    let bounds = sql::bounds(&query, settings.sql.bounds());
    let brake = Arc::new(Brake::new(Instant::now() + bounds.time_max));
    let mut paper = Paper { asking, out, columns: Vec::new(), drawn: Vec::new(), notes: Vec::new(), failed: None };
    let end = sql::answer(&source, &query, bounds, &brake, &mut |part| paper.take(part))?;
    if let Some(failed) = paper.failed.take() {
        return Err(failed);
    }
    paper.end(&end.cut, now_ms)
}

/// Looks that this program makes by itself.
struct Own {
    host: Arc<Live>,
    redactor: Arc<Redactor>,
    registry: Arc<Registry>,
    deadline: Duration,
}

impl Looks for Own {
    fn look(&self, table: &str, brake: &Brake) -> Result<Option<Reading>, SqlError> {
        let looks = |found: &&Collector| found.cadence != Cadence::Followed && found.systems.contains(&Os::Linux);
        let Some(collector) = self.registry.collector(table).filter(looks).copied() else { return Ok(None) };
        let (sender, receiver) = sync_channel(1);
        let (host, redactor, registry) =
            (Arc::clone(&self.host), Arc::clone(&self.redactor), Arc::clone(&self.registry));
        // Why a thread: what a look asks may hang, and then the answer says so.
        std::thread::spawn(move || {
            let reading = look_once([&collector], host.as_ref()).pop();
            let cleaned = reading.and_then(|reading| {
                let schema = registry.schema(&reading.table)?;
                Some(redactor.redact(schema, reading))
            });
            // Nobody receives where it took too long.
            sender.send(cleaned).ok();
        });
        let begun = Instant::now();
        loop {
            match receiver.recv_timeout(PAUSE) {
                Ok(reading) => return Ok(reading),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(SqlError::Source(format!("the look at {table} ended early")));
                }
                Err(RecvTimeoutError::Timeout) if begun.elapsed() >= self.deadline => {
                    return Ok(Some(self.hangs(table)));
                }
                Err(RecvTimeoutError::Timeout) => brake.check()?,
            }
        }
    }
}

impl Own {
    fn hangs(&self, table: &str) -> Reading {
        let reason = format!("no answer within {} s", self.deadline.as_secs());
        let (at_ms, outcome) = (self.host.now_ms(), Outcome::TimedOut.into());
        Reading { table: table.into(), at_ms, outcome, reason, ..Reading::default() }
    }
}

/// Where an answer is written, part by part.
struct Paper<'a> {
    asking: &'a Asking,
    out: &'a mut dyn Write,
    columns: Vec<String>,
    drawn: Vec<ResultRow>,
    notes: Vec<QueryNote>,
    failed: Option<anyhow::Error>,
}

impl Paper<'_> {
    /// False where it can not be written.
    fn take(&mut self, part: QueryPart) -> bool {
        let written = self.write(part);
        self.failed = written.err();
        self.failed.is_none()
    }

    fn write(&mut self, part: QueryPart) -> anyhow::Result<()> {
        if !part.columns.is_empty() {
            self.columns = part.columns.into_iter().map(|column| column.name).collect();
            if self.asking.csv {
                writeln!(self.out, "{}", show::csv(self.columns.iter().map(String::as_str)))?;
            }
        }
        for row in part.rows {
            self.row(row)?;
        }
        self.notes.extend(part.notes);
        Ok(())
    }

    fn row(&mut self, row: ResultRow) -> anyhow::Result<()> {
        if self.asking.json {
            let pairs = self.columns.iter().cloned().zip(row.cells.iter().map(as_json));
            writeln!(self.out, "{}", Json::Object(pairs.collect::<Map<_, _>>()))?;
        } else if self.asking.csv {
            let texts: Vec<String> = row.cells.iter().map(as_text).collect();
            writeln!(self.out, "{}", show::csv(texts.iter().map(String::as_str)))?;
        } else if self.asking.line {
            for (column, cell) in self.columns.iter().zip(&row.cells) {
                writeln!(self.out, "{}: {}", show::printable(column), show::printable(&as_text(cell)))?;
            }
            writeln!(self.out)?;
        } else if self.drawn.len() < DRAWN_MAX {
            self.drawn.push(row);
        } else {
            anyhow::bail!("more than {DRAWN_MAX} rows make no readable table; take --csv, --json, or a LIMIT");
        }
        Ok(())
    }

    fn end(self, cut: &str, now_ms: i64) -> anyhow::Result<()> {
        if !self.drawn.is_empty() {
            let mut table: Table = tables::new_table();
            table.set_header(self.columns.iter().map(|name| show::printable(name)));
            for row in &self.drawn {
                table.add_row(row.cells.iter().map(|cell| show::printable(&as_text(cell))));
            }
            writeln!(self.out, "{}", tables::text(&table))?;
        } else if !(self.asking.json || self.asking.csv || self.asking.line) {
            writeln!(self.out, "no rows")?;
        }
        let mut lines: Vec<String> = self.notes.iter().map(|note| said(note, now_ms)).collect();
        lines.extend((!cut.is_empty()).then(|| format!("only {cut}")));
        for line in lines {
            if self.asking.json || self.asking.csv {
                writeln!(std::io::stderr(), "{line}")?;
            } else {
                writeln!(self.out, "{line}")?;
            }
        }
        self.out.flush()?;
        Ok(())
    }
}

/// A note in a line.
fn said(note: &QueryNote, now_ms: i64) -> String {
    let outcome = match note.outcome() {
        Outcome::Unspecified | Outcome::Empty => String::new(),
        outcome => format!("{}, ", show::outcome(outcome)),
    };
    let age = if note.at_ms == 0 { String::new() } else { format!(" ({})", show::age(note.at_ms, now_ms)) };
    format!("{}: {outcome}{}{age}", note.table, show::printable(&note.words))
}

fn as_text(cell: &Cell) -> String {
    match &cell.value {
        None => String::new(),
        Some(Value::Integer(number)) => number.to_string(),
        Some(Value::Real(number)) => number.to_string(),
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Blob(bytes)) => data_encoding::HEXLOWER.encode(bytes),
    }
}

fn as_json(cell: &Cell) -> Json {
    match &cell.value {
        None => Json::Null,
        Some(Value::Integer(number)) => json!(number),
        Some(Value::Real(number)) => json!(number),
        Some(Value::Text(text)) => json!(text),
        Some(Value::Blob(bytes)) => json!(data_encoding::HEXLOWER.encode(bytes)),
    }
}
