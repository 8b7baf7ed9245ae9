//! The agent's command line as a person uses it, without a server.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn agent(state: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deskside-agent"));
    command.arg("--state").arg(state).args(["--config", "/nonexistent/agent.toml"]).args(arguments);
    command.output().expect("the agent starts")
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn collect_looks_at_this_machine_without_a_server_or_a_state_folder() {
    let state = Path::new("/nonexistent/state");
    let readings = json(&agent(state, &["collect", "--json", "boot", "memory"]));
    let tables: Vec<&str> =
        readings.as_array().unwrap().iter().filter_map(|reading| reading["table"].as_str()).collect();
    assert_eq!(tables, ["boot", "memory"]);
    assert_eq!(readings[1]["outcome"], "ok");
    assert!(readings[1]["rows"][0]["total_bytes"].as_u64().unwrap() > 0);
    let text = agent(state, &["collect", "memory"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("total_bytes"));
}

#[test]
fn a_table_that_is_not_there_is_named() {
    let output = agent(Path::new("/nonexistent/state"), &["collect", "no_such_table"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("no_such_table"));
}

#[test]
fn the_dictionary_has_every_table_with_a_line_about_it() {
    let state = Path::new("/nonexistent/state");
    let tables = json(&agent(state, &["tables", "--json"]));
    let tables = tables.as_array().unwrap();
    assert_eq!(tables.len(), deskside_proto::catalog::tables().len());
    assert!(tables.iter().all(|table| !table["doc"].as_str().unwrap().is_empty()));
    let text = agent(state, &["tables", "memory"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("swap_total_bytes"));
}

#[test]
fn check_prints_what_is_in_force_and_can_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let output = agent(folder.path(), &["check"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("deadline_s = 10"), "{text}");
    let path = folder.path().join("agent.toml");
    std::fs::write(&path, &text).unwrap();
    let again = Command::new(env!("CARGO_BIN_EXE_deskside-agent")).arg("--config").arg(&path).arg("check").output();
    let again = String::from_utf8(again.unwrap().stdout).unwrap();
    assert_eq!(again.lines().skip(1).collect::<Vec<_>>(), text.lines().skip(1).collect::<Vec<_>>());
}

#[test]
fn status_of_an_agent_that_does_not_run_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let output = agent(folder.path(), &["status"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("does not run"));
}

#[test]
fn a_damaged_token_is_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    for (token, wanted) in [("hello", "must begin with"), ("dsk1aaaa", "damaged")] {
        let output = agent(folder.path(), &["enroll", token]);
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains(wanted), "{output:?}");
    }
}

#[test]
fn redact_test_shows_what_would_go_and_never_the_secret_itself() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("app.log");
    std::fs::write(
        &log,
        "started\nlogin with password=hunter22secret failed\ntoken ghp_abcdefghij0123456789abcdefghij012345\n",
    )
    .unwrap();
    let shown = agent(folder.path(), &["redact-test", log.to_str().unwrap()]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(
        text.contains("2 of 3 lines would be changed") && text.contains("GitHub token") && !text.contains("hunter22"),
        "{text}"
    );
    assert!(!text.contains("started"), "lines that stay are shown with --all alone: {text}");
    let lines = agent(folder.path(), &["redact-test", "--json", log.to_str().unwrap()]);
    let first: Value = serde_json::from_slice(lines.stdout.split(|b| *b == b'\n').next().unwrap()).unwrap();
    assert_eq!((first["line"].as_u64(), first["removed"][0]["what"].as_str()), (Some(2), Some("password")));
    let kinds = agent(folder.path(), &["redact-test", "--kinds"]);
    assert!(String::from_utf8(kinds.stdout).unwrap().lines().count() >= 60);
    let who = agent(folder.path(), &["who", "person-abcdefgh"]);
    assert!(String::from_utf8(who.stderr).unwrap().contains("mapping = true"));
}
