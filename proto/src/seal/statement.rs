//! What is signed: an in-toto Statement v1 and the predicates of Deskside.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Broken, FILES_MAX};

/// What every statement says that it is.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// One file, or one thing that has a hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Its path.
    pub name: String,
    /// Hashes by algorithm; `sha256` is always there, lower-case hex.
    pub digest: BTreeMap<String, String>,
}

impl Subject {
    /// With its SHA-256, lower-case hex.
    pub fn new(name: impl Into<String>, sha256: impl Into<String>) -> Self {
        Self { name: name.into(), digest: BTreeMap::from([("sha256".to_owned(), sha256.into())]) }
    }

    /// Its SHA-256; empty where there is none.
    pub fn sha256(&self) -> &str {
        self.digest.get("sha256").map_or("", String::as_str)
    }
}

/// What a statement says of its subjects.
pub trait Predicate: Serialize + DeserializeOwned {
    /// Which kind it is. Why a URN: the name is the project's own and belongs to no domain.
    const TYPE: &'static str;
}

/// A statement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statement<P> {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// The files.
    pub subject: Vec<Subject>,
    /// [`Predicate::TYPE`].
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// What is said of them.
    pub predicate: P,
}

impl<P: Predicate> Statement<P> {
    /// Of these files.
    pub fn new(subject: Vec<Subject>, predicate: P) -> Self {
        Self { kind: STATEMENT_TYPE.into(), subject, predicate_type: P::TYPE.into(), predicate }
    }

    /// Reads a payload.
    pub fn read(payload: &[u8]) -> Result<Self, Broken> {
        // Why first: a statement of another kind is named as such, whatever its predicate looks like.
        let kind: Statement<serde_json::Value> = serde_json::from_slice(payload)
            .map_err(|error| Broken::new(format!("its statement cannot be read: {error}")))?;
        if kind.kind != STATEMENT_TYPE || kind.predicate_type != P::TYPE {
            let (kind, what) = (kind.kind, kind.predicate_type);
            return Err(Broken::new(format!("its statement is {what:?} of {kind:?}, and not {:?}", P::TYPE)));
        }
        if kind.subject.len() > FILES_MAX {
            return Err(Broken::new(format!("its statement lists more than {FILES_MAX} files")));
        }
        serde_json::from_slice(payload).map_err(|error| Broken::new(format!("its statement cannot be read: {error}")))
    }
}

/// The device that packed a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSeen {
    /// Its UUID; the certificate's too.
    pub id: String,
    /// Host name.
    pub hostname: String,
}

/// When, by two clocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clocks {
    /// The device's clock, in milliseconds since 1970-01-01 UTC.
    pub utc_ms: i64,
    /// Milliseconds since the device booted, which nobody sets; absent where the system does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_ms: Option<u64>,
    /// Identity of that boot.
    pub boot_id: String,
    /// The server's clock minus the device's, as last measured before.
    pub server_offset_ms: i64,
}

impl Clocks {
    /// When, by the server's clock.
    pub fn server_ms(&self) -> i64 {
        self.utc_ms.saturating_add(self.server_offset_ms)
    }
}

/// A time window, device's clock, in milliseconds since 1970-01-01 UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSeen {
    /// From, inclusive.
    pub from_ms: i64,
    /// To, inclusive.
    pub to_ms: i64,
}

/// What became of one part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartSeen {
    /// Table or probe.
    pub name: String,
    /// Its outcome in a word or two.
    pub outcome: String,
    /// Rows in the bundle.
    pub rows: u64,
    /// Why not ok.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// The bytes of a ZIP file that come before its seal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// How many.
    pub bytes: u64,
    /// Their SHA-256, lower-case hex. Why besides that of each file: a packed file can be spelled in more than one way.
    pub sha256: String,
}

/// What a device says of a bundle that it packed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The device.
    pub device: DeviceSeen,
    /// The collection that it answers.
    pub collection: String,
    /// The ticket's number.
    pub ticket: u64,
    /// The recipe's name; empty where it was put together by hand, or the server does not say.
    #[serde(default)]
    pub recipe: String,
    /// Who asked.
    pub requested_by: String,
    /// What packed it: program and version.
    pub tool: String,
    /// What was asked for.
    pub window: WindowSeen,
    /// When it was sealed.
    pub sealed: Clocks,
    /// What came and what did not.
    pub parts: Vec<PartSeen>,
    /// The file up to the seal.
    pub container: Container,
}

impl Predicate for Bundle {
    const TYPE: &'static str = "urn:deskside:bundle:v1";
}

/// Where a ticket's own chain ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketHead {
    /// The ticket's number.
    pub ticket: u64,
    /// Entries of it.
    pub entries: u64,
    /// Hash of the last of them; empty where there is none.
    pub hash: String,
}

/// What the server says of where its custody log ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// When, server's clock, in milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// Number of the last entry; entries count from 1.
    pub number: u64,
    /// Its hash; empty where there is none.
    pub hash: String,
    /// The same of one ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<TicketHead>,
}

impl Predicate for Head {
    const TYPE: &'static str = "urn:deskside:custody-head:v1";
}

/// One item of an exported case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedItem {
    /// Its identity.
    pub id: String,
    /// Its path in the export; empty where its content was deleted.
    pub path: String,
    /// Its SHA-256, lower-case hex.
    pub sha256: String,
    /// It is a bundle that a device sealed; else it was attached by hand, or its seal does not hold.
    pub sealed: bool,
}

/// What the server says of a case that it exported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// When, server's clock, in milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// The ticket's number.
    pub ticket: u64,
    /// Who asked for it.
    pub exported_by: String,
    /// SHA-256 of the CA's certificate, lower-case hex.
    pub ca_sha256: String,
    /// Its items.
    pub items: Vec<SealedItem>,
}

impl Predicate for Case {
    const TYPE: &'static str = "urn:deskside:case:v1";
}
