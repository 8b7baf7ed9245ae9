//! `deskside login`: the token is tried before it is kept.

use std::io::Read;
use std::path::Path;

use data_encoding::HEXLOWER;
use deskside_proto::v1::WhoAmIRequest;
use deskside_proto::{invite, show};
use serde_json::json;

use super::screen::{Line, Screen};
use super::trouble::Trouble;
use super::{config, connect};

/// Longest token that is read.
const TOKEN_BYTES_MAX: u64 = 4096;

/// Keep the login that an administrator gave out.
#[derive(Debug, clap::Args)]
pub(super) struct Login {
    /// The token, `dsk1…`; without it, or with "-", it is read from standard input and stays out of the shell's history.
    token: Option<String>,
}

impl Login {
    pub(super) async fn run(self, folder: &Path, screen: Screen) -> anyhow::Result<()> {
        let invite = invite::read(&self.text()?).map_err(|error| {
            Trouble::new(error.to_string(), "ask an administrator for a new one if that does not help")
        })?;
        let login = config::Login {
            addresses: invite.addresses,
            ca_sha256: HEXLOWER.encode(&invite.ca_sha256),
            secret: HEXLOWER.encode(&invite.secret),
            expires_ms: None,
        };
        let me = connect::open(&login).await?.who_am_i(WhoAmIRequest {}).await?.into_inner();
        let login = config::Login { expires_ms: Some(me.expires_ms), ..login };
        let path = config::write(folder, &login)?;
        if screen.json {
            let (name, role, version) = (me.name, me.role, me.server_version);
            screen.value(&json!({ "name": name, "role": role, "server_version": version, "kept": path }))?;
            return Ok(());
        }
        let who = format!("logged in as {} ({}), server {}", me.name, me.role, me.server_version);
        screen.line(Line::default().good("✓ ").plain(who))?;
        if me.expires_ms != 0 {
            let until = show::time(me.expires_ms, screen.now_ms);
            screen.line(Line::default().dim(format!("the token is good until {until}")))?;
        }
        screen.line(Line::default().dim(format!("kept in {}; `deskside devices` is a good start", path.display())))?;
        Ok(())
    }

    fn text(&self) -> anyhow::Result<String> {
        if let Some(token) = self.token.as_deref().filter(|token| *token != "-") {
            return Ok(token.to_owned());
        }
        let mut text = String::new();
        std::io::stdin().take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    }
}
