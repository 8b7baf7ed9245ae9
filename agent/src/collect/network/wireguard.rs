//! `WireGuard`'s tunnels as the kernel tells of them (linux/wireguard.h): peers, handshakes, traffic. The door has taken the keys out.

use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::NlasIterator;

use crate::host::{Host, attribute};

/// `WG_CMD_GET_DEVICE`, with the version of the family.
const REQUEST: [u8; 4] = [0, 1, 0, 0];
const WGDEVICE_A_IFNAME: u16 = 2;
const WGDEVICE_A_PEERS: u16 = 8;
const WGPEER_A_ENDPOINT: u16 = 4;
const WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL: u16 = 5;
const WGPEER_A_LAST_HANDSHAKE_TIME: u16 = 6;
const WGPEER_A_RX_BYTES: u16 = 7;
const WGPEER_A_TX_BYTES: u16 = 8;

/// `struct nlmsghdr` and `struct genlmsghdr`.
const HEADERS_BYTES: usize = 20;

/// `AF_INET` and `AF_INET6`, which Linux numbers alike on all machines.
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// Most peers of one tunnel.
const PEERS_MAX: usize = 1_000;

/// One peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) endpoint: Option<SocketAddr>,
    pub(super) keepalive_s: u32,
    /// 0: none yet.
    pub(super) handshake_ms: i64,
    pub(super) rx_bytes: u64,
    pub(super) tx_bytes: u64,
}

/// The peers of a tunnel.
pub(super) fn peers(host: &dyn Host, interface: &str) -> std::io::Result<Vec<Peer>> {
    let name = attribute(WGDEVICE_A_IFNAME, &[interface.as_bytes(), &[0]].concat());
    let request = [&REQUEST[..], &name].concat();
    Ok(read(&host.genl("wireguard", &request, true)?))
}

/// A peer whose allowed addresses do not fit into one message goes on in the next, without its handshake: that part is none of its own.
fn read(mut messages: &[u8]) -> Vec<Peer> {
    let mut found = Vec::new();
    while let Some(length) = messages.first_chunk::<4>() {
        let length = u32::from_ne_bytes(*length) as usize;
        let Some(message) = messages.get(HEADERS_BYTES..length) else { break };
        for attribute in NlasIterator::new(message).map_while(Result::ok) {
            if attribute.kind() == WGDEVICE_A_PEERS {
                let peers = NlasIterator::new(attribute.value()).map_while(Result::ok);
                found.extend(peers.filter_map(|one| peer(one.value())));
            }
        }
        if found.len() >= PEERS_MAX {
            break;
        }
        messages = messages.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found.truncate(PEERS_MAX);
    found
}

fn peer(attributes: &[u8]) -> Option<Peer> {
    let (mut peer, mut begins) = (Peer::default(), false);
    for attribute in NlasIterator::new(attributes).map_while(Result::ok) {
        let value = attribute.value();
        let number = || value.try_into().map(u64::from_ne_bytes).unwrap_or_default();
        match attribute.kind() {
            WGPEER_A_ENDPOINT => peer.endpoint = endpoint(value),
            WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL => {
                peer.keepalive_s = value.try_into().map(u16::from_ne_bytes).unwrap_or_default().into();
            }
            WGPEER_A_LAST_HANDSHAKE_TIME => {
                begins = true;
                let seconds = value.first_chunk::<8>().map(|bytes| i64::from_ne_bytes(*bytes)).unwrap_or_default();
                peer.handshake_ms = seconds.saturating_mul(1_000);
            }
            WGPEER_A_RX_BYTES => peer.rx_bytes = number(),
            WGPEER_A_TX_BYTES => peer.tx_bytes = number(),
            _ => {}
        }
    }
    begins.then_some(peer)
}

/// `struct sockaddr_in` and `struct sockaddr_in6`: the port and the address stand in network order.
fn endpoint(bytes: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(*bytes.first_chunk::<2>()?);
    let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    let address: IpAddr = match family {
        AF_INET => <[u8; 4]>::try_from(bytes.get(4..8)?).ok()?.into(),
        AF_INET6 => <[u8; 16]>::try_from(bytes.get(8..24)?).ok()?.into(),
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Vec<u8> {
        let mut sockaddr = AF_INET.to_ne_bytes().to_vec();
        sockaddr.extend([0xca, 0x6c, 203, 0, 113, 5, 0, 0, 0, 0, 0, 0, 0, 0]);
        let time = [1_700_000_000_i64.to_ne_bytes(), 5_i64.to_ne_bytes()].concat();
        let first = [
            attribute(1, &[0; 32]),
            attribute(WGPEER_A_ENDPOINT, &sockaddr),
            attribute(WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, &25_u16.to_ne_bytes()),
            attribute(WGPEER_A_LAST_HANDSHAKE_TIME, &time),
            attribute(WGPEER_A_RX_BYTES, &9_u64.to_ne_bytes()),
            attribute(WGPEER_A_TX_BYTES, &7_u64.to_ne_bytes()),
        ];
        let goes_on = attribute(0x8000, &attribute(1, &[0; 32]));
        let peers = [attribute(0x8000, &first.concat()), goes_on].concat();
        let body = [attribute(WGDEVICE_A_IFNAME, b"wg0\0"), attribute(WGDEVICE_A_PEERS | 0x8000, &peers)].concat();
        let mut message = (20 + body.len() as u32).to_ne_bytes().to_vec();
        message.extend([0; 16]);
        message.extend(body);
        message
    }

    #[test]
    fn a_peer_is_told_with_its_end_its_handshake_and_its_traffic() {
        let found = read(&message());
        let [peer] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(peer.endpoint, Some("203.0.113.5:51820".parse().unwrap()));
        assert_eq!((peer.keepalive_s, peer.handshake_ms), (25, 1_700_000_000_000));
        assert_eq!((peer.rx_bytes, peer.tx_bytes), (9, 7));
    }

    #[test]
    fn a_message_cut_anywhere_breaks_nothing() {
        let whole = message();
        for cut in 0..whole.len() {
            let _anything = read(&whole[..cut]);
            let mut odd = whole.clone();
            odd[cut] = 0xff;
            let _anything = read(&odd);
        }
        assert_eq!(endpoint(&[9, 0, 1, 1, 1]), None);
    }
}
