//! Questions in SQL as they are asked: two at once, the rest in turn; stopped when nobody waits for the answer; each written down.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deskside_proto::rows::Row;
use deskside_proto::sql::{self, Brake, Source, SqlError};
use deskside_proto::v1::{Outcome, Query, QueryEnd, QueryPart, QuestionAsked, Reading};
use prost::Message;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::commands::{Means, Reply};
use super::looks::{Eye, Wish};
use crate::ask::{Looks, Machine};
use crate::collect::{Cadence, Os};
use crate::host::give_back_memory;
use crate::record::Entry;

/// Questions that are worked on at the same time.
pub(super) const AT_ONCE_MAX: usize = 2;

/// Parts of an answer that a slow line may be behind.
const PARTS_MAX: usize = 2;

/// Between two looks at the brake while a look at the machine is waited for.
const PAUSE: Duration = Duration::from_millis(20);

/// Bytes of a question that are written down.
const SQL_BYTES_MAX: usize = 4_096;

/// The turns of questions.
pub(super) fn turns() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(AT_ONCE_MAX))
}

/// Stops the question when the one who asked has gone.
struct Waiting(Arc<Brake>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.pull();
    }
}

impl Means {
    /// One question, in its turn.
    pub(super) async fn query(self: &Arc<Self>, mut query: Query, reply: &Reply) -> anyhow::Result<()> {
        let turn = match Arc::clone(&self.questions).try_acquire_owned() {
            Ok(turn) => turn,
            Err(_none) => {
                reply.progress(&format!("{AT_ONCE_MAX} questions are being answered; this one waits")).await;
                Arc::clone(&self.questions).acquire_owned().await?
            }
        };
        query.sight = Some(self.limits.sight(query.sight.unwrap_or_default()));
        let bounds = sql::bounds(&query, self.limits.bounds());
        let brake = Arc::new(Brake::new(Instant::now() + bounds.time_max));
        let _waiting = Waiting(Arc::clone(&brake));
        self.record_what_was_seen().await;
        let reader = self.keeper.reader().await?;
        let (eye, runtime) = (Arc::clone(&self.eye), Handle::current());
        let looks = Asking { eye: Arc::clone(&eye), wishes: self.wishes.clone(), runtime };
        let source: Arc<dyn Source> =
            Arc::new(Machine::new(Some(reader), &eye.registry, Box::new(looks), eye.host.now_ms()));
        let (parts, mut ready) = mpsc::channel::<QueryPart>(PARTS_MAX);
        let means = Arc::clone(self);
        let answering = tokio::task::spawn_blocking(move || {
            let (asked_ms, begun) = (source.now_ms(), Instant::now());
            let mut rows = 0;
            let ended = sql::answer(&source, &query, bounds, &brake, &mut |part| {
                rows += part.rows.len() as u64;
                parts.blocking_send(part).is_ok()
            });
            drop(source);
            means.write_down(&query, (asked_ms, begun), rows, &ended);
            means.end(turn);
            ended
        });
        while let Some(part) = ready.recv().await {
            if !reply.part(part).await {
                break;
            }
        }
        drop(ready);
        answering.await??;
        Ok(())
    }

    /// Why: who just saw something at the machine must find it in its history.
    pub(super) async fn record_what_was_seen(&self) {
        let (recorded, told) = oneshot::channel();
        if self.wishes.send(Wish::Record(recorded)).await.is_ok() {
            // The looker ends with the agent.
            told.await.ok();
        }
    }

    /// Lets the next question begin; where none waits, what this one used is given back.
    fn end(&self, turn: OwnedSemaphorePermit) {
        drop(turn);
        if self.questions.available_permits() == AT_ONCE_MAX {
            give_back_memory();
        }
    }

    /// For the person at the machine. Blocks.
    fn write_down(&self, query: &Query, (at_ms, begun): (i64, Instant), rows: u64, ended: &Result<QueryEnd, SqlError>) {
        let row = QuestionAsked {
            at_ms,
            asked_by: query.asked_by.clone(),
            ticket: query.ticket,
            sql: query.sql.get(..query.sql.floor_char_boundary(SQL_BYTES_MAX)).unwrap_or_default().to_owned(),
            rows,
            took_ms: u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX),
            ended: match ended {
                Ok(end) if end.cut.is_empty() => "answered".into(),
                Ok(end) => end.cut.clone(),
                Err(error) => error.to_string(),
            },
        };
        tracing::info!(ticket = row.ticket, rows, took_ms = row.took_ms, "question");
        let reading = Reading {
            table: QuestionAsked::TABLE.into(),
            at_ms,
            outcome: Outcome::Ok.into(),
            rows: vec![row.encode_to_vec().into()],
            ..Reading::default()
        };
        // Why not streamed: the server's audit log has its own line of it.
        let entry = Entry { reading: self.eye.clean(reading), stream: false, position: None };
        if let Err(error) = Handle::current().block_on(self.keeper.append(self.eye.host.now_ms(), vec![entry])) {
            tracing::warn!(error = format!("{error:#}"), "a question was not written down");
        }
    }
}

/// Looks for a question, through the looker: it shares those of a moment ago, and holds each to its deadline.
struct Asking {
    eye: Arc<Eye>,
    wishes: mpsc::Sender<Wish>,
    runtime: Handle,
}

impl Looks for Asking {
    fn look(&self, table: &str, brake: &Brake) -> Result<Option<Reading>, SqlError> {
        let collector = self.eye.registry.collector(table);
        let looks =
            collector.is_some_and(|found| found.cadence != Cadence::Followed && found.systems.contains(&Os::Linux));
        if !looks {
            return Ok(None);
        }
        let (sender, mut readings) = mpsc::channel(1);
        let stopping = || SqlError::Source("the agent is stopping".into());
        self.runtime.block_on(async {
            let wish = Wish::Fresh(vec![table.to_owned()], sender);
            self.wishes.send(wish).await.map_err(|_closed| stopping())?;
            loop {
                match tokio::time::timeout(PAUSE, readings.recv()).await {
                    Ok(Some(reading)) => return Ok(Some(reading)),
                    Ok(None) => return Err(stopping()),
                    Err(_not_yet) => brake.check()?,
                }
            }
        })
    }
}
