//! What the server may ask: a fresh look, history, evidence, the live log. Each command is one task; stopping it is dropping it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use deskside_proto::rows::Row;
use deskside_proto::v1::command::Kind;
use deskside_proto::v1::{
    Answer, Command, Consent, Follow, History, LogEvent, Pack, Policy, QueryPart, Reading, SignedPolicy,
};
use prost::Message;
use tokio::sync::{Semaphore, broadcast, mpsc};

use super::consent::Consents;
use super::facts::Facts;
use super::keeper::Keeper;
use super::looks::{Eye, Wish};
use super::outbox::Outbox;
use crate::ask::Limits;
use crate::collect::vitals::VITALS;
use crate::uplink::policy;

/// Most tables that one command may name.
const TABLES_MAX: usize = 256;

/// Bytes of readings in one part of an answer; a reading that is larger goes alone.
const ANSWER_BYTES: usize = 256 * 1024;

/// Parts of an answer that a reader of the record may be ahead of the line.
const AHEAD_MAX: usize = 2;

/// Everything that commands are worked on with.
pub(super) struct Means {
    /// The record.
    pub(super) keeper: Keeper,
    /// Looking.
    pub(super) eye: Arc<Eye>,
    /// Wishes for the looker.
    pub(super) wishes: mpsc::Sender<Wish>,
    /// Log events as they are written, redacted.
    pub(super) live: broadcast::Sender<Arc<Reading>>,
    /// Evidence on its way.
    pub(super) outbox: Arc<Outbox>,
    /// Who and what this machine is.
    pub(super) facts: Arc<Facts>,
    /// Which tables policy keeps on the device.
    pub(super) policies: tokio::sync::watch::Sender<Policy>,
    /// The state folder, with this device's identity.
    pub(super) state: PathBuf,
    /// Turns of probes.
    pub(super) turns: Arc<Semaphore>,
    /// Turns of questions in SQL.
    pub(super) questions: Arc<Semaphore>,
    /// What such a question may.
    pub(super) limits: Limits,
    /// What the person at the machine is asked.
    pub(super) consents: Arc<Consents>,
}

/// The way back to the one who asked.
pub(super) struct Reply {
    id: String,
    answers: mpsc::Sender<Answer>,
}

impl Reply {
    /// What is said goes nowhere.
    pub(super) fn to_nobody() -> Self {
        Self { id: String::new(), answers: mpsc::channel(1).0 }
    }

    /// False where nobody listens any more.
    async fn say(&self, answer: Answer) -> bool {
        self.answers.send(Answer { id: self.id.clone(), ..answer }).await.is_ok()
    }

    /// Readings, as they are; false where nobody listens any more.
    pub(super) async fn readings(&self, readings: Vec<Reading>) -> bool {
        self.say(Answer { readings, ..Answer::default() }).await
    }

    /// Who agreed to what, or did not.
    pub(super) async fn consent(&self, consent: Consent) -> bool {
        self.say(Answer { consent: Some(consent), ..Answer::default() }).await
    }

    /// A piece of the answer to a question in SQL; false where nobody listens any more.
    pub(super) async fn part(&self, part: QueryPart) -> bool {
        self.say(Answer { result: Some(Box::new(part)), ..Answer::default() }).await
    }

    /// What is being done; false where nobody listens any more.
    pub(super) async fn progress(&self, words: &str) -> bool {
        self.say(Answer { progress: words.into(), ..Answer::default() }).await
    }
}

impl Means {
    /// Works on a command to its end, and says how it went.
    pub(super) async fn work(self: Arc<Self>, command: Command, answers: mpsc::Sender<Answer>) {
        let reply = Reply { id: command.id.clone(), answers };
        if let Err(error) = self.disclose(&command).await {
            let error = format!("it could not be written down that this was asked, and is not answered: {error:#}");
            reply.say(Answer { last: true, error, ..Answer::default() }).await;
            return;
        }
        let done = match command.kind {
            Some(Kind::Look(look)) => self.look(look.tables, &reply).await,
            Some(Kind::History(history)) => self.history(history, &reply).await,
            Some(Kind::Pack(pack)) => self.pack(pack, &reply).await,
            Some(Kind::Follow(follow)) => self.follow(follow, &reply).await,
            Some(Kind::Probe(probe)) => self.probe(probe, &reply).await,
            Some(Kind::Query(query)) => self.query(*query, &reply).await,
            None => Err(anyhow::anyhow!("this agent does not know what is asked; update it")),
        };
        let error = done.err().map(|error| format!("{error:#}")).unwrap_or_default();
        reply.say(Answer { last: true, error, ..Answer::default() }).await;
    }

    /// Verifies a policy, remembers it and puts it in force.
    pub(super) async fn apply(&self, state: &Path, signed: SignedPolicy) {
        let state = state.to_owned();
        let taken = tokio::task::spawn_blocking(move || policy::take(&state, &signed)).await;
        let policy = match taken.unwrap_or_else(|gone| Err(gone.into())) {
            Ok(None) => return refused(None),
            Ok(Some(policy)) => policy,
            Err(error) => return refused(Some(&error)),
        };
        refused(None);
        tracing::info!(version = policy.version, tables = policy.tables.len(), "policy");
        self.policies.send_replace(policy.clone());
        let (eye, learnt) = (Arc::clone(&self.eye), policy.clone());
        if tokio::task::spawn_blocking(move || eye.learn(Some(&learnt))).await.is_err() {
            tracing::warn!("what the policy takes out of readings is not in force yet");
        }
        // The looker is gone only when the agent stops.
        self.wishes.send(Wish::Policy(policy)).await.ok();
    }

