//! Certificates of the machine: those that it trusts by local choice, that its services show, and that its networks ask for.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Certificate;

use super::x509;
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const CERTIFICATES: Collector = Collector {
    table: Certificate::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_hours(6)),
    look,
};

/// Where certificates are put by hand so that all programs trust them (update-ca-certificates(8), update-ca-trust(8)).
const ANCHORS: [&str; 4] = [
    "/usr/local/share/ca-certificates",
    "/etc/pki/ca-trust/source/anchors",
    "/etc/pki/trust/anchors",
    "/etc/ca-certificates/trust-source/anchors",
];

/// All roots that the machine trusts; the first that is there is read.
const ROOTS: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// Where services have theirs. Of each only plain files count: links lead to the roots.
const SERVICES: [&str; 6] =
    ["/etc/ssl", "/etc/ssl/certs", "/etc/ssl/private", "/etc/cups/ssl", "/etc/pki/tls/certs", "/etc/pki/tls"];

/// A folder a name, with a link to the certificate that is in force.
const LETSENCRYPT: &str = "/etc/letsencrypt/live";

/// Of the distribution's roots those are told of that end within this time.
const ROOT_SOON_MS: i64 = 30 * 24 * 60 * 60 * 1_000;

/// Most files that are opened.
const FILES_MAX: usize = 512;

/// Most rows.
const ROWS_MAX: usize = 1_000;

/// Most networks that are asked for.
const NETWORKS_MAX: usize = 64;

/// Folders deep below an anchors' folder.
const DEPTH_MAX: usize = 3;

#[expect(clippy::unnecessary_wraps, reason = "it has the form of all looks, and tells of each part that fails")]
fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let mut found = Found { host, certificates: Vec::new(), known: BTreeSet::new(), missing: Vec::new(), files: 0 };
    for folder in ANCHORS {
        found.folder(folder, "anchor", DEPTH_MAX);
    }
    for folder in SERVICES {
        found.folder(folder, "service", 0);
    }
    found.letsencrypt();
    match networks(host) {
        Ok(files) => files.iter().for_each(|file| found.file(file, "network")),
        Err(error) => found.missing.push(format!("certificates of networks: {error:#}")),
    }
    found.roots();
    let Found { mut certificates, mut missing, files, .. } = found;
    if files >= FILES_MAX {
        missing.push(format!("files after the first {FILES_MAX}"));
    }
    if certificates.len() > ROWS_MAX {
        missing.push(format!("certificates after the first {ROWS_MAX}"));
        certificates.truncate(ROWS_MAX);
    }
    let mut rows: Rows = certificates.into_iter().collect();
    for part in missing {
        rows.missing(part);
    }
    Ok(rows)
}

/// What was found so far.
struct Found<'a> {
    host: &'a dyn Host,
    certificates: Vec<Certificate>,
    /// File and SHA-256.
    known: BTreeSet<(String, String)>,
    missing: Vec<String>,
    files: usize,
}

