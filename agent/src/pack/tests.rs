//! A bundle is what it says: every hash, every part, every name.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use deskside_proto::rows::Row;
use deskside_proto::seal::{self, Signer, Trust};
use deskside_proto::v1::{Filesystem, Interface, Load, LogEvent, Outcome, Pack, Printer, Reading, Service};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use ring::digest::{SHA256, digest};

use super::{Facts, Packed, pack};
use crate::collect::Registry;
use crate::record::{Bounds, Entry, Record};

const T0: i64 = 1_780_000_000_000;
const HOUR: i64 = 3_600_000;

fn open(dir: &Path) -> Record {
    Record::open(&dir.join("record"), Bounds::default(), Arc::new(Registry::standard()), T0).unwrap()
}

fn reading<R: Row>(at_ms: i64, rows: &[R]) -> Reading {
    let rows = rows.iter().map(|row| row.encode_to_vec().into()).collect();
    Reading { table: R::TABLE.into(), at_ms, outcome: Outcome::Ok.into(), rows, ..Reading::default() }
}

fn remember(record: &mut Record, readings: Vec<Reading>) {
    for reading in readings {
        let at_ms = reading.at_ms;
        record.append(at_ms, &[Entry { reading, stream: true, position: None }]).unwrap();
    }
}

fn request(tables: &[&str]) -> Pack {
    Pack {
        collection_id: "c-1".into(),
        ticket: 42,
        tables: tables.iter().map(|&table| table.to_owned()).collect(),
        from_ms: T0 - HOUR,
        to_ms: T0 + HOUR,
        requested_by: "Kim (L2)".into(),
        ..Pack::default()
    }
}

fn packed(record: &Record, request: &Pack, fresh: Vec<Reading>) -> (Packed, BTreeMap<String, String>) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("evidence.zip");
    let facts = Facts { hostname: "ws-17".into(), os: "Debian 12".into(), now_ms: T0 + HOUR, ..Facts::default() };
    let mut said = Vec::new();
    let packed = pack(request, &record.reader().unwrap(), (fresh, Vec::new()), (&facts, None), &out, &mut |word| {
        said.push(word.to_owned());
    })
    .unwrap();
    assert!(!said.is_empty());
    let bytes = std::fs::read(&out).unwrap();
    assert_eq!((packed.size, &packed.sha256[..]), (bytes.len() as u64, digest(&SHA256, &bytes).as_ref()));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    let mut zip = zip::ZipArchive::new(File::open(&out).unwrap()).unwrap();
    let mut files = BTreeMap::new();
    for place in 0..zip.len() {
        let mut file = zip.by_index(place).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        files.insert(file.name().unwrap().into_owned(), text);
    }
    (packed, files)
}

fn manifest(files: &BTreeMap<String, String>) -> serde_json::Value {
    serde_json::from_str(&files["manifest.json"]).unwrap()
}

fn part<'a>(packed: &'a Packed, name: &str) -> &'a deskside_proto::v1::PartOutcome {
    packed.parts.iter().find(|part| part.name == name).unwrap()
}

fn error_line(at_ms: i64, source: &str, message: &str) -> Reading {
    let event = LogEvent {
        at_ms,
        source: source.into(),
        position: at_ms.to_string(),
        priority: Some(3),
        program: "cupsd".into(),
        message: message.into(),
        ..LogEvent::default()
    };
    reading(at_ms, &[event])
}

fn queue(state: &str, message: &str) -> Printer {
    Printer {
        name: "office".into(),
        state: state.into(),
        state_message: message.into(),
        accepting_jobs: true,
        queued_jobs: 3,
        ..Printer::default()
    }
}

