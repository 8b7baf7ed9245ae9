//! The agents' side of the server: their sessions, what is asked of them, and what they upload.

mod listener;
mod receive;
mod service;
mod session;
mod switchboard;
mod uploads;

pub use listener::{Incoming, Line, LineEnd, incoming};
pub use receive::Staging;
pub use service::{Gateway, GatewayParts};
pub use switchboard::{Answers, CONNECTION_LOST, Call, CutReason, NotReached, Switchboard};
pub use uploads::{StoredUpload, Uploads, Wanted};
