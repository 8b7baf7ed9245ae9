//! Questions in SQL: put to a device itself, and the answer piece by piece.

mod device;

use std::pin::Pin;

use deskside_proto::sql::SqlError;
use deskside_proto::v1::{QueryPart, Sight};
use futures_util::Stream;

use crate::config;
use crate::gateway::{NotReached, Switchboard};

/// The pieces of an answer as they come. The last has the end; where there is none, it says why. Dropping it stops the question.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<QueryPart, Unanswered>> + Send>>;

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// It did not reach the device.
    #[error(transparent)]
    NotReached(#[from] NotReached),
    /// The device refused it, or could not answer to its end: in its words.
    #[error("{0}")]
    Device(String),
    /// The server could not answer it.
    #[error(transparent)]
    Here(#[from] SqlError),
}

/// Where questions are put; cheap to clone.
#[derive(Clone)]
pub struct Questions {
    switchboard: Switchboard,
    sight: Sight,
}

impl Questions {
    /// On top of the lines to the devices.
    pub fn new(switchboard: Switchboard, may: config::Questions) -> Self {
        Self { switchboard, sight: Sight { personal: may.personal, content: may.content } }
    }

    /// What a question may show at most.
    pub fn sight(&self) -> Sight {
        self.sight
    }
}
