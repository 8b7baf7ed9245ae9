//! How readings lie in the file: one by one, compressed where that pays, or many of a table in a block.

use anyhow::{Context, Result, bail};
use deskside_proto::v1::{Batch, Reading};
use prost::{Message, bytes::Bytes};

/// An encoded reading.
const PLAIN: i64 = 0;

/// The same, compressed.
const COMPRESSED: i64 = 1;

/// Why: below this, zstd's frame costs more than it saves.
const COMPRESS_BYTES_MIN: usize = 1024;

/// zstd's level: the quickest. Why: the gain of the next ones is small on what is small.
const LEVEL: i32 = 1;

/// Largest piece that is opened; far above what a message may bring.
const OPENED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One reading's form and bytes.
pub(super) fn seal(reading: &Reading) -> Result<(i64, Vec<u8>)> {
    let plain = reading.encode_to_vec();
    if plain.len() < COMPRESS_BYTES_MIN { Ok((PLAIN, plain)) } else { Ok((COMPRESSED, compress(&plain)?)) }
}

/// A block's bytes.
pub(super) fn seal_block(batch: &Batch) -> Result<Vec<u8>> {
    compress(&batch.encode_to_vec())
}

/// One reading out of its bytes; its rows are slices of them.
pub(super) fn open(form: i64, content: Vec<u8>) -> Result<Reading> {
    match form {
        PLAIN => Ok(Reading::decode(Bytes::from(content))?),
        COMPRESSED => Ok(Reading::decode(unfold(&content)?)?),
        other => bail!("the store has a reading of unknown form {other}"),
    }
}

/// A block's readings out of its bytes; their rows are slices of them.
pub(super) fn open_block(content: &[u8]) -> Result<Batch> {
    Ok(Batch::decode(unfold(content)?)?)
}

fn compress(plain: &[u8]) -> Result<Vec<u8>> {
    zstd::bulk::compress(plain, LEVEL).context("compressing readings")
}

fn unfold(content: &[u8]) -> Result<Bytes> {
    let length = zstd::zstd_safe::get_frame_content_size(content).ok().flatten();
    let length = length.and_then(|length| usize::try_from(length).ok()).filter(|length| *length <= OPENED_BYTES_MAX);
    let length = length.context("a piece of the store does not say its length")?;
    Ok(Bytes::from(zstd::bulk::decompress(content, length).context("opening a piece of the store")?))
}
