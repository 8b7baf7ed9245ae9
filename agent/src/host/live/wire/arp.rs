//! The address resolution protocol (RFC 826), asked in the form of a probe (RFC 5227, 2.1.1): nobody's table is changed by it.

use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, SendFlags, SocketType, recv, sendto};

use super::packet_socket::{self, LinkAddress};
use crate::host::{Hear, Mac};

/// `PROBE_NUM` of RFC 5227.
const PROBES: u32 = 3;

/// Answers that are heard at most. Why bounded: a link may be flooded.
const HEARD_MAX: usize = 256;

/// Different owners of one address that are told.
const OWNERS_MAX: usize = 8;

const ETH_P_ARP: u16 = 0x0806;
const BROADCAST: Mac = [0xff; 6];

/// Ethernet and IPv4, six and four bytes of address.
const HEADER: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// Bytes of a message for Ethernet and IPv4.
const MESSAGE_BYTES: usize = 28;

/// Asks a link three times, spread over the time, who has an address; who says so, each once, this machine's own interface left out.
pub(super) fn ask(interface: &str, address: Ipv4Addr, wait: Duration, hear: Hear) -> io::Result<Vec<Mac>> {
    let own = hardware(interface)?;
    let socket = packet_socket::open(SocketType::DGRAM)?;
    let index = packet_socket::index(&socket, interface)?;
    packet_socket::hear(&socket, index, ETH_P_ARP)?;
    let place = LinkAddress::new(index, ETH_P_ARP, Some(BROADCAST));
    let begun = Instant::now();
    let mut owners = Vec::new();
    for probe in 1..=PROBES {
        sendto(&socket, &request(own, address), SendFlags::empty(), &place).map_err(down(interface))?;
        listen(&socket, begun + wait * probe / PROBES, (own, address, hear), &mut owners)?;
        if hear == Hear::First && !owners.is_empty() {
            break;
        }
    }
    Ok(owners)
}

fn listen(
    socket: &OwnedFd,
    until: Instant,
    (own, address, hear): (Mac, Ipv4Addr, Hear),
    owners: &mut Vec<Mac>,
) -> io::Result<()> {
    let mut message = [0; 64];
    for _heard in 0..HEARD_MAX {
        if !packet_socket::readable(socket, until)? {
            return Ok(());
        }
        let length = match recv(socket, &mut message, RecvFlags::DONTWAIT) {
            Ok((length, _whole)) => length,
            Err(rustix::io::Errno::AGAIN) => continue,
            Err(error) => return Err(error.into()),
        };
        let sender = message.get(..length).and_then(|message| owner(message, address));
        if let Some(mac) = sender.filter(|mac| *mac != own && !owners.contains(mac) && owners.len() < OWNERS_MAX) {
            owners.push(mac);
            if hear == Hear::First {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A probe: the sender has no address, so that nobody takes one of it.
fn request(own: Mac, address: Ipv4Addr) -> [u8; MESSAGE_BYTES] {
    let parts: [&[u8]; 6] = [&HEADER, &[0, 1], &own, &[0; 4], &[0; 6], &address.octets()];
    let mut message = [0; MESSAGE_BYTES];
    for (place, byte) in message.iter_mut().zip(parts.into_iter().flatten()) {
        *place = *byte;
    }
    message
}

/// Who says in a message (request or reply) that an address is theirs.
fn owner(message: &[u8], address: Ipv4Addr) -> Option<Mac> {
    let is_arp = message.len() >= MESSAGE_BYTES && message.starts_with(&HEADER);
    let is_owner = is_arp && message.get(14..18) == Some(&address.octets());
    message.get(8..14).filter(|_mac| is_owner)?.try_into().ok()
}

/// The hardware address of an interface. Only Ethernet and what behaves like it has ARP.
fn hardware(interface: &str) -> io::Result<Mac> {
    let is_name = !interface.is_empty() && !interface.contains('/') && !interface.starts_with('.');
    let absent = || io::Error::new(ErrorKind::NotFound, format!("there is no interface {interface}"));
    let read = |file| std::fs::read_to_string(format!("/sys/class/net/{interface}/{file}"));
    if !is_name {
        return Err(absent());
    }
    let text = read("address").map_err(|error| if error.kind() == ErrorKind::NotFound { absent() } else { error })?;
    let bytes: Option<Vec<u8>> = text.trim().split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    let mac = bytes.and_then(|bytes| Mac::try_from(bytes).ok());
    // ARPHRD_ETHER
    let is_ethernet = read("type").is_ok_and(|kind| kind.trim() == "1");
    mac.filter(|_mac| is_ethernet)
        .ok_or_else(|| io::Error::new(ErrorKind::Unsupported, format!("{interface} is a link without ARP")))
}

fn down(interface: &str) -> impl FnOnce(rustix::io::Errno) -> io::Error {
    let interface = interface.to_owned();
    move |error| match error {
        rustix::io::Errno::NETDOWN => io::Error::new(ErrorKind::NetworkDown, format!("{interface} is switched off")),
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Mac = [2, 0, 0, 0, 0, 1];

    #[test]
    fn a_probe_names_no_sender_and_asks_for_the_address() {
        let message = request(OWN, Ipv4Addr::new(192, 0, 2, 7));
        assert_eq!(message[..8], [0, 1, 8, 0, 6, 4, 0, 1]);
        assert_eq!(message[8..14], OWN);
        assert_eq!((&message[14..18], &message[24..]), (&[0; 4][..], &[192, 0, 2, 7][..]));
    }

    #[test]
    fn who_says_that_the_address_is_theirs_owns_it_and_nobody_else_does() {
        let address = Ipv4Addr::new(192, 0, 2, 7);
        let mut message = request(OWN, address);
        assert_eq!(owner(&message, address), None, "a probe claims nothing");
        message[14..18].copy_from_slice(&address.octets());
        assert_eq!(owner(&message, address), Some(OWN));
        assert_eq!(owner(&message, Ipv4Addr::new(192, 0, 2, 8)), None);
        assert_eq!(owner(&message[..27], address), None);
        message[0] = 9;
        assert_eq!(owner(&message, address), None, "no Ethernet");
    }

    #[test]
    fn what_has_no_arp_says_so() {
        let ask = |interface| ask(interface, Ipv4Addr::LOCALHOST, Duration::ZERO, Hear::All).unwrap_err().kind();
        assert_eq!(ask("lo"), ErrorKind::Unsupported);
        assert_eq!(ask("no-such-link0"), ErrorKind::NotFound);
        assert_eq!(ask("../lo"), ErrorKind::NotFound);
    }
}
