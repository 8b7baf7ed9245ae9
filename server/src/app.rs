//! Joins the rooms: opens the data folder, starts both listeners, and ends all of it in order.

mod expiry;
mod folder;
mod keeping;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tonic::transport::server::Router;
use tracing::{error, info};

pub use folder::{Folder, Lock};

use crate::{
    case::Cases,
    config::Config,
    custody::Custody,
    desk::{Desk, Scratch},
    gateway::{self, CutReason, Gateway, GatewayParts, Staging, Switchboard},
    identity::{Authority, ServerTls, oidc::Provider},
    ingest::Ingest,
    question::Questions,
    store::{Audit, Db, Store},
    ticket::{HelpDesks, hooks},
};

/// Connections of agents at once. Why: under the file handles that a process may commonly have (20,000), with room for the rest.
const AGENT_CONNECTIONS_MAX: usize = 16_000;

/// Connections of technicians at once.
const DESK_CONNECTIONS_MAX: usize = 512;

/// Connections of hooks at once.
const HOOK_CONNECTIONS_MAX: usize = 64;

/// Calls at once on one agent's connection: a session, uploads, a renewal.
const AGENT_STREAMS_MAX: u32 = 16;

/// Calls at once on one technician's connection.
const DESK_STREAMS_MAX: u32 = 64;

/// HTTP/2 windows: what one side may send unasked.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 512 * 1024;

/// Largest set of headers.
const HEADER_BYTES_MAX: u32 = 16 * 1024;

/// Pings on a silent connection, and how long one may go without an answer.
const PING_EVERY: Duration = Duration::from_secs(45);
const PING_TIME: Duration = Duration::from_secs(20);

/// How long open calls may take to end once the server stops.
const STOP_TIME: Duration = Duration::from_secs(3);

/// Where to run, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data folder.
    pub data: PathBuf,
    /// The configuration.
    pub config: Config,
}

/// Where a running server is to be reached; also in the data folder, as `addresses.json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Addresses {
    /// For agents.
    pub agents: SocketAddr,
    /// For technicians.
    pub desk: SocketAddr,
    /// For hooks of help desks, where that is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<SocketAddr>,
    /// SHA-256 of the authority's certificate, lower-case hex.
    pub ca_sha256: String,
}

/// A running server.
pub struct Server {
    addresses: Addresses,
    folder: Folder,
    switchboard: Switchboard,
    cases: Cases,
    custody: Custody,
    stop: watch::Sender<bool>,
    listeners: JoinSet<Result<()>>,
    watches: JoinSet<()>,
    _lock: Lock,
}

