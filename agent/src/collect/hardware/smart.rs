//! What disks say of their own health, asked once for several tables: by smartctl where it may, else by udisks2.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::time::Duration;

use anyhow::Context;
use data_encoding::HEXLOWER;
use deskside_proto::rows::Row;
use deskside_proto::v1::{DiskAttribute, DiskError, DiskHealth, DiskSelfTest};

use super::disks::{BLOCK, names, transport};
use crate::collect::Rows;
use crate::host::{Before, Host};

mod ata;
mod json;
mod nvme;
mod scsi;
mod smartctl;
mod udisks;

/// How long all disks together may take. Why: what is done when the look's own deadline comes is lost, for healthy disks too.
const LOOK_MAX: Duration = Duration::from_secs(8);

/// How long one disk may take. A failing one may not answer for minutes.
const DISK_MAX: Duration = Duration::from_secs(5);

/// Time below which a disk is not begun.
const DISK_MIN: Duration = Duration::from_millis(500);

/// A disk that is not woken to be asked.
pub(super) const ASLEEP: &str = "asleep";

/// Connections whose disks have a health of their own. A hypervisor's disks have none; eMMC keeps its in another way.
const OWN_HEALTH: [&str; 5] = ["nvme", "sata", "sas", "scsi", "usb"];

/// What would allow smartctl to ask.
const ALLOWED_BY: &str = "smartctl may not ask; root may, or a user with CAP_SYS_RAWIO and CAP_SYS_ADMIN in the group disk; or install \
                          udisks2, which anybody may ask";

/// What would make it possible at all.
const INSTALL: &str =
    "neither smartctl nor udisks2 is here to ask disks for their health: install smartmontools or udisks2";

/// The source of what udisks2 told.
const UDISKS: &str = "udisks2";

/// What would show the logs too.
const NO_LOGS: &str =
    "udisks2 does not tell what disks keep in their own logs: install smartmontools, and let the agent use it";

/// What one disk says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Smart {
    pub(super) health: DiskHealth,
    pub(super) attributes: Vec<DiskAttribute>,
    pub(super) self_tests: Vec<DiskSelfTest>,
    pub(super) errors: Vec<DiskError>,
}

/// Rows that are a part of what a disk says.
pub(super) trait Part: Row + Default + Sized {
    /// udisks2 tells it too.
    const IN_UDISKS: bool;
    /// The part.
    fn of(smart: &Smart) -> Vec<Self>;
    /// The part of a disk that sleeps, from the rows that were read when it did not.
    fn asleep(_smart: &Smart, before: Vec<Self>) -> Vec<Self> {
        before
    }
}

/// What was found: the disks that were asked, and what could not be seen.
#[derive(Debug, Default)]
struct Found {
    disks: Vec<Smart>,
    missing: Vec<String>,
}

/// One table's part of all disks. What a disk said before it fell asleep is kept in a note, since it is not woken to say it again.
pub(super) fn look<R: Part>(host: &dyn Host) -> anyhow::Result<Rows> {
    look_with(host, |_row: &mut R| {})
}

/// The same, with what is to be added to each row.
pub(super) fn look_with<R: Part>(host: &dyn Host, mut add: impl FnMut(&mut R)) -> anyhow::Result<Rows> {
    let Some(mut found) = ask(host)? else { return Ok(Rows::unsupported(INSTALL)) };
    if !R::IN_UDISKS && found.disks.iter().any(|smart| smart.health.source == UDISKS) {
        found.disks.retain(|smart| smart.health.source != UDISKS);
        if found.disks.is_empty() && found.missing.is_empty() {
            return Ok(Rows::unsupported(NO_LOGS));
        }
        found.missing.push(NO_LOGS.into());
    }
    let mut before = host.noted(R::TABLE).as_ref().map(kept::<R>).unwrap_or_default();
    let (mut rows, mut note) = (Rows::none(), String::new());
    for smart in &found.disks {
        let disk = &smart.health.disk;
        let told = match smart.health.state.as_str() {
            ASLEEP => R::asleep(smart, before.remove(disk).unwrap_or_default()),
            _ => R::of(smart),
        };
        for mut row in told {
            add(&mut row);
            note.extend([disk, " ", &HEXLOWER.encode(&row.encode_to_vec()), "\n"]);
            rows.push(&row);
        }
    }
    host.recall(R::TABLE, note);
    for what in found.missing {
        rows.missing(what);
    }
    Ok(rows)
}

