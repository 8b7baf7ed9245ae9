//! Seals: what holds, and what is found out.

use std::io::{Cursor, Write};

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::*;

const DEVICE: &str = "8f0d3b54-5a0b-4c53-9f40-2b1a4f6f4c11";

/// 2026-06-01, within the certificates' time.
const NOW_MS: i64 = 1_780_272_000_000;

const YEAR_MS: i64 = 365 * 86_400_000;

/// A CA and what it issued.
struct Office {
    ca: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Office {
    fn open() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params("Deskside CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let ca = params.self_signed(&key).unwrap().der().to_vec();
        let issuer = Issuer::from_ca_cert_der(&ca.as_slice().into(), key).unwrap();
        Self { ca, issuer }
    }

    fn signer(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> Signer {
        let key = KeyPair::generate().unwrap();
        let mut params = params(name);
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Signer::new(&key.serialize_der(), certificate.der(), &self.ca).unwrap()
    }

    fn device(&self) -> Signer {
        self.signer(DEVICE, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn server(&self) -> Signer {
        self.signer("Deskside custody", ExtendedKeyUsagePurpose::Other(DOCUMENT_SIGNING_OID.to_vec()))
    }

    fn trust(&self) -> Trust {
        Trust::certificate(&self.ca)
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2026, 12, 31);
    params
}

const FILES: &[(&str, &str)] =
    &[("tables/os.jsonl", "{\"name\":\"Debian\"}\n"), ("summary.md", "# fine\n"), ("manifest.json", "{}\n")];

fn said() -> Bundle {
    Bundle {
        device: DeviceSeen { id: DEVICE.into(), hostname: "desk-7".into() },
        ticket: 7,
        sealed: Clocks { utc_ms: NOW_MS - 5_000, server_offset_ms: 5_000, ..Clocks::default() },
        ..Bundle::default()
    }
}

fn zipped(files: &[(&str, &str)], method: CompressionMethod) -> Cursor<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in files {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap()
}

fn subjects(files: &[(&str, &str)]) -> Vec<Subject> {
    files.iter().map(|(name, text)| Subject::new(*name, sha256(text.as_bytes()))).collect()
}

fn bundle_of(signer: &Signer, files: &[(&str, &str)], listed: &[(&str, &str)], said: Bundle) -> Vec<u8> {
    let mut zip = zipped(files, CompressionMethod::Deflated);
    let at = DateTime::default();
    seal_bundle(&mut zip, signer, subjects(listed), said, (at.timepart(), at.datepart())).unwrap();
    zip.into_inner()
}

fn bundle(signer: &Signer) -> Vec<u8> {
    bundle_of(signer, FILES, FILES, said())
}

fn checked(bytes: &[u8], trust: &Trust) -> (Report, Option<Sealed>) {
    check_bundle(Cursor::new(bytes), trust, NOW_MS)
}

fn wrong(bytes: &[u8], trust: &Trust) -> String {
    let (report, sealed) = checked(bytes, trust);
    assert_eq!(sealed, None);
    report.wrong().expect("something is wrong").to_owned()
}

#[test]
fn a_bundle_that_a_device_sealed_holds_and_says_where_it_is_from() {
    let office = Office::open();
    let (report, sealed) = checked(&bundle(&office.device()), &office.trust());
    assert!(report.is_good(), "{report:#?}");
    assert_eq!(sealed.unwrap().bundle.device, said().device);
    assert_eq!(report.checks.len(), 6);
}

#[test]
fn evidence_that_was_sealed_in_time_holds_after_the_certificate_has_expired() {
    let office = Office::open();
    let bytes = bundle(&office.device());
    let (report, _sealed) = check_bundle(Cursor::new(&bytes), &office.trust(), NOW_MS + YEAR_MS);
    assert!(report.is_good(), "{report:#?}");
    assert!(report.checks.iter().any(|check| check.words.contains("it has expired since")), "{report:#?}");
    let late = Bundle { sealed: Clocks { utc_ms: NOW_MS + YEAR_MS, ..Clocks::default() }, ..said() };
    let late = bundle_of(&office.device(), FILES, FILES, late);
    assert!(wrong(&late, &office.trust()).contains("does not hold for the time of sealing"));
}

#[test]
fn each_bit_of_a_bundle_counts() {
    let office = Office::open();
    let (bytes, trust) = (bundle(&office.device()), office.trust());
    for place in 0..bytes.len() {
        let (mut altered, bit) = (bytes.clone(), (place * 5 + 3) % 8);
        altered[place] ^= 1 << bit;
        let (report, sealed) = checked(&altered, &trust);
        assert!(!report.is_good() && sealed.is_none(), "bit {bit} of byte {place} of {}", bytes.len());
    }
}

#[test]
fn a_bundle_that_was_cut_or_made_longer_is_found_out() {
    let office = Office::open();
    let (bytes, trust) = (bundle(&office.device()), office.trust());
    for cut in (0..bytes.len()).step_by(7) {
        assert!(!checked(&bytes[..cut], &trust).0.is_good(), "cut at {cut}");
    }
    assert!(wrong(&[bytes.as_slice(), b"more"].concat(), &trust).contains("put behind its end"));
    assert!(!checked(&[b"more", bytes.as_slice()].concat(), &trust).0.is_good());
}

#[test]
fn what_the_seal_does_not_list_and_what_is_gone_is_named() {
    let office = Office::open();
    let (device, trust) = (office.device(), office.trust());
    let of = |files: &[(&str, &str)]| wrong(&bundle_of(&device, files, FILES, said()), &trust);
    assert!(of(&FILES[1..]).contains("\"tables/os.jsonl\" is missing"));
    assert!(of(&[FILES, &[("tables/new.csv", "x")]].concat()).contains("\"tables/new.csv\" was added"));
    let renamed = [FILES[0], ("summary2.md", FILES[1].1), FILES[2]];
    assert!(of(&renamed).contains("\"summary.md\" is missing"));
    let changed = [FILES[0], ("summary.md", "# worse\n"), FILES[2]];
    assert!(of(&changed).contains("\"summary.md\" was changed"));
    let twice = [FILES, &[FILES[0]]].concat();
    assert!(wrong(&bundle_of(&device, FILES, &twice, said()), &trust).contains("lists a file twice"));
}

#[test]
fn a_seal_by_another_key_ca_or_kind_of_key_is_none() {
    let office = Office::open();
    let trust = office.trust();
    assert!(wrong(&bundle(&Office::open().device()), &trust).contains("another CA"));
    let other = office.signer("another-device", ExtendedKeyUsagePurpose::ClientAuth);
    assert!(wrong(&bundle(&other), &trust).contains("signed by another-device, and says that it is from"));
    assert!(wrong(&bundle(&office.signer(DEVICE, ExtendedKeyUsagePurpose::ServerAuth)), &trust).contains("sealing"));
    let forged = |change: &dyn Fn(&mut Envelope)| {
        let (mut envelope, _statement) = seal_of(Cursor::new(bundle(&office.device()))).unwrap();
        change(&mut envelope);
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in FILES.iter().map(|(name, text)| (*name, text.as_bytes().to_vec())) {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(&text).unwrap();
        }
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        zip.start_file(BUNDLE_SEAL, stored).unwrap();
        zip.write_all(&envelope.write()).unwrap();
        wrong(&zip.finish().unwrap().into_inner(), &trust)
    };
    let resigned = forged(&|envelope| envelope.signature = office.device().seal(&resaid()).unwrap().signature);
    assert!(resigned.contains("signature is not by the key"), "{resigned}");
    let renamed = forged(&|envelope| envelope.keyid = "00".repeat(32));
    assert!(renamed.contains("key's name"), "{renamed}");
}

fn resaid() -> Statement<Bundle> {
    Statement::new(subjects(FILES), said())
}

#[test]
fn a_bundle_without_a_seal_says_so() {
    let bytes = zipped(FILES, CompressionMethod::Deflated).into_inner();
    assert!(wrong(&bytes, &Office::open().trust()).contains("it is not sealed"));
    assert!(wrong(b"not a zip at all, but long enough for one", &Office::open().trust()).contains("not a whole ZIP"));
}

#[test]
fn tricks_with_zip_files_are_refused_in_words() {
    let refused = |files: &[(&str, &str)]| {
        let bytes = zipped(files, CompressionMethod::Stored).into_inner();
        Archive::open(Cursor::new(bytes)).err().map(|broken| broken.0).unwrap_or_default()
    };
    for name in ["../evil", "/etc/evil", "a/../../evil", "a\\evil", "c:evil", "a//b", "a b"] {
        assert!(refused(&[(name, "x")]).contains("leads out"), "{name}");
    }
    let mut bytes = zipped(&[("a.txt", "x"), ("b.txt", "y")], CompressionMethod::Stored).into_inner();
    for place in 0..bytes.len() - 5 {
        if &bytes[place..place + 5] == b"b.txt" {
            bytes[place] = b'a';
        }
    }
    assert!(Archive::open(Cursor::new(bytes.clone())).err().unwrap().0.contains("twice"));
    for (mask, word) in [(1, "encrypted"), (8, "flags")] {
        let mut marked = zipped(&[("a.txt", "x")], CompressionMethod::Stored).into_inner();
        let central = marked.len() - 22 - 46 - 5;
        marked[6] |= mask;
        marked[central + 8] |= mask;
        assert!(Archive::open(Cursor::new(marked)).err().unwrap().0.contains(word), "{word}");
    }
    let mut absurd = zipped(&[("a.txt", "x")], CompressionMethod::Deflated).into_inner();
    let central = absurd.len() - 22 - 46 - 5;
    for at in [22, central + 24] {
        absurd[at..at + 4].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
    }
    let mut archive = Archive::open(Cursor::new(absurd)).unwrap();
    let file = archive.files[0].clone();
    assert!(archive.bytes(&file, 1024).unwrap_err().0.contains("at most"));
    assert!(archive.sha256(&file).unwrap_err().0.contains("was changed"));
}

/// The example of the DSSE specification (protocol.md, "Pre-Authentication Encoding").
#[test]
fn what_is_signed_is_encoded_as_the_specification_says() {
    assert_eq!(
        pae("http://example.com/HelloWorld", b"hello world"),
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
}

fn entries(ticket: u64) -> Vec<Entry> {
    let (mut before, mut entries) = (String::new(), Vec::new());
    for number in 1..=6 {
        let at_ms = NOW_MS + i64::try_from(number).unwrap();
        let (who, what) = ("anna".to_owned(), "view".to_owned());
        let ticket_before = before.clone();
        let mut entry = Entry { number: number * 3, at_ms, who, what, ticket, ticket_before, ..Entry::default() };
        entry.hash = entry.hashed();
        before.clone_from(&entry.hash);
        entries.push(entry);
    }
    entries
}

fn followed(entries: &[Entry]) -> Result<Links, Break> {
    let mut links = Links::of_ticket(7);
    entries.iter().try_for_each(|entry| links.follow(entry))?;
    Ok(links)
}

#[test]
fn a_custody_log_that_was_cut_edited_or_put_in_another_order_is_found_out() {
    let whole = entries(7);
    let last = whole.last().unwrap().hash.clone();
    let links = followed(&whole).unwrap();
    assert_eq!(links.ends(6, &last), Ok(()));
    assert_eq!(followed(&whole[..5]).unwrap().ends(6, &last), Err(Break::Cut(5, 6)));
    let mut middle = whole.clone();
    middle.remove(2);
    assert_eq!(followed(&middle), Err(Break::Unlinked(12)));
    let mut swapped = whole.clone();
    swapped.swap(2, 3);
    assert_eq!(followed(&swapped), Err(Break::Unlinked(12)));
    let mut edited = whole.clone();
    edited[2].who = "eve".into();
    assert_eq!(followed(&edited), Err(Break::Edited(9)));
    edited[2].hash = edited[2].hashed();
    assert_eq!(followed(&edited), Err(Break::Unlinked(12)));
    assert_eq!(followed(&entries(8)), Err(Break::Unlinked(3)), "another ticket's");
    let mut moved = whole[0].clone();
    (moved.who, moved.role) = ("an".into(), "na".into());
    assert_ne!(moved.hashed(), whole[0].hash, "nothing moves from one field to the next");
}

/// A ticket's export with one bundle; `change` has its way with custody log and bundle before the server seals.
fn case(office: &Office, change: &dyn Fn(&mut Vec<Entry>, &mut Vec<u8>)) -> Vec<u8> {
    let (mut log, mut bytes) = (entries(7), bundle(&office.device()));
    let stored = Entry {
        number: 30,
        at_ms: NOW_MS,
        who: "server".into(),
        what: "stored".into(),
        ticket: 7,
        evidence: "e-1".into(),
        sha256: sha256(&bytes),
        ticket_before: log.last().unwrap().hash.clone(),
        ..Entry::default()
    };
    log.push(Entry { hash: stored.hashed(), ..stored });
    let (server, sha) = (office.server(), sha256(&bytes));
    let ticket = TicketHead { ticket: 7, entries: log.len() as u64, hash: log.last().unwrap().hash.clone() };
    let head = Head { at_ms: NOW_MS, number: 31, hash: "00".repeat(32), ticket: Some(ticket) };
    let head = server.seal(&Statement::new(Vec::new(), head)).unwrap().write();
    change(&mut log, &mut bytes);
    let log: String = log.iter().map(|entry| serde_json::to_string(entry).unwrap() + "\n").collect();
    let path = "evidence/e-1/ticket-7.zip";
    let files = [(path, bytes), (CUSTODY_LOG, log.into_bytes()), (CUSTODY_HEAD, head)];
    let items = vec![SealedItem { id: "e-1".into(), path: path.into(), sha256: sha, sealed: true }];
    let said = Case { at_ms: NOW_MS, ticket: 7, exported_by: "anna".into(), items, ..Case::default() };
    let listed = files.iter().map(|(name, bytes)| Subject::new(*name, sha256(bytes))).collect();
    let seal = server.seal(&Statement::new(listed, said)).unwrap().write();
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in files.iter().map(|(name, bytes)| (*name, bytes)).chain([(CASE_SEAL, &seal)]) {
        zip.start_file(name, stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn an_exported_case_holds_with_its_bundles_and_its_custody() {
    let office = Office::open();
    let bytes = case(&office, &|_log, _bundle| {});
    let report = check_case(Cursor::new(&bytes), &office.trust(), NOW_MS);
    assert!(report.is_good(), "{report:#?}");
    for place in (0..bytes.len() - 400).step_by(29).chain(bytes.len() - 400..bytes.len()) {
        let mut altered = bytes.clone();
        altered[place] ^= 1 << (place % 8);
        let report = check_case(Cursor::new(&altered), &office.trust(), NOW_MS);
        assert!(!report.is_good(), "byte {place} of {}", bytes.len());
    }
}

#[test]
fn an_export_whose_custody_or_bundle_was_changed_before_it_was_sealed_is_found_out() {
    let office = Office::open();
    let found = |change: &dyn Fn(&mut Vec<Entry>, &mut Vec<u8>)| {
        let report = check_case(Cursor::new(case(&office, change)), &office.trust(), NOW_MS);
        report.checks.iter().filter(|check| !check.good).map(|check| check.words.clone()).collect::<Vec<_>>().join("\n")
    };
    assert!(found(&|log, _| drop(log.pop())).contains("its end was cut off"));
    assert!(found(&|log, _| drop(log.remove(1))).contains("does not follow"));
    assert!(found(&|log, _| log.swap(1, 2)).contains("does not follow"));
    assert!(found(&|log, _| log[1].text = "nothing".into()).contains("was edited"));
    let altered = found(&|_, bundle| bundle[40] ^= 1);
    assert!(altered.contains("evidence/e-1/ticket-7.zip: "), "{altered}");
}

proptest! {
    #[test]
    fn no_envelope_is_read_in_two_spellings_and_none_breaks_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(envelope) = Envelope::read(&bytes) {
            prop_assert_eq!(envelope.write(), bytes);
        }
    }

    #[test]
    fn an_envelope_that_was_altered_anywhere_is_refused(place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let office = Office::open();
        let bytes = office.device().seal(&resaid()).unwrap().write();
        let mut altered = bytes.clone();
        let place = place.index(bytes.len());
        if cut {
            altered.remove(place);
        } else {
            altered[place] = byte;
        }
        let read = Envelope::read(&altered).and_then(|envelope| {
            Trust::signature(&envelope)?;
            office.trust().issued(&envelope, certificate::By::Device, NOW_MS)
        });
        prop_assert_eq!(read.is_ok(), altered == bytes);
    }

    #[test]
    fn no_bytes_break_the_reader_of_sealed_files(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Archive::open(Cursor::new(bytes.clone())).is_err() || bytes.len() == 22);
    }
}
