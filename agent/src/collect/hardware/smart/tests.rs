//! What smartctl and udisks2 say, and what becomes of it. Whole drives are among the recorded hosts (`tests/hosts/drives`).

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::collect::outcome_of;
use crate::host::Recorded;
use deskside_proto::v1::Outcome;

const SMARTCTL: &str = r#"["--json=c","-x","-n","standby","/dev/sda"]"#;
const DISK: &str = r#"{"links": {"/sys/block/sda": "../devices/ata1/host0/block/sda"}}"#;

/// A host with one SATA disk and these programs: name, arguments, exit status, output.
fn host(programs: &[(&str, &str, i32, &str, &str)]) -> (tempfile::TempDir, Recorded) {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("host.json", DISK);
    for (place, (program, arguments, status, out, err)) in programs.iter().enumerate() {
        let arguments: Value = serde_json::from_str(arguments).unwrap();
        let index = json!({"program": program, "arguments": arguments, "status": status, "stderr": err});
        write(&format!("run/{place}.json"), &index.to_string());
        write(&format!("run/{place}.out"), out);
    }
    let host = Recorded::open(folder.path()).unwrap();
    (folder, host)
}

fn objects(status: i32, out: &str, err: &'static str) -> (&'static str, &'static str, i32, String, &'static str) {
    let arguments = r#"["--system","--json=short","call","org.freedesktop.UDisks2","/org/freedesktop/UDisks2",
        "org.freedesktop.DBus.ObjectManager","GetManagedObjects"]"#;
    ("busctl", arguments, status, out.to_owned(), err)
}

fn message(text: &str) -> String {
    json!({"smartctl": {"messages": [{"string": text, "severity": "error"}]}}).to_string()
}

fn told(json: &Value, status: u32) -> Smart {
    match smartctl::read("sda", json, status, 7).unwrap() {
        Answer::Told(smart) => *smart,
        Answer::Denied => panic!("denied"),
    }
}

fn attribute(id: u32, raw: u64, text: &str) -> Value {
    json!({"device": {"protocol": "ATA"}, "ata_smart_attributes": {"table": [{"id": id, "raw": {"value": raw, "string": text}}]}})
}

#[test]
fn three_counters_packed_into_one_are_not_a_large_one() {
    let smart = told(&attribute(188, 8_590_065_668, "2 2 4"), 0);
    assert_eq!(smart.health.command_timeouts, Some(4));
    assert_eq!(smart.attributes[0].raw, Some(8_590_065_668));
    let smart = told(&attribute(5, 8_589_934_592_000, "0 (2000 0)"), 0);
    assert_eq!(smart.health.reallocated_sectors, Some(0));
    let smart = told(&attribute(197, 8, "8"), 0);
    assert_eq!((smart.health.pending_sectors, smart.health.reallocated_sectors), (Some(8), None));
}

#[test]
fn a_disk_that_sleeps_is_not_asked_and_keeps_what_it_said() {
    let asleep = message("Device is in STANDBY mode, exit(2)");
    let (_folder, host) = host(&[("smartctl", SMARTCTL, 2, &asleep, "")]);
    let reading = crate::collect::look(&super::super::disk_health::DISK_HEALTH, &host);
    assert_eq!(reading.outcome(), Outcome::Ok, "{}", reading.reason);
    let health = <DiskHealth as prost::Message>::decode(reading.rows[0].clone()).unwrap();
    assert_eq!((health.state.as_str(), health.passed, health.read_ms), ("asleep", None, None));
}

#[test]
fn what_the_agent_may_not_ask_is_denied_and_says_what_would_allow_it() {
    let denied = message("Smartctl open device: /dev/sda failed: Permission denied");
    let (_folder, host) = host(&[("smartctl", SMARTCTL, 2, &denied, "")]);
    let error = look::<DiskHealth>(&host).unwrap_err();
    assert_eq!(outcome_of(&error), Outcome::Denied);
    assert!(error.to_string().contains("CAP_SYS_RAWIO"), "{error}");
}

#[test]
fn with_neither_program_it_says_what_to_install() {
    let (_folder, host) = host(&[]);
    let reading = crate::collect::look(&super::super::disk_errors::DISK_ERRORS, &host);
    assert_eq!(reading.outcome(), Outcome::Unsupported);
    assert!(reading.reason.contains("install smartmontools or udisks2"), "{}", reading.reason);
}

#[test]
fn a_bus_that_does_not_answer_is_no_missing_package() {
    let (program, arguments, status, out, err) = objects(1, "", "Call failed: Connection timed out");
    let (_folder, host) = host(&[(program, arguments, status, &out, err)]);
    let error = look::<DiskHealth>(&host).unwrap_err();
    assert_eq!(outcome_of(&error), Outcome::Failed, "{error:#}");
}

