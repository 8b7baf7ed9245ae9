//! Log files that other systems wrote: Windows' .evtx, macOS' `log show --style ndjson`, text; packed or not, each entry as a row of `log_events`.

mod apple;
mod lines;
mod open;
mod text;
mod windows;

use deskside_proto::codes::Meaning;
use deskside_proto::v1::LogEvent;

pub use open::{Form, Opened, known, open};

/// Longest text of one entry; what is longer is cut and marked with its real size.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// Why a file is not read, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{what}; {advice}")]
pub struct Refused {
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub advice: String,
}

impl Refused {
    fn new(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what: what.into(), advice: advice.into() }
    }
}

/// Takes entries in the file's order.
pub type Sink<'a> = &'a mut dyn FnMut(LogEvent) -> anyhow::Result<()>;

/// What of a file could not be read.
#[derive(Debug, Default)]
pub struct Unread {
    /// How many entries.
    pub entries: u64,
    /// What was wrong, the first time.
    pub reason: String,
    /// The file ends within an entry or a chunk.
    pub is_cut: bool,
}

impl Unread {
    fn add(&mut self, reason: impl FnOnce() -> String) {
        self.entries += 1;
        if self.reason.is_empty() {
            self.reason = reason();
        }
    }
}

/// Reads a file from its beginning. `source` is what its entries are said to be from.
pub fn read(opened: Opened, source: &str, sink: Sink<'_>) -> anyhow::Result<Unread> {
    match opened.form {
        Form::Windows => windows::read(opened.file, source, sink),
        Form::Apple => apple::read(opened.file, source, sink),
        Form::Text => text::read(opened.file, source, sink),
    }
}

/// Whether a code in a log of this form means what it means on Linux.
pub fn means_the_same(form: Form, meaning: &Meaning) -> bool {
    form != Form::Apple || apple::means_the_same(meaning)
}

/// Cuts a message to its bound, and says how long it was.
fn bounded(mut message: String) -> (String, Option<u64>) {
    if message.len() <= MESSAGE_BYTES_MAX {
        return (message, None);
    }
    let whole = message.len() as u64;
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
    (message, Some(whole))
}
