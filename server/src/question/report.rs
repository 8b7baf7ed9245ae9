//! The answer to a kept question as it lands on the ticket: a file of JSON, and some lines to read.

use std::io::{Seek, Write};

use anyhow::Result;
use data_encoding::HEXLOWER;
use deskside_proto::show;
use deskside_proto::v1::cell::Value;
use deskside_proto::v1::{Cell, QueryEnd, QueryNote, ResultColumn, ResultRow};
use futures_util::StreamExt;
use ring::digest::{SHA256, digest};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{Pieces, Unanswered};
use crate::case::now_ms;
use crate::store::{Attachment, CustodyEntry, EvidenceItem, KeptQuestion};

/// Rows that are shown in the ticket's story; the file has all.
const ROWS_SHOWN: usize = 20;

/// Characters of the text in the story.
const TEXT_CHARS_MAX: usize = 4_000;

/// What came in answer to a question.
#[derive(Debug, Default)]
pub(super) struct Report {
    sql: String,
    columns: Vec<ResultColumn>,
    rows: Vec<ResultRow>,
    notes: Vec<QueryNote>,
    end: QueryEnd,
}

/// A report, ready to be stored.
pub(super) struct Written {
    pub(super) file: tokio::fs::File,
    pub(super) attachment: Attachment,
    pub(super) text: String,
}

impl Report {
    pub(super) fn new(kept: &KeptQuestion) -> Self {
        Self { sql: kept.query.sql.clone(), ..Self::default() }
    }

    /// Takes an answer in to its end.
    pub(super) async fn fill(&mut self, mut pieces: Pieces) -> Result<(), Unanswered> {
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            self.columns.extend(piece.columns);
            self.rows.extend(piece.rows);
            self.notes.extend(piece.notes);
            if let Some(end) = piece.end {
                self.end = end;
                return Ok(());
            }
        }
        Err(Unanswered::Device("the answer broke off".into()))
    }

    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The file, the item that it becomes, and the text.
    pub(super) fn write(&self, kept: &KeptQuestion, device: &str) -> Result<Written> {
        let bytes = serde_json::to_vec_pretty(&self.json(kept, device))?;
        let sha256 = HEXLOWER.encode(digest(&SHA256, &bytes).as_ref());
        let mut file = tempfile::tempfile()?;
        file.write_all(&bytes)?;
        file.rewind()?;
        let (at_ms, id) = (now_ms(), kept.id.to_string());
        let name = format!("question-{}.json", id.get(..8).unwrap_or(&id));
        let location = format!("evidence/{}/{sha256}", kept.ticket);
        let custody =
            |who: &str, what: &str, text: String| CustodyEntry { at_ms, who: who.into(), what: what.into(), text };
        let attachment = Attachment {
            custody: vec![
                CustodyEntry { at_ms: kept.asked_ms, ..custody(&kept.query.asked_by, "asked", self.sql.clone()) },
                custody(device, "collected", format!("{} rows in answer", self.rows.len())),
                custody("server", "stored", format!("at {location}, SHA-256 {sha256}")),
            ],
            events: Vec::new(),
            item: EvidenceItem {
                id: Uuid::new_v4(),
                ticket: kept.ticket,
                device: Some(kept.device),
                collection: None,
                name: name.clone(),
                size: bytes.len() as u64,
                sha256,
                stored_ms: at_ms,
                location,
                deleted_ms: 0,
            },
        };
        Ok(Written { file: tokio::fs::File::from_std(file), attachment, text: self.text(device, &name) })
    }

    fn json(&self, kept: &KeptQuestion, device: &str) -> Json {
        let note = |note: &QueryNote| json!({"device": note.device, "table": note.table, "words": note.words});
        json!({
            "question": kept.id.to_string(),
            "sql": self.sql,
            "device": {"id": kept.device.to_string(), "hostname": device},
            "ticket": kept.ticket,
            "asked_by": kept.query.asked_by,
            "asked_ms": kept.asked_ms,
            "answered_ms": now_ms(),
            "columns": self.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(),
            "rows": self.rows.iter().map(|row| row.cells.iter().map(value).collect::<Vec<_>>()).collect::<Vec<_>>(),
            "notes": self.notes.iter().map(note).collect::<Vec<_>>(),
            "cut": self.end.cut,
        })
    }

    /// For the ticket's story.
    fn text(&self, device: &str, name: &str) -> String {
        let head = self.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(" | ");
        let line = |row: &ResultRow| row.cells.iter().map(words).collect::<Vec<_>>().join(" | ");
        let count = self.rows.len();
        let mut lines = vec![format!("{device} is back and answered {count} rows to: {}", self.sql), head];
        lines.extend(self.rows.iter().take(ROWS_SHOWN).map(line));
        if !self.end.cut.is_empty() {
            lines.push(format!("cut: {}", self.end.cut));
        }
        lines.extend(self.notes.iter().take(ROWS_SHOWN).map(|note| format!("{} {}", note.table, note.words)));
        let text: String = lines.join("\n").chars().take(TEXT_CHARS_MAX).collect();
        format!("{text}\nThe whole answer: {name}")
    }
}

fn value(cell: &Cell) -> Json {
    match &cell.value {
        None => Json::Null,
        Some(Value::Integer(number)) => (*number).into(),
        Some(Value::Real(number)) => (*number).into(),
        Some(Value::Text(text)) => text.as_str().into(),
        Some(Value::Blob(bytes)) => HEXLOWER.encode(bytes).into(),
    }
}

fn words(cell: &Cell) -> String {
    match value(cell) {
        Json::Null => "-".into(),
        Json::String(text) => show::printable(&text),
        other => other.to_string(),
    }
}
