//! What the answers of all probes have in common, whatever their tables are: the sentences for the whole, and whether anything failed.

use crate::catalog;
use crate::rows::{self, Value};
use crate::v1::{Reading, TableSchema};

/// What a probe's reading comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// One sentence for each thing that was tested.
    pub sentences: Vec<String>,
    /// A step of it failed.
    pub failed: bool,
}

impl Verdict {
    /// Reads it from the columns `step`, `outcome` and `found`. In a table without steps each row is a verdict of its own.
    pub fn of(schema: &TableSchema, reading: &Reading) -> Self {
        let mut verdict = Self::default();
        let place = |name: &str| catalog::column(schema, name);
        let (step, outcome, found) = (place("step"), place("outcome"), place("found"));
        for values in reading.rows.iter().filter_map(|row| rows::open(schema, row).ok()) {
            let text = |place: Option<usize>| match place.and_then(|place| values.get(place)) {
                Some(Value::Text(text)) => text.clone(),
                _ => String::new(),
            };
            verdict.failed |= text(outcome) == "failed";
            if step.is_none() || text(step) == "verdict" {
                verdict.sentences.push(text(found));
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::rows::Row;
    use crate::v1::PrintPath;

    #[test]
    fn the_sentences_are_those_of_the_verdicts_and_one_failed_step_is_enough() {
        let row = |step: &str, outcome: &str, found: &str| {
            let (step, outcome, found) = (step.into(), outcome.into(), found.into());
            PrintPath { step, outcome, found, ..PrintPath::default() }.encode_to_vec().into()
        };
        let rows =
            vec![row("port", "failed", "refused"), row("verdict", "failed", "It is broken."), vec![0xff_u8].into()];
        let reading = Reading { rows, ..Reading::default() };
        let schema = catalog::table(PrintPath::TABLE).unwrap();
        assert_eq!(Verdict::of(schema, &reading), Verdict { sentences: vec!["It is broken.".into()], failed: true });
    }
}
