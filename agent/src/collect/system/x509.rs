//! What a file with certificates holds (RFC 5280), in PEM (RFC 7468) or as bare DER.

use data_encoding::HEXLOWER;
use deskside_proto::v1::Certificate;
use ring::digest::{SHA256, digest};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;

/// Most names of one certificate.
const NAMES_MAX: usize = 32;

/// Labels of certificates in PEM. All others, private keys before all, are passed over.
const LABELS: [&str; 3] = ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"];

/// The certificates in a file, and how many parts of it should be some and do not read.
pub(crate) fn certificates(bytes: &[u8], file: &str, purpose: &str) -> (Vec<Certificate>, usize) {
    // DER begins with a SEQUENCE.
    if bytes.first() == Some(&0x30) {
        let one: Vec<Certificate> = certificate(bytes, file, purpose).into_iter().collect();
        let wrong = usize::from(one.is_empty());
        return (one, wrong);
    }
    let (mut all, mut wrong) = (Vec::new(), 0);
    for block in Pem::iter_from_buffer(bytes) {
        match block {
            Ok(block) if !LABELS.contains(&block.label.as_str()) => {}
            Ok(block) => match certificate(&block.contents, file, purpose) {
                Some(certificate) => all.push(certificate),
                None => wrong += 1,
            },
            Err(_damaged) => {
                wrong += 1;
                break;
            }
        }
    }
    (all, wrong)
}

fn certificate(der: &[u8], file: &str, purpose: &str) -> Option<Certificate> {
    let (rest, parsed) = X509Certificate::from_der(der).ok()?;
    // What OpenSSL puts behind a "TRUSTED CERTIFICATE" is no part of it.
    let own = der.get(..der.len().checked_sub(rest.len())?)?;
    let ms = |seconds: i64| seconds.saturating_mul(1_000);
    let (key_kind, key_bits) = key(&parsed);
    Some(Certificate {
        file: file.to_owned(),
        sha256: HEXLOWER.encode(digest(&SHA256, own).as_ref()),
        purpose: purpose.to_owned(),
        subject: parsed.subject().to_string(),
        issuer: parsed.issuer().to_string(),
        names: names(&parsed),
        not_before_ms: ms(parsed.validity().not_before.timestamp()),
        not_after_ms: ms(parsed.validity().not_after.timestamp()),
        serial: HEXLOWER.encode(parsed.raw_serial()),
        key_kind,
        key_bits,
        signature: signature(&parsed.signature_algorithm.algorithm.to_id_string()),
        self_signed: parsed.subject().as_raw() == parsed.issuer().as_raw(),
        is_ca: parsed.is_ca(),
    })
}

fn names(parsed: &X509Certificate<'_>) -> Vec<String> {
    let found = parsed.subject_alternative_name().ok().flatten();
    let all = found.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let told = all.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    });
    told.take(NAMES_MAX).collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).ok().map(std::net::IpAddr::from);
    four.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(std::net::IpAddr::from)).map(|address| address.to_string())
}

fn key(parsed: &X509Certificate<'_>) -> (String, Option<u32>) {
    let oid = parsed.public_key().algorithm.algorithm.to_id_string();
    let bits = |bits: usize| u32::try_from(bits).ok().filter(|bits| *bits > 0);
    match (oid.as_str(), parsed.public_key().parsed()) {
        ("1.3.101.112", _) => ("Ed25519".into(), Some(256)),
        ("1.3.101.113", _) => ("Ed448".into(), Some(456)),
        (_, Ok(PublicKey::RSA(key))) => ("RSA".into(), bits(key.key_size())),
        (_, Ok(PublicKey::EC(point))) => ("EC".into(), bits(point.key_size())),
        _ => (oid, None),
    }
}

/// Names of RFC 8017, RFC 5758 and RFC 8410.
fn signature(oid: &str) -> String {
    let name = match oid {
        "1.2.840.113549.1.1.4" => "md5WithRSAEncryption",
        "1.2.840.113549.1.1.5" => "sha1WithRSAEncryption",
        "1.2.840.113549.1.1.10" => "rsassaPss",
        "1.2.840.113549.1.1.11" => "sha256WithRSAEncryption",
        "1.2.840.113549.1.1.12" => "sha384WithRSAEncryption",
        "1.2.840.113549.1.1.13" => "sha512WithRSAEncryption",
        "1.2.840.10045.4.3.2" => "ecdsa-with-SHA256",
        "1.2.840.10045.4.3.3" => "ecdsa-with-SHA384",
        "1.2.840.10045.4.3.4" => "ecdsa-with-SHA512",
        "1.3.101.112" => "Ed25519",
        other => other,
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

    use super::*;

    fn made() -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["print.example".to_owned(), "192.0.2.7".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "print.example");
        params.not_before = rcgen::date_time_ymd(2025, 1, 15);
        params.not_after = rcgen::date_time_ymd(2026, 1, 15);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params.self_signed(&key).unwrap(), key)
    }

    #[test]
    fn a_certificate_is_told_and_the_key_beside_it_is_not() {
        let (made, key) = made();
        let file = format!("{}{}{}", key.serialize_pem(), made.pem(), "no PEM at all\n");
        let (all, wrong) = certificates(file.as_bytes(), "/etc/x.pem", "service");
        let [one] = all.as_slice() else { panic!("one certificate: {all:?}") };
        assert_eq!(wrong, 0);
        assert_eq!(
            (one.subject.as_str(), one.names.join(" ").as_str()),
            ("CN=print.example", "print.example 192.0.2.7")
        );
        assert_eq!((one.not_after_ms, one.key_kind.as_str(), one.key_bits), (1_768_435_200_000, "EC", Some(256)));
        assert!(one.self_signed && one.is_ca);
        assert_eq!(one.sha256, HEXLOWER.encode(digest(&SHA256, made.der()).as_ref()));
        assert_eq!(certificates(made.der(), "/etc/x.pem", "service").0, all, "bare DER is the same");
        assert_eq!(certificates(key.serialize_pem().as_bytes(), "/etc/x.pem", "service"), (Vec::new(), 0));
    }

    #[test]
    fn a_file_cut_anywhere_is_no_panic_and_damage_is_counted() {
        let (made, _key) = made();
        let pem = made.pem();
        for cut in 0..pem.len() {
            let _found = certificates(&pem.as_bytes()[..cut], "f", "service");
        }
        for cut in 0..made.der().len() {
            let _found = certificates(&made.der()[..cut], "f", "service");
        }
        let (all, wrong) = certificates(&pem.as_bytes()[..pem.len() / 2], "f", "service");
        assert_eq!((all.len(), wrong), (0, 1));
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 1..400)) {
            bytes[0] = 0x30;
            let _found = certificates(&bytes, "f", "service");
        }
    }
}
