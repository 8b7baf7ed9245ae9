//! A question to one device, answered there.

use deskside_proto::v1::{Command, Query, QueryPart, command};
use futures_util::stream;
use uuid::Uuid;

use super::{Pieces, Questions, Unanswered};
use crate::gateway::Answers;

/// How long a device may work on a question, where the asker does not say.
const TIME_MS: u32 = 30_000;

/// How long it may at most.
const TIME_MS_MAX: u32 = 120_000;

/// Added for its wait, where it is the only one that is asked: a device answers few questions at a time.
const QUEUE_MS: u32 = 60_000;

impl Questions {
    /// Asks the device. It is told to stop as soon as the pieces are dropped.
    pub fn ask(&self, device: Uuid, query: Query) -> Result<Pieces, Unanswered> {
        self.ask_waiting(device, query, QUEUE_MS)
    }

    /// The same, where it may wait for its turn so long.
    pub(super) fn ask_waiting(&self, device: Uuid, query: Query, wait_ms: u32) -> Result<Pieces, Unanswered> {
        let deadline_ms = time_ms(&query) + wait_ms;
        let kind = Some(command::Kind::Query(Box::new(query)));
        let answers = self.switchboard.command(device, Command { deadline_ms, kind, ..Command::default() })?;
        Ok(Box::pin(stream::unfold(Some(answers), next)))
    }
}

/// How long a question may take where it is worked on.
fn time_ms(query: &Query) -> u32 {
    if query.time_max_ms == 0 { TIME_MS } else { query.time_max_ms.min(TIME_MS_MAX) }
}

/// The next piece, and what is left to come after it.
async fn next(answers: Option<Answers>) -> Option<(Result<QueryPart, Unanswered>, Option<Answers>)> {
    let mut answers = answers?;
    let failed = |words: &str| Some((Err(Unanswered::Device(words.to_owned())), None));
    loop {
        let Some(answer) = answers.recv().await else {
            return failed("the answer came faster than it was read; ask for less");
        };
        if !answer.error.is_empty() {
            return failed(&answer.error);
        }
        let mut part = answer.result.map(|part| *part).unwrap_or_default();
        if part.progress.is_empty() {
            part.progress = answer.progress;
        }
        match (answer.last, part == QueryPart::default()) {
            (true, true) => return None,
            (true, false) => return Some((Ok(part), None)),
            (false, true) => {}
            (false, false) => return Some((Ok(part), Some(answers))),
        }
    }
}
