//! A bundle and its seal.

use std::io::{Read, Seek};

use super::archive::{Archive, Filed};
use super::certificate::{By, Signed, Trust};
use super::statement::{Bundle, Statement, Subject};
use super::{Broken, ENVELOPE_BYTES_MAX, Envelope, Report};
use crate::show;

/// The seal's path in a bundle; it is the last file.
pub const BUNDLE_SEAL: &str = "manifest.dsse.json";

/// What a bundle's seal says, once it was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Sealed {
    /// What the device says.
    pub bundle: Bundle,
    /// SHA-256 of the statement, lower-case hex.
    pub statement_sha256: String,
    /// Files that it lists.
    pub files: usize,
}

/// Reads the seal of a bundle without checking it.
pub fn seal_of(from: impl Read + Seek) -> Result<(Envelope, Statement<Bundle>), Broken> {
    read(&mut Archive::open(from)?)
}

fn read<R: Read + Seek>(archive: &mut Archive<R>) -> Result<(Envelope, Statement<Bundle>), Broken> {
    let Some(last) = archive.files.last().filter(|file| file.name == BUNDLE_SEAL).cloned() else {
        return Err(Broken::new(format!("it is not sealed: its last file is not {BUNDLE_SEAL}")));
    };
    if last.plain().is_none() {
        return Err(Broken::new("its seal is packed, which Deskside does not do"));
    }
    let envelope = Envelope::read(&archive.bytes(&last, ENVELOPE_BYTES_MAX)?)?;
    let statement = Statement::<Bundle>::read(&envelope.payload)?;
    Ok((envelope, statement))
}

/// Checks a bundle: each thing is a line of the report. Answers what it says, where all of it holds.
pub fn check_bundle(from: impl Read + Seek, trust: &Trust, now_ms: i64) -> (Report, Option<Sealed>) {
    let mut report = Report::default();
    let opened = Archive::open(from);
    let archive = report.step(opened, |archive| {
        format!("the ZIP file is whole: {} files, and nothing before, between or behind them", archive.files.len())
    });
    let sealed = archive.and_then(|archive| check(archive, trust, now_ms, &mut report));
    let sealed = sealed.filter(|_sealed| report.is_good());
    (report, sealed)
}

/// The same of one that was walked already.
pub(super) fn check<R: Read + Seek>(
    mut archive: Archive<R>,
    trust: &Trust,
    now_ms: i64,
    report: &mut Report,
) -> Option<Sealed> {
    let (envelope, statement) = report.step(read(&mut archive), |(_envelope, statement)| {
        format!("it has a seal, which lists {} files", statement.subject.len())
    })?;
    let bundle = &statement.predicate;
    report.step(Trust::signature(&envelope), |()| "the seal's signature is by the key of the certificate in it".into());
    let at_ms = bundle.sealed.server_ms();
    let issued = trust.issued(&envelope, By::Device, at_ms).and_then(|signed| named(signed, bundle));
    report.step(issued, |signed| who(bundle, signed, at_ms, now_ms));
    let last_at = archive.files.last().map(|file| file.at).unwrap_or_default();
    let files: Vec<_> = archive.files.iter().filter(|file| file.name != BUNDLE_SEAL).cloned().collect();
    let listed = archive.check_size().and_then(|_size| compare(&mut archive, &statement.subject, &files));
    report.step(listed, |count| {
        format!("all {count} files have the SHA-256 that the seal lists; none is missing, added or renamed")
    });
    let same = archive.sha256_before(last_at).and_then(|sha256| {
        let same = bundle.container.bytes == last_at && bundle.container.sha256 == sha256;
        if same { Ok(()) } else { Err(Broken::new("the ZIP file is not byte for byte the one that was sealed")) }
    });
    report.step(same, |()| "the ZIP file is byte for byte the one that was sealed".into());
    let (statement_sha256, files) = (super::sha256(&envelope.payload), statement.subject.len());
    Some(Sealed { bundle: statement.predicate, statement_sha256, files })
}

fn named(signed: Signed, bundle: &Bundle) -> Result<Signed, Broken> {
    if signed.name == bundle.device.id {
        return Ok(signed);
    }
    let (name, id) = (signed.name, &bundle.device.id);
    Err(Broken::new(format!("it is signed by {name}, and says that it is from {id}")))
}

fn who(bundle: &Bundle, signed: &Signed, at_ms: i64, now_ms: i64) -> String {
    let (host, id) = (show::printable(&bundle.device.hostname), &signed.name);
    let when = show::time(at_ms, now_ms);
    let since = if signed.until_ms < now_ms {
        "; it has expired since, which takes nothing from what was signed before"
    } else {
        ""
    };
    format!("it was sealed {when} by {host} ({id}), whose certificate is of the trusted CA and was good then{since}")
}

/// Each file is listed with its hash, each that is listed is there.
pub(super) fn compare<R: Read + Seek>(
    archive: &mut Archive<R>,
    subjects: &[Subject],
    files: &[Filed],
) -> Result<usize, Broken> {
    let named: std::collections::BTreeMap<&str, &str> =
        subjects.iter().map(|subject| (subject.name.as_str(), subject.sha256())).collect();
    if named.len() != subjects.len() {
        return Err(Broken::new("the seal lists a file twice"));
    }
    let there: std::collections::BTreeSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
    if let Some(missing) = named.keys().find(|name| !there.contains(*name)) {
        return Err(Broken::new(format!("{missing:?} is missing: the seal lists it")));
    }
    if let Some(added) = there.iter().find(|name| !named.contains_key(*name)) {
        return Err(Broken::new(format!("{added:?} was added: the seal does not list it")));
    }
    for file in files {
        let sha256 = archive.sha256(file)?;
        if named.get(file.name.as_str()).is_none_or(|listed| *listed != sha256) {
            return Err(Broken::new(format!(
                "{:?} was changed: its SHA-256 is not the one that the seal lists",
                file.name
            )));
        }
    }
    Ok(files.len())
}
