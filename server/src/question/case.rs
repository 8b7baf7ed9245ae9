//! A question to a ticket's evidence: every bundle and every log that it has, each opened from a copy that vanishes with the answer.

use std::fs::File;
use std::io::{Read, Seek};
use std::sync::Arc;

use anyhow::{Context, Result};
use deskside_proto::show;
use deskside_proto::v1::{Query, QueryNote};
use futures_util::TryStreamExt;
use tokio::io::AsyncWriteExt;

use super::{Pieces, Questions, Unanswered};
use crate::evidence::{Bundle, Evidence, Item, LogFile};
use crate::store::EvidenceItem;

/// Bundles and logs that one question reads, the newest.
const BUNDLES_MAX: usize = 32;

/// How a bundle begins (APPNOTE.TXT 4.3.7).
const ZIP: &[u8; 4] = b"PK\x03\x04";

/// Bytes of them together.
const BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

impl Questions {
    /// Puts a question to the evidence of a ticket.
    pub async fn ask_evidence(&self, ticket: u64, query: Query) -> Result<Pieces, Unanswered> {
        let items = self.store.evidence(Some(ticket)).await.map_err(Unanswered::store)?;
        let (mut opened, mut notes, mut bytes) = (Vec::new(), Vec::new(), 0);
        for item in &items {
            let source = self.store.derived(item.id).await.map_err(Unanswered::store)?.map(|derived| derived.source);
            if items.iter().any(|other| Some(other.id) == source && other.deleted_ms == 0) {
                notes.push(note(format!("{}: is a redacted copy, of which the original is asked", item.name)));
                continue;
            }
            let found = self.open(item, opened.len(), &mut bytes).await;
            match found.map_err(Unanswered::store)? {
                Ok(found) => opened.push(found),
                Err(words) => notes.push(note(format!("{}: {words}", item.name))),
            }
        }
        if opened.is_empty() {
            notes.push(note(format!("ticket {ticket} has no bundle of evidence and no log that can be asked")));
        }
        let brought = self.store.schemas().await.map_err(Unanswered::store)?;
        Ok(self.answer_here(Arc::new(Evidence::new(opened, brought)), query, notes).await)
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

    /// Opens an item; where it cannot be asked, says why. What was attached by hand is what its content says that it is.
    async fn open(&self, item: &EvidenceItem, open: usize, bytes: &mut u64) -> Result<Result<Item, String>> {
        if open >= BUNDLES_MAX || *bytes + item.size > BYTES_MAX {
            return Ok(Err("is left out: newer evidence fills what one question reads".into()));
        }
        *bytes += item.size;
        if item.collection.is_some() {
            return Ok(self.open_bundle(item).await?.map(|bundle| Item::Bundle(Box::new(bundle))));
        }
        if item.deleted_ms != 0 {
            return Ok(Err(format!("was deleted {}", show::clock(item.deleted_ms))));
        }
        let file = match self.copy(item).await {
            Ok(file) => file,
            Err(error) => return Ok(Err(format!("cannot be had: {error:#}"))),
        };
        let item = item.clone();
        tokio::task::spawn_blocking(move || attached(file, &item)).await.context("opening evidence")
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
        let mut file = file.into_std().await;
        file.rewind()?;
        Ok(file)
    }
}

/// A file that was attached by hand: a bundle of another server or ticket, or a log of another system.
fn attached(mut file: File, item: &EvidenceItem) -> Result<Item, String> {
    let id = item.id.to_string();
    let mut begin = [0; ZIP.len()];
    let is_zip = file.read_exact(&mut begin).is_ok() && begin == *ZIP;
    file.rewind().map_err(|error| format!("cannot be read: {error}"))?;
    let opened = if is_zip {
        let bundle = Bundle::open(file, &id);
        bundle.map(|bundle| Item::Bundle(Box::new(bundle.named(format!("bundle {}", item.name)))))
    } else {
        LogFile::open(file, &item.name, &id, item.stored_ms).map(|log| Item::Log(Box::new(log)))
    };
    opened.map_err(|error| format!("was attached by hand, and cannot be asked: {error:#}"))
}

fn note(words: String) -> QueryNote {
    QueryNote { words, ..QueryNote::default() }
}
