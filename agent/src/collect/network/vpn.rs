//! Tunnels and VPN connections: interfaces of their kinds, `WireGuard`'s peers, `IPsec`, and what NetworkManager manages.

use std::io::ErrorKind;
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::Vpn;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressAttribute;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage};
use serde_json::Value;

use super::rtnetlink::{self, Listing, Names};
use super::wireguard::{self, Peer};
use super::{bus, dhcp, resolved, routes};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Host, Netlink};

pub(in crate::collect) const VPN: Collector =
    Collector { table: Vpn::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(5)), look };

/// Most tunnels.
const ROWS_MAX: usize = 64;

/// While a tunnel is used a new handshake is made every two minutes, and after three its keys are refused (`WireGuard`'s paper, section 6).
const FRESH_MS: i64 = 180_000;

/// Programs that name their interfaces after themselves.
const NAMES: [(&str, &str); 9] = [
    ("tailscale", "tailscale"),
    ("cscotun", "anyconnect"),
    ("gpd", "globalprotect"),
    ("CloudflareWARP", "warp"),
    ("nordlynx", "nordvpn"),
    ("proton", "protonvpn"),
    ("wt", "netbird"),
    ("zt", "zerotier"),
    ("nebula", "nebula"),
];

/// What `strongSwan` and Libreswan leave in /run while they run.
const IPSEC: [&str; 4] = ["charon.pid", "charon.vici", "charon.ctl", "pluto"];

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let links = rtnetlink::ask(host, Netlink::Links)?;
    let mut missing = Vec::new();
    let mut all: Vec<Vpn> = rtnetlink::links(&links).filter_map(tunnel).collect();
    if all.len() > ROWS_MAX {
        missing.push(format!("{} tunnels after the first {ROWS_MAX}", all.len() - ROWS_MAX));
        all.truncate(ROWS_MAX);
    }
    if !all.is_empty() {
        let names = Names::ask(host)?;
        addresses(&rtnetlink::ask(host, Netlink::Addresses)?, &names, &mut all);
        routed(&rtnetlink::ask(host, Netlink::Routes)?, &names, &mut all);
        if let Err(error) = name_servers(host, &names, &mut all) {
            missing.push(format!("name servers of the tunnels: {error:#}"));
        }
        for row in all.iter_mut().filter(|row| wireguard_like(&row.kind)) {
            match wireguard::peers(host, &row.interface) {
                Ok(peers) => handshakes(row, &peers, host.now_ms()),
                // Programs of these names have tunnels of other kinds, too.
                Err(_other) if row.kind != "wireguard" => {}
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    missing.push(format!("peers of {}; CAP_NET_ADMIN would allow it", row.interface));
                }
                Err(error) => missing.push(format!("peers of {}: {error}", row.interface)),
            }
        }
    }
    if let Err(error) = managed(host, &mut all) {
        missing.push(format!("connections of NetworkManager: {error:#}"));
    }
    all.extend(ipsec(host, &mut missing));
    let mut rows: Rows = all.into_iter().collect();
    for part in missing {
        rows.ends_early(part);
    }
    Ok(rows)
}

fn wireguard_like(kind: &str) -> bool {
    ["wireguard", "nordvpn", "netbird", "protonvpn"].contains(&kind)
}

/// An interface that is a tunnel; virtual machines' and containers' are none.
fn tunnel(link: &LinkMessage) -> Option<Vpn> {
    let name = rtnetlink::name(link)?;
    let by_name = NAMES.iter().find(|(start, _kind)| {
        name.strip_prefix(start)
            .is_some_and(|rest| start.len() > 2 || rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
    });
    let kind = by_name
        .filter(|_name| !ethernet(link) || name.starts_with("zt"))
        .map(|(_start, kind)| *kind)
        .or_else(|| by_kind(link, &name))?;
    let mut row = Vpn {
        name: name.clone(),
        kind: kind.into(),
        interface: name,
        up: Some(link.header.flags.contains(LinkFlags::Up)),
        ..Vpn::default()
    };
    for attribute in &link.attributes {
        if let LinkAttribute::Stats64(counters) = attribute {
            (row.rx_bytes, row.tx_bytes) = (Some(counters.rx_bytes), Some(counters.tx_bytes));
        }
    }
    Some(row)
}

fn ethernet(link: &LinkMessage) -> bool {
    link.header.link_layer_type == LinkLayerType::Ether
}

fn by_kind(link: &LinkMessage, name: &str) -> Option<&'static str> {
    let about = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(about) => Some(about),
        _ => None,
    });
    let kind = about.into_iter().flatten().find_map(|part| match part {
        LinkInfo::Kind(kind) => Some(kind),
        _ => None,
    });
    match kind {
        Some(InfoKind::Wireguard) => Some("wireguard"),
        // One with Ethernet frames is a virtual machine's.
        Some(InfoKind::Tun) if !ethernet(link) => Some("tun"),
        Some(InfoKind::Xfrm) => Some("xfrm"),
        Some(InfoKind::Vti | InfoKind::Vti6) => Some("vti"),
        Some(InfoKind::GreTun | InfoKind::GreTun6) if usual(name) => Some("gre"),
        Some(InfoKind::IpIp | InfoKind::Ip6Tnl) if usual(name) => Some("ipip"),
        Some(InfoKind::SitTun) if usual(name) => Some("sit"),
        _ if link.header.link_layer_type == LinkLayerType::Ppp => Some("ppp"),
        _ => None,
    }
}

