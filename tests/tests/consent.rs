//! Who may answer what a technician asks to take of a machine: the account that sits at it, as systemd-logind says, and nobody from elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};
use std::thread;

use deskside_tests::lab::process::{Agent, Server, until};
use rustix::process::Uid;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// Accounts: one that sits at the machine, one that is logged in over the network.
const HERE: u32 = 64_321;
const AWAY: u32 = 64_322;

/// What busctl prints of systemd-logind 252 for a session.
fn session(id: &str, uid: u32, name: &str, seat: &str, from: &str) -> Json {
    json!({"type": "a{sv}", "data": [{
        "Id": {"type": "s", "data": id}, "User": {"type": "(uo)", "data": [uid, "/"]}, "Name": {"type": "s", "data": name},
        "Seat": {"type": "(so)", "data": [seat, "/"]}, "Class": {"type": "s", "data": "user"},
        "Remote": {"type": "b", "data": !from.is_empty()}, "RemoteHost": {"type": "s", "data": from},
        "Active": {"type": "b", "data": true}, "LockedHint": {"type": "b", "data": false},
    }]})
}

/// A busctl for the agent, which answers as the one of a machine with both sessions.
fn busctl(folder: &TempDir) -> std::path::PathBuf {
    let listed = json!({"type": "a(susso)", "data": [[[
        "2", HERE, "anna", "seat0", "/s/2"], ["5", AWAY, "mallory", "", "/s/5"]]]});
    for (name, answer) in [
        ("list", listed),
        ("here", session("2", HERE, "anna", "seat0", "")),
        ("away", session("5", AWAY, "mallory", "", "198.51.100.7")),
    ] {
        fs::write(folder.path().join(name), answer.to_string()).unwrap();
    }
    let place = folder.path().display();
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n*ListSessions*) cat {place}/list ;;\n*/s/2*) cat {place}/here ;;\n*/s/5*) cat {place}/away ;;\n\
         *) echo 'Call failed: PID 1 does not belong to any known session' >&2; exit 1 ;;\nesac\n"
    );
    let path = folder.path().join("busctl");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

/// The agent's command line, as an account without any privilege uses it.
fn says(account: u32, public: &TempDir, words: &[&str]) -> Output {
    let account = account.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &account, "--regid", &account, "--clear-groups"]);
    command.arg(deskside_tests::lab::process::program("deskside-agent").unwrap());
    command.arg("--state").arg(public.path().join("none")).arg("--public").arg(public.path());
    command.args(words).output().unwrap()
}

fn refused(ran: &Output) -> String {
    assert!(!ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    String::from_utf8_lossy(&ran.stderr).into_owned()
}

/// What the open socket answers an account, whatever is asked.
fn asked(account: u32, public: &TempDir, question: &str) -> String {
    let (path, question) = (public.path().join("consent.sock"), format!("{question}\n"));
    let asking = thread::spawn(move || {
        // The thread alone is somebody else from here on.
        let uid = Uid::from_raw(account);
        rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
        let mut stream = UnixStream::connect(path).unwrap();
        stream.write_all(question.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    asking.join().unwrap()
}

#[test]
fn the_one_who_sits_at_the_machine_answers_and_who_is_logged_in_from_elsewhere_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let public = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
    let server = Server::start(folder.path()).unwrap();
    let agent = Agent::new(folder.path(), "").unwrap().open_to_all(public.path());
    let mut agent = agent.with_in_place_of("/usr/bin/busctl", &busctl(&folder));
    let device = agent.enrol(&server).unwrap();
    let technician = server.technician(folder.path()).unwrap();
    until("the session", || Ok(agent.status()?.connected_since_ms)).unwrap();
    technician.says(&["ticket", "new", "it is slow", "--device", &device]).unwrap();
    let mut command = technician.command().unwrap();
    command.args(["--json", "capture", &device, "--ticket", "1", "--interface", "lo", "--seconds", "1s"]);
    let capturing = command.stdout(Stdio::piped()).spawn().unwrap();
    let request = until("a request", || {
        let pending: Json = serde_json::from_slice(&says(HERE, &public, &["consent", "--json"]).stdout)?;
        Ok(pending.get(0).map(|pending| pending["request"].to_string()))
    })
    .unwrap();
    for words in [&["consent"][..], &["consent", "approve", &request], &["consent", "refuse", &request]] {
        let said = refused(&says(AWAY, &public, words));
        assert!(said.contains("session 5 came over the network from 198.51.100.7"), "{said}");
    }
    let said = refused(&says(HERE + 2, &public, &["consent", "approve", &request]));
    assert!(said.contains("is not logged in at this machine"), "{said}");
    for question in ["status", "reconnect", "approve", "approve x", "", &"approve 1".repeat(6)] {
        let said = asked(HERE, &public, question);
        assert!(said.contains("this may be asked by root and the agent's own user alone"), "{question}: {said}");
    }
    let approved = says(HERE, &public, &["consent", "approve", &request]);
    assert!(approved.status.success(), "{}", refused(&approved));
    let ran = capturing.wait_with_output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    until("the answer in the custody", || {
        let custody = technician.json(&["ticket", "show", "1"])?.to_string();
        let line = custody.split("approved: capture").nth(1).unwrap_or_default();
        Ok(line.contains("; account person-").then_some(()))
    })
    .unwrap();
    assert!(agent.logged().contains("an answer was not taken"), "{}", agent.logged());
}
