//! The probes of services (names, TLS, pages, portals) in a town whose services are right and wrong.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use deskside_tests::lab::process::{program, until};
use deskside_tests::lab::tls::{Authority, Valid};
use deskside_tests::lab::town::resolver::{Answers, Manners};
use deskside_tests::lab::town::{self, Town};
use serde_json::Value as Json;

mod portals;
mod proxies;

const NAME: &str = "server.town.example";

/// The verdict of a probe: outcome, problem, sentence.
fn verdict(town: &Town, words: &[&str]) -> (String, String, String) {
    verdict_of(town.desk.command(program("deskside-agent").unwrap()), words)
}

/// The same of an agent that is about to be started.
fn verdict_of(mut command: Command, words: &[&str]) -> (String, String, String) {
    let state = tempfile::tempdir().unwrap();
    command.arg("--state").arg(state.path()).args(["--config", "/nonexistent", "probe"]).args(words).arg("--json");
    let ran = command.output().unwrap();
    let readings: Json =
        serde_json::from_slice(&ran.stdout).unwrap_or_else(|_none| panic!("{}", String::from_utf8_lossy(&ran.stderr)));
    let last = readings[0]["rows"].as_array().and_then(|rows| rows.last().cloned()).unwrap_or_default();
    let text = |column: &str| last[column].as_str().unwrap_or_default().to_owned();
    (text("outcome"), text("problem"), text("found"))
}

fn finds(town: &Town, words: &[&str], problem: &str, said: &str) {
    // On a busy machine the town's name server is slow indeed, which is true to say and not what is tested here.
    let told = until("a verdict in no hurry", || {
        let told = verdict(town, words);
        Ok((told.1 != "slow" || problem == "slow").then_some(told))
    });
    let (outcome, found, sentence) = told.unwrap();
    let expected = if problem.is_empty() { "ok" } else { "failed" };
    assert_eq!((outcome.as_str(), found.as_str()), (expected, problem), "{words:?}: {sentence}");
    assert!(sentence.contains(said), "{words:?}: {sentence:?} lacks {said:?}");
}

#[test]
fn name_servers_that_are_right_slow_silent_and_lying_are_told_apart() {
    let mut town = Town::new().unwrap();
    finds(&town, &["dns", NAME], "", "resolving names works");
    town.resolver.behave(Manners { silent_over_tcp: true, ..Manners::default() });
    finds(&town, &["dns", NAME], "", "not all do over TCP");
    town.resolver.behave(Manners { delay: Duration::from_millis(300), ..Manners::default() });
    finds(&town, &["dns", NAME], "slow", "answers slowly");
    town.resolver.behave(Manners { silent: true, ..Manners::default() });
    finds(&town, &["dns", NAME], "dead", "The only name server, 192.0.2.1, does not answer: no answer in time.");
    town.resolver.behave(Manners::default());
    town.desk.name_servers(&["192.0.2.1", "192.0.2.77"]).unwrap();
    finds(&town, &["dns", NAME], "dead-server", "192.0.2.77 does not answer");
    town.desk.name_servers(&["192.0.2.1"]).unwrap();
    town.answers(Answers::Everywhere(town::ROUTER)).unwrap();
    finds(&town, &["dns", NAME], "hijacked", "answers for names that nobody has");
    town.answers(Answers::NoSuchName).unwrap();
    finds(&town, &["dns", NAME], "missing", "There is no name server.town.example");
}

#[test]
fn certificates_are_right_ended_for_another_name_and_of_somebody_unknown() {
    let town = Town::new().unwrap();
    let (own, other) = (Authority::new("Town CA").unwrap(), Authority::new("Inspecting proxy").unwrap());
    town.desk.settings_file("ssl/certs/ca-certificates.crt", &own.pem).unwrap();
    let at = SocketAddr::new(town::SERVER, 443);
    let test = |ca: &Authority, name: &str, valid: Valid, problem: &str, said: &str| {
        let _serving = ca.serve(&town.server, at, name, valid, "").unwrap();
        finds(&town, &["tls", "203.0.113.2:443", NAME], problem, said);
    };
    test(&own, NAME, Valid::Long, "", "TLS with 203.0.113.2:443 works: TLS 1.3");
    test(&own, NAME, Valid::Ended, "expired", "its certificate ended on 2021-03-04");
    test(&own, "other.example", Valid::Long, "wrong-name", "its certificate is for other.example");
    test(&other, NAME, Valid::Long, "unknown-issuer", "does not trust CN=Inspecting proxy");
    finds(&town, &["tls", "203.0.113.2:443"], "unreachable", "connection refused");
}

#[test]
fn pages_and_portals_are_told_apart() {
    let town = Town::new().unwrap();
    let own = Authority::new("Town CA").unwrap();
    town.desk.settings_file("ssl/certs/ca-certificates.crt", &own.pem).unwrap();
    let at = SocketAddr::new(town::SERVER, 443);
    let serving = own.serve(&town.server, at, NAME, Valid::Long, "hello").unwrap();
    finds(&town, &["http", "https://server.town.example/"], "", "works (answers 200, ");
    drop(serving);
    finds(&town, &["http", "https://server.town.example/"], "unreachable", "does not work");
    town.captive().unwrap();
    finds(&town, &["captive", "http://203.0.113.2/"], "portal", "at http://portal.town.example:8080/login");
}
