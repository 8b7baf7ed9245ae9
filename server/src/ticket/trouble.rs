//! How a help desk says no, in the three ways that matter to one who wants to say a thing there exactly once.

use std::time::Duration;

/// Why a request to a help desk came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It was not done, and may be done later: refused connection, 5xx to a read, 429, a page in the place of an answer.
    #[error("{why}")]
    Later {
        /// How long it asks to be left alone.
        after: Option<Duration>,
        /// What happened.
        why: String,
    },
    /// It was not done, and the same request never will be: no such ticket, no right, refused content.
    #[error("{why}")]
    Never {
        /// What happened, and what to do about it.
        why: String,
    },
    /// It may have been done: the answer to a write got lost. The marker is looked for before it is tried again.
    #[error("{why}")]
    Unknown {
        /// What happened.
        why: String,
    },
}

impl Trouble {
    /// Not done; may be done later.
    pub fn later(why: impl Into<String>) -> Self {
        Self::Later { after: None, why: why.into() }
    }

    /// Not done, and never will be.
    pub fn never(why: impl Into<String>) -> Self {
        Self::Never { why: why.into() }
    }

    /// May have been done.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown { why: why.into() }
    }

    /// What happened.
    pub fn why(&self) -> &str {
        match self {
            Self::Later { why, .. } | Self::Never { why } | Self::Unknown { why } => why,
        }
    }
}

/// Why a hook was not taken. The one who sent it is told no more than the status code says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its code or secret is missing or wrong. 401.
    #[error("{0}")]
    Forged(String),
    /// It is too old, or from the future. 401.
    #[error("{0}")]
    Stale(String),
    /// It is genuine and cannot be read. 400.
    #[error("{0}")]
    Unread(String),
    /// It is genuine and about nothing that matters here. 200.
    #[error("{0}")]
    Other(String),
}
