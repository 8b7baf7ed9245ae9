//! The help desks that are configured: where each is, what it may be told, and what of it means "escalated".

use std::{collections::BTreeMap, collections::BTreeSet, net::SocketAddr, path::PathBuf};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Help desks of one server.
const HELP_DESKS_MAX: usize = 32;

/// Longest name.
const NAME_CHARS_MAX: usize = 32;

/// One help desk.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HelpDeskConfig {
    /// What it is called here: its tickets are "NAME:42". Lower-case letters, digits and hyphens.
    pub name: String,
    /// Which system it is.
    pub kind: String,
    /// Where it is.
    #[serde(default)]
    pub url: String,
    /// Who we are there, where the system wants a name besides the token.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The file that holds the token or password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// The file that holds the secret of its hooks; without one, hooks are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook_secret_file: Option<PathBuf>,
    /// Certificates (PEM) that vouch for it, in the place of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The URL may be unencrypted though it is not on this machine.
    #[serde(default)]
    pub plain_http: bool,
    /// Longest wait for an answer, seconds.
    #[serde(default = "timeout_s")]
    pub timeout_s: u32,
    /// Seconds between looks for escalated tickets; 0 for none, where hooks are enough.
    #[serde(default = "poll_s")]
    pub poll_s: u32,
    /// Queues, groups, projects, levels or states in which a ticket is escalated.
    #[serde(default)]
    pub escalated: Vec<String>,
    /// Custom fields that name the device, the most trusted first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_fields: Vec<String>,
    /// Whether the bundle itself is attached.
    #[serde(default)]
    pub attach: Attach,
    /// Largest bundle that is attached, bytes; the system's own bound holds besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach_bytes_max: Option<u64>,
    /// Where a person opens a case, with {case} for its number; notes name the command line besides.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub link: String,
    /// Fields that are set once evidence is there; {case}, {device} and {link} stand for those of the case.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// What this kind alone knows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

impl Default for HelpDeskConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            kind: String::new(),
            url: String::new(),
            user: String::new(),
            token_file: None,
            hook_secret_file: None,
            ca_file: None,
            plain_http: false,
            timeout_s: timeout_s(),
            poll_s: poll_s(),
            escalated: Vec::new(),
            device_fields: Vec::new(),
            attach: Attach::default(),
            attach_bytes_max: None,
            link: String::new(),
            fields: BTreeMap::new(),
            options: BTreeMap::new(),
        }
    }
}

fn timeout_s() -> u32 {
    30
}

fn poll_s() -> u32 {
    60
}

/// Whether a bundle is attached to the ticket there; its summary and SHA-256 are in the note in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum Attach {
    /// It stays on this server.
    #[default]
    #[serde(rename = "never")]
    Never,
    /// Where the system keeps files of internal notes to staff, and within its bound.
    #[serde(rename = "when private")]
    WhenPrivate,
}

/// Where help desks tell us that something happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HooksConfig {
    /// Where it listens, with TLS by this server's own certificate; absent for no hooks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// No TLS, for a proxy on this machine that has its own: the address must be a loopback one.
    pub plain: bool,
}

impl HooksConfig {
    pub(super) fn check(&self) -> Result<()> {
        let Some(listen) = self.listen.filter(|_listen| self.plain) else { return Ok(()) };
        ensure!(listen.ip().is_loopback(), "hooks.plain is for loopback addresses, and {listen} is none");
        Ok(())
    }
}

/// What can be said without asking any of them.
pub(super) fn check(desks: &[HelpDeskConfig]) -> Result<()> {
    ensure!(desks.len() <= HELP_DESKS_MAX, "{HELP_DESKS_MAX} help desks at most");
    let mut names = BTreeSet::new();
    for desk in desks {
        let name = &desk.name;
        let letters = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        ensure!(
            letters && (1..=NAME_CHARS_MAX).contains(&name.len()),
            "help_desk.name {name:?}: lower-case letters, digits and hyphens, {NAME_CHARS_MAX} at most"
        );
        ensure!(names.insert(name), "the help desk {name:?} is there twice");
        ensure!((1..=600).contains(&desk.timeout_s), "the help desk {name:?}: timeout_s must be from 1 to 600");
        ensure!(desk.poll_s <= 86_400, "the help desk {name:?}: poll_s must be 86400 at most");
    }
    Ok(())
}
