//! What the person at the machine is asked before packets are taken: what is pending, what is decided, and a record of every step.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use deskside_proto::rows::Row;
use deskside_proto::v1::{CaptureConsent, Consent, Outcome, Pack, Policy, Reading};
use prost::Message;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::commands::Reply;
use super::keeper::Keeper;
use super::looks::Eye;
use super::requests::{Requests, WAIT_MS};
use crate::local;
use crate::record::Entry;

/// Between two looks at whether a request is over.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// Who decided where nobody was asked.
const POLICY: &str = "the policy";
const PERSON: &str = "the person at the machine";

/// What waits for the person.
#[derive(Default)]
pub(super) struct Consents {
    requests: Mutex<Requests<oneshot::Sender<Decision>>>,
}

/// What the person said.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) approved: bool,
    pub(super) account: String,
}

impl Consents {
    /// What waits.
    pub(super) fn pending(&self, now_ms: i64) -> Vec<local::Pending> {
        self.requests().waiting(now_ms)
    }

    /// What the person says to a request; what is wrong with it.
    pub(super) fn decide(&self, now_ms: i64, request: u64, decision: Decision) -> Result<(), String> {
        let back = self.requests().answer(now_ms, request)?;
        back.send(decision).map_err(|_gone| format!("the technician who asked request {request} has gone"))
    }

    fn requests(&self) -> MutexGuard<'_, Requests<oneshot::Sender<Decision>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request from asked to its end. Where it is dropped on the way, the technician has gone, and that is recorded too.
pub(super) struct Request {
    consents: Arc<Consents>,
    eye: Arc<Eye>,
    keeper: Keeper,
    template: Consent,
    /// What it comes to where it is dropped.
    open: Option<&'static str>,
}

impl Request {
    /// Asks whom policy says, and waits. Who agreed; else an error that says who did not.
    pub(super) async fn begin(
        (consents, eye, keeper): (&Arc<Consents>, &Arc<Eye>, &Keeper),
        policy: &Policy,
        (pack, what): (&Pack, String),
        reply: &Reply,
    ) -> anyhow::Result<(Self, String)> {
        let template = Consent {
            request: consents.requests().number(),
            ticket: pack.ticket,
            asked_by: pack.requested_by.clone(),
            what,
            ..Consent::default()
        };
        let (consents, eye, keeper) = (Arc::clone(consents), Arc::clone(eye), keeper.clone());
        let mut request = Self { consents, eye, keeper, template, open: None };
        request.say("asked", Consent::default(), reply).await?;
        let by = |by: &str| Consent { by: by.into(), ..Consent::default() };
        match policy.captures() {
            CaptureConsent::Given => {
                request.say("approved", by(POLICY), reply).await?;
                Ok((request, "given by the policy".into()))
            }
            CaptureConsent::Never => {
                request.say("refused", by(POLICY), reply).await?;
                Err(denied("the policy says that packets are never captured here"))
            }
            CaptureConsent::Ask | CaptureConsent::Unspecified => {
                let agreed = request.wait(reply).await?;
                Ok((request, agreed))
            }
        }
    }

    async fn wait(&mut self, reply: &Reply) -> anyhow::Result<String> {
        let (back, mut answered) = oneshot::channel();
        let Consent { request: number, ticket, asked_by, what, .. } = self.template.clone();
        let asked = local::Pending { request: number, ticket, asked_by, what, until_ms: 0 };
        self.consents.requests().ask(self.eye.host.now_ms(), asked, back).map_err(|why| anyhow!(why))?;
        self.open = Some("withdrawn");
        let minutes = WAIT_MS / 60_000;
        let words = format!(
            "waits for the person at the machine, {minutes} minutes at most (there: deskside-agent consent approve {number})"
        );
        reply.progress(&words).await;
        let decided = loop {
            match tokio::time::timeout(LOOK_EVERY, &mut answered).await {
                Ok(decided) => break decided,
                // One that is over is dropped, and the answer with it.
                Err(_elapsed) => self.consents.requests().expire(self.eye.host.now_ms()),
            }
        };
        let by = |account: &str, found: &str| Consent {
            by: PERSON.into(),
            account: account.into(),
            found: found.into(),
            ..Consent::default()
        };
        match decided {
            Ok(Decision { approved: true, account }) => {
                self.say("approved", by(&account, ""), reply).await?;
                Ok(format!("given by {PERSON}"))
            }
            Ok(Decision { approved: false, account }) => {
                self.say("refused", by(&account, ""), reply).await?;
                Err(denied("the person at the machine refused it"))
            }
            Err(_over) => {
                let found = format!("nobody answered within {minutes} minutes");
                self.say("expired", by("", &found), reply).await?;
                Err(denied("the person at the machine did not answer in time"))
            }
        }
    }

    /// It has begun.
    pub(super) async fn started(&mut self, reply: &Reply) -> anyhow::Result<()> {
        self.say("started", Consent::default(), reply).await?;
        self.open = Some("stopped");
        Ok(())
    }

    /// It has ended, with this.
    pub(super) async fn stopped(mut self, found: String, reply: &Reply) -> anyhow::Result<()> {
        self.say("stopped", Consent { found, ..Consent::default() }, reply).await
    }

    /// Records a step and tells the server of it.
    async fn say(&mut self, step: &str, said: Consent, reply: &Reply) -> anyhow::Result<()> {
        self.open = None;
        let (entry, consent) = self.entry(step, said);
        tracing::info!(request = consent.request, step, ticket = consent.ticket, "consent");
        reply.consent(consent).await;
        self.keeper.append(self.eye.host.now_ms(), vec![entry]).await
    }

    /// A step as it is recorded and told: without the account's name.
    fn entry(&self, step: &str, said: Consent) -> (Entry, Consent) {
        let Consent { request, ticket, asked_by, what, .. } = self.template.clone();
        let at_ms = self.eye.host.now_ms();
        let row = Consent { request, ticket, asked_by, what, step: step.into(), at_ms, ..said };
        let reading = self.eye.clean(consent_reading(&row));
        let told = reading.rows.first().and_then(|row| Message::decode(row.clone()).ok()).unwrap_or_default();
        (Entry { reading, stream: true, position: None }, told)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.consents.requests().withdraw(self.template.request);
        let Some(step) = self.open.take() else { return };
        let said = Consent { found: "the technician has gone, or called it off".into(), ..Consent::default() };
        let (entry, consent) = self.entry(step, said);
        tracing::info!(request = consent.request, step, ticket = consent.ticket, "consent");
        let (keeper, now_ms) = (self.keeper.clone(), self.eye.host.now_ms());
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { keeper.append(now_ms, vec![entry]).await.ok() });
        }
    }
}

fn denied(words: &str) -> anyhow::Error {
    std::io::Error::new(std::io::ErrorKind::PermissionDenied, words).into()
}

/// One row as a reading.
fn consent_reading(row: &Consent) -> Reading {
    Reading {
        table: Consent::TABLE.into(),
        at_ms: row.at_ms,
        outcome: Outcome::Ok.into(),
        rows: vec![row.encode_to_vec().into()],
        ..Reading::default()
    }
}
