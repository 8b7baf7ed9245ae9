//! Files from elsewhere, attached to a ticket by hand on the command line: listed, fetched, and asked where they are logs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use deskside_tests::lab::process::{Server, Technician};

/// A server that takes a mebibyte, and a technician with a ticket.
fn open(folder: &Path) -> (Server, Technician) {
    let server = Server::start_with(folder, "[evidence]\nattachment_bytes_max = 1048576\n").unwrap();
    let desk = server.technician(folder).unwrap();
    desk.says(&["ticket", "new", "a Windows machine cannot print"]).unwrap();
    (server, desk)
}

fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/tests/logs").join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A log as Windows exports it.
fn evtx(folder: &Path) -> PathBuf {
    let path = folder.join("System.evtx");
    let status = Command::new("gunzip")
        .arg("--stdout")
        .stdin(File::open(recorded("windows.evtx.gz")).unwrap())
        .stdout(Stdio::from(File::create(&path).unwrap()))
        .status();
    assert!(status.unwrap().success());
    path
}

#[test]
fn an_exported_windows_log_is_attached_and_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, desk) = open(folder.path());
    let path = evtx(folder.path());
    let told = desk.says(&["attach", "1", text(&path), "--note", "from the user's own laptop"]).unwrap();
    assert!(told.contains("attached to ticket 1") && told.contains("deskside log --evidence"), "{told}");
    let listed = desk.json(&["evidence", "list", "--ticket", "1"]).unwrap();
    let id = listed[0]["id"].as_str().unwrap();
    let log = desk.says(&["log", "--evidence", &id[..8]]).unwrap();
    assert!(
        log.contains("Service Control Manager 7023 err") && log.contains("4625 audit failure: Account=desk"),
        "{log}"
    );
    let urgent = desk.says(&["log", "--evidence", id, "--priority", "err", "--text", "spooler"]).unwrap();
    assert!(urgent.contains("7023") && !urgent.contains("10016"), "{urgent}");
    assert!(urgent.contains("0x80070005"), "codes are explained: {urgent}");

    let again = desk.json(&["attach", "1", text(&path), "--name", "other.evtx"]).unwrap();
    assert_eq!((&again["already"], &again["evidence"]["id"]), (&true.into(), &listed[0]["id"]));
    let case = desk.json(&["ticket", "show", "1"]).unwrap();
    let told = |event: &serde_json::Value| event["text"].as_str().unwrap().starts_with("evidence attached by anna: ");
    assert_eq!(case["events"].as_array().unwrap().iter().filter(|event| told(event)).count(), 1);
    let shown = desk.says(&["ticket", "show", "1"]).unwrap();
    assert!(shown.contains("System.evtx") && shown.contains("own laptop"), "{shown}");
}

#[test]
fn what_a_mac_and_a_text_log_say_is_asked_packed_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, desk) = open(folder.path());
    let mut logs = vec![(recorded("macos.ndjson"), "printhelper")];
    for (packer, end) in [("gzip", "gz"), ("xz", "xz"), ("bzip2", "bz2"), ("zstd", "zst")] {
        let lines = folder.path().join("app.log");
        fs::write(&lines, format!("Nov 22 01:10:57 desk7 app[7]: ERROR no space left on {packer}\n")).unwrap();
        assert!(Command::new(packer).arg(&lines).stderr(Stdio::null()).status().unwrap().success());
        fs::remove_file(&lines).ok();
        logs.push((folder.path().join(format!("app.log.{end}")), "ERROR no space left on"));
    }
    for (path, word) in logs {
        let item = desk.json(&["attach", "1", text(&path)]).unwrap();
        let log = desk.says(&["log", "--evidence", item["evidence"]["id"].as_str().unwrap()]).unwrap();
        assert!(log.contains(word), "{log}");
    }
}

#[test]
fn packets_are_attached_and_fetched_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, desk) = open(folder.path());
    let packets = folder.path().join("front desk.pcap");
    let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1];
    bytes.extend((0..500_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8));
    fs::write(&packets, &bytes).unwrap();
    let item = desk.json(&["attach", "1", text(&packets)]).unwrap();
    let id = item["evidence"]["id"].as_str().unwrap();
    let fetched = folder.path().join("fetched.pcap");
    desk.says(&["evidence", "get", id, "-o", text(&fetched)]).unwrap();
    assert!(fs::read(&fetched).unwrap() == bytes, "not what was attached");
    let refused = |arguments: &[&str]| desk.says(arguments).unwrap_err().to_string();
    assert!(refused(&["log", "--evidence", id]).contains("front desk.pcap is no log that is known"));
    assert!(refused(&["evidence", "open", id]).contains("is no bundle"));
}

#[test]
fn a_viewer_may_not_attach_and_what_is_too_large_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (server, desk) = open(folder.path());
    // A file of holes: nothing of it is read before it is refused.
    let large = folder.path().join("memory.dmp");
    File::create(&large).unwrap().set_len(100 * 1024 * 1024 * 1024).unwrap();
    let refused = desk.says(&["attach", "1", text(&large)]).unwrap_err().to_string();
    assert!(refused.contains("memory.dmp has 100.0 GiB, and 1.0 MiB are taken at most"), "{refused}");
    let folders = desk.says(&["attach", "1", text(folder.path())]).unwrap_err().to_string();
    assert!(folders.contains("is not a file"), "{folders}");
    let viewer = server.viewer(folder.path()).unwrap();
    let refused = viewer.says(&["attach", "1", text(&recorded("macos.ndjson"))]).unwrap_err().to_string();
    assert!(refused.contains("this takes the role technician"), "{refused}");
    assert_eq!(desk.json(&["evidence", "list"]).unwrap(), serde_json::json!([]));
}
