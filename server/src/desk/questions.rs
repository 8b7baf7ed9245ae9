//! Questions that are kept until their device is back: who may keep one, which there are, and calling them off.

use deskside_proto::v1::{self, ListQuestionsReply, ListQuestionsRequest, Query};
use tonic::Status;
use uuid::Uuid;

use super::Desk;
use super::caller::{Caller, Deed};
use super::refusal::{self, internal};
use crate::store::{Device, KeptQuestion, QuestionState, Role};

/// Questions of one list.
const LIST_MAX: u32 = 1_000;

impl Desk {
    /// Refuses what could not be kept, before anything is asked.
    pub(super) async fn may_be_kept(&self, caller: &Caller, device: &Device, query: &Query) -> Result<(), Status> {
        if caller.role < Role::Technician {
            return Err(Status::permission_denied(
                "keeping a question until its device is back takes the role technician",
            ));
        }
        if query.ticket == 0 {
            return Err(Status::invalid_argument(
                "a question that waits for its device needs a ticket that its answer lands on (--ticket N)",
            ));
        }
        if device.revoked {
            return Err(Status::failed_precondition(format!("{} was revoked and will never answer", device.name)));
        }
        self.open_ticket_by_number(query.ticket).await.map(|_ticket| ())
    }

    pub(super) async fn keep_question(&self, caller: &Caller, device: &Device, query: Query) -> Result<Uuid, Status> {
        let ticket = query.ticket;
        let Some(kept) = self.questions.keep(device, query).await.map_err(internal)? else {
            return Err(Status::resource_exhausted(format!(
                "ticket {ticket} has too many questions that wait; call some off (`deskside query cancel ID`)"
            )));
        };
        let text = format!("kept as {} until {} is back", kept.id, device.name);
        self.audit(caller, Deed { what: "query", device: Some(device.id), ticket, text }).await?;
        Ok(kept.id)
    }

    pub(super) async fn questions_kept(&self, request: ListQuestionsRequest) -> Result<ListQuestionsReply, Status> {
        let ticket = Some(request.ticket).filter(|number| *number != 0);
        let kept = self.store.kept_questions(ticket, request.all, LIST_MAX).await.map_err(internal)?;
        let mut questions = Vec::with_capacity(kept.len());
        for question in kept {
            questions.push(self.question_shown(question).await?);
        }
        Ok(ListQuestionsReply { questions })
    }

    pub(super) async fn call_question_off(&self, caller: &Caller, id: &str) -> Result<v1::Question, Status> {
        let mut found = self.store.find_questions(id).await.map_err(internal)?;
        if found.len() > 1 {
            let choices: Vec<String> = found.iter().take(10).map(|kept| kept.id.to_string()).collect();
            return Err(refusal::ambiguous(id, &choices));
        }
        let kept = found.pop().ok_or_else(|| refusal::unknown("question", id, "name one by its id as it was kept"))?;
        let ended = |kept: &KeptQuestion| {
            let (id, state) = (kept.id, kept.state.name());
            Status::failed_precondition(format!("the question {id} has ended already: {state}, {}", kept.note))
        };
        if kept.state != QuestionState::Waiting {
            return Err(ended(&kept));
        }
        let text = format!("question {}", kept.id);
        let deed = Deed { what: "cancel", device: Some(kept.device), ticket: kept.ticket, text };
        self.audit(caller, deed).await?;
        let called_off = self.questions.call_off(kept.clone(), &caller.name).await.map_err(internal)?;
        let now = self.store.find_questions(&kept.id.to_string()).await.map_err(internal)?.pop().unwrap_or(kept);
        if called_off { self.question_shown(now).await } else { Err(ended(&now)) }
    }

    async fn question_shown(&self, kept: KeptQuestion) -> Result<v1::Question, Status> {
        Ok(v1::Question {
            id: kept.id.to_string(),
            device: self.shown_by_id(kept.device).await.map_err(internal)?,
            state: kept.state.name().into(),
            note: kept.note,
            asked_ms: kept.asked_ms,
            expires_ms: kept.expires_ms,
            ended_ms: kept.ended_ms,
            evidence_id: kept.evidence.map(|id| id.to_string()).unwrap_or_default(),
            query: Some(kept.query),
        })
    }
}
