//! Seals: what evidence is, who made it and that nothing of it was changed since, in a form that is checked without the server.
//!
//! A seal is an in-toto Statement v1 (<https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>): a list of files with their SHA-256,
//! and a predicate that says where they are from. It stands in a DSSE envelope (<https://github.com/secure-systems-lab/dsse>), signed by a key
//! whose certificate the server's CA issued, and which the envelope carries along.
//!
//! | seal | file | signed by | predicate |
//! |---|---|---|---|
//! | of a bundle | `manifest.dsse.json`, last in the bundle | the device | [`Bundle`] |
//! | of the custody log's end | `custody-head.dsse.json` | the server | [`Head`] |
//! | of an exported case | `case.dsse.json`, last in the export | the server | [`Case`] |

mod archive;
mod bundle;
mod case;
mod certificate;
mod entry;
mod envelope;
mod report;
mod sealing;
mod sign;
mod statement;
#[cfg(test)]
mod tests;

use std::io::{self, Read};

use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256, digest};

pub use archive::{Archive, FILES_MAX, Filed};
pub use bundle::{BUNDLE_SEAL, Sealed, check_bundle, seal_of};
pub use case::{CASE_SEAL, CUSTODY_HEAD, CUSTODY_LOG, ITEMS, check_case, read_head};
pub use certificate::{DOCUMENT_SIGNING_OID, Trust, fingerprint};
pub use entry::{Break, Entry, Links};
pub use envelope::{ENVELOPE_BYTES_MAX, Envelope, PAYLOAD_TYPE, pae};
pub use report::{Check, Report};
pub use sealing::seal_bundle;
pub use sign::Signer;
pub use statement::{
    Bundle, Case, Clocks, Container, DeviceSeen, Head, PartSeen, Predicate, STATEMENT_TYPE, SealedItem, Statement,
    Subject, TicketHead, WindowSeen,
};

/// Bytes that are hashed at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// SHA-256, lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}

/// SHA-256 of all that can be read, lower-case hex, and how much it was. Memory stays flat.
pub fn sha256_of(from: &mut dyn Read) -> io::Result<(String, u64)> {
    let (mut hash, mut piece, mut size) = (Context::new(&SHA256), vec![0; PIECE_BYTES], 0);
    loop {
        let read = match from.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        hash.update(bytes);
        size += bytes.len() as u64;
    }
    Ok((HEXLOWER.encode(hash.finish().as_ref()), size))
}

/// Why something is not what it claims to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub String);

impl Broken {
    fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self(format!("it cannot be read: {error}"))
    }
}
