//! Secrets of tokens: random, shown once, kept only as their SHA-256.

use anyhow::{Result, anyhow};
use ring::{
    digest,
    rand::{SecureRandom, SystemRandom},
};

/// Bytes of a secret. Why: at 160 bits guessing is hopeless, so that a plain hash is enough to keep it by.
const SECRET_BYTES: usize = 20;

/// A new secret.
#[derive(Clone)]
pub struct Secret([u8; SECRET_BYTES]);

impl Secret {
    /// Draws one.
    pub fn draw() -> Result<Self> {
        let mut bytes = [0; SECRET_BYTES];
        SystemRandom::new().fill(&mut bytes).map_err(|_unspecified| anyhow!("the system gives no random bytes"))?;
        Ok(Self(bytes))
    }

    /// Its bytes, as the string `dsk1...` carries them.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What is kept of a secret, and what one that arrives is looked up by.
pub fn hash(secret: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest::digest(&digest::SHA256, secret).as_ref());
    sum
}
