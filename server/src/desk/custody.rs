//! The custody log, read: a ticket's entries with the signed head that says where they end, and all of it by who, what and when.

use std::pin::Pin;

use anyhow::Result;
use deskside_proto::v1::{CustodyEntry, CustodyPiece, ListAuditRequest};
use futures_util::{Stream, StreamExt, stream};
use tonic::Status;

use super::Desk;
use super::caller::{Caller, Deed};
use super::refusal::internal;
use crate::store::{AuditFilter, AuditLine};

/// Entries of one piece.
pub(super) const PIECE_ENTRIES: u32 = 500;

/// Newest entries that can be asked for.
const LAST_MAX: u32 = 10_000;

/// A stream of entries, as tonic takes it.
pub(super) type CustodyStream = Pin<Box<dyn Stream<Item = Result<CustodyPiece, Status>> + Send>>;

impl Desk {
    /// A ticket's entries, and where they end. That they were looked at is the last of them.
    pub(super) async fn custody_of(&self, caller: &Caller, ticket: u64) -> Result<CustodyStream, Status> {
        self.ticket_by_number(ticket).await?;
        self.audit(caller, Deed { what: "view", ticket, text: "custody".into(), ..Deed::default() }).await?;
        let (head, envelope) = self.custody.head(Some(ticket)).await.map_err(internal)?;
        let wanted = AuditFilter { ticket, ..AuditFilter::default() };
        let last = CustodyPiece { head: envelope.write(), ..CustodyPiece::default() };
        Ok(Box::pin(self.entries(wanted, head.number).chain(stream::iter([Ok(last)]))))
    }

    /// Entries by who, what and when, oldest first; the newest so many, or all.
    pub(super) async fn audit_shown(&self, caller: &Caller, wanted: ListAuditRequest) -> Result<CustodyStream, Status> {
        if wanted.last > LAST_MAX {
            return Err(Status::invalid_argument(format!(
                "the newest {LAST_MAX} entries at most; ask for all of them (--all), or for those since a time (--since)"
            )));
        }
        let ListAuditRequest { who, what, ticket, since_ms, last } = wanted;
        let said = [("who", &who), ("what", &what)].map(|(name, value)| format!("{name}={value}")).join(" ");
        let (head, _envelope) = self.custody.head(None).await.map_err(internal)?;
        self.audit(caller, Deed { what: "view", ticket, text: format!("audit {said}"), ..Deed::default() }).await?;
        let wanted = AuditFilter { who, what, ticket, since_ms, after: 0 };
        if last == 0 {
            return Ok(Box::pin(self.entries(wanted, head.number)));
        }
        let lines = self.store.audit_of(wanted, last, true).await.map_err(internal)?;
        let pieces: Vec<_> = lines.chunks(PIECE_ENTRIES as usize).map(|lines| Ok(piece(lines))).collect();
        Ok(Box::pin(stream::iter(pieces)))
    }

    /// Entries up to a number, in pieces as they are taken.
    fn entries(
        &self,
        wanted: AuditFilter,
        up_to: u64,
    ) -> impl Stream<Item = Result<CustodyPiece, Status>> + Send + 'static {
        let desk = self.clone();
        stream::unfold(Some(wanted), move |wanted| {
            let desk = desk.clone();
            async move {
                let wanted = wanted?;
                let lines = match desk.store.audit_of(wanted.clone(), PIECE_ENTRIES, false).await {
                    Ok(lines) => lines,
                    Err(error) => return Some((Err(internal(error)), None)),
                };
                let lines: Vec<AuditLine> = lines.into_iter().filter(|line| line.number <= up_to).collect();
                let after = lines.last()?.number;
                Some((Ok(piece(&lines)), Some(AuditFilter { after, ..wanted })))
            }
        })
    }
}

fn piece(lines: &[AuditLine]) -> CustodyPiece {
    CustodyPiece { entries: lines.iter().cloned().map(shown).collect(), ..CustodyPiece::default() }
}

fn shown(line: AuditLine) -> CustodyEntry {
    CustodyEntry {
        number: line.number,
        at_ms: line.at_ms,
        who: line.who,
        role: line.role,
        peer: line.peer,
        what: line.what,
        device: line.device,
        ticket: line.ticket,
        evidence: line.evidence,
        sha256: line.sha256,
        text: line.text,
        before: line.before,
        ticket_before: line.ticket_before,
        hash: line.hash,
    }
}
