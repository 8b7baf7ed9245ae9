//! `deskside verify`: whether a bundle, or an exported case, is what was sealed; without the server.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use data_encoding::HEXLOWER;
use deskside_proto::seal::{Archive, CASE_SEAL, Report, Trust, check_bundle, check_case};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use super::config;
use super::screen::{Line, Screen};
use super::trouble::{Said, Trouble};

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Most bytes of a certificate's file.
const CERTIFICATE_BYTES_MAX: u64 = 64 * 1024;

/// Check a bundle of evidence, or an exported case, without the server: that nothing was changed, added or taken away, and who sealed it.
///
/// Exit status: 0 all of it holds, 1 something does not.
#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// The bundle or the export.
    file: PathBuf,
    /// The CA's certificate (PEM or DER) [default: the CA of your login].
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Verify {
    pub(super) fn run(self, folder: &Path, screen: Screen) -> anyhow::Result<()> {
        let trust = trust(self.ca.as_deref(), folder)?;
        let open = || File::open(&self.file).with_context(|| format!("reading {}", self.file.display()));
        let is_case = Archive::open(BufReader::with_capacity(PIECE_BYTES, open()?))
            .is_ok_and(|archive| archive.find(CASE_SEAL).is_some());
        let file = BufReader::with_capacity(PIECE_BYTES, open()?);
        let report =
            if is_case { check_case(file, &trust, screen.now_ms) } else { check_bundle(file, &trust, screen.now_ms).0 };
        told(screen, &self.file, &trust, &report)
    }
}

/// The CA that is believed: the one in the file, or the login's.
pub(super) fn trust(ca: Option<&Path>, folder: &Path) -> anyhow::Result<Trust> {
    let Some(path) = ca else {
        let login = config::read(folder).map_err(|error| {
            Trouble::new(format!("{error:#}"), "name the CA's certificate: --ca FILE, or log in first")
        })?;
        return Ok(Trust::fingerprint(&HEXLOWER.decode(login.ca_sha256.as_bytes())?));
    };
    let named = || format!("reading {}", path.display());
    let mut bytes = Vec::new();
    File::open(path).with_context(named)?.take(CERTIFICATE_BYTES_MAX).read_to_end(&mut bytes).with_context(named)?;
    let der = match CertificateDer::from_pem_slice(&bytes) {
        Ok(der) => der.to_vec(),
        Err(_no_pem) => bytes,
    };
    Ok(Trust::certificate(&der))
}

fn told(screen: Screen, file: &Path, trust: &Trust, report: &Report) -> anyhow::Result<()> {
    if screen.json {
        let (good, checks) = (report.is_good(), &report.checks);
        screen.value(&json!({ "file": file, "good": good, "ca_sha256": trust.ca_sha256(), "checks": checks }))?;
    } else {
        for check in &report.checks {
            let line = if check.good { Line::default().good("✓ ") } else { Line::default().bad("✗ ") };
            screen.line(line.plain(&check.words))?;
        }
        let line = if report.is_good() {
            Line::default().good("✓ ").bold(format!("{} is what was sealed", file.display()))
        } else {
            Line::default().bad("✗ ").bold(format!("{} is NOT proven: do not rely on it", file.display()))
        };
        screen.line(line)?;
    }
    if report.is_good() { Ok(()) } else { Err(Said.into()) }
}
