//! Echo requests and what comes back, and attempts to open a TCP connection: the answers of the network itself, as ICMP tells them.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// An ICMP error, with the numbers of its address family (RFC 792, RFC 4443).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Who sent it; the machine's own address where its own kernel gave up.
    pub from: IpAddr,
    /// Its type.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// The size that a packet may have, where it says so (RFC 1191, RFC 8201).
    pub mtu: Option<u32>,
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// The answer, from there.
    Reply(IpAddr),
    /// An error.
    Error(IcmpError),
    /// The machine's own link takes no packet of that size, but one of this.
    TooLarge(u32),
}

/// Something that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echoed {
    /// The request that it belongs to.
    pub sequence: u16,
    /// How long after it.
    pub took: Duration,
    /// What it is.
    pub back: Back,
}

/// A place to send echo requests from, to one address.
pub trait Echo: Send {
    /// Sends a request in a packet of this size, the IP header included, that no router may cut into pieces and that passes so many hops.
    fn ask(&mut self, sequence: u16, hops: u8, bytes: u16) -> io::Result<()>;
    /// What came back next; absent where nothing did in time.
    fn hear(&mut self, wait: Duration) -> io::Result<Option<Echoed>>;
    /// How long it has been open.
    fn age(&self) -> Duration;
}

/// How an attempt to open a TCP connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knock {
    /// It opened, and stayed open for a moment. The largest segment that this machine would send, where the system tells.
    Open(Option<u32>),
    /// It opened, and was reset at once.
    Reset,
    /// It was reset before it opened: nobody listens there, or a firewall answers in its name.
    Refused,
    /// ICMP told why not.
    Told(IcmpError),
    /// Nothing came back.
    Silent,
    /// This machine has no way there: no route, or a rule of its own against it.
    NoWay(io::ErrorKind),
}
