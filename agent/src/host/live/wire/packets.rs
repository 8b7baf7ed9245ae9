//! Packets as they pass a link (packet(7)), by a filter that the kernel runs, in batches, with bounded memory.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{SocketType, sockopt};

use super::packet_socket::{self, LinkAddress};
use crate::host::{BpfInstruction, Packet, Packets, Tap};

/// Packets that are fetched at once.
const BATCH_MAX: usize = 64;

/// Bytes of all places of a batch.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that may wait in the kernel; what does not fit is dropped and counted.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Rest after the first packet, so that more are fetched at once.
const GATHER: Duration = Duration::from_millis(5);

/// Room for the time, `struct tpacket_auxdata` and their headers.
const CONTROL_WORDS: usize = 16;

const ETH_P_ALL: u16 = 0x0003;
const PACKET_AUXDATA: libc::c_int = 8;
const PACKET_STATISTICS: libc::c_int = 6;
const PACKET_OUTGOING: u8 = 4;
const ARPHRD_LOOPBACK: u16 = 772;
const TP_STATUS_VLAN_VALID: u32 = 1 << 4;
const TP_STATUS_VLAN_TPID_VALID: u32 = 1 << 6;
const ETH_P_8021Q: u16 = 0x8100;

/// Where a VLAN's tag stands in a frame: behind both hardware addresses.
const TAG_AT: usize = 12;

/// `struct tpacket_auxdata`
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct Auxiliary {
    status: u32,
    length: u32,
    held: u32,
    mac: u16,
    net: u16,
    tag: u16,
    tag_protocol: u16,
}

/// An open tap.
pub(super) struct OpenTap {
    socket: OwnedFd,
    places: Vec<Place>,
    passed: u64,
    dropped: u64,
}

/// Where one packet is put.
struct Place {
    bytes: Vec<u8>,
    from: LinkAddress,
    control: [u64; CONTROL_WORDS],
}

/// Opens a tap. Why bound last: nothing that the filter would leave out gets in before it is set.
pub(super) fn open(tap: &Tap) -> io::Result<OpenTap> {
    let socket = packet_socket::open(SocketType::RAW)?;
    let index = match &tap.interface {
        Some(interface) => packet_socket::index(&socket, interface)?,
        None => 0,
    };
    let room = sockopt::set_socket_recv_buffer_size_force(&socket, WAITING_BYTES_MAX);
    if room.is_err() {
        // Without CAP_NET_ADMIN the system's own bound holds.
        sockopt::set_socket_recv_buffer_size(&socket, WAITING_BYTES_MAX)?;
    }
    filter(&socket, &tap.program)?;
    set(&socket, libc::SOL_PACKET, PACKET_AUXDATA, &1_i32)?;
    set(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1_i32)?;
    packet_socket::hear(&socket, index, ETH_P_ALL)?;
    let snaplen = tap.snaplen.max(1) as usize;
    let places = (0..(BATCH_BYTES_MAX / snaplen).clamp(1, BATCH_MAX)).map(|_place| Place {
        bytes: vec![0; snaplen],
        from: LinkAddress::new(0, 0, None),
        control: [0; CONTROL_WORDS],
    });
    Ok(OpenTap { socket, places: places.collect(), passed: 0, dropped: 0 })
}

