//! Echo requests: by an ICMP datagram socket (icmp(7), `ping_group_range`), which needs no privilege, else by a raw one.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt as nix_sockopt};
use rustix::net::{AddressFamily, Protocol, SendFlags, SocketFlags, SocketType};
use rustix::net::{connect, ipproto, send, socket_with, sockopt};

use super::error_queue::{self, Queued};
use super::packet_socket::{index, readable};
use crate::host::{Back, Echo, Echoed};

/// What allows it.
const NEEDS: &str =
    "echo requests may be sent only by the groups of net.ipv4.ping_group_range, with CAP_NET_RAW, or as root";

/// Request and reply (RFC 792, RFC 4443).
const KINDS_V4: (u8, u8) = (8, 0);
const KINDS_V6: (u8, u8) = (128, 129);

const ICMP_HEADER_BYTES: usize = 8;
const IPV4_HEADER_BYTES: usize = 20;
const IPV6_HEADER_BYTES: usize = 40;

/// Largest packet of IP.
const PACKET_BYTES_MAX: usize = 65_535;

/// Larger than the time at which a packet came.
const CONTROL_BYTES: usize = 64;

/// Requests whose sending is remembered.
const ASKED_MAX: usize = 4096;

/// Errors of requests before that sending may come upon.
const TRIES: usize = 8;

/// Tells apart the raw sockets of this process.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A socket for echo requests to one address.
#[derive(Debug)]
pub(super) struct EchoSocket {
    socket: OwnedFd,
    to: IpAddr,
    /// Of a raw socket: the number that its requests carry. The kernel gives and minds those of the others.
    raw: Option<u16>,
    opened: Instant,
    asked: BTreeMap<u16, Instant>,
    heard: Vec<u8>,
}

