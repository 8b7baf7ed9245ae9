//! Questions to a device: what is known of a table, a fresh look, and the log as it is written.

use std::collections::BTreeSet;
use std::pin::Pin;

use deskside_proto::catalog;
use deskside_proto::show;
use deskside_proto::v1::{
    Answer, AskRequest, Catalogue, Command, Follow, Kind, Look, ShowReply, ShowRequest, TailRequest, command,
};
use futures_util::{Stream, stream};
use tonic::Status;

use super::Desk;
use super::caller::{Caller, Deed};
use super::refusal::{Lines, internal, text, unknown};
use crate::case::now_ms;
use crate::gateway::{Answers, NotReached};
use crate::store::{Device, Latest};

/// A stream of answers, as tonic takes it.
pub(super) type AnswerStream = Pin<Box<dyn Stream<Item = Result<Answer, Status>> + Send>>;

/// How long a fresh look may take, where the technician does not say.
const ASK_MS: u32 = 15_000;

/// How long it may take at most.
const ASK_MS_MAX: u32 = 120_000;

/// Tables of one question.
pub(super) const TABLES_MAX: usize = 64;

/// Longest name of a table or unit.
const NAME_CHARS_MAX: usize = 255;

/// Least urgent priority of a log.
const PRIORITY_MAX: u32 = 7;

impl Desk {
    /// One table as known now, or as it was.
    pub(super) async fn show_table(&self, caller: &Caller, request: ShowRequest) -> Result<ShowReply, Status> {
        let device = self.device(&request.device).await?;
        let table = text("the table's name", &request.table, NAME_CHARS_MAX, Lines::One)?;
        let own = self.store.schema(Some(device.id), &table).await.map_err(internal)?;
        let schema = own.or_else(|| catalog::table(&table).cloned());
        let schema = schema.ok_or_else(|| unknown("table", &table, "`deskside tables` lists them"))?;
        self.content_of_tables_takes_two(caller, std::slice::from_ref(&schema), &device.name).await?;
        let latest = if request.at_ms == 0 {
            self.store.latest_of(device.id, &table).await
        } else {
            let then = self.store.at(device.id, &table, request.at_ms).await;
            then.map(|reading| reading.map(|reading| Latest { checked_ms: request.at_ms.max(reading.at_ms), reading }))
        };
        let mut latest = latest.map_err(internal)?;
        if let Some(latest) = latest.as_mut().filter(|_reading| schema.kind() == Kind::Event) {
            let to_ms = if request.at_ms == 0 { i64::MAX } else { request.at_ms };
            let to_ms = to_ms.min(latest.reading.at_ms);
            latest.reading = self.day(device.id, latest.reading.clone(), to_ms).await.map_err(internal)?;
        }
        let deed = Deed { what: "show", device: Some(device.id), text: table, ..Deed::default() };
        self.audit(caller, deed).await?;
        let shown = Some(self.shown(&device));
        let (reading, checked_ms) = latest.map_or((None, 0), |latest| (Some(latest.reading), latest.checked_ms));
        Ok(ShowReply { schema: Some(schema), reading, checked_ms, device: shown })
    }

    /// A fresh look, now.
    pub(super) async fn look(&self, caller: &Caller, request: AskRequest) -> Result<AnswerStream, Status> {
        let device = self.device(&request.device).await?;
        let tables = self.tables_named(&request.tables).await?;
        if tables.is_empty() {
            return Err(Status::invalid_argument("no table named; `deskside tables` lists them"));
        }
        let mut schemas = Vec::new();
        for table in &tables {
            schemas.extend(self.schema(None, table).await.map_err(internal)?);
        }
        self.content_of_tables_takes_two(caller, &schemas, &device.name).await?;
        let deadline_ms = if request.deadline_ms == 0 { ASK_MS } else { request.deadline_ms.min(ASK_MS_MAX) };
        let deed = Deed { what: "ask", device: Some(device.id), text: tables.join(" "), ..Deed::default() };
        self.audit(caller, deed).await?;
        let kind = command::Kind::Look(Look { tables });
        self.command(
            &device,
            Command { deadline_ms, kind: Some(kind), asked_by: caller.name.clone(), ..Command::default() },
        )
        .await
    }

