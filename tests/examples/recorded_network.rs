//! Writes the rtnetlink listings of the recorded laptop and desktop: links, addresses, routes and neighbours as a kernel would send
//! them, without the hardware.
//!
//! `cargo run -p deskside-tests --example recorded_network -- tests/hosts`

use std::net::IpAddr;
use std::path::Path;
use std::{env, fs};

use anyhow::Context;
use netlink_packet_core::{NLM_F_MULTIPART, NetlinkHeader, NetlinkMessage};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope, CacheInfo};
use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, State, Stats64,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

fn main() -> anyhow::Result<()> {
    let hosts = env::args().nth(1).context("say where the hosts are")?;
    let hosts = Path::new(&hosts);
    desktop(&hosts.join("desktop/netlink"))?;
    laptop(&hosts.join("laptop/netlink"))
}

/// A cabled desktop: one good link with a few damaged frames, a second socket without a cable, a bridge for containers.
fn desktop(folder: &Path) -> anyhow::Result<()> {
    let links = vec![
        loopback(),
        link(2, "enp3s0", [0x3c, 0x7c, 0x3f, 1, 2, 3], Cable::Good, 5, 1500, stats(8_812_345_678, 9_123_456, 412, 398)),
        link(3, "enp4s0", [0x3c, 0x7c, 0x3f, 1, 2, 4], Cable::None, 1, 1500, Stats64::default()),
        kind(link(4, "docker0", [2, 0x42, 0xac, 1, 2, 5], Cable::None, 1, 1500, Stats64::default()), InfoKind::Bridge),
    ];
    write(folder, "links", links.into_iter().map(RouteNetlinkMessage::NewLink))?;
    let addresses = vec![
        address(1, "127.0.0.1", 8, AddressScope::Host, AddressFlags::Permanent, None)?,
        address(2, "192.0.2.20", 24, AddressScope::Universe, AddressFlags::empty(), Some(38_211))?,
        address(4, "172.17.0.1", 16, AddressScope::Universe, AddressFlags::Permanent, None)?,
        address(1, "::1", 128, AddressScope::Host, AddressFlags::Permanent, None)?,
        address(2, "2001:db8::20", 64, AddressScope::Universe, TWICE, None)?,
        address(2, "fe80::3e7c:3fff:fe01:203", 64, AddressScope::Link, AddressFlags::Permanent, None)?,
    ];
    write(folder, "addresses", addresses.into_iter().map(RouteNetlinkMessage::NewAddress))?;
    let routes = vec![
        route("0.0.0.0", 0, Some("192.0.2.1"), 2, 100, 254, RouteProtocol::Dhcp)?,
        route("192.0.2.0", 24, None, 2, 100, 254, RouteProtocol::Kernel)?,
        route("172.17.0.0", 16, None, 4, 0, 254, RouteProtocol::Kernel)?,
        route("192.0.2.20", 32, None, 2, 0, 255, RouteProtocol::Kernel)?,
        route("fe80::", 64, None, 2, 1024, 254, RouteProtocol::Kernel)?,
    ];
    write(folder, "routes", routes.into_iter().map(RouteNetlinkMessage::NewRoute))?;
    let neighbors = vec![
        neighbor(2, "192.0.2.1", Some([0x74, 0xac, 0xb9, 0x10, 0x20, 0x30]), NeighbourState::Reachable, false)?,
        neighbor(2, "192.0.2.9", None, NeighbourState::Failed, false)?,
        neighbor(2, "ff02::1", Some([0x33, 0x33, 0, 0, 0, 1]), NeighbourState::Noarp, false)?,
    ];
    write(folder, "neighbors", neighbors.into_iter().map(RouteNetlinkMessage::NewNeighbour))
}

