//! A whole case as it was exported: bundles as they came, the ticket's custody, and the server's seal over all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};

use super::archive::{Archive, Filed};
use super::bundle::{self, compare};
use super::certificate::{By, Trust};
use super::entry::{Entry, Links};
use super::statement::{Case, Head, SealedItem, Statement};
use super::{Broken, ENVELOPE_BYTES_MAX, Envelope, Report};
use crate::show;

/// The seal's path in an export; it is the last file.
pub const CASE_SEAL: &str = "case.dsse.json";

/// The ticket's entries of the custody log, one JSON object a line, oldest first.
pub const CUSTODY_LOG: &str = "custody.jsonl";

/// The server's seal over the end of the custody log.
pub const CUSTODY_HEAD: &str = "custody-head.dsse.json";

/// Folder of the items.
pub const ITEMS: &str = "evidence/";

/// Longest line of the custody log.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Words of an entry by which an item came to be.
const STORED: &[&str] = &["stored", "attached"];

/// Reads a signed head of the custody log, and checks who signed it.
pub fn read_head(bytes: &[u8], trust: &Trust) -> Result<Head, Broken> {
    let envelope = Envelope::read(bytes)?;
    let head = Statement::<Head>::read(&envelope.payload)?.predicate;
    trust.check(&envelope, By::Server, head.at_ms)?;
    Ok(head)
}

/// Checks an exported case; each thing is a line of the report.
pub fn check_case(from: impl Read + Seek, trust: &Trust, now_ms: i64) -> Report {
    let mut report = Report::default();
    let opened = Archive::open(from);
    let archive = report.step(opened, |archive| {
        format!("the ZIP file is whole: {} files, and nothing before, between or behind them", archive.files.len())
    });
    if let Some(archive) = archive {
        check(archive, trust, now_ms, &mut report);
    }
    report
}

fn check<R: Read + Seek>(mut archive: Archive<R>, trust: &Trust, now_ms: i64, report: &mut Report) -> Option<()> {
    let plain = archive.files.iter().all(|file| file.plain().is_some());
    let seal = if plain { read::<Case, R>(&mut archive, CASE_SEAL) } else { Err(Broken::new("its files are packed")) };
    let (envelope, statement) =
        report.step(seal, |(_, seal)| format!("it has the server's seal, which lists {} files", seal.subject.len()))?;
    let case = &statement.predicate;
    report.step(trust.check(&envelope, By::Server, case.at_ms), |_signed| {
        let when = show::time(case.at_ms, now_ms);
        let by = show::printable(&case.exported_by);
        format!("the server of the trusted CA sealed ticket {} for {by}, {when}", case.ticket)
    });
    let files: Vec<Filed> = archive.files.iter().filter(|file| file.name != CASE_SEAL).cloned().collect();
    let listed = archive.check_size().and_then(|_size| compare(&mut archive, &statement.subject, &files));
    report.step(listed, |count| {
        format!("all {count} files have the SHA-256 that the seal lists; none is missing, added or renamed")
    });
    let custody = custody(&mut archive, trust, case.ticket);
    let told = report.step(custody, |told| {
        format!(
            "the custody log of the ticket is whole: {} entries, none edited, moved, taken out or cut off",
            told.entries
        )
    });
    if let Some(told) = told {
        report
            .step(items(case, &told), |count| format!("the custody log names the same SHA-256 for all {count} items"));
    }
    for item in case.items.iter().filter(|item| item.sealed && !item.path.is_empty()) {
        inner(&mut archive, item, trust, now_ms, report);
    }
    Some(())
}

/// The bundle of a device within the export.
fn inner<R: Read + Seek>(archive: &mut Archive<R>, item: &SealedItem, trust: &Trust, now_ms: i64, report: &mut Report) {
    let mut own = Report::default();
    let file = archive.find(&item.path).cloned();
    let below = file.and_then(|file| archive.below(&file)).unwrap_or_else(|| Err(Broken::new("it is not there")));
    let sealed =
        own.step(below, |_below| String::new()).and_then(|below| bundle::check(below, trust, now_ms, &mut own));
    match (own.wrong(), sealed) {
        (None, Some(sealed)) => {
            let (host, files) = (show::printable(&sealed.bundle.device.hostname), sealed.files);
            report.good(format!("{}: the seal of {host} holds, for {files} files", item.path));
        }
        (wrong, _) => report.bad(format!("{}: {}", item.path, wrong.unwrap_or("it has no seal"))),
    }
}

