//! The device at the other end of a connection, as its certificate says.

use std::time::{Duration, SystemTime};

use uuid::Uuid;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Why a certificate names no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// It cannot be read.
    #[error("the certificate cannot be read")]
    Malformed,
    /// It is not a device's.
    #[error("the certificate names no device")]
    NotADevice,
}

/// A device, proven by a certificate of ours; whether it may still come in is the store's to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The device.
    pub device: Uuid,
    /// When its certificate ends.
    pub not_after: SystemTime,
}

impl Peer {
    /// Reads a certificate whose signature was checked in the handshake.
    pub fn read(certificate: &[u8]) -> Result<Self, PeerError> {
        let (_rest, certificate) = X509Certificate::from_der(certificate).map_err(|_error| PeerError::Malformed)?;
        let mut names = certificate.subject().iter_common_name();
        let name = names.next().and_then(|name| name.as_str().ok()).ok_or(PeerError::NotADevice)?;
        let device = Uuid::try_parse(name).map_err(|_error| PeerError::NotADevice)?;
        let seconds =
            u64::try_from(certificate.validity().not_after.timestamp()).map_err(|_error| PeerError::Malformed)?;
        Ok(Self { device, not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) })
    }

    /// Its certificate has ended.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        now > self.not_after
    }
}
