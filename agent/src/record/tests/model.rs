//! Random lives of a record against a list that cannot be wrong.

use deskside_proto::v1::Reading;
use proptest::prelude::*;

use super::{Bounds, T0, bounded, disk, drain, folder, history, line, load, local, reading, streamed};
use crate::record::Entry;

#[derive(Clone, Debug)]
enum Step {
    Sample(i64),
    State(u8),
    Line(i64),
    Local(i64),
    Kept(u64),
    Tidy,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (-40_000..400_000_i64).prop_map(Step::Sample),
        3 => (0..3_u8).prop_map(Step::State),
        2 => (0..1000_i64).prop_map(Step::Line),
        2 => (0..1000_i64).prop_map(Step::Local),
        2 => (0..200_u64).prop_map(Step::Kept),
        2 => Just(Step::Tidy),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..150)
}

/// A list that holds everything ever stored.
#[derive(Default)]
struct Model {
    stored: Vec<(u64, Entry)>,
    state: Option<u8>,
}

impl Model {
    fn append(&mut self, entry: &Entry) {
        self.stored.push((self.stored.len() as u64 + 1, entry.clone()));
    }

    fn queue(&self, after: u64) -> Vec<(u64, Reading)> {
        let streamed = self.stored.iter().filter(|(seq, entry)| entry.stream && *seq > after);
        streamed.map(|(seq, entry)| (*seq, entry.reading.clone())).collect()
    }

    fn samples(&self) -> Vec<Reading> {
        let mut all: Vec<Reading> = self.stored.iter().map(|(_seq, entry)| entry.reading.clone()).collect();
        all.retain(|reading| reading.table == "load");
        all.sort_by_key(|reading| reading.at_ms);
        all
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_record_holds_what_a_list_would(steps in steps()) {
        let dir = folder();
        let mut record = bounded(dir.path(), Bounds::default(), T0);
        let (mut model, mut now_ms, mut kept) = (Model::default(), T0, 0);
        for step in steps {
            let entry = match step {
                Step::Sample(passed) => { now_ms += passed; Some(load(now_ms)) }
                Step::State(which) => {
                    let entry = streamed(reading(now_ms, &[disk("/", &which.to_string(), now_ms as f64)]));
                    if model.state.replace(which) == Some(which) {
                        prop_assert_eq!(record.append(now_ms, &[entry]).unwrap().stored, 0);
                        None
                    } else { Some(entry) }
                }
                Step::Line(passed) => { now_ms += passed; Some(line(now_ms, "a line")) }
                Step::Local(passed) => { now_ms += passed; Some(local(load(now_ms).reading)) }
                Step::Kept(seq) => { kept = kept.max(seq.min(record.last_seq())); record.kept(seq); None }
                Step::Tidy => { record.tidy(now_ms).unwrap(); None }
                Step::Reopen => { drop(record); record = bounded(dir.path(), Bounds::default(), now_ms); None }
            };
            if let Some(entry) = entry {
                let appended = record.append(now_ms, std::slice::from_ref(&entry)).unwrap();
                model.append(&entry);
                prop_assert_eq!((appended.stored, appended.last_seq), (1, model.stored.len() as u64));
            }
        }
        prop_assert_eq!(drain(&mut record, kept), model.queue(kept));
        prop_assert_eq!(drain(&mut record, 0), model.queue(0));
        prop_assert_eq!(record.stats().readings, model.stored.len() as u64);
        let mut samples = history(&record, "load", i64::MIN / 2, i64::MAX);
        samples.sort_by_key(|reading| reading.at_ms);
        prop_assert_eq!(samples, model.samples());
    }
}
