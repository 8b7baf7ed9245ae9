//! Renews the certificate when two thirds of its time are over.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::host::Host;
use crate::schedule::spread;
use crate::uplink::identity::Identity;
use crate::uplink::line::renew;

/// Between two looks at the clock.
const EVERY: Duration = Duration::from_mins(30);

/// The first look, and after a failure the next, are spread over this.
const SPREAD_MS: u64 = 600_000;

/// Renews for as long as it runs.
pub(super) async fn run(state: PathBuf, host: Arc<dyn Host>, seed: u64) {
    tokio::time::sleep(Duration::from_millis(spread(seed, 3, SPREAD_MS))).await;
    loop {
        if let Err(error) = once(&state, host.now_ms()).await {
            tracing::warn!(error = format!("{error:#}"), "the certificate was not renewed; it is tried again");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn once(state: &std::path::Path, now_ms: i64) -> anyhow::Result<()> {
    let Some(identity) = Identity::load(state)? else { return Ok(()) };
    let validity = identity.validity()?;
    // Why: a clock that stands before the certificate began is wrong, and would have it renewed for ever.
    if now_ms < validity.from_ms || now_ms < validity.renew_ms() {
        return Ok(());
    }
    let renewed = renew(&identity).await?;
    renewed.save(state)?;
    tracing::info!(until_ms = renewed.validity()?.to_ms, "certificate renewed");
    Ok(())
}
