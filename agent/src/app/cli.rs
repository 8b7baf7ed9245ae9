//! The agent's command line.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use deskside_proto::probes::Verdict;
use deskside_proto::v1::{Outcome, Policy};
use deskside_proto::{catalog, show};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::facts::Facts;
use super::settings::Settings;
use super::{
    enrolling, known_policy, live, make_state, only_one, privacy, probing, questions, redact_test, sql, tables,
};
use crate::collect::{Collector, Registry, look_once, record_host};
use crate::host::{Host, hold_little_memory};
use crate::probe::{self, Errand};
use crate::redact::{self, Redactor};
use crate::schedule::{FAR_LANES, LANES, STUCK_MAX};
use crate::{config, local};

/// Threads for looks and files. Why so short-lived: an idle agent holds none.
const THREADS_MAX: usize = LANES + FAR_LANES + STUCK_MAX + probe::AT_ONCE_MAX + questions::AT_ONCE_MAX + 4;
const THREAD_IDLE: Duration = Duration::from_secs(2);
const THREAD_STACK_BYTES: usize = 512 * 1024;

/// For threads that hang in the kernel when the agent ends.
const HANGING_TIME: Duration = Duration::from_millis(100);

/// Reads this machine, remembers, and streams to the Deskside server what its policy asks for.
#[derive(Debug, Parser)]
#[command(name = "deskside-agent", version)]
struct Arguments {
    /// Settings; a file that is absent means the defaults.
    #[arg(long, global = true, env = "DESKSIDE_AGENT_CONFIG", default_value = "/etc/deskside/agent.toml")]
    config: PathBuf,
    /// Where the agent keeps its identity and its record.
    #[arg(long, global = true, env = "DESKSIDE_AGENT_STATE", default_value = "/var/lib/deskside-agent")]
    state: PathBuf,
    /// A folder that every account may look into, for the socket at which the one who sits here answers what technicians ask.
    #[arg(long, global = true, env = "DESKSIDE_AGENT_PUBLIC")]
    public: Option<PathBuf>,
    /// How much is logged: error, warn, info, debug.
    #[arg(long, global = true, env = "DESKSIDE_LOG", default_value = "info")]
    log: LevelFilter,
    #[command(subcommand)]
    verb: Verb,
}

