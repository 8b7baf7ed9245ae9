//! The agents' side of the server: their sessions, what is asked of them, and what they upload.

mod switchboard;
mod upload;

pub use switchboard::{Answers, CONNECTION_LOST, Call, CutReason, NotReached, Switchboard};
pub use upload::{StoredUpload, Uploads, Wanted};
