//! Packets as they pass a link (packet(7)), by a filter that the kernel runs, in blocks, with bounded memory.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::net::{SocketType, sockopt};

use super::packet_socket;
use super::ring::Ring;
use crate::host::{BpfInstruction, Packet, Packets, Tap};

const ETH_P_ALL: u16 = 0x0003;

/// An open tap.
pub(super) struct OpenTap {
    socket: OwnedFd,
    ring: Ring,
    passed: u64,
    dropped: u64,
}

/// Opens a tap. Why bound last: nothing that the filter would leave out gets in before it is set.
pub(super) fn open(tap: &Tap) -> io::Result<OpenTap> {
    let socket = packet_socket::open(SocketType::RAW)?;
    let index = match &tap.interface {
        Some(interface) => packet_socket::index(&socket, interface)?,
        None => 0,
    };
    filter(&socket, &tap.program)?;
    let ring = Ring::of(&socket)?;
    packet_socket::hear(&socket, index, ETH_P_ALL)?;
    Ok(OpenTap { socket, ring, passed: 0, dropped: 0 })
}

impl Packets for OpenTap {
    fn take(&mut self, wait: Duration, each: &mut dyn FnMut(&Packet<'_>) -> io::Result<()>) -> io::Result<usize> {
        if let Some(taken) = self.ring.take(each)? {
            return Ok(taken);
        }
        if packet_socket::readable(&self.socket, Instant::now() + wait)? {
            match sockopt::socket_error(&self.socket)? {
                // A link that is switched off is silent, and may come back.
                Ok(()) | Err(rustix::io::Errno::NETDOWN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.ring.take(each)?.unwrap_or_default())
    }

    fn counted(&mut self) -> io::Result<(u64, u64)> {
        let mut counts = [0_u32; 3];
        let mut length = size_of_val(&counts) as libc::socklen_t;
        // SAFETY: the kernel writes no more than `length` bytes there: `struct tpacket_stats_v3` has three numbers.
        #[allow(unsafe_code, reason = "no safe crate offers PACKET_STATISTICS")]
        let done = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                counts.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        // Why added up: reading resets them.
        let [passed, dropped, _ring_was_full] = counts.map(u64::from);
        self.passed += passed;
        self.dropped += dropped;
        Ok((self.passed, self.dropped))
    }
}

fn filter(socket: &OwnedFd, program: &[BpfInstruction]) -> io::Result<()> {
    let mut code: Vec<libc::sock_filter> = program
        .iter()
        .map(|step| libc::sock_filter { code: step.code, jt: step.if_true, jf: step.if_false, k: step.value })
        .collect();
    let program = libc::sock_fprog { len: code.len() as u16, filter: code.as_mut_ptr() };
    packet_socket::set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}
