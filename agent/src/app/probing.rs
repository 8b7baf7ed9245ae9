//! Probes as they are asked for: in turn, told step by step, redacted, recorded. One whose asker has gone stops at its next step.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use deskside_proto::v1::{Capture, Outcome, Pack, Policy, Probe, Reading};
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::commands::{Means, Reply};
use super::consent::Request;
use crate::collect::outcome_of;
use crate::pack::Taken;
use crate::probe::{self, Errand, Unrun};
use crate::record::Entry;
use crate::uplink::identity::Identity;

/// Steps that a slow line may be behind.
const STEPS_MAX: usize = 16;

/// Probes that one pack may ask for.
const PACKED_MAX: usize = 16;

/// The turns of probes: as many as may run at the same time.
pub(super) fn turns() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(probe::AT_ONCE_MAX))
}

/// The server of the identity in the state folder. Why read anew: a device may be enrolled while its agent runs.
pub(super) fn server(state: &Path) -> probe::Server {
    let identity = Identity::load(state).ok().flatten();
    identity.map(|identity| probe::Server { addresses: identity.addresses, ca: identity.ca }).unwrap_or_default()
}

impl Means {
    /// One probe, asked for by itself.
    pub(super) async fn probe(&self, asked: Probe, reply: &Reply) -> anyhow::Result<()> {
        let (reading, _taken) = self.tested(&asked, None, reply).await?;
        reply.readings(vec![reading]).await;
        Ok(())
    }

    /// Probes that belong to a bundle, one after the other. One that cannot be run is a reading that says why.
    pub(super) async fn probes(&self, pack: &Pack, reply: &Reply) -> (Vec<Reading>, Vec<Taken>) {
        let (mut readings, mut files) = (Vec::new(), Vec::new());
        for (place, probe) in pack.probes.iter().enumerate() {
            let tested = if place < PACKED_MAX {
                self.tested(probe, Some((pack, files.len())), reply).await
            } else {
                Err(anyhow::anyhow!("not run: {PACKED_MAX} probes at most belong to one bundle"))
            };
            let (reading, taken) = tested.unwrap_or_else(|error| {
                let unrun = Reading {
                    table: probe.name.clone(),
                    at_ms: self.eye.host.now_ms(),
                    outcome: outcome_of(&error).into(),
                    reason: format!("{error:#}"),
                    ..Reading::default()
                };
                (unrun, None)
            });
            readings.push(reading);
            files.extend(taken);
        }
        (readings, files)
    }

    /// Runs a probe in its turn; its reading, which is recorded, and what it took for a bundle that already holds so many files.
    async fn tested(
        &self,
        asked: &Probe,
        pack: Option<(&Pack, usize)>,
        reply: &Reply,
    ) -> anyhow::Result<(Reading, Option<Taken>)> {
        let probe = probe::named(&asked.name)?;
        let policy = self.policies.borrow().clone();
        let line = policy.tables.iter().find(|line| line.table == probe.table).cloned().unwrap_or_default();
        anyhow::ensure!(!line.off, "the policy of this device switches {} off", probe.table);
        let mut errand = Errand::default();
        let mut request = None;
        let mut taken = None;
        if probe::takes(probe) {
            let (pack, files) =
                pack.context("what this takes is evidence of a ticket: deskside capture DEVICE --ticket N")?;
            let (eye, words) = (Arc::clone(&self.eye), asked.arguments.clone());
            let described =
                tokio::task::spawn_blocking(move || probe::described(probe, eye.host.as_ref(), &words)).await??;
            let rooms = (&self.consents, &self.eye, &self.keeper);
            let (begun, consent) = Request::begin(rooms, &policy, (pack, described), reply).await?;
            let file = self.outbox.scratch()?;
            errand = Errand::into(Box::new(file.try_clone()?));
            (errand.ticket, errand.asked_by, errand.consent) = (pack.ticket, pack.requested_by.clone(), consent);
            errand.file = if files == 0 { "capture.pcapng".into() } else { format!("capture-{}.pcapng", files + 1) };
            taken = Some(Taken { name: errand.file.clone(), file });
            request = Some(begun);
        }
        let turn = match Arc::clone(&self.turns).try_acquire_owned() {
            Ok(turn) => turn,
            Err(_none) => {
                reply.progress(&format!("{} other probes run; this one waits", probe::AT_ONCE_MAX)).await;
                Arc::clone(&self.turns).acquire_owned().await?
            }
        };
        if let Some(request) = &mut request {
            request.started(reply).await?;
        }
        let ran = self.ran((probe, asked, errand), policy, turn, reply).await;
        if let Some(request) = request {
            request.stopped(ended(&ran), reply).await?;
        }
        let reading = ran?;
        let entry = Entry { reading: reading.clone(), stream: !line.local, position: None };
        self.keeper.append(self.eye.host.now_ms(), vec![entry]).await?;
        let taken = taken.filter(|_taken| reading.outcome() == Outcome::Ok);
        Ok((reading, taken))
    }

