//! Who is connected now, and the way to them: commands down, answers back, and cutting off.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use deskside_proto::v1::{Answer, Cancel, Command, ToAgent, to_agent};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use uuid::Uuid;

/// Messages that wait to be sent to one agent.
const OUTGOING_MAX: usize = 64;

/// Answers that wait for the one who asked. One place is for the last word.
const ANSWERS_MAX: usize = 65;

/// Commands under way at one device.
const CALLS_MAX: usize = 32;

/// How long an answer waits for a slow reader before the command is given up. Meanwhile the session reads nothing else.
const SLOW_READER: Duration = Duration::from_secs(5);

/// Added to a command's deadline for the way there and back.
const TRAVEL: Duration = Duration::from_secs(2);

/// Comings and goings that a slow listener may be behind; it then learns that it missed some.
const NEWS_MAX: usize = 4096;

/// The error of the last answer where the session ended under a command.
pub const CONNECTION_LOST: &str = "the connection to the device was lost";

/// Why a command did not reach its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReached {
    /// No session is open.
    #[error("the device is not connected")]
    NotConnected,
    /// Too much is under way there already.
    #[error("the device is busy with other commands; ask again in a moment")]
    Busy,
}

/// Why a session is ended from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutReason {
    /// A newer session of the same device is open.
    Replaced,
    /// The device was revoked.
    Revoked,
    /// The server stops.
    Stopping,
}

/// The answers to one command. They end after one with `last`; if they end without one, they came faster than they were read.
/// Dropping this cancels the command.
pub type Answers = mpsc::Receiver<Answer>;

/// The sessions that are open now; cheap to clone.
#[derive(Clone)]
pub struct Switchboard {
    shared: Arc<Shared>,
}

struct Shared {
    lines: Mutex<HashMap<Uuid, Line>>,
    next_session: AtomicU64,
    arrivals: broadcast::Sender<Uuid>,
    departures: broadcast::Sender<Uuid>,
}

struct Line {
    session: u64,
    outgoing: mpsc::Sender<ToAgent>,
    cut: watch::Sender<Option<CutReason>>,
    asked: HashMap<String, Asked>,
}

/// One command under way: the way to the one who asked, and what ends its watch when it is dropped.
struct Asked {
    answers: mpsc::Sender<Answer>,
    _under_way: oneshot::Sender<()>,
}

/// One session's end of the switchboard; dropping it hangs up.
pub struct Call {
    device: Uuid,
    session: u64,
    switchboard: Switchboard,
    /// What is to be sent to the agent.
    pub outgoing: mpsc::Receiver<ToAgent>,
    /// Says why, once the session is to end.
    pub cut: watch::Receiver<Option<CutReason>>,
}

impl Default for Switchboard {
    fn default() -> Self {
        Self::new()
    }
}

