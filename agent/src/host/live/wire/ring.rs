//! The ring that a tap's packets come in (packet(7), `PACKET_RX_RING` with `TPACKET_V3`): blocks of a fixed size that the kernel fills and
//! this side gives back.
//!
//! Why a ring and not the socket's own buffer: without `CAP_NET_ADMIN` that buffer is some 200 KiB by the system's bound, and a packet counts
//! there with its whole length, which is 20 ms of 100 Mbit/s. The ring holds what is kept of packets alone, 2 s of that with 96 bytes each.

use std::io::{self, ErrorKind};
use std::mem::offset_of;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};

use super::packet_socket;
use crate::host::Packet;

/// A block. Why so large: the longest packet that may be kept must fit.
const BLOCK_BYTES: usize = 128 * 1024;

/// All of them, 4 MiB: what does not fit is dropped and counted.
const BLOCKS: usize = 32;

/// What the kernel calls a frame has any length in this version; it checks that their number fits.
const FRAME_BYTES: usize = 2048;

/// A block that is not full is handed over after this.
const RETIRE_MS: u32 = 10;

const PACKET_OUTGOING: u8 = 4;
const ETH_P_8021Q: u16 = 0x8100;

/// Where a VLAN's tag stands in a frame: behind both hardware addresses.
const TAG_AT: usize = 12;

/// Where the link's address stands behind a packet's header (`TPACKET_ALIGN`).
const ADDRESS_AT: usize = size_of::<libc::tpacket3_hdr>().next_multiple_of(libc::TPACKET_ALIGNMENT);

/// Where a block tells its state, and how it is read.
const BLOCK_HEADER_AT: usize = offset_of!(libc::tpacket_block_desc, hdr);
const STATE_AT: usize = BLOCK_HEADER_AT + offset_of!(libc::tpacket_hdr_v1, block_status);
const COUNT_AT: usize = BLOCK_HEADER_AT + offset_of!(libc::tpacket_hdr_v1, num_pkts);
const FIRST_AT: usize = BLOCK_HEADER_AT + offset_of!(libc::tpacket_hdr_v1, offset_to_first_pkt);

/// A socket's ring. It is unmapped with this.
pub(super) struct Ring {
    base: NonNull<u8>,
    /// The block that comes next.
    next: usize,
}

// SAFETY: the mapping belongs to this value alone, and nothing of it is bound to a thread.
#[allow(unsafe_code, reason = "a mapping is reached by pointer")]
unsafe impl Send for Ring {}