    /// Runs a probe that nobody asked for; absent where others run. It is not recorded.
    pub(super) async fn unasked(&self, asked: &Probe) -> anyhow::Result<Option<Reading>> {
        let probe = probe::named(&asked.name)?;
        let policy = self.policies.borrow().clone();
        let off = policy.tables.iter().any(|line| line.table == probe.table && line.off);
        anyhow::ensure!(!off, "the policy of this device switches {} off", probe.table);
        anyhow::ensure!(!probe::takes(probe), "{} does not run by itself: it needs somebody's consent", probe.table);
        // Why none may run: one turn is left for the one who asks.
        if self.turns.available_permits() < probe::AT_ONCE_MAX {
            return Ok(None);
        }
        let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() else { return Ok(None) };
        let ran = self.ran((probe, asked, Errand::default()), policy, turn, &Reply::to_nobody()).await;
        ran.map(Some)
    }

    /// Records what a probe found.
    pub(super) async fn keep(&self, reading: Reading) -> anyhow::Result<()> {
        let local = self.policies.borrow().tables.iter().any(|line| line.table == reading.table && line.local);
        let entry = Entry { reading, stream: !local, position: None };
        self.keeper.append(self.eye.host.now_ms(), vec![entry]).await?;
        Ok(())
    }

    /// Runs it on a thread of its own, and tells its steps on.
    async fn ran(
        &self,
        (probe, asked, errand): (&'static probe::Probe, &Probe, Errand),
        policy: Policy,
        turn: OwnedSemaphorePermit,
        reply: &Reply,
    ) -> anyhow::Result<Reading> {
        let (tell, mut told) = mpsc::channel::<String>(STEPS_MAX);
        let (eye, words, state) = (Arc::clone(&self.eye), asked.arguments.clone(), self.state.clone());
        let running = tokio::task::spawn_blocking(move || {
            // Why here: a probe that nobody waits for any more has its turn until it has ended.
            let _turn = turn;
            let mut tell = |words: String| match words.as_str() {
                "" => !tell.is_closed(),
                words => tell.blocking_send(eye.redactor.text(words).into_owned()).is_ok(),
            };
            let ran = probe::run_for(errand, probe, eye.host.as_ref(), &words, (&policy, &server(&state)), &mut tell);
            if let Err(error @ Unrun::Stopped) = &ran {
                tracing::info!(probe = probe.table, %error, "probe");
            }
            ran.map(|reading| eye.clean(reading))
        });
        while let Some(words) = told.recv().await {
            reply.progress(&words).await;
        }
        let reading = running.await??;
        tracing::info!(probe = probe.table, outcome = ?Outcome::try_from(reading.outcome), took_ms = reading.took_ms, "probe");
        Ok(reading)
    }
}

/// What became of it, in words.
fn ended(ran: &anyhow::Result<Reading>) -> String {
    let reading = match ran {
        Ok(reading) => reading,
        Err(error) => return format!("{error:#}"),
    };
    match reading.rows.first().and_then(|row| Capture::decode(row.clone()).ok()) {
        Some(capture) => format!("{} SHA-256 {}", capture.found, capture.sha256),
        None => reading.reason.clone(),
    }
}