#[test]
fn every_file_is_in_the_manifest_with_its_hash_and_every_table_is_a_part() {
    let dir = tempfile::tempdir().unwrap();
    let mut record = open(dir.path());
    remember(
        &mut record,
        vec![
            reading(T0 - 2 * HOUR, &[queue("idle", "")]),
            reading(T0, &[queue("stopped", "The printer is not responding.")]),
            error_line(T0, "journal", "backend failed"),
        ],
    );
    let (packed, files) = packed(&record, &request(&[]), vec![]);
    let manifest = manifest(&files);
    let listed = manifest["files"].as_array().unwrap();
    assert_eq!(listed.len(), files.len() - 1, "all but the manifest itself");
    for file in listed {
        let text = &files[file["path"].as_str().unwrap()];
        let hash = HEXLOWER.encode(digest(&SHA256, text.as_bytes()).as_ref());
        assert_eq!((file["sha256"].as_str(), file["bytes"].as_u64()), (Some(hash.as_str()), Some(text.len() as u64)));
    }
    let names: Vec<&str> =
        manifest["parts"].as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect();
    let asked = Registry::standard();
    assert_eq!(names.len(), asked.schemas().count());
    assert!(packed.parts.iter().all(|part| part.outcome() != Outcome::Unspecified));
    assert!(
        packed
            .parts
            .iter()
            .all(|part| matches!(part.outcome(), Outcome::Ok | Outcome::Empty) || !part.reason.is_empty())
    );
    assert_eq!((part(&packed, "printers").rows, part(&packed, "printers").outcome()), (2, Outcome::Ok));
    assert_eq!(part(&packed, "os").outcome(), Outcome::Failed);
    assert_eq!(manifest["parts"][names.binary_search(&"printers").unwrap()]["sources"][0], "record");
}

#[test]
fn the_summary_says_the_stopped_queue_first_and_what_changed_and_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let mut record = open(dir.path());
    remember(
        &mut record,
        vec![
            reading(T0 - 2 * HOUR, &[queue("idle", "")]),
            reading(T0, &[queue("stopped", "The printer is | not responding.")]),
            error_line(T0 - 60_000, "journal", "job 7 failed after 3 s"),
            error_line(T0, "journal", "job 12 failed after 40 s"),
        ],
    );
    let mut denied = reading::<Service>(T0 + HOUR, &[]);
    (denied.outcome, denied.reason) = (Outcome::Denied.into(), "needs the group systemd-journal".into());
    let full =
        Filesystem { mount_point: "/".into(), used_percent: 97.0, total_bytes: 1 << 30, ..Filesystem::default() };
    let dead = Interface {
        name: "enp3s0".into(),
        kind: "ethernet".into(),
        admin_up: true,
        carrier: Some(false),
        ..Interface::default()
    };
    let fresh = vec![reading(T0 + HOUR, &[full]), reading(T0 + HOUR, &[dead]), denied];
    let (packed, files) = packed(
        &record,
        &request(&["printers", "services", "filesystems", "interfaces", "log_events", "nonsense"]),
        fresh,
    );
    let summary = &files["summary.md"];
    let first = summary.lines().find(|line| line.starts_with("- ")).unwrap();
    assert!(
        first.starts_with("- **Print queue stopped:** `office`: \"The printer is \\| not responding.\""),
        "{summary}"
    );
    for said in [
        "**File system nearly full:** `/` 97 %",
        "**No carrier:** `enp3s0`",
        "**Errors in the log:** 2",
        "| 2 | ",
        "| printers | office state | idle | stopped |",
        "**Not seen, so not known to be well:** services",
        "`services` denied: needs the group systemd-journal",
        "`nonsense` unsupported: this agent has no such table",
    ] {
        assert!(summary.contains(said), "{said} is not in\n{summary}");
    }
    assert_eq!(part(&packed, "services").outcome(), Outcome::Denied);
    assert!(files["changes.csv"].contains(",printers,office,state,idle,stopped"));
}

#[test]
fn a_fresh_look_follows_the_record_and_is_not_told_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut record = open(dir.path());
    let load = |at_ms| reading(at_ms, &[Load { load_1: 1.5, ..Load::default() }]);
    remember(&mut record, vec![load(T0 - 3 * HOUR), load(T0), load(T0 + 5)]);
    let (packed, files) = packed(&record, &request(&["load"]), vec![load(T0 + 5)]);
    let lines: Vec<serde_json::Value> =
        files["tables/load.jsonl"].lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sources: Vec<&str> = lines.iter().map(|line| line["_source"].as_str().unwrap()).collect();
    assert_eq!((sources, part(&packed, "load").rows), (vec!["record", "look"], 2));
    assert_eq!(lines[0]["load_1"], 1.5);
}

#[test]
fn what_does_not_fit_is_cut_from_the_oldest_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut record = open(dir.path());
    let lines = (0..200).map(|n| error_line(T0 - HOUR / 2 + n, "journal", &"x".repeat(1000))).collect();
    remember(&mut record, lines);
    let mut request = request(&["log_events"]);
    request.bytes_max = 100_000;
    let (packed, files) = packed(&record, &request, vec![]);
    let part = part(&packed, "log_events");
    assert_eq!(part.outcome(), Outcome::Partial);
    assert!(part.reason.contains("rows were left out") && part.rows > 10, "{part:?}");
    assert!(part.bytes < 110_000, "{part:?}");
    let last = files["tables/log_events.jsonl"].lines().last().unwrap();
    assert!(last.contains(&format!("\"position\":\"{}\"", T0 - HOUR / 2 + 199)), "the newest is there: {last:.80}");
}

