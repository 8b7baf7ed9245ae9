//! Questions in SQL: who may see what, to whom they go, and the lines that they leave.

use std::pin::Pin;
use std::time::Duration;

use deskside_proto::sql::{SQL_BYTES_MAX, SqlError};
use deskside_proto::v1::query_request::Scope;
use deskside_proto::v1::{Query, QueryPart, QueryRequest};
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::error;

use super::Desk;
use super::caller::{Caller, Deed};
use crate::gateway::NotReached;
use crate::question::{Pieces, Questions, Unanswered};
use crate::store::Device;

/// A stream of pieces, as tonic takes it.
pub(super) type PartStream = Pin<Box<dyn Stream<Item = Result<QueryPart, Status>> + Send>>;

/// Pieces that wait for the one who asked.
const PARTS_MAX: usize = 8;

/// How much of a question is in the audit log.
const LOGGED_CHARS_MAX: usize = 2_000;

/// How long a piece waits for one who reads nothing. Why so long: a person may read page by page.
const SLOW_ASKER: Duration = Duration::from_mins(5);

/// How a question ended whose asker went away, or read nothing any more.
const HUNG_UP: &str = "stopped: the asker hung up";

impl Desk {
    /// Answers a question. What is refused is in the audit log too.
    pub(super) async fn answer_to(&self, caller: &Caller, request: QueryRequest) -> Result<PartStream, Status> {
        let mut query = request.query.clone().unwrap_or_default();
        let deed = Deed { what: "query", ticket: query.ticket, text: logged(&request), ..Deed::default() };
        let mut sight = self.questions.sight(caller.role);
        query.asked_by.clone_from(&caller.name);
        if request.content && sight.personal && self.guards_content() {
            let words = format!("what people wrote, in the answer to: {}", logged(&request));
            self.content_takes_two(caller, words, query.ticket).await?;
            sight.content = true;
        }
        query.sight = Some(sight);
        let put = self.put(caller, &request, query, deed.clone()).await;
        if let Err(refused) = &put {
            let text = format!("refused: {}: {}", refused.message(), deed.text);
            self.audit(caller, Deed { what: "answer", text, ..deed }).await?;
        }
        put
    }

