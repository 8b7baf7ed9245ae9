//! The server's configuration: a TOML file in which everything may be left out.

mod help_desks;
mod people;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use deskside_proto::v1::{CaptureConsent, LogEntries, LogFiles, Policy, ProbePolicy, Redaction, TablePolicy};
use prost::Message;
use serde::{Deserialize, Serialize};

pub use help_desks::{Attach, HelpDeskConfig, HooksConfig};
pub use people::{FourEyes, Oidc};

/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Longest that samples may wait at a device, in seconds; agents hold to it too.
const GATHER_S_MAX: u32 = 3_600;

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The agents' side.
    pub agents: Agents,
    /// The technicians' side.
    pub desk: Desk,
    /// Evidence at rest.
    pub evidence: Evidence,
    /// How much of what agents stream is kept, and how long what is sensitive.
    pub retention: Retention,
    /// What questions in SQL may show.
    pub questions: Questions,
    /// The identity provider of technicians.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oidc: Option<Oidc>,
    /// What takes a second technician.
    pub four_eyes: FourEyes,
    /// What agents look at and stream.
    pub policy: PolicyConfig,
    /// Where help desks tell us that something happened.
    pub hooks: HooksConfig,
    /// The help desks.
    #[serde(rename = "help_desk", skip_serializing_if = "Vec::is_empty")]
    pub help_desks: Vec<HelpDeskConfig>,
}

/// The agents' side.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Agents {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How agents reach it ("host:port", most likely first), for the tokens; empty for this host's name.
    pub addresses: Vec<String>,
    /// Days that a device's certificate is good; agents renew it long before.
    pub certificate_days: u32,
}

impl Default for Agents {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([0, 0, 0, 0], 8443)), addresses: Vec::new(), certificate_days: 30 }
    }
}

impl Agents {
    /// How long a device's certificate is good.
    pub fn certificate_lifetime(&self) -> Duration {
        Duration::from_hours(24) * self.certificate_days
    }
}

/// The technicians' side.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Desk {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How technicians reach it ("host:port", most likely first), for their logins; empty for this host's name.
    pub addresses: Vec<String>,
}

impl Default for Desk {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([0, 0, 0, 0], 8444)), addresses: Vec::new() }
    }
}

/// Evidence at rest.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evidence {
    /// The object store's URL; absent for a folder in the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Largest bundle that is taken in, bytes.
    pub bundle_bytes_max: u64,
    /// Largest file that a technician may attach to a ticket, bytes.
    pub attachment_bytes_max: u64,
}

impl Default for Evidence {
    fn default() -> Self {
        Self { url: None, bundle_bytes_max: 2 * 1024 * 1024 * 1024, attachment_bytes_max: 256 * 1024 * 1024 }
    }
}

/// How much of what agents stream is kept, and how long what is sensitive.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Days.
    pub days: u32,
    /// Bytes of compressed readings, of all devices.
    pub bytes_max: u64,
    /// The same of one device; beyond it, it loses its own oldest.
    pub device_bytes_max: u64,
    /// Days until captured packets are deleted: the bundle that holds them, as a whole. What it was stays in the custody.
    pub captures_days: u32,
    /// Days after a ticket was closed until its bundles are deleted.
    pub bundles_days: u32,
    /// Bundles of closed tickets that one device keeps, the newest ones; 0 for as many as there are.
    pub bundles_per_device_max: u32,
    /// Days after a ticket was closed until the files that were attached to it are deleted; 0 for never: they stay with the ticket.
    pub attached_days: u32,
    /// Tables that have bounds of their own.
    #[serde(rename = "table")]
    pub tables: Vec<TableRetention>,
}

impl Default for Retention {
    fn default() -> Self {
        let (gib, mib) = (1024 * 1024 * 1024, 1024 * 1024);
        Self {
            days: 90,
            bytes_max: 50 * gib,
            device_bytes_max: 512 * mib,
            captures_days: 7,
            bundles_days: 28,
            bundles_per_device_max: 10,
            attached_days: 0,
            tables: Vec::new(),
        }
    }
}

/// One table's bounds.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TableRetention {
    /// Its name.
    pub table: String,
    /// Days, in the place of those of all tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// Bytes of it of one device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_bytes_max: Option<u64>,
}

impl Retention {
    fn check(&self) -> Result<()> {
        ensure!(self.days > 0, "retention.days must be 1 at least");
        ensure!(
            (1..=3_650).contains(&self.captures_days),
            "retention.captures_days must be from 1 to 3650; [policy] captures = \"never\" is for no packets at all"
        );
        ensure!((1..=3_650).contains(&self.bundles_days), "retention.bundles_days must be from 1 to 3650");
        ensure!(self.attached_days <= 3_650, "retention.attached_days must be from 0 to 3650; 0 is for never");
        let mut named = BTreeSet::new();
        for line in &self.tables {
            ensure!(line.days != Some(0), "the retention of {} must be 1 day at least", line.table);
            ensure!(named.insert(&line.table), "the retention of {} is there twice", line.table);
        }
        Ok(())
    }
}

