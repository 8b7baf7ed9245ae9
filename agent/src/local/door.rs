//! The sockets of the running agent: its own in the state folder, for root and the agent's own user, and, where the service has a folder for
//! it, one that every account may reach. There the one who sits at this machine may answer what technicians ask, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustix::fs::{Mode, chmod};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::seat::{self, Peer};
use super::{Question, SOCKET};
use crate::host::Host;

/// The socket that every account may reach.
pub(super) const PUBLIC_SOCKET: &str = "consent.sock";

/// Longest question.
const QUESTION_BYTES_MAX: usize = 64;

/// For a question to come.
const QUESTION_TIME: Duration = Duration::from_secs(2);

/// Exchanges at one socket at the same time; others wait before they are heard.
const EXCHANGES_MAX: usize = 4;

/// Exchanges that wait for the agent at the same time.
const WAITING_MAX: usize = 4;

/// The open sockets; they go with this.
#[derive(Debug)]
pub struct Listening(#[expect(dead_code, reason = "what goes with it is what it is for")] Vec<Open>);

#[derive(Debug)]
struct Open {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "control socket");
        }
    }
}

/// Listens in the state folder, and in the folder for all where there is one; each question arrives on the channel.
pub fn listen(
    state: &Path,
    public: Option<&Path>,
    host: &Arc<dyn Host>,
) -> anyhow::Result<(mpsc::Receiver<Question>, Listening)> {
    let (questions, asked) = mpsc::channel(WAITING_MAX);
    let mut open = vec![at(&state.join(SOCKET), 0o600, host, &questions)?];
    match public.map(|folder| at(&folder.join(PUBLIC_SOCKET), 0o666, host, &questions)) {
        Some(Ok(public)) => open.push(public),
        // Why no end: who sits here cannot answer then, and nothing is captured.
        Some(Err(error)) => tracing::warn!(error = format!("{error:#}"), "nobody but root can agree to captures here"),
        None => {}
    }
    Ok((asked, Listening(open)))
}

fn at(path: &Path, mode: u32, host: &Arc<dyn Host>, questions: &mpsc::Sender<Question>) -> anyhow::Result<Open> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("removing {}", path.display()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(|| format!("listening on {}", path.display()))?;
    chmod(path, Mode::from_raw_mode(mode)).with_context(|| format!("saying who may reach {}", path.display()))?;
    let (host, questions) = (Arc::clone(host), questions.clone());
    let task = tokio::spawn(async move {
        let turns = Arc::new(Semaphore::new(EXCHANGES_MAX));
        while let (Ok(turn), Ok((stream, _))) = (Arc::clone(&turns).acquire_owned().await, listener.accept().await) {
            let (host, questions) = (Arc::clone(&host), questions.clone());
            tokio::spawn(async move {
                let _turn = turn;
                let exchange = tokio::time::timeout(super::EXCHANGE_TIME, answer(stream, host, &questions));
                if let Ok(Err(error)) = exchange.await {
                    tracing::debug!(%error, "control socket");
                }
            });
        }
    });
    Ok(Open { path: path.to_owned(), task })
}

/// What is wrong with a question; nothing where it was done.
#[derive(Serialize)]
struct Said {
    error: Option<String>,
}

async fn answer(mut stream: UnixStream, host: Arc<dyn Host>, questions: &mpsc::Sender<Question>) -> anyhow::Result<()> {
    let asked = tokio::time::timeout(QUESTION_TIME, question(&mut stream)).await??;
    let text = match account(&stream, host, &asked).await? {
        Ok(account) => said(&asked, account, questions).await?,
        Err(why) => serde_json::to_vec(&Said { error: Some(why) })?,
    };
    stream.write_all(&text).await?;
    Ok(stream.shutdown().await?)
}

async fn question(stream: &mut UnixStream) -> anyhow::Result<String> {
    let mut asked = Vec::new();
    while !asked.ends_with(b"\n") && asked.len() < QUESTION_BYTES_MAX {
        if stream.read_buf(&mut asked).await? == 0 {
            break;
        }
    }
    Ok(String::from_utf8_lossy(asked.trim_ascii()).into_owned())
}

/// The account that asks, where it may ask this. Why by the other end's credentials and not by the socket: the kernel tells them.
async fn account(stream: &UnixStream, host: Arc<dyn Host>, asked: &str) -> anyhow::Result<Result<String, String>> {
    let peer = stream.peer_cred()?;
    let uid = peer.uid();
    if uid == 0 || uid == rustix::process::geteuid().as_raw() {
        return Ok(Ok(if uid == 0 { "root".to_owned() } else { uid.to_string() }));
    }
    if !["consents", "privacy"].contains(&asked) && decision(asked).is_none() {
        return Ok(Err("this may be asked by root and the agent's own user alone".to_owned()));
    }
    let peer = Peer { uid, pid: peer.pid().unwrap_or_default() };
    let person = tokio::task::spawn_blocking(move || seat::person(host.as_ref(), peer)).await?;
    if let Err(why) = &person {
        tracing::info!(uid, why, "an answer was not taken");
    }
    Ok(person)
}

async fn said(asked: &str, account: String, questions: &mpsc::Sender<Question>) -> anyhow::Result<Vec<u8>> {
    Ok(match asked {
        "status" => {
            let (reply, status) = oneshot::channel();
            questions.send(Question::Status(reply)).await?;
            serde_json::to_vec(&status.await?)?
        }
        "reconnect" => {
            questions.send(Question::Reconnect).await?;
            b"{}".to_vec()
        }
        "record" => {
            let (reply, recorded) = oneshot::channel();
            questions.send(Question::Record(reply)).await?;
            recorded.await?;
            b"{}".to_vec()
        }
        "consents" => {
            let (reply, pending) = oneshot::channel();
            questions.send(Question::Consents(reply)).await?;
            serde_json::to_vec(&pending.await?)?
        }
        "privacy" => {
            let (reply, privacy) = oneshot::channel();
            questions.send(Question::Privacy(reply)).await?;
            match privacy.await? {
                Ok(privacy) => serde_json::to_vec(&privacy)?,
                Err(why) => serde_json::to_vec(&Said { error: Some(why) })?,
            }
        }
        other => match decision(other) {
            Some((approved, request)) => {
                let (reply, done) = oneshot::channel();
                questions.send(Question::Decide { request, approved, account, reply }).await?;
                serde_json::to_vec(&Said { error: done.await?.err() })?
            }
            None => br#"{"error":"ask for status, reconnect, record, consents, privacy, approve or refuse"}"#.to_vec(),
        },
    })
}

/// "approve 3", "refuse 3".
fn decision(asked: &str) -> Option<(bool, u64)> {
    let (word, number) = asked.split_once(' ')?;
    let approved = match word {
        "approve" => true,
        "refuse" => false,
        _ => return None,
    };
    Some((approved, number.parse().ok()?))
}
