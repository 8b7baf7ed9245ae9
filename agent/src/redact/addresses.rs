//! Addresses of machines in free text: IPv4, IPv6 and hardware addresses, where they stand as words of their own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::text::{Kind, Span};

/// Longest text of an IPv6 address, in bytes.
const IPV6_BYTES_MAX: usize = 45;

/// `xx:xx:xx:xx:xx:xx`.
const MAC_BYTES: usize = 17;

/// All addresses of a text that tell which machine it is.
pub(super) fn find(text: &str, spans: &mut Vec<Span>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
        let begins = byte.is_ascii_hexdigit() || (byte == b':' && bytes.get(at + 1) == Some(&b':'));
        // The middle of a longer number with dots: `10.20.30.40.50`.
        let middle = at >= 2 && bytes.get(at - 1) == Some(&b'.') && bytes.get(at - 2).is_some_and(u8::is_ascii_digit);
        if !begins || middle || at.checked_sub(1).and_then(|before| bytes.get(before)).is_some_and(word) {
            at += 1;
            continue;
        }
        let inner = |b: &u8| b.is_ascii_hexdigit() || b".:-".contains(b);
        let length = bytes.iter().skip(at).take(IPV6_BYTES_MAX + 1).take_while(|b| inner(b)).count();
        match text.get(at..at + length).and_then(|run| address(run, bytes.get(at + length))) {
            Some((length, kind, what)) => {
                spans.push(Span { range: at..at + length, kind, what });
                at += length;
            }
            None => at += bytes.iter().skip(at).take_while(|b| word(b)).count().max(1),
        }
    }
}

/// What a run of hexadecimal digits, dots, colons and hyphens begins with.
fn address(run: &str, next: Option<&u8>) -> Option<(usize, Kind, &'static str)> {
    let letter = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let ends = |length: usize| !letter(run.as_bytes().get(length).or(next));
    if let Some(mac) = run.get(..MAC_BYTES).and_then(hardware).filter(|_mac| ends(MAC_BYTES)) {
        return tells_which_card(mac).then_some((MAC_BYTES, Kind::Mac(mac), "hardware address"));
    }
    let dotted = run.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let dotted = run.get(..dotted)?.trim_end_matches('.');
    if let Ok(ip) = dotted.parse::<Ipv4Addr>() {
        let whole =
            ends(dotted.len()) && !run.get(dotted.len()..).is_some_and(|rest| rest.starts_with('.') && rest.len() > 1);
        return (whole && tells_which_v4(ip)).then_some((dotted.len(), Kind::Ip(ip.into()), "IP address"));
    }
    let colons = run.trim_end_matches(['.', '-']);
    let colons = if colons.ends_with("::") { colons } else { colons.trim_end_matches(':') };
    let ip = colons.parse::<Ipv6Addr>().ok().filter(|_ip| ends(colons.len()))?;
    tells_which_v6(ip).then_some((colons.len(), Kind::Ip(IpAddr::V6(ip)), "IP address"))
}

fn hardware(text: &str) -> Option<[u8; 6]> {
    let separator = text.as_bytes().get(2).copied().filter(|b| b":-".contains(b))?;
    let mut mac = [0; 6];
    let mut groups = text.split(char::from(separator));
    for octet in &mut mac {
        *octet = groups.next().filter(|group| group.len() == 2).and_then(|group| u8::from_str_radix(group, 16).ok())?;
    }
    groups.next().is_none().then_some(mac)
}

/// Loopback, link-local, multicast, broadcast, none and netmasks are the same on every machine.
fn tells_which_v4(ip: Ipv4Addr) -> bool {
    let bits = ip.to_bits();
    let mask = bits.leading_ones() >= 8 && bits.leading_ones() + bits.trailing_zeros() >= 32;
    let zero = ip.octets().first() == Some(&0);
    !(ip.is_loopback() || ip.is_link_local() || ip.is_multicast() || mask || zero)
}

fn tells_which_v6(ip: Ipv6Addr) -> bool {
    !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
}

fn tells_which_card(mac: [u8; 6]) -> bool {
    let [first, ..] = mac;
    mac != [0; 6] && first & 1 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut spans = Vec::new();
        find(text, &mut spans);
        spans.iter().map(|span| text.get(span.range.clone()).unwrap()).collect()
    }

    #[test]
    fn addresses_are_found_as_words() {
        for (text, addresses) in [
            ("from 10.0.0.7 port 22", vec!["10.0.0.7"]),
            ("(192.168.1.20/24), 192.168.1.1.", vec!["192.168.1.20", "192.168.1.1"]),
            ("http://[2001:db8::7]:631/ and 2001:db8:1:2:3:4:5:6", vec!["2001:db8::7", "2001:db8:1:2:3:4:5:6"]),
            ("fe80::1ff:fe23:4567:890a%eth0", vec!["fe80::1ff:fe23:4567:890a"]),
            ("::ffff:10.1.2.3 said", vec!["::ffff:10.1.2.3"]),
            ("wlan0: 00:1b:21:3C:4d:5e, 00-1B-21-3C-4D-5E", vec!["00:1b:21:3C:4d:5e", "00-1B-21-3C-4D-5E"]),
            ("DHCPACK of 10.1.2.3: ok", vec!["10.1.2.3"]),
        ] {
            assert_eq!(found(text), addresses, "{text}");
        }
    }

    #[test]
    fn what_is_the_same_everywhere_and_what_is_no_address_stays() {
        for text in [
            "127.0.0.1 and ::1 and 0.0.0.0 and :: and 255.255.255.0",
            "169.254.3.4 224.0.0.251 ff02::fb 255.255.255.255",
            "ff:ff:ff:ff:ff:ff 01:00:5e:00:00:fb 00:00:00:00:00:00",
            "12:34:56 at 2026-11-22 01:02:03",
            "version 1.2.3 and 10.20.30.40.50 and a1.2.3.4",
            "std::fs::File, dead::beefy, face:b00k",
            "0000:00:1f.2 and 1-4: usb",
        ] {
            assert!(found(text).is_empty(), "{text}: {:?}", found(text));
        }
    }
}
