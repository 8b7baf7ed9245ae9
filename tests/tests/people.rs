//! Who may come in: tokens that end, are renewed and revoked, and roles.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::process::Stdio;

use deskside_tests::lab::process::{Agent, Server, until};

#[test]
fn an_administrator_adds_lists_renews_and_revokes_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).unwrap();
    let admin = server.technician(folder.path()).unwrap();
    let added = admin.json(&["technician", "add", "ben", "--role", "viewer", "--days", "5"]).unwrap();
    let ben = server.home(folder.path(), "ben");
    let said = ben.says(&["login", added["token"].as_str().unwrap()]).unwrap();
    assert!(said.contains("logged in as ben (viewer)") && said.contains("the token is good until"), "{said}");
    let ran = ben.command().unwrap().arg("devices").output().unwrap();
    let warned = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success() && warned.contains("your token expires in"), "{warned}");
    ben.says(&["technician", "renew"]).unwrap();
    let ran = ben.command().unwrap().arg("devices").output().unwrap();
    assert!(ran.status.success() && ran.stderr.is_empty(), "{}", String::from_utf8_lossy(&ran.stderr));
    let refused = ben.says(&["technician", "list"]).unwrap_err().to_string();
    assert!(refused.contains("takes the role admin, and ben is viewer"), "{refused}");
    let listed = admin.json(&["technician", "list"]).unwrap();
    assert_eq!((&listed[1]["name"], &listed[1]["role"]), (&"ben".into(), &"viewer".into()));
    assert!(listed[1]["used_ms"].is_i64());
    server.says(&["technician", "revoke", "ben"]).unwrap();
    let out = ben.says(&["devices"]).unwrap_err().to_string();
    assert!(out.contains("not known here or was revoked"), "{out}");
    let told = server.says(&["technician", "list"]).unwrap();
    assert!(told.contains("revoked"), "{told}");
    let audit = server.says(&["audit"]).unwrap();
    assert!(audit.contains("technician ben added as viewer") && audit.contains("token of ben renewed"), "{audit}");
}

#[test]
fn a_live_log_ends_when_the_one_who_reads_it_is_revoked_by_another_program() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).unwrap();
    let mut agent = Agent::new(folder.path(), "").unwrap();
    let device = agent.enrol(&server).unwrap();
    until("the session", || Ok(agent.status()?.connected_since_ms)).unwrap();
    let ben = server.home(folder.path(), "ben");
    ben.says(&["login", server.invite("ben").unwrap().trim()]).unwrap();
    let mut command = ben.command().unwrap();
    let tail = command.args(["tail", &device]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the live log to be open", || Ok(server.says(&["audit"])?.contains("priority up to").then_some(()))).unwrap();
    server.says(&["technician", "revoke", "ben"]).unwrap();
    let ended = tail.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && told.contains("this token was revoked"), "{told}");
}

#[test]
fn a_capture_and_what_people_wrote_take_a_second_technician_where_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let settings = "[four_eyes]\ncapture = true\ncontent = true\n[policy]\ncaptures = \"given\"\n";
    let server = Server::start_with(folder.path(), settings).unwrap();
    let mut agent = Agent::new(folder.path(), "").unwrap();
    let device = agent.enrol(&server).unwrap();
    let anna = server.technician(folder.path()).unwrap();
    let ben = server.home(folder.path(), "ben");
    ben.says(&["login", server.invite("ben").unwrap().trim()]).unwrap();
    until("the session", || Ok(agent.status()?.connected_since_ms)).unwrap();
    anna.says(&["ticket", "new", "it is slow", "--device", &device]).unwrap();
    let capture = ["capture", &device, "--ticket", "1", "--interface", "lo", "--seconds", "1s"];
    let waits = ben.says(&capture).unwrap_err().to_string();
    assert!(waits.contains("takes a second person: request 1 waits"), "{waits}");
    assert!(ben.says(&capture).unwrap_err().to_string().contains("request 1 waits"), "it is asked for once");
    let own = ben.says(&["approvals", "approve", "1"]).unwrap_err().to_string();
    assert!(own.contains("nobody approves what they asked for themselves"), "{own}");
    let listed = anna.json(&["approvals", "list"]).unwrap();
    assert_eq!((&listed[0]["asked_by"], &listed[0]["kind"]), (&"ben".into(), &"capture".into()));
    anna.says(&["approvals", "approve", "1"]).unwrap();
    ben.says(&capture).unwrap();
    assert!(ben.says(&capture).unwrap_err().to_string().contains("request 2 waits"), "it counts once");
    anna.says(&["approvals", "refuse", "2"]).unwrap();
    let items = anna.json(&["evidence", "list", "--ticket", "1"]).unwrap();
    let out = folder.path().join("copy.zip");
    let get = ["evidence", "get", items[0]["id"].as_str().unwrap(), "-o", out.to_str().unwrap()];
    assert!(ben.says(&get).unwrap_err().to_string().contains("request 3 waits"));
    anna.says(&["approvals", "approve", "3"]).unwrap();
    ben.says(&get).unwrap();
    let shown = ben.says(&["show", &device, "print_jobs"]).unwrap_err().to_string();
    assert!(shown.contains("takes a second person"), "{shown}");
    ben.says(&["sql", &device, "SELECT 1"]).unwrap();
    let content = ben.says(&["sql", &device, "SELECT title FROM print_jobs", "--content"]).unwrap_err().to_string();
    assert!(content.contains("takes a second person"), "{content}");
    let audit = server.says(&["audit"]).unwrap();
    assert!(audit.contains("anna had approved it") && audit.contains("request 2 of ben"), "{audit}");
}
