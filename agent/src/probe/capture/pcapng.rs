//! Captured packets as a file that every analyser opens (pcapng, draft-ietf-opsawg-pcapng).
//!
//! Why our own: it is five kinds of block that are only written, and the crate for it is between two releases.

use std::io::{self, Write};

use ring::digest::{Context, SHA256};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;

const COMMENT: u16 = 1;
const APPLICATION: u16 = 4;
const NAME: u16 = 2;
const RESOLUTION: u16 = 9;
const FILTER: u16 = 11;
const FLAGS: u16 = 2;
const RECEIVED: u16 = 4;
const DROPPED: u16 = 5;
const ACCEPTED: u16 = 6;
const DELIVERED: u16 = 8;

/// Times are in nanoseconds.
const NANOSECONDS: u8 = 9;

/// Bytes of a packet's block beside the packet.
const PACKET_BLOCK_BYTES: u64 = 12 + 20 + 8 + 4 + 3;

/// A file that is being written, its bytes counted and hashed.
pub(super) struct File<W> {
    out: W,
    hash: Context,
    bytes: u64,
    interfaces: u32,
}

/// What the kernel counted, of all interfaces together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    /// That the filter let through.
    pub(super) accepted: u64,
    /// Of those, dropped.
    pub(super) dropped: u64,
}

/// A packet of an interface.
#[derive(Clone, Copy, Debug)]
pub(super) struct Captured<'a> {
    pub(super) interface: u32,
    pub(super) at_ns: u64,
    pub(super) outgoing: bool,
    pub(super) length: u32,
    pub(super) bytes: &'a [u8],
}

impl<W: Write> File<W> {
    /// Begins it, with words for the one who opens it.
    pub(super) fn begin(out: W, comment: &str, application: &str) -> io::Result<Self> {
        let mut file = Self { out, hash: Context::new(&SHA256), bytes: 0, interfaces: 0 };
        let mut body = BYTE_ORDER.to_le_bytes().to_vec();
        // Version 1.0; the section's length is not told.
        body.extend([1, 0, 0, 0]);
        body.extend(u64::MAX.to_le_bytes());
        option(&mut body, COMMENT, comment.as_bytes());
        option(&mut body, APPLICATION, application.as_bytes());
        end(&mut body);
        file.block(SECTION, &body)?;
        Ok(file)
    }

    /// Bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that a packet takes, at most.
    pub(super) fn needs(packet: &[u8]) -> u64 {
        PACKET_BLOCK_BYTES + packet.len() as u64
    }

    /// Tells of an interface; its number in the file.
    pub(super) fn interface(&mut self, name: &str, link: u16, snaplen: u32, filter: &str) -> io::Result<u32> {
        let mut body = link.to_le_bytes().to_vec();
        body.extend([0, 0]);
        body.extend(snaplen.to_le_bytes());
        option(&mut body, NAME, name.as_bytes());
        option(&mut body, RESOLUTION, &[NANOSECONDS]);
        if !filter.is_empty() {
            // Its first byte says that it is text.
            option(&mut body, FILTER, &[&[0], filter.as_bytes()].concat());
        }
        end(&mut body);
        self.block(INTERFACE, &body)?;
        self.interfaces += 1;
        Ok(self.interfaces - 1)
    }

    /// Adds a packet.
    pub(super) fn packet(&mut self, packet: &Captured<'_>) -> io::Result<()> {
        let mut body = Vec::with_capacity(packet.bytes.len() + 64);
        body.extend(packet.interface.to_le_bytes());
        body.extend(((packet.at_ns >> 32) as u32).to_le_bytes());
        body.extend((packet.at_ns as u32).to_le_bytes());
        body.extend((packet.bytes.len() as u32).to_le_bytes());
        body.extend(packet.length.to_le_bytes());
        body.extend(packet.bytes);
        body.resize(body.len().next_multiple_of(4), 0);
        let direction: u32 = if packet.outgoing { 2 } else { 1 };
        option(&mut body, FLAGS, &direction.to_le_bytes());
        end(&mut body);
        self.block(PACKET, &body)
    }

    /// Ends it: for each interface what is in the file, and what the filter let through and what was dropped. The hash of the whole.
    ///
    /// Why `isb_ifdrop` for what the kernel dropped: dumpcap writes it there, and analysers read it there.
    pub(super) fn finish(mut self, at_ns: u64, counted: Counted, delivered: &[u64]) -> io::Result<(u64, Vec<u8>)> {
        for (number, delivered) in (0_u32..self.interfaces).zip(delivered) {
            let mut body = number.to_le_bytes().to_vec();
            body.extend(((at_ns >> 32) as u32).to_le_bytes());
            body.extend((at_ns as u32).to_le_bytes());
            if self.interfaces == 1 {
                for (kind, count) in
                    [(RECEIVED, counted.accepted), (DROPPED, counted.dropped), (ACCEPTED, counted.accepted)]
                {
                    option(&mut body, kind, &count.to_le_bytes());
                }
            } else {
                let words = format!("Of all interfaces together {} packets were dropped.", counted.dropped);
                option(&mut body, COMMENT, words.as_bytes());
            }
            option(&mut body, DELIVERED, &delivered.to_le_bytes());
            end(&mut body);
            self.block(STATISTICS, &body)?;
        }
        self.out.flush()?;
        Ok((self.bytes, self.hash.finish().as_ref().to_vec()))
    }

    fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let length = (body.len() as u32 + 12).to_le_bytes();
        for piece in [&kind.to_le_bytes()[..], &length, body, &length] {
            self.hash.update(piece);
            self.out.write_all(piece)?;
            self.bytes += piece.len() as u64;
        }
        Ok(())
    }
}

/// An option, padded to four bytes, its length cut to what fits.
fn option(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let value = value.get(..usize::from(u16::MAX) - 3).unwrap_or(value);
    body.extend(kind.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn end(body: &mut Vec<u8>) {
    body.extend([0; 4]);
}
