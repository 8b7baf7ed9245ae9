//! `deskside log` as a technician calls it: a file, no login and no server.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

fn log(file: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deskside"));
    command.args(["log", "--json"]).arg(file).args(more).output().unwrap()
}

fn messages(output: &Output) -> Vec<String> {
    let text = str::from_utf8(&output.stdout).unwrap();
    let entries = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    entries.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_file_is_told_entry_by_entry_and_only_what_is_asked_for() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/logs/macos.ndjson");
    assert_eq!(messages(&log(&file, &[])).len(), 4);
    let urgent = log(&file, &["--priority", "crit", "--since", "2026-11-22T06:11:00Z", "--text", "LAUNCHD"]);
    assert_eq!(messages(&urgent), ["service exited: exit code 78, com.example.printhelper"]);

    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("macos.ndjson.gz");
    let mut content = GzEncoder::new(std::fs::File::create(&packed).unwrap(), Compression::fast());
    content.write_all(&std::fs::read(&file).unwrap()).unwrap();
    content.finish().unwrap();
    assert_eq!(messages(&log(&packed, &[])).len(), 4);
}

#[test]
fn what_is_no_log_is_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let refused = log(folder.path(), &[]);
    let told: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(told["error"].as_str().unwrap().contains("is a folder") && told["advice"] != "", "{told}");
}
