//! A device's log of a window of time, in the order in which it was written, with what was left out in between.

use anyhow::{Context, ensure};
use deskside_proto::catalog;
use deskside_proto::rows::{self, Value};
use deskside_proto::show;
use deskside_proto::v1::{LogsRequest, TableSchema};

use super::connect::Desk;
use super::screen::{self, Line, Screen};
use super::{tables, when};

/// Lines that are held to be put in order; of more, the latest are shown.
const LINES_MAX: usize = 200_000;

/// A device's log around a time, or between two.
#[derive(Debug, clap::Args)]
pub(super) struct Logs {
    /// Id, beginning of it, or host name.
    device: String,
    /// Around this time, by the device's clock: "-2h", "14:00", "yesterday 10:00", "2026-03-01 14:00", RFC 3339.
    #[arg(long, visible_alias = "around", value_parser = when::moment, allow_hyphen_values = true, value_name = "TIME", conflicts_with = "since")]
    at: Option<i64>,
    /// How far before and after that time.
    #[arg(long, value_parser = when::seconds, value_name = "TIME", default_value = "10m")]
    window: u64,
    /// From this time on.
    #[arg(long, value_parser = when::moment, allow_hyphen_values = true, value_name = "TIME")]
    since: Option<i64>,
    /// Up to this time.
    #[arg(long, value_parser = when::moment, allow_hyphen_values = true, value_name = "TIME", conflicts_with = "at")]
    until: Option<i64>,
    /// Only this unit or program.
    #[arg(long, default_value = "")]
    unit: String,
    /// Only this priority and more urgent ones: 0 to 7, or err, warning, info …
    #[arg(long, value_parser = when::priority, default_value = "7")]
    priority: u32,
}

/// One line, and when it was written.
struct Told {
    at_ms: i64,
    values: Vec<Value>,
}

impl Logs {
    pub(super) async fn run(self, mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
        let (from_ms, to_ms) = self.bounds(screen.now_ms)?;
        let schemas = tables::schemas(&mut desk).await?;
        let request = LogsRequest { device: self.device.clone(), from_ms, to_ms };
        let mut answers = desk.logs(request).await?.into_inner();
        let mut schema = TableSchema::default();
        let (mut lines, mut cut) = (Vec::new(), 0);
        while let Some(answer) = tables::next(&mut answers).await? {
            if !answer.progress.is_empty() && !screen.json {
                screen::note(Line::default().warn(show::printable(&answer.progress)))?;
            }
            for reading in &answer.readings {
                schema = tables::schema_of(&schemas, &reading.table);
                for row in &reading.rows {
                    let values = rows::open(&schema, row).context("the agent sent a line that cannot be read")?;
                    lines.extend(self.told(&schema, values, from_ms, to_ms));
                }
            }
            if lines.len() > LINES_MAX {
                cut += lines.len() - LINES_MAX;
                lines.drain(..lines.len() - LINES_MAX);
            }
        }
        lines.sort_by_key(|line: &Told| line.at_ms);
        if cut > 0 && !screen.json {
            screen::note(Line::default().warn(format!("{cut} earlier lines are not shown; ask for a shorter window")))?;
        }
        for line in &lines {
            if screen.json {
                screen.event(&show::json(&schema, &line.values).into())?;
            } else {
                screen.line(tables::log_line(&schema, &line.values))?;
            }
        }
        if lines.is_empty() && !screen.json {
            screen::note(Line::default().dim("nothing was written then, or it is not remembered any more"))?;
        }
        Ok(())
    }

    fn bounds(&self, now_ms: i64) -> anyhow::Result<(i64, i64)> {
        let window_ms = i64::try_from(self.window.saturating_mul(1000)).unwrap_or(i64::MAX);
        let (from_ms, to_ms) = match (self.at, self.since) {
            (Some(at), _) => (at.saturating_sub(window_ms), at.saturating_add(window_ms)),
            (None, Some(since)) => (since, self.until.unwrap_or(now_ms)),
            (None, None) => {
                let until = self.until.unwrap_or(now_ms);
                (until.saturating_sub(window_ms), until)
            }
        };
        ensure!(from_ms <= to_ms, "the window ends before it begins");
        Ok((from_ms, to_ms))
    }

    /// A line that is asked for. What was left out is told whatever is asked for.
    fn told(&self, schema: &TableSchema, values: Vec<Value>, from_ms: i64, to_ms: i64) -> Option<Told> {
        let value = |name: &str| catalog::column(schema, name).and_then(|place| values.get(place));
        let at_ms = match value("at_ms") {
            Some(Value::Int(at_ms)) => *at_ms,
            _ => return None,
        };
        let named = |name: &str| {
            let name = value(name).map(ToString::to_string).unwrap_or_default();
            name == self.unit || name.strip_suffix(".service") == Some(self.unit.as_str())
        };
        let left_out = matches!(value("left_out"), Some(Value::Uint(_)));
        let urgent = match value("priority") {
            Some(Value::Uint(priority)) => *priority <= u64::from(self.priority),
            _ => true,
        };
        let wanted = left_out || urgent && (self.unit.is_empty() || named("unit") || named("program"));
        (wanted && (from_ms..=to_ms).contains(&at_ms)).then_some(Told { at_ms, values })
    }
}
