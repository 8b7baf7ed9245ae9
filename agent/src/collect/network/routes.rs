//! Routes of the main table and of the policy tables beside it, as VPNs make them.

use std::net::IpAddr;
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::Route;
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteMessage, RouteNextHop, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::collect::network::rtnetlink::{self, Listing, Names};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Host, Netlink};

pub(in crate::collect) const ROUTES: Collector =
    Collector { table: Route::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(1)), look };

/// `RT_TABLE_LOCAL`. Why left out: the kernel writes it from the addresses, which have a table of their own.
const TABLE_LOCAL: u32 = 255;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let listing = rtnetlink::ask(host, Netlink::Routes)?;
    let names = Names::ask(host)?;
    let mut rows: Rows = routes(&listing).flat_map(|route| rows(route, &names)).collect();
    listing.confess(&mut rows);
    Ok(rows)
}

/// The gateways of all default routes, with the number of their interface.
pub(super) fn default_gateways(listing: &Listing) -> Vec<(IpAddr, Option<u32>)> {
    let default = |route: &&RouteMessage| route.header.destination_prefix_length == 0;
    let hops = routes(listing).filter(default).flat_map(hops);
    hops.filter_map(|hop| Some((hop.gateway?, hop.interface))).collect()
}

/// Destination and interface of all ways of all routes.
pub(super) fn destinations(listing: &Listing, names: &Names) -> Vec<(String, String)> {
    let rows = routes(listing).flat_map(|route| rows(route, names));
    rows.map(|row| (row.destination, row.interface)).collect()
}

/// Whether a route leads to an address, by the longest prefix of all tables. Why all: which table a packet takes is for the rules, and a
/// server is called unreachable only where no table has a way.
pub(super) fn leads(listing: &Listing, to: IpAddr) -> bool {
    let fitting = routes(listing).filter_map(|route| {
        let length = route.header.destination_prefix_length;
        let destination = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Destination(address) => rtnetlink::ip(address),
            _ => None,
        });
        let same_family = (route.header.address_family == AddressFamily::Inet6) == to.is_ipv6();
        let fits = match destination {
            None => length == 0 && same_family,
            Some(destination) => shares(destination, to, length),
        };
        fits.then_some((length, route.header.kind == RouteType::Unicast))
    });
    fitting.max().is_some_and(|(_length, unicast)| unicast)
}

/// Whether two addresses have the same first bits.
fn shares(one: IpAddr, other: IpAddr, length: u8) -> bool {
    let (bits, width) = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (u128::from(one.to_bits() ^ other.to_bits()), 32),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits(), 128),
        _ => return false,
    };
    let rest = u32::from(width - length.min(width));
    bits.checked_shr(rest).unwrap_or_default() == 0
}

fn routes(listing: &Listing) -> impl Iterator<Item = &RouteMessage> {
    listing.messages.iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewRoute(route) => {
            let told = rtnetlink::family(route.header.address_family).is_some()
                && !route.header.flags.contains(RouteFlags::Cloned)
                && table(route) != TABLE_LOCAL;
            told.then_some(route)
        }
        _ => None,
    })
}

/// One way that a route leads; most lead one way.
#[derive(Default)]
pub(super) struct Hop {
    pub(super) gateway: Option<IpAddr>,
    pub(super) interface: Option<u32>,
}

pub(super) fn hops(route: &RouteMessage) -> Vec<Hop> {
    let several = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::MultiPath(several) => Some(several),
        _ => None,
    });
    let Some(several) = several else { return vec![hop(&route.attributes)] };
    let hop_of = |way: &RouteNextHop| Hop { interface: Some(way.interface_index), ..hop(&way.attributes) };
    several.iter().map(hop_of).collect()
}

fn hop(attributes: &[RouteAttribute]) -> Hop {
    let mut hop = Hop::default();
    for attribute in attributes {
        match attribute {
            RouteAttribute::Gateway(address) => hop.gateway = rtnetlink::ip(address),
            RouteAttribute::Via(address) => hop.gateway = rtnetlink::via(address),
            RouteAttribute::Oif(index) => hop.interface = Some(*index),
            _ => {}
        }
    }
    hop
}

fn rows(route: &RouteMessage, names: &Names) -> Vec<Route> {
    let mut shared = Route {
        destination: "default".into(),
        family: rtnetlink::family(route.header.address_family).unwrap_or_default().into(),
        protocol: protocol(route.header.protocol),
        r#type: kind(route.header.kind),
        scope: scope(route.header.scope),
        table: table(route),
        ..Route::default()
    };
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Destination(address) => {
                let length = route.header.destination_prefix_length;
                shared.destination = rtnetlink::ip(address).map(|ip| format!("{ip}/{length}")).unwrap_or_default();
            }
            RouteAttribute::Priority(metric) => shared.metric = *metric,
            RouteAttribute::PrefSource(address) => {
                shared.source = rtnetlink::ip(address).map(|ip| ip.to_string()).unwrap_or_default();
            }
            _ => {}
        }
    }
    let row = |hop: Hop| Route {
        gateway: hop.gateway.map(|ip| ip.to_string()).unwrap_or_default(),
        interface: hop.interface.map(|index| names.get(index)).unwrap_or_default(),
        ..shared.clone()
    };
    hops(route).into_iter().map(row).collect()
}

/// The header has room for table numbers up to 255 only; larger ones are in an attribute.
pub(super) fn table(route: &RouteMessage) -> u32 {
    let large = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    large.unwrap_or_else(|| u32::from(route.header.table))
}

/// The names of rtnetlink(7) and of iproute2's `rt_protos`.
pub(super) fn protocol(protocol: RouteProtocol) -> String {
    match protocol {
        RouteProtocol::IcmpRedirect => "redirect".into(),
        RouteProtocol::Other(number) => number.to_string(),
        other => other.to_string().to_lowercase(),
    }
}

fn scope(scope: RouteScope) -> String {
    match scope {
        RouteScope::Universe => "global".into(),
        RouteScope::NoWhere => "nowhere".into(),
        RouteScope::Other(number) => number.to_string(),
        other => other.to_string(),
    }
}

fn kind(kind: RouteType) -> String {
    match kind {
        RouteType::Other(number) => number.to_string(),
        other => format!("{other:?}").to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_share_the_bits_of_a_prefix() {
        let share = |one: &str, other: &str, length| shares(one.parse().unwrap(), other.parse().unwrap(), length);
        assert!(share("192.0.2.0", "192.0.2.77", 24) && !share("192.0.2.0", "192.0.3.77", 24));
        assert!(share("0.0.0.0", "192.0.3.77", 0) && !share("0.0.0.0", "2001:db8::1", 0));
        assert!(share("2001:db8::", "2001:db8::1", 64) && !share("2001:db8::2", "2001:db8::1", 128));
    }
}
