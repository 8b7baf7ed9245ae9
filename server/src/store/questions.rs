//! Questions in SQL that wait for their device: each kept from the moment it is asked, whatever becomes of it.

use anyhow::Result;
use async_trait::async_trait;
use deskside_proto::v1::Query;
use uuid::Uuid;

use super::{Attachment, TicketEvent};

/// Where a kept question stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuestionState {
    /// For its device.
    Waiting,
    /// Its answer is on the ticket.
    Answered,
    /// The device could not answer it.
    Failed,
    /// Its time ran out.
    Expired,
    /// Somebody called it off.
    Cancelled,
}

impl QuestionState {
    const ALL: [Self; 5] = [Self::Waiting, Self::Answered, Self::Failed, Self::Expired, Self::Cancelled];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A question that waits, or waited, for its device.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptQuestion {
    /// Its identity.
    pub id: Uuid,
    /// The ticket that it is asked for.
    pub ticket: u64,
    /// The device.
    pub device: Uuid,
    /// The question, with who asks.
    pub query: Query,
    /// Where it stands.
    pub state: QuestionState,
    /// Why it stands so, in words.
    pub note: String,
    /// When it was asked, server's clock.
    pub asked_ms: i64,
    /// When it is given up, server's clock.
    pub expires_ms: i64,
    /// When it ended, server's clock; 0 if it has not.
    pub ended_ms: i64,
    /// The item of evidence that its answer became.
    pub evidence: Option<Uuid>,
}

/// The kept questions.
#[async_trait]
pub trait KeptQuestions: Send + Sync {
    /// Keeps a question, with a line in its ticket's story.
    async fn keep_question(&self, question: KeptQuestion, event: TicketEvent) -> Result<()>;

    /// Questions of one ticket, or all, newest first: those that wait, or those that have ended too.
    async fn kept_questions(&self, ticket: Option<u64>, all: bool, limit: u32) -> Result<Vec<KeptQuestion>>;

    /// Questions whose identity begins with these characters.
    async fn find_questions(&self, id: &str) -> Result<Vec<KeptQuestion>>;

    /// Questions that wait, of one device or all, oldest first.
    async fn waiting_questions(&self, device: Option<Uuid>) -> Result<Vec<KeptQuestion>>;

    /// A question ends: its state, note and evidence, a line in the ticket's story, and the item that its answer is, in one transaction. Answers
    /// false, and keeps nothing, where it has ended already.
    async fn end_question(
        &self,
        question: KeptQuestion,
        event: TicketEvent,
        attachment: Option<Attachment>,
    ) -> Result<bool>;
}