/// What is to be captured.
#[derive(Debug, Args)]
struct CaptureArguments {
    /// Where the packets go: a file that is not there yet (pcapng).
    #[arg(long)]
    out: PathBuf,
    /// Interface, or "any"; left out, the one of the default route.
    #[arg(long)]
    interface: Option<String>,
    /// Which packets, in the words of tcpdump: "host 192.0.2.9 and tcp port 443"; left out, all.
    #[arg(long)]
    filter: Option<String>,
    /// How long, in seconds.
    #[arg(long)]
    seconds: Option<u32>,
    /// Bytes of each packet that are kept.
    #[arg(long)]
    snaplen: Option<u32>,
    /// Packets at most.
    #[arg(long)]
    packets: Option<u64>,
    /// Bytes of the file at most.
    #[arg(long)]
    bytes: Option<u64>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl CaptureArguments {
    /// As the probe is told.
    fn words(&self) -> Vec<String> {
        let number = |name, value: Option<u64>| value.map(|value| format!("{name}={value}"));
        let text = |name, value: &Option<String>| value.as_ref().map(|value| format!("{name}={value}"));
        let words = [
            text("interface", &self.interface),
            text("filter", &self.filter),
            number("seconds", self.seconds.map(u64::from)),
            number("snaplen", self.snaplen.map(u64::from)),
            number("packets", self.packets),
            number("bytes", self.bytes),
        ];
        words.into_iter().flatten().collect()
    }
}

/// What the person at the machine says.
#[derive(Debug, Subcommand)]
enum ConsentAnswer {
    /// Agrees to a request.
    Approve {
        /// Its number.
        request: u64,
    },
    /// Refuses a request.
    Refuse {
        /// Its number.
        request: u64,
    },
}

/// What the person at the machine does about it.
#[derive(Debug, Subcommand)]
enum PrivacyDeed {
    /// Agrees to a request.
    Approve {
        /// Its number.
        request: u64,
    },
    /// Refuses a request.
    Refuse {
        /// Its number.
        request: u64,
    },
    /// Tells the desktop of each request, as long as this session lasts.
    Watch {
        /// The session bus.
        #[arg(long, env = "DBUS_SESSION_BUS_ADDRESS", default_value = "", hide_default_value = true)]
        bus: String,
    },
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Makes this machine known to a server, with a token from it.
    Enroll {
        /// The string that begins with dsk1.
        #[arg(env = "DESKSIDE_TOKEN", hide_env_values = true, required_unless_present = "token_file")]
        token: Option<String>,
        /// A file that holds it.
        #[arg(long, conflicts_with = "token")]
        token_file: Option<PathBuf>,
    },
    /// Runs the agent until it is told to stop.
    Run,
    /// Says how the running agent is.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Looks at this machine now and prints what it finds; needs no server.
    Collect {
        /// Tables; all where none is named.
        tables: Vec<String>,
        /// As JSON, with all rows.
        #[arg(long)]
        json: bool,
    },
    /// Tests something of this machine now; needs no server.
    Probe {
        /// Which probe; --list says which there are.
        #[arg(required_unless_present = "list")]
        probe: Option<String>,
        /// What is said to it.
        arguments: Vec<String>,
        /// What can be tested, and what can be said to it.
        #[arg(long)]
        list: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows what would be taken out of a text file before anything of it was kept: secrets, names, addresses where policy says.
    RedactTest {
        /// A file; "-" for what is piped in.
        #[arg(required_unless_present = "kinds")]
        file: Option<PathBuf>,
        /// Lines that stay as they are too.
        #[arg(long)]
        all: bool,
        /// The kinds of secret that are known.
        #[arg(long)]
        kinds: bool,
        /// As JSON, a line each.
        #[arg(long)]
        json: bool,
    },
    /// Says whom a pseudonym stands for, where policy lets this machine keep a list.
    Who {
        /// As it stands in a reading: person-… or ip-….
        pseudonym: String,
    },
    /// Captures packets of this machine into a file; needs root or `CAP_NET_RAW`, and no server.
    Capture(CaptureArguments),
    /// Says what technicians ask to take of this machine, and answers them.
    Consent {
        #[command(subcommand)]
        answer: Option<ConsentAnswer>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lists what technicians took of this machine, by whom, for which ticket and when, and what waits for your answer.
    Privacy {
        #[command(subcommand)]
        deed: Option<PrivacyDeed>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Asks this machine and its record in SQL; needs no server, and no running agent.
    #[command(after_help = sql::EXAMPLES)]
    Sql(sql::Asking),
    /// Prints the settings that are in force.
    Check,
    /// Prints what can be collected: every table with its columns.
    Tables {
        /// One table.
        table: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Writes this machine's answers to a folder, for tests of collectors elsewhere.
    RecordHost {
        /// A folder that is new or empty.
        folder: PathBuf,
    },
}

/// The agent's whole command line, for the collectors of the registry.
pub fn cli(registry: Registry) -> ExitCode {
    let arguments = Arguments::parse();
    log_to_stderr(arguments.log);
    let mut out = io::stdout().lock();
    let done = perform(&arguments, registry, &mut out).and_then(|()| Ok(out.flush()?));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody can be told where even this fails.
            writeln!(io::stderr(), "deskside-agent: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn perform(arguments: &Arguments, registry: Registry, out: &mut dyn Write) -> anyhow::Result<()> {
    let settings: Settings = match &arguments.verb {
        // Why not read: who answers is any account, and the settings may be closed to it.
        Verb::Consent { .. } | Verb::Privacy { .. } => Settings::default(),
        _ => config::read(&arguments.config)?,
    };
    match &arguments.verb {
        Verb::Enroll { token, token_file } => {
            let token = match token_file {
                Some(file) => enrolling::token(file)?,
                None => token.clone().unwrap_or_default(),
            };
            enroll_here(&settings, &arguments.state, &token, out)
        }
        Verb::Run => {
            hold_little_memory();
            on_runtime(super::run(settings, (&arguments.state, arguments.public.as_deref()), registry))
        }
        Verb::Status { json } => {
            let status = local::status(&arguments.state)?;
            if *json { tables::json(&serde_json::to_value(status)?, out) } else { tables::status(&status, out) }
        }
        Verb::Collect { tables, json } => collect(&settings, &arguments.state, &registry, tables, *json, out),
        Verb::Probe { list: true, json, .. } => tables::probes(*json, out),
        Verb::Probe { probe, arguments: words, json, .. } => {
            let redactor = redactor(&settings, &arguments.state)?;
            let asked = (Errand::default(), probe.as_deref().unwrap_or_default(), words.as_slice());
            let server = probing::server(&arguments.state);
            test(&live(&settings), &server, &redactor, asked, *json, out)
        }
        Verb::Capture(asked) => {
            let redactor = redactor(&settings, &arguments.state)?;
            let file = File::create_new(&asked.out).with_context(|| format!("making {}", asked.out.display()))?;
            let mut errand = Errand::into(Box::new(file));
            "it was captured at the machine".clone_into(&mut errand.consent);
            errand.file = asked.out.display().to_string();
            let server = probe::Server::default();
            test(&live(&settings), &server, &redactor, (errand, "capture", &asked.words()), asked.json, out)
        }
        Verb::RedactTest { kinds: true, .. } => redact_test::kinds(out),
        Verb::RedactTest { file, all, json, .. } => {
            let redactor = redactor(&settings, &arguments.state)?;
            let policy = known_policy(&arguments.state);
            redactor.learn(&live(&settings), policy.as_ref().and_then(|policy| policy.redaction.as_ref()));
            redact_test::run(&redactor, file.as_deref().unwrap_or(Path::new("-")), *all, *json, out)
        }
        Verb::Who { pseudonym } => {
            let name = Redactor::stands_for(&arguments.state, pseudonym)?;
            let name = name.with_context(|| format!("{pseudonym} is not in this machine's list"))?;
            Ok(writeln!(out, "{}", show::printable(&name))?)
        }
        Verb::Consent { answer, json } => consent(arguments, answer.as_ref(), *json, out),
        Verb::Privacy { deed, json } => private(arguments, &settings, deed.as_ref(), *json, out),
        Verb::Sql(asking) => {
            let redactor = redactor(&settings, &arguments.state)?;
            let host = Arc::new(live(&settings));
            redactor.learn(host.as_ref(), None);
            sql::run(asking, (&settings, &arguments.state), registry, (host, redactor), out)
        }
        Verb::Check => {
            let text = config::write(&settings)?;
            let from = if arguments.config.exists() { "from" } else { "defaults; there is no" };
            Ok(write!(out, "# {from} {}\n{text}", arguments.config.display())?)
        }
        Verb::Tables { table, json } => tables::dictionary(&registry, table.as_deref(), *json, out),
        Verb::RecordHost { folder } => {
            let redactor = redactor(&settings, &arguments.state)?;
            let size = record_host(folder, &registry, &live(&settings), &|text| redactor.text(text).into_owned())?;
            let (files, kib) = (size.files, size.bytes / 1024);
            Ok(writeln!(out, "{}: {files} answers, {kib} KiB, {} left out", folder.display(), size.left_out)?)
        }
    }
}

/// What technicians ask to take of this machine, or an answer to it.
fn consent(
    arguments: &Arguments,
    answer: Option<&ConsentAnswer>,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let (state, public) = (arguments.state.as_path(), arguments.public.as_deref());
    let (request, approved, word) = match answer {
        Some(ConsentAnswer::Approve { request }) => (*request, true, "approved"),
        Some(ConsentAnswer::Refuse { request }) => (*request, false, "refused"),
        None => return tables::consents(&local::consents(state, public)?, json, out),
    };
    local::decide(state, public, request, approved)?;
    Ok(writeln!(out, "request {request} {word}")?)
}

/// What was taken of this machine, an answer to what waits, or a word on the desktop.
fn private(
    arguments: &Arguments,
    settings: &Settings,
    deed: Option<&PrivacyDeed>,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let (state, public) = (arguments.state.as_path(), arguments.public.as_deref());
    match deed {
        None => privacy::print(&local::privacy(state, public)?, json, out),
        Some(PrivacyDeed::Approve { request }) => {
            consent(arguments, Some(&ConsentAnswer::Approve { request: *request }), json, out)
        }
        Some(PrivacyDeed::Refuse { request }) => {
            consent(arguments, Some(&ConsentAnswer::Refuse { request: *request }), json, out)
        }
        Some(PrivacyDeed::Watch { bus }) => privacy::watch(&live(settings), state, public, bus),
    }
}

fn enroll_here(settings: &Settings, state: &Path, token: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    make_state(state)?;
    let facts = Facts::of(&live(settings));
    let identity = on_runtime(enrolling::by(token, &facts))?;
    identity.save(state)?;
    writeln!(out, "enrolled as {} ({})", facts.hostname, identity.device_id)?;
    if only_one(state, Duration::ZERO).is_ok() {
        writeln!(out, "start the agent: deskside-agent run")?;
    } else if let Err(error) = local::reconnect(state) {
        writeln!(out, "restart the agent, so that it uses its new identity ({error:#})")?;
    }
    Ok(())
}

fn collect(
    settings: &Settings,
    state: &Path,
    registry: &Registry,
    wanted: &[String],
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut collectors: Vec<&Collector> = Vec::new();
    for table in wanted {
        let found = registry.collector(table);
        collectors
            .push(found.with_context(|| format!("there is no table {table:?}; deskside-agent tables lists them"))?);
    }
    if wanted.is_empty() {
        collectors.extend(registry.collectors());
    }
    let redactor = redactor(settings, state)?;
    let readings =
        look_once(collectors, &live(settings)).into_iter().map(|reading| match registry.schema(&reading.table) {
            Some(schema) => redactor.redact(schema, reading),
            None => reading,
        });
    let readings = readings.collect();
    if json { tables::readings_json(registry, readings, out) } else { tables::readings(registry, readings, out) }
}

/// What somebody at the machine may test: they could reach everything by themselves.
fn own_policy() -> Policy {
    Policy { targets: vec!["*".into()], ..Policy::default() }
}

/// One probe: its steps as they are done, then what they come to. A step that failed is an error.
fn test(
    host: &dyn Host,
    server: &probe::Server,
    redactor: &Redactor,
    (errand, name, words): (Errand, &str, &[String]),
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let probe = probe::named(name)?;
    let mut tell = |words: String| {
        words.is_empty() || json || writeln!(out, "{}", show::printable(&redactor.text(&words))).is_ok()
    };
    let reading = probe::run_for(errand, probe, host, words, (&own_policy(), server), &mut tell)?;
    let schema = catalog::table(probe.table).context("a probe without a table")?;
    let reading = redactor.redact(schema, reading);
    let verdict = Verdict::of(schema, &reading);
    if json {
        tables::readings_json(&Registry::standard(), vec![reading], out)?;
        anyhow::ensure!(!verdict.failed, "{}", verdict.sentences.join(" "));
        return Ok(());
    }
    anyhow::ensure!(!verdict.failed, "{}", verdict.sentences.join("\n"));
    if reading.outcome() != Outcome::Ok {
        writeln!(out, "{}: {}", show::outcome(reading.outcome()), show::printable(&reading.reason))?;
    }
    verdict.sentences.iter().try_for_each(|said| writeln!(out, "{}", show::printable(said)))?;
    Ok(())
}

/// With the agent's own key where it may be read, so that pseudonyms are those of the record; else with a key of the moment.
fn redactor(settings: &Settings, state: &Path) -> anyhow::Result<Redactor> {
    if state.is_dir()
        && let Ok(redactor) = Redactor::open(state, settings.redact.clone())
    {
        return Ok(redactor);
    }
    let passing = tempfile::tempdir().context("making a passing folder")?;
    Redactor::open(passing.path(), redact::Config { mapping: false, ..settings.redact.clone() })
}

fn on_runtime<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(THREADS_MAX)
        .thread_keep_alive(THREAD_IDLE)
        .thread_stack_size(THREAD_STACK_BYTES)
        .build()
        .context("starting")?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(HANGING_TIME);
    done
}

fn log_to_stderr(level: LevelFilter) {
    let ours = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("deskside_agent", level);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    tracing_subscriber::registry().with(lines).with(ours).init();
}

/// The reader of our output has seen enough.
fn closed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
