//! What a technician types to ask in SQL where no machine answers by itself: a ticket's evidence, many machines at once, what two of them differ
//! in, and a machine that is off, for which the question is kept.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::Path;

use deskside_tests::lab::process::{Agent, Server, Technician, until};
use serde_json::Value as Json;

/// A server with so many machines that are connected and known, a technician, and the ticket 1 of the first machine.
fn open(folder: &Path, machines: usize) -> (Server, Vec<(Agent, String)>, Technician) {
    let server = Server::start(folder).unwrap();
    let desk = server.technician(folder).unwrap();
    let mut agents = Vec::new();
    for number in 0..machines {
        let own = folder.join(number.to_string());
        std::fs::create_dir(&own).unwrap();
        let mut agent = Agent::new(&own, "").unwrap();
        let device = agent.enrol(&server).unwrap();
        agents.push((agent, device));
    }
    for (_agent, device) in &agents {
        connected(&desk, device, true);
        until("the first looks to be known", || {
            let known = desk.json(&["device", device])?;
            let tables = known["tables"].as_array().cloned().unwrap_or_default();
            let has = |name: &str| tables.iter().any(|table| table["table"] == name);
            Ok((has("os") && has("filesystems")).then_some(()))
        })
        .unwrap();
    }
    desk.says(&["ticket", "new", "cannot print", "--device", &agents[0].1]).unwrap();
    (server, agents, desk)
}

fn connected(desk: &Technician, device: &str, wanted: bool) {
    until("the device to come or go", || {
        let devices = desk.json(&["devices"])?;
        let all = devices.as_array().cloned().unwrap_or_default();
        Ok(all.iter().any(|one| one["id"] == device && one["connected"] == wanted).then_some(()))
    })
    .unwrap();
}

/// The kept questions, those that have ended too, once they are as wanted.
fn kept(desk: &Technician, wanted: impl Fn(&[Json]) -> bool) -> Vec<Json> {
    until("the kept questions to be as wanted", || {
        let all = desk.json(&["questions", "list", "--all"])?;
        Ok(all.as_array().cloned().filter(|all| wanted(all)))
    })
    .unwrap()
}

fn named<'a>(all: &'a [Json], sql: &str) -> &'a Json {
    all.iter().find(|question| question["sql"] == sql).unwrap()
}

fn says_of(answer: &Json, words: &str) -> bool {
    answer["notes"].as_array().unwrap().iter().any(|note| note.to_string().contains(words))
}

#[test]
fn the_evidence_of_a_ticket_is_asked_and_what_it_does_not_hold_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, agents, desk) = open(folder.path(), 1);
    let device = &agents[0].1;
    let none = desk.json(&["sql", "--case", "1", "SELECT hostname FROM os"]).unwrap();
    assert_eq!(none["complete"], false, "{none:#}");
    desk.says(&["collect", device, "--ticket", "1", "--table", "os", "--wait"]).unwrap();
    let live = desk.json(&["sql", device, "SELECT hostname, kernel FROM os"]).unwrap();
    let held = desk.json(&["sql", "--case", "1", "SELECT hostname, kernel FROM os"]).unwrap();
    assert_eq!(held["rows"], live["rows"], "{held:#}");
    let printers = desk.json(&["sql", "--case", "1", "SELECT name FROM printers"]).unwrap();
    assert_eq!((printers["row_count"].as_u64(), &printers["complete"]), (Some(0), &false.into()), "{printers:#}");
    let unknown = desk.says(&["sql", "--case", "7", "SELECT 1"]).unwrap_err().to_string();
    assert!(unknown.contains('7'), "{unknown}");
}

#[test]
fn all_machines_are_asked_at_once_and_the_one_that_is_off_is_named_with_why() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, mut agents, desk) = open(folder.path(), 2);
    let ask = |words: &[&str]| desk.json(&[&["sql", "--fleet"], words].concat()).unwrap();
    let both = ask(&["--live", "SELECT hostname FROM os"]);
    assert_eq!((both["row_count"].as_u64(), &both["complete"]), (Some(2), &true.into()), "{both:#}");
    let (agent, device) = agents.last_mut().unwrap();
    agent.stop().unwrap();
    connected(&desk, device, false);
    let one = ask(&["--live", "SELECT hostname FROM os"]);
    assert_eq!((one["row_count"].as_u64(), &one["complete"]), (Some(1), &false.into()), "{one:#}");
    assert!(says_of(&one, "is off or cannot be reached since"), "{one:#}");
    let text = desk.says(&["sql", "--fleet", "--live", "SELECT hostname FROM os"]).unwrap();
    assert!(text.contains("1 device answered, with reserve") && text.contains("is off or cannot be reached"), "{text}");
    let known = ask(&["SELECT hostname FROM os"]);
    assert_eq!(known["row_count"].as_u64(), Some(2), "what was last known of it is told: {known:#}");
}

