//! A file within JSON: base64 between what stands before it and after it, made while it is sent, never all in memory.

use data_encoding::BASE64;
use futures_util::{StreamExt, stream};
use prost::bytes::{Bytes, BytesMut};
use reqwest::Body;

use super::{File, Trouble};

/// What stands in the place of the file in the JSON that is given. Why this one: no text of ours holds a control character unescaped.
pub(super) const HERE: &str = "\u{1}file\u{1}";

/// A body, and how long it is.
pub(super) struct Inline {
    /// The body.
    pub(super) body: Body,
    /// Its length, bytes.
    pub(super) length: u64,
}

/// JSON with the file's base64 in the place of [`HERE`].
pub(super) async fn json(json: &serde_json::Value, file: &File) -> Result<Inline, Trouble> {
    let text = json.to_string();
    let (before, after) = text
        .split_once("\\u0001file\\u0001")
        .ok_or_else(|| Trouble::never("the request has no place for the file".to_owned()))?;
    let length = before.len() as u64 + file.size.div_ceil(3) * 4 + after.len() as u64;
    let pieces = file.open().await.map_err(|error| Trouble::later(format!("{}: {error:#}", file.name)))?;
    let (before, after) = (Bytes::from(before.to_owned()), Bytes::from(after.to_owned()));
    // Why a None at the end: what is left over of a group of three is known to be the last then.
    let coded = pieces.map(Some).chain(stream::iter([None])).scan(BytesMut::new(), |held, piece| {
        let coded = match piece {
            Some(Ok(piece)) => {
                held.extend_from_slice(&piece);
                let whole = held.len() - held.len() % 3;
                Ok(Bytes::from(BASE64.encode(&held.split_to(whole))))
            }
            Some(Err(error)) => Err(std::io::Error::other(format!("{error:#}"))),
            None => Ok(Bytes::from(BASE64.encode(&held.split()))),
        };
        std::future::ready(Some(coded))
    });
    let whole = stream::iter([Ok(before)]).chain(coded).chain(stream::iter([Ok(after)]));
    Ok(Inline { body: Body::wrap_stream(whole), length })
}
