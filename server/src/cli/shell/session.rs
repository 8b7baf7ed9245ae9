//! What the shell does with what is typed: lines in, text out. It knows no terminal.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use deskside_proto::show;
use deskside_proto::v1::{Query, TableSchema};

use crate::cli::screen::Line;
use crate::cli::sql::{self, Asker, Failed, Look, Stop, Whom};
use crate::cli::trouble::{self, Said};

use super::{dot, statement};

/// Longest statement that is gathered.
const TEXT_BYTES_MAX: usize = deskside_proto::sql::SQL_BYTES_MAX;

/// What follows a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another line.
    Line,
    /// Nothing: the shell ends.
    Quit,
}

/// A shell, and how it is set.
pub(super) struct Session {
    pub(super) asker: Asker,
    pub(super) whom: Whom,
    pub(super) look: Look,
    pub(super) tables: Vec<TableSchema>,
    /// Folder of the technician's own queries.
    pub(super) home: PathBuf,
    /// How long the asker waited is told.
    pub(super) timer: bool,
    /// Where answers go instead.
    pub(super) output: Option<File>,
    /// What is typed of a statement that is not ended yet.
    text: String,
    /// The latest whole statement or command, for the history.
    said: Option<String>,
    failed: bool,
}

impl Session {
    pub(super) fn new(asker: Asker, whom: Whom, look: Look, tables: Vec<TableSchema>, home: PathBuf) -> Self {
        let (text, said) = (String::new(), None);
        Self { asker, whom, look, tables, home, timer: false, output: None, text, said, failed: false }
    }

    /// Whether a statement is begun and not ended.
    pub(super) fn is_within(&self) -> bool {
        !self.text.is_empty()
    }

    /// What is typed so far is dropped.
    pub(super) fn forget(&mut self) {
        self.text.clear();
    }

    /// The latest whole statement or command, once.
    pub(super) fn said(&mut self) -> Option<String> {
        self.said.take()
    }

    /// An error where the latest question went wrong; it has been told.
    pub(super) fn outcome(&self) -> anyhow::Result<()> {
        if self.failed { Err(Said.into()) } else { Ok(()) }
    }

    /// Takes a line: a command of the shell, or a piece of SQL.
    pub(super) async fn line(&mut self, line: &str, out: &mut (dyn Write + Send), stop: &Stop) -> anyhow::Result<Next> {
        if self.text.is_empty() && line.trim_start().starts_with('.') {
            self.said = Some(line.trim().to_owned());
            self.failed = false;
            return dot::run(self, line.trim(), out, stop).await;
        }
        if self.text.len() + line.len() > TEXT_BYTES_MAX {
            self.text.clear();
            writeln!(out, "a question has at most {TEXT_BYTES_MAX} bytes; what was typed is dropped")?;
            return Ok(Next::Line);
        }
        if self.text.is_empty() && line.trim().is_empty() {
            return Ok(Next::Line);
        }
        self.text.push_str(line);
        self.text.push('\n');
        while let Some((first, rest)) = statement::first(&self.text) {
            let (first, rest) = (first.trim().to_owned(), rest.trim_start().to_owned());
            self.text = rest;
            self.said = Some(format!("{};", first.replace('\n', " ")));
            self.put(&first, out, stop).await?;
        }
        Ok(Next::Line)
    }

    /// The end of the input: what is left is a statement too.
    pub(super) async fn finish(&mut self, out: &mut (dyn Write + Send), stop: &Stop) -> anyhow::Result<()> {
        let rest = std::mem::take(&mut self.text);
        self.put(rest.trim(), out, stop).await
    }

    async fn put(&mut self, sql: &str, out: &mut (dyn Write + Send), stop: &Stop) -> anyhow::Result<()> {
        if statement::is_blank(sql) {
            return Ok(());
        }
        let query = self.whom.query(sql)?;
        self.ask(query, out, stop).await
    }

    /// Asks, and writes the answer or what is wrong. Only what can not be written is an error.
    pub(super) async fn ask(&mut self, query: Query, out: &mut (dyn Write + Send), stop: &Stop) -> anyhow::Result<()> {
        let (sql, begun) = (query.sql.clone(), Instant::now());
        let mut aside = anstream::stderr();
        let look = Look { now_ms: now_ms(), ..self.look };
        let answered = match &mut self.output {
            Some(file) => {
                let look = Look { width: None, ..look };
                let mut plain = anstream::StripStream::new(file);
                sql::answer(&mut self.asker, query, look, &mut plain, &mut aside, stop).await
            }
            None => sql::answer(&mut self.asker, query, look, out, &mut aside, stop).await,
        };
        self.failed = answered.is_err();
        match answered {
            Ok(()) if self.timer => {
                let took = show::duration(begun.elapsed().as_secs_f64());
                writeln!(out, "{}", Line::default().dim(format!("asked to answered: {took}")))?;
            }
            Ok(()) => {}
            Err(Failed::Stopped) => writeln!(out, "stopped")?,
            Err(Failed::Refused(status) | Failed::Broke(status)) => {
                self.wrong(&sql::explain(&sql, &status).lines(), out)?;
            }
            Err(Failed::Io(error)) => return Err(error.into()),
            Err(Failed::Other(error)) => {
                let (what, advice) = trouble::explain(&error);
                self.wrong(&[Line::default().bad("error: ").plain(what), Line::default().plain(advice)], out)?;
            }
        }
        Ok(())
    }

    /// Tells what is wrong.
    pub(super) fn wrong(&mut self, lines: &[Line], out: &mut (dyn Write + Send)) -> io::Result<()> {
        self.failed = true;
        lines.iter().try_for_each(|line| writeln!(out, "{line}"))
    }
}

/// Now, in milliseconds since 1970-01-01 UTC.
pub(super) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests;
