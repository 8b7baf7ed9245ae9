//! What a target is: a name or an address, written in one way only.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::plain;

/// Longest name (RFC 1035, 2.3.4).
const NAME_BYTES_MAX: usize = 253;

/// Longest part of a name.
const LABEL_BYTES_MAX: usize = 63;

/// A name or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::probe) enum Place {
    /// An address.
    Address(IpAddr),
    /// A name, in small letters, without the dot at its end.
    Name(String),
}

impl Place {
    /// Reads a name, an address of IPv4, an address of IPv6 with or without brackets. Why numbers that are no plain address are refused: "010.0.0.1" and "2130706433"
    /// are names to one reader and addresses to another (`inet_aton(3)`), and would pass a list as the one and be reached as the other.
    pub(in crate::probe) fn read(target: &str) -> Result<Self, String> {
        let bare = target.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(target);
        if let Some(address) = address(bare) {
            return Ok(Self::Address(plain(address)));
        }
        let name = target.strip_suffix('.').unwrap_or(target).to_ascii_lowercase();
        let wrong = |why: &str| Err(format!("{:?} is no target: {why}", shortened(target)));
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return wrong("a name has 1 to 253 characters");
        }
        let is_label = |label: &str| {
            let fits = (1..=LABEL_BYTES_MAX).contains(&label.len());
            let letters = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
            fits && letters && !label.starts_with('-')
        };
        if !name.split('.').all(is_label) {
            return wrong("a name is letters, digits and hyphens between single dots");
        }
        let last = name.rsplit('.').next().unwrap_or_default();
        if last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit()) {
            return wrong("an address is written as four numbers without leading zeros");
        }
        Ok(Self::Name(name))
    }
}

/// An address, with or without the zone of a link-local one.
fn address(text: &str) -> Option<IpAddr> {
    if let Some((address, zone)) = text.split_once('%') {
        let plain = !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        return address.parse::<Ipv6Addr>().ok().filter(|_address| plain).map(IpAddr::V6);
    }
    text.parse().ok()
}

/// "host:port", `[address]:port`, or either without a port.
pub(in crate::probe) fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return match rest.strip_prefix(':') {
            Some(port) => port.parse().ok().map(|port| (address, Some(port))),
            None => rest.is_empty().then_some((address, None)),
        };
    }
    match text.rsplit_once(':') {
        // Several colons without brackets are an address of IPv6.
        Some((host, _rest)) if host.contains(':') => Some((text, None)),
        Some((host, port)) => port.parse().ok().filter(|_port: &u16| !host.is_empty()).map(|port| (host, Some(port))),
        None => Some((text, None)),
    }
}

/// A host and a port as one text.
pub(in crate::probe) fn joined(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// What a complaint shows of a text that may be long.
fn shortened(text: &str) -> String {
    const SHOWN_MAX: usize = 64;
    let shown: String = text.chars().take(SHOWN_MAX).collect();
    if shown.len() < text.len() { format!("{shown}…") } else { shown }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}
