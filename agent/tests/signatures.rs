//! Grouping of log lines in the shape of real systems: how well, and that order, restarts, machines and keys change nothing.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and prints its figure")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use deskside_agent::redact::{Config, Redactor};
use deskside_agent::signature::{Id, Line, SIGNATURES_MAX, Signatures};
use deskside_proto::catalog;
use deskside_proto::v1::{ErrorSignature, LogEvent, Outcome, Reading};
use prost::Message;
use prost::bytes::Bytes;

const NOW_MS: i64 = 1_768_478_400_000;

/// A line of a sample, and the group that it truly belongs to.
struct Sample {
    group: String,
    event: LogEvent,
}

/// The samples: group, program, priority and message, tabs between; line breaks in the message are written as `\n`.
fn samples() -> Vec<Sample> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/logs");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut samples = Vec::new();
    for file in files {
        for (place, line) in fs::read_to_string(file).unwrap().lines().enumerate() {
            let mut fields = line.splitn(4, '\t');
            let mut field = || fields.next().unwrap().to_owned();
            let (group, program, priority, message) = (field(), field(), field(), field());
            let message = unescaped(&message);
            let at_ms = NOW_MS - i64::try_from(place).unwrap() * 1000;
            let event = LogEvent { at_ms, program, priority: priority.parse().ok(), message, ..LogEvent::default() };
            samples.push(Sample { group, event });
        }
    }
    samples
}

fn unescaped(text: &str) -> String {
    let mut chars = text.chars();
    let mut plain = String::new();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                other => other.unwrap(),
            },
            c => c,
        });
    }
    plain
}

fn rows<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Vec<Bytes> {
    samples.into_iter().map(|sample| sample.event.encode_to_vec().into()).collect()
}

/// Looks at rows in batches as the agent does.
fn mine(signatures: &Signatures, rows: &[Bytes]) {
    for batch in rows.chunks(256) {
        let tally = signatures.tally(batch.iter().map(AsRef::as_ref), NOW_MS);
        signatures.add(tally);
    }
}

fn known(signatures: &Signatures) -> BTreeMap<String, ErrorSignature> {
    signatures.known(NOW_MS).rows.into_iter().map(|row| (row.id.clone(), row)).collect()
}

/// What must be the same on all machines: identity, template and count.
fn essence(signatures: &Signatures) -> BTreeMap<String, (u64, u64)> {
    known(signatures)
        .into_iter()
        .map(|(id, row)| (id, (row.count, row.hours.iter().map(|n| u64::from(*n)).sum())))
        .collect()
}

/// The signature that a line alone makes; none where it is not mined.
fn alone(row: &Bytes) -> Option<ErrorSignature> {
    let signatures = Signatures::default();
    mine(&signatures, std::slice::from_ref(row));
    signatures.known(NOW_MS).rows.pop()
}

#[test]
fn nine_in_ten_lines_are_grouped_as_a_person_would() {
    let samples = samples();
    assert!(samples.len() >= 1500, "{} lines", samples.len());
    let mut truly: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    let mut found: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    let mut templates: BTreeMap<String, String> = BTreeMap::new();
    for (place, sample) in samples.iter().enumerate() {
        let row = rows([sample]).remove(0);
        let signature = alone(&row)
            .map_or_else(|| (format!("not mined {place}"), sample.event.message.clone()), |row| (row.id, row.template));
        truly.entry(&sample.group).or_default().insert(place);
        found.entry(signature.0.clone()).or_default().insert(place);
        templates.insert(signature.0, signature.1);
    }
    let sets: BTreeSet<&BTreeSet<usize>> = truly.values().collect();
    let right: usize = found.values().filter(|set| sets.contains(set)).map(BTreeSet::len).sum();
    for (id, set) in found.iter().filter(|(_id, set)| !sets.contains(set)) {
        let groups: BTreeSet<&str> =
            set.iter().filter_map(|place| samples.get(*place)).map(|s| s.group.as_str()).collect();
        println!("{} lines of {groups:?}: {}", set.len(), templates[id]);
    }
    let accuracy = right as f64 / samples.len() as f64;
    println!(
        "grouping accuracy {accuracy:.3}: {right} of {} lines, {} true groups, {} found",
        samples.len(),
        truly.len(),
        found.len()
    );
    assert!(accuracy >= 0.9, "{accuracy}");
}

#[test]
fn neither_order_nor_batches_change_what_is_found() {
    let samples = samples();
    let forward = Signatures::default();
    mine(&forward, &rows(&samples));
    let backward = Signatures::default();
    for row in rows(samples.iter().rev()) {
        mine(&backward, &[row]);
    }
    assert_eq!(essence(&forward), essence(&backward));
    let known = known(&forward);
    assert!(known.len() > 100 && known.len() <= SIGNATURES_MAX, "{}", known.len());
}

#[test]
fn a_restart_changes_nothing_and_counts_nothing_twice() {
    let all = rows(&samples());
    let straight = Signatures::default();
    mine(&straight, &all);
    let mut written: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut signatures = Signatures::default();
    for part in all.chunks(100) {
        mine(&signatures, part);
        for (name, value) in signatures.notes() {
            match value {
                Some(value) => _ = written.insert(name, value),
                None => _ = written.remove(&name),
            }
        }
        assert!(signatures.notes().is_empty(), "what is written is written once");
        signatures = Signatures::restored(written.clone());
    }
    assert_eq!(known(&signatures), known(&straight));
    assert_eq!(signatures.known(NOW_MS).began_ms, NOW_MS);
}

