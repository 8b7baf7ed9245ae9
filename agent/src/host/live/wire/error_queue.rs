//! The error queue of a socket (ip(7), `IP_RECVERR`): which ICMP error answered what was sent.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};

use crate::host::IcmpError;

/// Where an error comes from (linux/errqueue.h).
const SO_EE_ORIGIN_LOCAL: u8 = 1;

/// Bytes of the packet that an error is about which are read: the header of ICMP or TCP.
const ABOUT_BYTES_MAX: usize = 64;

/// Larger than an error with the address of its sender.
const CONTROL_BYTES: usize = 512;

/// "Fragmentation needed" (RFC 792) and "packet too big" (RFC 4443).
const TOO_BIG: [(bool, u8, u8); 2] = [(true, 3, 4), (false, 2, 0)];

/// One error.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    /// What the network said; absent where the error is the machine's own.
    pub(super) icmp: Option<IcmpError>,
    /// What the machine's own link takes, where that is the error.
    pub(super) own_mtu: Option<u32>,
    /// The beginning of what was sent.
    pub(super) about: Vec<u8>,
}

/// Has errors queued from now on.
pub(super) fn wanted(socket: &impl AsFd, v4: bool) -> io::Result<()> {
    let set = if v4 {
        setsockopt(socket, sockopt::Ipv4RecvErr, &true)
    } else {
        setsockopt(socket, sockopt::Ipv6RecvErr, &true)
    };
    Ok(set?)
}

/// The next error; absent where none waits.
pub(super) fn next(socket: &impl AsFd) -> io::Result<Option<Queued>> {
    let (mut about, mut control) = ([0; ABOUT_BYTES_MAX], [0; CONTROL_BYTES]);
    let mut place = [IoSliceMut::new(&mut about)];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let read = recvmsg::<SockaddrStorage>(socket.as_fd().as_raw_fd(), &mut place, Some(&mut control), flags);
    let (length, error) = match read {
        Ok(message) => (message.bytes, message.cmsgs()?.find_map(|message| error(&message))),
        Err(Errno::EAGAIN) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some((error, from)) = error else { return Ok(None) };
    let own = error.ee_origin == SO_EE_ORIGIN_LOCAL;
    let errno = i32::try_from(error.ee_errno).unwrap_or_default();
    let icmp = from.filter(|_from| !own).map(|from| {
        let too_big = TOO_BIG.contains(&(from.is_ipv4(), error.ee_type, error.ee_code));
        let mtu = Some(error.ee_info).filter(|mtu| too_big && *mtu > 0);
        IcmpError { from, kind: error.ee_type, code: error.ee_code, mtu }
    });
    let own_mtu = Some(error.ee_info).filter(|_mtu| own && errno == libc::EMSGSIZE);
    Ok(Some(Queued { icmp, own_mtu, about: about.get(..length).unwrap_or_default().to_vec() }))
}

/// The error itself, and who sent it.
fn error(message: &ControlMessageOwned) -> Option<(libc::sock_extended_err, Option<IpAddr>)> {
    match message {
        ControlMessageOwned::Ipv4RecvErr(error, from) => {
            Some((*error, from.map(|from| Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr)).into())))
        }
        ControlMessageOwned::Ipv6RecvErr(error, from) => {
            Some((*error, from.map(|from| IpAddr::V6(Ipv6Addr::from(from.sin6_addr.s6_addr)).to_canonical())))
        }
        _ => None,
    }
}
