//! How the desk says no: one line what, and what to do about it.

use tonic::Status;
use tracing::error;

/// Something of our own went wrong. The whole of it goes to the log; the technician is told enough to report it.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
pub(super) fn internal(error: anyhow::Error) -> Status {
    error!(error = format!("{error:#}"), "a call of the desk failed");
    Status::internal(format!("the server could not do it: {error:#}"))
}

/// What was named is not there.
pub(super) fn unknown(what: &str, name: &str, how: &str) -> Status {
    Status::not_found(format!("no {what} {name:?}; {how}"))
}

/// What was named is there no more.
pub(super) fn deleted(name: &str, at_ms: i64) -> Status {
    let when = jiff::Timestamp::from_millisecond(at_ms).map(|at| at.strftime("%Y-%m-%d").to_string());
    let when = when.unwrap_or_default();
    Status::failed_precondition(format!(
        "{name} was deleted on {when}; why, its size, SHA-256 and custody are in `deskside --json evidence list`"
    ))
}

/// What was named is more than one thing.
pub(super) fn ambiguous(name: &str, choices: &[String]) -> Status {
    Status::invalid_argument(format!("{name:?} may be any of: {}; name one by its id", choices.join(", ")))
}

/// Text within its bounds, and of one line where it must be.
pub(super) fn text(what: &str, text: &str, most: usize, lines: Lines) -> Result<String, Status> {
    let text = text.trim();
    let count = text.chars().count();
    if count > most {
        return Err(Status::invalid_argument(format!("{what} has {count} characters, {most} at most; shorten it")));
    }
    if lines == Lines::One && text.contains(['\n', '\r']) {
        return Err(Status::invalid_argument(format!("{what} must be one line")));
    }
    Ok(text.to_owned())
}

/// How many lines a text may have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    One,
    Many,
}
