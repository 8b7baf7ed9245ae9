//! Technicians, as an administrator keeps them: added, listed, renewed, and let in no more.

use deskside_proto::v1::{
    AddTechnicianRequest, ListTechniciansReply, PersonalToken, RenewTechnicianRequest, Technician,
};
use tonic::Status;

use super::Desk;
use super::caller::{Caller, Deed};
use super::refusal::{self, Lines, internal, text};
use crate::case::now_ms;
use crate::identity::personal;
use crate::store::{NewCredential, NewTechnician, Role};

/// Longest name.
const NAME_CHARS_MAX: usize = 64;

/// Days that a token is good where nothing else is said.
const DAYS: u32 = 90;

/// Days that one may be good at most.
const DAYS_MAX: u32 = 365;

const DAY_MS: i64 = 24 * 3_600 * 1_000;

impl Desk {
    pub(super) async fn all_technicians(&self, caller: &Caller) -> Result<ListTechniciansReply, Status> {
        self.audit(caller, Deed { what: "view", text: "technicians".into(), ..Deed::default() }).await?;
        let technicians = self.store.technicians().await.map_err(internal)?;
        let technicians = technicians.into_iter().map(|one| Technician {
            name: one.name,
            role: one.role.to_string(),
            added_ms: one.added_ms,
            used_ms: one.used_ms,
            expires_ms: one.expires_ms,
            sessions: one.sessions,
            revoked: one.revoked,
            subject: one.subject,
        });
        Ok(ListTechniciansReply { technicians: technicians.collect() })
    }

    pub(super) async fn let_in(&self, caller: &Caller, request: AddTechnicianRequest) -> Result<PersonalToken, Status> {
        let name = text("the name", &request.name, NAME_CHARS_MAX, Lines::One)?;
        if name.is_empty() || name.contains(char::is_control) {
            return Err(Status::invalid_argument(format!("a name has 1 to {NAME_CHARS_MAX} printable characters")));
        }
        let role: Role =
            request.role.parse().map_err(|error: anyhow::Error| Status::invalid_argument(error.to_string()))?;
        if name == caller.name {
            return Err(Status::invalid_argument(
                "this is yourself; `deskside technician renew` gives you a new token",
            ));
        }
        let (token, credential) = drawn(days(request.days, DAYS_MAX)?).await?;
        self.note(caller, format!("technician {name} added as {role}")).await?;
        let expires_ms = credential.expires_ms;
        let technician = NewTechnician { name: name.clone(), role, credential };
        self.store.add_technician(technician, now_ms()).await.map_err(internal)?;
        Ok(PersonalToken { name, role: role.to_string(), token, expires_ms })
    }

    pub(super) async fn renew(
        &self,
        caller: &Caller,
        request: RenewTechnicianRequest,
    ) -> Result<PersonalToken, Status> {
        let role = self.known_role(&request.name).await?;
        self.renewed(caller, request.name, role, days(request.days, DAYS_MAX)?).await
    }

    /// Why ninety days at most and no sessions: what one may have for longer, or beside the identity provider, an administrator decides.
    pub(super) async fn renew_own(&self, caller: &Caller, asked: u32) -> Result<PersonalToken, Status> {
        if caller.is_session {
            return Err(Status::failed_precondition(
                "you came by the identity provider, and your session renews itself; an administrator makes tokens",
            ));
        }
        self.renewed(caller, caller.name.clone(), caller.role, days(asked, DAYS)?).await
    }

    async fn renewed(&self, caller: &Caller, name: String, role: Role, days: u32) -> Result<PersonalToken, Status> {
        let (token, credential) = drawn(days).await?;
        let expires_ms = credential.expires_ms;
        self.note(caller, format!("token of {name} renewed")).await?;
        if !self.store.renew_token(&name, credential, now_ms()).await.map_err(internal)? {
            return Err(unknown(&name));
        }
        Ok(PersonalToken { name, role: role.to_string(), token, expires_ms })
    }

    pub(super) async fn shut_out(&self, caller: &Caller, name: &str) -> Result<(), Status> {
        self.known_role(name).await?;
        if name == caller.name {
            return Err(Status::invalid_argument("this is yourself; let another administrator do it"));
        }
        self.note(caller, format!("technician {name} revoked")).await?;
        if !self.store.revoke_technician(name).await.map_err(internal)? {
            return Err(unknown(name));
        }
        Ok(())
    }

    async fn known_role(&self, name: &str) -> Result<Role, Status> {
        let all = self.store.technicians().await.map_err(internal)?;
        let found = all.into_iter().find(|one| one.name == name && !one.revoked);
        found.map(|one| one.role).ok_or_else(|| unknown(name))
    }

    async fn note(&self, caller: &Caller, text: String) -> Result<(), Status> {
        self.audit(caller, Deed { what: "operate", text, ..Deed::default() }).await
    }
}

fn unknown(name: &str) -> Status {
    refusal::unknown("technician", name, "`deskside technician list` lists them")
}

fn days(asked: u32, most: u32) -> Result<u32, Status> {
    match asked {
        0 => Ok(DAYS),
        days if days <= most => Ok(days),
        _ => Err(Status::invalid_argument(format!("a token is good for {most} days at most"))),
    }
}

async fn drawn(days: u32) -> Result<(Vec<u8>, NewCredential), Status> {
    let drawn = tokio::task::spawn_blocking(personal::draw).await;
    let (token, kept) = drawn.map_err(anyhow::Error::from).flatten().map_err(internal)?;
    let expires_ms = now_ms() + i64::from(days) * DAY_MS;
    Ok((token, NewCredential { id: kept.id, hash: kept.hash, expires_ms }))
}
