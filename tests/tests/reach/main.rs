//! The town, in which networks are broken on purpose, and what the probes of reach say of each of its faults.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::net::TcpListener;
use std::process::{Command, Stdio};

use deskside_tests::lab::process::Agent;
use deskside_tests::lab::town::Town;
use serde_json::Value as Json;

mod asked;
mod connections;
mod loss;
mod sizes;
mod town;
mod ways;

/// Where the server listens.
const PORT: u16 = 443;

fn listen(town: &Town) -> TcpListener {
    town.server.within(|| TcpListener::bind(("::", PORT))).unwrap().unwrap()
}

/// What the agent's own command line said.
struct Tested {
    rows: Vec<Json>,
    fine: bool,
}

impl Tested {
    fn of(command: &mut Command) -> Self {
        let ran = command.stdin(Stdio::null()).output().unwrap();
        let readings: Json = serde_json::from_slice(&ran.stdout).unwrap_or_default();
        let rows = readings[0]["rows"].as_array().cloned().unwrap_or_default();
        assert!(!rows.is_empty(), "{readings:#} {}", String::from_utf8_lossy(&ran.stderr));
        Self { rows, fine: ran.status.success() }
    }

    fn verdict(&self) -> &Json {
        let last = self.rows.last().unwrap();
        assert_eq!(last["step"], "verdict", "{last:#}");
        last
    }

    fn sentence(&self) -> &str {
        self.verdict()["found"].as_str().unwrap()
    }

    /// The one row of a step.
    fn row(&self, step: &str) -> &Json {
        self.rows.iter().find(|row| row["step"] == step).unwrap_or_else(|| panic!("no {step}: {:#?}", self.rows))
    }

    fn number(&self, step: &str, column: &str) -> f64 {
        self.row(step)[column].as_f64().unwrap_or_else(|| panic!("no {column}: {:#}", self.row(step)))
    }

    fn must_be_fine(&self) -> &Self {
        assert!(self.fine && self.verdict()["outcome"] == "ok", "{:#?}", self.rows);
        self
    }

    fn must_fail(&self) -> &Self {
        assert!(!self.fine && self.verdict()["outcome"] == "failed", "{:#?}", self.rows);
        self
    }
}

/// Runs a probe at the workstation of a town, as a person there would.
fn probe(town: &Town, words: &[&str]) -> Tested {
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::new(folder.path(), "").unwrap().inside(town.desk.name());
    Tested::of(agent.command().arg("probe").args(words).arg("--json"))
}
