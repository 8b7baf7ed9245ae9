//! Evidence: listed with its custody, and handed out in chunks, which is itself a line of custody.

use std::pin::Pin;

use anyhow::Result;
use deskside_proto::CHUNK_BYTES;
use deskside_proto::v1::{self, EvidenceChunk};
use futures_util::{Stream, StreamExt, stream};
use prost::bytes::Bytes;
use tonic::Status;

use super::caller::Caller;
use super::refusal::{self, internal};
use super::{Desk, words};
use crate::case::{event, now_ms};
use crate::store::{AuditLine, EvidenceItem, TicketChange};

/// Items of one list.
const ITEMS_MAX: usize = 1_000;

/// A stream of chunks, as tonic takes it.
pub(super) type ChunkStream = Pin<Box<dyn Stream<Item = Result<EvidenceChunk, Status>> + Send>>;

impl Desk {
    /// Items of one ticket, or all, newest first.
    pub(super) async fn evidence_shown(&self, ticket: Option<u64>) -> Result<Vec<v1::Evidence>> {
        let mut shown = Vec::new();
        for item in self.store.evidence(ticket).await?.iter().take(ITEMS_MAX) {
            shown.push(self.item_shown(item).await?);
        }
        Ok(shown)
    }

    pub(super) async fn item_shown(&self, item: &EvidenceItem) -> Result<v1::Evidence> {
        let custody = self.store.custody(item.id).await?;
        let device = match item.device {
            Some(device) => self.shown_by_id(device).await?,
            None => None,
        };
        let derived = self.store.derived(item.id).await?;
        let (source_id, recipe) =
            derived.map(|derived| (derived.source.to_string(), derived.recipe)).unwrap_or_default();
        Ok(v1::Evidence { source_id, recipe, ..words::evidence(item, device, custody) })
    }

    /// The bytes of one item. That they were taken is durable before the first of them leaves.
    pub(super) async fn hand_out(&self, caller: &Caller, id: &str) -> Result<ChunkStream, Status> {
        let item = self.item(id).await?;
        if item.deleted_ms != 0 {
            return Err(refusal::deleted(&item.name, item.deleted_ms));
        }
        self.content_takes_two(caller, format!("a copy of {} ({})", item.name, item.id), item.ticket).await?;
        let bytes = self.blobs.get(&item.location).await.map_err(internal)?;
        let now_ms = now_ms();
        self.exported(caller, &item, "a copy was handed out").await?;
        let viewed = event(now_ms, &caller.name, "viewed", format!("took a copy of {}", item.name));
        let change = TicketChange { events: vec![viewed], ..TicketChange::default() };
        self.cases.change(item.ticket, &caller.name, change, Vec::new()).await.map_err(internal)?;
        let head = EvidenceChunk {
            evidence: Some(self.item_shown(&item).await.map_err(internal)?),
            bytes: Bytes::new().into(),
        };
        let chunks = bytes.flat_map(|piece| stream::iter(split(piece)));
        Ok(Box::pin(stream::iter([Ok(head)]).chain(chunks)))
    }

    /// Writes down that an item leaves.
    pub(super) async fn exported(&self, caller: &Caller, item: &EvidenceItem, words: &str) -> Result<(), Status> {
        let line = AuditLine {
            at_ms: now_ms(),
            who: caller.name.clone(),
            role: caller.role.to_string(),
            peer: caller.peer.clone(),
            what: "exported".into(),
            text: words.to_owned(),
            ..AuditLine::default()
        };
        self.store.add_custody_of(item.id, line).await.map_err(internal)
    }

    pub(super) async fn item(&self, id: &str) -> Result<EvidenceItem, Status> {
        let mut found = self.store.find_evidence(id).await.map_err(internal)?;
        if found.len() > 1 {
            let choices: Vec<String> =
                found.iter().take(10).map(|item| format!("{} ({})", item.name, item.id)).collect();
            return Err(refusal::ambiguous(id, &choices));
        }
        found.pop().ok_or_else(|| refusal::unknown("evidence", id, "`deskside evidence list` lists it"))
    }
}

/// A piece of the object store's size, in chunks of the contract's size.
fn split(piece: Result<Bytes>) -> Vec<Result<EvidenceChunk, Status>> {
    let mut rest = match piece {
        Ok(bytes) => bytes,
        Err(error) => return vec![Err(internal(error))],
    };
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let bytes = rest.split_to(rest.len().min(CHUNK_BYTES));
        chunks.push(Ok(EvidenceChunk { evidence: None, bytes: bytes.into() }));
    }
    chunks
}
