//! `deskside-server`: the centre, and what its operator does with it.

mod admin;
mod check;
mod custody;
mod screen;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use deskside_server::{
    app::{Options, Server},
    config::Config,
    store::AuditFilter,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;

/// The Deskside server: takes readings in, keeps them, and gives technicians the evidence.
#[derive(Parser)]
#[command(name = "deskside-server", version)]
struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

/// Where a package puts the configuration.
const USUAL_CONFIG: &str = "/etc/deskside/server.toml";

/// Where everything is.
#[derive(Args, Clone)]
struct Place {
    /// Data folder.
    #[arg(long, global = true, env = "DESKSIDE_SERVER_DATA", default_value = "/var/lib/deskside-server")]
    data: PathBuf,
    /// Configuration file (TOML); left out, /etc/deskside/server.toml if it is there, else the defaults.
    #[arg(long, global = true, env = "DESKSIDE_SERVER_CONFIG")]
    config: Option<PathBuf>,
    /// Lists and results as JSON.
    #[arg(long, global = true)]
    json: bool,
    /// How much is logged to stderr: off, error, warn, info, debug, trace.
    #[arg(long, global = true, env = "DESKSIDE_LOG", default_value = "info")]
    log: LevelFilter,
}

#[derive(Subcommand)]
enum Command {
    /// Serves agents and technicians until it is told to stop.
    Run {
        /// Where to listen for agents; port 0 for any that is free.
        #[arg(long)]
        agents: Option<SocketAddr>,
        /// Where to listen for technicians; port 0 for any that is free.
        #[arg(long)]
        desk: Option<SocketAddr>,
    },
    /// Tokens by which machines enrol.
    #[command(subcommand)]
    Token(admin::Token),
    /// Enrolled machines.
    #[command(subcommand)]
    Device(admin::Device),
    /// Those who may ask.
    #[command(subcommand)]
    Technician(admin::Technician),
    /// The audit log: who asked, looked at, collected and took what, and when; its chain of hashes is checked.
    Audit {
        /// The newest lines.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        last: u32,
        /// Only this person's, device's or part of the server's.
        #[arg(long, default_value = "")]
        who: String,
        /// Only this kind.
        #[arg(long, default_value = "")]
        what: String,
        /// Only this ticket's.
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        ticket: u64,
    },
    /// The custody log, of which the audit log is a part.
    #[command(subcommand)]
    Custody(custody::Command),
    /// Prints the effective configuration, and whether the data folder is sound.
    Check,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = if matches!(cli.command, Command::Run { .. }) { cli.place.log } else { LevelFilter::WARN };
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_ansi(false).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = runtime.context("starting").and_then(|runtime| runtime.block_on(act(cli)));
    match done {
        Ok(code) => code,
        Err(error) => {
            screen::complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn act(cli: Cli) -> Result<ExitCode> {
    let place = cli.place;
    let usual = Path::new(USUAL_CONFIG);
    let mut config = Config::read(place.config.as_deref().or(usual.exists().then_some(usual)))?;
    match cli.command {
        Command::Run { agents, desk } => {
            config.agents.listen = agents.unwrap_or(config.agents.listen);
            config.desk.listen = desk.unwrap_or(config.desk.listen);
            run(Options { data: place.data, config }).await?;
        }
        Command::Token(command) => admin::token(&place, &config, command).await?,
        Command::Device(command) => admin::device(&place, command).await?,
        Command::Technician(command) => admin::technician(&place, &config, command).await?,
        Command::Audit { last, who, what, ticket } => {
            let wanted = AuditFilter { who, what, ticket, ..AuditFilter::default() };
            admin::audit(&place, wanted, last).await?;
        }
        Command::Custody(command) => return custody::custody(&place, command).await,
        Command::Check => return check::check(&place, &config).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn run(options: Options) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut server = Server::start(options).await?;
    let addresses = server.addresses();
    screen::say(&format!("agents: {} desk: {} CA sha256: {}", addresses.agents, addresses.desk, addresses.ca_sha256));
    let failed = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        error = server.failed() => Some(error),
    };
    server.stop().await?;
    failed.map_or(Ok(()), Err)
}
