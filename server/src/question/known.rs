//! Questions that the server answers itself, from what it holds: on a thread of their own, few at a time, stopped when nobody listens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deskside_proto::sql::{Bounds, Brake, Source, answer, bounds};
use deskside_proto::v1::{Query, QueryNote, QueryPart};
use futures_util::stream;
use tokio::sync::mpsc;

use super::{Pieces, Questions, Unanswered};

/// Pieces that wait for their reader.
const PIECES_MAX: usize = 4;

/// How much one answer of the server may be.
pub(super) const BOUNDS: Bounds = Bounds {
    rows_max: 200_000,
    bytes_max: 64 * 1024 * 1024,
    time_max: Duration::from_mins(1),
    memory_max: 256 * 1024 * 1024,
};

/// Pulls the brake when nobody listens any more.
struct Listener {
    pieces: mpsc::Receiver<Result<QueryPart, Unanswered>>,
    brake: Arc<Brake>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.brake.pull();
    }
}

impl Questions {
    /// Answers over a source. `notes` are said with the end.
    pub(super) async fn answer_here(&self, source: Arc<dyn Source>, query: Query, notes: Vec<QueryNote>) -> Pieces {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let bounds = bounds(&query, BOUNDS);
        let brake = Arc::new(Brake::new(Instant::now() + bounds.time_max));
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        let listener = Listener { pieces, brake: Arc::clone(&brake) };
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let mut notes = notes;
            let answered = answer(&source, &query, bounds, &brake, &mut |mut part| {
                if part.end.is_some() {
                    part.notes.splice(0..0, notes.drain(..));
                }
                sender.blocking_send(Ok(part)).is_ok()
            });
            if let Err(error) = answered {
                // Why: one who has gone needs no reason.
                sender.blocking_send(Err(error.into())).ok();
            }
        });
        Box::pin(stream::unfold(listener, |mut listener| async move {
            let piece = listener.pieces.recv().await?;
            Some((piece, listener))
        }))
    }
}