/// What questions in SQL may show to technicians and admins. To viewers they show neither, secrets to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Questions {
    /// What tells one person from another.
    pub personal: bool,
    /// What a person wrote or looked at, where it was kept by consent.
    pub content: bool,
}

impl Default for Questions {
    fn default() -> Self {
        Self { personal: true, content: true }
    }
}

/// What agents look at and stream.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// By table. A table that is not named keeps the agent's own default.
    pub tables: BTreeMap<String, TableLine>,
    /// What probes may reach besides what the machine is itself set up to use: "intranet.example", "*.example.com", "192.0.2.7",
    /// "10.1.0.0/16", each with ":port" where that port alone is meant; "*" is everything.
    pub targets: Vec<String>,
    /// Who must agree before packets are captured: "ask" the person at the machine, "given" beforehand, or "never".
    pub captures: Captures,
    /// Where the help desk is, as "host:port".
    pub help_desk: String,
    /// Probes that run by themselves. One that is not named keeps the agent's own default.
    pub probes: BTreeMap<String, ProbeLine>,
    /// What devices take out of all text besides secrets and people's names.
    pub redaction: RedactionLine,
    /// Log files that are followed besides those that devices' own settings name; these may forbid it.
    pub logs: Vec<LogLine>,
    /// Seconds that samples may wait in a device's memory before they are written to its disk and sent, so that the disk is seldom woken; absent
    /// for the agent's own default, 0 to write each at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gather_s: Option<u32>,
}

/// Log files of which one is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogLine {
    /// Whole paths; `*` stands for any part of a name, of folders too, and for no slash.
    pub files: Vec<String>,
    /// How lines make entries.
    pub entries: Entries,
    /// The time zone of times that name none, as the zone database calls it; the machine's own where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

impl LogLine {
    fn check(&self) -> Result<()> {
        ensure!(!self.files.is_empty(), "policy.logs: an entry names no files");
        for path in &self.files {
            let whole = path.starts_with('/') && !path.split('/').any(|part| part == "..");
            ensure!(whole, "policy.logs: {path:?} is no whole path: it begins with / and has no .. in it");
        }
        if let Some(zone) = &self.zone {
            jiff::tz::TimeZone::get(zone).with_context(|| format!("policy.logs: the time zone {zone:?}"))?;
        }
        Ok(())
    }

    fn told(&self) -> LogFiles {
        let entries = match self.entries {
            Entries::Traces => LogEntries::Unspecified,
            Entries::Lines => LogEntries::Lines,
            Entries::Timestamps => LogEntries::Timestamps,
        };
        let zone = self.zone.clone().unwrap_or_default();
        LogFiles { files: self.files.clone(), entries: entries.into(), zone }
    }
}

/// How lines of a log make entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Entries {
    /// Lines that are set in go on, and so do the stack traces of Java, Python and Go.
    #[default]
    Traces,
    /// Each line is one.
    Lines,
    /// A line that begins with a time begins an entry; all others go on.
    Timestamps,
}

/// What devices take out beyond the rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedactionLine {
    /// IP and hardware addresses become pseudonyms.
    pub addresses: bool,
    /// So does the machine's own name.
    pub hosts: bool,
    /// Devices keep a list of pseudonyms and whom they stand for; it never leaves them.
    pub mapping: bool,
}

/// Who must agree before packets are captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Captures {
    /// The person at the machine, each time.
    #[default]
    Ask,
    /// Nobody more.
    Given,
    /// Packets are never captured.
    Never,
}

/// How one probe runs by itself.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProbeLine {
    /// What is said to it.
    pub arguments: Vec<String>,
    /// Seconds between runs; 0 for the agent's default.
    pub every_s: u32,
    /// Do not run it.
    pub off: bool,
}

/// One table's line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableLine {
    /// Seconds between looks; 0 for the agent's default.
    pub every_s: u32,
    /// Do not look at all.
    pub off: bool,
    /// Keep it on the device and do not stream it.
    pub local: bool,
}

impl Config {
    /// Reads a file, or gives the defaults where none is named.
    pub fn read(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let named = || format!("the configuration {}", path.display());
        let size = std::fs::metadata(path).with_context(named)?.len();
        ensure!(size <= FILE_BYTES_MAX, "the configuration {} is larger than {FILE_BYTES_MAX} bytes", path.display());
        Self::parse(&std::fs::read_to_string(path).with_context(named)?).with_context(named)
    }

