//! The real Request Tracker 5 on SQLite, in a folder of its own: a queue L2, a custom field Device, and the Scrip that is shipped.

#![allow(clippy::indexing_slicing, reason = "a JSON value that has no such place is null")]

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::process::until_for;
use crate::house::said;
use crate::running::Running;

/// How long it may take to be ready.
const READY_MAX: Duration = Duration::from_mins(5);

/// What is in the database beside what RT begins with.
const DATA: &str = "our @Queues = ({ Name => 'L2' });
our @CustomFields = (
    { Name => 'Device', Type => 'FreeformSingle', LookupType => 'RT::Queue-RT::Ticket', Queue => ['General', 'L2'] },
    { Name => 'Case', Type => 'FreeformSingle', LookupType => 'RT::Queue-RT::Ticket', Queue => ['General', 'L2'] },
);
";

/// A comment: its text, and the names and sizes of its files.
pub type Comment = (String, Vec<(String, u64)>);

/// The password of its first user, root.
pub const PASSWORD: &str = "password";

/// A Request Tracker. It ends with the one who holds it.
#[derive(Debug)]
pub struct RequestTracker {
    folder: TempDir,
    address: SocketAddr,
    process: Option<Running>,
}

/// A port that nobody has now.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl RequestTracker {
    /// Makes its database and starts it. Hooks go to this address, signed with this secret.
    pub fn start(hooks: Option<(&str, &str)>) -> anyhow::Result<Self> {
        let tracker = Self { folder: tempfile::tempdir()?, address: free_address()?, process: None };
        fs::create_dir(tracker.path("conf.d"))?;
        let (at, hooks) = (tracker.address, hooks.unwrap_or_default());
        let settings = format!(
            "Set($rtname, 'lab.example'); Set($Organization, 'lab.example');\nSet($WebDomain, '{}'); Set($WebPort, {});\n\
             Set($DatabaseType, 'SQLite'); Set($DatabaseName, '{}');\nSet($MailCommand, 'testfile');\n\
             Set($LogToSyslog, undef); Set($LogToSTDERR, 'warning');\nSet($WebSessionClass, 'Apache::Session::File');\n\
             Set($LogoURL, '');\nSet($DesksideHookURL, '{}'); Set($DesksideHookSecret, '{}');\n1;\n",
            at.ip(),
            at.port(),
            tracker.path("rt.db").display(),
            hooks.0,
            hooks.1,
        );
        fs::write(tracker.path("RT_SiteConfig.pm"), settings)?;
        tracker.database(&["--action", "init", "--dba-password", "x"])?;
        fs::write(tracker.path("data.pl"), DATA)?;
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/request-tracker/hook.pl");
        for data in [tracker.path("data.pl"), shipped] {
            tracker.database(&["--action", "insert", "--datafile", &data.display().to_string()])?;
        }
        let mut tracker = tracker;
        tracker.resume()?;
        Ok(tracker)
    }

    /// Starts it, where it was before.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        let mut command = self.command("/usr/share/request-tracker5/libexec/standalone_httpd");
        command.args(["--port", &self.address.port().to_string(), "--host", &self.address.ip().to_string()]);
        let mut process = Running::start(command, &self.path("log"))?;
        until_for(READY_MAX, "Request Tracker to answer", || {
            process.must_live().context("Request Tracker")?;
            Ok(self.ask("GET", "rt", None).ok())
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

    /// A new ticket in the queue General; its number.
    pub fn ticket(&self, title: &str, text: &str, device: &str) -> anyhow::Result<String> {
        let body = json!({
            "Queue": "General", "Subject": title, "Content": text, "ContentType": "text/plain",
            "Requestor": "eva@example.com", "CustomFields": { "Device": device },
        });
        let made = self.ask("POST", "ticket", Some(&body))?;
        Ok(made["id"].as_str().context("a new ticket has a number")?.to_owned())
    }

    /// Hands a ticket to level 2.
    pub fn escalate(&self, ticket: &str) -> anyhow::Result<()> {
        self.ask("PUT", &format!("ticket/{ticket}"), Some(&json!({ "Queue": "L2" }))).map(drop)
    }

    /// The comments of a ticket, oldest first: text, and names and sizes of files.
    pub fn comments(&self, ticket: &str) -> anyhow::Result<Vec<Comment>> {
        let history = self.ask("GET", &format!("ticket/{ticket}/history?fields=Type&per_page=100"), None)?;
        let items = history["items"].as_array().cloned().unwrap_or_default();
        let mut comments = Vec::new();
        for item in items.iter().filter(|item| item["Type"] == "Comment") {
            let id = item["id"].as_str().context("a transaction has a number")?;
            let fields = "fields=Filename,ContentType,ContentLength,Content&per_page=100";
            let parts = self.ask("GET", &format!("transaction/{id}/attachments?{fields}"), None)?;
            let (mut text, mut files) = (String::new(), Vec::new());
            for part in parts["items"].as_array().into_iter().flatten() {
                let word = |key: &str| part[key].as_str().unwrap_or_default().to_owned();
                if !word("Filename").is_empty() {
                    files.push((word("Filename"), word("ContentLength").parse()?));
                } else if word("ContentType") == "text/plain" {
                    text = word("Content");
                }
            }
            comments.push((text, files));
        }
        Ok(comments)
    }

    /// The value of a custom field of a ticket.
    pub fn field(&self, ticket: &str, name: &str) -> anyhow::Result<String> {
        let seen = self.ask("GET", &format!("ticket/{ticket}"), None)?;
        let fields = seen["CustomFields"].as_array().cloned().unwrap_or_default();
        let field = fields.iter().find(|field| field["name"] == name);
        Ok(field.and_then(|field| field["values"][0].as_str()).unwrap_or_default().to_owned())
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Json>) -> anyhow::Result<Json> {
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "--globoff",
            "--fail-with-body",
            "-m",
            "60",
            "-u",
            &format!("root:{PASSWORD}"),
            "-X",
            method,
        ]);
        if let Some(body) = body {
            curl.args(["-H", "Content-Type: application/json", "-d", &body.to_string()]);
        }
        let answer = said(curl.arg(format!("http://{}/REST/2.0/{path}", self.address)))?;
        Ok(serde_json::from_str(&answer)?)
    }

    fn database(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let ran = self.command("/usr/sbin/rt-setup-database-5").args(arguments).stdin(Stdio::null()).output()?;
        let told = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        ensure!(ran.status.success(), "rt-setup-database-5 {arguments:?}: {told}");
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("RT_SITE_CONFIG", self.path("RT_SiteConfig.pm")).env("RT_SITE_CONFIG_DIR", self.path("conf.d"));
        command.env("TMPDIR", self.folder.path()).current_dir(self.folder.path());
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
