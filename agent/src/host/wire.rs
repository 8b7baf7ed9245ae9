//! The door to the network, for probes: what is sent, and what comes back. A recorded machine has none.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::echo::{Echo, Knock};
use super::{Packets, Tap};

/// A connection. Reading and writing wait no longer than they were told to; past that they fail with `TimedOut`.
pub trait Stream: Read + Write + Send {
    /// How long each reading and writing may wait from now on.
    fn wait(&self, time: Duration) -> io::Result<()>;
    /// The two ends: the machine's own, and the far one.
    fn ends(&self) -> io::Result<(SocketAddr, SocketAddr)>;
}

/// A hardware address of Ethernet.
pub type Mac = [u8; 6];

/// A hardware address as it is written: "52:54:00:12:34:56"; empty where there is none.
pub fn mac_text(mac: &[u8]) -> String {
    mac.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// How long answers are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hear {
    /// Until the first has come.
    First,
    /// To the end of the time.
    All,
}

/// What probes reach the network through. Every wait is bounded by what its caller says; past it the error is `TimedOut`.
pub trait Wire: Send + Sync {
    /// Opens a TCP connection.
    fn connect(&self, _to: SocketAddr, _wait: Duration) -> io::Result<Box<dyn Stream>> {
        Err(none())
    }

    /// Sends one UDP datagram and hears what comes back from there; also how long that took.
    fn exchange(&self, _to: SocketAddr, _datagram: &[u8], _wait: Duration) -> io::Result<(Vec<u8>, Duration)> {
        Err(none())
    }

    /// Opens a place to send echo requests from, to an address; a link-local one is meant at this interface. Denied where neither
    /// `ping_group_range` nor `CAP_NET_RAW` allows it.
    fn echo(&self, _to: IpAddr, _interface: &str) -> io::Result<Box<dyn Echo>> {
        Err(none())
    }

    /// Opens a TCP connection and closes it without a byte sent or read: how that ended, and after how long.
    fn knock(&self, _to: SocketAddr, _wait: Duration) -> io::Result<(Knock, Duration)> {
        Err(none())
    }

    /// Asks a link by ARP who has an address, three times spread over `wait`, in the form that changes nobody's table (RFC 5227): the hardware
    /// addresses of those who say they do, this interface's own left out. Denied without `CAP_NET_RAW`; a link without ARP is `Unsupported`.
    fn arp(&self, _interface: &str, _address: Ipv4Addr, _wait: Duration, _hear: Hear) -> io::Result<Vec<Mac>> {
        Err(none())
    }

    /// Opens a tap on packets. Denied without `CAP_NET_RAW`.
    fn packets(&self, _tap: &Tap) -> io::Result<Box<dyn Packets>> {
        Err(none())
    }
}

fn none() -> io::Error {
    io::Error::new(ErrorKind::Unsupported, "a recorded machine has no network to test")
}

/// A machine without a network.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoWire;

impl Wire for NoWire {}
