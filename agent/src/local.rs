//! The control socket: what the one who sits at the machine may ask the running agent.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream as Blocking;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

const SOCKET: &str = "agent.sock";

/// Longest question.
const QUESTION_BYTES_MAX: usize = 64;

/// Longest answer.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// One exchange.
const EXCHANGE_TIME: Duration = Duration::from_secs(5);

/// Exchanges that wait for the agent at the same time.
const WAITING_MAX: usize = 4;

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

/// What is asked of the running agent.
#[derive(Debug)]
pub enum Question {
    /// How it is.
    Status(oneshot::Sender<Status>),
    /// To try the server now, since the identity is another.
    Reconnect,
    /// What waits for the person at the machine.
    Consents(oneshot::Sender<Vec<Pending>>),
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

/// Listens in the state folder; each question arrives on the channel. Only the agent's own user and root may ask.
pub fn listen(state: &Path) -> anyhow::Result<(mpsc::Receiver<Question>, Listening)> {
    let path = state.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("removing {}", path.display()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&path).with_context(|| format!("listening on {}", path.display()))?;
    rustix::fs::chmod(&path, rustix::fs::Mode::from_raw_mode(0o600)).context("closing the socket to others")?;
    let (questions, asked) = mpsc::channel(WAITING_MAX);
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // One after the other: an exchange is short, and a slow one is ended by its deadline.
            if let Ok(Err(error)) = tokio::time::timeout(EXCHANGE_TIME, answer(stream, &questions)).await {
                tracing::debug!(%error, "control socket");
            }
        }
    });
    Ok((asked, Listening { path, task }))
}

/// The open socket; it goes with this.
#[derive(Debug)]
pub struct Listening {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "control socket");
        }
    }
}

async fn answer(mut stream: UnixStream, questions: &mpsc::Sender<Question>) -> anyhow::Result<()> {
    let mut asked = Vec::new();
    while !asked.ends_with(b"\n") && asked.len() < QUESTION_BYTES_MAX {
        if stream.read_buf(&mut asked).await? == 0 {
            break;
        }
    }
    let text = match asked.trim_ascii() {
        b"status" => {
            let (reply, status) = oneshot::channel();
            questions.send(Question::Status(reply)).await?;
            serde_json::to_vec(&status.await?)?
        }
        b"reconnect" => {
            questions.send(Question::Reconnect).await?;
            b"{}".to_vec()
        }
        b"consents" => {
            let (reply, pending) = oneshot::channel();
            questions.send(Question::Consents(reply)).await?;
            serde_json::to_vec(&pending.await?)?
        }
        other => match decision(other) {
            Some((approved, request)) => {
                let account = stream.peer_cred()?.uid().to_string();
                let (reply, done) = oneshot::channel();
                questions.send(Question::Decide { request, approved, account, reply }).await?;
                serde_json::to_vec(&Decided { error: done.await?.err() })?
            }
            None => br#"{"error":"ask for status, reconnect, consents, approve or refuse"}"#.to_vec(),
        },
    };
    stream.write_all(&text).await?;
    Ok(stream.shutdown().await?)
}

/// Asks the running agent how it is. Blocks.
pub fn status(state: &Path) -> anyhow::Result<Status> {
    serde_json::from_slice(&ask(state, "status")?).context("reading the agent's answer")
}

/// Asks the running agent to try the server now. Blocks.
pub fn reconnect(state: &Path) -> anyhow::Result<()> {
    ask(state, "reconnect").map(|_answer| ())
}

/// What became of a decision.
#[derive(Serialize, Deserialize)]
struct Decided {
    error: Option<String>,
}

/// "approve 3", "refuse 3".
fn decision(asked: &[u8]) -> Option<(bool, u64)> {
    let (word, number) = std::str::from_utf8(asked).ok()?.split_once(' ')?;
    let approved = match word {
        "approve" => true,
        "refuse" => false,
        _ => return None,
    };
    Some((approved, number.parse().ok()?))
}

/// What waits for the person at the machine. Blocks.
pub fn consents(state: &Path) -> anyhow::Result<Vec<Pending>> {
    serde_json::from_slice(&ask(state, "consents")?).context("reading the agent's answer")
}

/// What the person says to a request. Blocks.
pub fn decide(state: &Path, request: u64, approved: bool) -> anyhow::Result<()> {
    let word = if approved { "approve" } else { "refuse" };
    let answer = ask(state, &format!("{word} {request}"))?;
    let decided: Decided = serde_json::from_slice(&answer).context("reading the agent's answer")?;
    decided.error.map_or(Ok(()), |error| Err(anyhow::anyhow!(error)))
}

fn ask(state: &Path, question: &str) -> anyhow::Result<Vec<u8>> {
    let path = state.join(SOCKET);
    let mut stream = Blocking::connect(&path)
        .with_context(|| format!("the agent does not run here (no answer on {})", path.display()))?;
    stream.set_read_timeout(Some(EXCHANGE_TIME))?;
    stream.write_all(format!("{question}\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).context("the agent runs but does not answer")?;
    Ok(answer)
}