#[test]
fn a_question_for_a_machine_that_is_off_is_kept_over_a_restart_and_answered_on_the_ticket_or_called_off() {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, mut agents, desk) = open(folder.path(), 1);
    let (mut agent, device) = agents.remove(0);
    agent.stop().unwrap();
    connected(&desk, &device, false);
    let keep = |sql: &str| desk.json(&["sql", &device, "--ticket", "1", "--when-back", sql]).unwrap();
    let (wanted, unwanted) = ("SELECT hostname, kernel FROM os", "SELECT mount_point FROM filesystems");
    let now = keep(wanted);
    assert!(now["row_count"] == 1 && says_of(&now, "is kept as"), "it is answered at once as last known: {now:#}");
    let id = now["question"].as_str().unwrap().to_owned();
    keep(unwanted);
    let listed = desk.says(&["questions", "list", "--ticket", "1"]).unwrap();
    assert!(listed.contains("waiting") && listed.contains(wanted) && listed.contains(&id[..8]), "{listed}");
    let waiting = desk.json(&["questions", "list"]).unwrap();
    let other = named(waiting.as_array().unwrap(), unwanted)["id"].as_str().unwrap().to_owned();
    let cancelled = desk.json(&["questions", "cancel", &other]).unwrap();
    assert_eq!(cancelled["state"], "cancelled", "{cancelled:#}");
    assert!(desk.says(&["questions", "cancel", &other]).is_err(), "it has ended");
    server.stop().unwrap();
    server.resume().unwrap();
    assert_eq!(named(&kept(&desk, |all| all.len() == 2), wanted)["state"], "waiting");
    agent.run().unwrap();
    let ended = kept(&desk, |all| named(all, wanted)["state"] != "waiting");
    let (answered, cancelled) = (named(&ended, wanted), named(&ended, unwanted));
    assert_eq!((answered["state"].as_str(), cancelled["state"].as_str()), (Some("answered"), Some("cancelled")));
    let case = desk.says(&["ticket", "show", "1"]).unwrap();
    assert!(case.contains(&format!("answered 1 rows to: {wanted}")), "{case}");
    let evidence = desk.json(&["evidence", "list", "--ticket", "1"]).unwrap();
    assert_eq!(evidence[0]["id"], answered["evidence_id"], "{evidence:#}");
    assert_eq!(desk.json(&["questions", "list"]).unwrap(), Json::Array(Vec::new()), "none waits any more");
}

#[test]
fn a_kept_question_whose_machine_does_not_come_back_in_time_is_given_up_and_the_ticket_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, mut agents, desk) = open(folder.path(), 1);
    let (mut agent, device) = agents.remove(0);
    agent.stop().unwrap();
    connected(&desk, &device, false);
    desk.says(&["sql", &device, "--ticket", "1", "--when-back", "SELECT hostname FROM os"]).unwrap();
    server.stop().unwrap();
    // Two weeks go by.
    let store = rusqlite::Connection::open(server.data().join("store.db")).unwrap();
    assert_eq!(store.execute("UPDATE question SET expires_ms = asked_ms", []).unwrap(), 1);
    drop(store);
    server.resume().unwrap();
    let ended = kept(&desk, |all| all[0]["state"] != "waiting");
    assert_eq!(ended[0]["state"], "expired", "{ended:#?}");
    let case = desk.says(&["ticket", "show", "1"]).unwrap();
    assert!(case.contains("its device did not come back in time"), "{case}");
}

#[test]
fn two_machines_are_compared_as_they_are_now_and_one_that_is_off_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, mut agents, desk) = open(folder.path(), 2);
    let (one, other) = (agents[0].1.clone(), agents[1].1.clone());
    let live = desk.json(&["diff", &one, &other, "--live"]).unwrap();
    assert!(live["alike"].as_u64() > Some(5), "both are this machine: {live:#}");
    let known = desk.json(&["diff", &one, &other]).unwrap();
    assert!(known["alike"].as_u64() > Some(2), "{known:#}");
    let (agent, device) = agents.last_mut().unwrap();
    agent.stop().unwrap();
    connected(&desk, device, false);
    let off = desk.says(&["diff", &one, &other, "--live"]).unwrap_err().to_string();
    assert!(off.contains("is off") || off.contains("not connected"), "{off}");
}