/// The kernel makes one of each by itself as soon as its module is there.
fn usual(name: &str) -> bool {
    !["tunl0", "gre0", "gretap0", "erspan0", "ip6tnl0", "ip6gre0", "sit0", "ip_vti0", "ip6_vti0"].contains(&name)
}

fn of<'a>(all: &'a mut [Vpn], interface: &str) -> Option<&'a mut Vpn> {
    all.iter_mut().find(|row| row.interface == interface)
}

fn addresses(listing: &Listing, names: &Names, all: &mut [Vpn]) {
    for message in &listing.messages {
        let RouteNetlinkMessage::NewAddress(message) = message else { continue };
        let Some(row) = of(all, &names.get(message.header.index)) else { continue };
        let local = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(ip) => Some(*ip),
            _ => None,
        });
        let peer = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(ip) => Some(*ip),
            _ => None,
        });
        row.addresses.extend(local.or(peer).map(|ip| format!("{ip}/{}", message.header.prefix_len)));
    }
}

/// Two halves ("0.0.0.0/1" and "128.0.0.0/1") take all traffic as a default route does, and win against one.
fn routed(listing: &Listing, names: &Names, all: &mut [Vpn]) {
    for (destination, interface) in routes::destinations(listing, names) {
        let Some(row) = of(all, &interface) else { continue };
        row.routes = row.routes.saturating_add(1);
        row.default_route |=
            ["default", "0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"].contains(&destination.as_str());
    }
}

fn name_servers(host: &dyn Host, names: &Names, all: &mut [Vpn]) -> anyhow::Result<()> {
    for server in resolved::ask(host, names)?.map(|found| found.servers).unwrap_or_default() {
        if let Some(row) = of(all, &names.get(server.index)) {
            row.name_servers.push(server.address.to_string());
        }
    }
    Ok(())
}

fn handshakes(row: &mut Vpn, peers: &[Peer], now_ms: i64) {
    let newest = peers.iter().map(|peer| peer.handshake_ms).max().unwrap_or_default();
    row.peers = u32::try_from(peers.len()).ok();
    row.peers_never = u32::try_from(peers.iter().filter(|peer| peer.handshake_ms == 0).count()).ok();
    row.handshake_ms = (newest > 0).then_some(newest);
    row.handshake = match newest {
        _ if peers.is_empty() => "",
        ..=0 => "never",
        newest if now_ms.saturating_sub(newest) <= FRESH_MS => "within 3 minutes",
        _ => "older",
    }
    .into();
    row.keepalive_s = peers.iter().map(|peer| peer.keepalive_s).filter(|seconds| *seconds > 0).min();
    row.endpoints = peers.iter().filter_map(|peer| Some(peer.endpoint?.to_string())).take(ROWS_MAX).collect();
}