#[test]
fn agents_with_different_keys_find_the_same_signatures() {
    let schema = catalog::table("log_events").unwrap();
    let all = rows(&samples());
    let agent = || {
        let folder = tempfile::tempdir().unwrap();
        let redactor = Redactor::open(folder.path(), Config::default()).unwrap();
        let outcome = Outcome::Ok.into();
        let reading = Reading { table: "log_events".into(), rows: all.clone(), outcome, ..Reading::default() };
        let signatures = Signatures::default();
        mine(&signatures, &redactor.redact(schema, reading).rows);
        signatures
    };
    let (first, second) = (agent(), agent());
    assert_eq!(essence(&first), essence(&second));
    let (first, second) = (known(&first), known(&second));
    let templates = |known: &BTreeMap<String, ErrorSignature>| -> BTreeSet<(String, String)> {
        known.values().map(|row| (row.source.clone(), row.template.clone())).collect()
    };
    assert_eq!(templates(&first), templates(&second));
}

#[test]
fn the_identity_is_the_one_that_was_given_out() {
    let id = |program: &str, unit: &str, message_id: &str, message: &str| {
        let event = LogEvent {
            program: program.into(),
            unit: unit.into(),
            message_id: message_id.into(),
            priority: Some(3),
            message: message.into(),
            ..LogEvent::default()
        };
        alone(&event.encode_to_vec().into()).unwrap().id
    };
    // Why pinned: signatures of two releases are counted together; who changes a rule changes the version.
    insta::assert_snapshot!(id("sshd", "", "", "Failed password for anna from 192.0.2.7 port 22 ssh2"));
    insta::assert_snapshot!(id(
        "systemd",
        "cups.service",
        "d9b373ed55a64feb8242e02dbe79a49c",
        "cups.service: Failed with result 'timeout'."
    ));
    assert_eq!(
        id("systemd", "cups.service", "d9b373ed55a64feb8242e02dbe79a49c", "one text"),
        id("systemd", "cups.service", "d9b373ed55a64feb8242e02dbe79a49c", "ein Text"),
        "structure comes first"
    );
    assert_ne!(id("a", "", "", "exit status 1"), id("a", "", "", "exit status 203"), "a code is no number");
    assert_ne!(id("a", "", "", "no 0x80070005"), id("a", "", "", "no 0x80070643"));
    assert_eq!(id("a", "", "", "at 0x00401000"), id("a", "", "", "at 0x00402000"));
    assert_ne!(id("a", "", "", "broken"), id("b", "", "", "broken"));
}

#[test]
fn what_was_seen_longest_ago_is_let_go_of_and_counted() {
    let signatures = Signatures::default();
    let word = |n: usize| -> String { format!("{n:04}").bytes().map(|b| char::from(b - b'0' + b'a')).collect() };
    for n in 0..SIGNATURES_MAX + 25 {
        let message = format!("error in part {}", word(n));
        let at_ms = NOW_MS - 1_000_000 + i64::try_from(n).unwrap();
        let event = LogEvent { at_ms, program: "app".into(), message, ..LogEvent::default() };
        mine(&signatures, &[event.encode_to_vec().into()]);
    }
    let known = signatures.known(NOW_MS);
    assert_eq!((known.rows.len(), known.let_go), (SIGNATURES_MAX, 25));
    assert!(known.rows.iter().all(|row| row.template != "error in part aaaa"));
    let written: BTreeMap<String, Vec<u8>> =
        signatures.notes().into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    assert_eq!(Signatures::restored(written).known(NOW_MS), known);
}

#[test]
fn codes_in_a_message_are_named_in_its_signature() {
    let event = LogEvent {
        program: "cupsd".into(),
        priority: Some(3),
        message: "Unable to write 28 pages: No space left on device".into(),
        ..LogEvent::default()
    };
    let row = alone(&event.encode_to_vec().into()).unwrap();
    assert_eq!(row.codes, ["ENOSPC (errno 28): no space is left on the device"]);
    assert_eq!(row.template, "Unable to write <num> pages: No space left on device");
}

proptest::proptest! {
    #[test]
    fn no_line_breaks_it(message in "\\PC{0,400}", program in "\\PC{0,30}", unit in "\\PC{0,30}", priority in 0_u32..9) {
        let event = LogEvent { message, program, unit, priority: Some(priority), ..LogEvent::default() };
        let row: Bytes = event.encode_to_vec().into();
        let (once, twice) = (alone(&row), alone(&row));
        proptest::prop_assert_eq!(&once, &twice);
        if let Some(row) = once {
            proptest::prop_assert!(row.template.len() <= 512 && row.example.len() <= 512 && row.source.len() <= 200);
        }
        for end in 0..row.len() {
            Line::of_row(&row[..end]);
        }
    }

    #[test]
    fn no_note_breaks_it(name in "(signature/)?[0-9a-f]{0,20}|signatures", value in proptest::collection::vec(0_u8.., 0..60)) {
        let _id: Id = Id::default();
        Signatures::restored([(name, value)]).known(NOW_MS);
    }
}
