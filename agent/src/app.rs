//! Joins the rooms into the agent: opens, starts, and on the way out lets the data take its road to the end.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use deskside_proto::v1::Policy;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::collect::Registry;
use crate::host::{Host, Live, LiveOptions};
use crate::local::{self, Question};
use crate::redact::Redactor;
use crate::service;
use crate::uplink::{self, identity::Identity};

use commands::Means;
use consent::Decision;
use facts::Facts;
use keeper::Keeper;
use lines::LIVE_MAX;
use link::{Link, LinkStatus, Nudge};
use looks::{Eye, Looker, Seen, Wish};
use outbox::Outbox;
use settings::Settings;
use signing::Signing;

mod changes;
mod cli;
mod commands;
mod consent;
mod disclosing;
mod enrolling;
mod facts;
mod following;
mod keeper;
mod lines;
mod link;
mod looks;
mod news;
mod outbox;
mod privacy;
mod probing;
mod questions;
mod redact_test;
mod renewal;
mod requests;
mod rounds;
pub mod settings;
mod signing;
mod sql;
mod status;
mod tables;

pub use cli::cli;

/// Between two tidyings of the record.
const TIDY_EVERY: Duration = Duration::from_mins(5);

/// For each room to end when the agent stops.
const STOP_TIME: Duration = Duration::from_secs(3);

/// Nudges that wait for the link.
const NUDGES_MAX: usize = 4;

/// How long the state folder may still be held by what a killed agent left.
const LOCK_TIME: Duration = Duration::from_secs(2);

/// Between two tries to hold it.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Runs the agent until it is told to stop.
pub async fn run(
    settings: Settings,
    (state, public): (&Path, Option<&Path>),
    registry: Registry,
) -> anyhow::Result<()> {
    make_state(state)?;
    let _only_one = only_one(state, LOCK_TIME)?;
    let registry = Arc::new(registry);
    let host: Arc<dyn Host> = Arc::new(live(&settings));
    let redactor = Arc::new(Redactor::open(state, settings.redact.clone())?);
    let eye = Arc::new(Eye { host: Arc::clone(&host), registry: Arc::clone(&registry), redactor });
    let (keeper, record) = Keeper::start(&state.join("record"), settings.record.clone(), registry, host.now_ms())?;
    let policy = known_policy(state);
    eye.learn(policy.as_ref());
    let facts = Arc::new(Facts::of(host.as_ref()));
    let seed = seed()?;

    let (wishes, wished) = Looker::wishes();
    let means = Arc::new(Means {
        keeper: keeper.clone(),
        eye: Arc::clone(&eye),
        wishes: wishes.clone(),
        live: broadcast::channel(LIVE_MAX).0,
        outbox: Outbox::open(state, seed)?,
        facts: Arc::clone(&facts),
        policies: watch::Sender::new(policy.clone().unwrap_or_default()),
        state: state.to_owned(),
        turns: probing::turns(),
        questions: questions::turns(),
        limits: settings.sql.clone(),
        consents: Arc::default(),
    });
    if let Some(identity) = Identity::load(state)? {
        facts.set_device_id(&identity.device_id);
    }

    let seen = Seen::default();
    let mut looker = Looker::new(Arc::clone(&eye), keeper.clone(), &settings.schedule, seed, Arc::clone(&seen));
    looker.begin(policy.clone());
    let looking = tokio::spawn(looker.run(wished));

    // Tasks that may end at any moment.
    let mut beside = JoinSet::new();
    beside.spawn(changes::run(eye.registry.collectors().to_vec(), wishes.clone()));

    let signing = Signing::restore(&keeper).await?;
    let (taking, following) = following::start(&settings.logs, state, &means, signing.clone()).await?;
    let signed = signing.start(keeper.clone());
    let (hearing, quiet) = hear(&means, wishes.clone());
    let link_status = Arc::new(Mutex::new(LinkStatus::default()));
    let (nudges, nudged) = mpsc::channel(NUDGES_MAX);
    if let Some(file) = settings.token_file {
        beside.spawn(enrolling::run(state.to_owned(), file, Facts::of(host.as_ref()), seed, nudges.clone()));
    }
    let link = Link::new(state.to_owned(), Arc::clone(&means), facts, seed, Arc::clone(&link_status));
    let linking = tokio::spawn(link.run(nudged));
    beside.spawn(renewal::run(state.to_owned(), Arc::clone(&host), seed, nudges.clone()));
    beside.spawn(rounds::run(Arc::clone(&means), seed));
    let (questions, listening) = local::listen(state, public, &host)?;

    tracing::info!(version = facts::VERSION, tables = eye.registry.collectors().len(), "running");
    service::ready(&format!("version {}", facts::VERSION));
    beside.spawn(living(wishes.clone(), keeper.clone()));
    let answering = status::Answering { keeper: keeper.clone(), means: Arc::clone(&means), seen, link: link_status };
    serve(&answering, &keeper, host.as_ref(), questions, &nudges).await?;

    tracing::info!("stopping");
    service::stopping();
    beside.shutdown().await;
    signed.abort();
    following.abort();
    // Why in this order: what is seen is recorded first, and what is recorded is sent as far as the line takes it.
    drop((listening, wishes, quiet, answering, means));
    nudges.send(Nudge::Stop).await.ok();
    for (room, name) in [(hearing, "news"), (linking, "link"), (looking, "looks"), (taking, "logs")] {
        ended(room, name).await;
    }
    signing.write(&keeper).await;
    drop(keeper);
    close(record).await;
    Ok(())
}

