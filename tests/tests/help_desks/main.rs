//! Cases that come from help desks that a company already has, and evidence that gets back there: exactly once, in order, whatever happens.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod hostile;
mod request_tracker;

use std::fs;
use std::path::Path;
use std::time::Duration;

use deskside_tests::lab::process::{Agent, Server, Technician, until, until_for};
use serde_json::Value as Json;
use tempfile::TempDir;

/// How long evidence may take to appear on a loaded machine.
const LONG: Duration = Duration::from_mins(10);

/// A server with a help desk, an agent, and a technician.
struct Office {
    _server: Server,
    _agent: Agent,
    technician: Technician,
    device: String,
    _folder: TempDir,
}

impl Office {
    /// With these settings of the server; the words SECRET and TOKEN in them become files with the secrets.
    fn open(settings: &str, token: &str, secret: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = written(folder.path(), settings, token, secret);
        let server = Server::start_with(folder.path(), &settings).unwrap();
        let mut agent = Agent::new(folder.path(), "").unwrap();
        let device = agent.enrol(&server).unwrap();
        let technician = server.technician(folder.path()).unwrap();
        until("the session", || Ok(agent.status()?.connected_since_ms)).unwrap();
        Self { _server: server, _agent: agent, technician, device, _folder: folder }
    }

    /// The outbox, whatever its state.
    fn outbox(&self) -> Vec<Json> {
        let listed = self.technician.json(&["outbox", "list", "--all"]).unwrap();
        listed.as_array().cloned().unwrap_or_default()
    }

    /// Waits until nothing is left to be said.
    fn all_said(&self, entries: usize) {
        until_for(LONG, "the outbox to be empty", || {
            let all = self.outbox();
            Ok((all.len() >= entries && all.iter().all(|entry| entry["state"] == "done")).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error:#}: {:?}", self.outbox()));
    }
}

/// Writes the secrets to files, and their paths into the settings.
fn written(folder: &Path, settings: &str, token: &str, secret: &str) -> String {
    let mut settings = settings.to_owned();
    for (word, text) in [("TOKEN", token), ("SECRET", secret)] {
        let path = folder.join(word);
        fs::write(&path, text).unwrap();
        settings = settings.replace(word, &path.display().to_string());
    }
    settings
}