impl Packets for OpenTap {
    fn take(&mut self, wait: Duration, each: &mut dyn FnMut(&Packet<'_>) -> io::Result<()>) -> io::Result<()> {
        let mut taken = self.fetch(each)?;
        if taken == 0 {
            if !packet_socket::readable(&self.socket, Instant::now() + wait)? {
                return Ok(());
            }
            thread::sleep(GATHER.min(wait));
            taken = self.fetch(each)?;
        }
        tracing::trace!(taken, "packets");
        Ok(())
    }

    fn counted(&mut self) -> io::Result<(u64, u64)> {
        let mut counts = [0_u32; 2];
        let mut length = size_of_val(&counts) as libc::socklen_t;
        // SAFETY: the kernel writes no more than `length` bytes there: `struct tpacket_stats` has two numbers.
        #[allow(unsafe_code, reason = "no safe crate offers PACKET_STATISTICS")]
        let done = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                PACKET_STATISTICS,
                counts.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        // Why added up: reading resets them.
        let [passed, dropped] = counts.map(u64::from);
        self.passed += passed;
        self.dropped += dropped;
        Ok((self.passed, self.dropped))
    }
}

impl OpenTap {
    /// Fetches what waits, one batch at most.
    fn fetch(&mut self, each: &mut dyn FnMut(&Packet<'_>) -> io::Result<()>) -> io::Result<usize> {
        let mut pieces: Vec<libc::iovec> = self.places.iter_mut().map(piece).collect();
        let mut headers: Vec<libc::mmsghdr> =
            self.places.iter_mut().zip(&mut pieces).map(|(place, piece)| header(place, piece)).collect();
        let count = headers.len() as libc::c_uint;
        // SAFETY: each header points to a place, its name and its control room, which live and stay where they are until the call is over.
        #[allow(unsafe_code, reason = "no safe crate offers recvmmsg with packet(7)'s control messages")]
        let taken = unsafe {
            libc::recvmmsg(self.socket.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT, ptr::null_mut())
        };
        if taken < 0 {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                // A link that is switched off is silent, and may come back.
                Some(libc::EAGAIN | libc::EINTR | libc::ENETDOWN) => Ok(0),
                _ => Err(error),
            };
        }
        let taken = taken.unsigned_abs() as usize;
        for (place, header) in self.places.iter().zip(&headers).take(taken) {
            hand(place, header, each)?;
        }
        Ok(taken)
    }
}

fn piece(place: &mut Place) -> libc::iovec {
    libc::iovec { iov_base: place.bytes.as_mut_ptr().cast(), iov_len: place.bytes.len() }
}

fn header(place: &mut Place, piece: &mut libc::iovec) -> libc::mmsghdr {
    // SAFETY: all-zero bytes are a valid `mmsghdr`; on some C libraries it has padding that cannot be named.
    #[allow(unsafe_code, reason = "a C struct with padding")]
    let mut header: libc::mmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_hdr.msg_name = (&raw mut place.from.0).cast();
    header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    header.msg_hdr.msg_iov = piece;
    header.msg_hdr.msg_iovlen = 1;
    header.msg_hdr.msg_control = place.control.as_mut_ptr().cast();
    header.msg_hdr.msg_controllen = size_of_val(&place.control) as _;
    header
}

/// Hands one packet over. Why not the outgoing one on the loopback interface: it comes in again at once.
fn hand(place: &Place, header: &libc::mmsghdr, each: &mut dyn FnMut(&Packet<'_>) -> io::Result<()>) -> io::Result<()> {
    let link = place.from.0.sll_hatype;
    let outgoing = place.from.0.sll_pkttype == PACKET_OUTGOING;
    if outgoing && link == ARPHRD_LOOPBACK {
        return Ok(());
    }
    let (at_ns, auxiliary) = beside(header);
    let bytes = place.bytes.get(..header.msg_len as usize).unwrap_or_default();
    let auxiliary = auxiliary.unwrap_or(Auxiliary { length: header.msg_len, ..Auxiliary::default() });
    let index = place.from.0.sll_ifindex.cast_unsigned();
    let packet = Packet { at_ns, interface: index, link, outgoing, length: auxiliary.length, bytes };
    if auxiliary.status & TP_STATUS_VLAN_VALID == 0 || bytes.len() < TAG_AT {
        return each(&packet);
    }
    // The kernel takes the tag out of the frame; it goes back where it was.
    let protocol = if auxiliary.status & TP_STATUS_VLAN_TPID_VALID == 0 { ETH_P_8021Q } else { auxiliary.tag_protocol };
    let (addresses, rest) = bytes.split_at(TAG_AT);
    let tagged = [addresses, &protocol.to_be_bytes(), &auxiliary.tag.to_be_bytes(), rest].concat();
    each(&Packet { bytes: &tagged, length: auxiliary.length.saturating_add(4), ..packet })
}

/// What the kernel told beside a packet: when it came, in nanoseconds since 1970-01-01 UTC, and the rest.
fn beside(header: &libc::mmsghdr) -> (u64, Option<Auxiliary>) {
    let (mut at_ns, mut auxiliary) = (0, None);
    // SAFETY: the kernel filled the control room of this header and set its length; CMSG_FIRSTHDR and CMSG_NXTHDR stay within it, and each
    // message is as long as its kind says, read without asking for alignment.
    #[allow(unsafe_code, reason = "control messages are walked by pointer")]
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(&raw const header.msg_hdr);
        while let Some(message) = next.as_ref() {
            let content = libc::CMSG_DATA(next);
            let has = |bytes: usize| message.cmsg_len >= libc::CMSG_LEN(bytes as u32) as _;
            match (message.cmsg_level, message.cmsg_type) {
                (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS) if has(size_of::<libc::timespec>()) => {
                    let time = ptr::read_unaligned(content.cast::<libc::timespec>());
                    at_ns = (time.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64);
                }
                (libc::SOL_PACKET, PACKET_AUXDATA) if has(size_of::<Auxiliary>()) => {
                    auxiliary = Some(ptr::read_unaligned(content.cast::<Auxiliary>()));
                }
                _ => {}
            }
            next = libc::CMSG_NXTHDR(&raw const header.msg_hdr, next);
        }
    }
    (at_ns, auxiliary)
}

fn filter(socket: &OwnedFd, program: &[BpfInstruction]) -> io::Result<()> {
    let mut code: Vec<libc::sock_filter> = program
        .iter()
        .map(|step| libc::sock_filter { code: step.code, jt: step.if_true, jf: step.if_false, k: step.value })
        .collect();
    let program = libc::sock_fprog { len: code.len() as u16, filter: code.as_mut_ptr() };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

fn set<T>(socket: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the pointer is to a whole value of the length that is given, and what it points to lives as long as the call.
    #[allow(unsafe_code, reason = "no safe crate offers these options")]
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
