//! A queue that changes is looked at soon, by the real agent beside a real print server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::process::Command;

use deskside_agent::local::TableStatus;
use deskside_tests::lab::cups::Cups;
use deskside_tests::lab::process::{Agent, until};
use deskside_tests::running::Running;

/// The second look at an interval comes after half of it at the earliest; one that comes sooner was brought about by a change.
const SOON_MS: i64 = 15_000;

/// The agent where `/var/log/cups` is the log of a print server of our own: in a mount namespace, so that nobody else sees it so.
fn beside(cups: &Cups, agent: &Agent) -> Command {
    let own = agent.command();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]);
    command.arg("mount --bind \"$1\" /var/log/cups && shift && exec \"$@\"").arg("sh").arg(cups.folder().join("log"));
    command.arg(own.get_program()).args(own.get_args()).arg("run");
    command
}

fn looked(agent: &Agent) -> Option<TableStatus> {
    agent.status().ok().and_then(|mut status| status.tables.remove("print_jobs"))
}

#[test]
fn a_job_that_fails_is_seen_before_the_interval_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let cups = Cups::start().unwrap();
    cups.add_backend("stops", &["ERROR: lamp 4"], "exit 4").unwrap();
    let agent = Agent::new(folder.path(), &format!("print_server = \"{}\"", cups.socket().display())).unwrap();
    let running = Running::start(beside(&cups, &agent), &folder.path().join("agent.log")).unwrap();
    let first = until("the first look", || Ok(looked(&agent))).unwrap();
    assert_eq!((first.outcome.as_str(), first.rows), ("empty", 0), "{}", first.reason);

    cups.submit("stops", "a letter\n").unwrap();
    let second = until("the next look", || Ok(looked(&agent).filter(|look| look.at_ms > first.at_ms))).unwrap();
    assert_eq!((second.outcome.as_str(), second.rows), ("ok", 1), "{}", second.reason);
    assert!(second.at_ms - first.at_ms < SOON_MS, "{} ms after the first", second.at_ms - first.at_ms);
    running.stop().unwrap();
}
