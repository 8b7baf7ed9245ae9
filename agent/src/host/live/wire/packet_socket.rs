//! packet(7): a socket below the network protocols, on one link or on all.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, bind, netdevice, socket_with};

/// What a packet socket needs.
const NEEDS: &str = "packets may be sent and seen only with CAP_NET_RAW, or as root; what the service needs for it stands in \
     deploy/README.md, \"Packet captures\": systemctl edit deskside-agent";

const NEEDS_FAMILY: &str = "packets may be sent and seen only where the service may open AF_PACKET sockets (RestrictAddressFamilies) and has \
     CAP_NET_RAW; how that is allowed stands in deploy/README.md, \"Packet captures\": systemctl edit deskside-agent";

/// `struct sockaddr_ll`: a place on a link.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkAddress(pub(super) libc::sockaddr_ll);

impl LinkAddress {
    /// A link (0 is all of them), and a hardware address on it where one is given.
    pub(super) fn new(index: u32, protocol: u16, hardware: Option<[u8; 6]>) -> Self {
        let mut address = [0; 8];
        for (place, byte) in address.iter_mut().zip(hardware.into_iter().flatten()) {
            *place = byte;
        }
        Self(libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: protocol.to_be(),
            sll_ifindex: index.cast_signed(),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: if hardware.is_some() { 6 } else { 0 },
            sll_addr: address,
        })
    }
}

// SAFETY: the pointer is to a whole `sockaddr_ll` that lives as long as the call.
#[allow(unsafe_code, reason = "no safe crate offers addresses of packet sockets")]
unsafe impl SocketAddrArg for LinkAddress {
    unsafe fn with_sockaddr<R>(&self, f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R) -> R {
        f((&raw const self.0).cast(), size_of::<libc::sockaddr_ll>() as SocketAddrLen)
    }
}

/// Opens a socket that hears nothing yet.
pub(super) fn open(kind: SocketType) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::PACKET, kind, flags, None::<Protocol>).map_err(|error| {
        let error = io::Error::from(error);
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => io::Error::new(ErrorKind::PermissionDenied, NEEDS),
            // A service may be kept from the whole family of sockets.
            Some(libc::EAFNOSUPPORT) => io::Error::new(ErrorKind::PermissionDenied, NEEDS_FAMILY),
            _ => error,
        }
    })
}

/// From here on it hears a protocol (`ETH_P_ALL`: all) on a link (0 is all of them).
pub(super) fn hear(socket: &OwnedFd, index: u32, protocol: u16) -> io::Result<()> {
    Ok(bind(socket, &LinkAddress::new(index, protocol, None))?)
}

/// The kernel's number of an interface.
pub(super) fn index(socket: &OwnedFd, interface: &str) -> io::Result<u32> {
    netdevice::name_to_index(socket, interface).map_err(|error| match io::Error::from(error) {
        error if error.raw_os_error() == Some(libc::ENODEV) => {
            io::Error::new(ErrorKind::NotFound, format!("there is no interface {interface}"))
        }
        error => error,
    })
}

/// Sets an option.
pub(super) fn set<T>(socket: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the pointer is to a whole value of the length that is given, and what it points to lives as long as the call.
    #[allow(unsafe_code, reason = "no safe crate offers the options of packet sockets")]
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Waits until something has come, at most until then; false where nothing has.
pub(super) fn readable(socket: &OwnedFd, until: Instant) -> io::Result<bool> {
    loop {
        let left = until.checked_duration_since(Instant::now()).unwrap_or(Duration::ZERO);
        let wait = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)], Some(&wait)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
