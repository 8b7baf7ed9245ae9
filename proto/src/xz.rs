//! What an xz file held, read in bounded memory: logs are rotated and sent so.
//!
//! The decoder is driven here and not by its own reader, which does not go on behind the first of several streams.

use std::io::{self, ErrorKind, Read};

use xz4rust::{XzDecoder, XzError, XzNextBlockResult};

/// The dictionary before a file's head has said how large it has to be.
const DICTIONARY_BYTES: usize = 4096;

/// Bytes of a file that are read at once.
const BUFFER_BYTES: usize = 16 * 1024;

/// All streams of an xz file, one after the other.
#[derive(Debug)]
pub struct Xz<R> {
    from: R,
    decoder: Box<XzDecoder<'static>>,
    dictionary_bytes_max: usize,
    buffer: Vec<u8>,
    /// What of the buffer is still to be decoded.
    at: usize,
    filled: usize,
    /// A stream has ended, and no other has begun.
    between: bool,
}

impl<R: Read> Xz<R> {
    /// Of a file that stands at its beginning. One that wants a larger dictionary is refused when it is read.
    pub fn new(from: R, dictionary_bytes_max: usize) -> Self {
        let decoder = XzDecoder::in_heap_with_alloc_dict_size(DICTIONARY_BYTES, dictionary_bytes_max);
        Self { from, decoder, dictionary_bytes_max, buffer: vec![0; BUFFER_BYTES], at: 0, filled: 0, between: false }
    }

    /// Reads more of the file where nothing is left to be decoded; false at its end.
    fn fill(&mut self) -> io::Result<bool> {
        if self.at == self.filled {
            (self.at, self.filled) = (0, self.from.read(&mut self.buffer)?);
        }
        Ok(self.filled > 0)
    }

    fn in_words(&self, error: XzError) -> io::Error {
        if let XzError::DictionaryTooLarge(bytes) = error {
            return io::Error::other(format!(
                "it wants {} MiB of memory to be unpacked, and {} MiB are given",
                bytes >> 20,
                self.dictionary_bytes_max >> 20
            ));
        }
        io::Error::new(ErrorKind::InvalidData, error)
    }
}

impl<R: Read> Read for Xz<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.fill()? {
                return if self.between { Ok(0) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
            let bytes = self.buffer.get(self.at..self.filled).unwrap_or_default();
            if self.between {
                // What pads streams is zeros.
                if bytes.first() == Some(&0) {
                    self.at += 1;
                    continue;
                }
                self.decoder.reset();
                self.between = false;
            }
            let (read, written) = match self.decoder.decode(bytes, into) {
                Ok(XzNextBlockResult::NeedMoreData(0, 0)) => return Err(ErrorKind::InvalidData.into()),
                Ok(XzNextBlockResult::NeedMoreData(read, written)) => (read, written),
                Ok(XzNextBlockResult::EndOfStream(read, written)) => {
                    self.between = true;
                    (read, written)
                }
                Err(error) => return Err(self.in_words(error)),
            };
            self.at += read;
            if written > 0 {
                return Ok(written);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use data_encoding::BASE64;

    use super::*;

    /// What `echo one | xz` wrote, and `echo two | xz -9 --check=crc32`.
    const ONE: &str = "/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQADb25lCgD1XLtWH8b9hgABHARvLJzBH7bzfQEAAAAABFla";
    const TWO: &str = "/Td6WFoAAAFpIt42AgAhARwAAAAQz1jMAQADdHdvCgB0CBeWAAEYBGvp8KWQQpkNAQAAAAABWVo=";

    fn unfolded(bytes: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        Xz::new(bytes, 8 << 20).read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn streams_are_read_one_after_the_other_and_one_that_is_cut_is_no_whole_one() {
        let one = BASE64.decode(ONE.as_bytes()).unwrap();
        assert_eq!(unfolded(&one).unwrap(), "one\n");
        let padded = [one.as_slice(), &[0; 8], &one, &[0; 4]].concat();
        assert_eq!(unfolded(&padded).unwrap(), "one\none\n");
        for cut in 0..one.len() {
            assert!(unfolded(&one[..cut]).is_err(), "{cut}");
        }
        assert!(unfolded(&[one.as_slice(), b"more"].concat()).is_err());
    }

    #[test]
    fn a_file_that_wants_more_memory_than_is_given_says_so() {
        let error = unfolded(&BASE64.decode(TWO.as_bytes()).unwrap()).unwrap_err().to_string();
        assert_eq!(error, "it wants 64 MiB of memory to be unpacked, and 8 MiB are given");
    }

    proptest::proptest! {
        #[test]
        fn damage_anywhere_is_survived(at in 0_usize..60, byte: u8) {
            let mut one = BASE64.decode(ONE.as_bytes()).unwrap();
            let at = at % one.len();
            one[at] = byte;
            unfolded(&one).ok();
        }
    }
}
