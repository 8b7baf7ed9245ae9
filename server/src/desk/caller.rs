//! Who asks, what they may, and the line that each question leaves.

use deskside_proto::invite;
use tonic::{Request, Status};
use uuid::Uuid;

use super::Desk;
use super::refusal::internal;
use crate::case::now_ms;
use crate::identity;
use crate::store::{AuditLine, Role};

/// The technician behind a call.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) name: String,
    pub(super) role: Role,
}

/// What is done, as the audit log says it.
#[derive(Clone, Debug, Default)]
pub(super) struct Deed {
    pub(super) what: &'static str,
    pub(super) device: Option<Uuid>,
    pub(super) ticket: u64,
    pub(super) text: String,
}

impl Desk {
    /// The technician behind a call, if they may do what takes this role.
    pub(super) async fn caller<T>(&self, request: &Request<T>, role: Role) -> Result<Caller, Status> {
        let value = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let secret = value.and_then(invite::authorized);
        let Some(secret) = secret else {
            return Err(Status::unauthenticated("no token; log in with `deskside login TOKEN`"));
        };
        let technician = self.store.technician_by_secret(identity::hash(&secret)).await.map_err(internal)?;
        let Some(technician) = technician else {
            return Err(Status::unauthenticated(
                "this token is not known here or was revoked; ask for one (deskside-server technician add NAME)",
            ));
        };
        let caller = Caller { name: technician.name, role: technician.role };
        if caller.role < role {
            self.audit(&caller, Deed { what: "denied", text: format!("needs {role}"), ..Deed::default() }).await?;
            return Err(Status::permission_denied(format!(
                "this takes the role {role}; {} is {}",
                caller.name, caller.role
            )));
        }
        Ok(caller)
    }

    /// Writes the line; what cannot be written down is not done.
    pub(super) async fn audit(&self, caller: &Caller, deed: Deed) -> Result<(), Status> {
        let line = AuditLine {
            at_ms: now_ms(),
            who: caller.name.clone(),
            what: deed.what.to_owned(),
            device: deed.device.map(|device| device.to_string()).unwrap_or_default(),
            ticket: deed.ticket,
            text: deed.text,
            ..AuditLine::default()
        };
        self.store.add_audit(line).await.map_err(internal)
    }
}
