//! Legal holds, deletion by hand, and redacted copies.

use anyhow::Context;
use data_encoding::HEXLOWER;
use deskside_proto::v1::{
    self, AddHoldRequest, DeleteEvidenceRequest, ListHoldsReply, RedactEvidenceRequest, ReleaseHoldRequest,
};
use futures_util::StreamExt;
use ring::digest;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tonic::Status;
use uuid::Uuid;

use super::Desk;
use super::caller::{Caller, Deed};
use super::refusal::{self, Lines, internal, text};
use crate::case::{event, now_ms};
use crate::evidence::{deletion, redacted};
use crate::store::{Attachment, CustodyEntry, Deletion, Derived, EvidenceItem, Hold};

/// Longest reason.
const WHY_CHARS_MAX: usize = 500;

/// Piece of a file that is hashed at a time.
const PIECE_BYTES: usize = 64 * 1024;

impl Desk {
    pub(super) async fn hold(&self, caller: &Caller, request: AddHoldRequest) -> Result<v1::Hold, Status> {
        let why = why(&request.why)?;
        let (ticket, evidence) = match (request.ticket, request.evidence.as_str()) {
            (0, "") => return Err(Status::invalid_argument("say what is held: a ticket or an item of evidence")),
            (0, id) => {
                let item = self.item(id).await?;
                if item.deleted_ms != 0 {
                    return Err(refusal::deleted(&item.name, item.deleted_ms));
                }
                (0, Some(item.id))
            }
            (number, "") => (self.ticket_by_number(number).await?.number, None),
            _ => return Err(Status::invalid_argument("a hold is on a ticket or on one item, not both")),
        };
        let (who, at_ms) = (caller.name.clone(), now_ms());
        let hold = Hold { number: 0, ticket, evidence, who, why, at_ms, released_ms: 0, released: String::new() };
        let placed = self.store.add_hold(hold).await.map_err(internal)?;
        placed.as_ref().map(shown).ok_or_else(|| Status::failed_precondition("it is being deleted; it is too late"))
    }

    pub(super) async fn all_holds(&self, all: bool) -> Result<ListHoldsReply, Status> {
        let holds = self.store.holds(all).await.map_err(internal)?;
        Ok(ListHoldsReply { holds: holds.iter().map(shown).collect() })
    }

    pub(super) async fn release(&self, caller: &Caller, request: ReleaseHoldRequest) -> Result<v1::Hold, Status> {
        let why = why(&request.why)?;
        let released = self.store.release_hold(request.number, &caller.name, &why, now_ms()).await.map_err(internal)?;
        let number = request.number.to_string();
        released.as_ref().map(shown).ok_or_else(|| refusal::unknown("hold", &number, "`deskside hold list` lists them"))
    }

    pub(super) async fn delete(&self, caller: &Caller, request: DeleteEvidenceRequest) -> Result<v1::Evidence, Status> {
        let why = why(&request.why)?;
        let item = self.item(&request.id).await?;
        let deletion = Deletion { item: item.clone(), who: caller.name.clone(), why };
        let (store, blobs) = (self.store.clone(), self.blobs.clone());
        // Why a task of its own: one who hangs up must not leave it half done.
        let deleting = tokio::spawn(async move { deletion::delete(store.as_ref(), &blobs, deletion, now_ms()).await });
        let deleted = deleting.await.map_err(anyhow::Error::from).flatten().map_err(internal)?;
        if let Err(kept) = deleted {
            let text = format!("deletion of {} ({}): {kept}", item.name, item.id);
            self.audit(caller, Deed { what: "denied", ticket: item.ticket, text, ..Deed::default() }).await?;
            return Err(Status::failed_precondition(format!("{} stays: {kept}", item.name)));
        }
        let item = self.item(&item.id.to_string()).await?;
        self.item_shown(&item).await.map_err(internal)
    }