fn kept<R: Part>(note: &Before) -> BTreeMap<String, Vec<R>> {
    let mut kept = BTreeMap::<String, Vec<R>>::new();
    for (disk, row) in note.text.lines().filter_map(|line| line.split_once(' ')) {
        let bytes = HEXLOWER.decode(row.as_bytes()).ok();
        if let Some(row) = bytes.and_then(|bytes| R::decode(bytes.as_slice()).ok()) {
            kept.entry(disk.to_owned()).or_default().push(row);
        }
    }
    kept
}

/// How one disk answered.
enum Answer {
    Told(Box<Smart>),
    Denied,
}

/// Absent where nothing is installed that could ask.
fn ask(host: &dyn Host) -> anyhow::Result<Option<Found>> {
    let mut disks = names(host)?;
    disks.retain(|name| OWN_HEALTH.contains(&transport(&host.link(&format!("{BLOCK}/{name}")).unwrap_or_default())));
    let (mut found, mut denied) = (Found::default(), Vec::new());
    let began_ms = host.now_ms();
    for disk in &disks {
        let spent = Duration::from_millis(u64::try_from(host.now_ms() - began_ms).unwrap_or_default());
        let time = LOOK_MAX.saturating_sub(spent).min(DISK_MAX);
        if time < DISK_MIN {
            found.missing.push(format!("disk {disk}: those before it took too long to answer"));
            continue;
        }
        match smartctl::ask(host, disk, time) {
            Ok(Answer::Told(smart)) => found.disks.push(*smart),
            Ok(Answer::Denied) => denied.push(disk.clone()),
            Err(error) if is_absent(&error) => return others(host, &disks),
            Err(error) => found.missing.push(format!("disk {disk}: {error:#}")),
        }
    }
    if denied.is_empty() {
        return Ok(Some(found));
    }
    // The agent's own user may not use smartctl; udisks2 answers everybody.
    match udisks::ask(host, &denied) {
        Ok(theirs) => {
            found.disks.extend(theirs.disks);
            found.missing.extend(theirs.missing);
        }
        Err(_error) if found.disks.is_empty() && found.missing.is_empty() => {
            return Err(io::Error::new(ErrorKind::PermissionDenied, ALLOWED_BY).into());
        }
        Err(_error) => found.missing.push(format!("{}: {ALLOWED_BY}", denied.join(", "))),
    }
    Ok(Some(found))
}

/// Without smartctl.
fn others(host: &dyn Host, disks: &[String]) -> anyhow::Result<Option<Found>> {
    match udisks::ask(host, disks) {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => {
            Err(error).context("smartctl is not installed, and udisks2 does not answer; install smartmontools")
        }
    }
}

fn is_absent(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::NotFound)
}

/// Writes the newest self-test into a disk's health.
fn last_self_test(health: &mut DiskHealth, newest: Option<DiskSelfTest>) {
    let Some(test) = newest else { return };
    health.last_self_test = format!("{}: {}", test.r#type, test.status);
    health.last_self_test_passed = test.passed;
    health.last_self_test_hours = Some(test.power_on_hours);
}

/// Tests that a log holds twice alike, as after two aborted ones in an hour, become one row.
fn folded(tests: impl IntoIterator<Item = DiskSelfTest>) -> Vec<DiskSelfTest> {
    let mut rows = Vec::<DiskSelfTest>::new();
    for test in tests {
        let same = |row: &&mut DiskSelfTest| {
            (row.power_on_hours, &row.r#type, &row.status) == (test.power_on_hours, &test.r#type, &test.status)
        };
        match rows.iter_mut().find(same) {
            Some(row) => row.times += 1,
            None => rows.push(test),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
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
        let (_folder, host) =
            host(&[(program, arguments, status, &out, err), ("busctl", &get, 0, &table.to_string(), "")]);
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
}
