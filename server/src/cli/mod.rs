//! `deskside`, the technician's command line. It knows the contract and nothing else of the server.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use connect::Desk;
use screen::Screen;

mod approvals;
mod attach;
mod bundle;
mod capture;
mod casefile;
mod collect;
mod config;
mod connect;
mod custody;
mod decode;
mod devices;
mod diff;
mod evidence;
mod export;
mod facts;
mod holds;
mod log;
mod login;
mod logs;
mod outbox;
mod people;
mod probe;
mod query;
mod questions;
mod screen;
mod section;
mod shape;
mod sheet;
mod shell;
mod signatures;
mod sql;
mod tables;
mod tickets;
mod trouble;
mod verify;
mod when;

/// Looks at machines, works on tickets, and gathers evidence.
///
/// Exit status: 0 done, 1 something went wrong, 2 the command line is wrong.
#[derive(Debug, Parser)]
#[command(name = "deskside", version, propagate_version = true)]
struct Arguments {
    /// JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    /// Folder that keeps the login [default: the user's configuration folder].
    #[arg(long, global = true, env = "DESKSIDE_HOME", value_name = "DIR")]
    home: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keep the login that an administrator gave out.
    Login(login::Login),
    /// Who may come in: administrators add, list, renew and revoke.
    #[command(subcommand)]
    Technician(people::People),
    /// All devices, worst first.
    Devices,
    /// One device: what is wrong first, then what is known and how old it is.
    Device(devices::One),
    /// One table of a device, as last known or as it was.
    Show(tables::Show),
    /// A fresh look at tables of a device, now.
    Ask(tables::Ask),
    /// Test something of a device, now.
    Probe(probe::Probe),
    /// Capture packets of a device for a ticket.
    Capture(capture::Capture),
    /// Ask in SQL: one device, the whole fleet, a ticket's evidence, or a bundle in a file.
    Sql(Box<sql::Sql>),
    /// A prompt for questions in SQL, with completion, history and watching.
    Shell(Box<shell::Shell>),
    /// Questions that have a name: those of this release for the diagnoses, and your own.
    #[command(subcommand)]
    Query(query::Query),
    /// Questions that are kept until their device is back.
    #[command(subcommand)]
    Questions(questions::Questions),
    /// What changed on a device between two times, or what differs between two devices.
    Diff(diff::Diff),
    /// A device's log, live, until Ctrl-C.
    Tail(tables::Tail),
    /// A device's log around a time, or between two.
    Logs(logs::Logs),
    /// A log of another system, a file or attached to a ticket: .evtx, macOS' ndjson, text.
    Log(log::Log),
    /// Which tables there are, and what their columns mean.
    Tables(tables::Tables),
    /// Errors that programs wrote down, over all devices.
    Signatures(signatures::Signatures),
    /// What codes mean: 0x80070005, ENOSPC, "exit status 203".
    Decode(decode::Decode),
    /// Open tickets.
    Tickets(tickets::Tickets),
    /// One ticket with all that is known of it: what is wrong first, what changed before, what happened since, and what is missing.
    Case(casefile::Case),
    /// One ticket: open it, show it, hand it on.
    #[command(subcommand)]
    Ticket(tickets::Ticket),
    /// Ask a device for evidence for a ticket.
    Collect(collect::Collect),
    /// A collection that was asked for.
    #[command(subcommand)]
    Collection(collect::Collection),
    /// What is still to be said at help desks.
    #[command(subcommand)]
    Outbox(outbox::Outbox),
    /// Recipes: what can be collected for which symptom.
    Recipes,
    /// Attach a file from elsewhere to a ticket: an exported .evtx, a macOS log, packets, a photo.
    Attach(attach::Attach),
    /// Evidence: list it, get it, open it, redact it, delete it, export a whole case.
    #[command(subcommand)]
    Evidence(evidence::Evidence),
    /// Whether a bundle or an exported case is what was sealed; without the server.
    Verify(verify::Verify),
    /// Who did what with a ticket and its evidence, and whether the log of it holds.
    Custody(custody::Custody),
    /// The audit log: every question, view, command and export.
    Audit(custody::Audit),
    /// What waits for a second person: captures and content, where the server wants that.
    #[command(subcommand)]
    Approvals(approvals::Approvals),
    /// Legal holds: while one stands, nothing that it covers is deleted.
    #[command(subcommand)]
    Hold(holds::Holds),
}