impl Found<'_> {
    fn folder(&mut self, folder: &str, purpose: &str, depth: usize) {
        let names = match self.host.list(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound || error.kind() == ErrorKind::NotADirectory => return,
            Err(error) => return self.missing.push(format!("{folder}: {error}; {}", allows(&error))),
            Ok(names) => names,
        };
        for name in names {
            let path = format!("{folder}/{name}");
            let is_certificate = [".pem", ".crt", ".cer"].iter().any(|end| name.ends_with(end));
            if is_certificate && !ROOTS.contains(&path.as_str()) && self.host.link(&path).is_err() {
                self.file(&path, purpose);
            } else if depth > 0 && !name.contains('.') {
                self.folder(&path, purpose, depth - 1);
            }
        }
    }

    fn letsencrypt(&mut self) {
        match self.host.list(LETSENCRYPT) {
            Ok(names) => {
                for name in names.iter().filter(|name| *name != "README") {
                    self.file(&format!("{LETSENCRYPT}/{name}/cert.pem"), "service");
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => self.missing.push(format!("{LETSENCRYPT}: {error}; {}", allows(&error))),
        }
    }

    fn file(&mut self, path: &str, purpose: &str) {
        for certificate in self.read(path, purpose) {
            // A copy of an anchor, put where programs look for roots.
            let copy = |anchor: &Certificate| anchor.purpose == "anchor" && anchor.sha256 == certificate.sha256;
            if purpose != "anchor" && self.certificates.iter().any(copy) {
                continue;
            }
            if self.known.insert((certificate.file.clone(), certificate.sha256.clone())) {
                self.certificates.push(certificate);
            }
        }
    }

    /// Of the roots only what is at its end, and not what was put there by hand: that has a row of its own.
    fn roots(&mut self) {
        let soon_ms = self.host.now_ms().saturating_add(ROOT_SOON_MS);
        let anchors: BTreeSet<String> = self.certificates.iter().map(|anchor| anchor.sha256.clone()).collect();
        let Some(path) = ROOTS.into_iter().find(|path| self.host.link(path).is_ok() || self.host.read(path).is_ok())
        else {
            return;
        };
        let mut ending = self.read(path, "root");
        ending.retain(|root| root.not_after_ms <= soon_ms && !anchors.contains(&root.sha256));
        self.certificates.extend(ending);
    }

    fn read(&mut self, path: &str, purpose: &str) -> Vec<Certificate> {
        if self.files >= FILES_MAX {
            return Vec::new();
        }
        self.files += 1;
        match self.host.read(path) {
            Ok(bytes) => {
                let (certificates, wrong) = x509::certificates(&bytes, path, purpose);
                if wrong > 0 {
                    self.missing.push(format!("{wrong} in {path} that do not read as certificates"));
                }
                certificates
            }
            // A link that leads nowhere.
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.missing.push(format!("{path}: {error}; {}", allows(&error)));
                Vec::new()
            }
        }
    }
}

/// What would make the difference.
fn allows(error: &std::io::Error) -> &'static str {
    let denied = error.kind() == ErrorKind::PermissionDenied;
    if denied { "the capability CAP_DAC_READ_SEARCH would allow it" } else { "it could not be read" }
}

/// Files that 802.1X connections of NetworkManager name. Why not its own files: there the passwords stand beside them.
fn networks(host: &dyn Host) -> anyhow::Result<BTreeSet<String>> {
    let listing = match host.run("nmcli", &["--terse", "--fields", "UUID,TYPE", "connection", "show"]) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
        ran => ran.context("running nmcli")?,
    };
    // It runs no network here.
    if listing.status == Some(8) {
        return Ok(BTreeSet::new());
    }
    let complaint = String::from_utf8_lossy(&listing.stderr);
    anyhow::ensure!(listing.status == Some(0), "nmcli ended with {:?}: {}", listing.status, complaint.trim());
    let listing = String::from_utf8_lossy(&listing.stdout);
    let lines = listing.lines().filter_map(|line| line.split_once(':'));
    let able = lines.filter(|(_id, kind)| matches!(*kind, "802-11-wireless" | "802-3-ethernet"));
    let ids: Vec<&str> = able.map(|(id, _kind)| id).take(NETWORKS_MAX).collect();
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let fields = "802-1x.ca-cert,802-1x.client-cert";
    let shown = host.run("nmcli", &[&["--terse", "--fields", fields, "connection", "show"], ids.as_slice()].concat());
    let shown = shown.context("running nmcli")?;
    Ok(named(&String::from_utf8_lossy(&shown.stdout)))
}

/// Lines "802-1x.ca-cert:file\:///etc/wifi.pem", with or without the scheme.
fn named(shown: &str) -> BTreeSet<String> {
    let values = shown.lines().filter_map(|line| line.strip_prefix("802-1x.")?.split_once(':'));
    let paths = values.map(|(_key, value)| value.replace('\\', "").trim_start_matches("file://").to_owned());
    paths.filter(|path| path.starts_with('/')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_name_files_with_or_without_a_scheme() {
        let shown = "802-1x.ca-cert:/etc/wifi/ca.pem\n802-1x.client-cert:file\\:///etc/wifi/me.pem\n\n802-1x.ca-cert:--\n\
                     802-1x.ca-cert:pkcs11\\:x\n802-1x.client-cert:\n";
        assert_eq!(named(shown), ["/etc/wifi/ca.pem", "/etc/wifi/me.pem"].map(str::to_owned).into());
    }
}
