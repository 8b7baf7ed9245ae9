//! `deskside sql`: a question in SQL to a device, to the fleet, to a ticket's evidence or to a bundle, and its answer as it comes.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use deskside_proto::sql::SQL_BYTES_MAX;
use deskside_proto::v1::{Cell, Query, QueryEnd, QueryNote, ResultColumn};
use tonic::Status;

use super::screen::{self, Line, Screen};
use super::trouble::Said;

mod asking;
mod bundle_source;
mod cell;
mod ending;
mod layout;
mod paper;
mod whom;
mod wrong;

pub(super) use asking::{Asker, Stop};
pub(super) use cell::{human, plain};
pub(super) use ending::lines;
pub(super) use layout::Layout;
pub(super) use paper::{Form, Look, Paper};
pub(super) use whom::{Whom, parameter};
pub(super) use wrong::{explain, say};

/// How often rows that wait are looked after.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Ask in SQL: one device, the whole fleet, a ticket's evidence, or a bundle in a file.
///
/// `printers` is now, `printers('-1 day')` is then, `printers_history` is all that is held, `changes('-1 day')` is what changed;
/// `log_events('-2 hours', '-1 hour')` is a window. `SELECT name, doc FROM tables` lists the tables. Times are written "-2h",
/// "yesterday 10:00", "2026-03-01 14:00"; ms('-1 hour') is a time as a number.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "deskside sql [OPTIONS] DEVICE SQL\n       deskside sql [OPTIONS] --fleet|--case TICKET|--file BUNDLE SQL",
    after_help = "Examples:\n  deskside sql desk-17 \"SELECT name, state, state_reasons FROM printers\"\n  \
                  deskside sql desk-17 \"SELECT at, table_name, row_key, column_name, old, new FROM changes('-1 day')\"\n  \
                  deskside sql --fleet --where connected \"SELECT device, name, percent_left FROM print_supplies WHERE low\"\n  \
                  deskside sql --file bundle.zip \"SELECT message FROM log_events WHERE priority <= 3\""
)]
pub(super) struct Sql {
    /// The device (id, beginning of it, or host name), then the SQL; only the SQL with --fleet, --case or --file. "-" reads it from standard
    /// input.
    #[arg(required = true, num_args = 1..=2, value_names = ["DEVICE", "SQL"])]
    words: Vec<String>,
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    how: How,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(super) struct How {
    /// CSV, numbers as they are; what is missing goes to standard error.
    #[arg(long, conflicts_with = "markdown", help_heading = "How to write it")]
    csv: bool,
    /// A Markdown table, for a ticket or a wiki.
    #[arg(long, help_heading = "How to write it")]
    markdown: bool,
    /// Numbers as they are: no units, times in milliseconds since 1970.
    #[arg(long, help_heading = "How to write it")]
    raw: bool,
}

impl How {
    /// For this terminal.
    pub(super) fn look(self, screen: Screen) -> Look {
        let form = match self {
            _ if screen.json => Form::Json,
            Self { csv: true, .. } => Form::Csv,
            Self { markdown: true, .. } => Form::Markdown,
            _ => Form::Table,
        };
        Look { form, raw: self.raw, width: screen.width(), now_ms: screen.now_ms }
    }
}

impl Sql {
    pub(super) async fn run(mut self, home: &Path, screen: Screen) -> anyhow::Result<()> {
        let sql = self.words.pop().unwrap_or_default();
        let device = self.words.pop();
        let sql = if sql == "-" { standard_input()? } else { sql };
        let mut asker = self.whom.open(device, home).await?;
        once(&mut asker, self.whom.query(&sql)?, self.how.look(screen), screen).await
    }
}

fn standard_input() -> anyhow::Result<String> {
    let mut sql = String::new();
    io::stdin().take(SQL_BYTES_MAX as u64 + 1).read_to_string(&mut sql)?;
    Ok(sql)
}

/// Asks once, on standard output, until it is answered or Ctrl-C.
pub(super) async fn once(asker: &mut Asker, query: Query, look: Look, screen: Screen) -> anyhow::Result<()> {
    let sql = query.sql.clone();
    let (mut out, mut aside) = (screen.out(), anstream::stderr());
    match answer(asker, query, look, &mut out, &mut aside, &Stop::on_ctrl_c()).await {
        Ok(()) => Ok(()),
        Err(Failed::Stopped) => Err(Said.into()),
        Err(Failed::Io(error)) => Err(error.into()),
        Err(Failed::Broke(_status)) if look.form == Form::Json => Err(Said.into()),
        Err(Failed::Refused(status) | Failed::Broke(status)) => Err(say(screen, &sql, &status)),
        Err(Failed::Other(error)) => Err(error),
    }
}

/// Why a question has no whole answer.
#[derive(Debug)]
pub(super) enum Failed {
    /// Before anything was written.
    Refused(Status),
    /// In the middle of it.
    Broke(Status),
    /// The asker wished it.
    Stopped,
    /// The answer could not be written.
    Io(io::Error),
    /// Something else.
    Other(anyhow::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Asks, and writes the answer as it comes. What is done meanwhile is told on standard error where that is a terminal.
pub(super) async fn answer(
    asker: &mut Asker,
    query: Query,
    look: Look,
    out: &mut (dyn Write + Send),
    aside: &mut (dyn Write + Send),
    stop: &Stop,
) -> Result<(), Failed> {
    let bar = screen::spinner("asking");
    let mut paper = Paper::new(look, out, aside);
    let asked = tokio::select! {
        pieces = asker.ask(query) => pieces.map_err(|error| match error.downcast::<Status>() {
            Ok(status) => Failed::Refused(status),
            Err(error) => Failed::Other(error),
        }),
        () = stop.pressed() => Err(Failed::Stopped),
    };
    let mut pieces = asked.inspect_err(|_failed| bar.finish_and_clear())?;
    let (mut end, mut kept): (Option<QueryEnd>, String) = (None, String::new());
    loop {
        let piece = tokio::select! {
            piece = pieces.next() => piece,
            () = stop.pressed() => {
                bar.finish_and_clear();
                drop(pieces);
                let rows = paper.rows();
                paper.end(None, Some("stopped"))?;
                screen::note(Line::default().dim(format!("stopped after {rows} rows")))?;
                return Err(Failed::Stopped);
            }
            () = tokio::time::sleep(LOOK_EVERY) => {
                if paper.is_ripe() {
                    bar.suspend(|| paper.lay_out(false))?;
                }
                continue;
            }
        };
        match piece {
            Ok(None) => break,
            Ok(Some(part)) => {
                if !part.progress.is_empty() {
                    bar.set_message(deskside_proto::show::printable(&part.progress));
                }
                if !part.question.is_empty() {
                    kept.clone_from(&part.question);
                }
                end = part.end.clone().or(end);
                bar.suspend(|| paper.take(part))?;
            }
            Err(status) if paper.rows() == 0 && !paper.has_begun() => {
                bar.finish_and_clear();
                return Err(Failed::Refused(status));
            }
            Err(status) => {
                bar.finish_and_clear();
                paper.end(None, Some(status.message()))?;
                return Err(Failed::Broke(status));
            }
        }
    }
    bar.finish_and_clear();
    paper.end(end.as_ref(), None)?;
    if !kept.is_empty() {
        let id: String = kept.chars().take(8).collect();
        screen::note(Line::default().plain("the question is kept until the device is back: ").bold(id))?;
    }
    Ok(())
}

/// A whole answer.
#[derive(Debug, Default)]
pub(super) struct Whole {
    /// The columns.
    pub(super) columns: Vec<ResultColumn>,
    /// The rows.
    pub(super) rows: Vec<Vec<Cell>>,
    /// What is missing.
    pub(super) notes: Vec<QueryNote>,
    /// How it ended.
    pub(super) end: Option<QueryEnd>,
}

/// Asks, and gathers the answer.
pub(super) async fn gather(asker: &mut Asker, query: Query) -> Result<Whole, Status> {
    let mut pieces = asker.ask(query).await.map_err(|error| match error.downcast::<Status>() {
        Ok(status) => status,
        Err(error) => Status::unknown(format!("{error:#}")),
    })?;
    let mut whole = Whole::default();
    while let Some(part) = pieces.next().await? {
        if !part.columns.is_empty() {
            whole.columns = part.columns;
        }
        whole.rows.extend(part.rows.into_iter().map(|row| row.cells));
        whole.notes.extend(part.notes);
        whole.end = part.end.or(whole.end);
    }
    Ok(whole)
}
