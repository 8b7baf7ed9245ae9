//! Who may come in by the identity provider, and what takes a second person.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// `[oidc]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Oidc {
    /// The provider, as its own tokens name it: "<https://id.example/realms/work>".
    pub issuer: String,
    /// Who this server is there.
    pub client_id: String,
    /// A file with the client's secret; without, it is a public client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// A file with the certificates to trust, in the place of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// What is asked for beside "openid".
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// The claim that names the person.
    #[serde(default = "name_claim")]
    pub name_claim: String,
    /// The claim that lists their groups.
    #[serde(default = "groups_claim")]
    pub groups_claim: String,
    /// The role of each group; of several the highest counts, and who is in none is not let in.
    pub roles: BTreeMap<String, String>,
    /// Minutes until the provider is asked again whether a session goes on.
    #[serde(default = "session_minutes")]
    pub session_minutes: u32,
}

fn scopes() -> Vec<String> {
    ["profile", "email", "offline_access"].map(str::to_owned).into()
}

fn name_claim() -> String {
    "preferred_username".into()
}

fn groups_claim() -> String {
    "groups".into()
}

fn session_minutes() -> u32 {
    60
}

/// What takes a second technician, besides the consent of the person at the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct FourEyes {
    /// Packets are captured.
    pub capture: bool,
    /// What a person wrote or looked at is shown, where it was kept.
    pub content: bool,
}

impl Oidc {
    pub(super) fn check(&self) -> Result<()> {
        ensure!(!self.roles.is_empty(), "oidc.roles gives no group a role; nobody could log in");
        for (group, role) in &self.roles {
            let known = ["viewer", "technician", "admin"].contains(&role.as_str());
            ensure!(known, "oidc.roles: {group} has the role {role:?}; there are viewer, technician and admin");
        }
        ensure!(!self.client_id.is_empty(), "oidc.client_id is empty");
        let is_url = self.issuer.starts_with("https://") || self.issuer.starts_with("http://127.0.0.1");
        ensure!(is_url, "oidc.issuer must begin with https://");
        ensure!((1..=1_440).contains(&self.session_minutes), "oidc.session_minutes must be from 1 to 1440");
        Ok(())
    }
}
