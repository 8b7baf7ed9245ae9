//! Who this device is: its key, its certificate, the CA it trusts and where its server listens. One file, written as a whole.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, ensure};
use data_encoding::BASE64;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer, X509Certificate};

const FILE: &str = "identity.json";

/// Most bytes of the file that are read.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// An identity as it lies on disk, readable by its owner alone. The key never leaves.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The device's UUID.
    pub device_id: String,
    /// Where the server listens, most likely first: "host:port".
    pub addresses: Vec<String>,
    /// The client certificate, DER.
    #[serde(with = "base64")]
    pub certificate: Vec<u8>,
    /// The CA's certificate, DER.
    #[serde(with = "base64")]
    pub ca: Vec<u8>,
    /// The private key, PKCS #8 DER.
    #[serde(with = "base64")]
    pub key: Vec<u8>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("device_id", &self.device_id).finish_non_exhaustive()
    }
}

/// A key of the device's own making, and the request to have it certified.
#[derive(Debug)]
pub struct Wanted {
    /// The private key, PKCS #8 DER.
    pub key: Vec<u8>,
    /// PKCS #10 signing request, DER.
    pub csr: Vec<u8>,
}

/// Makes a new key (P-256) and the request for its certificate.
pub fn want() -> anyhow::Result<Wanted> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("making a key")?;
    let request = CertificateParams::default().serialize_request(&key).context("making a signing request")?;
    Ok(Wanted { key: key.serialize_der(), csr: request.der().to_vec() })
}

/// When a certificate begins and ends, in milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not before.
    pub from_ms: i64,
    /// Not after.
    pub to_ms: i64,
}

impl Validity {
    /// When it is to be renewed: when two thirds of it are over.
    pub fn renew_ms(self) -> i64 {
        self.from_ms + (self.to_ms - self.from_ms) / 3 * 2
    }
}

impl Identity {
    /// Reads the identity in the state folder; absent where the device is not enrolled.
    pub fn load(state: &Path) -> anyhow::Result<Option<Self>> {
        let path = state.join(FILE);
        let size = match std::fs::metadata(&path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        ensure!(size <= FILE_BYTES_MAX, "{} is too large to be an identity; enrol again", path.display());
        let text = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let identity: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} is damaged; remove it and enrol again", path.display()))?;
        identity.validity().with_context(|| format!("{} is damaged; remove it and enrol again", path.display()))?;
        Ok(Some(identity))
    }

    /// Writes the identity so that after a crash either the old one or the new one is there, whole.
    pub fn save(&self, state: &Path) -> anyhow::Result<()> {
        let path = state.join(FILE);
        write_whole(&path, &serde_json::to_vec_pretty(self).context("writing the identity")?)
    }

    /// How long its certificate is good.
    pub fn validity(&self) -> anyhow::Result<Validity> {
        let (_, certificate) = X509Certificate::from_der(&self.certificate).context("reading the certificate")?;
        let validity = certificate.validity();
        Ok(Validity {
            from_ms: validity.not_before.timestamp().saturating_mul(1000),
            to_ms: validity.not_after.timestamp().saturating_mul(1000),
        })
    }
}

/// Writes a file that only its owner reads, so that after a crash either the old one or the new one is there, whole.
pub fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().context("a file without a folder")?;
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        std::fs::File::open(folder)?.sync_all()
    };
    write().with_context(|| format!("writing {}", path.display()))
}

mod base64 {
    use super::BASE64;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn identity() -> Identity {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("key");
        let certificate = CertificateParams::default().self_signed(&key).expect("certificate").der().to_vec();
        let addresses = vec!["desk.example:8443".into()];
        Identity { device_id: "d".into(), addresses, ca: certificate.clone(), certificate, key: key.serialize_der() }
    }

    #[test]
    fn what_was_saved_is_loaded_and_only_its_owner_reads_it() {
        let state = tempfile::tempdir().expect("folder");
        assert_eq!(Identity::load(state.path()).expect("no file is no error"), None);
        let identity = identity();
        identity.save(state.path()).expect("saved");
        assert_eq!(Identity::load(state.path()).expect("loaded"), Some(identity));
        let mode = std::fs::metadata(state.path().join(FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(state.path()).expect("folder").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_damaged_file_says_what_to_do() {
        let state = tempfile::tempdir().expect("folder");
        identity().save(state.path()).expect("saved");
        let path = state.path().join(FILE);
        let text = std::fs::read(&path).expect("read");
        std::fs::write(&path, &text[..text.len() / 2]).expect("cut");
        let error = Identity::load(state.path()).expect_err("damaged");
        assert!(format!("{error:#}").contains("enrol again"), "{error:#}");
    }

    #[test]
    fn the_key_is_not_printed() {
        assert!(!format!("{:?}", identity()).contains("key"));
    }

    #[test]
    fn a_certificate_is_renewed_when_two_thirds_are_over() {
        assert_eq!(Validity { from_ms: 0, to_ms: 30_000 }.renew_ms(), 20_000);
    }
}