    /// Reads its text.
    pub fn parse(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text)?;
        ensure!(
            (1..=3_650).contains(&config.agents.certificate_days),
            "agents.certificate_days must be from 1 to 3650"
        );
        config.oidc.as_ref().map_or(Ok(()), Oidc::check)?;
        config.retention.check()?;
        config.hooks.check()?;
        help_desks::check(&config.help_desks)?;
        config.policy.logs.iter().try_for_each(LogLine::check)?;
        let gather_s = config.policy.gather_s.unwrap_or_default();
        ensure!(gather_s <= GATHER_S_MAX, "policy.gather_s must be from 0 to {GATHER_S_MAX}");
        for address in config.agents.addresses.iter().chain(&config.desk.addresses) {
            check_address(address)?;
        }
        Ok(config)
    }

    /// What a question shows without more ado. Why no content where that takes a second person: nobody sees it by themselves, not even in an
    /// answer that was kept.
    pub fn shown(&self) -> Questions {
        Questions { content: self.questions.content && !self.four_eyes.content, ..self.questions }
    }

    /// The policy as agents are told it; its version is a hash of it, so that it changes when the policy does.
    pub fn policy(&self) -> Policy {
        let tables: Vec<TablePolicy> = self
            .policy
            .tables
            .iter()
            .map(|(table, line)| TablePolicy {
                table: table.clone(),
                every_s: line.every_s,
                off: line.off,
                local: line.local,
            })
            .collect();
        let probes = self.policy.probes.iter().map(|(name, line)| ProbePolicy {
            name: name.clone(),
            arguments: line.arguments.clone(),
            every_s: line.every_s,
            off: line.off,
        });
        let captures = match self.policy.captures {
            Captures::Ask => CaptureConsent::Ask,
            Captures::Given => CaptureConsent::Given,
            Captures::Never => CaptureConsent::Never,
        };
        let policy = Policy {
            version: 0,
            tables,
            targets: self.policy.targets.clone(),
            captures: captures.into(),
            help_desk: self.policy.help_desk.clone(),
            probes: probes.collect(),
            redaction: Some(Redaction {
                addresses: self.policy.redaction.addresses,
                hosts: self.policy.redaction.hosts,
                mapping: self.policy.redaction.mapping,
            }),
            logs: self.policy.logs.iter().map(LogLine::told).collect(),
            issued_ms: 0,
            gather_s: self.policy.gather_s,
        };
        let bytes = policy.encode_to_vec();
        let version = bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        Policy { version, ..policy }
    }
}

/// Whether a text is "host:port".
pub fn check_address(address: &str) -> Result<()> {
    let port = address.rsplit_once(':').filter(|(host, _port)| !host.is_empty()).map(|(_host, port)| port);
    let is_port = port.and_then(|port| port.parse::<u16>().ok()).is_some_and(|port| port > 0);
    ensure!(is_port, "{address:?} is not an address: write host:port");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_at_all_is_a_configuration() {
        assert_eq!(Config::parse("").unwrap(), Config::default());
    }

    #[test]
    fn what_is_printed_reads_back() {
        let text = "[policy.tables.load]\nevery_s = 60\n[policy.tables.print_jobs]\noff = true\n";
        let config = Config::parse(text).unwrap();
        assert_eq!(Config::parse(&toml::to_string(&config).unwrap()).unwrap(), config);
        assert_eq!(config.policy().tables.len(), 2);
        assert_ne!(config.policy().version, Config::default().policy().version);
    }

    #[test]
    fn a_bad_line_is_named_with_its_place() {
        for (text, word) in [
            ("[agents]\nlistn = \"0.0.0.0:1\"\n", "line 2"),
            ("[retention]\ndays = \"many\"\n", "line 2"),
            ("[retention]\ndays = 0\n", "retention.days"),
            ("[[retention.table]]\ntable = \"boot\"\n[[retention.table]]\ntable = \"boot\"\n", "twice"),
            ("[agents]\ncertificate_days = 0\n", "certificate_days"),
            ("[retention]\ncaptures_days = 0\n", "captures_days"),
            ("[policy]\ngather_s = 3601\n", "policy.gather_s"),
            ("[retention]\nbundles_days = 0\n", "bundles_days"),
            ("[[policy.logs]]\nfiles = [\"app.log\"]\n", "whole path"),
            ("[[policy.logs]]\nfiles = [\"/opt/../etc/shadow\"]\n", "whole path"),
            ("[[policy.logs]]\nfiles = [\"/a\"]\nzone = \"Mars\"\n", "time zone"),
            ("[agents]\naddresses = [\"no port\"]\n", "host:port"),
            ("[[help_desk]]\nname = \"rt\"\nkind = \"rt\"\nurll = \"x\"\n", "line 4"),
            ("[[help_desk]]\nname = \"R T\"\nkind = \"rt\"\n", "lower-case"),
            ("[hooks]\nlisten = \"0.0.0.0:1\"\nplain = true\n", "loopback"),
            ("nonsense", "line 1"),
        ] {
            let error = format!("{:#}", Config::parse(text).unwrap_err());
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
