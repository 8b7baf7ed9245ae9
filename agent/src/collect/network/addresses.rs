//! The addresses of the interfaces.

use std::net::IpAddr;
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::Address;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope, CacheInfo,
};

use crate::collect::network::rtnetlink::{self, Listing, Names};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Host, Netlink};

pub(in crate::collect) const ADDRESSES: Collector =
    Collector { table: Address::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(1)), look };

/// `INFINITY_LIFE_TIME`
const FOR_EVER: u32 = u32::MAX;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let listing = rtnetlink::ask(host, Netlink::Addresses)?;
    let mut rows: Rows = meant(host, &listing)?.into_iter().collect();
    listing.confess(&mut rows);
    Ok(rows)
}

/// Every address there is now.
pub(crate) fn all(host: &dyn Host) -> anyhow::Result<Vec<Address>> {
    meant(host, &rtnetlink::ask(host, Netlink::Addresses)?)
}

fn meant(host: &dyn Host, listing: &Listing) -> anyhow::Result<Vec<Address>> {
    let names = Names::ask(host)?;
    let rows = listing.messages.iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewAddress(address) => row(address, &names),
        _ => None,
    });
    Ok(rows.collect())
}

fn row(message: &AddressMessage, names: &Names) -> Option<Address> {
    let family = rtnetlink::family(message.header.family)?;
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    let (mut local, mut peer, mut life, mut protocol) = (None, None, None, None);
    for attribute in &message.attributes {
        match attribute {
            // Why two: on a point-to-point link ADDRESS is the other end, and LOCAL is ours.
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => peer = Some(*address),
            AddressAttribute::Flags(all) => flags = *all,
            AddressAttribute::CacheInfo(times) => life = Some(*times),
            AddressAttribute::Protocol(of) => protocol = Some(*of),
            _ => {}
        }
    }
    let address = local.or(peer)?;
    let seconds = |of: fn(&CacheInfo) -> u32| life.as_ref().map(of).filter(|seconds| *seconds != FOR_EVER);
    let valid_s = seconds(|life| life.ifa_valid);
    let prefix = message.header.prefix_len;
    Some(Address {
        interface: names.get(message.header.index),
        address: address.to_string(),
        prefix_length: u32::from(prefix),
        family: family.into(),
        scope: scope(message.header.scope),
        flags: words(flags, address),
        valid_s,
        link_local: link_local(address),
        source: source(address, prefix, valid_s.is_some(), protocol).into(),
        preferred_s: seconds(|life| life.ifa_preferred),
        peer: peer.filter(|peer| *peer != address).map(|peer| peer.to_string()).unwrap_or_default(),
    })
}

/// Where an address comes from, by what the kernel keeps of it. Why no client is asked: all of them give a leased address the lifetime of
/// its lease, and none gives one to an address that was set by hand.
fn source(address: IpAddr, prefix: u8, ends: bool, protocol: Option<AddressProtocol>) -> &'static str {
    match (address, protocol) {
        (_, Some(AddressProtocol::RouterAnnouncement)) => "slaac",
        (_, Some(AddressProtocol::Loopback)) => "kernel",
        (address, _) if address.is_loopback() => "kernel",
        (address, _) if link_local(address) => "link-local",
        // RFC 8415 gives addresses, which are /128; RFC 4862 prefixes, which are not.
        (IpAddr::V6(_), _) if ends && prefix < 128 => "slaac",
        _ if ends => "dhcp",
        _ => "static",
    }
}

fn scope(scope: AddressScope) -> String {
    match scope {
        AddressScope::Universe => "global".into(),
        other => other.to_string(),
    }
}

fn words(flags: AddressFlags, address: IpAddr) -> Vec<String> {
    let life = if flags.contains(AddressFlags::Permanent) { "permanent" } else { "dynamic" };
    let mut words = vec![life.to_owned()];
    let others = [
        (AddressFlags::Tentative, "tentative"),
        (AddressFlags::Dadfailed, "duplicate"),
        (AddressFlags::Deprecated, "deprecated"),
        // Why by family: the kernel uses one bit for a further IPv4 address of a subnet and for a temporary IPv6 address.
        (AddressFlags::Secondary, if address.is_ipv6() { "temporary" } else { "secondary" }),
    ];
    words.extend(others.iter().filter(|(flag, _word)| flags.contains(*flag)).map(|(_flag, word)| (*word).to_owned()));
    words
}

fn link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_an_address_comes_from_is_told_by_its_life_and_its_prefix() {
        let of = |address: &str, prefix, ends| source(address.parse().unwrap(), prefix, ends, None);
        assert_eq!(of("127.0.0.1", 8, false), "kernel");
        assert_eq!(of("169.254.7.7", 16, false), "link-local");
        assert_eq!(of("192.0.2.10", 24, true), "dhcp");
        assert_eq!(of("192.0.2.10", 24, false), "static");
        assert_eq!(of("2001:db8::10", 128, true), "dhcp");
        assert_eq!(of("2001:db8::10", 64, true), "slaac");
        let announced = Some(AddressProtocol::RouterAnnouncement);
        assert_eq!(source("2001:db8::10".parse().unwrap(), 64, false, announced), "slaac");
    }
}