impl EchoSocket {
    pub(super) fn open(to: IpAddr, interface: &str) -> io::Result<Self> {
        let (socket, raw) = match open(to, SocketType::DGRAM) {
            Ok(socket) => (socket, None),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                let socket = open(to, SocketType::RAW).map_err(|error| match error.kind() {
                    ErrorKind::PermissionDenied => io::Error::new(ErrorKind::PermissionDenied, NEEDS),
                    _ => error,
                })?;
                let own = (std::process::id() as u16).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
                (socket, Some(own))
            }
            Err(error) => return Err(error),
        };
        error_queue::wanted(&socket, to.is_ipv4())?;
        setsockopt(&socket, nix_sockopt::ReceiveTimestampns, &true)?;
        // Why not as the system thinks best: it would cut large packets into pieces, or make them smaller than was asked.
        if to.is_ipv4() {
            sockopt::set_ip_mtu_discover(&socket, sockopt::Ipv4PathMtuDiscovery::PROBE)?;
        } else {
            sockopt::set_ipv6_mtu_discover(&socket, sockopt::Ipv6PathMtuDiscovery::PROBE)?;
            setsockopt(&socket, nix_sockopt::Ipv6DontFrag, &true)?;
        }
        let place = match to {
            IpAddr::V6(to) if to.is_unicast_link_local() => {
                SocketAddrV6::new(to, 0, 0, index(&socket, interface)?).into()
            }
            _ => SocketAddr::new(to, 0),
        };
        connect(&socket, &place)?;
        let (asked, heard) = (BTreeMap::new(), vec![0; PACKET_BYTES_MAX]);
        Ok(Self { socket, to, raw, opened: Instant::now(), asked, heard })
    }

    fn request(&self, sequence: u16, bytes: u16) -> Vec<u8> {
        let headers = if self.to.is_ipv4() { IPV4_HEADER_BYTES } else { IPV6_HEADER_BYTES };
        let length = usize::from(bytes).saturating_sub(headers).max(ICMP_HEADER_BYTES);
        let kind = if self.to.is_ipv4() { KINDS_V4.0 } else { KINDS_V6.0 };
        let mut message = vec![kind, 0, 0, 0];
        message.extend(self.raw.unwrap_or_default().to_be_bytes());
        message.extend(sequence.to_be_bytes());
        message.resize(length, 0);
        if self.to.is_ipv4() {
            let sum = checksum(&message).to_be_bytes();
            message.splice(2..4, sum);
        }
        message
    }

    /// What waits in the socket already.
    fn next(&mut self) -> io::Result<Option<Echoed>> {
        while let Some(queued) = error_queue::next(&self.socket)? {
            if let Some(heard) = self.error(&queued) {
                return Ok(Some(heard));
            }
        }
        loop {
            let (length, came) = match read(&self.socket, &mut self.heard) {
                Ok(read) => read,
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
                // Why not an error: it is one of a request before, and lies in the queue of errors.
                Err(_of_a_request) => return self.queued(),
            };
            if let Some(sequence) = self.heard.get(..length).and_then(|message| self.reply(message)) {
                let took = self.took(sequence, came);
                return Ok(took.map(|took| Echoed { sequence, took, back: Back::Reply(self.to) }));
            }
        }
    }

    fn queued(&mut self) -> io::Result<Option<Echoed>> {
        Ok(error_queue::next(&self.socket)?.and_then(|queued| self.error(&queued)))
    }

    /// Whose reply a message is; absent where it is none of ours.
    fn reply(&self, message: &[u8]) -> Option<u16> {
        // A raw socket of IPv4 shows the packet from its beginning.
        let skipped = match self.raw {
            Some(_own) if self.to.is_ipv4() => usize::from(message.first()? & 0x0f) * 4,
            _ => 0,
        };
        let wanted = if self.to.is_ipv4() { KINDS_V4.1 } else { KINDS_V6.1 };
        self.sequence(message.get(skipped..)?, wanted)
    }

    fn error(&self, queued: &Queued) -> Option<Echoed> {
        let wanted = if self.to.is_ipv4() { KINDS_V4.0 } else { KINDS_V6.0 };
        let back = queued.icmp.map(Back::Error).or(queued.own_mtu.map(Back::TooLarge))?;
        let own = matches!(back, Back::TooLarge(_));
        let last = || self.asked.iter().max_by_key(|(_sequence, at)| **at).map(|(sequence, _at)| *sequence);
        // The machine's own refusal comes without what was sent, and at once.
        let sequence = self.sequence(&queued.about, wanted).or_else(|| last().filter(|_last| own))?;
        Some(Echoed { sequence, took: self.took(sequence, Instant::now())?, back })
    }

    fn sequence(&self, message: &[u8], wanted: u8) -> Option<u16> {
        let &[kind, _code, _sum, _sum_low, own, own_low, sequence, sequence_low] = message.first_chunk()?;
        let is_ours = self.raw.is_none_or(|raw| raw == u16::from_be_bytes([own, own_low]));
        (kind == wanted && is_ours).then_some(u16::from_be_bytes([sequence, sequence_low]))
    }

    fn took(&self, sequence: u16, until: Instant) -> Option<Duration> {
        Some(until.saturating_duration_since(*self.asked.get(&sequence)?))
    }
}

