//! One name server asked for one name, over UDP or TCP.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use ring::rand::{SecureRandom, SystemRandom};
use simple_dns::TYPE;

use super::message::{self, Reply};
use crate::host::Host;

/// How long one answer may take. Why so long: a stub asks its servers in turn, five seconds each.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(2);

const PORT: u16 = 53;

/// How a question travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// Asks once. The answer, and how long it took.
pub(in crate::probe) fn ask(
    host: &dyn Host,
    server: IpAddr,
    name: &str,
    kind: TYPE,
) -> anyhow::Result<(Reply, Duration)> {
    by(host, server, name, kind, Transport::Udp)
}

/// Asks once over a transport.
pub(super) fn by(
    host: &dyn Host,
    server: IpAddr,
    name: &str,
    kind: TYPE,
    transport: Transport,
) -> anyhow::Result<(Reply, Duration)> {
    let id = u16::from_be_bytes(random()?);
    let query = message::query(id, name, kind)?;
    let to = SocketAddr::new(server, PORT);
    let (bytes, took) = match transport {
        Transport::Udp => host.wire().exchange(to, &query, ANSWER_MAX)?,
        Transport::Tcp => over_tcp(host, to, &query)?,
    };
    Ok((message::reply(&bytes, id)?, took))
}

/// Each message follows its length (RFC 1035, 4.2.2).
fn over_tcp(host: &dyn Host, to: SocketAddr, query: &[u8]) -> io::Result<(Vec<u8>, Duration)> {
    let begun_ms = host.now_ms();
    let mut stream = host.wire().connect(to, ANSWER_MAX)?;
    stream.wait(ANSWER_MAX)?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], query].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes)?;
    let took = u64::try_from(host.now_ms().saturating_sub(begun_ms)).unwrap_or_default();
    Ok((bytes, Duration::from_millis(took)))
}

/// Bytes that nobody can guess.
pub(in crate::probe) fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).ok().context("the system has no random numbers")?;
    Ok(bytes)
}

/// What it means that no answer came.
pub(in crate::probe) fn silence(error: &anyhow::Error) -> String {
    let kind = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    match kind {
        Some(ErrorKind::TimedOut) => "no answer in time".into(),
        Some(ErrorKind::ConnectionRefused) => "the port is closed".into(),
        Some(ErrorKind::HostUnreachable) => "the host cannot be reached".into(),
        Some(ErrorKind::NetworkUnreachable) => "no route leads there".into(),
        Some(ErrorKind::PermissionDenied) => "forbidden by a firewall or a route of this machine".into(),
        Some(ErrorKind::ConnectionReset) => "the connection was reset".into(),
        Some(ErrorKind::UnexpectedEof) => "the connection was closed without an answer".into(),
        _ => format!("{error:#}"),
    }
}
