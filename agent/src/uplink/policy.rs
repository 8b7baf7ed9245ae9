//! The policy, taken only where the authority that this device was enrolled with has signed it, and never an older one in place of a newer.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use deskside_proto::POLICY_SIGNED;
use deskside_proto::v1::{Policy, SignedPolicy};
use prost::Message;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::identity::{Identity, write_whole};

/// The policy in force, as it lies in the state folder.
const FILE: &str = "policy.pb";

/// Largest policy that is read.
const POLICY_BYTES_MAX: u64 = 1024 * 1024;

/// The policy within, if the authority signed it.
pub fn verified(signed: &SignedPolicy, ca_der: &[u8]) -> anyhow::Result<Policy> {
    let (_rest, authority) = X509Certificate::from_der(ca_der).context("reading the authority's certificate")?;
    let key = &authority.public_key().subject_public_key.data;
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key);
    let said = [POLICY_SIGNED, &signed.policy].concat();
    if key.verify(&said, &signed.signature).is_err() {
        bail!("the policy is not signed by the authority that this device was enrolled with");
    }
    Policy::decode(signed.policy.as_slice()).context("the policy is signed and cannot be read")
}

/// The policy that was in force when the agent last ran; none where there is none, an error where there is one that is not to be trusted.
pub fn kept(state: &Path) -> anyhow::Result<Option<Policy>> {
    let path = state.join(FILE);
    let size = match std::fs::metadata(&path) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context("reading the kept policy"),
    };
    ensure!(size <= POLICY_BYTES_MAX, "the kept policy is too large to be one");
    let bytes = std::fs::read(&path).context("reading the kept policy")?;
    let signed = SignedPolicy::decode(bytes.as_slice()).context("the kept policy is damaged")?;
    let identity = Identity::load(state)?.context("there is a policy, and this machine is not enrolled")?;
    verified(&signed, &identity.ca).map(Some)
}

/// Takes a policy that came: it is verified, no older than the kept one, and kept. None where it is the kept one.
pub fn take(state: &Path, signed: &SignedPolicy) -> anyhow::Result<Option<Policy>> {
    let identity = Identity::load(state)?.context("this machine is not enrolled")?;
    let policy = verified(signed, &identity.ca)?;
    // One that is damaged or another authority's holds nothing back.
    if let Ok(Some(before)) = kept(state) {
        if before.version == policy.version {
            return Ok(None);
        }
        ensure!(
            policy.issued_ms >= before.issued_ms,
            "the policy is older than the one in force; somebody sent it again, or the server's clock was set back"
        );
    }
    if let Err(error) = write_whole(&state.join(FILE), &signed.encode_to_vec()) {
        tracing::warn!(error = format!("{error:#}"), "the policy holds until the agent restarts");
    }
    Ok(Some(policy))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, SigningKey};

    use super::*;

    struct Authority {
        key: KeyPair,
        certificate: Vec<u8>,
    }

    impl Authority {
        fn new() -> Self {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
            let certificate = CertificateParams::default().self_signed(&key).unwrap().der().to_vec();
            Self { key, certificate }
        }

        fn sign(&self, version: u64, issued_ms: i64) -> SignedPolicy {
            let policy = Policy { version, issued_ms, targets: vec!["a.example".into()], ..Policy::default() };
            let policy = policy.encode_to_vec();
            let signature = self.key.sign(&[POLICY_SIGNED, &policy].concat()).unwrap();
            SignedPolicy { policy, signature }
        }

        fn enrolled(&self) -> tempfile::TempDir {
            let state = tempfile::tempdir().unwrap();
            let identity = Identity {
                device_id: "d".into(),
                addresses: Vec::new(),
                certificate: self.certificate.clone(),
                ca: self.certificate.clone(),
                key: self.key.serialize_der(),
            };
            identity.save(state.path()).unwrap();
            state
        }
    }

    #[test]
    fn a_policy_is_taken_once_and_is_there_after_a_restart() {
        let authority = Authority::new();
        let state = authority.enrolled();
        assert_eq!(kept(state.path()).unwrap(), None);
        let taken = take(state.path(), &authority.sign(1, 10)).unwrap().unwrap();
        assert_eq!(taken.targets, ["a.example"]);
        assert_eq!(kept(state.path()).unwrap(), Some(taken));
        assert_eq!(take(state.path(), &authority.sign(1, 20)).unwrap(), None);
    }

    #[test]
    fn a_policy_that_was_changed_or_signed_by_another_is_refused() {
        let (authority, other) = (Authority::new(), Authority::new());
        let state = authority.enrolled();
        let mut changed = authority.sign(1, 10);
        let last = changed.policy.len() - 1;
        changed.policy[last] ^= 1;
        let unsigned = SignedPolicy { signature: Vec::new(), ..authority.sign(1, 10) };
        for wrong in [changed, unsigned, other.sign(1, 10)] {
            let error = take(state.path(), &wrong).unwrap_err().to_string();
            assert!(error.contains("not signed by the authority"), "{error}");
            assert_eq!(kept(state.path()).unwrap(), None);
        }
    }

    #[test]
    fn a_kept_policy_that_was_changed_on_the_disk_is_refused() {
        let authority = Authority::new();
        let state = authority.enrolled();
        take(state.path(), &authority.sign(1, 10)).unwrap();
        let path = state.path().join(FILE);
        let bytes = std::fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x20;
            std::fs::write(&path, &changed).unwrap();
            assert!(kept(state.path()).is_err(), "byte {at}");
        }
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(kept(state.path()).is_err());
        assert!(take(state.path(), &authority.sign(1, 10)).unwrap().is_some(), "it comes again and is kept again");
    }

    #[test]
    fn an_older_policy_does_not_come_back() {
        let authority = Authority::new();
        let state = authority.enrolled();
        take(state.path(), &authority.sign(2, 20)).unwrap();
        let error = take(state.path(), &authority.sign(1, 10)).unwrap_err().to_string();
        assert!(error.contains("older than the one in force"), "{error}");
        assert_eq!(kept(state.path()).unwrap().map(|policy| policy.version), Some(2));
    }
}
