//! What the person at the machine is asked before packets are taken: what is pending, what is decided, and a record of every step.

use std::collections::BTreeMap;
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
use crate::local;
use crate::record::Entry;

/// How long a request waits for the person.
const WAIT: Duration = Duration::from_mins(10);

/// Requests that wait at the same time.
const PENDING_MAX: usize = 8;

/// Who decided where nobody was asked.
const POLICY: &str = "the policy";
const PERSON: &str = "the person at the machine";

/// What waits for the person.
#[derive(Default)]
pub(super) struct Consents {
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    last: u64,
    pending: BTreeMap<u64, (local::Pending, oneshot::Sender<Decision>)>,
}

/// What the person said.
#[derive(Debug)]
struct Decision {
    approved: bool,
    account: String,
}

impl Consents {
    /// What waits.
    pub(super) fn pending(&self) -> Vec<local::Pending> {
        self.inside().pending.values().map(|(pending, _answer)| pending.clone()).collect()
    }

    /// What the person says to a request; what is wrong with it.
    pub(super) fn decide(&self, request: u64, approved: bool, account: String) -> Result<(), String> {
        let found = self.inside().pending.remove(&request);
        let told = found.map(|(_pending, answer)| answer.send(Decision { approved, account }).is_ok());
        if told == Some(true) {
            Ok(())
        } else {
            Err(format!("no request {request} waits; deskside-agent consent lists them"))
        }
    }

    fn number(&self) -> u64 {
        let mut inside = self.inside();
        inside.last += 1;
        inside.last
    }

    fn ask(&self, pending: local::Pending) -> anyhow::Result<oneshot::Receiver<Decision>> {
        let mut inside = self.inside();
        if inside.pending.len() >= PENDING_MAX {
            return Err(anyhow!("{PENDING_MAX} requests already wait for the person at the machine"));
        }
        let (answer, answered) = oneshot::channel();
        inside.pending.insert(pending.request, (pending, answer));
        Ok(answered)
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
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
            request: consents.number(),
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
        let now_ms = self.eye.host.now_ms();
        let asked = &self.template;
        let answered = self.consents.ask(local::Pending {
            request: asked.request,
            ticket: asked.ticket,
            asked_by: asked.asked_by.clone(),
            what: asked.what.clone(),
            until_ms: now_ms.saturating_add(WAIT.as_millis() as i64),
        })?;
        self.open = Some("withdrawn");
        let (number, minutes) = (self.template.request, WAIT.as_secs() / 60);
        let words = format!(
            "waits for the person at the machine, {minutes} minutes at most (there: deskside-agent consent approve {number})"
        );
        reply.progress(&words).await;
        let decided = tokio::time::timeout(WAIT, answered).await;
        self.consents.inside().pending.remove(&number);
        let by = |account: &str, found: &str| Consent {
            by: PERSON.into(),
            account: account.into(),
            found: found.into(),
            ..Consent::default()
        };
        match decided {
            Ok(Ok(Decision { approved: true, account })) => {
                self.say("approved", by(&account, ""), reply).await?;
                Ok(format!("given by {PERSON}"))
            }
            Ok(Ok(Decision { approved: false, account })) => {
                self.say("refused", by(&account, ""), reply).await?;
                Err(denied("the person at the machine refused it"))
            }
            Ok(Err(_)) | Err(_) => {
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
        self.consents.inside().pending.remove(&self.template.request);
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
