//! What is posted to a help desk: an internal note, found again by its marker.

use uuid::Uuid;

use super::File;

/// An internal note.
#[derive(Clone)]
pub struct Note {
    /// The line by which it is found again; the text ends with it.
    pub marker: String,
    /// The whole of it as plain text. A system that reads Markdown or HTML is given it as what it is: text, escaped.
    pub text: String,
    /// The same as HTML, every stranger's word escaped; for systems that show no plain text.
    pub html: Option<String>,
    /// The file that goes with it, where the system takes both at once.
    pub file: Option<File>,
}

/// A note that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Posted {
    /// The note's identity there; empty where the system gives none.
    pub id: String,
    /// Names of the files that are attached to it.
    pub files: Vec<String>,
}

/// The marker of a note.
pub fn marker_line(note: Uuid) -> String {
    format!("deskside-case: {note}")
}
