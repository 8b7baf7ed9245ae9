//! One sentence for the whole way: which step breaks it, and which steps before it are fine.

use deskside_proto::v1::Printer;

use super::{Outcome, Step};

/// The name of the last row.
pub(super) const STEP: &str = "verdict";

/// The sentence, and the step that it names.
pub(super) struct Verdict {
    pub(super) step: Step,
    pub(super) broken_at: &'static str,
}

/// Weighs the steps that were taken.
pub(super) fn of(queue: &Printer, taken: &[Step]) -> Verdict {
    let broken = taken.iter().find(|step| step.outcome == Outcome::Failed);
    let sentence = match broken {
        Some(step) => format!("Queue {}: {} fails: {}.", queue.name, step.name, step.found),
        None => format!("The way of queue {} is whole as far as it was seen.", queue.name),
    };
    let outcome = if broken.is_some() { Outcome::Failed } else { Outcome::Ok };
    let step = Step { name: STEP, target: queue.device_uri.clone(), outcome, found: sentence, took_ms: None };
    Verdict { step, broken_at: broken.map_or("", |step| step.name) }
}
