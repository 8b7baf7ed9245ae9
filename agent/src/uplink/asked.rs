//! Commands under way: how many, and until when.

use std::collections::BTreeMap;

use deskside_proto::v1::command::Kind;
use deskside_proto::v1::from_agent::Kind as Up;
use deskside_proto::v1::{Answer, Command};

use super::Act;

/// Commands that are worked on at the same time. Why more than run at once: probes that wait for their turn must not keep looks out.
pub const COMMANDS_MAX: usize = 8;

/// Commands without a deadline of their own get this one.
const COMMAND_MS: u64 = 60_000;

/// Longest deadline of a command.
const COMMAND_MS_MAX: u64 = 3_600_000;

/// A command that is worked on.
#[derive(Debug)]
struct Running {
    until_ms: u64,
    /// Its work goes on when the session ends.
    outlives: bool,
}

/// All of them, by identity.
#[derive(Debug, Default)]
pub(super) struct Asked {
    running: BTreeMap<String, Running>,
}

impl Asked {
    /// What to do about a command: work on it, or say why not; nothing where it is already worked on.
    pub(super) fn begin(&mut self, now_ms: u64, command: Command) -> Option<Act> {
        if self.running.contains_key(&command.id) {
            return None;
        }
        let why = match command.kind {
            None => Some("this agent does not know what is asked; update it"),
            Some(_) if self.running.len() >= COMMANDS_MAX => Some("busy with other questions; ask again in a moment"),
            Some(_) => None,
        };
        if let Some(why) = why {
            return Some(Act::Send(Up::Answer(refusal(command.id, why))));
        }
        let deadline_ms = match u64::from(command.deadline_ms) {
            0 => COMMAND_MS,
            asked => asked.min(COMMAND_MS_MAX),
        };
        let outlives = matches!(command.kind, Some(Kind::Pack(_)));
        self.running.insert(command.id.clone(), Running { until_ms: now_ms + deadline_ms, outlives });
        Some(Act::Start(command))
    }

    /// Whether anybody still wants the answer.
    pub(super) fn answered(&mut self, answer: &Answer) -> bool {
        if answer.last { self.running.remove(&answer.id).is_some() } else { self.running.contains_key(&answer.id) }
    }

    /// Whether it was worked on.
    pub(super) fn cancel(&mut self, id: &str) -> bool {
        self.running.remove(id).is_some()
    }

    /// Takes out those past their deadline.
    pub(super) fn late(&mut self, now_ms: u64) -> Vec<String> {
        self.running.extract_if(.., |_id, running| now_ms >= running.until_ms).map(|(id, _)| id).collect()
    }

    /// The next deadline.
    pub(super) fn until_ms(&self) -> Option<u64> {
        self.running.values().map(|running| running.until_ms).min()
    }

    /// The session ended: nobody hears answers any more. Those whose work is to stop.
    pub(super) fn end(&mut self) -> Vec<String> {
        let all = std::mem::take(&mut self.running);
        all.into_iter().filter(|(_id, running)| !running.outlives).map(|(id, _)| id).collect()
    }
}

/// The last word on a command that does not go well.
pub(super) fn refusal(id: String, why: &str) -> Answer {
    Answer { id, last: true, error: why.into(), ..Answer::default() }
}
