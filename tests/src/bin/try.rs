//! Deskside on this machine, from nothing to a case: builds, starts a server, enrols an agent, opens a ticket, escalates it, and prints
//! the case with its evidence.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use deskside_agent::collect::{self, Cadence};
use deskside_tests::house::{House, Programs, until};
use serde_json::Value as Json;
use tokio::signal::unix::{SignalKind, signal};

/// How long the first looks may take to arrive; what has not come by then is named in the case.
const FIRST_LOOKS_MAX: Duration = Duration::from_secs(30);

/// Tries Deskside out on this machine. Nothing is installed, and nothing leaves the machine.
#[derive(Debug, Parser)]
struct Arguments {
    /// End after the case is printed.
    #[arg(long)]
    once: bool,
    /// Keep the server's and the agent's files in this new folder [default: a temporary one, removed at the end].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(until_told_to_end(arguments)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nthe try-out ended early: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whatever ends it, the house is dropped, and with it the programs that it started.
async fn until_told_to_end(arguments: Arguments) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = run(arguments) => done,
        pressed = tokio::signal::ctrl_c() => { pressed?; say("\nending the agent and the server")}
        _told = terminate.recv() => Ok(()),
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let steps = Steps::begin("building; the first time takes a few minutes")?;
    let programs = Programs::build()?;
    steps.done("built")?;

    let temporary = tempfile::Builder::new().prefix("deskside-try-").tempdir()?;
    let folder = arguments.dir.as_deref().unwrap_or(temporary.path());
    if folder.exists() && std::fs::read_dir(folder)?.next().is_some() {
        bail!("{} is not empty; name a new folder", folder.display());
    }
    let steps = Steps::begin("starting a server")?;
    let mut house = House::open(programs.clone(), folder).await?;
    steps.done(&format!("server up: agents {}, desk {}", house.addresses.agents, house.addresses.desk))?;

    let steps = Steps::begin("enrolling this machine")?;
    house.enrol()?;
    let device = first_looks(&mut house).await?;
    steps.done(&format!("this machine is enrolled, and its first readings have arrived ({})", device.tables))?;

    let steps = Steps::begin("opening and escalating a ticket")?;
    let (title, description) = ("Something is wrong with my computer", "It was fine yesterday, and now it is not.");
    let ticket = house.desk_json(&["ticket", "new", title, "--description", description, "--device", &device.id])?;
    let number = ticket.get("number").and_then(Json::as_u64).context("the ticket has no number")?.to_string();
    let begun = Instant::now();
    house.desk_json(&["ticket", "escalate", &number, "--wait"])?;
    let took = begun.elapsed();
    steps.done(&format!("ticket {number} escalated; evidence on the ticket after {:.2} s", took.as_secs_f64()))?;

    say("")?;
    show_case(&house, &number)?;
    let bundle = fetch(&house, &number)?;
    go_on(&house, &programs, &number, &bundle, arguments.once)?;
    if !arguments.once {
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// The enrolled device, once its first looks have arrived.
struct Known {
    id: String,
    tables: String,
}

async fn first_looks(house: &mut House) -> anyhow::Result<Known> {
    let expected: Vec<&str> = collect::ALL
        .iter()
        .filter(|collector| collector.cadence != Cadence::Followed)
        .map(|collector| collector.table)
        .collect();
    let (begun, mut known) = (Instant::now(), None);
    until("the agent's first readings", FIRST_LOOKS_MAX * 2, || {
        house.agent_pid()?;
        let devices = house.desk_json(&["devices"])?;
        let Some(id) = devices.pointer("/0/id").and_then(Json::as_str) else { return Ok(None) };
        let device = house.desk_json(&["device", id])?;
        let tables = device.get("tables").and_then(Json::as_array).cloned().unwrap_or_default();
        let has = |table: &str| tables.iter().any(|state| state.get("table").and_then(Json::as_str) == Some(table));
        let arrived = expected.iter().filter(|table| has(table)).count();
        known = Some(Known { id: id.to_owned(), tables: format!("{arrived} of {} tables", expected.len()) });
        let enough = arrived == expected.len() || (arrived > 0 && begun.elapsed() > FIRST_LOOKS_MAX);
        Ok(enough.then_some(()))
    })
    .await?;
    known.context("no device has enrolled")
}

/// Printed by the technician's own command, so that it looks as it will.
fn show_case(house: &House, number: &str) -> anyhow::Result<()> {
    let status = house.desk_command().args(["ticket", "show", number]).status()?;
    anyhow::ensure!(status.success(), "`deskside ticket show {number}` went wrong");
    Ok(())
}

/// Fetches the bundle to where it outlives the house.
fn fetch(house: &House, number: &str) -> anyhow::Result<PathBuf> {
    let case = house.desk_json(&["ticket", "show", number])?;
    let of = |key: &str| case.pointer(&format!("/evidence/0/{key}")).and_then(Json::as_str);
    let (id, name) = of("id").zip(of("name")).context("the collection ended without evidence")?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/try");
    std::fs::create_dir_all(&folder)?;
    let path = folder.canonicalize()?.join(name);
    house.desk_says(&["evidence", "get", id, "-o", &path.to_string_lossy()])?;
    Ok(path)
}

fn go_on(house: &House, programs: &Programs, number: &str, bundle: &Path, once: bool) -> anyhow::Result<()> {
    say(&format!("\nthe bundle, its hash checked:\n  {}", bundle.display()))?;
    if once {
        return say("\nto keep it running and ask it more, leave out --once");
    }
    say("\nto go on, in another terminal:")?;
    say(&format!("  export PATH={}:$PATH DESKSIDE_HOME={}", programs.folder().display(), house.home().display()))?;
    let host = house.desk_json(&["devices"])?;
    let host = host.pointer("/0/name").and_then(Json::as_str).unwrap_or("NAME").to_owned();
    let next = [
        (format!("deskside device {host}"), "what is wrong with this machine, and what is known of it"),
        (format!("deskside ask {host} printers interfaces"), "a fresh look, now"),
        (format!("deskside show {host} services --at -10m"), "as it was ten minutes ago"),
        (format!("deskside tail {host} --priority warning"), "its log, live"),
        (format!("deskside collect {host} --ticket {number} --recipe cannot-print --wait"), "more evidence"),
        (format!("deskside ticket note {number} \"called the user\""), "the story goes on"),
        (format!("deskside case {number}"), "all of it, from the report to what broke"),
        (
            format!("deskside evidence export {number} -o case.zip"),
            "sealed; `deskside verify case.zip` proves it anywhere",
        ),
    ];
    let width = next.iter().map(|(command, _what)| command.len()).max().unwrap_or_default();
    next.iter().try_for_each(|(command, what)| say(&format!("  {command:width$}  # {what}")))?;
    say("\nCtrl-C here ends the agent and the server")
}

/// One step that is under way; on a terminal its line is replaced when it is done.
struct Steps {
    begun: Instant,
}

impl Steps {
    fn begin(what: &str) -> anyhow::Result<Self> {
        if io::stderr().is_terminal() {
            write!(io::stderr(), "  … {what}")?;
            io::stderr().flush()?;
        }
        Ok(Self { begun: Instant::now() })
    }

    fn done(self, what: &str) -> anyhow::Result<()> {
        let back = if io::stderr().is_terminal() { "\r\u{1b}[K" } else { "" };
        writeln!(io::stderr(), "{back}  ✓ {what} ({:.1} s)", self.begun.elapsed().as_secs_f64())?;
        Ok(())
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{text}")?;
    Ok(())
}
