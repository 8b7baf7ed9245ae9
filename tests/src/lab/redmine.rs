//! The real Redmine 5 on SQLite, an instance of its own with one project that is not public and the group L2.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::process::until_for;
use super::request_tracker::free_address;
use crate::house::said;
use crate::running::Running;

/// How long it may take to be ready.
const READY_MAX: Duration = Duration::from_secs(600);

/// The key of its administrator.
pub const KEY: &str = "0123456789abcdef0123456789abcdef01234567";

/// What an administrator would set by hand: the interface for programs, and a key.
const SETTINGS: &str = "insert into settings (name, value) values ('rest_api_enabled', '1'), ('notified_events', '--- []');
update users set must_change_passwd = 0 where login = 'admin';
insert into tokens (user_id, action, value, created_on, updated_on) select id, 'api', 'KEY', datetime('now'), datetime('now')
from users where login = 'admin';";

/// A Redmine. It ends with the one who holds it.
#[derive(Debug)]
pub struct Redmine {
    folder: TempDir,
    instance: String,
    address: SocketAddr,
    process: Option<Running>,
}

impl Redmine {
    /// Makes its database and starts it.
    pub fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let instance = format!("deskside-test-{}", std::process::id());
        let mut redmine = Self { folder, instance, address: free_address()?, process: None };
        for name in ["etc", "var/tmp/pdf", "var/tmp/cache", "var/log", "var/files", "var/plugins", "var/public"] {
            fs::create_dir_all(redmine.path(name))?;
        }
        let database = redmine.path("db.sqlite3");
        let settings =
            format!("production:\n  adapter: sqlite3\n  database: {}\n  timeout: 20000\n", database.display());
        fs::write(redmine.path("etc/database.yml"), settings)?;
        fs::write(redmine.path("etc/secret_key.txt"), "ab".repeat(20))?;
        symlink(redmine.path("etc"), redmine.path("var/config"))?;
        for (place, target) in redmine.places().into_iter().zip(["etc", "var"]) {
            symlink(redmine.path(target), &place).with_context(|| format!("making {}", place.display()))?;
        }
        for task in ["db:migrate", "redmine:load_default_data"] {
            said(redmine.bundle().args(["rake", task]))?;
        }
        said(Command::new("sqlite3").arg(&database).arg(SETTINGS.replace("KEY", KEY)))?;
        redmine.resume()?;
        let project = json!({ "project": {
            "name": "Help", "identifier": "help", "is_public": false, "enabled_module_names": ["issue_tracking"],
        }});
        redmine.ask("POST", "projects.json", Some(&project))?;
        Ok(redmine)
    }

    /// Starts it, where it was before.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        let mut command = self.bundle();
        command.args(["thin", "-e", "production", "-a", &self.address.ip().to_string()]);
        command.args(["-p", &self.address.port().to_string(), "start"]);
        let mut process = Running::start(command, &self.path("log"))?;
        until_for(READY_MAX, "Redmine to answer", || {
            process.must_live().context("Redmine")?;
            Ok(self.ask("GET", "users/current.json", None).ok())
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Ends it.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.process.take().context("it does not run")?.kill()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new issue; its number.
    pub fn issue(&self, title: &str, text: &str) -> anyhow::Result<String> {
        let body = json!({ "issue": { "project_id": "help", "tracker_id": 1, "subject": title, "description": text } });
        Ok(self.ask("POST", "issues.json", Some(&body))?["issue"]["id"].to_string())
    }

    /// Hands an issue on: it is "In Progress" from here.
    pub fn escalate(&self, issue: &str) -> anyhow::Result<()> {
        self.ask("PUT", &format!("issues/{issue}.json"), Some(&json!({ "issue": { "status_id": 2 } }))).map(drop)
    }

    /// The notes of an issue with their words, oldest first, each with whether it is private; and how many files the issue has.
    pub fn notes(&self, issue: &str) -> anyhow::Result<(Vec<(String, bool)>, usize)> {
        let seen = self.ask("GET", &format!("issues/{issue}.json?include=journals,attachments"), None)?;
        let journals = seen["issue"]["journals"].as_array().cloned().unwrap_or_default();
        let note = |journal: &Json| {
            (journal["notes"].as_str().unwrap_or_default().to_owned(), journal["private_notes"] == true)
        };
        let notes = journals.iter().map(note).filter(|(text, _private)| !text.is_empty()).collect();
        Ok((notes, seen["issue"]["attachments"].as_array().map_or(0, Vec::len)))
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Json>) -> anyhow::Result<Json> {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail-with-body", "-m", "60", "-H", &format!("X-Redmine-API-Key: {KEY}"), "-X", method]);
        if let Some(body) = body {
            curl.args(["-H", "Content-Type: application/json", "-d", &body.to_string()]);
        }
        let answer = said(curl.arg(format!("http://{}/{path}", self.address)))?;
        if answer.trim().is_empty() { Ok(Json::Null) } else { Ok(serde_json::from_str(&answer)?) }
    }

    fn bundle(&self) -> Command {
        let mut command = Command::new("bundle");
        command.arg("exec").current_dir("/usr/share/redmine");
        command.env("REDMINE_INSTANCE", &self.instance).env("RAILS_ENV", "production").env("REDMINE_LANG", "en");
        // Its own schema must not be written beside the program.
        command.env("SCHEMA", "/dev/null");
        command
    }

    /// Where the package looks for an instance.
    fn places(&self) -> [PathBuf; 2] {
        ["/etc/redmine", "/var/lib/redmine"].map(|place| Path::new(place).join(&self.instance))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Redmine {
    fn drop(&mut self) {
        drop(self.process.take());
        for place in self.places() {
            drop(fs::remove_file(place));
        }
    }
}
