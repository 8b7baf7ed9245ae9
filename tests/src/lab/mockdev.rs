//! Another machine's devices under /sys, for the agent alone: umockdev lays them out as the kernel does, with its links.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Context, ensure};
use data_encoding::HEXUPPER;
use serde_json::Value;

use super::process::program;

/// The devices, in umockdev's own words.
#[derive(Clone, Debug, Default)]
pub struct Machine(String);

impl Machine {
    /// One more device, by its place below /sys. Attributes are lines; a link stands with a name that begins with "->".
    #[must_use]
    pub fn with(mut self, place: &str, subsystem: &str, attributes: &[(&str, &str)]) -> Self {
        let mut text = format!("P: {place}\nE: SUBSYSTEM={subsystem}\n");
        for (name, value) in attributes {
            let written = match name.strip_prefix("->") {
                Some(link) => writeln!(text, "L: {link}={value}"),
                None => writeln!(text, "A: {name}={value}\\n"),
            };
            written.expect("a text takes all that is written to it");
        }
        self.0.push_str(&text);
        self.0.push('\n');
        self
    }

    /// Gives the last device an attribute of bytes.
    #[must_use]
    pub fn with_bytes(mut self, name: &str, bytes: &[u8]) -> Self {
        let end = self.0.trim_end().len();
        self.0.truncate(end);
        write!(self.0, "\nH: {name}={}\n\n", HEXUPPER.encode(bytes)).expect("a text takes all that is written to it");
        self
    }

    /// What the agent says of these tables at the machine: `{"fans": {"outcome": …, "reason": …, "rows": […]}}`.
    pub fn look(&self, tables: &[&str]) -> anyhow::Result<Value> {
        let folder = tempfile::tempdir().context("making a folder")?;
        let devices = folder.path().join("machine.umockdev");
        fs::write(&devices, &self.0).context("writing the devices")?;
        let ran = Command::new("umockdev-run")
            .arg("--device")
            .arg(&devices)
            .arg("--")
            .arg(program("deskside-agent")?)
            .args(["collect", "--json", "--config"])
            .arg(folder.path().join("none.toml"))
            .arg("--state")
            .arg(folder.path().join("state"))
            .args(tables)
            .output()
            .context("starting umockdev-run; install umockdev")?;
        let complaint = String::from_utf8_lossy(&ran.stderr);
        ensure!(ran.status.success(), "umockdev-run: {}: {}", ran.status, complaint.trim());
        let readings: Vec<Value> = serde_json::from_slice(&ran.stdout).context("reading what the agent printed")?;
        let table = |reading: &Value| reading.get("table").and_then(Value::as_str).unwrap_or_default().to_owned();
        let named = readings.into_iter().map(|reading| (table(&reading), reading));
        Ok(Value::Object(named.collect()))
    }
}
