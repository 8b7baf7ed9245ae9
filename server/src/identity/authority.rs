//! The server's certificate authority: made on first start, and never leaves the data folder.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, anyhow};
use deskside_proto::seal::DOCUMENT_SIGNING_OID;
use deskside_proto::v1::{Policy, SignedPolicy};
use deskside_proto::{POLICY_SIGNED, SERVER_NAME};
use prost::Message;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SanType,
    SerialNumber, SigningKey,
};
use rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use uuid::Uuid;

use super::hash;

const KEY_FILE: &str = "ca-key.pem";
const CERTIFICATE_FILE: &str = "ca.pem";

const DAY: Duration = Duration::from_hours(24);
const CA_LIFETIME: Duration = DAY.saturating_mul(3_653);

/// How long the server's own certificate is good; it is made anew at each start and long before its end.
const SERVER_LIFETIME: Duration = DAY.saturating_mul(90);

/// How far back a certificate's beginning lies. Why: clocks of workstations are behind more often than ahead.
const BACKDATED: Duration = DAY;

/// Largest signing request that is read.
const CSR_BYTES_MAX: usize = 8 * 1024;

/// Why a signing request gets no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CsrRefused {
    /// It is too long, or not a signing request, or its signature does not fit.
    #[error("this is not a signing request that holds: {0}")]
    Malformed(String),
    /// The kind of key is not taken here.
    #[error("the key must be ECDSA P-256 or Ed25519")]
    Key,
}

/// The authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    /// Opens the authority in a folder, or makes it there.
    pub fn open(folder: &Path) -> Result<Self> {
        if !folder.join(CERTIFICATE_FILE).exists() {
            create(folder).context("making the certificate authority")?;
        }
        let named = |file| format!("reading the certificate authority's {}", folder.join(file).display());
        let key = fs::read_to_string(folder.join(KEY_FILE)).with_context(|| named(KEY_FILE))?;
        let key = KeyPair::from_pem(&key).with_context(|| named(KEY_FILE))?;
        let certificate = CertificateDer::from_pem_file(folder.join(CERTIFICATE_FILE))
            .map_err(|error| anyhow!("{error}"))
            .with_context(|| named(CERTIFICATE_FILE))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).with_context(|| named(CERTIFICATE_FILE))?;
        Ok(Self { issuer, certificate })
    }

    /// The authority's certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 of its certificate, by which agents and technicians know it.
    pub fn sha256(&self) -> [u8; 32] {
        hash(&self.certificate)
    }

    /// A client certificate for a device, over the key of its signing request. Nothing else of the request is taken.
    pub fn sign_device(
        &self,
        csr: &[u8],
        device: Uuid,
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<CertificateDer<'static>, CsrRefused> {
        if csr.len() > CSR_BYTES_MAX {
            return Err(CsrRefused::Malformed(format!("longer than {CSR_BYTES_MAX} bytes")));
        }
        let malformed = |error: rcgen::Error| CsrRefused::Malformed(error.to_string());
        let mut request =
            CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr)).map_err(malformed)?;
        let algorithm = request.public_key.algorithm();
        if *algorithm != PKCS_ECDSA_P256_SHA256 && *algorithm != PKCS_ED25519 {
            return Err(CsrRefused::Key);
        }
        let mut params = params(&device.to_string(), now, lifetime);
        let uri = format!("urn:uuid:{device}").try_into().map_err(malformed)?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        request.params = params;
        Ok(request.signed_by(&self.issuer).map_err(malformed)?.der().clone())
    }

    /// A policy, signed now.
    pub fn sign_policy(&self, policy: Policy, now_ms: i64) -> Result<SignedPolicy> {
        let policy = Policy { issued_ms: now_ms, ..policy }.encode_to_vec();
        let signature = self.issuer.key().sign(&[POLICY_SIGNED, &policy].concat()).context("signing the policy")?;
        Ok(SignedPolicy { policy, signature })
    }

    /// A key for seals (PKCS #8, DER) and its certificate (DER).
    pub fn sign_custody(&self, now: SystemTime, lifetime: Duration) -> Result<(Vec<u8>, Vec<u8>)> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params("Deskside custody", now, lifetime);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(DOCUMENT_SIGNING_OID.to_vec())];
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((key.serialize_der(), certificate.der().to_vec()))
    }

    /// A key and certificate for the server itself, with the authority's behind it, so that the first contact can check it.
    pub fn sign_server(&self, now: SystemTime) -> Result<CertifiedKey> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(SERVER_NAME, now, SERVER_LIFETIME);
        params.subject_alt_names =
            vec![SanType::DnsName(SERVER_NAME.try_into()?), SanType::DnsName("localhost".try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| anyhow!("{error}"))?;
        let chain = vec![certificate.der().clone(), self.certificate.clone()];
        Ok(CertifiedKey::new(chain, any_supported_type(&key)?))
    }
}

fn params(name: &str, now: SystemTime, lifetime: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from_slice(Uuid::new_v4().as_bytes()));
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + lifetime).into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

/// Why the key goes first: without a certificate the next start begins anew, and nobody has seen this one.
fn create(folder: &Path) -> Result<()> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = params("Deskside CA", SystemTime::now(), CA_LIFETIME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = false;
    let certificate = params.self_signed(&key)?;
    write(folder, KEY_FILE, &key.serialize_pem(), 0o600)?;
    write(folder, CERTIFICATE_FILE, &certificate.pem(), 0o644)
}

fn write(folder: &Path, name: &str, text: &str, mode: u32) -> Result<()> {
    let (path, beside) = (folder.join(name), folder.join(format!("{name}.new")));
    let named = || format!("writing {}", path.display());
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside).with_context(named)?;
    file.write_all(text.as_bytes()).with_context(named)?;
    file.sync_all().with_context(named)?;
    fs::rename(&beside, &path).with_context(named)?;
    File::open(folder)?.sync_all().with_context(named)
}
