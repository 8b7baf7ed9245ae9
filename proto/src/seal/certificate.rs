//! Who signed: the certificate in an envelope, checked against the CA that is trusted, at the time of signing.

use std::time::Duration;

use data_encoding::HEXLOWER;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::ring::{ECDSA_P256_SHA256, ED25519};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Broken, Envelope};

/// id-kp-documentSigning (RFC 9336), as the content of its DER encoding: what the server's custody key is for.
const DOCUMENT_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x24];

/// The same as numbers, for the one who makes such a certificate.
pub const DOCUMENT_SIGNING_OID: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 36];

/// SHA-256 of a certificate, lower-case hex.
pub fn fingerprint(der: &[u8]) -> String {
    super::sha256(der)
}

/// The CA that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    ca_sha256: String,
}

/// Whose signature it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signed {
    /// The certificate's common name.
    pub(super) name: String,
    /// When it ends, in milliseconds since 1970-01-01 UTC.
    pub(super) until_ms: i64,
}

/// Which kind of key may have signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Device,
    Server,
}

impl Trust {
    /// Of the CA whose certificate has this SHA-256. Why enough: an envelope carries the CA's certificate along.
    pub fn fingerprint(sha256: &[u8]) -> Self {
        Self { ca_sha256: HEXLOWER.encode(sha256) }
    }

    /// Of a CA's certificate, DER.
    pub fn certificate(der: &[u8]) -> Self {
        Self { ca_sha256: fingerprint(der) }
    }

    /// The CA's fingerprint, lower-case hex.
    pub fn ca_sha256(&self) -> &str {
        &self.ca_sha256
    }

    /// Checks the signature against the certificate, without asking who issued it.
    pub(super) fn signature(envelope: &Envelope) -> Result<(), Broken> {
        let leaf = envelope.chain.first().map(Vec::as_slice).unwrap_or_default();
        if envelope.keyid != fingerprint(leaf) {
            return Err(Broken::new("its key's name is not that of the certificate which it carries"));
        }
        let der = CertificateDer::from(leaf);
        let certificate = EndEntityCert::try_from(&der)
            .map_err(|error| Broken::new(format!("the certificate that it carries cannot be read: {error}")))?;
        let signed = envelope.signed();
        let fits = [ECDSA_P256_SHA256, ED25519]
            .iter()
            .any(|algorithm| certificate.verify_signature(*algorithm, &signed, &envelope.signature).is_ok());
        if fits { Ok(()) } else { Err(Broken::new("its signature is not by the key of its certificate")) }
    }

    /// Checks that the certificate is of the trusted CA, and was good at a time; whose it is.
    pub(super) fn issued(&self, envelope: &Envelope, by: By, at_ms: i64) -> Result<Signed, Broken> {
        let (leaf, rest) = envelope.chain.split_first().ok_or_else(|| Broken::new("it carries no certificate"))?;
        let ca = rest.iter().find(|der| fingerprint(der) == self.ca_sha256);
        let Some(ca) = ca else {
            let other = rest.last().map_or_else(|| "none".into(), |der| fingerprint(der));
            let wanted = &self.ca_sha256;
            return Err(Broken::new(format!(
                "its certificate is of another CA ({other}) than the trusted one ({wanted})"
            )));
        };
        let (leaf, ca) = (CertificateDer::from(leaf.as_slice()), CertificateDer::from(ca.as_slice()));
        let anchor = anchor_from_trusted_cert(&ca)
            .map_err(|error| Broken::new(format!("the CA's certificate cannot be read: {error}")))?;
        let usage = match by {
            By::Device => KeyUsage::client_auth(),
            By::Server => KeyUsage::required(DOCUMENT_SIGNING),
        };
        let at = u64::try_from(at_ms.div_euclid(1_000)).unwrap_or_default();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
        let end = EndEntityCert::try_from(&leaf).map_err(|error| Broken::new(error.to_string()))?;
        end.verify_for_usage(&[ECDSA_P256_SHA256, ED25519], &[anchor], &[], at, usage, None, None).map_err(
            |error| {
                let when = crate::show::time(at_ms, at_ms);
                Broken::new(format!("its certificate does not hold for the time of sealing ({when}): {error}"))
            },
        )?;
        read(&leaf)
    }

    /// All of it at once: signature, CA, time and kind of key.
    pub(super) fn check(&self, envelope: &Envelope, by: By, at_ms: i64) -> Result<Signed, Broken> {
        Self::signature(envelope)?;
        self.issued(envelope, by, at_ms)
    }
}

fn read(der: &[u8]) -> Result<Signed, Broken> {
    let no = || Broken::new("its certificate cannot be read");
    let (_rest, certificate) = X509Certificate::from_der(der).map_err(|_error| no())?;
    let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).ok_or_else(no)?;
    let until_ms = certificate.validity().not_after.timestamp().saturating_mul(1_000);
    Ok(Signed { name: name.to_owned(), until_ms })
}
