//! `deskside login`: the token is tried before it is kept.

use std::io::Read;
use std::path::Path;

use data_encoding::HEXLOWER;
use deskside_proto::v1::{LogInRequest, WhoAmIRequest, login_step};
use deskside_proto::{invite, show};
use serde_json::json;

use super::screen::{self, Line, Screen};
use super::trouble::Trouble;
use super::{config, connect};

/// Longest token that is read.
const TOKEN_BYTES_MAX: u64 = 4096;

/// Keep the login that an administrator gave out.
#[derive(Debug, clap::Args)]
pub(super) struct Login {
    /// The token, `dsk1…`; without it, or with "-", it is read from standard input and stays out of the shell's history.
    token: Option<String>,
    /// By the identity provider, in a browser: the token is then the one that `deskside-server technician invite` prints for everybody, and may be
    /// left out where you were logged in before.
    #[arg(long)]
    oidc: bool,
}

impl Login {
    pub(super) async fn run(self, folder: &Path, screen: Screen) -> anyhow::Result<()> {
        if self.oidc {
            return self.by_provider(folder, screen).await;
        }
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

    async fn by_provider(&self, folder: &Path, screen: Screen) -> anyhow::Result<()> {
        let server = match &self.token {
            None => config::Login { expires_ms: None, ..config::read(folder)? },
            Some(_token) => {
                let invite = invite::read(&self.text()?)?;
                config::Login {
                    addresses: invite.addresses,
                    ca_sha256: HEXLOWER.encode(&invite.ca_sha256),
                    secret: HEXLOWER.encode(&invite.secret),
                    expires_ms: None,
                }
            }
        };
        let mut steps = connect::open(&server).await?.log_in(LogInRequest {}).await?.into_inner();
        while let Some(step) = steps.message().await? {
            match step.kind {
                Some(login_step::Kind::Code(code)) => {
                    let link = if code.whole_link.is_empty() { &code.link } else { &code.whole_link };
                    let line =
                        Line::default().plain("open ").bold(link).plain(" in a browser, and see that the code is ");
                    screen::note(line.bold(&code.code))?;
                }
                Some(login_step::Kind::Token(token)) => {
                    let login =
                        config::Login { secret: HEXLOWER.encode(&token.token), expires_ms: Some(0), ..server.clone() };
                    let path = config::write(folder, &login)?;
                    if screen.json {
                        let (name, role) = (token.name, token.role);
                        return Ok(screen.value(&json!({ "name": name, "role": role, "kept": path }))?);
                    }
                    let who = format!("logged in as {} ({})", token.name, token.role);
                    return Ok(screen.line(Line::default().good("✓ ").plain(who))?);
                }
                None => {}
            }
        }
        Err(Trouble::new("the server ended the login", "try again").into())
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
