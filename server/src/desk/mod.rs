//! What a technician talks to: the gRPC service `Desk`. Every call says who asks, is checked and bounded here, and leaves a line in the audit log.

mod access;
mod admission;
mod approvals;
mod asking;
mod attaching;
mod caller;
mod casefile;
mod collecting;
mod custody;
mod evidence;
mod exporting;
mod help_desks;
mod keeping;
mod known;
mod logging;
mod people;
mod probing;
mod querying;
mod questions;
mod refusal;
mod service;
mod session;
mod signatures;
#[cfg(test)]
mod tests;
mod ticketing;

use std::sync::Arc;

use deskside_proto::MESSAGE_BYTES_MAX;
use deskside_proto::v1::desk_server::DeskServer;

use crate::blobs::Blobs;
use crate::case::{Cases, words};
use crate::casefile::CaseFiles;
use crate::config::FourEyes;
use crate::custody::Custody;
use crate::gateway::Switchboard;
use crate::identity::oidc::Provider;
use crate::question::Questions;
use crate::store::Store;
use crate::ticket::HelpDesks;
pub use admission::Admission;
use approvals::Approvals;
pub use attaching::Scratch;
use caller::Verified;
use known::Counts;

/// Largest answer. Why: a case with its devices is one message, and may hold several long tables' states.
const ANSWER_BYTES_MAX: usize = 16 * MESSAGE_BYTES_MAX;

/// The service; cheap to clone.
#[derive(Clone)]
pub struct Desk {
    store: Arc<dyn Store>,
    blobs: Blobs,
    switchboard: Switchboard,
    cases: Cases,
    scratch: Scratch,
    questions: Questions,
    case_files: CaseFiles,
    help_desks: HelpDesks,
    custody: Custody,
    counts: Counts,
    verified: Verified,
    provider: Option<Provider>,
    approvals: Approvals,
}

impl Desk {
    /// On top of everything.
    pub fn new(
        store: Arc<dyn Store>,
        blobs: Blobs,
        switchboard: Switchboard,
        cases: Cases,
        scratch: Scratch,
        questions: Questions,
        (help_desks, custody): (HelpDesks, Custody),
    ) -> Self {
        let case_files = CaseFiles::new(Arc::clone(&store), questions.clone(), switchboard.clone());
        Self {
            store,
            blobs,
            switchboard,
            cases,
            scratch,
            questions,
            case_files,
            help_desks,
            custody,
            counts: Counts::default(),
            verified: Verified::default(),
            provider: None,
            approvals: Approvals::default(),
        }
    }

    /// With an identity provider, and what takes a second person.
    #[must_use]
    pub fn with_rules(mut self, provider: Option<Provider>, four_eyes: FourEyes) -> Self {
        self.provider = provider;
        self.approvals = Approvals::new(four_eyes);
        self
    }

    /// As tonic serves it, with its bounds, and behind the one who looks at tokens and roles.
    pub fn into_service(self) -> Admission {
        let service = DeskServer::new(self.clone());
        let service = service.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(ANSWER_BYTES_MAX);
        Admission::new(self, service)
    }
}
