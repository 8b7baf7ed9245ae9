//! A whole case, handed out to be kept elsewhere: each item as it came, the ticket's custody, and the server's seal over all of it.

use std::pin::Pin;

use anyhow::{Context, Result};
use data_encoding::BASE64;
use deskside_proto::CHUNK_BYTES;
use deskside_proto::seal::{CASE_SEAL, CUSTODY_HEAD, CUSTODY_LOG, Case, ITEMS, SealedItem, Statement, Subject, sha256};
use deskside_proto::v1::{ExportPiece, ExportedFile, export_piece::Kind};
use futures_util::{Stream, StreamExt, stream};
use prost::bytes::Bytes;
use tonic::Status;

use super::Desk;
use super::caller::{Caller, Deed};
use super::refusal::internal;
use crate::case::now_ms;
use crate::casefile;
use crate::store::{AuditFilter, EvidenceItem};

/// Most bytes of an export. Why: what is sealed is a plain ZIP file, which ends at 4 GiB.
const BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024 - 64 * 1024 * 1024;

/// Most items of an export.
const ITEMS_MAX: usize = 5_000;

/// Entries of the custody log in an export.
const ENTRIES_MAX: u32 = 50_000;

/// Longest name of an item within its folder.
const NAME_CHARS_MAX: usize = 120;

/// A stream of files, as tonic takes it.
pub(super) type ExportStream = Pin<Box<dyn Stream<Item = Result<ExportPiece, Status>> + Send>>;

/// One file on its way out.
enum Content {
    Item(Box<EvidenceItem>),
    Text(Vec<u8>),
}

impl Desk {
    /// All of a case. That it leaves is written down before the first byte does.
    pub(super) async fn export_case_of(&self, caller: &Caller, ticket: u64) -> Result<ExportStream, Status> {
        self.ticket_by_number(ticket).await?;
        let mut items = self.store.evidence(Some(ticket)).await.map_err(internal)?;
        items.reverse();
        let size: u64 = items.iter().filter(|item| item.deleted_ms == 0).map(|item| item.size).sum();
        if size > BYTES_MAX || items.len() > ITEMS_MAX {
            return Err(Status::resource_exhausted(format!(
                "the evidence of ticket {ticket} is {} items with {size} bytes, and an export takes {ITEMS_MAX} with \
                 {BYTES_MAX}; fetch items one by one (`deskside evidence get ID`)",
                items.len()
            )));
        }
        for item in items.iter().filter(|item| item.deleted_ms == 0) {
            self.exported(caller, item, "with its whole case").await?;
        }
        let text = format!("the whole case, {} items", items.len());
        self.audit(caller, Deed { what: "export", ticket, text, ..Deed::default() }).await?;
        let files = self.files(caller, ticket, items).await.map_err(internal)?;
        let desk = self.clone();
        Ok(Box::pin(stream::iter(files).flat_map(move |(file, content)| {
            let desk = desk.clone();
            let first = ExportPiece { kind: Some(Kind::File(file)) };
            stream::iter([Ok(first)]).chain(stream::once(async move { desk.bytes(content).await }).flatten())
        })))
    }

    /// The files in order, the seal last.
    async fn files(
        &self,
        caller: &Caller,
        ticket: u64,
        items: Vec<EvidenceItem>,
    ) -> Result<Vec<(ExportedFile, Content)>> {
        let (mut files, mut sealed) = (Vec::new(), Vec::new());
        for item in items {
            let custody = self.store.custody(item.id).await?;
            let path = if item.deleted_ms == 0 { path(&item) } else { String::new() };
            sealed.push(SealedItem {
                id: item.id.to_string(),
                path: path.clone(),
                sha256: item.sha256.clone(),
                sealed: custody.iter().any(|line| line.what == "verified"),
            });
            if !path.is_empty() {
                let file = ExportedFile { path, size: item.size, sha256: item.sha256.clone() };
                files.push((file, Content::Item(Box::new(item))));
            }
        }
        let (head, envelope) = self.custody.head(Some(ticket)).await?;
        let wanted = AuditFilter { ticket, ..AuditFilter::default() };
        let mut log = Vec::new();
        let mut lines = self.store.audit_of(wanted, ENTRIES_MAX, false).await?;
        lines.retain(|line| line.number <= head.number);
        let whole = head.ticket.as_ref().is_some_and(|end| end.entries == lines.len() as u64);
        anyhow::ensure!(whole, "ticket {ticket} has more than {ENTRIES_MAX} entries of custody");
        for line in lines {
            serde_json::to_writer(&mut log, &line).context("writing the custody log")?;
            log.push(b'\n');
        }
        if let Some(file) = self.case_files.build(ticket).await.context("building the case file")? {
            files.push(written("summary.md", casefile::markdown(&file).into_bytes()));
            files.push(written("summary.html", casefile::html(&file).into_bytes()));
        }
        let (ca_sha256, ca) = self.custody.ca();
        let body = BASE64.encode(&ca);
        let wrapped: Vec<&str> = body.as_bytes().chunks(64).filter_map(|line| str::from_utf8(line).ok()).collect();
        let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", wrapped.join("\n"));
        for (name, text) in [(CUSTODY_LOG, log), (CUSTODY_HEAD, envelope.write()), ("ca.pem", pem.into_bytes())] {
            files.push(written(name, text));
        }
        let subjects = files.iter().map(|(file, _content)| Subject::new(&file.path, &file.sha256)).collect();
        let exported_by = caller.name.clone();
        let case = Case { at_ms: now_ms(), ticket, exported_by, ca_sha256, items: sealed };
        let seal = self.custody.seal(&Statement::new(subjects, case))?;
        files.push(written(CASE_SEAL, seal.write()));
        Ok(files)
    }

    async fn bytes(&self, content: Content) -> ExportStream {
        let piece = |bytes: Bytes| Ok(ExportPiece { kind: Some(Kind::Bytes(bytes.into())) });
        match content {
            Content::Text(text) => {
                let pieces: Vec<_> = text.chunks(CHUNK_BYTES).map(|part| piece(Bytes::copy_from_slice(part))).collect();
                Box::pin(stream::iter(pieces))
            }
            Content::Item(item) => match self.blobs.get(&item.location).await {
                Ok(pieces) => Box::pin(pieces.flat_map(move |part| {
                    let parts: Vec<_> = match part {
                        Ok(mut rest) => std::iter::from_fn(|| {
                            (!rest.is_empty()).then(|| piece(rest.split_to(rest.len().min(CHUNK_BYTES))))
                        })
                        .collect(),
                        Err(error) => vec![Err(internal(error))],
                    };
                    stream::iter(parts)
                })),
                Err(error) => Box::pin(stream::iter([Err(internal(error))])),
            },
        }
    }
}

fn written(path: &str, text: Vec<u8>) -> (ExportedFile, Content) {
    let file = ExportedFile { path: path.into(), size: text.len() as u64, sha256: sha256(&text) };
    (file, Content::Text(text))
}

/// Where an item lies in the export. Why by its identity: two items may have one name.
fn path(item: &EvidenceItem) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = item.name.chars().map(plain).take(NAME_CHARS_MAX).collect();
    format!("{ITEMS}{}/{}", item.id, name.trim_start_matches('.'))
}
