//! Questions in SQL: put to a device itself, to all that are connected, to a ticket's evidence, or answered from what the server knows; piece by
//! piece. One for a device that is off can be kept until it is back.

mod case;
mod device;
mod fleet;
mod kept;
mod known;
mod live;
mod past;
mod report;
mod stored;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use deskside_proto::sql::SqlError;
use deskside_proto::v1::{QueryPart, Sight};
use futures_util::Stream;
use tokio::sync::Semaphore;

use crate::blobs::Blobs;
use crate::config;
use crate::gateway::{NotReached, Switchboard};
use crate::store::{Device, Role, Store};
use kept::Asking;

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
    blobs: Blobs,
    switchboard: Switchboard,
    may: config::Questions,
    /// Where copies of evidence lie while they are read; they have no names there.
    folder: PathBuf,
    turns: Arc<Semaphore>,
    asking: Arc<Asking>,
}

impl Questions {
    /// On top of the store and the lines to the devices. `folder` is there, and takes files without names.
    pub fn new(
        store: Arc<dyn Store>,
        blobs: Blobs,
        switchboard: Switchboard,
        may: config::Questions,
        folder: PathBuf,
    ) -> Self {
        let turns = Arc::new(Semaphore::new(TURNS));
        Self { store, blobs, switchboard, may, folder, turns, asking: Arc::default() }
    }

    /// What an asker of this role may see.
    pub fn sight(&self, role: Role) -> Sight {
        let technician = role >= Role::Technician;
        Sight { personal: technician && self.may.personal, content: technician && self.may.content }
    }

    /// Why a device is not asked itself, in words: it is off since a time, or was cut off.
    pub fn off(device: &Device) -> String {
        let words =
            if device.revoked { "was revoked and is cut off for good".into() } else { fleet::off_since(device) };
        format!("{} {words}; this is what was known then", device.name)
    }
}
