//! Neighbours on the links, with the kernel's opinion of each.

use std::net::IpAddr;
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::Neighbor;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};

use crate::collect::network::routes;
use crate::collect::network::rtnetlink::{self, Names};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Host, Netlink, mac_text};

pub(in crate::collect) const NEIGHBORS: Collector =
    Collector { table: Neighbor::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(1)), look };

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let listing = rtnetlink::ask(host, Netlink::Neighbors)?;
    let gateways = routes::default_gateways(&rtnetlink::ask(host, Netlink::Routes)?);
    let names = Names::ask(host)?;
    let rows = listing.messages.iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewNeighbour(neighbor) => row(neighbor, &gateways, &names),
        _ => None,
    });
    let mut rows: Rows = rows.collect();
    listing.confess(&mut rows);
    Ok(rows)
}

fn row(message: &NeighbourMessage, gateways: &[(IpAddr, Option<u32>)], names: &Names) -> Option<Neighbor> {
    rtnetlink::family(message.header.family)?;
    let (mut address, mut mac) = (None, String::new());
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => address = Some(IpAddr::V4(*ip)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => address = Some(IpAddr::V6(*ip)),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = mac_text(bytes),
            _ => {}
        }
    }
    let address = address?;
    let index = message.header.ifindex;
    let is_gateway = |(gateway, interface): &(IpAddr, Option<u32>)| {
        *gateway == address && interface.is_none_or(|interface| interface == index)
    };
    Some(Neighbor {
        interface: names.get(index),
        address: address.to_string(),
        mac,
        state: state(message.header.state)?,
        router: message.header.flags.contains(NeighbourFlags::Router),
        gateway: gateways.iter().any(is_gateway),
    })
}

/// The words of ip-neighbour(8). Absent for an entry that is no neighbour: the kernel keeps such for multicast groups, for the
/// loopback and while it prepares.
fn state(state: NeighbourState) -> Option<String> {
    match state {
        NeighbourState::None | NeighbourState::Noarp => None,
        NeighbourState::Other(number) => Some(number.to_string()),
        other => Some(format!("{other:?}").to_lowercase()),
    }
}
