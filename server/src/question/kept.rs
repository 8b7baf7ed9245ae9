//! Questions that wait for their device: kept in the store, put when it is back, and answered on the ticket.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use deskside_proto::v1::Query;
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;
use tracing::{error, info};
use uuid::Uuid;

use super::report::Report;
use super::{Questions, Unanswered};
use crate::case::{event, now_ms};
use crate::gateway::{CONNECTION_LOST, NotReached};
use crate::store::{AuditLine, Device, KeptQuestion, QuestionState};

/// How long a question waits for its device. Why: as long as a collection does.
const EXPIRES_MS: i64 = crate::case::EXPIRES_S.cast_signed() * 1_000;

/// Questions of one ticket that may wait at a time.
const WAITING_MAX: usize = 64;

/// Most rows of an answer that is kept, and most bytes of them.
const ROWS_MAX: u64 = 10_000;
const BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Devices that are asked at a time; more wait.
const ASKED_AT_ONCE: usize = 16;

/// How often it is looked whose time is over.
const EVERY: Duration = Duration::from_mins(1);

/// Who says what nobody said.
const SERVER: &str = "server";

/// Kept questions that are put right now.
#[derive(Default)]
pub(super) struct Asking {
    now: Mutex<HashSet<Uuid>>,
}

impl Asking {
    /// Whether it was not among them, and is now.
    fn begin(&self, id: Uuid) -> bool {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).insert(id)
    }

    fn end(&self, id: Uuid) {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

impl Questions {
    /// Keeps a question until its device is back. `None` where its ticket has too many that wait.
    pub async fn keep(&self, device: &Device, mut query: Query) -> Result<Option<KeptQuestion>> {
        let ticket = query.ticket;
        if self.store.kept_questions(Some(ticket), false, WAITING_MAX as u32).await?.len() >= WAITING_MAX {
            return Ok(None);
        }
        let less = |wanted: u64, most: u64| if wanted == 0 { most } else { wanted.min(most) };
        (query.rows_max, query.bytes_max) = (less(query.rows_max, ROWS_MAX), less(query.bytes_max, BYTES_MAX));
        let asked_ms = now_ms();
        let text = format!("a question waits until {} is back: {}", device.name, query.sql);
        let told = event(asked_ms, &query.asked_by, "question", text);
        let kept = KeptQuestion {
            id: Uuid::new_v4(),
            ticket,
            device: device.id,
            query,
            state: QuestionState::Waiting,
            note: format!("waits for {}", device.name),
            asked_ms,
            expires_ms: asked_ms + EXPIRES_MS,
            ended_ms: 0,
            evidence: None,
        };
        self.store.keep_question(kept.clone(), told).await?;
        // Why: it may have come back before the question was kept.
        if self.switchboard.connected(device.id) {
            tokio::spawn(self.clone().put(kept.clone()));
        }
        Ok(Some(kept))
    }

    /// Calls a kept question off. Answers false where it has ended already.
    pub async fn call_off(&self, mut kept: KeptQuestion, who: &str) -> Result<bool> {
        (kept.state, kept.note, kept.ended_ms) = (QuestionState::Cancelled, format!("called off by {who}"), now_ms());
        let told = event(kept.ended_ms, who, "question", format!("called off: {}", kept.query.sql));
        self.store.end_question(kept, told, None).await
    }

    /// Puts kept questions to devices as they come back, and gives up those whose time is over.
    pub async fn keep_asking(self) -> Infallible {
        let mut arrivals = self.switchboard.arrivals();
        let turns = Arc::new(Semaphore::new(ASKED_AT_ONCE));
        let mut every = tokio::time::interval(EVERY);
        loop {
            let of = tokio::select! {
                arrived = arrivals.recv() => match arrived {
                    Ok(device) => Some(device),
                    Err(RecvError::Lagged(_missed)) => None,
                    Err(RecvError::Closed) => std::future::pending().await,
                },
                _tick = every.tick() => None,
            };
            match self.store.waiting_questions(of).await {
                Ok(waiting) => waiting.into_iter().for_each(|kept| self.take_up(kept, &turns)),
                Err(error) => error!(error = format!("{error:#}"), "kept questions could not be looked at"),
            }
        }
    }

    fn take_up(&self, kept: KeptQuestion, turns: &Arc<Semaphore>) {
        if kept.expires_ms > now_ms() && !self.switchboard.connected(kept.device) {
            return;
        }
        let (questions, turns) = (self.clone(), Arc::clone(turns));
        tokio::spawn(async move {
            let _turn = turns.acquire().await;
            questions.put(kept).await;
        });
    }

    /// Puts a kept question, unless that is being done already.
    async fn put(self, kept: KeptQuestion) {
        let id = kept.id;
        if !self.asking.begin(id) {
            return;
        }
        if let Err(error) = self.settle(kept).await {
            error!(question = %id, error = format!("{error:#}"), "a kept question could not be settled; it waits on");
        }
        self.asking.end(id);
    }

    async fn settle(&self, mut kept: KeptQuestion) -> Result<()> {
        if kept.expires_ms <= now_ms() {
            return self.end(kept, QuestionState::Expired, "its device did not come back in time").await;
        }
        let asker = self.store.technicians().await?.into_iter().find(|one| one.name == kept.query.asked_by);
        let Some(asker) = asker.filter(|asker| !asker.revoked) else {
            return self.end(kept, QuestionState::Cancelled, "who asked it is let in no more").await;
        };
        // Why now: a role may have changed since it was asked.
        kept.query.sight = Some(self.sight(asker.role));
        let mut report = Report::new(&kept);
        let answered = match self.ask(kept.device, kept.query.clone()) {
            Ok(pieces) => report.fill(pieces).await,
            Err(error) => Err(error),
        };
        match answered {
            Ok(()) => self.answered(kept, report).await,
            Err(Unanswered::NotReached(NotReached::NotConnected | NotReached::Busy)) => Ok(()),
            Err(Unanswered::Device(words)) if words == CONNECTION_LOST => Ok(()),
            Err(error) => self.end(kept, QuestionState::Failed, &error.to_string()).await,
        }
    }

    async fn answered(&self, mut kept: KeptQuestion, report: Report) -> Result<()> {
        let device = self.store.device(kept.device).await?;
        let device = device.map_or_else(|| kept.device.to_string(), |device| device.name);
        let written = report.write(&kept, &device)?;
        self.blobs.put(&written.attachment.item.location, written.file).await?;
        (kept.state, kept.ended_ms, kept.evidence) =
            (QuestionState::Answered, now_ms(), Some(written.attachment.item.id));
        kept.note = format!("{} rows", report.rows());
        let told = event(kept.ended_ms, &device, "question", written.text);
        let (id, line) = (kept.id, line(&kept, format!("{} rows, kept question {}", report.rows(), kept.id)));
        if self.store.end_question(kept, told, Some(written.attachment)).await? {
            self.store.add_audit(line).await?;
            info!(question = %id, rows = report.rows(), "kept question answered");
        }
        Ok(())
    }

    async fn end(&self, mut kept: KeptQuestion, state: QuestionState, why: &str) -> Result<()> {
        (kept.state, kept.note, kept.ended_ms) = (state, why.to_owned(), now_ms());
        let text = format!("a question ended without an answer: {why}: {}", kept.query.sql);
        let (told, line) = (event(kept.ended_ms, SERVER, "question", text), line(&kept, format!("failed: {why}")));
        if self.store.end_question(kept, told, None).await? {
            self.store.add_audit(line).await?;
        }
        Ok(())
    }
}

/// How it ended, for the audit log.
fn line(kept: &KeptQuestion, words: String) -> AuditLine {
    AuditLine {
        at_ms: now_ms(),
        who: kept.query.asked_by.clone(),
        what: "answer".into(),
        device: kept.device.to_string(),
        ticket: kept.ticket,
        text: words,
        ..AuditLine::default()
    }
}
