//! Whom this machine trusts, and what speaks against a chain of certificates.

use deskside_proto::v1::Certificate;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, Error, RootCertStore};

use crate::collect::x509;
use crate::host::Host;

/// All roots that the machine trusts, as `update-ca-certificates(8)` and update-ca-trust(8) write them; the first that is there is read.
const ROOTS: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// Where roots are added by hand.
const ANCHORS: [&str; 4] = [
    "/usr/local/share/ca-certificates",
    "/etc/pki/ca-trust/source/anchors",
    "/etc/pki/trust/anchors",
    "/etc/ca-certificates/trust-source/anchors",
];

/// Most files in a folder of roots that are read.
const FILES_MAX: usize = 64;

/// The roots of the machine; why they could not be read.
pub(in crate::probe) fn roots(host: &dyn Host) -> Result<RootCertStore, String> {
    let mut why = "no roots are installed; the package ca-certificates has them".to_owned();
    for path in ROOTS {
        match host.read(path) {
            Ok(bytes) => {
                let mut store = RootCertStore::empty();
                store.add_parsable_certificates(CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok));
                return Ok(store);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => why = format!("{path}: {error}"),
        }
    }
    Err(why)
}

/// One root.
pub(in crate::probe) fn only(ca: &[u8]) -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates([CertificateDer::from(ca.to_vec())]);
    store
}

/// Subjects of the roots that were added to this machine by hand; absent where their folders could not be read.
pub(super) fn local_roots(host: &dyn Host) -> Option<Vec<String>> {
    let mut subjects = Vec::new();
    for folder in ANCHORS {
        let names = match host.list(folder) {
            Ok(names) => names,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(_unseen) => return None,
        };
        for name in names.iter().take(FILES_MAX) {
            let path = format!("{folder}/{name}");
            // What is no certificate (a folder, a note) is passed over.
            let Ok(bytes) = host.read(&path) else { continue };
            let (certificates, _wrong) = x509::certificates(&bytes, &path, "anchor");
            subjects.extend(certificates.into_iter().map(|certificate| certificate.subject));
        }
    }
    Some(subjects)
}

/// What speaks against a chain: a word for rules, and words for people.
pub(in crate::probe) fn distrusted(
    error: &Error,
    own: Option<&Certificate>,
    chain: usize,
    now_ms: i64,
) -> (&'static str, String) {
    let until = own.map(|own| day(own.not_after_ms)).unwrap_or_default();
    let from = own.map(|own| day(own.not_before_ms)).unwrap_or_default();
    let names = own.map(|own| own.names.join(", ")).filter(|names| !names.is_empty());
    let self_signed = own.is_some_and(|own| own.self_signed) && chain == 1;
    let ends = own.is_some_and(|own| own.not_after_ms < now_ms);
    match error {
        Error::InvalidCertificate(reason) => match reason {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } if ends => {
                ("expired", format!("its certificate ended on {until}"))
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                ("expired", "a certificate of its chain has ended".into())
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                ("not-yet-valid", format!("its certificate begins on {from} only; is this machine's clock right?"))
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                ("wrong-name", format!("its certificate is for {}", names.unwrap_or_else(|| "no name at all".into())))
            }
            _ if self_signed => ("self-signed", "it signed its certificate itself".into()),
            CertificateError::UnknownIssuer => {
                let issuer = own.map(|own| own.issuer.as_str()).unwrap_or_default();
                ("unknown-issuer", format!("this machine does not trust {issuer}, which signed its certificate"))
            }
            CertificateError::Revoked => ("untrusted", "its certificate was revoked".into()),
            other => ("untrusted", format!("its certificate is not accepted: {other}")),
        },
        other => ("untrusted", other.to_string()),
    }
}

/// The day of a moment, in UTC.
pub(in crate::probe) fn day(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|at| at.strftime("%Y-%m-%d").to_string()).unwrap_or_default()
}