    /// Fresh readings of tables, redacted, as they come.
    async fn fresh(&self, tables: Vec<String>) -> anyhow::Result<mpsc::Receiver<Reading>> {
        anyhow::ensure!(tables.len() <= TABLES_MAX, "more than {TABLES_MAX} tables");
        let (sender, readings) = mpsc::channel(tables.len().max(1));
        self.wishes.send(Wish::Fresh(tables, sender)).await.ok();
        Ok(readings)
    }

    async fn look(&self, tables: Vec<String>, reply: &Reply) -> anyhow::Result<()> {
        let mut readings = self.fresh(self.or_all(tables)).await?;
        while let Some(reading) = readings.recv().await {
            if !reply.readings(vec![reading]).await {
                break;
            }
        }
        Ok(())
    }

    async fn history(&self, history: History, reply: &Reply) -> anyhow::Result<()> {
        let reader = self.keeper.reader().await?;
        let (parts, mut ready) = mpsc::channel::<Vec<Reading>>(AHEAD_MAX);
        let tables = self.or_all(history.tables);
        let reading = tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
            let (mut part, mut bytes) = (Vec::new(), 0);
            for table in tables {
                reader.history(&table, history.from_ms, history.to_ms, &mut |reading| {
                    let size = reading.encoded_len();
                    if bytes + size > ANSWER_BYTES && !part.is_empty() {
                        // Nobody receives once the command is stopped; the rest is read for nothing, and soon over.
                        parts.blocking_send(std::mem::take(&mut part)).ok();
                        bytes = 0;
                    }
                    bytes += size;
                    part.push(reading);
                })?;
            }
            parts.blocking_send(part).ok();
            Ok(())
        });
        while let Some(part) = ready.recv().await {
            if !reply.readings(part).await {
                break;
            }
        }
        reading.await?
    }

    async fn pack(&self, pack: Pack, reply: &Reply) -> anyhow::Result<()> {
        let mut place = self.outbox.place(&pack.collection_id)?;
        if place.is_new() {
            let mut tables = self.or_all(pack.tables.clone());
            let probed = |table: &String| self.eye.registry.schema(table).is_some_and(|schema| schema.probe.is_some());
            tables.retain(|table| !probed(table));
            reply.progress(&format!("looking at {} tables", tables.len())).await;
            let mut readings = self.fresh(tables).await?;
            let (mut fresh, taken) = self.probes(&pack, reply).await;
            while let Some(reading) = readings.recv().await {
                fresh.push(reading);
            }
            reply.progress("packing").await;
            let reader = self.keeper.reader().await?;
            let facts = self.facts.for_evidence(self.eye.host.as_ref());
            place.fill(pack, reader, (fresh, taken), facts).await?;
        }
        reply.progress("uploading").await;
        place.stored().await
    }

    async fn follow(&self, follow: Follow, reply: &Reply) -> anyhow::Result<()> {
        let mut live = self.live.subscribe();
        loop {
            let reading = match live.recv().await {
                Ok(reading) => reading,
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    reply.progress(&format!("{missed} batches of lines came faster than they could be sent")).await;
                    continue;
                }
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            };
            let wanted =
                |row: &&prost::bytes::Bytes| LogEvent::decode(row.as_ref()).is_ok_and(|event| fits(&follow, &event));
            let rows: Vec<_> = reading.rows.iter().filter(wanted).cloned().collect();
            if rows.is_empty() {
                continue;
            }
            let reading = Reading { rows, table: LogEvent::TABLE.into(), ..Reading::clone(&reading) };
            if !reply.readings(vec![reading]).await {
                return Ok(());
            }
        }
    }

    /// No table named means all that can be looked at.
    fn or_all(&self, tables: Vec<String>) -> Vec<String> {
        if tables.is_empty() {
            return self.eye.registry.collectors().iter().map(|collector| collector.table.into()).collect();
        }
        tables
    }
}

/// Says why a policy was refused, or that none is.
pub(super) fn refused(error: Option<&anyhow::Error>) {
    let words = error.map(|error| format!("{error:#}")).unwrap_or_default();
    if error.is_some() {
        tracing::error!(error = words, "policy refused");
    }
    *VITALS.policy_refused.lock().unwrap_or_else(PoisonError::into_inner) = words;
}

/// Whether an event is of the unit or program, and as urgent as wanted.
fn fits(follow: &Follow, event: &LogEvent) -> bool {
    let named = |name: &str| name == follow.unit || name.strip_suffix(".service") == Some(follow.unit.as_str());
    let of_unit = follow.unit.is_empty() || named(&event.unit) || named(&event.program);
    of_unit && event.priority.is_none_or(|priority| priority <= follow.priority_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_followed_by_unit_or_program_and_by_urgency() {
        let event = |unit: &str, program: &str, priority| LogEvent {
            unit: unit.into(),
            program: program.into(),
            priority,
            ..LogEvent::default()
        };
        let follow = |unit: &str, priority_max| Follow { unit: unit.into(), priority_max };
        assert!(fits(&follow("cups", 7), &event("cups.service", "cupsd", Some(6))));
        assert!(fits(&follow("cupsd", 7), &event("cups.service", "cupsd", Some(6))));
        assert!(!fits(&follow("cups", 4), &event("cups.service", "cupsd", Some(6))));
        assert!(!fits(&follow("ssh", 7), &event("cups.service", "cupsd", Some(6))));
        assert!(fits(&follow("", 3), &event("", "kernel", None)), "a log without priorities is not hidden");
    }
}