impl Server {
    /// Opens everything and listens. Fails where another server runs on the same data folder.
    pub async fn start(options: Options) -> Result<Self> {
        let Options { data, config } = options;
        let folder = Folder::open(data)?;
        let lock = folder.lock()?;
        let authority = Arc::new(Authority::open(&folder.identity()?)?);
        let tls = ServerTls::new(Arc::clone(&authority))?;
        let path = folder.store();
        let store: Arc<dyn Store> = Arc::new(tokio::task::spawn_blocking(move || Db::open(&path)).await??);
        let blobs = folder.blobs(&config)?;
        let staging = Staging::open(&folder.staging(), blobs.clone(), config.evidence.bundle_bytes_max)?;
        let switchboard = Switchboard::new();
        let cases = Cases::start(Arc::clone(&store), switchboard.clone()).await?;
        let gateway = Gateway::new(GatewayParts {
            store: Arc::clone(&store),
            ingest: Ingest::open(Arc::clone(&store), Timestamp::now().as_millisecond()).await?,
            authority: Arc::clone(&authority),
            staging,
            uploads: Arc::new(cases.clone()),
            switchboard: switchboard.clone(),
            policy: authority.sign_policy(config.policy(), Timestamp::now().as_millisecond())?,
            certificate_lifetime: config.agents.certificate_lifetime(),
        });
        let scratch = Scratch::open(&folder.scratch(), config.evidence.attachment_bytes_max)?;
        let questions =
            Questions::new(Arc::clone(&store), blobs.clone(), switchboard.clone(), config.shown(), folder.scratch());
        let help_desks =
            HelpDesks::new(&config.help_desks, Arc::clone(&store), blobs.clone(), cases.clone(), switchboard.clone())?;
        let custody = Custody::new(Arc::clone(&store) as Arc<dyn Audit>, Arc::clone(&authority), folder.path());
        let desk = Desk::new(
            Arc::clone(&store),
            blobs.clone(),
            switchboard.clone(),
            cases.clone(),
            scratch,
            questions.clone(),
            (help_desks.clone(), custody.clone()),
        )
        .with_rules(config.oidc.clone().map(Provider::new).transpose()?, config.four_eyes);

        let (agents_listener, agents) = listen(config.agents.listen, "agents").await?;
        let (desk_listener, desk_address) = listen(config.desk.listen, "technicians").await?;
        let stop = watch::Sender::new(false);
        let mut listeners = JoinSet::new();
        let hooks = hooked(&config, &tls, &help_desks, &mut listeners, &stop).await?;
        let ca_sha256 = HEXLOWER.encode(&authority.sha256());
        let addresses = Addresses { agents, desk: desk_address, hooks, ca_sha256 };
        let agents_router = transport(AGENT_STREAMS_MAX).add_service(gateway.clone().into_server());
        let agents_lines = gateway::incoming(agents_listener, tls.agents()?, AGENT_CONNECTIONS_MAX);
        listeners.spawn(serve(agents_router, agents_lines, stop.subscribe()));
        let desk_router = transport(DESK_STREAMS_MAX).add_service(desk.into_service());
        let desk_lines = gateway::incoming(desk_listener, tls.desk()?, DESK_CONNECTIONS_MAX);
        listeners.spawn(serve(desk_router, desk_lines, stop.subscribe()));

        let mut watches = JoinSet::new();
        watches.spawn(async move { match gateway.watch_revocations().await {} });
        watches.spawn(async move { match questions.keep_asking().await {} });
        watches.spawn(async move { match help_desks.run().await {} });
        watches.spawn(async move { match tls.renew().await {} });
        let (items, lying, retained) = (Arc::clone(&store), blobs.clone(), config.retention.clone());
        watches.spawn(async move { match expiry::keep(items, lying, retained).await {} });
        let proof = custody.clone();
        watches.spawn(async move { match proof.keep().await {} });
        watches.spawn(async move { match keeping::keep(store, config.retention).await {} });
        folder.tell(&addresses)?;
        info!(%agents, desk = %desk_address, ca_sha256 = addresses.ca_sha256, "server ready");
        Ok(Self { addresses, folder, switchboard, cases, custody, stop, listeners, watches, _lock: lock })
    }

    /// Where it is to be reached.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Pends while both listeners serve; tells why one no longer does.
    pub async fn failed(&mut self) -> anyhow::Error {
        match self.listeners.join_next().await {
            Some(Ok(Ok(()))) | None => anyhow!("a listener ended by itself"),
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => anyhow!(error).context("a listener broke"),
        }
    }

    /// Ends sessions with a word, then the listeners. What was acknowledged is on the disk already.
    pub async fn stop(mut self) -> Result<()> {
        info!("server stops");
        self.cases.stop();
        self.switchboard.cut_all(CutReason::Stopping);
        self.stop.send_replace(true);
        let ended = async { while self.listeners.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIME, ended).await.is_err() {
            info!("calls that did not end by themselves are dropped");
        }
        self.listeners.shutdown().await;
        self.watches.shutdown().await;
        if let Err(error) = self.custody.keep_head().await {
            error!(error = format!("{error:#}"), "the custody log's head was not written");
        }
        self.folder.untell()
    }
}

/// Listens for hooks, where that is configured; where.
async fn hooked(
    config: &Config,
    tls: &ServerTls,
    help_desks: &HelpDesks,
    listeners: &mut JoinSet<Result<()>>,
    stop: &watch::Sender<bool>,
) -> Result<Option<SocketAddr>> {
    let Some(listen_on) = config.hooks.listen else { return Ok(None) };
    let (listener, address) = listen(listen_on, "hooks").await?;
    if config.hooks.plain {
        listeners.spawn(hooks::serve_plain(help_desks.clone(), listener, stop.subscribe()));
    } else {
        let lines = gateway::incoming(listener, tls.hooks()?, HOOK_CONNECTIONS_MAX);
        listeners.spawn(hooks::serve(help_desks.clone(), hooks::Encrypted { lines, address }, stop.subscribe()));
    }
    Ok(Some(address))
}

fn transport(streams_max: u32) -> tonic::transport::Server {
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_TIME))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .max_concurrent_streams(streams_max)
}

async fn serve(router: Router, lines: gateway::Incoming, mut stop: watch::Receiver<bool>) -> Result<()> {
    let stopping = async move {
        // Why: where the server itself is gone there is nothing left to serve either.
        stop.wait_for(|stop| *stop).await.ok();
    };
    router.serve_with_incoming_shutdown(lines, stopping).await.context("serving")
}

async fn listen(address: SocketAddr, whom: &str) -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("listening for {whom} on {address}; is the port taken by another program?"))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

#[cfg(test)]
mod tests;
