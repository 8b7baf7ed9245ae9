//! Folds readings into blocks, and lets go of those past their time or room, a little at a time.

use std::{convert::Infallible, sync::Arc, time::Duration};

use jiff::Timestamp;
use tracing::error;

use crate::{
    config,
    store::{Retention, Store, TableRetention},
};

/// Rest between looks.
const EVERY: Duration = Duration::from_mins(5);

/// Rest between pieces of one look, so that writers come in between.
const BETWEEN: Duration = Duration::from_millis(50);

const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// Never returns.
pub(super) async fn keep(store: Arc<dyn Store>, config: config::Retention) -> Infallible {
    let retention = retention(config);
    loop {
        let more = match store.retain(&retention, Timestamp::now().as_millisecond()).await {
            Ok(more) => more,
            Err(error) => {
                error!(error = format!("{error:#}"), "old readings could not be folded or let go of");
                false
            }
        };
        tokio::time::sleep(if more { BETWEEN } else { EVERY }).await;
    }
}

/// What is configured, as the store is told it.
fn retention(config: config::Retention) -> Retention {
    let age = |days: u32| i64::from(days) * DAY_MS;
    let tables = config.tables.into_iter().map(|line| {
        let (age_max_ms, device_bytes_max) = (line.days.map(age), line.device_bytes_max);
        (line.table, TableRetention { age_max_ms, device_bytes_max })
    });
    Retention {
        age_max_ms: age(config.days),
        bytes_max: config.bytes_max,
        device_bytes_max: config.device_bytes_max,
        tables: tables.collect(),
    }
}
