//! The addresses of the interfaces.

use std::net::IpAddr;
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::Address;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};

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
    let (mut local, mut peer, mut valid_s) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            // Why two: on a point-to-point link ADDRESS is the other end, and LOCAL is ours.
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => peer = Some(*address),
            AddressAttribute::Flags(all) => flags = *all,
            AddressAttribute::CacheInfo(life) => valid_s = (life.ifa_valid != FOR_EVER).then_some(life.ifa_valid),
            _ => {}
        }
    }
    let address = local.or(peer)?;
    Some(Address {
        interface: names.get(message.header.index),
        address: address.to_string(),
        prefix_length: u32::from(message.header.prefix_len),
        family: family.into(),
        scope: scope(message.header.scope),
        flags: words(flags, address),
        valid_s,
        link_local: link_local(address),
    })
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
