//! What questions to the whole fleet cost: over 10,000 devices' stored printers, and to 2,000 connected devices at once. A real server on real
//! sockets with TLS; the devices are simulated in this process, so that its processors do the work of all of them.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use clap::Parser;
use deskside_proto::rows::Row;
use deskside_proto::v1::cell::Value;
use deskside_proto::v1::{
    Answer, Cell, FromAgent, Hello, Outcome, Printer, QueryEnd, QueryPart, Reading, ResultColumn, ResultRow,
    agent_gateway_client, from_agent, to_agent,
};
use deskside_server::app::{Folder, Options, Server};
use deskside_server::config::Config;
use deskside_server::identity::Authority;
use deskside_server::identity::personal::{self, Kept};
use deskside_server::store::{
    Arrival, Db, Devices, Greeting, NewCredential, NewDevice, NewTechnician, NewToken, Readings, Role, Technicians,
    Tokens,
};
use deskside_tests::lab::asker::{Asker, channel, to_fleet};
use futures_util::{StreamExt, TryStreamExt, stream};
use prost::Message;
use rcgen::{CertificateParams, KeyPair};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

/// Printers of each device.
const PRINTERS: usize = 3;

/// Devices that are enrolled, or connect, at a time.
const AT_ONCE: usize = 64;

const SECRET: &[u8] = b"a technician's secret";

/// Measures questions to a fleet on this machine.
#[derive(Debug, Parser)]
struct Arguments {
    /// Devices whose printers the server knows.
    #[arg(long, default_value_t = 10_000)]
    stored: u32,
    /// Devices that are connected.
    #[arg(long, default_value_t = 2_000)]
    connected: u32,
    /// Times that each question is put.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(measure(&arguments))
}

async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let data = Folder::open(folder.path().join("data"))?;
    let authority = Authority::open(&data.identity()?)?;
    let devices = fill(&data.store(), arguments.stored.max(arguments.connected)).await?;
    let mut config = Config::default();
    config.agents.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.desk.listen = config.agents.listen;
    let server = Server::start(Options { data: data.path().to_owned(), config }).await?;
    let addresses = server.addresses().clone();
    let mut asker = Asker::with_secret(addresses.desk, &authority, SECRET.to_vec()).await?;
    say(&format!("{} devices are known, each with {PRINTERS} printers", devices.len()));
    for sql in [
        "SELECT device, name, state FROM printers WHERE state = 'stopped'",
        "SELECT state, count(*) FROM printers GROUP BY state",
        "SELECT * FROM printers",
    ] {
        put(&mut asker, false, sql, arguments.rounds).await?;
    }
    let connected = devices.into_iter().take(arguments.connected as usize).collect();
    let agents = connect(&authority, addresses.agents, connected).await?;
    say(&format!("{} devices are connected", agents.len()));
    put(&mut asker, true, "SELECT name, state FROM printers", arguments.rounds).await?;
    for agent in agents {
        agent.abort();
    }
    server.stop().await
}

/// Puts a question several times and says how long it took.
async fn put(asker: &mut Asker, live: bool, sql: &str, rounds: usize) -> anyhow::Result<()> {
    let mut took = Vec::new();
    let (mut rows, mut answered) = (0, 0);
    for _round in 0..rounds.max(1) {
        let begun = Instant::now();
        let whole = asker.ask(to_fleet(live, sql)).await?;
        took.push(begun.elapsed());
        (rows, answered) = (whole.rows.len(), whole.end.devices);
    }
    took.sort();
    let median = took.get(took.len() / 2).copied().unwrap_or_default();
    let worst = took.last().copied().unwrap_or_default();
    let devices = if live { format!(", {answered} devices answered") } else { String::new() };
    say(&format!("{sql}: {rows} rows{devices}, median {median:.0?}, slowest of {rounds} {worst:.0?}"));
    Ok(())
}

/// A store that knows devices and their printers.
async fn fill(path: &Path, count: u32) -> anyhow::Result<Vec<uuid::Uuid>> {
    let store = Db::open(path)?;
    let technician = {
        let Kept { id, hash } = personal::kept(SECRET)?;
        let credential = NewCredential { id, hash, expires_ms: i64::MAX };
        NewTechnician { name: "tess".into(), role: Role::Technician, credential }
    };
    store.add_technician(technician, 1).await?;
    let token = NewToken { id: "t".into(), secret_sha256: [7; 32], uses: count, expires_ms: i64::MAX };
    store.add_token(token, 1).await?;
    let now_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as i64;
    stream::iter(0..count).map(|number| one_device(&store, number, now_ms)).buffered(AT_ONCE).try_collect().await
}