    pub(super) async fn redact(&self, caller: &Caller, request: RedactEvidenceRequest) -> Result<v1::Evidence, Status> {
        let why = why(&request.why)?;
        let recipe =
            redacted::Recipe::new(&request.drop).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let source = self.item(&request.id).await?;
        if source.deleted_ms != 0 {
            return Err(refusal::deleted(&source.name, source.deleted_ms));
        }
        let _turn = self.scratch.turn().await;
        let original = self.fetched(&source).await.map_err(internal)?;
        let mut copy = self.scratch.file().await.map_err(internal)?;
        let (of, by) = (source.clone(), recipe.clone());
        let written =
            tokio::task::spawn_blocking(move || redacted::write(original, &of, &by, &mut copy).map(|()| copy));
        let written = written.await.map_err(|error| internal(error.into()))?;
        let copy = written.map_err(|error| Status::invalid_argument(format!("{}: {error:#}", source.name)))?;
        let (copy, size, sha256) = hashed(File::from_std(copy)).await.map_err(internal)?;
        let deed = Deed {
            what: "redact",
            device: source.device,
            ticket: source.ticket,
            text: format!("{} ({}): {recipe}: {why}", source.name, source.id),
        };
        self.audit(caller, deed).await?;
        let location = format!("evidence/{}/{sha256}", source.ticket);
        self.blobs.put(&location, copy).await.map_err(internal)?;
        let item = EvidenceItem {
            id: Uuid::new_v4(),
            name: format!("redacted-{}", source.name),
            collection: None,
            size,
            sha256,
            stored_ms: now_ms(),
            location,
            ..source.clone()
        };
        let derived = Derived { source: source.id, recipe: recipe.to_string() };
        let same = self.store.attach_derived(attachment(caller, &item, &source, &derived, &why), derived).await;
        let kept = same.map_err(internal)?.unwrap_or(item);
        self.item_shown(&kept).await.map_err(internal)
    }

    /// An item's bytes in a file without a name.
    async fn fetched(&self, item: &EvidenceItem) -> anyhow::Result<std::fs::File> {
        let mut file = File::from_std(self.scratch.file().await?);
        let mut pieces = self.blobs.get(&item.location).await?;
        while let Some(piece) = pieces.next().await {
            file.write_all(&piece?).await.context("fetching a bundle")?;
        }
        file.flush().await?;
        file.rewind().await?;
        Ok(file.into_std().await)
    }
}

fn attachment(caller: &Caller, item: &EvidenceItem, source: &EvidenceItem, derived: &Derived, why: &str) -> Attachment {
    let Derived { recipe, .. } = derived;
    let entry = |who: &str, what: &str, text: String| CustodyEntry {
        at_ms: item.stored_ms,
        who: who.into(),
        what: what.into(),
        text,
    };
    let from = format!("{} ({}, SHA-256 {})", source.name, source.id, source.sha256);
    let custody = vec![
        entry(&caller.name, "redacted", format!("from {from}: {recipe}: {why}")),
        entry("server", "stored", format!("at {}, SHA-256 {}", item.location, item.sha256)),
    ];
    let words = format!("redacted copy of {}: {} ({recipe}; {why})", source.name, item.name);
    Attachment { item: item.clone(), custody, events: vec![event(item.stored_ms, &caller.name, "evidence", words)] }
}

/// A reason; without one nothing of this is done.
fn why(given: &str) -> Result<String, Status> {
    let why = text("the reason", given, WHY_CHARS_MAX, Lines::One)?;
    if why.is_empty() {
        return Err(Status::invalid_argument("say why: --why \"…\""));
    }
    Ok(why)
}

/// A file from its beginning, with its size and SHA-256.
async fn hashed(mut file: File) -> anyhow::Result<(File, u64, String)> {
    let mut hash = digest::Context::new(&digest::SHA256);
    let (mut piece, mut size) = (vec![0; PIECE_BYTES], 0_u64);
    loop {
        let length = file.read(&mut piece).await?;
        let Some(read) = piece.get(..length).filter(|read| !read.is_empty()) else { break };
        hash.update(read);
        size += length as u64;
    }
    file.rewind().await?;
    Ok((file, size, HEXLOWER.encode(hash.finish().as_ref())))
}

fn shown(hold: &Hold) -> v1::Hold {
    v1::Hold {
        number: hold.number,
        ticket: hold.ticket,
        evidence_id: hold.evidence.map(|id| id.to_string()).unwrap_or_default(),
        who: hold.who.clone(),
        why: hold.why.clone(),
        at_ms: hold.at_ms,
        released_ms: hold.released_ms,
        released: hold.released.clone(),
    }
}
