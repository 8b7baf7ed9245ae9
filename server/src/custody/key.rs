//! The server's key for seals: made at need, certified by the CA, and made anew long before its certificate ends. It is never on the disk: a seal
//! carries its certificate along, so that an older one is not missed.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use deskside_proto::seal::Signer;

use crate::identity::Authority;

/// How long its certificate is good.
const LIFETIME: Duration = Duration::from_hours(90 * 24);

/// A key and its signer.
pub(super) struct Key {
    pub(super) signer: Signer,
    until_ms: i64,
}

impl Key {
    /// A new one.
    pub(super) fn make(authority: &Authority) -> Result<Self> {
        let (key, certificate) = authority.sign_custody(SystemTime::now(), LIFETIME)?;
        let signer = Signer::new(&key, &certificate, authority.certificate())?;
        let fresh_ms = i64::try_from(LIFETIME.as_millis() / 3 * 2)?;
        Ok(Self { signer, until_ms: super::now_ms() + fresh_ms })
    }

    /// It need not be made anew yet.
    pub(super) fn is_fresh(&self, now_ms: i64) -> bool {
        now_ms < self.until_ms
    }
}
