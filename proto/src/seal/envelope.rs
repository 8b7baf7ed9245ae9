//! The DSSE envelope: a payload, and signatures over its type and bytes.
//!
//! Why one spelling: an envelope is taken only as this file writes it, byte for byte. What is not signed in it (names, order, blanks) then cannot be
//! changed either.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::Broken;

/// What the payload of every seal is.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// Most bytes of an envelope: a statement over as many files as a bundle may hold fits.
pub const ENVELOPE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Certificates in one chain: the signer's and the CA's.
const CHAIN_MAX: usize = 4;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: Vec<WrittenSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSignature {
    keyid: String,
    sig: String,
    /// Beyond the DSSE specification, which lets readers pass over it.
    chain: Vec<String>,
}

/// An envelope with its one signature. What it says is to be believed only after `Trust` has checked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The statement's bytes.
    pub payload: Vec<u8>,
    /// SHA-256 of the signer's certificate, lower-case hex.
    pub keyid: String,
    /// The signature over the payload's pre-authentication encoding.
    pub signature: Vec<u8>,
    /// The signer's certificate, then the CA's, DER.
    pub chain: Vec<Vec<u8>>,
}

/// What is signed: DSSE's pre-authentication encoding of type and payload.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

impl Envelope {
    /// As JSON, the same for the same envelope.
    pub fn write(&self) -> Vec<u8> {
        let signature = WrittenSignature {
            keyid: self.keyid.clone(),
            sig: BASE64.encode(&self.signature),
            chain: self.chain.iter().map(|certificate| BASE64.encode(certificate)).collect(),
        };
        let written = Written {
            payload_type: PAYLOAD_TYPE.into(),
            payload: BASE64.encode(&self.payload),
            signatures: vec![signature],
        };
        // Strings and lists of strings always are JSON.
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// Reads what [`Envelope::write`] wrote, and nothing else.
    pub fn read(bytes: &[u8]) -> Result<Self, Broken> {
        if bytes.len() as u64 > ENVELOPE_BYTES_MAX {
            return Err(Broken::new(format!("its envelope has more than {ENVELOPE_BYTES_MAX} bytes")));
        }
        let no = |what: &str| Broken::new(format!("its envelope is not one that Deskside writes: {what}"));
        let written: Written = serde_json::from_slice(bytes).map_err(|error| no(&error.to_string()))?;
        if written.payload_type != PAYLOAD_TYPE {
            return Err(no(&format!("its payload is of another type than {PAYLOAD_TYPE}")));
        }
        let [signature] = written.signatures.as_slice() else { return Err(no("it has not exactly one signature")) };
        if signature.chain.is_empty() || signature.chain.len() > CHAIN_MAX {
            return Err(no("it carries no chain of certificates"));
        }
        let decode = |text: &String| BASE64.decode(text.as_bytes()).map_err(|error| no(&error.to_string()));
        let envelope = Self {
            payload: decode(&written.payload)?,
            keyid: signature.keyid.clone(),
            signature: decode(&signature.sig)?,
            chain: signature.chain.iter().map(decode).collect::<Result<_, _>>()?,
        };
        if envelope.write() != bytes {
            return Err(no("it is spelled in another way"));
        }
        Ok(envelope)
    }

    /// What was signed.
    pub(super) fn signed(&self) -> Vec<u8> {
        pae(PAYLOAD_TYPE, &self.payload)
    }
}