pub use query::of_release as queries;

/// Runs the command line; the exit status is 0, 1 for trouble, 2 for a wrong command line.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let screen = Screen::new(arguments.json);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run(arguments, screen)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) if error.is::<trouble::Said>() => ExitCode::FAILURE,
        Err(error) => complain(screen, &error),
    }
}

async fn run(arguments: Arguments, screen: Screen) -> anyhow::Result<()> {
    let folder = config::folder(arguments.home)?;
    let command = match arguments.command {
        Command::Login(login) => return login.run(&folder, screen).await,
        Command::Decode(decode) => return decode.run(screen),
        Command::Verify(verify) => return verify.run(&folder, screen),
        Command::Custody(custody) => return custody.run(&folder, screen).await,
        Command::Log(log) => return log.run(&folder, screen).await,
        Command::Sql(sql) => return sql.run(&folder, screen).await,
        Command::Shell(shell) => return shell.run(&folder, screen).await,
        Command::Query(query) => return query.run(&folder, screen).await,
        Command::Technician(people) => return people.run(&folder, screen).await,
        other => other,
    };
    let desk = connect::open(&config::read(&folder)?).await?;
    command.run(desk, screen).await
}

impl Command {
    async fn run(self, desk: Desk, screen: Screen) -> anyhow::Result<()> {
        match self {
            Self::Login(_)
            | Self::Verify(_)
            | Self::Custody(_)
            | Self::Technician(_)
            | Self::Decode(_)
            | Self::Log(_)
            | Self::Sql(_)
            | Self::Shell(_)
            | Self::Query(_) => Ok(()),
            Self::Signatures(signatures) => signatures.run(desk, screen).await,
            Self::Devices => devices::list(desk, screen).await,
            Self::Device(one) => one.run(desk, screen).await,
            Self::Show(show) => show.run(desk, screen).await,
            Self::Ask(ask) => ask.run(desk, screen).await,
            Self::Probe(probe) => probe.run(desk, screen).await,
            Self::Capture(capture) => capture.run(desk, screen).await,
            Self::Tail(tail) => tail.run(desk, screen).await,
            Self::Logs(logs) => logs.run(desk, screen).await,
            Self::Tables(tables) => tables.run(desk, screen).await,
            Self::Tickets(tickets) => tickets.run(desk, screen).await,
            Self::Case(case) => case.run(desk, screen).await,
            Self::Ticket(ticket) => ticket.run(desk, screen).await,
            Self::Collect(collect) => collect.run(desk, screen).await,
            Self::Collection(collection) => collection.run(desk, screen).await,
            Self::Outbox(outbox) => outbox.run(desk, screen).await,
            Self::Recipes => collect::recipes(desk, screen).await,
            Self::Attach(attach) => attach.run(desk, screen).await,
            Self::Evidence(evidence) => evidence.run(desk, screen).await,
            Self::Audit(audit) => audit.run(desk, screen).await,
            Self::Approvals(approvals) => approvals.run(desk, screen).await,
            Self::Hold(holds) => holds.run(desk, screen).await,
            Self::Diff(diff) => diff.run(desk, screen).await,
            Self::Questions(questions) => questions.run(desk, screen).await,
        }
    }
}

/// `deskside devices | head -1` is no trouble.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn complain(screen: Screen, error: &anyhow::Error) -> ExitCode {
    let (what, advice) = trouble::explain(error);
    let told = if screen.json {
        screen.value(&serde_json::json!({ "error": what, "advice": advice }))
    } else {
        screen::complaint(&what, &advice)
    };
    // Where even standard error is gone, the exit status is all that is left to say.
    if told.is_err() { ExitCode::from(1) } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
