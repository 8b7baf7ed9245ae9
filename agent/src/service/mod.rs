//! What the system's service manager is told: that the agent is ready, that it lives, that it stops. Where none listens, nothing is said.

use std::time::Duration;

use sd_notify::NotifyState;

/// Signs of life in the time after which the manager takes the agent for dead.
const SIGNS: u32 = 3;

/// Everything has begun.
pub fn ready(words: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(words)]);
}

/// The end has begun.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says that the agent lives, for as long as it does: before each sign its rooms must answer. Ends at once where nobody waits for signs.
///
/// Why ask first: a task that only ticks would live on while those that work hang.
pub async fn live<A: Future<Output = bool>>(answers: impl Fn() -> A) {
    let Some(patience) = sd_notify::watchdog_enabled() else { return };
    let mut signs = tokio::time::interval(pause(patience));
    loop {
        signs.tick().await;
        if !answers().await {
            tracing::error!("a room of the agent has ended; the service manager is told nothing more");
            return;
        }
        tell(&[NotifyState::Watchdog]);
    }
}

fn pause(patience: Duration) -> Duration {
    (patience / SIGNS).max(Duration::from_millis(1))
}

fn tell(words: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(words) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