/// A laptop on Wi-Fi with a VPN, docked to a link on which no DHCP server answers.
fn laptop(folder: &Path) -> anyhow::Result<()> {
    let links = vec![
        loopback(),
        link(2, "enp0s31f6", [0x8c, 0x16, 0x45, 1, 2, 3], Cable::None, 3, 1500, Stats64::default()),
        link(3, "wlp4s0", [0x7c, 0x76, 0x35, 4, 5, 6], Cable::Good, 14, 1500, stats(1_512_345_678, 1_523_456, 0, 0)),
        link(7, "enx00e04c680001", [0, 0xe0, 0x4c, 0x68, 0, 1], Cable::Good, 9, 1500, stats(12_345, 88, 0, 0)),
        tunnel(8, "wg0"),
    ];
    write(folder, "links", links.into_iter().map(RouteNetlinkMessage::NewLink))?;
    let addresses = vec![
        address(1, "127.0.0.1", 8, AddressScope::Host, AddressFlags::Permanent, None)?,
        address(3, "198.51.100.77", 24, AddressScope::Universe, AddressFlags::empty(), Some(3_102))?,
        address(7, "169.254.31.9", 16, AddressScope::Link, AddressFlags::Permanent, None)?,
        address(8, "10.66.0.7", 32, AddressScope::Universe, AddressFlags::Permanent, None)?,
        address(3, "2001:db8:7::beef", 64, AddressScope::Universe, AddressFlags::Secondary, Some(86_100))?,
        address(3, "fe80::7e76:35ff:fe04:506", 64, AddressScope::Link, AddressFlags::Permanent, None)?,
    ];
    write(folder, "addresses", addresses.into_iter().map(RouteNetlinkMessage::NewAddress))?;
    let routes = vec![
        route("0.0.0.0", 0, None, 8, 0, 51_820, RouteProtocol::Static)?,
        route("0.0.0.0", 0, Some("198.51.100.1"), 3, 600, 254, RouteProtocol::Dhcp)?,
        route("198.51.100.0", 24, None, 3, 600, 254, RouteProtocol::Kernel)?,
        route("169.254.0.0", 16, None, 7, 1000, 254, RouteProtocol::Kernel)?,
        route("::", 0, Some("fe80::1"), 3, 600, 254, RouteProtocol::Ra)?,
    ];
    write(folder, "routes", routes.into_iter().map(RouteNetlinkMessage::NewRoute))?;
    let neighbors = vec![
        neighbor(3, "198.51.100.1", Some([0xd8, 0xec, 0x5e, 1, 1, 1]), NeighbourState::Stale, false)?,
        neighbor(3, "fe80::1", Some([0xd8, 0xec, 0x5e, 1, 1, 1]), NeighbourState::Reachable, true)?,
        neighbor(7, "169.254.31.1", None, NeighbourState::Incomplete, false)?,
    ];
    write(folder, "neighbors", neighbors.into_iter().map(RouteNetlinkMessage::NewNeighbour))
}

/// Duplicate address detection has failed.
const TWICE: AddressFlags = AddressFlags::Permanent.union(AddressFlags::Tentative).union(AddressFlags::Dadfailed);

#[derive(Clone, Copy)]
enum Cable {
    Good,
    None,
}

fn write(folder: &Path, name: &str, messages: impl Iterator<Item = RouteNetlinkMessage>) -> anyhow::Result<()> {
    let mut listing = Vec::new();
    for message in messages {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_MULTIPART;
        let mut message = NetlinkMessage::new(header, message.into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        listing.extend(bytes);
    }
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    fs::write(folder.join(name).with_extension("bin"), listing).context("writing a listing")
}

fn loopback() -> LinkMessage {
    let mut link = link(1, "lo", [0; 6], Cable::Good, 0, 65_536, stats(123_456, 1_234, 0, 0));
    link.header.link_layer_type = LinkLayerType::Loopback;
    link.header.flags |= LinkFlags::Loopback;
    link.attributes.push(LinkAttribute::OperState(State::Unknown));
    link
}

fn tunnel(index: u32, name: &str) -> LinkMessage {
    let mut link = link(index, name, [0; 6], Cable::Good, 1, 1420, stats(5_678_901, 6_543, 0, 0));
    link.header.link_layer_type = LinkLayerType::None;
    link.attributes.retain(|attribute| !matches!(attribute, LinkAttribute::Address(_)));
    link.attributes.push(LinkAttribute::OperState(State::Unknown));
    kind(link, InfoKind::Wireguard)
}

fn kind(mut link: LinkMessage, kind: InfoKind) -> LinkMessage {
    link.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]));
    link
}

