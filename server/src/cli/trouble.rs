//! What went wrong, in one line, and what to do about it, in another.

use tonic::{Code, Status};

use super::config::LOG_IN;
use crate::logfile::Refused;

/// An error that knows its remedy.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(super) struct Trouble {
    /// What went wrong.
    pub(super) what: String,
    /// What to do.
    pub(super) advice: String,
}

impl Trouble {
    /// Both lines.
    pub(super) fn new(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what: what.into(), advice: advice.into() }
    }
}

/// Something is not well and has been said already; what is left is the exit status.
#[derive(Debug, thiserror::Error)]
#[error("what is wrong has been said")]
pub(super) struct Said;

/// The two lines for any error that reached the top.
pub(super) fn explain(error: &anyhow::Error) -> (String, String) {
    if let Some(trouble) = error.downcast_ref::<Trouble>() {
        return (trouble.what.clone(), trouble.advice.clone());
    }
    if let Some(refused) = error.downcast_ref::<Refused>() {
        return (refused.what.clone(), refused.advice.clone());
    }
    if let Some(status) = error.downcast_ref::<Status>() {
        return of_status(status);
    }
    (format!("{error:#}"), String::new())
}

/// The server's messages carry their own advice after the first semicolon; where there is none, the code gives it.
fn of_status(status: &Status) -> (String, String) {
    if let Some((what, advice)) = status.message().split_once("; ") {
        return (what.to_owned(), advice.to_owned());
    }
    let advice = match status.code() {
        Code::Unauthenticated => LOG_IN,
        Code::PermissionDenied => "ask an administrator for the role that this needs",
        Code::Unavailable | Code::Unknown => "see that the server runs and can be reached, then try again",
        Code::DeadlineExceeded => "the device or the server was too slow; try again",
        Code::Unimplemented => "this server is older than this command; upgrade the server",
        _ => "",
    };
    (status.message().to_owned(), advice.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_advice_wins_over_that_of_the_code() {
        let status = Status::not_found("no device \"foo\"; `deskside devices` lists them");
        assert_eq!(of_status(&status), ("no device \"foo\"".into(), "`deskside devices` lists them".into()));
        assert_eq!(of_status(&Status::unauthenticated("token was revoked")).1, LOG_IN);
    }

    #[test]
    fn a_status_with_context_around_it_is_still_explained() {
        let error = anyhow::Error::from(Status::unauthenticated("who are you")).context("asking");
        assert_eq!(explain(&error).1, LOG_IN);
    }
}
