//! Lets go of readings past their time or room, a little at a time.

use std::{convert::Infallible, sync::Arc, time::Duration};

use jiff::Timestamp;
use tracing::error;

use crate::{
    config::History,
    store::{Retention, Store},
};

/// Rest between looks.
const EVERY: Duration = Duration::from_mins(5);

/// Rest between pieces of one look, so that writers come in between.
const BETWEEN: Duration = Duration::from_millis(50);

const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// Never returns.
pub(super) async fn keep(store: Arc<dyn Store>, history: History) -> Infallible {
    loop {
        let before_ms = Timestamp::now().as_millisecond() - i64::from(history.days) * DAY_MS;
        let more = match store.retain(Retention { before_ms, bytes_max: history.bytes_max }).await {
            Ok(more) => more,
            Err(error) => {
                error!(error = format!("{error:#}"), "old readings could not be let go of");
                false
            }
        };
        tokio::time::sleep(if more { BETWEEN } else { EVERY }).await;
    }
}