fn link(index: u32, name: &str, mac: [u8; 6], cable: Cable, changes: u32, mtu: u32, counters: Stats64) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.link_layer_type = LinkLayerType::Ether;
    link.header.flags = LinkFlags::Up | LinkFlags::Broadcast | LinkFlags::Multicast;
    let (state, carrier) = match cable {
        Cable::Good => (State::Up, 1),
        Cable::None => (State::Down, 0),
    };
    link.attributes = vec![
        LinkAttribute::IfName(name.into()),
        LinkAttribute::OperState(state),
        LinkAttribute::Mtu(mtu),
        LinkAttribute::Carrier(carrier),
        LinkAttribute::CarrierChanges(changes),
        LinkAttribute::Address(mac.to_vec()),
        LinkAttribute::Stats64(counters),
    ];
    link
}

fn stats(bytes: u64, packets: u64, errors: u64, crc_errors: u64) -> Stats64 {
    let mut stats = Stats64::default();
    (stats.rx_bytes, stats.rx_packets) = (bytes, packets);
    (stats.tx_bytes, stats.tx_packets) = (bytes / 9, packets / 2);
    (stats.rx_errors, stats.rx_crc_errors) = (errors, crc_errors);
    stats
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet }
}

fn address(
    index: u32,
    address: &str,
    length: u8,
    scope: AddressScope,
    flags: AddressFlags,
    valid_s: Option<u32>,
) -> anyhow::Result<AddressMessage> {
    let address: IpAddr = address.parse()?;
    let mut message = AddressMessage::default();
    message.header.family = family(address);
    message.header.index = index;
    message.header.prefix_len = length;
    message.header.scope = scope;
    let mut life = CacheInfo::default();
    (life.ifa_valid, life.ifa_preferred) = (valid_s.unwrap_or(u32::MAX), valid_s.unwrap_or(u32::MAX));
    let local = address.is_ipv4().then_some(AddressAttribute::Local(address));
    message.attributes = vec![AddressAttribute::Address(address)];
    message.attributes.extend(local);
    message.attributes.extend([AddressAttribute::Flags(flags), AddressAttribute::CacheInfo(life)]);
    Ok(message)
}

fn route(
    destination: &str,
    length: u8,
    gateway: Option<&str>,
    index: u32,
    metric: u32,
    table: u32,
    protocol: RouteProtocol,
) -> anyhow::Result<RouteMessage> {
    let destination: IpAddr = destination.parse()?;
    let mut message = RouteMessage::default();
    message.header.address_family = family(destination);
    message.header.destination_prefix_length = length;
    message.header.table = u8::try_from(table).unwrap_or(252);
    message.header.protocol = protocol;
    message.header.kind = if table == 255 { RouteType::Local } else { RouteType::Unicast };
    message.header.scope = if gateway.is_some() { RouteScope::Universe } else { RouteScope::Link };
    let ends = (length > 0).then(|| RouteAttribute::Destination(RouteAddress::from(destination)));
    message.attributes = vec![RouteAttribute::Table(table)];
    message.attributes.extend(ends);
    message.attributes.extend([RouteAttribute::Priority(metric), RouteAttribute::Oif(index)]);
    if let Some(gateway) = gateway {
        let gateway: IpAddr = gateway.parse()?;
        message.attributes.push(RouteAttribute::Gateway(RouteAddress::from(gateway)));
    }
    Ok(message)
}

fn neighbor(
    index: u32,
    address: &str,
    mac: Option<[u8; 6]>,
    state: NeighbourState,
    router: bool,
) -> anyhow::Result<NeighbourMessage> {
    let address: IpAddr = address.parse()?;
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = index;
    message.header.state = state;
    message.header.kind = RouteType::Unicast;
    message.header.flags = if router { NeighbourFlags::Router } else { NeighbourFlags::empty() };
    message.attributes = vec![NeighbourAttribute::Destination(match address {
        IpAddr::V4(address) => NeighbourAddress::Inet(address),
        IpAddr::V6(address) => NeighbourAddress::Inet6(address),
    })];
    message.attributes.extend(mac.map(|mac| NeighbourAttribute::LinkLayerAddress(mac.to_vec())));
    Ok(message)
}
