//! `deskside shell`: a prompt for questions in SQL. What is typed is read here; what it does is in [`session`].

use std::io::{self, BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::Context;
use deskside_proto::catalog;
use deskside_proto::v1::TableSchema;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use super::screen::Screen;
use super::sql::{Asker, How, Stop, Whom};
use super::tables;
use complete::Words;
use session::{Next, Session};

mod complete;
mod dot;
mod session;
mod statement;
mod watch;

/// The history's file, beside the login.
const HISTORY: &str = "shell_history";

/// Most questions that it holds.
const HISTORY_MAX: usize = 2_000;

/// A prompt for questions in SQL, with completion, history and watching. `.help` says what it knows.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "At the prompt: SQL ends with \";\" and may have many lines. Tab completes tables, columns, functions and keywords.\n\
                  Ctrl-C ends the question, not the shell; Ctrl-D ends the shell. Without a terminal it reads standard input."
)]
pub(super) struct Shell {
    /// The device: id, beginning of it, or host name; none with --fleet, --case or --file.
    device: Option<String>,
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    how: How,
}

impl Shell {
    pub(super) async fn run(self, home: &Path, screen: Screen) -> anyhow::Result<()> {
        let name = self.name();
        let mut asker = self.whom.open(self.device, home).await?;
        let tables = known(&mut asker).await?;
        let words = Words::new(&tables);
        let session = Session::new(asker, self.whom, self.how.look(screen), tables, home.to_owned());
        if io::stdin().is_terminal() {
            at_a_terminal(session, words, &name, screen, &home.join(HISTORY)).await
        } else {
            from_standard_input(session, screen).await
        }
    }

    /// What stands before the prompt.
    fn name(&self) -> String {
        let file = self.whom.file.as_ref().and_then(|file| file.file_name());
        let file = file.map(|name| name.to_string_lossy().into_owned());
        let case = self.whom.case.map(|ticket| format!("case {ticket}"));
        self.device.clone().or(case).or(file).unwrap_or_else(|| "fleet".into())
    }
}

/// The tables that can be asked.
async fn known(asker: &mut Asker) -> anyhow::Result<Vec<TableSchema>> {
    match asker {
        Asker::Desk(desk, _request) => Ok(tables::schemas(desk).await?.into_values().collect()),
        Asker::File(_source) => Ok(catalog::tables().to_vec()),
    }
}

type Line = Editor<Words, FileHistory>;

async fn at_a_terminal(
    mut session: Session,
    words: Words,
    name: &str,
    screen: Screen,
    history: &PathBuf,
) -> anyhow::Result<()> {
    let settings = Config::builder().max_history_size(HISTORY_MAX)?.completion_type(CompletionType::List);
    let settings = settings.history_ignore_space(true).build();
    let mut editor: Line = Editor::with_config(settings).context("opening the terminal")?;
    editor.set_helper(Some(words));
    // There is none before the first time.
    editor.load_history(history).ok();
    let stop = Stop::on_ctrl_c();
    let mut out = screen.out();
    loop {
        let prompt =
            if session.is_within() { format!("{:>1$}> ", "...", name.chars().count()) } else { format!("{name}> ") };
        // Reading blocks, and the line to the server has to be kept alive meanwhile.
        let read = tokio::task::spawn_blocking(move || {
            let read = editor.readline(&prompt);
            (editor, read)
        });
        let (back, read) = read.await?;
        editor = back;
        match read {
            Ok(line) => {
                let next = session.line(&line, &mut out, &stop).await?;
                if let Some(said) = session.said() {
                    editor.add_history_entry(said)?;
                }
                if next == Next::Quit {
                    break;
                }
            }
            Err(ReadlineError::Interrupted) => session.forget(),
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error).context("reading from the terminal"),
        }
    }
    editor.save_history(history).with_context(|| format!("writing {}", history.display()))
}

/// Line by line; the first thing that goes wrong ends it, as in a script.
async fn from_standard_input(mut session: Session, screen: Screen) -> anyhow::Result<()> {
    let stop = Stop::on_ctrl_c();
    let mut out = screen.out();
    for line in io::stdin().lock().lines() {
        if session.line(&line?, &mut out, &stop).await? == Next::Quit {
            return session.outcome();
        }
        session.outcome()?;
    }
    session.finish(&mut out, &stop).await?;
    session.outcome()
}