/// What the custody log says of the items.
struct Told {
    entries: u64,
    /// SHA-256 by item, as stored.
    stored: BTreeMap<String, String>,
    deleted: BTreeSet<String>,
}

fn custody<R: Read + Seek>(archive: &mut Archive<R>, trust: &Trust, ticket: u64) -> Result<Told, Broken> {
    let file = archive.find(CUSTODY_HEAD).cloned().ok_or_else(|| Broken::new(format!("it has no {CUSTODY_HEAD}")))?;
    let head = read_head(&archive.bytes(&file, ENVELOPE_BYTES_MAX)?, trust)?;
    let ends = head.ticket.filter(|end| end.ticket == ticket);
    let ends = ends.ok_or_else(|| Broken::new("the signed head of the custody log is another ticket's"))?;
    let file = archive.find(CUSTODY_LOG).cloned();
    let file = file.ok_or_else(|| Broken::new(format!("it has no {CUSTODY_LOG}")))?;
    let mut links = Links::of_ticket(ticket);
    let mut told = Told { entries: 0, stored: BTreeMap::new(), deleted: BTreeSet::new() };
    let (mut line, mut wrong) = (Vec::new(), None);
    archive.unpack(&file, &mut |piece| {
        for byte in piece {
            if *byte != b'\n' && line.len() < LINE_BYTES_MAX {
                line.push(*byte);
                continue;
            }
            if wrong.is_none() {
                wrong = told.take(&line, &mut links).err();
            }
            line.clear();
        }
    })?;
    if !line.is_empty() && wrong.is_none() {
        wrong = Some(Broken::new("the custody log breaks off within a line"));
    }
    if let Some(wrong) = wrong {
        return Err(wrong);
    }
    links.ends(ends.entries, &ends.hash).map_err(|broken| Broken::new(format!("custody log: {broken}")))?;
    told.entries = links.entries();
    Ok(told)
}

impl Told {
    fn take(&mut self, line: &[u8], links: &mut Links) -> Result<(), Broken> {
        let entry: Entry = serde_json::from_slice(line)
            .map_err(|error| Broken::new(format!("the custody log has a line that is no entry: {error}")))?;
        links.follow(&entry).map_err(|broken| Broken::new(format!("custody log: {broken}")))?;
        if STORED.contains(&entry.what.as_str()) && !entry.evidence.is_empty() {
            self.stored.entry(entry.evidence).or_insert(entry.sha256);
        } else if entry.what == "deleted" {
            self.deleted.insert(entry.evidence);
        }
        Ok(())
    }
}

/// Every item has the hash that the log told when it came; what has no content was deleted, and what the log told of is there.
fn items(case: &Case, told: &Told) -> Result<usize, Broken> {
    for item in &case.items {
        if told.stored.get(&item.id) != Some(&item.sha256) {
            return Err(Broken::new(format!("the custody log names another SHA-256 for item {}, or none", item.id)));
        }
        if item.path.is_empty() && !told.deleted.contains(&item.id) {
            return Err(Broken::new(format!("item {} is not there, and the custody log does not say why", item.id)));
        }
    }
    let listed: BTreeSet<&str> = case.items.iter().map(|item| item.id.as_str()).collect();
    if let Some(missing) = told.stored.keys().find(|id| !listed.contains(id.as_str())) {
        return Err(Broken::new(format!("item {missing} of the custody log is not in the export")));
    }
    Ok(case.items.len())
}

fn read<P: super::Predicate, R: Read + Seek>(
    archive: &mut Archive<R>,
    name: &str,
) -> Result<(Envelope, Statement<P>), Broken> {
    let file = archive.find(name).cloned().ok_or_else(|| Broken::new(format!("it has no {name}")))?;
    let envelope = Envelope::read(&archive.bytes(&file, ENVELOPE_BYTES_MAX)?)?;
    let statement = Statement::<P>::read(&envelope.payload)?;
    Ok((envelope, statement))
}