impl Ring {
    /// Gives a socket its ring. Before the socket hears anything.
    pub(super) fn of(socket: &OwnedFd) -> io::Result<Self> {
        let version = libc::tpacket_versions::TPACKET_V3 as libc::c_int;
        packet_socket::set(socket, libc::SOL_PACKET, libc::PACKET_VERSION, &version)?;
        let wanted = libc::tpacket_req3 {
            tp_block_size: BLOCK_BYTES as libc::c_uint,
            tp_block_nr: BLOCKS as libc::c_uint,
            tp_frame_size: FRAME_BYTES as libc::c_uint,
            tp_frame_nr: (BLOCKS * (BLOCK_BYTES / FRAME_BYTES)) as libc::c_uint,
            tp_retire_blk_tov: RETIRE_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        packet_socket::set(socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &wanted)?;
        // SAFETY: a new mapping at a place of the kernel's choice, of the ring's whole length; it is unmapped once, on drop.
        #[allow(unsafe_code, reason = "no safe crate maps a packet socket's ring")]
        let base = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(ptr::null_mut(), BLOCKS * BLOCK_BYTES, access, libc::MAP_SHARED, socket.as_raw_fd(), 0)
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or(ErrorKind::OutOfMemory)?;
        Ok(Self { base, next: 0 })
    }

    /// Hands over the packets of the next block and gives it back: how many; none where the kernel still fills it.
    pub(super) fn take(&mut self, each: &mut dyn FnMut(&Packet<'_>) -> io::Result<()>) -> io::Result<Option<usize>> {
        // SAFETY: `next` is below the number of blocks, so the block and the state in it lie within the mapping; the state is aligned to four
        // bytes and only ever touched as an atomic on this side.
        #[allow(unsafe_code, reason = "the kernel and this side pass a block on by its state")]
        let (block, state) = unsafe {
            let block = self.base.as_ptr().add(self.next * BLOCK_BYTES);
            (block, AtomicU32::from_ptr(block.add(STATE_AT).cast()))
        };
        if state.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return Ok(None);
        }
        // SAFETY: the kernel does not touch a block that it has handed over until its state is set back, which is after the slice's last use.
        #[allow(unsafe_code, reason = "the kernel and this side pass a block on by its state")]
        let bytes = unsafe { slice::from_raw_parts(block, BLOCK_BYTES) };
        let taken = packets(bytes, each);
        state.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % BLOCKS;
        taken.map(Some)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that was made, whole, and nothing refers to it any more.
        #[allow(unsafe_code, reason = "what was mapped is unmapped")]
        let done = unsafe { libc::munmap(self.base.as_ptr().cast(), BLOCKS * BLOCK_BYTES) };
        if done != 0 {
            tracing::debug!(error = %io::Error::last_os_error(), "a ring stays mapped");
        }
    }
}

/// The packets of a block, in their order: how many.
fn packets(block: &[u8], each: &mut dyn FnMut(&Packet<'_>) -> io::Result<()>) -> io::Result<usize> {
    let odd = || io::Error::new(ErrorKind::InvalidData, "the kernel's ring of packets does not read as packet(7) says");
    let count = word(block, COUNT_AT).ok_or_else(odd)? as usize;
    let mut at = word(block, FIRST_AT).ok_or_else(odd)? as usize;
    for _packet in 0..count {
        let frame = block.get(at..).ok_or_else(odd)?;
        packet(frame, each).ok_or_else(odd)??;
        at += word(frame, offset_of!(libc::tpacket3_hdr, tp_next_offset)).ok_or_else(odd)? as usize;
    }
    Ok(count)
}

/// One packet, from its header on; absent where it does not lie within.
fn packet(frame: &[u8], each: &mut dyn FnMut(&Packet<'_>) -> io::Result<()>) -> Option<io::Result<()>> {
    let address = frame.get(ADDRESS_AT..)?;
    let seconds = u64::from(word(frame, offset_of!(libc::tpacket3_hdr, tp_sec))?);
    let nanoseconds = u64::from(word(frame, offset_of!(libc::tpacket3_hdr, tp_nsec))?);
    let begin = usize::from(half(frame, offset_of!(libc::tpacket3_hdr, tp_mac))?);
    let kept = word(frame, offset_of!(libc::tpacket3_hdr, tp_snaplen))? as usize;
    let packet = Packet {
        at_ns: seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds),
        interface: word(address, offset_of!(libc::sockaddr_ll, sll_ifindex))?,
        link: half(address, offset_of!(libc::sockaddr_ll, sll_hatype))?,
        outgoing: *address.get(offset_of!(libc::sockaddr_ll, sll_pkttype))? == PACKET_OUTGOING,
        length: word(frame, offset_of!(libc::tpacket3_hdr, tp_len))?,
        bytes: frame.get(begin..begin.checked_add(kept)?)?,
    };
    let status = word(frame, offset_of!(libc::tpacket3_hdr, tp_status))?;
    if status & libc::TP_STATUS_VLAN_VALID == 0 || packet.bytes.len() < TAG_AT {
        return Some(each(&packet));
    }
    // The kernel takes the tag out of the frame; it goes back where it was.
    let beside = offset_of!(libc::tpacket3_hdr, hv1);
    let tag = word(frame, beside + offset_of!(libc::tpacket_hdr_variant1, tp_vlan_tci))? as u16;
    let known = status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
    let told = half(frame, beside + offset_of!(libc::tpacket_hdr_variant1, tp_vlan_tpid))?;
    let protocol = if known { told } else { ETH_P_8021Q };
    let (addresses, rest) = packet.bytes.split_at(TAG_AT);
    let tagged = [addresses, &protocol.to_be_bytes(), &tag.to_be_bytes(), rest].concat();
    Some(each(&Packet { bytes: &tagged, length: packet.length.saturating_add(4), ..packet }))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block with one packet of these bytes, as the kernel lays it out.
    fn block(bytes: &[u8], status: u32, kept: u32) -> Vec<u8> {
        let (first, begin) = (48, 96_u16);
        let mut block = vec![0; first + usize::from(begin) + bytes.len()];
        let mut put = |at: usize, value: &[u8]| block[at..at + value.len()].copy_from_slice(value);
        put(COUNT_AT, &1_u32.to_ne_bytes());
        put(FIRST_AT, &48_u32.to_ne_bytes());
        for (at, value) in [(4, 7), (8, 5), (12, kept), (16, 1500), (20, status), (32, 42)] {
            put(first + at, &u32::to_ne_bytes(value));
        }
        put(first + 24, &begin.to_ne_bytes());
        put(first + 48 + 4, &3_u32.to_ne_bytes());
        put(first + 48 + 8, &1_u16.to_ne_bytes());
        put(first + 48 + 10, &[PACKET_OUTGOING]);
        put(first + usize::from(begin), bytes);
        block
    }

    /// Interface, length on the wire, and bytes of each packet.
    fn read(block: &[u8]) -> io::Result<Vec<(u32, u32, Vec<u8>)>> {
        let mut read = Vec::new();
        packets(block, &mut |packet| {
            assert!(packet.outgoing && packet.at_ns == 7_000_000_005);
            read.push((packet.interface, packet.length, packet.bytes.to_vec()));
            Ok(())
        })?;
        Ok(read)
    }

    #[test]
    fn a_packet_is_read_with_what_the_kernel_says_beside_it() {
        let frame: Vec<u8> = (0..20).collect();
        let plain = read(&block(&frame, 0, 20)).unwrap();
        assert_eq!(plain, [(3, 1500, frame.clone())]);
        let tagged = read(&block(&frame, libc::TP_STATUS_VLAN_VALID, 20)).unwrap();
        assert_eq!((tagged[0].1, &tagged[0].2[10..18]), (1504, &[10, 11, 0x81, 0, 0, 42, 12, 13][..]));
    }

    #[test]
    fn a_block_that_lies_about_its_lengths_is_refused() {
        let whole = block(&[1; 20], 0, 20);
        assert!(read(&block(&[1; 20], 0, 21)).is_err(), "more is kept than there is");
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
    }
}
