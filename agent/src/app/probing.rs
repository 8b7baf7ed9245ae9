//! Probes as they are asked for: in turn, told step by step, redacted, recorded. One whose asker has gone stops at its next step.

use std::path::Path;
use std::sync::Arc;

use deskside_proto::v1::{Outcome, Probe, Reading};
use tokio::sync::{Semaphore, mpsc};

use super::commands::{Means, Reply};
use crate::collect::outcome_of;
use crate::probe::{self, Unrun};
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
        let reading = self.tested(&asked, reply).await?;
        reply.readings(vec![reading]).await;
        Ok(())
    }

    /// Probes that belong to a bundle, one after the other. One that cannot be run is a reading that says why.
    pub(super) async fn probes(&self, asked: &[Probe], reply: &Reply) -> Vec<Reading> {
        let mut readings = Vec::new();
        for (place, probe) in asked.iter().enumerate() {
            let tested = if place < PACKED_MAX {
                self.tested(probe, reply).await
            } else {
                Err(anyhow::anyhow!("not run: {PACKED_MAX} probes at most belong to one bundle"))
            };
            readings.push(tested.unwrap_or_else(|error| Reading {
                table: probe.name.clone(),
                at_ms: self.eye.host.now_ms(),
                outcome: outcome_of(&error).into(),
                reason: format!("{error:#}"),
                ..Reading::default()
            }));
        }
        readings
    }

    /// Runs a probe in its turn; its reading, which is recorded.
    async fn tested(&self, asked: &Probe, reply: &Reply) -> anyhow::Result<Reading> {
        let probe = probe::named(&asked.name)?;
        let policy = self.policies.borrow().clone();
        let line = policy.tables.iter().find(|line| line.table == probe.table).cloned().unwrap_or_default();
        anyhow::ensure!(!line.off, "the policy of this device switches {} off", probe.table);
        let turn = match Arc::clone(&self.turns).try_acquire_owned() {
            Ok(turn) => turn,
            Err(_none) => {
                reply.progress(&format!("{} other probes run; this one waits", probe::AT_ONCE_MAX)).await;
                Arc::clone(&self.turns).acquire_owned().await?
            }
        };
        let (tell, mut told) = mpsc::channel::<String>(STEPS_MAX);
        let (eye, words, state) = (Arc::clone(&self.eye), asked.arguments.clone(), self.state.clone());
        let running = tokio::task::spawn_blocking(move || {
            // Why here: a probe that nobody waits for any more has its turn until it has ended.
            let _turn = turn;
            let clean = |words: String| eye.redactor.text(&words).into_owned();
            let mut tell = |words: String| tell.blocking_send(clean(words)).is_ok();
            let ran = probe::run(probe, eye.host.as_ref(), &words, &policy, &server(&state), &mut tell);
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
        let entry = Entry { reading: reading.clone(), stream: !line.local, position: None };
        self.keeper.append(self.eye.host.now_ms(), vec![entry]).await?;
        Ok(reading)
    }
}