    async fn put(
        &self,
        caller: &Caller,
        request: &QueryRequest,
        query: Query,
        mut deed: Deed,
    ) -> Result<PartStream, Status> {
        if query.sql.trim().is_empty() || query.sql.len() > SQL_BYTES_MAX {
            return Err(Status::invalid_argument(format!("a question has 1 to {SQL_BYTES_MAX} bytes")));
        }
        if query.ticket != 0 {
            self.ticket_by_number(query.ticket).await?;
        }
        let pieces = match &request.scope {
            Some(Scope::Device(name)) => {
                let device = self.device(name).await?;
                deed.device = Some(device.id);
                if request.when_back {
                    self.may_be_kept(caller, &device, &query).await?;
                }
                self.audit(caller, deed.clone()).await?;
                self.ask_device(caller, device, request, query).await?
            }
            Some(Scope::Fleet(fleet)) => {
                if fleet.r#where.len() > SQL_BYTES_MAX {
                    return Err(Status::invalid_argument(format!("a condition has {SQL_BYTES_MAX} bytes at most")));
                }
                self.audit(caller, deed.clone()).await?;
                self.questions.ask_fleet(fleet, query).await
            }
            Some(Scope::CaseTicket(number)) => {
                let ticket = self.ticket_by_number(*number).await?;
                deed.ticket = ticket.number;
                self.audit(caller, deed.clone()).await?;
                self.questions.ask_evidence(ticket.number, query).await
            }
            None => {
                return Err(Status::invalid_argument("the question is put to nobody: a device, the fleet or a case"));
            }
        };
        let pieces = pieces.map_err(|error| unanswered(&error))?;
        let (sender, parts) = mpsc::channel(PARTS_MAX);
        tokio::spawn(self.clone().relay(caller.clone(), deed, pieces, sender));
        Ok(Box::pin(ReceiverStream::new(parts)))
    }

    /// One device: asked itself where it is connected.
    async fn ask_device(
        &self,
        caller: &Caller,
        device: Device,
        request: &QueryRequest,
        query: Query,
    ) -> Result<Result<Pieces, Unanswered>, Status> {
        if request.last_known {
            let why = format!("{} was not asked: this is what the server knows", device.name);
            return Ok(self.questions.ask_known(device, &why, query).await);
        }
        match self.questions.ask(device.id, query.clone()) {
            Err(Unanswered::NotReached(NotReached::NotConnected)) => {}
            asked => return Ok(asked),
        }
        let mut why = Questions::off(&device);
        if !request.when_back {
            return Ok(self.questions.ask_known(device, &why, query).await);
        }
        let id = self.keep_question(caller, &device, query.clone()).await?.to_string();
        why = format!("{why}; the question is kept as {id} and put when it is back: the answer lands on the ticket");
        let known = self.questions.ask_known(device, &why, query).await;
        let named = move |mut part: QueryPart| {
            if part.end.is_some() {
                part.question.clone_from(&id);
            }
            part
        };
        Ok(known.map(|pieces| Box::pin(pieces.map(move |piece| piece.map(&named))) as Pieces))
    }

    /// Hands the pieces on, and writes down what went before the last of them goes.
    async fn relay(
        self,
        caller: Caller,
        deed: Deed,
        mut pieces: Pieces,
        sender: mpsc::Sender<Result<QueryPart, Status>>,
    ) {
        let mut rows = 0;
        let (last, ended) = loop {
            let piece = tokio::select! {
                biased;
                () = sender.closed() => break (None, HUNG_UP.to_owned()),
                piece = pieces.next() => piece,
            };
            match piece {
                Some(Ok(part)) => {
                    rows += part.rows.len();
                    let Some(end) = &part.end else {
                        if sender.send_timeout(Ok(part), SLOW_ASKER).await.is_err() {
                            break (None, HUNG_UP.into());
                        }
                        continue;
                    };
                    let ended = if end.cut.is_empty() { "whole".into() } else { format!("cut: {}", end.cut) };
                    break (Some(Ok(part)), ended);
                }
                Some(Err(error)) => break (Some(Err(unanswered(&error))), format!("failed: {error}")),
                None => {
                    let words = "the answer broke off";
                    break (Some(Err(Status::aborted(words))), words.into());
                }
            }
        };
        drop(pieces);
        let text = format!("{rows} rows, {ended}: {}", deed.text);
        let written = self.audit(&caller, Deed { what: "answer", text, ..deed }).await;
        let last = match (written, last) {
            (Ok(()), last) => last,
            (Err(status), _) => {
                error!(%status, "how a question ended is not in the audit log");
                Some(Err(status))
            }
        };
        if let Some(last) = last {
            // Why: one who has gone needs no last word.
            sender.send_timeout(last, SLOW_ASKER).await.ok();
        }
    }
}

/// The question as the audit log has it: to whom, and its words, within a bound.
fn logged(request: &QueryRequest) -> String {
    let scope = match &request.scope {
        Some(Scope::Device(name)) if request.last_known => format!("last known of {name}"),
        Some(Scope::Device(name)) => name.clone(),
        Some(Scope::Fleet(fleet)) => {
            let live = if fleet.live { "fleet live" } else { "fleet" };
            if fleet.r#where.is_empty() { live.to_owned() } else { format!("{live} where {}", fleet.r#where) }
        }
        Some(Scope::CaseTicket(number)) => format!("evidence of ticket {number}"),
        None => "nobody".into(),
    };
    let sql = request.query.as_ref().map_or("", |query| query.sql.as_str());
    let words = format!("{scope}: {sql}");
    let cut: String = words.chars().take(LOGGED_CHARS_MAX).collect();
    if cut.len() < words.len() { format!("{cut}… ({} bytes)", sql.len()) } else { cut }
}

fn unanswered(error: &Unanswered) -> Status {
    let words = error.to_string();
    match error {
        Unanswered::NotReached(_) => Status::unavailable(words),
        Unanswered::Device(_) => Status::failed_precondition(words),
        Unanswered::Here(SqlError::Wrong(_)) => Status::invalid_argument(words),
        Unanswered::Here(SqlError::TooLong | SqlError::TooLarge) => Status::resource_exhausted(words),
        Unanswered::Here(SqlError::Stopped) => Status::cancelled(words),
        Unanswered::Here(SqlError::Source(_)) => Status::internal(words),
    }
}
