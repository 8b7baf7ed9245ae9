//! The agent's own connections, which say nothing of the fault and would fill the file: each word on how far a capture is would be captured.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::program::{Condition, End};
use crate::host::Host;

/// Descriptors and connections that are looked at.
const DESCRIPTORS_MAX: usize = 512;
const CONNECTIONS_MAX: usize = 2;

const TCP: u32 = 6;

/// `TCP_ESTABLISHED`
const ESTABLISHED: &str = "01";

/// Packets of the agent's own TCP connections; none where it has none.
pub(super) fn connections(host: &dyn Host) -> Option<Condition> {
    let descriptors = host.list("/proc/self/fd").unwrap_or_default();
    let sockets: Vec<String> = descriptors
        .iter()
        .take(DESCRIPTORS_MAX)
        .filter_map(|number| host.link(&format!("/proc/self/fd/{number}")).ok())
        .filter_map(|target| Some(target.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(|path| host.text(path).unwrap_or_default());
    let ends = tables.iter().flat_map(|table| table.lines().filter_map(|line| ends(line, &sockets)));
    ends.take(CONNECTIONS_MAX).map(|(own, far)| between(own, far).or(between(far, own))).reduce(Condition::or)
}

fn between(from: SocketAddr, to: SocketAddr) -> Condition {
    let end = |end, place: SocketAddr| {
        let port = u32::from(place.port());
        let bits = if place.is_ipv4() { 32 } else { 128 };
        Condition::port(end, port, port, &[TCP]).and(Condition::address(end, place.ip(), bits))
    };
    end(End::Source, from).and(end(End::Destination, to))
}

/// proc(5), /proc/net/tcp: both ends of an open connection of one of these sockets.
fn ends(line: &str, sockets: &[String]) -> Option<(SocketAddr, SocketAddr)> {
    let mut words = line.split_whitespace();
    let (own, far, state) = (words.nth(1)?, words.next()?, words.next()?);
    let inode = words.nth(5)?;
    let is_own = state == ESTABLISHED && sockets.iter().any(|socket| socket == inode);
    is_own.then(|| Some((place(own)?, place(far)?)))?
}

/// Words of the address as the processor has them, then the port.
fn place(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let mut bytes = Vec::new();
    for at in (0..address.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    let ip = if let Ok(bytes) = <[u8; 4]>::try_from(bytes.as_slice()) {
        IpAddr::V4(Ipv4Addr::from(bytes))
    } else {
        let ip = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
        ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_the_agents_where_the_agent_holds_its_socket() {
        let line = "   1: 0100007F:9C40 0100007F:20FB 01 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 20 4 30 10 -1";
        let sockets = ["4711".to_owned()];
        let found = ends(line, &sockets).unwrap();
        assert_eq!(found, ("127.0.0.1:40000".parse().unwrap(), "127.0.0.1:8443".parse().unwrap()));
        assert_eq!(ends(line, &["4712".to_owned()]), None);
        assert_eq!(ends(&line.replace(" 01 ", " 06 "), &sockets), None, "one that is closed");
        assert_eq!(place("0000000000000000FFFF00000100007F:0050").unwrap(), "127.0.0.1:80".parse().unwrap());
        for odd in ["", ":", "01:50", "0100007F", "0100007F:GG", "é100007F:0050", "0100007F0100007F:0050"] {
            assert_eq!(place(odd), None, "{odd}");
        }
    }
}