impl Echo for EchoSocket {
    fn ask(&mut self, sequence: u16, hops: u8, bytes: u16) -> io::Result<()> {
        if self.to.is_ipv4() {
            sockopt::set_ip_ttl(&self.socket, u32::from(hops))?;
        } else {
            sockopt::set_ipv6_unicast_hops(&self.socket, Some(hops))?;
        }
        let message = self.request(sequence, bytes);
        if self.asked.len() >= ASKED_MAX {
            self.asked.pop_first();
        }
        let mut last = rustix::io::Errno::AGAIN;
        for _try in 0..TRIES {
            self.asked.insert(sequence, Instant::now());
            match send(&self.socket, &message, SendFlags::DONTWAIT) {
                Ok(_sent) => return Ok(()),
                // The link's own limit, which the queue of errors tells.
                Err(rustix::io::Errno::MSGSIZE) => return Ok(()),
                // An error of a request before is told in its place, and stands in the way once.
                Err(
                    error @ (rustix::io::Errno::HOSTUNREACH
                    | rustix::io::Errno::NETUNREACH
                    | rustix::io::Errno::CONNREFUSED),
                ) => {
                    last = error;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.into())
    }

    fn hear(&mut self, wait: Duration) -> io::Result<Option<Echoed>> {
        let until = Instant::now() + wait;
        loop {
            if let Some(heard) = self.next()? {
                return Ok(Some(heard));
            }
            if !readable(&self.socket, until)? {
                return Ok(None);
            }
        }
    }

    fn age(&self) -> Duration {
        self.opened.elapsed()
    }
}

/// The next message: its length, and when it came by the kernel's word. Why not when it is read: a busy machine reads late, and that is not the
/// network's time.
fn read(socket: &OwnedFd, into: &mut [u8]) -> Result<(usize, Instant), Errno> {
    let mut control = [0; CONTROL_BYTES];
    let mut place = [IoSliceMut::new(into)];
    let read = recvmsg::<()>(socket.as_raw_fd(), &mut place, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
    let came = read.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmTimestampns(at) => Some(UNIX_EPOCH + Duration::from(at)),
        _ => None,
    });
    // A clock that was set back in between tells nothing.
    let now = Instant::now();
    let lain = came.and_then(|came| SystemTime::now().duration_since(came).ok()).unwrap_or_default();
    Ok((read.bytes, now.checked_sub(lain).unwrap_or(now)))
}

fn open(to: IpAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let (family, protocol) =
        if to.is_ipv4() { (AddressFamily::INET, ipproto::ICMP) } else { (AddressFamily::INET6, ipproto::ICMPV6) };
    let protocol: Protocol = protocol;
    Ok(socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, Some(protocol))?)
}

/// RFC 1071.
fn checksum(message: &[u8]) -> u16 {
    let words = message.chunks(2).map(|pair| {
        let &[high, low] = pair else { return u32::from(pair.first().copied().unwrap_or_default()) << 8 };
        u32::from(u16::from_be_bytes([high, low]))
    });
    let mut sum: u32 = words.sum();
    while sum > u32::from(u16::MAX) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_a_message_with_its_checksum_is_zero() {
        let mut message = vec![8, 0, 0, 0, 0x12, 0x34, 0, 7, 0xff];
        let sum = checksum(&message).to_be_bytes();
        message.splice(2..4, sum);
        assert_eq!(checksum(&message), 0);
        assert_eq!(checksum(&[]), u16::MAX);
    }

    #[test]
    fn the_machine_answers_itself_where_it_may_be_asked() {
        let mut socket = match EchoSocket::open([127, 0, 0, 1].into(), "") {
            Ok(socket) => socket,
            Err(error) => return assert_eq!(error.to_string(), NEEDS),
        };
        socket.ask(7, 64, 84).unwrap();
        let heard = socket.hear(Duration::from_secs(5)).unwrap().unwrap();
        assert_eq!((heard.sequence, heard.back), (7, Back::Reply([127, 0, 0, 1].into())));
        assert_eq!(socket.hear(Duration::from_millis(10)).unwrap(), None);
    }

    #[test]
    fn an_answer_that_is_read_late_took_no_longer() {
        let Ok(mut socket) = EchoSocket::open([127, 0, 0, 1].into(), "") else { return };
        // Why not the first: the kernel begins to note the time a moment after it was asked to.
        let late = |sequence: u16| {
            socket.ask(sequence, 64, 84).unwrap();
            assert!(readable(&socket.socket, Instant::now() + Duration::from_secs(5)).unwrap());
            let came = socket.took(sequence, Instant::now()).unwrap();
            std::thread::sleep(Duration::from_millis(20));
            socket.hear(Duration::ZERO).unwrap().unwrap().took <= came + Duration::from_millis(1)
        };
        assert!((0..100).any(late));
    }
}
