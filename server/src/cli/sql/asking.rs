//! Putting a question, and its answer piece by piece: from the server, or from a file on this machine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deskside_proto::sql::{self, Bounds, Brake, Source};
use deskside_proto::v1::{Query, QueryPart, QueryRequest, Sight};
use tokio::sync::{Notify, mpsc};
use tonic::{Status, Streaming};

use crate::cli::connect::Desk;

/// Pieces that wait to be shown.
const PARTS_MAX: usize = 8;

/// What a question to a file may take: it is this machine's own.
const BOUNDS: Bounds =
    Bounds { rows_max: 1_000_000, bytes_max: 1 << 30, time_max: Duration::from_mins(10), memory_max: 512 << 20 };

/// The one who answers.
#[derive(Clone)]
pub(in crate::cli) enum Asker {
    /// The server, for a device, the fleet or a ticket.
    Desk(Box<Desk>, QueryRequest),
    /// A bundle.
    File(Arc<dyn Source>),
}

impl Asker {
    /// Puts a question.
    pub(in crate::cli) async fn ask(&mut self, query: Query) -> anyhow::Result<Pieces> {
        match self {
            Self::Desk(desk, request) => {
                let request = QueryRequest { query: Some(query), ..request.clone() };
                Ok(Pieces::Desk(Box::new(desk.query(request).await?.into_inner())))
            }
            Self::File(source) => Ok(Pieces::of_file(Arc::clone(source), query)),
        }
    }
}

/// The pieces of an answer. Dropping them hangs up: whoever works on the question stops.
pub(in crate::cli) enum Pieces {
    /// From the server.
    Desk(Box<Streaming<QueryPart>>),
    /// From a thread of this program.
    File(mpsc::Receiver<Result<QueryPart, Status>>, Arc<Brake>),
}

impl Pieces {
    fn of_file(source: Arc<dyn Source>, mut query: Query) -> Self {
        // A file lies on the technician's own disk: what is in it was given out when it was fetched.
        query.sight = Some(Sight { personal: true, content: true });
        let bounds = sql::bounds(&query, BOUNDS);
        let brake = Arc::new(Brake::new(Instant::now() + bounds.time_max));
        let (sender, pieces) = mpsc::channel(PARTS_MAX);
        let stop = Arc::clone(&brake);
        tokio::task::spawn_blocking(move || {
            let mut tell = |part: QueryPart| sender.blocking_send(Ok(part)).is_ok();
            if let Err(error) = sql::answer(&source, &query, bounds, &stop, &mut tell) {
                // Nobody may listen any more; then there is nobody to tell.
                sender.blocking_send(Err(Status::invalid_argument(error.to_string()))).ok();
            }
        });
        Self::File(pieces, brake)
    }

    /// The next piece; none after the last.
    pub(in crate::cli) async fn next(&mut self) -> Result<Option<QueryPart>, Status> {
        match self {
            Self::Desk(pieces) => pieces.message().await,
            Self::File(pieces, _brake) => pieces.recv().await.transpose(),
        }
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        if let Self::File(_pieces, brake) = self {
            brake.pull();
        }
    }
}

/// The asker's wish to stop.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Stop {
    pressed: Arc<Notify>,
}

impl Stop {
    /// Ctrl-C, from here on: it no longer ends the program by itself.
    pub(in crate::cli) fn on_ctrl_c() -> Self {
        let stop = Self::default();
        let pressed = Arc::clone(&stop.pressed);
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                pressed.notify_waiters();
            }
        });
        stop
    }

    /// Presses it by hand.
    #[cfg(test)]
    pub(in crate::cli) fn press(&self) {
        self.pressed.notify_waiters();
    }

    /// Until it is pressed.
    pub(in crate::cli) async fn pressed(&self) {
        self.pressed.notified().await;
    }
}
