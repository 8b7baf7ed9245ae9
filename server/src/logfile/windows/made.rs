//! Writes event logs for tests, after libevtx's description of the format: made, not recorded on Windows.
//!
//! One header, one chunk, records of plain binary XML without templates.

use flate2::Crc;

const CHUNK_BYTES: usize = 64 * 1024;
const CHUNK_HEADER_BYTES: usize = 512;
/// 100 ns from 1601 to 1970.
const FILETIME_OF_1970: u64 = 116_444_736_000_000_000;

/// An element of XML.
pub(super) struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    inner: Vec<Element>,
    text: String,
}

/// An element with attributes and what is in it.
pub(super) fn element(name: &'static str, attributes: &[(&'static str, &str)], inner: Vec<Element>) -> Element {
    let attributes = attributes.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Element { name, attributes, inner, text: String::new() }
}

/// An element with text in it.
pub(super) fn text(name: &'static str, attributes: &[(&'static str, &str)], text: &str) -> Element {
    Element { text: text.to_owned(), ..element(name, attributes, Vec::new()) }
}

/// A whole file of these events, written a second after each other from `from_ms` on.
pub(super) fn file(events: &[Element], from_ms: u64) -> Vec<u8> {
    let count = events.len() as u64;
    let mut file = Vec::new();
    file.extend(b"ElfFile\0");
    // First and last chunk, next record.
    put_numbers(&mut file, [0, 0, count + 1].map(u64::to_le_bytes));
    // Size of the header, version 3.1, size of its block, chunks.
    file.extend(128_u32.to_le_bytes());
    put_numbers(&mut file, [1, 3, 4096, 1].map(u16::to_le_bytes));
    file.resize(120, 0);
    let checksum = crc(&[&file]);
    file.extend(0_u32.to_le_bytes());
    file.extend(checksum.to_le_bytes());
    file.resize(4096, 0);
    file.extend(chunk(events, from_ms));
    file
}

fn chunk(events: &[Element], from_ms: u64) -> Vec<u8> {
    let mut chunk = vec![0; CHUNK_HEADER_BYTES];
    let mut last = chunk.len();
    for (number, event) in events.iter().enumerate() {
        last = chunk.len();
        let number = number as u64;
        chunk.extend(b"**\0\0\0\0\0\0");
        chunk.extend((number + 1).to_le_bytes());
        chunk.extend(((from_ms + number * 1000) * 10_000 + FILETIME_OF_1970).to_le_bytes());
        // The fragment's header: version 1.1, no flags.
        chunk.extend([0x0f, 1, 1, 0]);
        put(&mut chunk, event);
        chunk.push(0x00);
        let size = (chunk.len() + 4 - last) as u32;
        chunk.extend(size.to_le_bytes());
        chunk[last + 4..last + 8].copy_from_slice(&size.to_le_bytes());
    }
    let (count, free) = (events.len() as u64, chunk.len());
    let records = crc(&[&chunk[CHUNK_HEADER_BYTES..]]);
    let mut header = b"ElfChnk\0".to_vec();
    put_numbers(&mut header, [1, count, 1, count].map(u64::to_le_bytes));
    put_numbers(&mut header, [128, last as u32, free as u32, records].map(u32::to_le_bytes));
    chunk[..header.len()].copy_from_slice(&header);
    let checksum = crc(&[&chunk[..120], &chunk[128..CHUNK_HEADER_BYTES]]);
    chunk[124..128].copy_from_slice(&checksum.to_le_bytes());
    assert!(chunk.len() <= CHUNK_BYTES, "one chunk is all that is written");
    chunk.resize(CHUNK_BYTES, 0);
    chunk
}

fn put_numbers<const N: usize, const COUNT: usize>(bytes: &mut Vec<u8>, numbers: [[u8; N]; COUNT]) {
    bytes.extend(numbers.as_flattened());
}

fn crc(parts: &[&[u8]]) -> u32 {
    let mut crc = Crc::new();
    for part in parts {
        crc.update(part);
    }
    crc.sum()
}

fn put(chunk: &mut Vec<u8>, element: &Element) {
    let has_attributes = !element.attributes.is_empty();
    chunk.push(if has_attributes { 0x41 } else { 0x01 });
    let size = hole(chunk);
    put_name(chunk, element.name);
    if has_attributes {
        let list = hole(chunk);
        for (place, (name, value)) in element.attributes.iter().enumerate() {
            chunk.push(if place + 1 < element.attributes.len() { 0x46 } else { 0x06 });
            put_name(chunk, name);
            put_text(chunk, value);
        }
        fill(chunk, list);
    }
    chunk.push(0x02);
    if !element.text.is_empty() {
        put_text(chunk, &element.text);
    }
    element.inner.iter().for_each(|inner| put(chunk, inner));
    chunk.push(0x04);
    fill(chunk, size);
}

/// Room for a size that is known later.
fn hole(chunk: &mut Vec<u8>) -> usize {
    chunk.extend([0; 4]);
    chunk.len()
}

fn fill(chunk: &mut [u8], begin: usize) {
    let size = (chunk.len() - begin) as u32;
    chunk[begin - 4..begin].copy_from_slice(&size.to_le_bytes());
}

/// A name stands where it is used: its place in the chunk, the next of its hash (none), its hash, its letters and a zero.
fn put_name(chunk: &mut Vec<u8>, name: &str) {
    let place = chunk.len() as u32 + 4;
    chunk.extend(place.to_le_bytes());
    chunk.extend(0_u32.to_le_bytes());
    let hash = name.encode_utf16().fold(0_u32, |hash, unit| hash.wrapping_mul(65_599).wrapping_add(unit.into()));
    chunk.extend((hash as u16).to_le_bytes());
    put_units(chunk, name);
    chunk.extend([0, 0]);
}

/// A value of the type string.
fn put_text(chunk: &mut Vec<u8>, text: &str) {
    chunk.extend([0x05, 0x01]);
    put_units(chunk, text);
}

fn put_units(chunk: &mut Vec<u8>, text: &str) {
    chunk.extend((text.encode_utf16().count() as u16).to_le_bytes());
    text.encode_utf16().for_each(|unit| chunk.extend(unit.to_le_bytes()));
}