    /// The log as it is written, until the technician hangs up.
    pub(super) async fn follow(&self, caller: &Caller, request: TailRequest) -> Result<AnswerStream, Status> {
        let device = self.device(&request.device).await?;
        let unit = text("the unit's name", &request.unit, NAME_CHARS_MAX, Lines::One)?;
        if request.priority_max > PRIORITY_MAX {
            return Err(Status::invalid_argument("a priority is 0 (emergency) to 7 (debug)"));
        }
        let words = format!("unit {unit:?}, priority up to {}", request.priority_max);
        self.audit(caller, Deed { what: "tail", device: Some(device.id), text: words, ..Deed::default() }).await?;
        let kind = command::Kind::Follow(Follow { unit, priority_max: request.priority_max });
        self.command(
            &device,
            Command { deadline_ms: 0, kind: Some(kind), asked_by: caller.name.clone(), ..Command::default() },
        )
        .await
    }

    /// Every table that can be named: the contract's, and those that agents brought.
    pub(super) async fn catalogue(&self) -> Result<Catalogue, Status> {
        let brought = self.store.schemas().await.map_err(internal)?;
        let more = brought.into_iter().filter(|schema| catalog::table(&schema.name).is_none());
        let mut tables: Vec<_> = catalog::tables().iter().cloned().chain(more).collect();
        tables.sort_by(|a, b| (a.family, &a.name).cmp(&(b.family, &b.name)));
        Ok(Catalogue { tables })
    }

    /// Names of tables, each once, each known.
    pub(super) async fn tables_named(&self, names: &[String]) -> Result<Vec<String>, Status> {
        if names.len() > TABLES_MAX {
            return Err(Status::invalid_argument(format!("{} tables named, {TABLES_MAX} at most", names.len())));
        }
        let mut tables = Vec::new();
        let mut seen = BTreeSet::new();
        for name in names {
            let name = text("a table's name", name, NAME_CHARS_MAX, Lines::One)?;
            if self.schema(None, &name).await.map_err(internal)?.is_none() {
                return Err(unknown("table", &name, "`deskside tables` lists them"));
            }
            if seen.insert(name.clone()) {
                tables.push(name);
            }
        }
        Ok(tables)
    }

    /// Sends a command; the answers as a stream.
    pub(super) async fn command(&self, device: &Device, command: Command) -> Result<AnswerStream, Status> {
        match self.switchboard.command(device.id, command) {
            Ok(answers) => Ok(answered(answers)),
            Err(NotReached::NotConnected) => Err(self.off(device).await),
            Err(busy @ NotReached::Busy) => Err(Status::resource_exhausted(busy.to_string())),
        }
    }

    /// Why a device cannot be asked, and what is known all the same.
    async fn off(&self, device: &Device) -> Status {
        if device.revoked {
            return Status::failed_precondition(format!("{} was revoked and is cut off for good", device.name));
        }
        if device.seen_ms == 0 {
            return Status::failed_precondition(format!("{} has been enrolled and has never connected", device.name));
        }
        let tables = self.store.latest(device.id).await.map_or(0, |latest| latest.len());
        Status::failed_precondition(format!(
            "{} is off or cannot be reached since {}; `deskside show {} TABLE` has what was known then ({tables} tables)",
            device.name,
            show::time(device.seen_ms, now_ms()),
            device.name,
        ))
    }
}

/// The answers as a stream that always ends with a last word. Dropping it cancels the command.
fn answered(answers: Answers) -> AnswerStream {
    Box::pin(stream::unfold(Some(answers), |answers| async move {
        let mut answers = answers?;
        match answers.recv().await {
            Some(answer) if answer.last => Some((Ok(answer), None)),
            Some(answer) => Some((Ok(answer), Some(answers))),
            None => {
                let error = "the answers came faster than they were read; ask for less".to_owned();
                Some((Ok(Answer { last: true, error, ..Answer::default() }), None))
            }
        }
    }))
}
