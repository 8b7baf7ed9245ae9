//! Following logs: those of the machine's own settings, and those that the server's policy names, each time it changes.

use std::path::Path;
use std::sync::Arc;

use deskside_proto::v1::{LogEntries, LogFiles, Policy};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::commands::Means;
use super::lines::{LINES_MAX, Taker};
use super::signing::Signing;
use crate::collect::logs::{Config, Entries, Follower, Source};

/// Starts the follower, and what takes its lines. The first ends when the second is aborted.
pub(super) async fn start(
    config: &Config,
    state: &Path,
    means: &Means,
    signing: Signing,
) -> anyhow::Result<(JoinHandle<()>, JoinHandle<()>)> {
    let mut config = config.clone();
    // Why: what lies there is this device's key.
    config.forbidden.push(std::path::absolute(state)?.display().to_string());
    let (sink, lines) = mpsc::channel(LINES_MAX);
    let positions = means.keeper.with(|shelf| shelf.record.positions().clone()).await?;
    let mut policy = means.policies.subscribe();
    let named = policy.borrow_and_update().logs.clone();
    config.named = named.iter().map(source).collect();
    let follower = Follower::start(config, positions, sink)?;
    let taker = Taker {
        eye: Arc::clone(&means.eye),
        keeper: means.keeper.clone(),
        live: means.live.clone(),
        signing,
        policy: policy.clone(),
    };
    Ok((tokio::spawn(taker.run(lines)), tokio::spawn(name(follower, policy, named))))
}

/// Tells the follower what policy names, each time it changes.
async fn name(follower: Follower, mut policy: watch::Receiver<Policy>, mut named: Vec<LogFiles>) {
    while policy.changed().await.is_ok() {
        let now = policy.borrow_and_update().logs.clone();
        if now != named {
            follower.name(now.iter().map(source).collect());
            named = now;
        }
    }
    // Why not ended: the follower lives as long as this does.
    std::future::pending::<()>().await;
}

fn source(files: &LogFiles) -> Source {
    let entries = match files.entries() {
        LogEntries::Unspecified => Entries::Traces,
        LogEntries::Lines => Entries::Lines,
        LogEntries::Timestamps => Entries::Timestamps,
    };
    let zone = Some(files.zone.clone()).filter(|zone| !zone.is_empty());
    Source { files: files.files.clone(), entries, zone, ..Source::default() }
}
