//! rtnetlink(7) listings: one request, all messages of its answer.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::route::RouteMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::host::{Netlink, READ_BYTES_MAX};

/// How long a listing may take.
const DUMP_MAX: Duration = Duration::from_secs(5);

/// Larger than any piece the kernel sends (32 KiB).
const PIECE_BYTES: usize = 64 * 1024;

/// How often a listing is begun anew because something changed while it was read.
const TRIES: usize = 3;

/// `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// Lists it. After [`TRIES`] interrupted listings the last one stands: it is no worse than a look a moment earlier.
pub(super) fn dump(what: Netlink) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + DUMP_MAX;
    let mut listing = Listing::default();
    for _try in 0..TRIES {
        listing = dump_once(what, deadline)?;
        if !listing.interrupted {
            break;
        }
    }
    Ok(listing.messages)
}

fn dump_once(what: Netlink, deadline: Instant) -> io::Result<Listing> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.set_non_blocking(true)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&request(what), 0)?;
    let mut listing = Listing::default();
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    while !listing.done {
        let left = deadline.checked_duration_since(Instant::now()).ok_or_else(too_late)?;
        let wait = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&wait)) {
            Ok(0) => return Err(too_late()),
            Ok(_ready) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        piece.clear();
        socket.recv(&mut piece, 0)?;
        listing.take(&piece)?;
    }
    Ok(listing)
}

fn too_late() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, format!("rtnetlink did not answer within {} s", DUMP_MAX.as_secs()))
}

fn request(what: Netlink) -> Vec<u8> {
    let wanted = match what {
        Netlink::Links => RouteNetlinkMessage::GetLink(LinkMessage::default()),
        Netlink::Addresses => RouteNetlinkMessage::GetAddress(AddressMessage::default()),
        Netlink::Routes => RouteNetlinkMessage::GetRoute(RouteMessage::default()),
        Netlink::Neighbors => RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()),
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, wanted.into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// The messages of a listing so far.
#[derive(Debug, Default)]
struct Listing {
    messages: Vec<u8>,
    /// Something changed while it was read, so that entries may be missing or double.
    interrupted: bool,
    done: bool,
}

impl Listing {
    /// One piece from the kernel: whole messages, each padded to four bytes.
    fn take(&mut self, mut piece: &[u8]) -> io::Result<()> {
        let malformed = || io::Error::new(ErrorKind::InvalidData, "rtnetlink sent a message that ends early");
        while let Some(&[a, b, c, d, kind_low, kind_high, flags_low, flags_high, ..]) = piece.get(..HEADER_BYTES) {
            let length = u32::from_ne_bytes([a, b, c, d]) as usize;
            let message = piece.get(..length).filter(|message| message.len() >= HEADER_BYTES).ok_or_else(malformed)?;
            self.interrupted |= u16::from_ne_bytes([flags_low, flags_high]) & NLM_F_DUMP_INTR != 0;
            match u16::from_ne_bytes([kind_low, kind_high]) {
                NLMSG_DONE => {
                    self.done = true;
                    return Ok(());
                }
                NLMSG_ERROR => return Err(refusal(message)),
                _ if self.messages.len() + length > READ_BYTES_MAX => {
                    self.done = true;
                    return Ok(());
                }
                _ => self.messages.extend_from_slice(message),
            }
            let padded = length.next_multiple_of(4);
            self.messages.resize(self.messages.len().next_multiple_of(4), 0);
            piece = piece.get(padded..).unwrap_or_default();
        }
        if piece.is_empty() { Ok(()) } else { Err(malformed()) }
    }
}

/// `struct nlmsgerr`: a negative errno follows the header.
fn refusal(message: &[u8]) -> io::Error {
    match message.get(HEADER_BYTES..HEADER_BYTES + 4) {
        Some(&[a, b, c, d]) => io::Error::from_raw_os_error(-i32::from_ne_bytes([a, b, c, d])),
        _ => io::Error::new(ErrorKind::InvalidData, "rtnetlink sent an error without a number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (16 + payload.len() as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn every_listing_of_this_machine_ends() {
        for what in Netlink::ALL {
            let listing = dump(what).unwrap();
            assert_eq!(listing.len() % 4, 0, "{what:?}");
        }
        assert!(!dump(Netlink::Links).unwrap().is_empty());
    }

    #[test]
    fn messages_are_kept_and_the_end_is_not() {
        let mut listing = Listing::default();
        let link = message(16, 2, b"abcde");
        listing.take(&[link.clone(), message(NLMSG_DONE, 2, &[0; 4])].concat()).unwrap();
        assert!(listing.done && !listing.interrupted);
        assert_eq!(listing.messages, link);
    }

    #[test]
    fn a_refusal_keeps_its_kind() {
        let error = Listing::default().take(&message(NLMSG_ERROR, 0, &(-13_i32).to_ne_bytes())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_message_longer_than_its_piece_is_refused() {
        let mut torn = message(16, 2, b"abcdefgh");
        torn.truncate(20);
        assert_eq!(Listing::default().take(&torn).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(Listing::default().take(&[0; 16]).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(Listing::default().take(&[1, 2, 3]).unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn a_listing_that_changed_while_it_was_read_is_known() {
        let mut listing = Listing::default();
        listing.take(&message(16, NLM_F_DUMP_INTR, b"")).unwrap();
        assert!(listing.interrupted && !listing.done);
    }
}
