//! The control socket: what the machine's owner may ask the running agent, and what the one who sits at it.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream as Blocking;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

pub use door::{Listening, listen};

mod door;
mod seat;

const SOCKET: &str = "agent.sock";

/// Where the service keeps the socket that every account may reach.
const PUBLIC_FOLDER: &str = "/run/deskside-agent";

/// Longest answer.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// One exchange. Who sits at the machine may have to be asked of the system first.
const EXCHANGE_TIME: Duration = Duration::from_secs(10);

/// How the agent is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The agent's version.
    pub version: String,
    /// The device's UUID; absent where it is not enrolled.
    pub device_id: Option<String>,
    /// Where the server is.
    pub addresses: Vec<String>,
    /// In session since, in milliseconds since 1970-01-01 UTC; absent where there is none.
    pub connected_since_ms: Option<i64>,
    /// Why there is no session, or why the latest ended.
    pub why: Option<String>,
    /// The record.
    pub record: RecordStatus,
    /// Tables whose look hangs.
    pub stuck: Vec<String>,
    /// Evidence that waits to be uploaded.
    pub evidence_waiting: usize,
    /// Resident memory of the agent.
    pub resident_bytes: u64,
    /// The latest look at each table.
    pub tables: BTreeMap<String, TableStatus>,
}

/// How the record is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordStatus {
    /// Which record it is.
    pub epoch: u64,
    /// Highest number in it.
    pub last_seq: u64,
    /// Highest number that the server has kept.
    pub kept_seq: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Readings in it.
    pub readings: u64,
    /// Streamed readings that the server has not kept.
    pub queued: u64,
    /// Readings dropped by its bound before the server kept them, ever.
    pub dropped: u64,
    /// Damaged files set aside, ever.
    pub set_aside: u64,
    /// Readings that wait in memory since the disk is full.
    pub waiting: usize,
}

/// The latest look at a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableStatus {
    /// How it went, in a word.
    pub outcome: String,
    /// Why it is not ok.
    pub reason: String,
    /// When it began, in milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// How long it took.
    pub took_ms: u32,
    /// Rows that it found.
    pub rows: usize,
}

/// What waits for the person at the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Its number.
    pub request: u64,
    /// The ticket's number.
    pub ticket: u64,
    /// The technician who asks.
    pub asked_by: String,
    /// What for.
    pub what: String,
    /// It expires then, in milliseconds since 1970-01-01 UTC.
    pub until_ms: i64,
}

/// What technicians asked of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privacy {
    /// What was taken, newest first.
    pub taken: Vec<Taken>,
    /// Older lines that are left out here.
    pub left_out: usize,
    /// What waits for the person at the machine.
    pub pending: Vec<Pending>,
}

/// One thing that was asked and answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// When, in milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// look, history, live log, question, probe, collection, capture.
    pub kind: String,
    /// The technician; empty where the server did not say.
    pub asked_by: String,
    /// The ticket's number; 0 for none.
    pub ticket: u64,
    /// What was asked for, in words.
    pub what: String,
}

/// What is asked of the running agent.
#[derive(Debug)]
pub enum Question {
    /// How it is.
    Status(oneshot::Sender<Status>),
    /// To try the server now, since the identity is another.
    Reconnect,
    /// To write down what waits in memory.
    Record(oneshot::Sender<()>),
    /// What waits for the person at the machine.
    Consents(oneshot::Sender<Vec<Pending>>),
    /// What was taken of this machine, and what waits.
    Privacy(oneshot::Sender<Result<Privacy, String>>),
    /// What the person says to it.
    Decide {
        /// The request's number.
        request: u64,
        /// Yes or no.
        approved: bool,
        /// The account of the one who says it.
        account: String,
        /// What is wrong with it.
        reply: oneshot::Sender<Result<(), String>>,
    },
}

/// Asks the running agent how it is. Blocks.
pub fn status(state: &Path) -> anyhow::Result<Status> {
    serde_json::from_slice(&ask(&[state.join(SOCKET)], "status")?).context("reading the agent's answer")
}

/// Asks the running agent to try the server now. Blocks.
pub fn reconnect(state: &Path) -> anyhow::Result<()> {
    ask(&[state.join(SOCKET)], "reconnect").map(|_answer| ())
}

/// Asks the running agent to write down what it has seen and still holds in memory. Blocks.
pub fn record(state: &Path) -> anyhow::Result<()> {
    ask(&[state.join(SOCKET)], "record").map(|_answer| ())
}

/// What waits for the person at the machine. Blocks.
pub fn consents(state: &Path, public: Option<&Path>) -> anyhow::Result<Vec<Pending>> {
    serde_json::from_slice(&ask(&sockets(state, public), "consents")?).context("reading the agent's answer")
}

/// What was taken of this machine, and what waits. Blocks.
pub fn privacy(state: &Path, public: Option<&Path>) -> anyhow::Result<Privacy> {
    serde_json::from_slice(&ask(&sockets(state, public), "privacy")?).context("reading the agent's answer")
}

/// What the person says to a request. Blocks.
pub fn decide(state: &Path, public: Option<&Path>, request: u64, approved: bool) -> anyhow::Result<()> {
    let word = if approved { "approve" } else { "refuse" };
    ask(&sockets(state, public), &format!("{word} {request}")).map(|_answer| ())
}

/// The agent's own socket, for those who may; else the one for all.
fn sockets(state: &Path, public: Option<&Path>) -> [PathBuf; 2] {
    [state.join(SOCKET), public.unwrap_or(Path::new(PUBLIC_FOLDER)).join(door::PUBLIC_SOCKET)]
}

/// What the agent says instead of an answer.
#[derive(Deserialize)]
struct Refused {
    error: String,
}

/// Asks at the first socket that is there and may be reached.
fn ask(sockets: &[PathBuf], question: &str) -> anyhow::Result<Vec<u8>> {
    let mut stream = connect(sockets)?;
    stream.set_read_timeout(Some(EXCHANGE_TIME))?;
    stream.write_all(format!("{question}\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).context("the agent runs but does not answer")?;
    ensure!(!answer.is_empty(), "the agent runs but does not answer; try again");
    match serde_json::from_slice::<Refused>(&answer) {
        Ok(refused) => bail!(refused.error),
        Err(_answered) => Ok(answer),
    }
}

fn connect(sockets: &[PathBuf]) -> anyhow::Result<Blocking> {
    let mut denied = None;
    for path in sockets {
        match Blocking::connect(path) {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => denied = Some(path),
            Err(_absent) => {}
        }
    }
    if let Some(path) = denied {
        bail!("only root and the agent's own user may ask this ({})", path.display());
    }
    let tried: Vec<String> = sockets.iter().map(|path| path.display().to_string()).collect();
    bail!("the agent does not run here (no answer on {})", tried.join(" or "))
}
