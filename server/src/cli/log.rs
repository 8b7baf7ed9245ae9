//! `deskside log`: a log that another system wrote, read from a file or from evidence that was attached to a ticket.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;
use deskside_proto::v1::{LogEvent, TableSchema};
use deskside_proto::{catalog, codes, rows, show};
use prost::Message;

use super::screen::{self, Line, Screen};
use super::trouble::Trouble;
use super::{config, connect, evidence, when};
use crate::logfile::{self, Form, Opened, Unread};

/// A log of another system, a file or attached to a ticket: a Windows event log (.evtx), macOS' `log show --style ndjson`, or text; packed with gzip, xz, bzip2 or zstd too.
#[derive(Debug, clap::Args)]
pub(super) struct Log {
    /// The file.
    #[arg(required_unless_present = "evidence")]
    file: Option<PathBuf>,
    /// Not a file but an attached item of evidence: its id, or a beginning of it.
    #[arg(long, value_name = "ID", conflicts_with = "file")]
    evidence: Option<String>,
    /// Only this priority and more urgent ones: 0 to 7, or err, warning, info …; entries without one are told as well.
    #[arg(long, value_parser = when::priority, default_value = "7")]
    priority: u32,
    /// From this time on: "-2h", "14:00", "yesterday 10:00", "2026-03-01 14:00", RFC 3339; entries without one are told as well.
    #[arg(long, value_parser = when::moment, allow_hyphen_values = true, value_name = "TIME")]
    since: Option<i64>,
    /// Only what has this in its message, its program's or provider's name; capitals do not matter.
    #[arg(long, default_value = "")]
    text: String,
}

impl Log {
    pub(super) async fn run(self, home: &Path, screen: Screen) -> anyhow::Result<()> {
        if let Some(id) = self.evidence.clone() {
            let mut desk = connect::open(&config::read(home)?).await?;
            let (item, file) = evidence::download(&mut desk, id, &std::env::temp_dir()).await?;
            let opened = logfile::known(File::open(file.path())?, &item.name)?;
            return self.ask(opened, &item.name, screen);
        }
        let path = self.file.as_deref().context("neither a file nor evidence is named")?;
        self.ask(logfile::open(path)?, &path.display().to_string(), screen)
    }

    /// Tells the entries that are wanted.
    fn ask(&self, opened: Opened, source: &str, screen: Screen) -> anyhow::Result<()> {
        let schema = catalog::table("log_events").context("the catalogue lacks the table of log entries")?;
        let wanted = self.text.to_lowercase();
        let (mut entries, mut told) = (0_u64, 0_u64);
        let form = opened.form;
        let unread = logfile::read(opened, source, &mut |event| {
            entries += 1;
            if !self.wants(&event, &wanted) {
                return Ok(());
            }
            told += 1;
            tell(screen, schema, form, &event)
        })?;
        if entries == 0 && unread.entries > 0 {
            let what = format!("nothing in {source} can be read: {}", unread.reason);
            return Err(Trouble::new(what, "the file is damaged; copy it again").into());
        }
        if !screen.json {
            screen::note(Line::default().dim(format!("{told} of {entries} entries")))?;
        }
        complain(&unread)
    }

    fn wants(&self, event: &LogEvent, text: &str) -> bool {
        let urgent = event.priority.is_none_or(|priority| priority <= self.priority);
        let recent = event.at_ms == 0 || self.since.is_none_or(|since| event.at_ms >= since);
        let has = |part: &str| part.to_lowercase().contains(text);
        urgent
            && recent
            && (text.is_empty() || [&event.message, &event.program, &event.provider].into_iter().any(|part| has(part)))
    }
}

/// What could not be read must not look as if it were not there.
fn complain(unread: &Unread) -> anyhow::Result<()> {
    if unread.entries > 0 {
        let what = format!("{} entries could not be read, the first because: {}", unread.entries, unread.reason);
        screen::note(Line::default().warn(what))?;
    }
    if unread.is_cut {
        screen::note(Line::default().warn("the file is cut: what stood at its end is missing"))?;
    }
    Ok(())
}

fn tell(screen: Screen, schema: &TableSchema, form: Form, event: &LogEvent) -> anyhow::Result<()> {
    let mut meanings = codes::find(&event.message);
    meanings.retain(|meaning| logfile::means_the_same(form, meaning));
    if screen.json {
        let values = rows::open(schema, &event.encode_to_vec())?;
        let mut shape = show::json(schema, &values);
        let meanings: Vec<_> = meanings.iter().map(ToString::to_string).collect();
        shape.insert("codes".into(), meanings.into());
        return Ok(screen.event(&shape.into())?);
    }
    screen.line(line(event))?;
    for meaning in meanings {
        screen.line(Line::default().dim(format!("    {meaning}")))?;
    }
    Ok(())
}

/// "2026-11-22 01:10:57 Service Control Manager 7031 err message"; without a time where none is known.
fn line(event: &LogEvent) -> Line {
    let at = if event.at_ms == 0 { String::new() } else { format!("{} ", show::clock(event.at_ms)) };
    let who = [&event.program, &event.provider].into_iter().find(|name| !name.is_empty());
    let who = who.map(|who| format!("{who} ")).unwrap_or_default();
    let id = event.event_id.map(|id| format!("{id} ")).unwrap_or_default();
    let line = Line::default().dim(at).bold(who).plain(id);
    let line = match event.priority {
        Some(priority @ 0..=3) => line.bad(when::priority_name(priority.into())).plain(" "),
        Some(priority @ 4) => line.warn(when::priority_name(priority.into())).plain(" "),
        _ => line,
    };
    line.plain(&event.message)
}
