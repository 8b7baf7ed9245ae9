//! The kernel's lists of sockets: /proc/net/tcp, tcp6, udp and udp6 (proc(5), `Documentation/networking/proc_net_tcp.rst`).

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Context;

use crate::host::{Host, READ_BYTES_MAX};

/// The lists, and the protocol of each. A kernel without IPv6 lacks two of them.
const LISTS: [(&str, &str); 4] =
    [("tcp", "/proc/net/tcp"), ("tcp", "/proc/net/tcp6"), ("udp", "/proc/net/udp"), ("udp", "/proc/net/udp6")];

/// `TCP_LISTEN`
pub(super) const LISTEN: u8 = 10;

/// `TCP_ESTABLISHED`; for UDP a socket that is connected.
pub(super) const ESTABLISHED: u8 = 1;

/// `TCP_TIME_WAIT`
pub(super) const TIME_WAIT: u8 = 6;

/// Ports that the kernel gives to clients, where /proc does not say.
const CLIENT_PORTS: (u16, u16) = (32_768, 60_999);

/// One socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) protocol: &'static str,
    pub(super) local: IpAddr,
    pub(super) local_port: u16,
    pub(super) remote: IpAddr,
    pub(super) remote_port: u16,
    /// Numbers of `tcp_states.h`.
    pub(super) state: u8,
    pub(super) tx_queue: u64,
    pub(super) rx_queue: u64,
    pub(super) retransmits: u32,
    pub(super) uid: u32,
    /// 0 where no program holds it.
    pub(super) inode: u64,
    pub(super) drops: u64,
}

/// Goes through all sockets of the machine's network; returns what was not seen.
pub(super) fn each(host: &dyn Host, mut take: impl FnMut(&Line)) -> anyhow::Result<Vec<String>> {
    let mut missing = Vec::new();
    for (protocol, path) in LISTS {
        let text = match host.text(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && path.ends_with('6') => continue,
            text => text.with_context(|| format!("reading {path}"))?,
        };
        let mut unread = 0_usize;
        for line in text.lines().skip(1) {
            match parse(protocol, line) {
                Some(line) => take(&line),
                None => unread += 1,
            }
        }
        if text.len() >= READ_BYTES_MAX {
            missing.push(format!("sockets in {path} after the first {READ_BYTES_MAX} bytes"));
        } else if unread > 0 {
            missing.push(format!("{unread} lines of {path} in a form unknown here"));
        }
    }
    Ok(missing)
}

fn parse(protocol: &'static str, line: &str) -> Option<Line> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, local_port) = end(fields.next()?)?;
    let (remote, remote_port) = end(fields.next()?)?;
    let state = u8::from_str_radix(fields.next()?, 16).ok()?;
    let (tx, rx) = fields.next()?.split_once(':')?;
    let (tx_queue, rx_queue) = (u64::from_str_radix(tx, 16).ok()?, u64::from_str_radix(rx, 16).ok()?);
    let retransmits = u32::from_str_radix(fields.nth(1)?, 16).ok()?;
    let uid = fields.next()?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    let drops = if protocol == "udp" { fields.nth(2)?.parse().ok()? } else { 0 };
    let line = Line {
        protocol,
        local,
        local_port,
        remote,
        remote_port,
        state,
        tx_queue,
        rx_queue,
        retransmits,
        uid,
        inode,
        drops,
    };
    Some(line)
}

/// "0100007F:0277". Each 32 bits stand as the processor, which is little-endian, has them in memory.
fn end(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok().map(u32::to_le_bytes);
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (place, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(place * 8)?);
            }
            Ipv6Addr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some((address, port))
}

/// The ports that the kernel gives to clients (ip(7)).
pub(super) fn client_ports(host: &dyn Host) -> (u16, u16) {
    let text = host.line("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut words = text.split_whitespace().map_while(|word| word.parse().ok());
    words.next().zip(words.next()).unwrap_or(CLIENT_PORTS)
}

/// The words of ss(8), with underscores.
pub(super) fn state(protocol: &str, number: u8) -> &'static str {
    if protocol == "udp" {
        return "connected";
    }
    match number {
        1 => "established",
        2 => "syn_sent",
        3 | 12 => "syn_recv",
        4 => "fin_wait1",
        5 => "fin_wait2",
        6 => "time_wait",
        7 => "close",
        8 => "close_wait",
        9 => "last_ack",
        10 => "listen",
        11 => "closing",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTENING: &str = "   0: 0100007F:0277 00000000:0000 0A 00000000:00000002 00:00000000 00000000     0        0 21510 1 ffff8f2a 100 0 0 10 0";
    const SIX: &str = "   7: B80D0120000000000000000001000000:01BB 0000000000000000FFFF0000070200C0:C001 08 0000000A:00000020 00:00000000 00000003  1000        0 31001 1 ffff8f2a";
    const UDP: &str = "  812: 00000000:14E9 00000000:0000 07 00000000:00000300 00:00000000 00000000   108        0 19981 2 ffff8f2a 17";

    #[test]
    fn addresses_states_and_queues_are_read() {
        let line = parse("tcp", LISTENING).unwrap();
        assert_eq!((line.local.to_string().as_str(), line.local_port, line.state), ("127.0.0.1", 631, LISTEN));
        assert_eq!((line.rx_queue, line.inode, line.uid), (2, 21510, 0));
        let line = parse("tcp", SIX).unwrap();
        assert_eq!((line.local.to_string().as_str(), line.local_port), ("2001:db8::1", 443));
        assert_eq!((line.remote.to_string().as_str(), line.remote_port), ("192.0.2.7", 49153));
        assert_eq!((state("tcp", line.state), line.tx_queue, line.retransmits), ("close_wait", 10, 3));
        let line = parse("udp", UDP).unwrap();
        assert_eq!((line.local_port, line.rx_queue, line.drops, line.uid), (5353, 768, 17, 108));
    }

    #[test]
    fn a_line_cut_anywhere_is_refused_or_whole_but_never_a_panic() {
        for text in [LISTENING, SIX, UDP] {
            for cut in 0..text.len() {
                let _anything = (parse("tcp", &text[..cut]), parse("udp", &text[..cut]));
            }
        }
        assert_eq!(end("0100007F0:0277"), None);
        assert_eq!(end("ÄÄÄÄ:0277"), None);
    }
}