#[test]
fn udisks_tells_of_an_ata_disk_what_it_knows() {
    let drive = "/org/freedesktop/UDisks2/drives/D";
    let value = |data: Value| json!({"type": "v", "data": data});
    let ata = json!({
        "SmartSupported": value(json!(true)), "SmartEnabled": value(json!(true)), "SmartUpdated": value(json!(1_700_000_000)),
        "SmartFailing": value(json!(true)), "SmartPowerOnSeconds": value(json!(7_200)), "SmartTemperature": value(json!(308.15)),
        "SmartSelftestStatus": value(json!("error_read")), "SmartSelftestPercentRemaining": value(json!(90)),
    });
    let tree = json!({"type": "", "data": [{
        (drive): {"org.freedesktop.UDisks2.Drive": {"Model": value(json!("ACME"))}, "org.freedesktop.UDisks2.Drive.Ata": ata},
        "/org/freedesktop/UDisks2/block_devices/sda": {"org.freedesktop.UDisks2.Block": {"Drive": value(json!(drive))}},
    }]});
    let table = json!({"type": "a(ysqiiixia{sv})", "data": [[
        [5, "reallocated-sector-count", 51, 90, 90, 140, 24, 3, {}],
        [197, "current-pending-sector", 50, 200, 200, 0, 8, 3, {}],
        [1, "raw-read-error-rate", 47, 100, 50, 51, -1, 0, {}],
    ]]});
    let (program, arguments, status, out, err) = objects(0, &tree.to_string(), "");
    let get = format!(
        r#"["--system","--json=short","call","org.freedesktop.UDisks2","{drive}","org.freedesktop.UDisks2.Drive.Ata","SmartGetAttributes","a{{sv}}","0"]"#
    );
    let (_folder, host) = host(&[(program, arguments, status, &out, err), ("busctl", &get, 0, &table.to_string(), "")]);
    let found = ask(&host).unwrap().unwrap();
    assert_eq!(found.missing, Vec::<String>::new());
    let Smart { health, attributes, .. } = &found.disks[0];
    assert_eq!((health.source.as_str(), health.model.as_str(), health.passed), ("udisks2", "ACME", Some(false)));
    assert_eq!((health.temperature_celsius, health.power_on_hours), (Some(35), Some(2)));
    assert_eq!((health.reallocated_sectors, health.pending_sectors), (Some(24), Some(8)));
    assert_eq!((health.last_self_test_passed, health.read_ms), (Some(false), Some(1_700_000_000_000)));
    let failed: Vec<&str> = attributes.iter().map(|attribute| attribute.when_failed.as_str()).collect();
    assert_eq!((failed, attributes[2].raw), (vec!["now", "", "past"], None));
    assert!(attributes[0].prefail && !attributes[1].prefail);
}

/// Every place in a document that holds a value without further ones.
fn leaves(json: &Value, place: &str, found: &mut Vec<String>) {
    match json {
        Value::Object(map) => map.iter().for_each(|(key, value)| leaves(value, &format!("{place}/{key}"), found)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(number, value)| leaves(value, &format!("{place}/{number}"), found));
        }
        _ => found.push(place.to_owned()),
    }
}

#[test]
fn a_disk_that_lies_about_any_one_thing_is_still_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/hosts/drives/run");
    let lies =
        [json!(-1), json!(1e300), json!(u64::MAX), json!("x\u{0}"), json!(null), json!([[]]), json!({"value": {}})];
    for disk in ["sdb", "sdi", "nvme3n1"] {
        let text = std::fs::read_to_string(folder.join(format!("smartctl-{disk}.out"))).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        let mut places = Vec::new();
        leaves(&json, "", &mut places);
        assert!(places.len() > 50);
        for place in places {
            for lie in &lies {
                let mut lying = json.clone();
                *lying.pointer_mut(&place).unwrap() = lie.clone();
                drop(smartctl::read(disk, &lying, 0, 0));
            }
        }
    }
}

#[test]
fn an_answer_that_is_cut_anywhere_is_an_error_and_never_a_healthy_disk() {
    let whole = json!({"smartctl": {"exit_status": 0}, "smart_status": {"passed": true}}).to_string();
    for end in 0..whole.len() {
        let (_folder, host) = host(&[("smartctl", SMARTCTL, 0, &whole[..end], "")]);
        let reading = crate::collect::look(&super::super::disk_health::DISK_HEALTH, &host);
        assert_eq!(reading.outcome(), Outcome::Failed, "{end}: {}", reading.reason);
    }
}
