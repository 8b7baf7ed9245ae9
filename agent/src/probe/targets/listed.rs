//! One line of the policy's list of targets.

use std::net::IpAddr;

use super::place::{Place, host_and_port};
use super::plain;

/// What a line covers, and at which port alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    what: What,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Everything,
    /// All names that end so, the dot before it included.
    Below(String),
    One(Place),
    Network(IpAddr, u8),
}

impl Listed {
    /// Reads a name, `*.` and a domain, an address, a prefix, `*`, each with or without a port; absent where it is none of these: a line that is
    /// wrong allows nothing.
    pub(super) fn read(line: &str) -> Option<Self> {
        let (what, port) = host_and_port(line.trim())?;
        if port == Some(0) {
            return None;
        }
        let what = if what == "*" {
            What::Everything
        } else if let Some(domain) = what.strip_prefix("*.") {
            match Place::read(domain).ok()? {
                Place::Name(name) => What::Below(format!(".{name}")),
                Place::Address(_address) => return None,
            }
        } else if let Some((network, length)) = what.split_once('/') {
            network_of(network, length)?
        } else {
            What::One(Place::read(what).ok()?)
        };
        Some(Self { what, port })
    }

    /// Whether it means one host and no more.
    pub(super) fn is_one(&self) -> bool {
        matches!(self.what, What::One(_))
    }

    /// Whether a target is covered. A line with a port covers nothing that is sent to no port, as an echo request is.
    pub(super) fn covers(&self, place: &Place, port: Option<u16>) -> bool {
        let what = match (&self.what, place) {
            (What::Everything, _) => true,
            (What::One(one), place) => one == place,
            (What::Below(end), Place::Name(name)) => name.len() > end.len() && name.ends_with(end.as_str()),
            (What::Network(network, length), Place::Address(address)) => is_within(*network, *length, *address),
            (What::Below(_), Place::Address(_)) | (What::Network(..), Place::Name(_)) => false,
        };
        what && (self.port.is_none() || self.port == port)
    }
}

fn network_of(network: &str, length: &str) -> Option<What> {
    let (network, length) = (network.parse::<IpAddr>().ok()?, length.parse::<u8>().ok()?);
    // A network of IPv4 in the form of IPv6: its last 32 bits count.
    let (network, length) = match (network, plain(network)) {
        (IpAddr::V6(_), plain @ IpAddr::V4(_)) => (plain, length.checked_sub(96)?),
        (_, plain) => (plain, length),
    };
    let most = if network.is_ipv4() { 32 } else { 128 };
    (length <= most).then_some(What::Network(network, length))
}

fn is_within(network: IpAddr, length: u8, address: IpAddr) -> bool {
    let differ = match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => u128::from(u32::from(network) ^ u32::from(address)) << 96,
        (IpAddr::V6(network), IpAddr::V6(address)) => u128::from(network) ^ u128::from(address),
        _ => return false,
    };
    differ.leading_zeros() >= u32::from(length)
}
