//! What a case lacks, and why: nobody is to take for healthy what was not looked at.

use std::collections::BTreeMap;

use deskside_proto::show;
use deskside_proto::v1::{CaseDevice, CaseFile, Collection, Outcome};

/// How a line about what a machine does not have begins.
const ABSENT: &str = "not on this machine";

/// A sentence each.
pub(super) fn sentences(file: &CaseFile) -> Vec<String> {
    let mut sentences = Vec::new();
    if file.devices.is_empty() {
        sentences.push("No device is linked to this ticket; `deskside ticket link N DEVICE` links one.".to_owned());
    }
    for device in &file.devices {
        sentences.extend(of_device(device, file));
    }
    for (place, collection) in file.collections.iter().enumerate() {
        sentences.extend(of_collection(place + 1, collection, file.made_ms));
    }
    // What a machine does not have is read last.
    sentences.sort_by_key(|sentence| sentence.contains(ABSENT));
    for item in file.evidence.iter().filter(|item| item.deleted_ms != 0) {
        let when = show::time(item.deleted_ms, file.made_ms);
        sentences.push(format!("The content of {} was deleted {when}; its SHA-256 is kept.", item.name));
    }
    sentences
}

fn of_device(of: &CaseDevice, file: &CaseFile) -> Vec<String> {
    let device = of.device.clone().unwrap_or_default();
    let (name, mut sentences) = (&device.name, Vec::new());
    if device.revoked {
        sentences.push(format!("{name} was revoked and will never answer again."));
    } else if device.seen_ms == 0 {
        sentences.push(format!("{name} has never connected; nothing is known of it."));
    } else if !device.connected {
        let since = show::time(device.seen_ms, file.made_ms);
        sentences.push(format!("{name} is off, last heard of {since}: what is told of it is what was known then."));
    }
    if device.enrolled_ms > file.before_from_ms {
        let since = show::time(device.enrolled_ms, file.made_ms);
        sentences.push(format!("{name} was enrolled {since}: of before then only its own logs and records tell."));
    }
    if device.lost > 0 {
        sentences.push(format!("{} readings of {name} were lost before they reached the server.", device.lost));
    }
    for family in &of.families {
        let label = family.family().as_str_name().to_lowercase();
        if family.tables == 0 {
            sentences.push(format!("{name}, {label}: nothing of it was received."));
        }
        sentences.extend(family.unseen.iter().map(|line| format!("{name}, {label}, {line}")));
    }
    sentences
}

fn of_collection(number: usize, collection: &Collection, made_ms: i64) -> Vec<String> {
    let device = collection.device.as_ref().map(|device| device.name.as_str()).unwrap_or_default();
    match collection.state.as_str() {
        "waiting" | "running" => {
            let until = show::age(collection.expires_ms, made_ms);
            vec![format!(
                "Collection {number} of {device} is {}: {}; given up {until}.",
                collection.state, collection.note
            )]
        }
        "done" | "partial" => short(number, collection),
        state => vec![format!("Collection {number} of {device} has no evidence ({state}): {}.", collection.note)],
    }
}

/// Parts that did not come whole; those of one fate in one sentence. What the machine does not have is not missing.
fn short(number: usize, collection: &Collection) -> Vec<String> {
    let mut fates: BTreeMap<(i32, &str), Vec<&str>> = BTreeMap::new();
    let came = |outcome: Outcome| matches!(outcome, Outcome::Ok | Outcome::Empty | Outcome::Unsupported);
    for part in collection.parts.iter().filter(|part| !came(part.outcome())) {
        fates.entry((part.outcome, &part.reason)).or_default().push(&part.name);
    }
    let line = |((outcome, reason), names): ((i32, &str), Vec<&str>)| {
        let outcome = show::outcome(Outcome::try_from(outcome).unwrap_or_default());
        format!("Collection {number}, {outcome}: {} ({})", names.join(", "), show::printable(reason))
    };
    fates.into_iter().map(line).collect()
}