/// What the machine's owner asks, the record's tidying, and the signal to stop.
async fn serve(
    answering: &status::Answering,
    keeper: &Keeper,
    host: &dyn Host,
    mut questions: mpsc::Receiver<Question>,
    nudges: &mpsc::Sender<Nudge>,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening to signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening to signals")?;
    let mut tidy = tokio::time::interval_at(tokio::time::Instant::now() + TIDY_EVERY, TIDY_EVERY);
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = tidy.tick() => {
                let (now_ms, means) = (host.now_ms(), Arc::clone(&answering.means));
                tokio::task::spawn_blocking(move || means.eye.learn(Some(&means.policies.borrow())));
                if let Err(error) = keeper.with(move |shelf| shelf.tidy(now_ms)).await? {
                    tracing::warn!(%error, "the record was not tidied");
                }
            }
            Some(question) = questions.recv() => match question {
                Question::Status(reply) => {
                    // The one who asked may have gone.
                    reply.send(answering.status().await).ok();
                }
                Question::Privacy(reply) => {
                    let means = Arc::clone(&answering.means);
                    // Why beside: the record of months may take its time.
                    tokio::spawn(async move {
                        reply.send(means.privacy().await.map_err(|error| format!("{error:#}"))).ok();
                    });
                }
                Question::Consents(reply) => {
                    reply.send(answering.means.consents.pending(host.now_ms())).ok();
                }
                Question::Decide { request, approved, account, reply } => {
                    let decision = Decision { approved, account };
                    reply.send(answering.means.consents.decide(host.now_ms(), request, decision)).ok();
                }
                Question::Record(reply) => {
                    answering.means.record_what_was_seen().await;
                    reply.send(()).ok();
                }
                Question::Reconnect => {
                    nudges.send(Nudge::Reconnect).await.ok();
                }
            },
        }
    }
}

/// Tells the service manager that the agent lives, for as long as those who work answer.
async fn living(wishes: mpsc::Sender<Wish>, keeper: Keeper) {
    service::live(|| lives(wishes.clone(), keeper.clone())).await;
}

/// Whether those who work answer.
async fn lives(wishes: mpsc::Sender<Wish>, keeper: Keeper) -> bool {
    let (reply, answer) = oneshot::channel();
    wishes.send(Wish::Answer(reply)).await.is_ok() && answer.await.is_ok() && keeper.with(|_shelf| ()).await.is_ok()
}

/// The machine as this process sees it.
fn live(settings: &Settings) -> Live {
    let (print_server, snmp) = (settings.print_server.clone(), settings.snmp.clone());
    Live::new(LiveOptions { print_server, snmp, ..LiveOptions::default() })
}

/// Listens to the network until the other end is dropped.
fn hear(means: &Arc<Means>, wishes: mpsc::Sender<Wish>) -> (JoinHandle<()>, oneshot::Sender<()>) {
    let (quiet, stopped) = oneshot::channel();
    let (eye, keeper) = (Arc::clone(&means.eye), means.keeper.clone());
    let listener = news::Listener { eye, keeper, wishes, policy: means.policies.subscribe() };
    (tokio::spawn(listener.run(stopped)), quiet)
}

async fn ended(room: JoinHandle<()>, name: &str) {
    match tokio::time::timeout(STOP_TIME, room).await {
        Ok(_ended) => tracing::debug!(room = name, "ended"),
        Err(_elapsed) => tracing::warn!(room = name, "did not end in time"),
    }
}

/// Waits until the record has written what waits, in a moment or never.
async fn close(record: std::thread::JoinHandle<()>) {
    let closing = tokio::task::spawn_blocking(move || record.join().is_ok());
    if tokio::time::timeout(STOP_TIME, closing).await.is_err() {
        tracing::warn!("the record did not close in time");
    }
}

/// The policy that was in force when the agent last ran. Where it is not to be trusted the defaults hold until the server sends it again.
fn known_policy(state: &Path) -> Option<Policy> {
    match uplink::policy::kept(state) {
        Ok(policy) => policy,
        Err(error) => {
            commands::refused(Some(&error));
            None
        }
    }
}

/// The state folder is nobody else's business.
fn make_state(state: &Path) -> anyhow::Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(state);
    made.with_context(|| format!("making {}", state.display()))
}

/// Two agents on one state folder would give the same numbers twice. Why it may wait: a program that a killed agent was about to run holds
/// the lock until it has begun.
fn only_one(state: &Path, longest: Duration) -> anyhow::Result<std::fs::File> {
    let path: PathBuf = state.join("lock");
    let file = std::fs::File::create(&path).with_context(|| format!("making {}", path.display()))?;
    let begun = Instant::now();
    while let Err(error) = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        if begun.elapsed() >= longest {
            return Err(error).with_context(|| format!("another agent runs on {}", state.display()));
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    Ok(file)
}

/// Spreads this agent's attempts and looks apart from all others'.
fn seed() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    let random = ring::rand::SystemRandom::new();
    ring::rand::SecureRandom::fill(&random, &mut bytes).ok().context("the system has no random numbers")?;
    Ok(u64::from_le_bytes(bytes))
}