#[test]
fn names_that_a_machine_made_up_stay_within_the_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let mut record = open(dir.path());
    let sources = ["../../etc/passwd", "/var/log/cups/error_log", "", "C:\\x\0y", "..", "ü/é", "a\nb"];
    let lines = sources
        .iter()
        .enumerate()
        .map(|(n, source)| error_line(T0 + n as i64, source, "=cmd|' /C calc'!A0\nsecond line\x1b[2J"));
    remember(&mut record, lines.collect());
    let (_packed, files) = packed(&record, &request(&["log_events"]), vec![]);
    let logs: Vec<&String> = files.keys().filter(|name| name.starts_with("logs/")).collect();
    assert!(logs.len() >= 4, "{logs:?}");
    for name in files.keys() {
        let safe = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
        assert!(safe && !name.contains("..") && !name.starts_with('/') && name.matches('/').count() <= 1, "{name}");
    }
    let text = &files["logs/var-log-cups-error_log.log"];
    assert!(text.contains("<3> cupsd: =cmd|' /C calc'!A0\n    second line\u{fffd}[2J"), "{text}");
    assert!(files["tables/log_events.csv"].contains("\"'=cmd|"), "no cell begins a formula");
}

/// RFC 4180, just enough to count.
fn csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            c => field.push(c),
        }
    }
    rows
}

#[test]
fn the_csv_has_a_cell_for_every_column_whatever_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut record = open(dir.path());
    remember(&mut record, vec![reading(T0, &[queue("stopped", "a \"quoted\", comma\nand line")])]);
    let (_packed, files) = packed(&record, &request(&["printers"]), vec![]);
    let rows = csv(&files["tables/printers.csv"]);
    assert_eq!((rows.len(), rows[1].len()), (2, rows[0].len()));
    let place = rows[0].iter().position(|name| name == "state_message").unwrap();
    assert_eq!(rows[1][place], "a \"quoted\", comma\nand line");
}

#[test]
fn a_sealed_bundle_holds_and_says_when_by_two_clocks_and_what_came() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut record = open(dir.path());
    remember(&mut record, vec![reading(T0, &[queue("stopped", "jam")])]);
    let (signer, trust) = office("8f0d3b54-5a0b-4c53-9f40-2b1a4f6f4c11");
    let facts = Facts {
        device_id: "8f0d3b54-5a0b-4c53-9f40-2b1a4f6f4c11".into(),
        agent_version: "1.2.3".into(),
        boot_ms: Some(5_000),
        now_ms: T0 + HOUR,
        ..Facts::default()
    };
    let asked = Pack { recipe: "printing".into(), clock_offset_ms: -250, ..request(&["printers", "os"]) };
    let path = out.path().join("evidence.zip");
    let from = (Vec::new(), Vec::new());
    let packed = pack(&asked, &record.reader().unwrap(), from, (&facts, Some(&signer)), &path, &mut |_| {}).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!((packed.size, &packed.sha256[..]), (bytes.len() as u64, digest(&SHA256, &bytes).as_ref()));
    let (report, sealed) = seal::check_bundle(File::open(&path).unwrap(), &trust, T0 + HOUR);
    let said = sealed.unwrap_or_else(|| panic!("{report:#?}")).bundle;
    assert_eq!((said.ticket, said.recipe.as_str(), said.tool.as_str()), (42, "printing", "deskside-agent 1.2.3"));
    assert_eq!((said.sealed.utc_ms, said.sealed.boot_ms, said.sealed.server_offset_ms), (T0 + HOUR, Some(5_000), -250));
    let parts: Vec<_> = said.parts.iter().map(|part| (part.name.as_str(), part.outcome.as_str())).collect();
    assert_eq!(parts, [("os", "failed"), ("printers", "ok")]);
}

/// A device's key with its certificate, and the CA that issued it.
fn office(device: &str) -> (Signer, Trust) {
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let params = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let mut ca = params("CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let ca = ca.self_signed(&ca_key).unwrap();
    let issuer = Issuer::from_ca_cert_der(ca.der(), &ca_key).unwrap();
    let certificate = params(device).signed_by(&key, &issuer).unwrap();
    (Signer::new(&key.serialize_der(), certificate.der(), ca.der()).unwrap(), Trust::certificate(ca.der()))
}
