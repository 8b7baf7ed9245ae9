//! What the one who works at a machine sees of technicians: what was taken, what waits, and a word on the desktop.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use deskside_tests::lab::process::{Agent, Server, until};
use serde_json::Value as Json;

/// A program that ends with the test.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A session bus: its address.
fn bus() -> (Started, String) {
    let mut command = Command::new("dbus-daemon");
    let daemon = command.args(["--session", "--nofork", "--print-address=1"]).stdout(Stdio::piped());
    let mut daemon = Started(daemon.spawn().unwrap());
    let mut address = String::new();
    BufReader::new(daemon.0.stdout.take().unwrap()).read_line(&mut address).unwrap();
    (daemon, address.trim().to_owned())
}

#[test]
fn what_was_taken_is_listed_with_who_asked_when_and_for_which_ticket() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).unwrap();
    let mut agent = Agent::new(folder.path(), "").unwrap();
    let device = agent.enrol(&server).unwrap();
    let technician = server.technician(folder.path()).unwrap();
    until("the session", || Ok(agent.status()?.connected_since_ms)).unwrap();
    assert!(agent.says(&["privacy"]).unwrap().contains("nothing was asked of this machine"));
    technician.says(&["ask", &device, "os"]).unwrap();
    technician.says(&["ticket", "new", "it is slow", "--device", &device]).unwrap();
    technician.says(&["collect", &device, "--ticket", "1", "--table", "boot", "--wait"]).unwrap();
    technician.says(&["sql", &device, "SELECT hostname FROM os"]).unwrap();
    let privacy: Json = serde_json::from_str(&agent.says(&["privacy", "--json"]).unwrap()).unwrap();
    let line = |kind: &str| {
        let lines = privacy["taken"].as_array().unwrap();
        lines.iter().find(|line| line["kind"] == kind).unwrap_or_else(|| panic!("{kind}: {privacy}")).clone()
    };
    assert_eq!((&line("look")["asked_by"], &line("look")["what"]), (&"anna".into(), &"os".into()));
    assert_eq!((&line("collection")["ticket"], &line("collection")["what"]), (&1.into(), &"boot".into()));
    assert_eq!(
        (&line("question")["asked_by"], &line("question")["what"]),
        (&"anna".into(), &"SELECT hostname FROM os".into())
    );
    let told = agent.says(&["privacy"]).unwrap();
    assert!(told.contains("anna, ticket 1: collection: boot"), "{told}");
    agent.stop().unwrap();
    agent.run().unwrap();
    let again: Json = serde_json::from_str(&agent.says(&["privacy", "--json"]).unwrap()).unwrap();
    assert_eq!(again["taken"], privacy["taken"], "it is in the record");
}

#[test]
fn the_desktop_is_told_of_a_request_and_the_person_answers_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).unwrap();
    let mut agent = Agent::new(folder.path(), "").unwrap();
    let device = agent.enrol(&server).unwrap();
    let technician = server.technician(folder.path()).unwrap();
    until("the session", || Ok(agent.status()?.connected_since_ms)).unwrap();
    technician.says(&["ticket", "new", "it is slow", "--device", &device]).unwrap();
    let (_daemon, address) = bus();
    let mut monitor = Command::new("dbus-monitor");
    monitor.args(["--address", &address, "interface='org.freedesktop.Notifications'"]);
    let mut monitor = Started(monitor.stdout(Stdio::piped()).spawn().unwrap());
    let mut heard = BufReader::new(monitor.0.stdout.take().unwrap()).lines();
    // The monitor tells of its own name first, and hears all from then on.
    heard.by_ref().find(|line| line.as_ref().unwrap().contains("NameLost")).unwrap().unwrap();
    let _watch = Started(agent.command().args(["privacy", "watch", "--bus", &address]).spawn().unwrap());
    let mut command = technician.command().unwrap();
    command.args(["--json", "capture", &device, "--ticket", "1", "--interface", "lo", "--seconds", "1s"]);
    let capturing = command.stdout(Stdio::piped()).spawn().unwrap();
    let words = heard.map(Result::unwrap).find(|line| line.contains("asks for ticket 1")).unwrap();
    assert!(words.contains("anna asks for ticket 1 to capture") && words.contains("lo"), "{words}");
    let privacy: Json = serde_json::from_str(&agent.says(&["privacy", "--json"]).unwrap()).unwrap();
    assert_eq!(privacy["pending"][0]["asked_by"], "anna");
    assert_eq!(privacy["taken"][0]["kind"], "capture");
    let request = privacy["pending"][0]["request"].to_string();
    assert!(agent.says(&["privacy"]).unwrap().contains("waits for your answer"));
    agent.says(&["privacy", "refuse", &request]).unwrap();
    let ran = capturing.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&ran.stdout).contains("refused it"), "{}", String::from_utf8_lossy(&ran.stdout));
}
