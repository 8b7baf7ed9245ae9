//! One multicast DNS query, asked the short way (RFC 6762, 5.1): from a port of our own, so that answers come back to it alone. IPv4.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressAttribute;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::netlink;
use crate::host::Netlink;

/// Where all who know multicast DNS listen.
const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 251), 5353);

/// How long answers are waited for. Why: who answers for a group waits up to an eighth of a second (RFC 6762, 6).
const LISTEN: Duration = Duration::from_secs(1);

/// Most own addresses from which is asked.
const ADDRESSES_MAX: usize = 8;

/// Most answers that are taken.
const ANSWERS_MAX: usize = 64;

/// Most bytes of one answer (RFC 6762, 17).
const ANSWER_BYTES_MAX: usize = 9_000;

/// Asks on every link that has an IPv4 address. An error where that can be done on none.
pub(super) fn ask(query: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let mut error = io::Error::new(ErrorKind::NotFound, "no link here has an IPv4 address");
    let mut sockets = Vec::new();
    for address in addresses(&netlink::dump(Netlink::Addresses)?) {
        // Why bound: Linux sends multicast through the link whose address the socket has.
        let asked = UdpSocket::bind((address, 0)).and_then(|socket| {
            socket.set_nonblocking(true)?;
            socket.send_to(query, GROUP)?;
            Ok(socket)
        });
        match asked {
            Ok(socket) => sockets.push(socket),
            Err(failed) => error = failed,
        }
    }
    if sockets.is_empty() { Err(error) } else { listen(&sockets) }
}

fn listen(sockets: &[UdpSocket]) -> io::Result<Vec<Vec<u8>>> {
    let (begun, mut answers) = (Instant::now(), Vec::new());
    let mut piece = vec![0; ANSWER_BYTES_MAX];
    while answers.len() < ANSWERS_MAX {
        let left = LISTEN.saturating_sub(begun.elapsed());
        if left.is_zero() {
            break;
        }
        let wait = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut waits: Vec<PollFd<'_>> = sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        match poll(&mut waits, Some(&wait)) {
            Ok(_ready) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        for socket in sockets {
            // Nothing to read, or an error that an earlier send left behind.
            let Ok((length, SocketAddr::V4(from))) = socket.recv_from(&mut piece) else { continue };
            if from.port() == GROUP.port() && answers.len() < ANSWERS_MAX {
                answers.push(piece.get(..length).unwrap_or_default().to_vec());
            }
        }
    }
    Ok(answers)
}

/// The IPv4 addresses in a listing of addresses.
fn addresses(listing: &[u8]) -> Vec<Ipv4Addr> {
    let (mut rest, mut found) = (listing, Vec::new());
    while let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest) {
        let length = (message.header.length as usize).next_multiple_of(4);
        if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address)) = message.payload {
            let local = address.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
                _ => None,
            });
            found.extend(local);
        }
        match rest.get(length..) {
            Some(after) if length > 0 && !after.is_empty() => rest = after,
            _ => break,
        }
    }
    found.truncate(ADDRESSES_MAX);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_address_is_among_them() {
        let found = addresses(&netlink::dump(Netlink::Addresses).unwrap());
        assert!(found.contains(&Ipv4Addr::LOCALHOST), "{found:?}");
        assert_eq!(addresses(b"nonsense"), Vec::<Ipv4Addr>::new());
    }

    #[test]
    fn only_answers_from_the_port_of_multicast_dns_are_taken() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        stranger.send_to(b"lie", socket.local_addr().unwrap()).unwrap();
        let begun = Instant::now();
        assert_eq!(listen(&[socket]).unwrap(), Vec::<Vec<u8>>::new());
        // It ends by itself; a busy machine is late.
        assert!(begun.elapsed() < LISTEN * 30);
    }
}
