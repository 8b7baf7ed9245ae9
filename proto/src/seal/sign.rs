//! Signs statements with a key whose certificate is carried along.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use serde::Serialize;

use super::{Broken, Envelope, Statement, fingerprint, pae};

/// A key and its certificates.
pub struct Signer {
    key: EcdsaKeyPair,
    chain: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

impl Signer {
    /// Of a P-256 key (PKCS #8, DER), its certificate and the CA's (DER).
    pub fn new(key: &[u8], certificate: &[u8], ca: &[u8]) -> Result<Self, Broken> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key, &SystemRandom::new())
            .map_err(|error| Broken::new(format!("the key for seals cannot be read: {error}")))?;
        Ok(Self { key, chain: vec![certificate.to_vec(), ca.to_vec()] })
    }

    /// Signs a statement.
    pub fn seal<P: Serialize>(&self, statement: &Statement<P>) -> Result<Envelope, Broken> {
        let payload = serde_json::to_vec(statement)
            .map_err(|error| Broken::new(format!("a statement that is no JSON: {error}")))?;
        let signed = pae(super::PAYLOAD_TYPE, &payload);
        let signature = self.key.sign(&SystemRandom::new(), &signed);
        let signature = signature.map_err(|_unspecified| Broken::new("the key for seals does not sign"))?;
        let keyid = self.chain.first().map(|der| fingerprint(der)).unwrap_or_default();
        Ok(Envelope { payload, keyid, signature: signature.as_ref().to_vec(), chain: self.chain.clone() })
    }
}
