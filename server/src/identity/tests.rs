//! Tests of the authority and of what it lets in.

use std::{
    os::unix::fs::PermissionsExt,
    time::{Duration, SystemTime},
};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384};
use uuid::Uuid;

use super::*;

const DAY: Duration = Duration::from_hours(24);

fn request(key: &KeyPair) -> Vec<u8> {
    CertificateParams::default().serialize_request(key).unwrap().der().to_vec()
}

#[test]
fn an_authority_is_made_once_and_its_key_is_its_owners() {
    let folder = tempfile::tempdir().unwrap();
    let first = Authority::open(folder.path()).unwrap().sha256();
    assert_eq!(Authority::open(folder.path()).unwrap().sha256(), first);
    let mode = std::fs::metadata(folder.path().join("ca-key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_damaged_key_is_an_error_and_not_a_new_authority() {
    let folder = tempfile::tempdir().unwrap();
    Authority::open(folder.path()).unwrap();
    std::fs::write(folder.path().join("ca-key.pem"), "not a key").unwrap();
    assert!(Authority::open(folder.path()).is_err());
}

#[test]
fn a_device_is_known_by_the_certificate_that_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path()).unwrap();
    let (device, now) = (Uuid::new_v4(), SystemTime::now());
    let certificate = authority.sign_device(&request(&KeyPair::generate().unwrap()), device, now, DAY).unwrap();
    let peer = Peer::read(&certificate).unwrap();
    assert_eq!(peer.device, device);
    assert!(!peer.is_expired(now));
    assert!(peer.is_expired(now + DAY + Duration::from_secs(2)));
}

#[test]
fn a_certificate_that_names_no_device_is_not_a_peer() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path()).unwrap();
    assert_eq!(Peer::read(authority.certificate()), Err(PeerError::NotADevice));
    assert_eq!(Peer::read(b"\x30\x03abc"), Err(PeerError::Malformed));
}

#[test]
fn a_signing_request_whose_signed_part_was_altered_gets_no_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path()).unwrap();
    let whole = request(&KeyPair::generate().unwrap());
    assert_eq!((whole[1], whole[4]), (0x81, 0x81), "a header of three bytes, then the signed part with one of its own");
    for place in 3..6 + usize::from(whole[5]) {
        let mut altered = whole.clone();
        altered[place] ^= 1;
        let signed = authority.sign_device(&altered, Uuid::new_v4(), SystemTime::now(), DAY);
        assert!(signed.is_err(), "byte {place}");
    }
    assert!(authority.sign_device(&vec![0; 100_000], Uuid::new_v4(), SystemTime::now(), DAY).is_err());
}

#[test]
fn another_kind_of_key_gets_no_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path()).unwrap();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let signed = authority.sign_device(&request(&key), Uuid::new_v4(), SystemTime::now(), DAY);
    assert!(matches!(signed, Err(CsrRefused::Key)));
}
