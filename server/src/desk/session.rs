//! Sessions of the identity provider: begun by the device-code flow, and gone on with while the provider agrees.

use std::pin::Pin;

use deskside_proto::v1::{LoginCode, LoginStep, PersonalToken, login_step};
use futures_util::{Stream, StreamExt, stream};
use tonic::Status;

use super::Desk;
use super::refusal::internal;
use crate::case::now_ms;
use crate::identity::oidc::{self, Provider, Refused};
use crate::identity::personal;
use crate::identity::renewal::Renewal;
use crate::store::{AuditLine, Credential, NewCredential, NewSession};

/// The steps of a login, as tonic takes them.
pub(super) type LoginStream = Pin<Box<dyn Stream<Item = Result<LoginStep, Status>> + Send>>;

impl Desk {
    /// A login: first the link and the code, then, once the person has agreed there, the session's token.
    pub(super) async fn logging_in(&self) -> Result<LoginStream, Status> {
        let Some(provider) = self.provider.clone() else {
            return Err(Status::failed_precondition(
                "this server has no identity provider ([oidc] in its configuration); log in with `deskside login TOKEN`",
            ));
        };
        let login = provider.begin().await.map_err(|error| Status::unavailable(format!("{error:#}")))?;
        let code = LoginCode {
            link: login.link.clone(),
            whole_link: login.whole_link.clone().unwrap_or_default(),
            code: login.code.clone(),
            expires_s: login.expires_s,
        };
        let first = LoginStep { kind: Some(login_step::Kind::Code(code)) };
        let desk = self.clone();
        let rest = async move {
            let token = desk.logged_in(&provider, login).await?;
            Ok(LoginStep { kind: Some(login_step::Kind::Token(token)) })
        };
        Ok(Box::pin(stream::iter([Ok(first)]).chain(stream::once(rest))))
    }

    async fn logged_in(&self, provider: &Provider, login: oidc::Login) -> Result<PersonalToken, Status> {
        let (person, refresh) = provider.wait(login).await.map_err(|error| {
            tracing::info!(error = format!("{error:#}"), "a login by the identity provider failed");
            Status::unauthenticated(format!("{error:#}"))
        })?;
        let drawn = tokio::task::spawn_blocking(personal::draw).await;
        let (token, kept) = drawn.map_err(anyhow::Error::from).flatten().map_err(internal)?;
        let renewal = match refresh {
            Some(refresh) => {
                let renewal = Renewal { subject: person.subject.clone(), refresh };
                renewal.seal(&token).map_err(internal)?
            }
            None => Vec::new(),
        };
        let expires_ms = now_ms() + provider.session_ms();
        let session = NewSession {
            name: person.name.clone(),
            subject: person.subject.clone(),
            role: person.role,
            credential: NewCredential { id: kept.id, hash: kept.hash, expires_ms },
            renewal,
        };
        let opened = self.store.open_session(session, now_ms()).await.map_err(internal)?;
        if let Err(refused) = opened {
            self.note_of(&person.name, "denied", format!("login by {}: {refused}", person.subject)).await?;
            return Err(Status::permission_denied(refused.to_string()));
        }
        self.note_of(&person.name, "login", format!("by {} as {}", person.subject, person.role)).await?;
        Ok(PersonalToken { name: person.name, role: person.role.to_string(), token, expires_ms })
    }

    /// Goes on with a session whose time is over, if the provider agrees. Why here and not by a call of its own: whoever asks goes on without
    /// noticing, and whoever was let go there is let in no more within the session's time.
    pub(super) async fn gone_on(&self, token: &[u8], credential: Credential) -> Result<Credential, Status> {
        let _turn = self.verified.renewing(&credential.id).await;
        let known = self.store.credential(&credential.id).await.map_err(internal)?;
        let Some(credential) = known else { return Err(over("it was ended")) };
        if credential.expires_ms > now_ms() {
            return Ok(credential);
        }
        let (Some(provider), false) = (&self.provider, credential.renewal.is_empty()) else {
            self.end(&credential, "it cannot be renewed").await?;
            return Err(over("it cannot be renewed"));
        };
        let renewal = Renewal::open(token, &credential.renewal).map_err(internal)?;
        match provider.renew(&renewal.refresh, &renewal.subject).await {
            Ok((person, refresh)) => {
                let role = person.map_or(credential.role, |person| person.role);
                let sealed = Renewal { refresh, ..renewal }.seal(token).map_err(internal)?;
                let expires_ms = now_ms() + provider.session_ms();
                self.store.renew_session(&credential.id, role, sealed, expires_ms).await.map_err(internal)?;
                Ok(Credential { role, expires_ms, ..credential })
            }
            Err(Refused::Over(why)) => {
                self.end(&credential, &why).await?;
                Err(over(&why))
            }
            Err(Refused::Unasked(error)) => Err(Status::unavailable(format!(
                "the identity provider cannot be asked whether your session goes on: {error:#}; try again in a while"
            ))),
        }
    }

    async fn end(&self, credential: &Credential, why: &str) -> Result<(), Status> {
        self.store.end_credential(&credential.id).await.map_err(internal)?;
        self.note_of(&credential.technician, "logout", format!("the session ended: {why}")).await
    }

    async fn note_of(&self, who: &str, what: &str, text: String) -> Result<(), Status> {
        let line = AuditLine { at_ms: now_ms(), who: who.into(), what: what.into(), text, ..AuditLine::default() };
        self.store.add_audit(line).await.map_err(internal)
    }
}

fn over(why: &str) -> Status {
    Status::unauthenticated(format!(
        "your session is over ({}); log in again: `deskside login --oidc`",
        why.replace("; ", ", ")
    ))
}
