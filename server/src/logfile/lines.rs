//! Lines of a file, each within a bound, however long the file's are.

use std::io::{self, BufRead};

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileLine {
    /// Its bytes, up to the bound.
    pub(super) bytes: Vec<u8>,
    /// How long it is, where that is more.
    pub(super) cut_from_bytes: Option<u64>,
    /// Where it begins in the file.
    pub(super) offset: u64,
}

/// Reads lines one by one; `bytes_max` of each are kept.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    bytes_max: usize,
    offset: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R, bytes_max: usize) -> Self {
        Self { reader, bytes_max, offset: 0 }
    }

    /// The next line; none at the file's end.
    pub(super) fn next(&mut self) -> io::Result<Option<FileLine>> {
        let offset = self.offset;
        let (mut bytes, mut length) = (Vec::new(), 0_u64);
        loop {
            let piece = self.reader.fill_buf()?;
            if piece.is_empty() && self.offset == offset {
                return Ok(None);
            }
            let end = piece.iter().position(|byte| *byte == b'\n');
            let content = piece.get(..end.unwrap_or(piece.len())).unwrap_or_default();
            let room = self.bytes_max.saturating_sub(bytes.len());
            bytes.extend(content.iter().take(room));
            length += content.len() as u64;
            let is_last = end.is_some() || piece.is_empty();
            let used = end.map_or(piece.len(), |end| end + 1);
            self.reader.consume(used);
            self.offset += used as u64;
            if is_last {
                break;
            }
        }
        let cut_from_bytes = (length > bytes.len() as u64).then_some(length);
        if cut_from_bytes.is_none() && bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        Ok(Some(FileLine { bytes, cut_from_bytes, offset }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn lines_have_a_bound_and_a_place() {
        let mut lines = Lines::new(BufReader::with_capacity(3, &b"one\r\n\nlong line\nend"[..]), 4);
        let mut told = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            told.push((String::from_utf8(line.bytes).unwrap(), line.cut_from_bytes, line.offset));
        }
        let line = |text: &str, cut, offset| (text.to_owned(), cut, offset);
        assert_eq!(told, [line("one", None, 0), line("", None, 5), line("long", Some(9), 6), line("end", None, 16)]);
    }
}
