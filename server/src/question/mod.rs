//! Questions in SQL: put to a device itself, to all that are connected, or answered from what the server knows; piece by piece.

mod device;
mod fleet;
mod known;
mod live;
mod past;
mod stored;

use std::pin::Pin;
use std::sync::Arc;

use deskside_proto::sql::SqlError;
use deskside_proto::v1::{QueryPart, Sight};
use futures_util::Stream;
use tokio::sync::Semaphore;

use crate::config;
use crate::gateway::{NotReached, Switchboard};
use crate::store::{Device, Store};

/// Questions that the server works on itself at a time; more wait.
const TURNS: usize = 4;

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

impl Unanswered {
    #[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
    fn store(error: anyhow::Error) -> Self {
        Self::Here(SqlError::Source(format!("{error:#}")))
    }
}

/// Where questions are put; cheap to clone.
#[derive(Clone)]
pub struct Questions {
    store: Arc<dyn Store>,
    switchboard: Switchboard,
    sight: Sight,
    turns: Arc<Semaphore>,
}

impl Questions {
    /// On top of the store and the lines to the devices.
    pub fn new(store: Arc<dyn Store>, switchboard: Switchboard, may: config::Questions) -> Self {
        let sight = Sight { personal: may.personal, content: may.content };
        Self { store, switchboard, sight, turns: Arc::new(Semaphore::new(TURNS)) }
    }

    /// What a question may show at most.
    pub fn sight(&self) -> Sight {
        self.sight
    }

    /// Why a device is not asked itself, in words: it is off since a time, or was cut off.
    pub fn off(device: &Device) -> String {
        let words =
            if device.revoked { "was revoked and is cut off for good".into() } else { fleet::off_since(device) };
        format!("{} {words}; this is what was known then", device.name)
    }
}
