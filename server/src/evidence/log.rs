//! A log of another system that was attached by hand, as a source of `log_events`.

use std::fs::File;
use std::io::Seek;
use std::sync::{Mutex, PoisonError};

use deskside_proto::rows::Row;
use deskside_proto::sql::Owner;
use deskside_proto::v1::{LogEvent, Outcome, Reading};
use prost::Message;

use crate::logfile::{self, Form, Opened};

/// A log that can be asked.
#[derive(Debug)]
pub struct LogFile {
    opened: Mutex<File>,
    form: Form,
    name: String,
    /// The item of evidence that it is.
    evidence: String,
    /// When it was attached, server's clock; entries without a time are told as of then.
    attached_ms: i64,
    /// What of it could not be read, once it was.
    unread: Mutex<Option<String>>,
}

impl LogFile {
    /// Of a file that stands at its beginning; one that is no log that is known is refused in words.
    pub fn open(file: File, name: &str, evidence: &str, attached_ms: i64) -> anyhow::Result<Self> {
        let Opened { file, form } = logfile::known(file, name)?;
        let (name, evidence) = (name.to_owned(), evidence.to_owned());
        Ok(Self { opened: Mutex::new(file), form, name, evidence, attached_ms, unread: Mutex::default() })
    }

    /// As of when it can be asked.
    pub(super) fn attached_ms(&self) -> i64 {
        self.attached_ms
    }

    /// Whose rows they are: the file's.
    pub(super) fn owner(&self) -> Owner {
        Owner { id: self.evidence.clone(), name: self.name.clone(), evidence: self.evidence.clone() }
    }

    /// Reads it, entries of one moment as one reading, until `keep` wants no more. Answers whether it was all.
    pub(super) fn read(&self, keep: &mut dyn FnMut(Reading) -> bool) -> anyhow::Result<bool> {
        let mut file = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        file.rewind()?;
        let opened = Opened { file: file.try_clone()?, form: self.form };
        let (mut pending, mut more): (Option<Reading>, bool) = (None, true);
        let read = logfile::read(opened, &self.name, &mut |event: LogEvent| {
            let at_ms = if event.at_ms == 0 { self.attached_ms } else { event.at_ms };
            let row = event.encode_to_vec().into();
            match &mut pending {
                Some(reading) if reading.at_ms == at_ms => reading.rows.push(row),
                _ => {
                    let next = Reading {
                        table: LogEvent::TABLE.into(),
                        at_ms,
                        outcome: Outcome::Ok.into(),
                        rows: vec![row],
                        ..Reading::default()
                    };
                    more = pending.replace(next).is_none_or(&mut *keep);
                }
            }
            anyhow::ensure!(more, "enough");
            Ok(())
        });
        if !more {
            return Ok(false);
        }
        let unread = read?;
        if unread.entries > 0 || unread.is_cut {
            let cut = if unread.is_cut { "; the file is cut: what stood at its end is missing" } else { "" };
            let words = format!("{} entries cannot be read: {}{cut}", unread.entries, unread.reason);
            *self.unread.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
        }
        Ok(pending.is_none_or(keep))
    }

    /// What it does not hold of a table, or holds with a reserve.
    pub(super) fn reserves(&self, table: &str) -> Vec<String> {
        if table != LogEvent::TABLE {
            return vec!["a log holds log_events alone".into()];
        }
        self.unread.lock().unwrap_or_else(PoisonError::into_inner).clone().into_iter().collect()
    }
}
