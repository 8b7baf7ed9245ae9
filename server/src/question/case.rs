//! A question to a ticket's evidence: every bundle that it has, each opened from a copy that vanishes with the answer.

use std::fs::File;
use std::sync::Arc;

use anyhow::{Context, Result};
use deskside_proto::show;
use deskside_proto::v1::{Query, QueryNote};
use futures_util::TryStreamExt;
use tokio::io::AsyncWriteExt;

use super::{Pieces, Questions, Unanswered};
use crate::evidence::{Bundle, Evidence};
use crate::store::EvidenceItem;

/// Bundles that one question reads, the newest.
const BUNDLES_MAX: usize = 32;

/// Bytes of them together.
const BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

impl Questions {
    /// Puts a question to the evidence of a ticket.
    pub async fn ask_evidence(&self, ticket: u64, query: Query) -> Result<Pieces, Unanswered> {
        let items = self.store.evidence(Some(ticket)).await.map_err(Unanswered::store)?;
        let (mut bundles, mut notes, mut bytes) = (Vec::new(), Vec::new(), 0);
        for item in items {
            let opened = self.bundle(&item, bundles.len(), &mut bytes).await;
            match opened.map_err(Unanswered::store)? {
                Ok(bundle) => bundles.push(bundle),
                Err(words) => notes.push(note(format!("{}: {words}", item.name))),
            }
        }
        if bundles.is_empty() {
            notes.push(note(format!("ticket {ticket} has no bundle of evidence that can be asked")));
        }
        let brought = self.store.schemas().await.map_err(Unanswered::store)?;
        Ok(self.answer_here(Arc::new(Evidence::new(bundles, brought)), query, notes).await)
    }

    /// Opens the bundle that an item is; where it is none, or cannot be had, says why.
    pub async fn open_bundle(&self, item: &EvidenceItem) -> Result<Result<Bundle, String>> {
        if item.deleted_ms != 0 {
            return Ok(Err(format!("was deleted {}", show::clock(item.deleted_ms))));
        }
        let file = match self.copy(item).await {
            Ok(file) => file,
            Err(error) => return Ok(Err(format!("cannot be had: {error:#}"))),
        };
        let id = item.id.to_string();
        let opened = tokio::task::spawn_blocking(move || Bundle::open(file, &id)).await.context("opening evidence")?;
        Ok(opened.map_err(|error| format!("{error:#}")))
    }

    /// Opens an item; where it cannot be asked, says why.
    async fn bundle(&self, item: &EvidenceItem, open: usize, bytes: &mut u64) -> Result<Result<Bundle, String>> {
        if item.collection.is_none() {
            return Ok(Err("was attached by hand, and is no bundle".into()));
        }
        if open >= BUNDLES_MAX || *bytes + item.size > BYTES_MAX {
            return Ok(Err("is left out: newer bundles fill what one question reads".into()));
        }
        *bytes += item.size;
        self.open_bundle(item).await
    }

    /// A copy without a name, at its beginning.
    async fn copy(&self, item: &EvidenceItem) -> Result<File> {
        let folder = self.folder.clone();
        let file = tokio::task::spawn_blocking(move || tempfile::tempfile_in(folder)).await??;
        let mut file = tokio::fs::File::from_std(file);
        let mut pieces = self.blobs.get(&item.location).await?;
        while let Some(piece) = pieces.try_next().await? {
            file.write_all(&piece).await?;
        }
        file.flush().await?;
        Ok(file.into_std().await)
    }
}

fn note(words: String) -> QueryNote {
    QueryNote { words, ..QueryNote::default() }
}
