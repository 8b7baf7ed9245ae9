//! The technician's command line, on a real server and a real agent: shapes that scripts rely on, exit statuses, and care with evidence.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use deskside_proto::invite;
use deskside_tests::house::{House, Programs, until};
use serde_json::Value as Json;

/// A server with this machine enrolled, connected and known.
async fn open(folder: &Path) -> House {
    let programs = Programs::found().expect("the programs are built");
    let mut house = House::open(programs, folder).await.expect("a server");
    house.enrol().expect("an agent");
    until("the device to be known", Duration::from_secs(20), || {
        let devices = house.desk_json(&["devices"])?;
        let on = devices.pointer("/0/connected").and_then(Json::as_bool) == Some(true);
        let Some(id) = devices.pointer("/0/id").and_then(Json::as_str).filter(|_id| on) else { return Ok(None) };
        let tables = house.desk_json(&["device", id])?;
        let has = |table| {
            tables
                .pointer("/tables")
                .and_then(Json::as_array)
                .is_some_and(|all| all.iter().any(|state| state["table"] == table))
        };
        Ok((has("os") && has("filesystems")).then_some(()))
    })
    .await
    .expect("a known device");
    house
}

fn keys(value: &Json) -> BTreeSet<&str> {
    value.as_object().map(|object| object.keys().map(String::as_str).collect()).unwrap_or_default()
}

fn set(text: &str) -> BTreeSet<&str> {
    text.split(' ').collect()
}

fn status(command: &mut Command) -> Option<i32> {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("deskside starts").code()
}

#[tokio::test]
async fn scripts_find_the_shapes_that_were_promised() {
    let folder = tempfile::tempdir().unwrap();
    let house = open(folder.path()).await;
    let devices = house.desk_json(&["devices"]).unwrap();
    let device = set("id name connected seen_ms enrolled_ms agent_version os revoked clock_offset_ms findings lost");
    assert_eq!(keys(&devices[0]), device);
    let id = devices[0]["id"].as_str().unwrap();

    let known = house.desk_json(&["device", id]).unwrap();
    assert_eq!(keys(&known), set("device findings tables tickets"));
    assert_eq!(keys(&known["tables"][0]), set("table family outcome reason at_ms checked_ms rows"));
    let shown = house.desk_json(&["show", id, "os"]).unwrap();
    assert_eq!(shown["reading"]["outcome"], "ok");
    assert!(keys(&shown["reading"]["rows"][0]).is_superset(&set("hostname kernel pretty_name")));
    let asked = house.desk_json(&["ask", id, "memory", "boot"]).unwrap();
    assert_eq!(asked["readings"].as_array().map(Vec::len), Some(2));

    let ticket = house.desk_json(&["ticket", "new", "no sound", "--device", id]).unwrap();
    assert_eq!((&ticket["number"], &ticket["status"]), (&1.into(), &"open".into()));
    let escalated = house.desk_json(&["ticket", "escalate", "1", "--wait"]).unwrap();
    // A machine that cannot show all of itself, like one without a journal, says so: then it is partial.
    let ended = &escalated["collections"][0];
    assert!(["done", "partial"].iter().any(|state| ended["state"] == *state), "{ended:#}");
    house.desk_json(&["ticket", "note", "1", "called back"]).unwrap();
    let case = house.desk_json(&["ticket", "show", "1"]).unwrap();
    assert_eq!(keys(&case), set("ticket devices collections evidence events"));
    assert!(case["events"].as_array().unwrap().iter().any(|event| event["text"] == "called back"));
    let part = &case["collections"][0]["parts"][0];
    assert_eq!(keys(part), set("name outcome reason rows bytes found"));
}

#[tokio::test]
async fn evidence_is_checked_and_nothing_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let house = open(folder.path()).await;
    let id = house.desk_json(&["devices"]).unwrap()[0]["id"].as_str().unwrap().to_owned();
    house.desk_json(&["ticket", "new", "no sound", "--device", &id]).unwrap();
    let wanted = ["collect", id.as_str(), "--ticket", "1", "--table", "os", "--table", "boot", "--wait"];
    let collection = house.desk_json(&wanted).unwrap();
    let item = collection["evidence_id"].as_str().unwrap();

    let unpacked = folder.path().join("unpacked");
    let opened = house.desk_json(&["evidence", "open", item, "-o", &unpacked.to_string_lossy()]).unwrap();
    let names: Vec<&str> = opened["files"].as_array().unwrap().iter().filter_map(Json::as_str).collect();
    assert!(names.contains(&"tables/os.csv") && names.contains(&"summary.md"), "{names:?}");
    assert!(names.iter().all(|name| unpacked.join(name).is_file()));
    let again = house.desk_json(&["evidence", "open", item, "-o", &unpacked.to_string_lossy()]).unwrap_err();
    assert!(again.to_string().contains("there already"), "{again}");

    let stored = folder.path().join("server/objects/evidence/1");
    let file = std::fs::read_dir(&stored).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let altered = house.desk_json(&["evidence", "get", item, "-o", &folder.path().join("x.zip").to_string_lossy()]);
    assert!(altered.is_err() && !folder.path().join("x.zip").exists());
}

#[tokio::test]
async fn a_server_with_another_authority_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(Programs::found().unwrap(), folder.path()).await.unwrap();
    let token = house.server_says(&["technician", "add", "anna"]).unwrap();
    let mut invite = invite::read(token.trim()).unwrap();
    invite.ca_sha256[0] ^= 1;
    let error = house.desk_says(&["login", &invite::write(&invite)]).unwrap_err();
    assert!(error.to_string().contains("not the server of this login"), "{error}");
}

#[tokio::test]
async fn the_exit_status_says_what_went_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(Programs::found().unwrap(), folder.path()).await.unwrap();
    assert_eq!(status(house.desk_command().arg("devices")), Some(0));
    assert_eq!(status(house.desk_command().args(["device", "nowhere"])), Some(1));
    assert_eq!(status(house.desk_command().args(["tickets", "--nonsense"])), Some(2));
    assert_eq!(status(house.desk_command().args(["devices", "--home", "/nonexistent"])), Some(1));
    let mut tables = house.desk_command().arg("tables").stdout(Stdio::piped()).spawn().unwrap();
    drop(tables.stdout.take());
    assert_eq!(tables.wait().unwrap().code(), Some(0), "a reader that has seen enough is no trouble");
}
