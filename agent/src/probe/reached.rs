//! A service reached: its name resolved, and a TCP connection opened; or where that ended, and why.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::step::since_ms;
use crate::host::{Host, Stream};

/// How long one address may take to answer.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(3);

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 3;

/// A connection.
pub(super) struct Reached {
    pub(super) stream: Box<dyn Stream>,
    pub(super) address: SocketAddr,
    pub(super) resolve_ms: u32,
    pub(super) connect_ms: u32,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unreached {
    /// The name has no address.
    Unresolved(String),
    /// No address could be connected to.
    Unconnected(SocketAddr, Obstacle),
}

/// What stands in the way of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// Nothing comes back.
    Silence,
    /// The host answers that nobody listens (RST).
    Refused,
    /// It was accepted and then broken.
    Reset,
    /// Somebody on the way says that the host, or the network, cannot be reached.
    Unreachable(&'static str),
    /// Somebody forbids it: a firewall that says so (ICMP), or this machine's own.
    Prohibited,
    Other(String),
}

impl Obstacle {
    /// What an error means. Linux tells ICMP's "administratively prohibited" codes 9, 10 and 13 as unreachable (`icmp_err_convert`), and its own firewall's
    /// refusal as EPERM.
    pub(super) fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Self::Silence,
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::UnexpectedEof
            | ErrorKind::BrokenPipe => Self::Reset,
            ErrorKind::HostUnreachable => {
                Self::Unreachable("somebody on the way says that the host cannot be reached or is forbidden")
            }
            ErrorKind::NetworkUnreachable => Self::Unreachable("no route leads there"),
            ErrorKind::PermissionDenied => Self::Prohibited,
            _ => Self::Other(error.to_string()),
        }
    }

    pub(super) fn words(&self) -> String {
        match self {
            Self::Silence => "no answer in time".into(),
            Self::Refused => "connection refused: the host answers, and nobody listens at this port".into(),
            Self::Reset => "the connection is broken off (reset)".into(),
            Self::Unreachable(words) => (*words).into(),
            Self::Prohibited => "forbidden by a firewall or a route of this machine".into(),
            Self::Other(words) => words.clone(),
        }
    }
}

impl Unreached {
    pub(super) fn words(&self) -> String {
        match self {
            Self::Unresolved(why) => why.clone(),
            Self::Unconnected(address, obstacle) => format!("{address}: {}", obstacle.words()),
        }
    }
}

/// Connects to the first address that answers.
pub(super) fn reach(host: &dyn Host, name: &str, port: u16) -> Result<Reached, Unreached> {
    let begun_ms = host.now_ms();
    let addresses = host.resolve(name).map_err(|error| Unreached::Unresolved(error.to_string()))?;
    let resolve_ms = since_ms(host, begun_ms);
    let mut first = None;
    for address in addresses.iter().take(ADDRESSES_MAX) {
        match connect(host, *address, port) {
            Ok((stream, connect_ms)) => {
                return Ok(Reached { stream, address: SocketAddr::new(*address, port), resolve_ms, connect_ms });
            }
            Err(obstacle) => {
                first.get_or_insert(Unreached::Unconnected(SocketAddr::new(*address, port), obstacle));
            }
        }
    }
    Err(first.unwrap_or_else(|| Unreached::Unresolved(format!("the name {name} has no address"))))
}

/// Connects to one address; how long that took.
pub(super) fn connect(host: &dyn Host, address: IpAddr, port: u16) -> Result<(Box<dyn Stream>, u32), Obstacle> {
    let begun_ms = host.now_ms();
    let stream =
        host.wire().connect(SocketAddr::new(address, port), CONNECT_MAX).map_err(|error| Obstacle::of(&error))?;
    Ok((stream, since_ms(host, begun_ms)))
}