/// Connections of NetworkManager that are VPNs. `WireGuard`'s are devices, too, and one row.
fn managed(host: &dyn Host, all: &mut Vec<Vpn>) -> anyhow::Result<()> {
    let Some(objects) = dhcp::network_manager(host)? else { return Ok(()) };
    let device = |path: &str| {
        let device = objects.get(path)?.get("org.freedesktop.NetworkManager.Device")?;
        let names = [bus::text(device, "IpInterface"), bus::text(device, "Interface")];
        names.into_iter().find(|name| !name.is_empty())
    };
    for of_object in objects.values() {
        let Some(active) = of_object.get("org.freedesktop.NetworkManager.Connection.Active") else { continue };
        let vpn = active.get("Vpn").and_then(Value::as_bool).unwrap_or_default();
        let kind = bus::text(active, "Type");
        if !vpn && !["vpn", "wireguard", "tun"].contains(&kind.as_str()) {
            continue;
        }
        let state = of_object.get("org.freedesktop.NetworkManager.VPN.Connection").and_then(|of| of.get("VpnState"));
        let state = match state.and_then(Value::as_u64) {
            Some(number) => vpn_state(number),
            None => active_state(active.get("State").and_then(Value::as_u64).unwrap_or_default()),
        };
        let paths = active.get("Devices").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let interfaces: Vec<String> = paths.filter_map(device).collect();
        let own = if vpn { None } else { interfaces.first() };
        match own.and_then(|name| of(all, name)) {
            Some(row) => (row.state, row.manager) = (state.into(), "NetworkManager".into()),
            None => all.push(Vpn {
                name: bus::text(active, "Id"),
                kind: if vpn { "vpn".into() } else { kind },
                state: state.into(),
                manager: "NetworkManager".into(),
                default_route: active.get("Default").and_then(Value::as_bool).unwrap_or_default(),
                ..Vpn::default()
            }),
        }
    }
    Ok(())
}

/// `NMVpnConnectionState`
fn vpn_state(number: u64) -> &'static str {
    match number {
        1 => "preparing",
        2 => "need-auth",
        3 => "connecting",
        4 => "getting-address",
        5 => "activated",
        6 => "failed",
        7 => "disconnected",
        _ => "unknown",
    }
}

/// `NMActiveConnectionState`
fn active_state(number: u64) -> &'static str {
    match number {
        1 => "activating",
        2 => "activated",
        3 => "deactivating",
        4 => "deactivated",
        _ => "unknown",
    }
}

/// `IPsec` has no interface: it is seen by its service, and counted by the kernel.
fn ipsec(host: &dyn Host, missing: &mut Vec<String>) -> Option<Vpn> {
    let run = host.list("/run").unwrap_or_default();
    if !run.iter().any(|name| IPSEC.contains(&name.as_str())) {
        return None;
    }
    let mut row = Vpn { name: "ipsec".into(), kind: "ipsec".into(), ..Vpn::default() };
    for (what, count) in [("state", &mut row.associations), ("policy", &mut row.policies)] {
        match host.run("ip", &["xfrm", what, "count"]) {
            Ok(ran) if ran.status == Some(0) => *count = counted(&String::from_utf8_lossy(&ran.stdout)),
            Ok(_refused) => missing.push(format!("IPsec's {what}; CAP_NET_ADMIN would allow it")),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                missing.push(format!("IPsec's {what}; package iproute2 would count it"));
            }
            Err(error) => missing.push(format!("IPsec's {what}: {error}")),
        }
    }
    Some(row)
}

/// "SAD count 2", and "SPD IN  1 OUT 1 FWD 1 ...".
fn counted(text: &str) -> Option<u32> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let after = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1)?.parse::<u32>().ok()
    };
    after("count").or_else(|| Some(after("IN")?.saturating_add(after("OUT")?).saturating_add(after("FWD")?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_are_told_in_words_that_stand_still() {
        let peer = |handshake_ms, keepalive_s| Peer { keepalive_s, handshake_ms, ..Peer::default() };
        let told = |peers: &[Peer]| {
            let mut row = Vpn::default();
            handshakes(&mut row, peers, 1_000_000);
            (row.handshake, row.peers_never, row.keepalive_s)
        };
        assert_eq!(told(&[peer(0, 0)]), ("never".into(), Some(1), None));
        assert_eq!(told(&[peer(900_000, 25), peer(0, 0)]), ("within 3 minutes".into(), Some(1), Some(25)));
        assert_eq!(told(&[peer(100_000, 0)]), ("older".into(), Some(0), None));
        assert_eq!(told(&[]), (String::new(), Some(0), None));
    }

    #[test]
    fn what_ip_counts_is_read() {
        assert_eq!(counted("\t SAD count 2\n"), Some(2));
        assert_eq!(counted("\t SPD IN  1 OUT 2 FWD 1 (Sock: IN 0 OUT 0 FWD 0)\n"), Some(4));
        assert_eq!((counted(""), counted("count x")), (None, None));
    }
}
