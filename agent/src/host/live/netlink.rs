//! netlink(7): one request, all messages of its answer. Listings of rtnetlink, and the families of generic netlink.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::rule::RuleMessage;
use netlink_sys::protocols::{NETLINK_GENERIC, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::host::{Netlink, READ_BYTES_MAX, attribute};

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

/// Generic netlink: the controller, and how it is asked for a family (linux/genetlink.h).
const GENL_ID_CTRL: u16 = 16;
const GENL_HEADER_BYTES: usize = 4;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

/// `struct nlattr`.
const ATTRIBUTE_BYTES: usize = 4;

/// Lists it.
pub(super) fn dump(what: Netlink) -> io::Result<Vec<u8>> {
    whole(|deadline| ask(NETLINK_ROUTE, &request(what), deadline))
}

/// One request to a family of generic netlink.
pub(super) fn genl(family: &str, request: &[u8], all: bool) -> io::Result<Vec<u8>> {
    let number = family_number(family)?;
    let flags = NLM_F_REQUEST | if all { NLM_F_DUMP } else { NLM_F_ACK };
    whole(|deadline| ask(NETLINK_GENERIC, &framed(number, flags, request), deadline))
}

/// After [`TRIES`] interrupted listings the last one stands: it is no worse than a look a moment earlier.
fn whole(mut once: impl FnMut(Instant) -> io::Result<Listing>) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + DUMP_MAX;
    let mut listing = Listing::default();
    for _try in 0..TRIES {
        listing = once(deadline)?;
        if !listing.interrupted {
            break;
        }
    }
    Ok(listing.messages)
}

/// The number that the kernel gave a family when it was loaded.
fn family_number(family: &str) -> io::Result<u16> {
    let name = attribute(CTRL_ATTR_FAMILY_NAME, &[family.as_bytes(), &[0]].concat());
    let request = [vec![CTRL_CMD_GETFAMILY, 1, 0, 0], name].concat();
    let deadline = Instant::now() + DUMP_MAX;
    let asked = ask(NETLINK_GENERIC, &framed(GENL_ID_CTRL, NLM_F_REQUEST | NLM_F_ACK, &request), deadline);
    let absent = || io::Error::new(ErrorKind::NotFound, format!("this kernel has no netlink family {family}"));
    let answer = match asked {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(absent()),
        answer => answer?.messages,
    };
    let mut attributes = answer.get(HEADER_BYTES + GENL_HEADER_BYTES..).unwrap_or_default();
    while let Some(&[low, high, kind_low, kind_high, ..]) = attributes.get(..ATTRIBUTE_BYTES) {
        let length = usize::from(u16::from_ne_bytes([low, high])).max(ATTRIBUTE_BYTES);
        let value = attributes.get(ATTRIBUTE_BYTES..length).unwrap_or_default();
        if let (CTRL_ATTR_FAMILY_ID, &[low, high, ..]) = (u16::from_ne_bytes([kind_low, kind_high]), value) {
            return Ok(u16::from_ne_bytes([low, high]));
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Err(absent())
}

/// A request behind its `struct nlmsghdr`.
fn framed(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = ((HEADER_BYTES + payload.len()) as u32).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(payload);
    bytes
}

fn ask(protocol: isize, request: &[u8], deadline: Instant) -> io::Result<Listing> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.set_non_blocking(true)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(request, 0)?;
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
    io::Error::new(ErrorKind::TimedOut, format!("the kernel did not answer within {} s", DUMP_MAX.as_secs()))
}

fn request(what: Netlink) -> Vec<u8> {
    let wanted = match what {
        Netlink::Links => RouteNetlinkMessage::GetLink(LinkMessage::default()),
        Netlink::Addresses => RouteNetlinkMessage::GetAddress(AddressMessage::default()),
        Netlink::Routes => RouteNetlinkMessage::GetRoute(RouteMessage::default()),
        Netlink::Neighbors => RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()),
        Netlink::Rules => RouteNetlinkMessage::GetRule(RuleMessage::default()),
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
        let malformed = || io::Error::new(ErrorKind::InvalidData, "the kernel sent a netlink message that ends early");
        while let Some(&[a, b, c, d, kind_low, kind_high, flags_low, flags_high, ..]) = piece.get(..HEADER_BYTES) {
            let length = u32::from_ne_bytes([a, b, c, d]) as usize;
            let message = piece.get(..length).filter(|message| message.len() >= HEADER_BYTES).ok_or_else(malformed)?;
            self.interrupted |= u16::from_ne_bytes([flags_low, flags_high]) & NLM_F_DUMP_INTR != 0;
            match u16::from_ne_bytes([kind_low, kind_high]) {
                NLMSG_DONE => {
                    self.done = true;
                    return Ok(());
                }
                // The number 0 is no error but the acknowledgement that ends an answer which is no listing.
                NLMSG_ERROR if message.get(HEADER_BYTES..HEADER_BYTES + 4) == Some(&[0; 4]) => {
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
        _ => io::Error::new(ErrorKind::InvalidData, "the kernel sent a netlink error without a number"),
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
    fn a_family_of_generic_netlink_is_found_by_its_name_and_one_that_is_not_there_is_absent() {
        assert_eq!(family_number("nlctrl").unwrap(), GENL_ID_CTRL);
        let all = genl("nlctrl", &[CTRL_CMD_GETFAMILY, 1, 0, 0], true).unwrap();
        assert!(all.windows(6).any(|bytes| bytes == b"nlctrl"));
        assert_eq!(genl("no such", &[1, 1, 0, 0], false).unwrap_err().kind(), ErrorKind::NotFound);
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