async fn one_device(store: &Db, number: u32, now_ms: i64) -> anyhow::Result<uuid::Uuid> {
    let name = format!("desk-{number}");
    let new = NewDevice { name: name.clone(), machine: name.clone(), agent_version: "0.1.0".into() };
    let enrolled = store.enrol([7; 32], new, 1).await?;
    let Ok(enrolment) = enrolled else { bail!("the token ran out") };
    let greeting = Greeting { name, epoch: 1, os: "Debian GNU/Linux 12".into(), ..Greeting::default() };
    store.greet(enrolment.id, greeting, now_ms).await?;
    let reading = Reading {
        table: Printer::TABLE.into(),
        at_ms: now_ms,
        outcome: Outcome::Ok.into(),
        rows: printers(number).iter().map(|printer| printer.encode_to_vec().into()).collect(),
        ..Reading::default()
    };
    store.append(enrolment.id, 1, vec![Arrival { seq: 1, reading: Some(reading), lost: 0 }], now_ms).await?;
    Ok(enrolment.id)
}

/// One in a hundred is stopped.
fn printers(number: u32) -> Vec<Printer> {
    let printer = |place: usize| Printer {
        name: format!("floor-{place}"),
        state: if number.is_multiple_of(100) && place == 0 { "stopped".into() } else { "idle".into() },
        accepting_jobs: true,
        state_reasons: vec!["none".into()],
        ..Printer::default()
    };
    (0..PRINTERS).map(printer).collect()
}

/// Devices with a session each, that answer every question with their printers.
async fn connect(
    authority: &Authority,
    address: SocketAddr,
    devices: Vec<uuid::Uuid>,
) -> anyhow::Result<Vec<tokio::task::JoinHandle<()>>> {
    let key = KeyPair::generate()?;
    let request = CertificateParams::default().serialize_request(&key)?.der().to_vec();
    let begun = devices.into_iter().enumerate().map(|(number, device)| {
        let certificate = authority.sign_device(&request, device, SystemTime::now(), Duration::from_hours(1));
        let certificate = certificate.map(|certificate| (certificate, key.serialize_der()));
        async move { begin(number, device, channel(address, authority, Some(certificate?)).await?).await }
    });
    stream::iter(begun).buffer_unordered(AT_ONCE).try_collect().await
}

async fn begin(number: usize, device: uuid::Uuid, channel: Channel) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let mut gateway = agent_gateway_client::AgentGatewayClient::new(channel);
    let (up, messages) = mpsc::channel(16);
    let hello =
        Hello { device_id: device.to_string(), epoch: 1, hostname: format!("desk-{number}"), ..Hello::default() };
    up.send(FromAgent { kind: Some(from_agent::Kind::Hello(hello)) }).await?;
    let mut down = gateway.session(ReceiverStream::new(messages)).await?.into_inner();
    down.message().await?.context("the server says welcome")?;
    Ok(tokio::spawn(async move {
        // Why kept: the session ends with its client.
        let _gateway = gateway;
        while let Ok(Some(message)) = down.message().await {
            let Some(to_agent::Kind::Command(command)) = message.kind else { continue };
            if up.send(FromAgent { kind: Some(answer(command.id, number)) }).await.is_err() {
                return;
            }
        }
    }))
}

fn answer(id: String, number: usize) -> from_agent::Kind {
    let text = |text: String| Cell { value: Some(Value::Text(text)) };
    let rows = printers(number as u32).into_iter();
    let rows: Vec<ResultRow> =
        rows.map(|printer| ResultRow { cells: vec![text(printer.name), text(printer.state)] }).collect();
    let columns = ["name", "state"].map(|name| ResultColumn { name: name.into(), ..ResultColumn::default() });
    let end = QueryEnd { rows: rows.len() as u64, ..QueryEnd::default() };
    let part = QueryPart { columns: columns.to_vec(), rows, end: Some(end), ..QueryPart::default() };
    from_agent::Kind::Answer(Answer { id, last: true, result: Some(Box::new(part)), ..Answer::default() })
}

#[expect(clippy::print_stdout, reason = "what this program is for")]
fn say(words: &str) {
    println!("{words}");
}
