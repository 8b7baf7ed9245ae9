//! Other help desks, as technicians see them: their tickets by name, and the outbox.

use deskside_proto::v1::{self, ChangeOutboxRequest, FindTicketRequest, ListOutboxReply, OutboxEntry};
use tonic::Status;

use super::Desk;
use super::caller::{Caller, Deed};
use super::refusal::{self, Lines, internal, text};
use crate::store::{OutboxItem, OutboxState, Role};
use crate::ticket::Trouble;

/// Longest name of a ticket there.
const NAME_CHARS_MAX: usize = 128;

/// Entries of one list.
const ENTRIES_MAX: u32 = 1_000;

/// Shortest beginning of an id that is looked for.
const PREFIX_CHARS_MIN: usize = 4;

impl Desk {
    /// The ticket here that stands for one there.
    pub(super) async fn ticket_by_name(
        &self,
        caller: &Caller,
        request: FindTicketRequest,
    ) -> Result<v1::Ticket, Status> {
        let name = text("the ticket's name", &request.name, NAME_CHARS_MAX, Lines::One)?;
        let desk = name.split_once(':').map(|(desk, _id)| desk);
        let names = self.help_desks.names();
        if !desk.is_some_and(|desk| names.contains(&desk)) {
            let there =
                if names.is_empty() { "none is configured".into() } else { format!("there are {}", names.join(", ")) };
            return Err(Status::not_found(format!(
                "no ticket {name:?}: write a number, or HELPDESK:NUMBER; of help desks {there}"
            )));
        }
        if request.open && caller.role < Role::Technician {
            return Err(Status::permission_denied(
                "opening a case for a ticket of a help desk takes the role technician",
            ));
        }
        let found =
            self.help_desks.resolve(&name, request.open).await.map_err(|error| match error.downcast::<Trouble>() {
                Ok(Trouble::Never { why }) => Status::not_found(format!("{name}: {why}")),
                Ok(trouble) => Status::unavailable(format!("{name}: {trouble}; try again later")),
                Err(error) => Status::not_found(format!("{error:#}")),
            })?;
        let Some(ticket) = found else {
            return Err(Status::not_found(format!(
                "there is no case for {name} yet; `deskside collect DEVICE --ticket {name}` opens one, and so does escalating it there"
            )));
        };
        let deed = Deed { what: "view", ticket: ticket.number, text: format!("ticket {name}"), ..Deed::default() };
        self.audit(caller, deed).await?;
        self.ticket_shown(&ticket).await.map_err(internal)
    }

    pub(super) async fn outbox(&self, all: bool) -> Result<ListOutboxReply, Status> {
        let mut items = self.store.outbox(true, ENTRIES_MAX).await.map_err(internal)?;
        if !all {
            // Why failed ones too: nobody has said yet what is to become of them.
            items.retain(|item| matches!(item.state, OutboxState::Waiting | OutboxState::Failed));
        }
        Ok(ListOutboxReply { entries: items.into_iter().map(shown).collect() })
    }

    pub(super) async fn outbox_changed(
        &self,
        caller: &Caller,
        request: ChangeOutboxRequest,
    ) -> Result<OutboxEntry, Status> {
        let id = request.id.trim().to_lowercase();
        let items = self.store.outbox(true, u32::MAX).await.map_err(internal)?;
        let matches = |item: &OutboxItem| id.len() >= PREFIX_CHARS_MIN && item.id.to_string().starts_with(&id);
        let mut found: Vec<OutboxItem> = items.into_iter().filter(matches).collect();
        if found.len() > 1 {
            let choices: Vec<String> = found.iter().take(10).map(|item| item.id.to_string()).collect();
            return Err(refusal::ambiguous(&request.id, &choices));
        }
        let item = found
            .pop()
            .ok_or_else(|| refusal::unknown("entry of the outbox", &request.id, "`deskside outbox list` lists them"))?;
        if item.state == OutboxState::Done {
            return Err(Status::failed_precondition("it is there already"));
        }
        let verb = if request.drop { "dropped" } else { "tried again" };
        let deed = Deed { what: "outbox", ticket: item.ticket, text: format!("{} {verb}", item.id), ..Deed::default() };
        self.audit(caller, deed).await?;
        let state = if request.drop { OutboxState::Dropped } else { OutboxState::Waiting };
        let done = if request.drop {
            self.help_desks.drop_entry(item.clone(), &caller.name).await
        } else {
            self.help_desks.retry(item.clone()).await
        };
        done.map_err(internal)?;
        Ok(shown(OutboxItem { state, next_ms: 0, ..item }))
    }
}

fn shown(item: OutboxItem) -> OutboxEntry {
    let waits = item.state == OutboxState::Waiting;
    OutboxEntry {
        id: item.id.to_string(),
        desk: item.desk,
        foreign: item.foreign,
        ticket: item.ticket,
        kind: item.kind.name().into(),
        state: item.state.name().into(),
        attempts: item.attempts,
        next_ms: if waits { item.next_ms } else { 0 },
        why: item.why,
        made_ms: item.made_ms,
        ended_ms: item.ended_ms,
    }
}
