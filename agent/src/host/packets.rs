//! Packets as a probe asks for them and gets them.

use std::io;
use std::time::Duration;

/// A step of a filter that the kernel runs over each packet (classic BPF, `struct sock_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BpfInstruction {
    /// What it does.
    pub code: u16,
    /// Steps that are skipped where its comparison holds.
    pub if_true: u8,
    /// Steps that are skipped where it does not.
    pub if_false: u8,
    /// Its number.
    pub value: u32,
}

/// What packets are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tap {
    /// From which interface; absent for all.
    pub interface: Option<String>,
    /// The kernel's filter. What it answers is how many bytes of a packet are kept; 0 leaves it out.
    pub program: Vec<BpfInstruction>,
    /// Bytes of a packet that are kept at most.
    pub snaplen: u32,
}

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// When it passed, in nanoseconds since 1970-01-01 UTC.
    pub at_ns: u64,
    /// The kernel's number of the interface.
    pub interface: u32,
    /// The kind of its link (`ARPHRD_`).
    pub link: u16,
    /// It was sent, and not received.
    pub outgoing: bool,
    /// Its length on the wire.
    pub length: u32,
    /// What is kept of it.
    pub bytes: &'a [u8],
}

/// A tap that is open. It is closed with this.
pub trait Packets: Send {
    /// Hands over what has come, each packet once, and says how many; waits that long where nothing has. It returns after a bounded number, or
    /// with the first error of `each`.
    fn take(&mut self, wait: Duration, each: &mut dyn FnMut(&Packet<'_>) -> io::Result<()>) -> io::Result<usize>;
    /// Packets that the filter let through since the tap was opened, and those of them that were dropped because nobody fetched them in time.
    fn counted(&mut self) -> io::Result<(u64, u64)>;
}
