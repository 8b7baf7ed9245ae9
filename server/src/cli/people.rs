//! Technicians, as an administrator keeps them from the command line.

use std::path::Path;

use data_encoding::HEXLOWER;
use deskside_proto::v1::{
    AddTechnicianRequest, Invite, ListTechniciansRequest, PersonalToken, RenewOwnTokenRequest, RenewTechnicianRequest,
    RevokeTechnicianRequest, Technician,
};
use deskside_proto::{invite, show};
use serde_json::{Value as Json, json};

use super::screen::{Line, Screen};
use super::{config, connect};

/// Who may come in: administrators add, list, renew and revoke.
#[derive(Debug, clap::Subcommand)]
pub(super) enum People {
    /// Everybody, with role, last use, and until when the token is good.
    List,
    /// Add somebody, or give them another role and token; prints what `deskside login` takes.
    Add {
        /// Name.
        name: String,
        /// viewer sees summaries and escalates; technician asks, collects and works on tickets; admin may everything.
        #[arg(long, default_value = "technician", value_parser = ["viewer", "technician", "admin"])]
        role: String,
        /// Days that the token is good.
        #[arg(long, default_value_t = 90)]
        days: u32,
    },
    /// A new token in the place of the one of before; without a name your own, which is kept here at once.
    Renew {
        /// Name.
        name: Option<String>,
        /// Days that the token is good.
        #[arg(long, default_value_t = 90)]
        days: u32,
    },
    /// Let somebody in no more; what they have open ends.
    Revoke {
        /// Name.
        name: String,
    },
}

impl People {
    pub(super) async fn run(self, folder: &Path, screen: Screen) -> anyhow::Result<()> {
        let login = config::read(folder)?;
        let mut desk = connect::open(&login).await?;
        match self {
            Self::List => {
                let all = desk.list_technicians(ListTechniciansRequest {}).await?.into_inner().technicians;
                list(screen, &all)
            }
            Self::Add { name, role, days } => {
                let request = AddTechnicianRequest { name, role, days };
                given(screen, &login, &desk.add_technician(request).await?.into_inner())
            }
            Self::Renew { name: Some(name), days } => {
                let request = RenewTechnicianRequest { name, days };
                given(screen, &login, &desk.renew_technician(request).await?.into_inner())
            }
            Self::Renew { name: None, days } => {
                let token = desk.renew_own_token(RenewOwnTokenRequest { days }).await?.into_inner();
                let login = config::Login {
                    secret: HEXLOWER.encode(&token.token),
                    expires_ms: Some(token.expires_ms),
                    ..login
                };
                let path = config::write(folder, &login)?;
                if screen.json {
                    return Ok(screen.value(&json!({ "expires_ms": token.expires_ms, "kept": path }))?);
                }
                let until = show::time(token.expires_ms, screen.now_ms);
                Ok(screen
                    .line(Line::default().good("✓ ").plain(format!("your token is new, and good until {until}")))?)
            }
            Self::Revoke { name } => {
                desk.revoke_technician(RevokeTechnicianRequest { name: name.clone() }).await?;
                if screen.json {
                    return Ok(screen.value(&json!({ "revoked": name }))?);
                }
                Ok(screen.line(Line::default().good("✓ ").plain(format!("{name} is let in no more")))?)
            }
        }
    }
}

fn list(screen: Screen, all: &[Technician]) -> anyhow::Result<()> {
    if screen.json {
        return Ok(screen.value(&Json::Array(all.iter().map(shape).collect()))?);
    }
    let moment = |at_ms: i64, none: &str| if at_ms == 0 { none.into() } else { show::time(at_ms, screen.now_ms) };
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|one| {
            let state = match () {
                () if one.revoked => "revoked",
                () if one.sessions > 0 || one.expires_ms > screen.now_ms => "good",
                () if one.expires_ms == 0 => "logged out",
                () => "expired",
            };
            let (used, expires) = (moment(one.used_ms, "never"), moment(one.expires_ms, "no token"));
            vec![one.name.clone(), one.role.clone(), state.into(), used, expires]
        })
        .collect();
    Ok(screen.table(&["name", "role", "state", "last used", "token expires"], &rows)?)
}

/// `name, role, state, added_ms, used_ms, expires_ms, sessions, revoked, subject`
fn shape(one: &Technician) -> Json {
    let moment = |at_ms: i64| (at_ms != 0).then_some(at_ms);
    json!({
        "name": one.name, "role": one.role, "added_ms": moment(one.added_ms), "used_ms": moment(one.used_ms),
        "expires_ms": moment(one.expires_ms), "sessions": one.sessions, "revoked": one.revoked, "subject": one.subject,
    })
}

/// The token as `deskside login` takes it: with the addresses and the CA that this login has.
fn given(screen: Screen, login: &config::Login, token: &PersonalToken) -> anyhow::Result<()> {
    let ca_sha256 = HEXLOWER.decode(login.ca_sha256.as_bytes())?;
    let secret = token.token.clone();
    let text = invite::write(&Invite { addresses: login.addresses.clone(), ca_sha256, secret });
    if screen.json {
        return Ok(screen.value(&json!({
            "name": token.name, "role": token.role, "expires_ms": token.expires_ms, "token": text,
        }))?);
    }
    Ok(screen.text(&format!("{text}\n"))?)
}
