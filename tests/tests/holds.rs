//! How long evidence is kept: legal holds, deletion by hand, and copies with less in them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs::File;
use std::io::Read;

use deskside_tests::lab::process::{Agent, Server, Technician, until};
use zip::ZipArchive;

/// A ticket with one bundle of a device: its id.
fn bundle(technician: &Technician, device: &str) -> String {
    technician.says(&["ticket", "new", "it is slow", "--device", device]).unwrap();
    let wanted = ["collect", device, "--ticket", "1", "--table", "os", "--table", "boot", "--wait"];
    technician.says(&wanted).unwrap();
    let items = technician.json(&["evidence", "list", "--ticket", "1"]).unwrap();
    items[0]["id"].as_str().unwrap().to_owned()
}

fn refused(technician: &Technician, words: &[&str]) -> String {
    technician.says(words).unwrap_err().to_string()
}

#[test]
fn evidence_on_hold_stays_until_the_hold_is_released_and_what_is_deleted_leaves_its_hash() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).unwrap();
    let mut agent = Agent::new(folder.path(), "").unwrap();
    let device = agent.enrol(&server).unwrap();
    let admin = server.technician(folder.path()).unwrap();
    until("the session", || Ok(agent.status()?.connected_since_ms)).unwrap();
    let id = bundle(&admin, &device);
    let viewer = server.viewer(folder.path()).unwrap();
    assert!(refused(&viewer, &["evidence", "delete", &id, "--why", "x"]).contains("takes the role admin"));
    assert!(refused(&viewer, &["hold", "add", "--ticket", "1", "--why", "x"]).contains("takes the role admin"));
    admin.says(&["hold", "add", "--ticket", "1", "--why", "the court asked"]).unwrap();
    let stays = refused(&admin, &["evidence", "delete", &id, "--why", "a slip"]);
    assert!(stays.contains("on legal hold 1, placed by anna: the court asked"), "{stays}");
    assert_eq!(viewer.json(&["hold", "list"]).unwrap()[0]["why"], "the court asked");
    assert!(refused(&admin, &["hold", "release", "1"]).contains("--why"));
    admin.says(&["hold", "release", "1", "--why", "it is over"]).unwrap();
    assert!(viewer.says(&["hold", "list"]).unwrap().contains("nothing is on hold"));
    let gone = admin.json(&["evidence", "delete", &id, "--why", "the user asked"]).unwrap();
    assert!(gone["deleted_ms"].is_i64() && gone["sha256"].as_str().unwrap().len() == 64, "{gone}");
    let steps: Vec<&str> =
        gone["custody"].as_array().unwrap().iter().filter_map(|line| line["what"].as_str()).collect();
    assert!(steps.ends_with(&["held", "released", "deleted"]), "{steps:?}");
    assert!(refused(&admin, &["evidence", "get", &id]).contains("was deleted on"));
    let told = admin.says(&["evidence", "list", "--ticket", "1"]).unwrap();
    assert!(told.contains("by anna: the user asked"), "{told}");
}

#[test]
fn a_redacted_copy_is_an_item_of_its_own_that_says_what_it_was_made_from_and_the_original_stays() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).unwrap();
    let mut agent = Agent::new(folder.path(), "").unwrap();
    let device = agent.enrol(&server).unwrap();
    let admin = server.technician(folder.path()).unwrap();
    until("the session", || Ok(agent.status()?.connected_since_ms)).unwrap();
    let id = bundle(&admin, &device);
    let before = admin.json(&["evidence", "list"]).unwrap();
    let wrong = refused(&admin, &["evidence", "redact", &id, "--drop", "routes", "--why", "x"]);
    assert!(wrong.contains("has no table routes") && wrong.contains("it has boot, os"), "{wrong}");
    let drops = ["--drop", "boot", "--drop", "os.hostname", "--why", "for the maker of the printer"];
    let copy = admin.json(&[&["evidence", "redact", &id][..], &drops].concat()).unwrap();
    assert_eq!(copy["source_id"], id.as_str());
    assert_eq!(copy["recipe"], "drop boot, os.hostname");
    assert_ne!(copy["sha256"], before[0]["sha256"]);
    let custody = copy["custody"][0]["text"].as_str().unwrap();
    assert!(custody.contains(before[0]["sha256"].as_str().unwrap()) && custody.contains("for the maker"), "{custody}");
    let (copied, path) = (copy["id"].as_str().unwrap(), folder.path().join("copy.zip"));
    admin.says(&["evidence", "get", copied, "-o", path.to_str().unwrap()]).unwrap();
    let mut zip = ZipArchive::new(File::open(&path).unwrap()).unwrap();
    assert!(zip.file_names().all(|name| !name.unwrap().contains("boot")));
    let mut rows = String::new();
    zip.by_name("tables/os.jsonl").unwrap().read_to_string(&mut rows).unwrap();
    assert!(rows.contains("\"pretty_name\"") && !rows.contains("hostname"), "{rows}");
    admin.says(&["evidence", "open", copied]).unwrap();
    let after = admin.json(&["evidence", "list"]).unwrap();
    let original = after.as_array().unwrap().iter().find(|item| item["id"] == id.as_str()).unwrap();
    assert_eq!(original["sha256"], before[0]["sha256"]);
    let path = folder.path().join("original.zip");
    admin.says(&["evidence", "get", &id, "-o", path.to_str().unwrap()]).unwrap();
}