impl Switchboard {
    /// With nobody connected.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                lines: Mutex::default(),
                next_session: AtomicU64::new(1),
                arrivals: broadcast::Sender::new(NEWS_MAX),
                departures: broadcast::Sender::new(NEWS_MAX),
            }),
        }
    }

    /// Whether a session of the device is open.
    pub fn connected(&self, device: Uuid) -> bool {
        self.lines().contains_key(&device)
    }

    /// The devices that are connected.
    pub fn devices(&self) -> Vec<Uuid> {
        self.lines().keys().copied().collect()
    }

    /// Devices as they connect, from now on: after their greeting was answered.
    pub fn arrivals(&self) -> broadcast::Receiver<Uuid> {
        self.shared.arrivals.subscribe()
    }

    /// Devices as their last session ends, from now on.
    pub fn departures(&self) -> broadcast::Receiver<Uuid> {
        self.shared.departures.subscribe()
    }

    /// Sends a command, giving it an identity if it has none. Its deadline is kept here too (0 for none): past it, and when the session
    /// ends, the answers end with one that carries an error.
    pub fn command(&self, device: Uuid, mut command: Command) -> Result<Answers, NotReached> {
        if command.id.is_empty() {
            command.id = Uuid::new_v4().to_string();
        }
        let (id, deadline_ms) = (command.id.clone(), command.deadline_ms);
        let (sender, answers) = mpsc::channel(ANSWERS_MAX);
        let (under_way, ended) = oneshot::channel();
        let session = {
            let mut lines = self.lines();
            let line = lines.get_mut(&device).ok_or(NotReached::NotConnected)?;
            if line.asked.len() >= CALLS_MAX {
                return Err(NotReached::Busy);
            }
            let message = ToAgent { kind: Some(to_agent::Kind::Command(command)) };
            line.outgoing.try_send(message).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => NotReached::Busy,
                mpsc::error::TrySendError::Closed(_) => NotReached::NotConnected,
            })?;
            line.asked.insert(id.clone(), Asked { answers: sender.clone(), _under_way: under_way });
            line.session
        };
        tokio::spawn(self.clone().watch((device, session), id, sender, ended, deadline_ms));
        Ok(answers)
    }

    /// Ends the device's session, if one is open.
    pub fn cut(&self, device: Uuid, reason: CutReason) {
        if let Some(line) = self.lines().get(&device) {
            line.cut.send_replace(Some(reason));
        }
    }

    /// Ends all sessions.
    pub fn cut_all(&self, reason: CutReason) {
        for line in self.lines().values() {
            line.cut.send_replace(Some(reason));
        }
    }

    /// Opens a line for a session; an older one of the same device is cut.
    pub fn connect(&self, device: Uuid) -> Call {
        let session = self.shared.next_session.fetch_add(1, Ordering::Relaxed);
        let (outgoing, receiver) = mpsc::channel(OUTGOING_MAX);
        let cut = watch::Sender::new(None);
        let call = Call { device, session, switchboard: self.clone(), outgoing: receiver, cut: cut.subscribe() };
        let older = self.lines().insert(device, Line { session, outgoing, cut, asked: HashMap::new() });
        if let Some(older) = older {
            older.cut.send_replace(Some(CutReason::Replaced));
            hang_up(older);
        }
        call
    }

    /// Follows one command until it is answered, given up, or too late.
    async fn watch(
        self,
        at: (Uuid, u64),
        id: String,
        sender: mpsc::Sender<Answer>,
        ended: oneshot::Receiver<()>,
        deadline_ms: u32,
    ) {
        let deadline = Duration::from_millis(deadline_ms.into()) + TRAVEL;
        let late = async {
            if deadline_ms == 0 {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(deadline).await;
        };
        tokio::select! {
            _dropped = ended => {}
            () = sender.closed() => self.give_up(at, &id, None).await,
            () = late => self.give_up(at, &id, Some("the device did not answer in time")).await,
        }
    }

    /// Takes a command back, if it is still under way.
    async fn give_up(&self, (device, session): (Uuid, u64), id: &str, error: Option<&str>) {
        let Some((asked, outgoing)) = self.take(device, session, id) else { return };
        if let Some(error) = error {
            // Why: one who has already gone needs no last word; and one who reads nothing has the place kept for it.
            asked.try_send(last(id, error)).ok();
        }
        let cancel = ToAgent { kind: Some(to_agent::Kind::Cancel(Cancel { id: id.to_owned() })) };
        // Why: if the session has ended meanwhile, the agent has dropped the command by itself.
        outgoing.send_timeout(cancel, SLOW_READER).await.ok();
    }

    fn take(&self, device: Uuid, session: u64, id: &str) -> Option<(mpsc::Sender<Answer>, mpsc::Sender<ToAgent>)> {
        let mut lines = self.lines();
        let line = lines.get_mut(&device).filter(|line| line.session == session)?;
        let asked = line.asked.remove(id)?;
        Some((asked.answers, line.outgoing.clone()))
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Uuid, Line>> {
        self.shared.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call {
    /// The greeting was answered: those who wait for this device may go on.
    pub fn arrived(&self) {
        // Why: nobody may be listening, and that is no failure.
        self.switchboard.shared.arrivals.send(self.device).ok();
    }

    /// Hands an answer of the agent to the one who asked. An answer that nobody waits for is passed over.
    pub async fn answer(&self, answer: Answer) {
        let (id, is_last) = (answer.id.clone(), answer.last);
        let asked = self
            .switchboard
            .lines()
            .get(&self.device)
            .filter(|line| line.session == self.session)
            .and_then(|line| line.asked.get(&id).map(|asked| asked.answers.clone()));
        let Some(asked) = asked else { return };
        let sent = asked.send_timeout(answer, SLOW_READER).await;
        if is_last {
            self.switchboard.take(self.device, self.session, &id);
        } else if sent.is_err() {
            self.switchboard.give_up((self.device, self.session), &id, None).await;
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let line = {
            let mut lines = self.switchboard.lines();
            let is_ours = lines.get(&self.device).is_some_and(|line| line.session == self.session);
            if is_ours { lines.remove(&self.device) } else { None }
        };
        if let Some(line) = line {
            hang_up(line);
            self.switchboard.shared.departures.send(self.device).ok();
        }
    }
}

fn hang_up(line: Line) {
    for (id, asked) in line.asked {
        asked.answers.try_send(last(&id, CONNECTION_LOST)).ok();
    }
}

fn last(id: &str, error: &str) -> Answer {
    Answer { id: id.to_owned(), last: true, error: error.to_owned(), ..Answer::default() }
}
