//! The network as it was last told: links, addresses, default routes, the neighbours that are gateways, and name servers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use deskside_proto::v1::NetworkChange;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::links::Link;
use crate::collect::network::routes;
use crate::collect::network::rtnetlink::{self, Listing};
use crate::host::mac_text;

/// Links, addresses and default routes that are known at once; what is beyond is not watched.
const LINKS_MAX: usize = 1024;
const ADDRESSES_MAX: usize = 4096;
const ROUTES_MAX: usize = 64;

/// `RT_TABLE_MAIN`.
const TABLE_MAIN: u32 = 254;

/// Takes a change.
type Tell<'a> = &'a mut dyn FnMut(NetworkChange);

/// An address, and the number of its interface.
type Place = (u32, IpAddr);

/// A default route: its gateway where it has one, and its interface.
type Way = (&'static str, Option<IpAddr>, u32);

#[derive(Debug, Default)]
pub(super) struct Known {
    links: BTreeMap<u32, Link>,
    /// With whether another device has it too.
    addresses: BTreeMap<Place, bool>,
    ways: BTreeSet<Way>,
    /// The hardware address of each gateway, and whether it is silent.
    gateways: BTreeMap<Place, (String, bool)>,
    resolvers: Vec<String>,
}

/// Whether a route of the main table leads everywhere.
pub(super) fn is_default(route: &RouteMessage) -> bool {
    route.header.destination_prefix_length == 0
        && routes::table(route) == TABLE_MAIN
        && route.header.kind == RouteType::Unicast
}

fn about(change: &str, interface: String, address: String, message: String) -> NetworkChange {
    NetworkChange { change: change.to_owned(), interface, address, times: 1, message, ..NetworkChange::default() }
}

fn from_to(before: &str, after: &str, change: NetworkChange) -> NetworkChange {
    NetworkChange { before: before.to_owned(), after: after.to_owned(), ..change }
}

/// Bridges tell of their ports in messages of their own form.
fn of_the_link(link: &LinkMessage) -> bool {
    link.header.interface_family == AddressFamily::Unspec
}

impl Known {
    fn name(&self, index: u32) -> String {
        self.links.get(&index).map_or_else(|| format!("#{index}"), |link| link.name.clone())
    }

    /// A link as it is now. Whether its routes may have gone with it.
    pub(super) fn link(&mut self, at_ms: i64, message: &LinkMessage, tell: Tell<'_>) -> bool {
        let index = message.header.index;
        let before = self.links.get(&index).cloned();
        if !of_the_link(message) || before.is_none() && self.links.len() >= LINKS_MAX {
            return false;
        }
        let mut link = Link::after(before.as_ref(), message);
        match &before {
            Some(before) => link.since(before, at_ms, &|index| self.name(index), tell),
            None => tell(link.came()),
        }
        let changed = before.as_ref() != Some(&link);
        self.links.insert(index, link);
        changed
    }

    pub(super) fn link_gone(&mut self, message: &LinkMessage, tell: Tell<'_>) {
        if of_the_link(message) {
            self.forget_link(message.header.index, tell);
        }
    }

    /// What was on the link is gone with it, and needs no word of its own.
    fn forget_link(&mut self, index: u32, tell: Tell<'_>) {
        self.addresses.retain(|(interface, _address), _twice| *interface != index);
        self.gateways.retain(|(interface, _address), _known| *interface != index);
        if let Some(link) = self.links.remove(&index) {
            tell(link.went());
        }
    }

    pub(super) fn address(&mut self, message: &AddressMessage, tell: Tell<'_>) {
        let Some(place) = place(message) else { return };
        let twice = duplicate(message);
        let before = self.addresses.get(&place).copied();
        if before.is_none() && self.addresses.len() >= ADDRESSES_MAX {
            return;
        }
        self.addresses.insert(place, twice);
        let (name, address) = (self.name(place.0), place.1.to_string());
        if before.is_none() {
            tell(about("address added", name.clone(), address.clone(), format!("{name} has the address {address}")));
        }
        if twice && before != Some(true) {
            let message = format!("{address} on {name} is in use by another device");
            tell(about("address duplicate", name, address, message));
        }
    }

    pub(super) fn address_gone(&mut self, message: &AddressMessage, tell: Tell<'_>) {
        if let Some(place) = place(message) {
            self.forget_address(place, tell);
        }
    }

    fn forget_address(&mut self, place: Place, tell: Tell<'_>) {
        if self.addresses.remove(&place).is_some() {
            let (name, address) = (self.name(place.0), place.1.to_string());
            let message = format!("{name} no longer has the address {address}");
            tell(about("address removed", name, address, message));
        }
    }

    /// Forgets the links and addresses that these listings lack.
    pub(super) fn only(&mut self, links: &Listing, addresses: &Listing, tell: Tell<'_>) {
        let there: BTreeSet<u32> = rtnetlink::links(links).map(|link| link.header.index).collect();
        let gone: Vec<u32> = self.links.keys().filter(|index| !there.contains(index)).copied().collect();
        for index in gone {
            self.forget_link(index, tell);
        }
        let place = |message: &RouteNetlinkMessage| match message {
            RouteNetlinkMessage::NewAddress(address) => place(address),
            _ => None,
        };
        let there: BTreeSet<Place> = addresses.messages.iter().filter_map(place).collect();
        let gone: Vec<Place> = self.addresses.keys().filter(|place| !there.contains(place)).copied().collect();
        for place in gone {
            self.forget_address(place, tell);
        }
    }

    /// The default routes as they are now. One that goes as another of its family comes is one change.
    pub(super) fn default_routes(&mut self, listing: &Listing, tell: Tell<'_>) {
        let now: BTreeSet<Way> = ways(listing).take(ROUTES_MAX).collect();
        let words = |(_family, gateway, index): &Way| {
            let gateway = gateway.map(|gateway| format!("{gateway} ")).unwrap_or_default();
            format!("{gateway}on {}", self.name(*index))
        };
        for family in ["inet", "inet6"] {
            let of = |ways: &BTreeSet<Way>, other: &BTreeSet<Way>| -> Vec<Way> {
                ways.difference(other).filter(|way| way.0 == family).copied().collect()
            };
            let (mut gone, mut come) = (of(&self.ways, &now).into_iter(), of(&now, &self.ways).into_iter());
            loop {
                let (old, new) = (gone.next(), come.next());
                let Some(way) = new.or(old) else { break };
                let (before, after) = (old.as_ref().map(words), new.as_ref().map(words));
                let (word, message) = match (&before, &after) {
                    (Some(before), Some(after)) => {
                        ("changed", format!("the default route leads to {after}, no longer to {before}"))
                    }
                    (Some(before), None) => ("removed", format!("the default route to {before} is gone")),
                    (None, after) => {
                        ("added", format!("a default route leads to {}", after.as_deref().unwrap_or_default()))
                    }
                };
                let address = way.1.map(|gateway| gateway.to_string()).unwrap_or_default();
                let change = about(&format!("default route {word}"), self.name(way.2), address, message);
                tell(from_to(&before.unwrap_or_default(), &after.unwrap_or_default(), change));
            }
        }
        let gateways: BTreeSet<Place> = now.iter().filter_map(|way| Some((way.2, way.1?))).collect();
        self.gateways.retain(|place, _known| gateways.contains(place));
        for place in gateways {
            self.gateways.entry(place).or_default();
        }
        self.ways = now;
    }

    /// A neighbour that is a gateway.
    pub(super) fn neighbor(&mut self, message: &NeighbourMessage, tell: Tell<'_>) {
        let (mut address, mut mac) = (None, String::new());
        for attribute in &message.attributes {
            match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => address = Some(IpAddr::V4(*ip)),
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => address = Some(IpAddr::V6(*ip)),
                NeighbourAttribute::LinkLayerAddress(bytes) => mac = mac_text(bytes),
                _ => {}
            }
        }
        let Some(place) = address.map(|address| (message.header.ifindex, address)) else { return };
        let name = self.name(place.0);
        let Some((known_mac, silent)) = self.gateways.get_mut(&place) else { return };
        let address = place.1.to_string();
        match message.header.state {
            NeighbourState::Failed if !*silent => {
                *silent = true;
                let message = format!("the router {address} on {name} does not answer");
                tell(about("gateway silent", name, address, message));
            }
            NeighbourState::Reachable | NeighbourState::Permanent if !mac.is_empty() => {
                if std::mem::take(silent) {
                    let message = format!("the router {address} on {name} answers again");
                    tell(about("gateway back", name.clone(), address.clone(), message));
                }
                if !known_mac.is_empty() && *known_mac != mac {
                    let message = format!("the router {address} on {name} has another hardware address");
                    tell(from_to(known_mac, &mac, about("gateway mac", name, address, message)));
                }
                *known_mac = mac;
            }
            // Learned from the other side's word, and not yet proven: it is good enough to begin with.
            NeighbourState::Stale | NeighbourState::Delay | NeighbourState::Probe if known_mac.is_empty() => {
                *known_mac = mac;
            }
            _ => {}
        }
    }

    /// The name servers of resolv.conf(5), in their order.
    pub(super) fn resolvers(&mut self, text: &str, tell: Tell<'_>) {
        let server = |line: &str| line.trim().strip_prefix("nameserver").map(|rest| rest.trim().to_owned());
        let now: Vec<String> = text.lines().filter_map(server).take(ROUTES_MAX).collect();
        if now == self.resolvers {
            return;
        }
        let (before, after) = (self.resolvers.join(", "), now.join(", "));
        let message = match (before.as_str(), after.as_str()) {
            (_, "") => "resolv.conf names no name server any more".into(),
            ("", after) => format!("resolv.conf names the name servers {after}"),
            (before, after) => format!("resolv.conf names the name servers {after}, no longer {before}"),
        };
        tell(from_to(&before, &after, about("resolvers", String::new(), String::new(), message)));
        self.resolvers = now;
    }
}

/// On a point-to-point link ADDRESS is the other end, and LOCAL is ours.
fn place(message: &AddressMessage) -> Option<Place> {
    rtnetlink::family(message.header.family)?;
    let (mut local, mut peer) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => peer = Some(*address),
            _ => {}
        }
    }
    Some((message.header.index, local.or(peer)?))
}

fn duplicate(message: &AddressMessage) -> bool {
    message.attributes.iter().any(|attribute| match attribute {
        AddressAttribute::Flags(flags) => flags.contains(AddressFlags::Dadfailed),
        _ => false,
    })
}

fn ways(listing: &Listing) -> impl Iterator<Item = Way> {
    let routes = listing.messages.iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewRoute(route) if is_default(route) => Some(route),
        _ => None,
    });
    routes.flat_map(|route| {
        let family = rtnetlink::family(route.header.address_family);
        let hops = routes::hops(route).into_iter();
        hops.filter_map(move |hop| Some((family?, hop.gateway, hop.interface?)))
    })
}
