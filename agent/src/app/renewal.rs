//! Renews the certificate when two thirds of its time are over.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::link::Nudge;
use crate::host::Host;
use crate::schedule::spread;
use crate::uplink::identity::Identity;
use crate::uplink::line::renew;

/// Between two looks at the clock.
const EVERY: Duration = Duration::from_mins(30);

/// After an attempt that failed.
const AGAIN: Duration = Duration::from_mins(1);

/// The first look is spread over this, unless the certificate has already ended.
const SPREAD_MS: u64 = 600_000;

/// Renews for as long as it runs; after each renewal the link is told.
pub(super) async fn run(state: PathBuf, host: Arc<dyn Host>, seed: u64, nudges: mpsc::Sender<Nudge>) {
    if !is_over(&state, host.now_ms()) {
        tokio::time::sleep(Duration::from_millis(spread(seed, 3, SPREAD_MS))).await;
    }
    loop {
        let wait = match once(&state, host.now_ms()).await {
            Ok(false) => EVERY,
            Ok(true) => {
                // The link is gone only when the agent stops.
                nudges.send(Nudge::Reconnect).await.ok();
                EVERY
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the certificate was not renewed; it is tried again");
                AGAIN + Duration::from_millis(spread(seed, 4, AGAIN.as_millis() as u64))
            }
        };
        tokio::time::sleep(wait).await;
    }
}

fn is_over(state: &Path, now_ms: i64) -> bool {
    let validity = Identity::load(state).ok().flatten().and_then(|identity| identity.validity().ok());
    validity.is_some_and(|validity| now_ms > validity.to_ms)
}

/// Whether there was something to renew.
async fn once(state: &Path, now_ms: i64) -> anyhow::Result<bool> {
    let Some(identity) = Identity::load(state)? else { return Ok(false) };
    let validity = identity.validity()?;
    // Why: a clock that stands before the certificate began is wrong, and would have it renewed for ever.
    if now_ms < validity.from_ms || now_ms < validity.renew_ms() {
        return Ok(false);
    }
    let renewed = renew(&identity).await?;
    // Why: whoever enrolled this machine anew in the meantime meant it.
    anyhow::ensure!(Identity::load(state)?.as_ref() == Some(&identity), "the identity changed in the meantime");
    renewed.save(state)?;
    tracing::info!(until_ms = renewed.validity()?.to_ms, "certificate renewed");
    Ok(true)
}
