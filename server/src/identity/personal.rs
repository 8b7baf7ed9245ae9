//! Personal tokens of technicians: an identity to look them up by and a secret that is kept as its argon2id hash alone.
//!
//! Why argon2id with 19 MiB, two passes and one lane: the least that OWASP's Password Storage Cheat Sheet names for it. A token is drawn at random
//! and could be kept by a plain hash; this holds for any token that a person should ever choose too.

use anyhow::{Result, anyhow};
use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier},
};
use data_encoding::HEXLOWER;
use ring::rand::{SecureRandom, SystemRandom};

use super::hash;

/// Bytes of the identity, which is no secret.
const ID_BYTES: usize = 8;

/// Bytes of the secret behind it.
const SECRET_BYTES: usize = 20;

/// Memory that one hash takes, KiB.
const MEMORY_KIB: u32 = 19 * 1024;

/// How often it is gone through.
const PASSES: u32 = 2;

/// Lanes.
const LANES: u32 = 1;

/// What stands before the plain SHA-256 of a token of before: it is good, and is kept by argon2 from its next use on.
const PLAIN: &str = "sha256:";

/// What is kept of a personal token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its identity, lower-case hex.
    pub id: String,
    /// Its hash, in the PHC string format.
    pub hash: String,
}

/// Draws a token: its bytes, shown once, and what is kept of them. Blocks for as long as one hash takes.
pub fn draw() -> Result<(Vec<u8>, Kept)> {
    let mut bytes = vec![0; ID_BYTES + SECRET_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_unspecified| anyhow!("the system gives no random bytes"))?;
    let kept = kept(&bytes)?;
    Ok((bytes, kept))
}

/// What is kept of a token. Blocks for as long as one hash takes.
pub fn kept(token: &[u8]) -> Result<Kept> {
    let hash = argon2()?.hash_password(token).map_err(|error| anyhow!("hashing a token: {error}"))?;
    Ok(Kept { id: id(token), hash: hash.to_string() })
}

/// What a token is looked up by: its first bytes, or, in one of before, those of its SHA-256.
pub fn id(token: &[u8]) -> String {
    let sum = hash(token);
    let bytes = if token.len() == ID_BYTES + SECRET_BYTES { token } else { &sum };
    HEXLOWER.encode(bytes.get(..ID_BYTES).unwrap_or_default())
}

/// Whether a token is the one of this hash. Blocks for as long as one hash takes.
pub fn is(token: &[u8], kept: &str) -> bool {
    match kept.strip_prefix(PLAIN) {
        // Why a plain comparison: how far two hashes agree says nothing of a token.
        Some(plain) => HEXLOWER.encode(&hash(token)) == plain,
        None => argon2().is_ok_and(|argon2| argon2.verify_password(token, kept).is_ok()),
    }
}

/// Whether a hash is of the form of before.
pub fn is_plain(kept: &str) -> bool {
    kept.starts_with(PLAIN)
}

fn argon2() -> Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| anyhow!("argon2: {error}"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash_and_no_other_is() {
        let (token, kept) = draw().unwrap();
        assert!(kept.hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", kept.hash);
        assert_eq!(kept.id, id(&token));
        assert!(is(&token, &kept.hash));
        let mut other = token.clone();
        other[27] ^= 1;
        assert!(!is(&other, &kept.hash));
        assert_eq!(id(&other), kept.id, "the secret is no part of the identity");
        assert_ne!(super::kept(&token).unwrap().hash, kept.hash, "each hash has a salt of its own");
        assert!(!is(&token, "$argon2id$broken") && !is(&token, ""));
    }

    #[test]
    fn a_token_of_before_is_known_by_its_plain_hash() {
        let token = [7; 20];
        let plain = format!("{PLAIN}{}", HEXLOWER.encode(&hash(&token)));
        assert!(is_plain(&plain) && is(&token, &plain) && !is(&[8; 20], &plain));
        assert_eq!(id(&token), HEXLOWER.encode(&hash(&token)[..8]));
    }
}
