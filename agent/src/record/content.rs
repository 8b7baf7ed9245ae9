//! How readings lie in the file: one by one, compressed where that pays, or many in a block.

use deskside_proto::READING_BYTES_MAX;
use deskside_proto::v1::{Batch, Numbered, Reading};
use prost::Message;
use prost::bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};

use super::RecordError;

/// A reading as protobuf.
pub(super) const PLAIN: i64 = 0;
/// The same, compressed.
pub(super) const COMPRESSED: i64 = 1;
/// Several readings of one table as a [`Batch`], compressed.
pub(super) const BLOCK: i64 = 2;

/// Why: below this, zstd's frame costs more than it saves.
const COMPRESS_BYTES_MIN: usize = 1024;

/// Why the lowest: on readings it packs as tightly as level 3, whose tables leave the idle agent half a mebibyte larger.
const LEVEL: i32 = 1;

/// Most bytes that content may unfold to. Why: a damaged file must not choose our memory.
const UNFOLDED_BYTES_MAX: usize = 4 * READING_BYTES_MAX;

/// Compresses readings of one transaction. Why for so long and no longer: a context is costly to make for each reading, and too large to keep.
#[derive(Default)]
pub(super) struct Sealer {
    context: Option<Compressor<'static>>,
}

impl Sealer {
    /// One reading's form and bytes.
    pub(super) fn seal(&mut self, reading: &Reading) -> Result<(i64, Vec<u8>), RecordError> {
        let plain = reading.encode_to_vec();
        if plain.len() < COMPRESS_BYTES_MIN {
            return Ok((PLAIN, plain));
        }
        Ok((COMPRESSED, self.compress(&plain)?))
    }

    fn compress(&mut self, plain: &[u8]) -> Result<Vec<u8>, RecordError> {
        let failed = |error| RecordError::Other(format!("compressing: {error}"));
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(Compressor::new(LEVEL).map_err(failed)?),
        };
        context.compress(plain).map_err(failed)
    }
}

/// A block's bytes.
pub(super) fn seal_block(readings: Vec<Numbered>) -> Result<Vec<u8>, RecordError> {
    Sealer::default().compress(&Batch { epoch: 0, readings }.encode_to_vec())
}

/// What opens compressed content. Why kept by who opens much: making one costs more than opening a small block.
pub(super) fn unfolder() -> Result<Decompressor<'static>, RecordError> {
    Decompressor::new().map_err(|error| RecordError::Other(format!("decompressing: {error}")))
}

/// The readings that lie in a form; a single one has the number given. Their rows are slices of what was unfolded.
pub(super) fn open(
    seq: u64,
    form: i64,
    content: &[u8],
    unfolder: &mut Decompressor<'static>,
) -> Result<Vec<Numbered>, RecordError> {
    let readings = match form {
        PLAIN => vec![Numbered { seq, reading: Some(decode(Bytes::copy_from_slice(content))?) }],
        COMPRESSED => vec![Numbered { seq, reading: Some(decode(unfold(content, unfolder)?)?) }],
        BLOCK => decode::<Batch>(unfold(content, unfolder)?)?.readings,
        other => return Err(RecordError::Damaged(format!("content of unknown form {other}"))),
    };
    Ok(readings)
}

fn unfold(content: &[u8], unfolder: &mut Decompressor<'static>) -> Result<Bytes, RecordError> {
    let length = zstd::zstd_safe::get_frame_content_size(content).ok().flatten();
    let length = length.and_then(|length| usize::try_from(length).ok()).filter(|length| *length <= UNFOLDED_BYTES_MAX);
    let length = length.ok_or_else(|| RecordError::Damaged("a compressed reading without its length".into()))?;
    let unfolded = unfolder.decompress(content, length);
    unfolded.map(Bytes::from).map_err(|error| RecordError::Damaged(format!("a compressed reading: {error}")))
}

fn decode<M: Message + Default>(bytes: Bytes) -> Result<M, RecordError> {
    M::decode(bytes).map_err(|error| RecordError::Damaged(format!("a reading: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(readings: u64) -> Vec<u8> {
        let reading = |seq: u64| {
            let row = Bytes::from(seq.to_le_bytes().repeat(20));
            let reading = Reading { table: "load".into(), at_ms: 7, rows: vec![row; 5], ..Reading::default() };
            Numbered { seq, reading: Some(reading) }
        };
        seal_block((0..readings).map(reading).collect()).unwrap()
    }

    fn opened(form: i64, content: &[u8]) -> Result<Vec<Numbered>, RecordError> {
        open(1, form, content, &mut unfolder().unwrap())
    }

    #[test]
    fn content_that_says_it_unfolds_to_more_than_it_may_is_refused_before_memory_is_taken_for_it() {
        let bomb = zstd::bulk::compress(&vec![0; UNFOLDED_BYTES_MAX + 1], LEVEL).unwrap();
        assert!(bomb.len() < 64 * 1024);
        assert!(matches!(opened(BLOCK, &bomb), Err(RecordError::Damaged(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn bytes_that_nobody_sealed_are_refused_or_read_but_never_harm(
            form in 0_i64..4,
            content in prop::collection::vec(any::<u8>(), 0..256),
        ) {
            opened(form, &content).ok();
        }

        #[test]
        fn a_block_that_is_cut_or_altered_is_refused_or_read_but_never_harms(
            readings in 1_u64..60,
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut content = block(readings);
            prop_assert_eq!(opened(BLOCK, &content).unwrap().len() as u64, readings);
            let at = at.index(content.len());
            prop_assert!(opened(BLOCK, content.get(..at).unwrap()).is_err());
            if let Some(altered) = content.get_mut(at) {
                *altered = byte;
            }
            opened(BLOCK, &content).ok();
        }
    }
}
