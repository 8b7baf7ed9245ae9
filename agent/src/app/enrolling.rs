//! Makes the machine known to its server: at once by a person, or by the service from a token that a roll-out has laid down.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::sync::mpsc;

use super::facts::{Facts, VERSION};
use super::link::Nudge;
use crate::schedule::spread;
use crate::uplink::enroll::{Applicant, enroll};
use crate::uplink::identity::Identity;

/// Longest file with a token.
const TOKEN_BYTES_MAX: u64 = 16 * 1024;

/// Between two tries; each further one waits twice as long.
const AGAIN_MIN: Duration = Duration::from_secs(5);
const AGAIN_MAX: Duration = Duration::from_mins(10);

/// Trades a token for an identity.
pub(super) async fn by(token: &str, facts: &Facts) -> anyhow::Result<Identity> {
    let (hostname, machine) = (facts.hostname.clone(), facts.machine.clone());
    enroll(token.trim(), Applicant { hostname, machine, agent_version: VERSION.into() }).await
}

/// The token that a file holds.
pub(super) fn token(file: &Path) -> anyhow::Result<String> {
    let mut token = String::new();
    let opened = File::open(file).and_then(|opened| opened.take(TOKEN_BYTES_MAX).read_to_string(&mut token));
    opened.with_context(|| format!("reading the token in {}", file.display()))?;
    ensure!(!token.trim().is_empty(), "{} is empty; it holds the string that begins with dsk1", file.display());
    Ok(token)
}

/// Enrols with the token that lies in a file, for as long as there is no identity. Why it goes on trying: after an installation, the network or the
/// server may come later than the agent.
pub(super) async fn run(state: PathBuf, file: PathBuf, facts: Facts, seed: u64, nudges: mpsc::Sender<Nudge>) {
    let mut pause = AGAIN_MIN;
    while let Ok(None) = Identity::load(&state) {
        // Why silent: without such a file somebody enrols the machine by hand.
        if !file.exists() {
            tokio::time::sleep(AGAIN_MIN).await;
            continue;
        }
        match once(&state, &file, &facts).await {
            Ok(device) => {
                tracing::info!(device, "enrolled");
                // The link is gone only when the agent stops.
                nudges.send(Nudge::Reconnect).await.ok();
                return;
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(error, seconds = pause.as_secs(), "this machine is not enrolled yet; it is tried again");
            }
        }
        tokio::time::sleep(pause + Duration::from_millis(spread(seed, 5, pause.as_millis() as u64))).await;
        pause = (pause * 2).min(AGAIN_MAX);
    }
}

async fn once(state: &Path, file: &Path, facts: &Facts) -> anyhow::Result<String> {
    let identity = by(&token(file)?, facts).await?;
    // Why: whoever enrolled this machine in the meantime meant it.
    ensure!(Identity::load(state)?.is_none(), "another identity came in the meantime");
    identity.save(state)?;
    Ok(identity.device_id)
}
