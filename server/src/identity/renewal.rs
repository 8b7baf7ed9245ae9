//! What a session of the identity provider is renewed with, as it lies in the store: sealed by the session's own token, of which only a hash is
//! kept. Whoever has the store alone can renew nothing.

use anyhow::{Context, Result, anyhow};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

/// What the key is made for, so that it is no other's.
const PURPOSE: &[u8] = b"deskside session renewal v1";

/// What a session is renewed with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Renewal {
    /// Who it is: "issuer subject".
    pub subject: String,
    /// The provider's refresh token.
    pub refresh: String,
}

impl Renewal {
    /// Seals it.
    pub fn seal(&self, token: &[u8]) -> Result<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_unspecified| anyhow!("the system gives no random bytes"))?;
        let mut sealed = serde_json::to_vec(self)?;
        key(token)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)
            .map_err(|_unspecified| anyhow!("sealing a session"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens it, with the token that it was sealed by.
    pub fn open(token: &[u8], sealed: &[u8]) -> Result<Self> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).context("a session is sealed by nothing")?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_unspecified| anyhow!("a session's seal"))?;
        let mut bytes = sealed.to_vec();
        let opened = key(token)?
            .open_in_place(nonce, Aad::empty(), &mut bytes)
            .map_err(|_unspecified| anyhow!("a session is sealed by another token"))?;
        serde_json::from_slice(opened).context("a session's renewal")
    }
}

fn key(token: &[u8]) -> Result<LessSafeKey> {
    let drawn = Salt::new(HKDF_SHA256, PURPOSE).extract(token);
    let key = drawn.expand(&[PURPOSE], &AES_256_GCM).map_err(|_unspecified| anyhow!("making a session's key"))?;
    Ok(LessSafeKey::new(UnboundKey::from(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_renewed_with_its_own_token_and_by_no_other() {
        let renewal = Renewal { subject: "https://id.example 7".into(), refresh: "secret".into() };
        let sealed = renewal.seal(b"token").unwrap();
        assert!(!sealed.windows(6).any(|piece| piece == b"secret"));
        assert_ne!(sealed, renewal.seal(b"token").unwrap());
        assert_eq!(Renewal::open(b"token", &sealed).unwrap(), renewal);
        let mut bent = sealed.clone();
        bent[20] ^= 1;
        for (token, sealed) in [(b"other", &sealed), (b"token", &bent), (b"token", &Vec::new())] {
            assert!(Renewal::open(token, sealed).is_err());
        }
    }
}
